// Splitting volumes at one instant (E21-E24).
//
// prepare   every member: plex named, map slot of the next interval reserved, superblock durable
// turn      no suspension point from the first volume to the last: epochs bumped, leaving plexes out of
//           the write set, new intervals current. A write admitted before is in every snapshot, one
//           admitted after in none. Nothing is held.
// commit    every member: old writes landed, leaving plex flushed, closed maps durable, superblock `ready`
// announce  when all are ready; `committed` follows. Any failure before that rolls all members back.
//
// After a crash the set is decided when all its volumes are open on one loop (resolve_sets): committed if
// and only if every member says `ready` or `committed`. A member opened alone never decides.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "volume/volume.h"

namespace exshadow {

struct SplitRequest {
    std::vector<Volume*> volumes;  // of one loop, all different
    std::string label;
    std::map<std::string, std::string> plexes;  // volume name to plex label; else the newest that may go
    std::string consistency = "crash";
    Uuid set_id;  // nil: a new one
};

struct SplitResult {
    Uuid set_id;
    Nanoseconds turn_ns = 0;      // length of the turn
    std::int64_t created_ns = 0;  // wall clock
};

// All volumes or none. Durable on return.
[[nodiscard]] Task<Result<SplitResult>> split(Loop& loop, SplitRequest request);

// Decide every set in doubt whose members are all among `volumes`.
[[nodiscard]] Task<Status> resolve_sets(std::vector<Volume*> volumes);

}  // namespace exshadow
