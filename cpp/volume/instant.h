// Restoring volumes from their snapshots at one instant (E24-E26). When it answers, production is the
// snapshot: what is not moved yet is read from the snapshot's plex, and Volume::continue_restore() moves it.
//
// prepare   every member: what differs into a map of its own, durable and marked in the current interval;
//           with several members the intent, too
// turn      no suspension point from the first volume to the last: epochs bumped, unfinished writes added
//           to the maps. They are answered and lose; requests that come from here on wait for the commit
// commit    every member: maps durable, superblock `ready`; when all are, each superblock says that it is
//           restored, and clients go on. Any failure before that leaves all as they were
//
// How long it takes depends on what differs, not on the volumes' size. After a crash the members decide as
// those of a split do (E24); one that cannot know takes no I/O, for either content might be wrong.
#pragma once

#include <string>
#include <vector>

#include "volume/volume.h"

namespace exshadow {

struct RestoreWish {
    Volume* volume = nullptr;
    std::string label;  // of its snapshot
};

// All volumes or none. Durable on return. A restore under way gives way to it: its mover is paused.
[[nodiscard]] Task<Status> restore_instant(Loop& loop, std::vector<RestoreWish> wishes);

// Decide every instant restore in doubt whose members are among `volumes`; resolve_sets() calls it.
[[nodiscard]] Task<Status> resolve_restores(std::vector<Volume*> volumes);

}  // namespace exshadow
