// SimSpace: which parts of a simulated file have space on the disk. And tearing: which sectors of a
// transfer made it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

#include "base/units.h"
#include "runtime/sim_random.h"

namespace exshadow {

// A set of byte ranges: which parts of a file have space on the disk.
class SimSpace {
public:
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
    [[nodiscard]] std::uint64_t missing(Range range) const;  // bytes of `range` not in the set
    void add(Range range);
    void remove(Range range);

private:
    std::map<std::uint64_t, std::uint64_t> ends_;  // begin -> end, disjoint and not touching
    std::uint64_t bytes_ = 0;
};

// Calls visit(index of the unit, offset in it, offset in `range`, length) for every unit of `range`.
template <class Visit>
void for_each_piece(Range range, std::uint64_t unit, Visit visit) {
    for (std::uint64_t at = range.offset; at < range.end();) {
        const std::uint64_t inside = at % unit;
        const std::uint64_t length = std::min(unit - inside, range.end() - at);
        visit(at / unit, inside, at - range.offset, length);
        at += length;
    }
}

// The sectors of `range` that a torn transfer moved: a random subset, neighbours merged. A range of at
// most one unit is all or nothing. Long zeroes are torn in bigger pieces (`most` at the most).
[[nodiscard]] Ranges tear(Range range, std::uint64_t unit, SimRandom& random, std::uint64_t most = 1 << 16);

}  // namespace exshadow
