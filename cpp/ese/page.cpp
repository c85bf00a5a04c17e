#include "ese/page.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "ese/fields.h"

namespace exshadow::ese {

namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint32_t flag_ecc = 0x2000;
constexpr std::size_t large_page = 16384;  // from here on four blocks and a longer page header

bool looks_empty(Bytes page) {
    // The two sums and the flags tell apart nearly every used page without reading it.
    return field<std::uint64_t>(page, 0) == 0 && field<std::uint32_t>(page, 36) == 0 && all_zero(page);
}

// Flips the bit and looks whether the block is good then.
bool flipping_mends(Bytes block, std::uint32_t number, bool holds_sums, const BlockSum& stored,
                    std::uint32_t bit, Method method) {
    std::vector<std::byte> mended(block.begin(), block.end());
    mended[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    return block_sum(mended, number, holds_sums, method) == stored;
}

PageCheck check_legacy(Bytes page, std::uint32_t pgno) {
    PageCheck check;
    check.legacy = true;
    const auto named = field<std::uint32_t>(page, 4);
    if (field<std::uint32_t>(page, 0) != xor32(page)) {
        check.state = PageState::bad;
    } else if (named != pgno) {
        check.state = PageState::wrong_place;
        check.belongs_at = named;
    }
    return check;
}

BlockSum stored_sum(Bytes page, std::size_t block) {
    const std::size_t at = block == 0 ? 0 : 40 + 8 * (block - 1);
    return {field<std::uint32_t>(page, at), field<std::uint32_t>(page, at + 4)};
}

PageCheck check_ecc(Bytes page, std::uint32_t pgno, Method method) {
    const std::size_t blocks = page.size() >= large_page ? 4 : 1;
    const std::size_t size = page.size() / blocks;
    PageCheck worst;
    for (std::size_t k = 0; k < blocks; ++k) {
        std::uint32_t detail = 0;
        const auto state =
            check_block(page.subspan(k * size, size), pgno, k == 0, stored_sum(page, k), detail, method);
        if (state <= worst.state) continue;
        worst.state = state;
        worst.block = static_cast<std::uint8_t>(k);
        if (state == PageState::correctable) worst.bit = detail + static_cast<std::uint32_t>(8 * k * size);
        if (state == PageState::wrong_place) worst.belongs_at = detail;
    }
    if (worst.state == PageState::good && blocks == 4) {
        const auto named = field<std::uint32_t>(page, 64);
        if (named != pgno) {
            worst.state = PageState::wrong_number;
            worst.belongs_at = named;
        }
    }
    return worst;
}

}  // namespace

PageState check_block(Bytes block, std::uint32_t number, bool holds_sums, const BlockSum& stored,
                      std::uint32_t& detail, Method method) {
    const auto computed = block_sum(block, number, holds_sums, method);
    const auto dx = stored.xor_sum ^ computed.xor_sum;
    const auto de = stored.ecc ^ computed.ecc;
    if (dx == 0 && de == 0) return PageState::good;
    if (de == 0) {  // every bit stands where it stood; only the number does not fit
        detail = number ^ dx;
        return PageState::wrong_place;
    }
    const auto mask = static_cast<std::uint32_t>(8 * block.size() - 1);
    const auto bit = de & 0xFFFFU;
    const bool one_bit = std::has_single_bit(dx) && (((de >> 16U) ^ de) & mask) == mask && bit <= mask;
    if (one_bit && flipping_mends(block, number, holds_sums, stored, bit, method)) {
        detail = bit;
        return PageState::correctable;
    }
    return PageState::bad;
}

PageCheck check_page(Bytes page, std::uint32_t pgno, Method method) {
    EXSHADOW_CHECK(is_page_size(page.size()));
    if (looks_empty(page)) {
        PageCheck check;
        check.state = PageState::empty;
        return check;
    }
    const bool ecc = (field<std::uint32_t>(page, 36) & flag_ecc) != 0;
    auto check = ecc ? check_ecc(page, pgno, method) : check_legacy(page, pgno);
    if (check.state == PageState::good) check.dbtime = field<std::uint64_t>(page, 8);
    return check;
}

std::optional<Trailer> read_trailer(Bytes page) {
    const bool unnumbered = field<std::uint32_t>(page, 4) == 0 && field<std::uint64_t>(page, 8) == 0 &&
                            field<std::uint32_t>(page, 24) == 0;
    if (!unnumbered || all_zero(page) || field<std::uint32_t>(page, 0) != xor32(page)) return std::nullopt;
    Trailer trailer;
    std::memcpy(trailer.signature.raw.data(), page.data() + 64, trailer.signature.raw.size());
    std::memcpy(trailer.log_signature.raw.data(), page.data() + 92, trailer.log_signature.raw.size());
    trailer.lowest_required = field<std::uint32_t>(page, 120);
    trailer.highest_required = field<std::uint32_t>(page, 124);
    trailer.highest_committed = field<std::uint32_t>(page, 128);
    return trailer;
}

}  // namespace exshadow::ese
