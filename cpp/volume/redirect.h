// Redirect: what an instant restore has still to move (E25-E28). While a volume has one, regions that are
// marked `unmoved` are read from the snapshot's plex; everything else from the members, as always.
//
//   on disk        Volume::restore_map_: a region stays marked until its data is flushed on every member
//   unmoved        in memory: what to read from the snapshot. A bit is cleared as soon as the region is
//                  written to all members, by a client or by the mover, under the region's range lock
//   moved          cleared in memory and not yet on disk; settle_moved() flushes, then clears
// Loop only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>

#include "volume/change_map.h"
#include "volume/plex.h"

namespace exshadow {

struct Redirect {
    Redirect(std::shared_ptr<Plex> from, std::uint64_t turn, std::uint64_t size, std::uint32_t region_size)
        : source(std::move(from)),
          epoch(turn),
          unmoved(size, region_size),
          moved(std::make_unique<ChangeMap>(size, region_size)) {}

    const std::shared_ptr<Plex> source;
    const std::uint64_t epoch;  // requests of this epoch and before were overtaken by the restore
    ChangeMap unmoved;
    std::unique_ptr<ChangeMap> moved;
    bool source_known = false;    // it was looked at and is what was split off (E7)
    std::optional<Error> broken;  // the map cannot be believed: no I/O (E25)

    struct Part {
        Range range;
        bool unmoved = false;
    };
    // The first bytes of `range` that come from one side.
    [[nodiscard]] Part first_part(Range range) const {
        const std::uint64_t region = unmoved.region_size();
        std::uint64_t at = range.offset / region;
        const bool marked = unmoved.test(at);
        while (++at * region < range.end() && unmoved.test(at) == marked) continue;
        return {{range.offset, std::min(at * region, range.end()) - range.offset}, marked};
    }
    // Whole regions are on every member now.
    void note_moved(Range regions) {
        const std::uint64_t region = unmoved.region_size();
        const std::uint64_t first = regions.offset / region;
        unmoved.clear_regions(first, divide_up(regions.end(), region) - first);
        moved->mark(regions);
    }
};

}  // namespace exshadow
