#include "runtime/sim_space.h"

#include <algorithm>

namespace exshadow {

std::uint64_t SimSpace::missing(Range range) const {
    std::uint64_t found = 0;
    auto it = ends_.upper_bound(range.offset);
    if (it != ends_.begin()) --it;
    for (; it != ends_.end() && it->first < range.end(); ++it) {
        const std::uint64_t begin = std::max(it->first, range.offset);
        const std::uint64_t end = std::min(it->second, range.end());
        if (begin < end) found += end - begin;
    }
    return range.length - found;
}

void SimSpace::remove(Range range) {
    auto it = ends_.upper_bound(range.offset);
    if (it != ends_.begin()) --it;
    while (it != ends_.end() && it->first < range.end()) {
        const auto [begin, end] = *it;
        if (end <= range.offset) {
            ++it;
            continue;
        }
        it = ends_.erase(it);
        bytes_ -= end - begin;
        if (begin < range.offset) {
            ends_.emplace(begin, range.offset);
            bytes_ += range.offset - begin;
        }
        if (end > range.end()) {
            ends_.emplace(range.end(), end);
            bytes_ += end - range.end();
        }
    }
}

void SimSpace::add(Range range) {
    if (range.empty()) return;
    remove(range);
    std::uint64_t begin = range.offset;
    std::uint64_t end = range.end();
    bytes_ += range.length;
    const auto after = ends_.find(end);
    if (after != ends_.end()) {
        end = after->second;
        ends_.erase(after);
    }
    auto before = ends_.lower_bound(begin);
    if (before != ends_.begin() && (--before)->second == begin) {
        begin = before->first;
        ends_.erase(before);
    }
    ends_.emplace(begin, end);
}

Ranges tear(Range range, std::uint64_t unit, SimRandom& random, std::uint64_t most) {
    Ranges kept;
    if (range.length <= unit) {
        if (random.chance(0.5)) kept.push_back(range);
        return kept;
    }
    const std::uint64_t piece = std::max(unit, round_up(divide_up(range.length, most), unit));
    for_each_piece(range, piece, [&](std::uint64_t, std::uint64_t, std::uint64_t at, std::uint64_t length) {
        if (!random.chance(0.5)) return;
        if (!kept.empty() && kept.back().end() == range.offset + at) {
            kept.back().length += length;
        } else {
            kept.push_back({range.offset + at, length});
        }
    });
    return kept;
}

}  // namespace exshadow
