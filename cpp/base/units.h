// Ranges of bytes and checked maths on them. Offsets and lengths are bytes everywhere unless a name
// says otherwise (region_index, slot_index, ..._ns).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/check.h"

namespace exshadow {

inline constexpr std::uint64_t KiB = 1024;
inline constexpr std::uint64_t MiB = 1024 * KiB;
inline constexpr std::uint64_t GiB = 1024 * MiB;
inline constexpr std::uint64_t TiB = 1024 * GiB;

struct Range {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;

    [[nodiscard]] constexpr std::uint64_t end() const { return offset + length; }
    [[nodiscard]] constexpr bool empty() const { return length == 0; }
    [[nodiscard]] constexpr bool overlaps(const Range& other) const {
        return offset < other.end() && other.offset < end();
    }
    [[nodiscard]] constexpr bool contains(const Range& other) const {
        return offset <= other.offset && other.end() <= end();
    }
    friend constexpr bool operator==(const Range&, const Range&) = default;
};

using Ranges = std::vector<Range>;

[[nodiscard]] constexpr bool is_power_of_two(std::uint64_t value) {
    return value != 0 && (value & (value - 1)) == 0;
}
[[nodiscard]] constexpr std::uint64_t round_down(std::uint64_t value, std::uint64_t unit) {
    return value - value % unit;
}
[[nodiscard]] constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) {
    return round_down(value + unit - 1, unit);
}
[[nodiscard]] constexpr std::uint64_t divide_up(std::uint64_t value, std::uint64_t unit) {
    return (value + unit - 1) / unit;
}

// Smallest range of whole units that covers `range`, clipped to `size`.
[[nodiscard]] constexpr Range round_out(Range range, std::uint64_t unit, std::uint64_t size) {
    const std::uint64_t begin = round_down(range.offset, unit);
    const std::uint64_t end = std::min(round_up(range.end(), unit), size);
    return Range{begin, end - begin};
}

}  // namespace exshadow
