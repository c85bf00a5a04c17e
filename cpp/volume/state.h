// What a volume is, as its superblock records it: plexes, intervals, snapshots. Pure data; the bytes on
// disk are drawn in format.h, the legal transitions of a plex in plex_state.h.
//
//   intervals   [ i3 ][ i7 ][ i8 ]            oldest first; the last one is current: writes mark it
//                ^anchor of snapshot "mon"
//                      ^anchor of "tue"        changes since "tue" = i7 OR i8
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/uuid.h"

namespace exshadow {

inline constexpr std::size_t max_plexes = 64;
inline constexpr std::size_t max_snapshots = 32;
inline constexpr std::size_t max_set_members = 64;
inline constexpr std::size_t max_name_bytes = 64;
inline constexpr std::size_t max_path_bytes = 1023;

enum class PlexState : std::uint8_t {
    stale = 1,      // has a sync map (where it may differ from production); nobody copies now
    syncing = 2,    // the copier brings it up; live writes reach it or keep their region marked
    in_sync = 3,    // member of the mirror
    splitting = 4,  // named by a prepared split; never a member again without resync
    split = 5,      // a snapshot's plex
    resyncing = 6,  // was a snapshot, the copier brings it back
    failed = 7,     // left on an error; has a sync map
    detached = 8,   // was not there when the volume was opened; has a sync map
};

enum class SetState : std::uint8_t {
    preparing = 1,  // durable intent; rolled back at open
    ready = 2,      // this member is split; the set is committed when every member says so
    committed = 3,
};

enum class VolumeMode : std::uint8_t {
    normal = 0,
    restoring = 1,    // copy restore not finished: no client I/O (interface.md)
    redirecting = 2,  // instant restore: what is not moved yet is read from the snapshot's plex (E25-E28)
};

// A change map on disk: `id` is unique for the life of the volume, `slot` says where it is stored.
struct MapRef {
    static constexpr std::uint32_t no_slot = 0xFFFFFFFF;
    std::uint64_t id = 0;
    std::uint32_t slot = no_slot;
    [[nodiscard]] bool present() const { return slot != no_slot; }
    friend bool operator==(const MapRef&, const MapRef&) = default;
};

// What a plex's file looked like when the engine last finished with it (E7). Trusted only when the
// volume was closed cleanly (members) or since the split committed (snapshots).
struct PlexIdentity {
    bool recorded = false;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    std::int64_t modified_ns = 0;
    std::int64_t changed_ns = 0;
    std::string serial;               // block devices
    std::uint32_t sample_digest = 0;  // block devices: digest of sampled regions
    // The engine is about to change the bytes: from here on only the file itself can be recognised.
    void forget_contents() {
        modified_ns = changed_ns = 0;
        sample_digest = 0;
    }
    friend bool operator==(const PlexIdentity&, const PlexIdentity&) = default;
};

struct PlexRecord {
    Uuid uuid;
    std::string label;
    std::string path;
    PlexState state = PlexState::stale;
    bool flush_failed = false;   // its cache may show what is not on the disk: write all, trust no read of it
    bool needs_compare = false;  // its map may not be trusted: compare everything at the next sync
    std::uint64_t joined = 0;    // generation at which it last became in_sync; "newest" is the largest
    std::uint64_t tag = 0;       // generation kept in the xattr user.exshadow; 0 where there is none
    std::uint64_t previous_tag = 0;
    std::uint32_t slot = MapRef::no_slot;  // reserved for its sync map as long as it is attached (E20)
    std::uint64_t sync_map_id = 0;         // 0: no sync map (in sync, splitting, split)
    PlexIdentity identity;
    std::string note;  // why it is not in sync
};

struct IntervalRecord {
    MapRef map;
};

struct SetMember {
    Uuid volume;
    std::string name;
    friend bool operator==(const SetMember&, const SetMember&) = default;
};

struct SnapshotRecord {
    Uuid set_id;
    std::string label;
    Uuid plex;
    SetState state = SetState::preparing;
    std::uint64_t anchor = 0;          // id of the interval that starts at this snapshot
    MapRef next_interval;              // preparing: the map reserved for that interval
    std::int64_t created_ns = 0;       // wall clock, for display only
    std::int64_t pinned_until_ns = 0;  // 0: not pinned; INT64_MAX: for ever
    std::string consistency;           // application, filesystem or crash
    std::vector<SetMember> members;
};

struct RestoreRecord {
    Uuid plex;   // the snapshot's plex that is copied from
    MapRef map;  // regions still to be copied
};

// An instant restore that is not announced yet (E24, E26). Until it is committed everything else in the
// superblock is as before it.
struct RestoreStart {
    Uuid id;      // of this restore, the same in all its volumes
    Uuid set_id;  // the snapshot
    SetState state = SetState::preparing;
    MapRef map;       // absent when committed: then it is in RestoreRecord
    MapRef interval;  // likewise: in `intervals`
    std::vector<SetMember> members;
};

struct VolumeState {
    Uuid uuid;
    std::string name;
    std::string group;
    std::string metadata_copy;  // path of the second volume file, empty where there is none
    std::uint64_t size = 0;
    std::uint32_t region_size = 0;
    std::uint32_t extent_size = 0;  // of the activity log
    std::uint32_t log_slots = 0;
    std::uint64_t generation = 0;  // grows with every superblock written
    std::uint64_t next_map_id = 1;
    bool clean = true;
    std::uint32_t maps_digest = 0;  // of all maps together, by a clean close (seal.h); 0: not known
    VolumeMode mode = VolumeMode::normal;
    Uuid authority;
    std::vector<PlexRecord> plexes;
    std::vector<IntervalRecord> intervals;
    std::vector<SnapshotRecord> snapshots;
    std::optional<RestoreRecord> restore;
    std::optional<RestoreStart> starting;

    [[nodiscard]] PlexRecord* find_plex(const Uuid& plex);
    [[nodiscard]] PlexRecord* find_plex(const std::string& label);
    [[nodiscard]] SnapshotRecord* find_snapshot(const Uuid& set_id);
    [[nodiscard]] SnapshotRecord* find_snapshot(const std::string& label);
    [[nodiscard]] const PlexRecord* find_plex(const Uuid& plex) const;
    [[nodiscard]] const SnapshotRecord* find_snapshot(const std::string& label) const;
    // Position of an interval in `intervals`; intervals.size() when it is not there.
    [[nodiscard]] std::size_t interval_index(std::uint64_t id) const;
    // The lowest map slot nobody uses.
    [[nodiscard]] std::uint32_t free_slot() const;
    [[nodiscard]] bool uses_slot(std::uint32_t slot) const;
    // Empty, or what makes this state impossible (bounds, references, duplicates).
    [[nodiscard]] std::string problem() const;
};

[[nodiscard]] const char* plex_state_name(PlexState state);
// Names of volumes, groups and labels: [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
[[nodiscard]] bool is_name(const std::string& text);

}  // namespace exshadow
