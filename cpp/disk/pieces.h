// Walking a range unit by unit, and joining neighbouring extents.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/units.h"
#include "runtime/file.h"

namespace exshadow {

// The part of a range that lies in one unit.
struct Piece {
    std::uint64_t index = 0;   // which unit
    std::uint64_t within = 0;  // bytes from the unit's begin
    std::uint64_t length = 0;  // bytes, never 0
    std::uint64_t done = 0;    // bytes of the range before this piece
};

// for (const Piece& piece : pieces_of(range, unit)) ...
class Pieces {
public:
    class Iterator {
    public:
        Iterator(Range range, std::uint64_t unit, std::uint64_t done)
            : range_(range), unit_(unit), done_(done) {}
        Piece operator*() const {
            const std::uint64_t at = range_.offset + done_;
            const std::uint64_t within = at % unit_;
            return {at / unit_, within, std::min(unit_ - within, range_.length - done_), done_};
        }
        Iterator& operator++() {
            done_ += (**this).length;
            return *this;
        }
        bool operator!=(const Iterator& other) const { return done_ != other.done_; }

    private:
        Range range_;
        std::uint64_t unit_;
        std::uint64_t done_;
    };

    Pieces(Range range, std::uint64_t unit) : range_(range), unit_(unit) {}
    [[nodiscard]] Iterator begin() const { return {range_, unit_, 0}; }
    [[nodiscard]] Iterator end() const { return {range_, unit_, range_.length}; }

private:
    Range range_;
    std::uint64_t unit_;
};

[[nodiscard]] inline Pieces pieces_of(Range range, std::uint64_t unit) {
    return {range, unit};
}

// Appends an extent that begins where the last one ends, joined to it when it is of the same kind.
inline void append_extent(std::vector<Extent>& extents, Extent extent) {
    if (extent.range.empty()) return;
    if (!extents.empty() && extents.back().zero == extent.zero) {
        extents.back().range.length += extent.range.length;
    } else {
        extents.push_back(extent);
    }
}

}  // namespace exshadow
