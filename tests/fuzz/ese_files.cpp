// ESE headers, pages, logs and flush maps that anyone may have written: no reading outside, no endless walk,
// and verdicts that agree with themselves. The first byte chooses what the rest is and whether its sums are
// made good.
#include <cstring>
#include <vector>

#include "base/check.h"
#include "ese/log.h"
#include "ese/scan.h"

namespace exshadow {
namespace {

using namespace ese;
using Bytes = std::vector<std::byte>;

constexpr std::uint8_t seal_bit = 0x40;  // the first header is given its right sum
constexpr std::uint8_t current_bit = 0x80;
constexpr std::size_t largest_input = std::size_t{1} << 20;

void put(Bytes& bytes, std::size_t at, std::uint32_t value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

void seal(Bytes& bytes, std::size_t size) {
    if (bytes.size() >= size) put(bytes, 0, xor32(std::span(bytes).first(size)));
}

void database(Bytes bytes, bool sealed) {
    std::uint32_t size = smallest_page;
    if (bytes.size() >= 240) std::memcpy(&size, bytes.data() + 236, sizeof size);
    if (sealed && is_page_size(size) && bytes.size() >= size) {
        put(bytes, 4, magic);
        seal(bytes, size);
    }
    const auto chosen = choose_header(bytes);
    if (!chosen.ok()) return;
    EXSHADOW_CHECK(chosen->first_good || chosen->second_good);
    const auto source = from_memory(bytes);
    ScanOptions options;
    options.threads = 1;
    const auto wide = scan_pages(*source, chosen->header, options);
    options.method = Method::scalar;
    const auto narrow = scan_pages(*source, chosen->header, options);
    EXSHADOW_CHECK(wide.ok() && narrow.ok());
    EXSHADOW_CHECK(wide->bad == narrow->bad && wide->empty == narrow->empty && wide->pages == narrow->pages);
    EXSHADOW_CHECK(wide->bad + wide->empty <= wide->pages && wide->empty_inside <= wide->empty);
    EXSHADOW_CHECK(wide->correctable + wide->wrong_place <= wide->bad);
}

void log(Bytes bytes, bool sealed, bool current) {
    if (sealed) seal(bytes, log_header_size);
    const auto header = read_log_header(bytes);
    if (!header.ok()) return;
    const auto source = from_memory(bytes);
    const auto body = check_log_body(*source, *header, current);
    EXSHADOW_CHECK(body.ok());
    EXSHADOW_CHECK(body->sound == body->trouble.empty());
    EXSHADOW_CHECK(current || !body->torn_end);
    if (header->major >= 8) EXSHADOW_CHECK(body->valid + body->empty + body->stale <= body->segments);
}

void companions(Bytes bytes, bool sealed) {
    if (sealed) seal(bytes, checkpoint_copy_size);
    const auto checkpoint = read_checkpoint(bytes);
    EXSHADOW_CHECK(!checkpoint.ok() || checkpoint->first_good || checkpoint->second_good);
    const bool whole = bytes.size() >= flush_map_page_size;
    if (sealed && whole) std::memcpy(bytes.data() + 667, "\7\0\0", 4);  // its file type
    if (sealed) seal(bytes, flush_map_page_size);
    const auto map = read_flush_map_header(bytes);
    EXSHADOW_CHECK(map.ok() || !sealed || !whole);
    const auto source = from_memory(bytes);
    const auto pages = scan_flush_map(*source);
    EXSHADOW_CHECK(pages.ok() && pages->bad + pages->empty <= pages->pages);
}

}  // namespace
}  // namespace exshadow

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace exshadow;
    if (size == 0 || size > largest_input) return 0;
    const auto* begin = reinterpret_cast<const std::byte*>(data) + 1;
    Bytes bytes(begin, begin + size - 1);
    const bool sealed = (data[0] & seal_bit) != 0;
    switch (data[0] % 3) {
        case 0: database(std::move(bytes), sealed); break;
        case 1: log(std::move(bytes), sealed, (data[0] & current_bit) != 0); break;
        default: companions(std::move(bytes), sealed);
    }
    return 0;
}
