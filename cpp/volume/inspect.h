// What a volume is, for people: of an open volume, or from its file alone.
//
// inspect() takes no lock, writes nothing and may run while another process writes the volume. It reads the
// superblock, the activity log, then the maps, then the superblock again. The order matters: an extent leaves
// the log only after its marks are durable (E14), so what the log no longer holds is in the maps read later.
// When the maps' places have changed meanwhile, it starts again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/loop.h"
#include "volume/state.h"
#include "volume/volume.h"

namespace exshadow {

struct PlexFacts {
    std::string label;
    Uuid uuid;
    std::string path;
    std::string state;
    bool authority = false;
    std::uint64_t bytes_to_sync = 0;  // what its sync map holds
    std::string note;
};

struct SnapshotFacts {
    std::string label;
    Uuid set_id;
    std::int64_t created_ns = 0;
    std::string plex;
    std::string path;
    std::string state;                 // creating, ready, in_doubt, restoring
    std::vector<std::string> members;  // names of the set's volumes
    std::string consistency;
    std::int64_t pinned_until_ns = 0;  // 0: not pinned; INT64_MAX: for ever
    std::uint64_t changed_bytes = 0;   // upper bound of what differs from production
};

struct VolumeFacts {
    std::string name;
    Uuid uuid;
    std::string group;
    std::uint64_t size = 0;
    std::uint32_t region_size = 0;
    std::string state;  // ok, read_only, restoring (no I/O), moving (an instant restore), in_doubt
    std::uint64_t bytes_to_move = 0;  // of an instant restore
    bool clean = true;
    std::uint64_t generation = 0;
    std::vector<PlexFacts> plexes;
    std::vector<SnapshotFacts> snapshots;
    std::string owner;  // "pid 123 on host", empty when nobody has it open
    std::uint64_t active_extents = 0;
    std::vector<std::string> events;
};

// Of an open volume. Loop only.
[[nodiscard]] VolumeFacts describe(const Volume& volume);

// From the file. `metadata_copy` may be empty. Errors: not_found, permission, corrupt, newer_version, io;
// busy when the volume changed faster than it could be read.
[[nodiscard]] Task<Result<VolumeFacts>> inspect(Loop& loop, std::string path, std::string metadata_copy);

// Volume::changed() from the file.
[[nodiscard]] Task<Result<Ranges>> inspect_changed(Loop& loop, std::string path, std::string metadata_copy,
                                                   std::string label, std::optional<std::string> since);

}  // namespace exshadow
