// The verdict on one page of an ESE database (fact sheet "ESE files", sections 3 and 4). Pure functions, any
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "ese/checksum.h"
#include "ese/header.h"

namespace exshadow::ese {

inline constexpr std::uint32_t smallest_page = 2048;
inline constexpr std::uint32_t largest_page = 32768;
[[nodiscard]] constexpr bool is_page_size(std::uint64_t size) {
    return size >= smallest_page && size <= largest_page && (size & (size - 1)) == 0;
}

// From good to bad; a page is as bad as its worst block.
enum class PageState : std::uint8_t {
    good,
    empty,         // all zero: never used. Legal, not damage (a zeroed page looks the same)
    correctable,   // one flipped bit, whose place is known. Still damage: the medium lies
    wrong_number,  // sums fit, but the page names another number of its own (large pages, -1118)
    wrong_place,   // content whole, sums made for another page number
    bad,
};

struct PageCheck {
    PageState state = PageState::good;
    bool legacy = false;     // XOR32 and page number instead of ECC+XOR
    std::uint8_t block = 0;  // the worst block (large pages have four)
    std::uint32_t bit =
        0;  // correctable: number of the flipped bit, 8 * byte + bit, counted from the page's start
    std::uint32_t belongs_at = 0;  // wrong_place, wrong_number: the page number it was made for (mostly)
    std::uint64_t dbtime = 0;      // change count of the page; 0 when its sums do not fit
};

// `page` is a whole page, `pgno` its number by its place: byte offset / page size - 1.
[[nodiscard]] PageCheck check_page(std::span<const std::byte> page, std::uint32_t pgno,
                                   Method method = Method::automatic);

// The same for one segment of a log of format 8 or one data page of a flush map: ECC+XOR in one block.
[[nodiscard]] PageState check_block(std::span<const std::byte> block, std::uint32_t number, bool holds_sums,
                                    const BlockSum& stored, std::uint32_t& detail,
                                    Method method = Method::automatic);

// Last page of a streaming backup image (4.7): its own XOR32, no page number.
struct Trailer {
    Signature signature;
    Signature log_signature;
    std::uint32_t lowest_required = 0;  // generations
    std::uint32_t highest_required = 0;
    std::uint32_t highest_committed = 0;
};
[[nodiscard]] std::optional<Trailer> read_trailer(std::span<const std::byte> page);

}  // namespace exshadow::ese
