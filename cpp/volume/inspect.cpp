#include "volume/inspect.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <string_view>

#include "runtime/posix_file.h"
#include "volume/activity_log.h"
#include "volume/map_store.h"
#include "volume/metadata_device.h"
#include "volume/seal.h"
#include "volume/superblock.h"

namespace exshadow {

namespace {

constexpr int attempts = 20;
constexpr Nanoseconds pause_between = 20 * millisecond_ns;

// One consistent reading of a volume file.
struct Reading {
    VolumeState state;
    std::unique_ptr<MetadataDevice> device;
    std::vector<std::uint32_t> active;                         // extents
    std::map<std::uint64_t, std::unique_ptr<StoredMap>> maps;  // by map id
    std::vector<std::string> events;
    std::unique_ptr<ChangeMap> unsettled;  // the active extents
};

// --- finding the newest superblock ---

Result<std::unique_ptr<MetadataDevice>> open_file(Loop& loop, const std::string& path) {
    auto device = MetadataDevice::open_read_only(loop, path);
    if (!device.ok()) return device.error();
    if ((*device)->size() < format::maps_offset) {
        return Error(Code::corrupt, path + " is truncated: no volume file",
                     "put back the metadata copy if there is one");
    }
    return device;
}

Task<Result<VolumeState>> load_state(Loop& loop, MetadataDevice& device) {
    SuperblockStore store(loop, device);
    auto loading = store.load();
    auto loaded = co_await std::move(loading);
    if (!loaded.ok()) co_return loaded.error().within(device.path());
    if (format::MapLayout(loaded->state.size, loaded->state.region_size).file_bytes() > device.size()) {
        co_return Error(Code::corrupt, device.path() + " is truncated",
                        "put back the metadata copy if there is one");
    }
    co_return std::move(loaded->state);
}

Task<Status> read_file(Loop& loop, std::string path, Reading& reading) {
    auto device = open_file(loop, path);
    if (!device.ok()) co_return device.error();
    auto loading = load_state(loop, **device);
    auto state = co_await std::move(loading);
    if (!state.ok()) co_return state.error();
    reading.device = std::move(device).value();
    reading.state = std::move(state).value();
    co_return Status{};
}

// Of the volume file and its copy the newer one; one of them may be unreadable.
Task<Status> read_newest(Loop& loop, std::string path, std::string metadata_copy, Reading& newest) {
    auto reading_first = read_file(loop, path, newest);
    const Status first = co_await std::move(reading_first);
    if (!first.ok() && first.error().code() == Code::newer_version) co_return first;
    const std::string copy = metadata_copy.empty() && first.ok() ? newest.state.metadata_copy : metadata_copy;
    if (copy.empty()) co_return first;
    Reading other;
    auto reading_second = read_file(loop, copy, other);
    const Status second = co_await std::move(reading_second);
    if (!second.ok()) {
        const bool newer = second.error().code() == Code::newer_version;
        co_return newer || (first.ok() && !metadata_copy.empty()) ? second : first;
    }
    if (first.ok() && newest.state.uuid != other.state.uuid) {
        co_return Error(Code::corrupt, path + " and its copy " + copy + " belong to different volumes",
                        "name the right --metadata-copy");
    }
    if (!first.ok() || other.state.generation > newest.state.generation) newest = std::move(other);
    co_return Status{};
}

// --- log and maps ---

Task<Status> read_log(Loop& loop, Reading& reading) {
    ActivityLog log(loop, *reading.device, reading.state);
    auto loading = log.load(0);
    auto extents = co_await std::move(loading);
    if (extents.ok()) {
        reading.active = std::move(extents).value();
    } else if (!reading.state.clean) {
        reading.events.emplace_back("the activity log is damaged: the whole volume counts as active");
        reading.active.resize(divide_up(reading.state.size, reading.state.extent_size));
        for (std::uint32_t i = 0; i < reading.active.size(); ++i) reading.active[i] = i;
    }
    co_return Status{};
}

struct NamedMap {
    MapRef ref;
    std::string name;
};

// The maps that say something about differences.
std::vector<NamedMap> maps_of(const VolumeState& state) {
    std::vector<NamedMap> list;
    if (!state.snapshots.empty()) {  // else nobody asks the intervals
        for (const auto& interval : state.intervals) {
            list.push_back({interval.map, "interval " + std::to_string(interval.map.id)});
        }
    }
    for (const auto& snapshot : state.snapshots) {
        if (snapshot.next_interval.present())
            list.push_back({snapshot.next_interval, "interval being opened"});
    }
    for (const auto& plex : state.plexes) {
        if (plex.sync_map_id != 0)
            list.push_back({{plex.sync_map_id, plex.slot}, "sync map of plex " + plex.label});
    }
    if (state.restore) list.push_back({state.restore->map, "restore map"});
    return list;
}

bool same_places(const VolumeState& one, const VolumeState& other) {
    if (one.generation == other.generation) return true;
    const auto before = maps_of(one);
    const auto after = maps_of(other);
    if (before.size() != after.size() || one.snapshots.size() != other.snapshots.size()) return false;
    for (std::size_t i = 0; i < before.size(); ++i) {
        if (before[i].ref != after[i].ref) return false;
    }
    for (std::size_t i = 0; i < one.snapshots.size(); ++i) {
        const auto& left = one.snapshots[i];
        const auto& right = other.snapshots[i];
        if (left.set_id != right.set_id || left.anchor != right.anchor || left.state != right.state)
            return false;
    }
    return true;
}

// As Volume::check_seal(), by the maps and in the order that it takes them.
void check_seal(Reading& reading) {
    const VolumeState& state = reading.state;
    if (!state.clean || state.maps_digest == 0) return;
    MapDigest digest;
    const auto add = [&](std::uint64_t map_id) {
        digest.add_id(map_id);
        digest.add(reading.maps.at(map_id)->bits);
    };
    if (!state.snapshots.empty()) {
        for (const auto& interval : state.intervals) add(interval.map.id);
    }
    for (const auto& plex : state.plexes) {
        if (plex.sync_map_id != 0) add(plex.sync_map_id);
    }
    if (state.restore) add(state.restore->map.id);
    if (digest.value() == state.maps_digest) return;
    reading.events.push_back("the change maps are not as they were closed: everything counts as changed");
    for (auto& [id, map] : reading.maps) map->bits.mark_all();
}

Task<Status> read_maps(Loop& loop, Reading& reading) {
    MapStore store(loop, *reading.device, reading.state, OrderHooks{});
    for (const NamedMap& named : maps_of(reading.state)) {
        std::string doubts;
        auto loading = store.load(named.ref, 0, doubts);
        auto map = co_await std::move(loading);
        if (!map.ok()) co_return map.error().within(reading.device->path());
        if (!doubts.empty()) reading.events.push_back(named.name + ": " + doubts);
        reading.maps[named.ref.id] = std::move(map).value();
    }
    check_seal(reading);
    co_return Status{};
}

void collect_unsettled(Reading& reading) {
    const VolumeState& state = reading.state;
    reading.unsettled = std::make_unique<ChangeMap>(state.size, state.region_size);
    for (const auto extent : reading.active) {
        const std::uint64_t offset = std::uint64_t{extent} * state.extent_size;
        reading.unsettled->mark({offset, std::min<std::uint64_t>(state.extent_size, state.size - offset)});
    }
}

Task<Result<std::unique_ptr<Reading>>> read_volume(Loop& loop, std::string path, std::string metadata_copy) {
    for (int attempt = 0; attempt < attempts; ++attempt) {
        auto reading = std::make_unique<Reading>();
        auto finding = read_newest(loop, path, metadata_copy, *reading);
        EXSHADOW_CO_TRY(co_await std::move(finding));
        auto logging = read_log(loop, *reading);
        EXSHADOW_CO_TRY(co_await std::move(logging));
        auto mapping = read_maps(loop, *reading);
        EXSHADOW_CO_TRY(co_await std::move(mapping));
        auto checking = load_state(loop, *reading->device);
        const Result<VolumeState> now = co_await std::move(checking);
        if (now.ok() && same_places(reading->state, *now)) {
            collect_unsettled(*reading);
            co_return std::move(reading);
        }
        co_await loop.sleep(pause_between);
    }
    co_return Error(Code::busy, path + " changes faster than it can be read", "try again");
}

// --- what the maps say ---

// OR of the intervals from position `first` up to `last`; of what production has not settled as well.
ChangeMap difference(const Reading& reading, std::size_t first, std::size_t last, bool with_production) {
    const VolumeState& state = reading.state;
    ChangeMap all(state.size, state.region_size);
    for (std::size_t i = first; i < last; ++i) all.merge(reading.maps.at(state.intervals[i].map.id)->bits);
    if (!with_production) return all;  // closed intervals were durable before their split committed (E21)
    all.merge(*reading.unsettled);
    for (const auto& snapshot : state.snapshots) {  // of a split that is not committed
        if (snapshot.next_interval.present()) all.merge(reading.maps.at(snapshot.next_interval.id)->bits);
    }
    if (state.mode == VolumeMode::restoring) all.merge(reading.maps.at(state.restore->map.id)->bits);
    return all;
}

Result<std::size_t> anchor_of(const VolumeState& state, const std::string& label) {
    const SnapshotRecord* const snapshot = state.find_snapshot(label);
    if (snapshot == nullptr) {
        return Error(Code::not_found, "volume " + state.name + " has no snapshot '" + label + "'");
    }
    if (snapshot->state != SetState::committed) {
        return Error(Code::refused, "snapshot '" + label + "' of volume " + state.name + " is in doubt",
                     "open all volumes of its set together, then it is decided");
    }
    return state.interval_index(snapshot->anchor);
}

// Lock held by somebody? Taken for a moment where not.
bool is_owned(const std::string& path) {
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    return file.valid() && ::flock(file.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

// "pid 123 on host" out of the text at the volume file's begin (format.h).
std::string owner_in(std::string_view text) {
    constexpr std::string_view intro = "owner ";
    const auto begin = text.find(intro);
    if (begin == std::string_view::npos) return "another process";
    const auto end = text.find(" since ", begin);
    if (end == std::string_view::npos) return "another process";
    return std::string(text.substr(begin + intro.size(), end - begin - intro.size()));
}

Task<std::string> find_owner(MetadataDevice& device, std::string path) {
    if (!is_owned(path)) co_return std::string();
    std::string text(format::owner_bytes, '\0');
    auto reading = device.read(0, 0, std::as_writable_bytes(std::span(text)));
    const Status status = co_await std::move(reading);
    co_return status.ok() ? owner_in(text) : std::string("another process");
}

std::string own_name() {
    char host[256] = {};
    const bool known = gethostname(host, sizeof(host) - 1) == 0;
    return "pid " + std::to_string(getpid()) + " on " + (known ? host : "unknown");
}

// --- records into facts ---

PlexFacts plex_facts(const VolumeState& state, const PlexRecord& record) {
    PlexFacts facts;
    facts.label = record.label;
    facts.uuid = record.uuid;
    facts.path = record.path;
    facts.state = plex_state_name(record.state);
    facts.authority = record.uuid == state.authority;
    facts.note = record.note;
    return facts;
}

std::string snapshot_state(const VolumeState& state, const SnapshotRecord& record) {
    if (record.state == SetState::preparing) return "creating";
    if (record.state == SetState::ready) return "in_doubt";
    return state.restore && state.restore->plex == record.plex ? "restoring" : "ready";
}

SnapshotFacts snapshot_facts(const VolumeState& state, const SnapshotRecord& record) {
    SnapshotFacts facts;
    facts.label = record.label;
    facts.set_id = record.set_id;
    facts.created_ns = record.created_ns;
    if (const PlexRecord* const plex = state.find_plex(record.plex)) {
        facts.plex = plex->label;
        facts.path = plex->path;
    }
    facts.state = snapshot_state(state, record);
    for (const auto& member : record.members) facts.members.push_back(member.name);
    facts.consistency = record.consistency;
    facts.pinned_until_ns = record.pinned_until_ns;
    return facts;
}

VolumeFacts volume_facts(const VolumeState& state) {
    VolumeFacts facts;
    facts.name = state.name;
    facts.uuid = state.uuid;
    facts.group = state.group;
    facts.size = state.size;
    facts.region_size = state.region_size;
    const bool in_doubt = state.starting && state.starting->state == SetState::ready;
    facts.state = in_doubt                                ? "in_doubt"
                  : state.mode == VolumeMode::restoring   ? "restoring"
                  : state.mode == VolumeMode::redirecting ? "moving"
                                                          : "ok";
    facts.clean = state.clean;
    facts.generation = state.generation;
    return facts;
}

}  // namespace

VolumeFacts describe(const Volume& volume) {
    const VolumeState& state = volume.state();
    VolumeFacts facts = volume_facts(state);
    if (volume.is_read_only()) facts.state = "read_only";
    if (volume.redirect() != nullptr && volume.redirect()->broken) facts.state = "restoring";  // no I/O
    for (const auto& plex : volume.plexes()) {
        const PlexRecord* const record = state.find_plex(plex->uuid);
        if (record == nullptr) continue;  // on its way out
        facts.plexes.push_back(plex_facts(state, *record));
        facts.plexes.back().state = plex_state_name(plex->state);
        if (plex->sync_map) facts.plexes.back().bytes_to_sync = plex->sync_map->bits.marked_bytes();
    }
    for (const auto& snapshot : state.snapshots) {
        facts.snapshots.push_back(snapshot_facts(state, snapshot));
        facts.snapshots.back().changed_bytes = volume.changed_bytes(snapshot);
    }
    facts.bytes_to_move = volume.unmoved_bytes();
    facts.owner = own_name();
    facts.active_extents = volume.active_extents();
    for (const auto& event : volume.events()) facts.events.push_back(event.text);
    return facts;
}

Task<Result<VolumeFacts>> inspect(Loop& loop, std::string path, std::string metadata_copy) {
    auto reading = read_volume(loop, path, metadata_copy);
    auto read = co_await std::move(reading);
    if (!read.ok()) co_return read.error();
    const Reading& found = **read;
    const VolumeState& state = found.state;
    VolumeFacts facts = volume_facts(state);
    for (const auto& record : state.plexes) {
        facts.plexes.push_back(plex_facts(state, record));
        if (record.sync_map_id == 0) continue;
        ChangeMap to_sync(state.size, state.region_size);
        to_sync.merge(found.maps.at(record.sync_map_id)->bits);
        to_sync.merge(*found.unsettled);
        facts.plexes.back().bytes_to_sync = to_sync.marked_bytes();
    }
    for (const auto& record : state.snapshots) {
        facts.snapshots.push_back(snapshot_facts(state, record));
        const std::size_t first = state.interval_index(record.anchor);
        if (first == state.intervals.size()) continue;
        facts.snapshots.back().changed_bytes =
            difference(found, first, state.intervals.size(), true).marked_bytes();
    }
    if (state.mode == VolumeMode::redirecting)
        facts.bytes_to_move = found.maps.at(state.restore->map.id)->bits.marked_bytes();
    auto asking = find_owner(*found.device, path);
    facts.owner = co_await std::move(asking);
    facts.active_extents = found.active.size();
    facts.events = found.events;
    co_return facts;
}

Task<Result<Ranges>> inspect_changed(Loop& loop, std::string path, std::string metadata_copy,
                                     std::string label, std::optional<std::string> since) {
    auto reading = read_volume(loop, path, metadata_copy);
    auto read = co_await std::move(reading);
    if (!read.ok()) co_return read.error();
    const Reading& found = **read;
    auto first = anchor_of(found.state, label);
    if (!first.ok()) co_return first.error();
    auto last = since ? anchor_of(found.state, *since) : Result<std::size_t>(found.state.intervals.size());
    if (!last.ok()) co_return last.error();
    const auto [from, to] = std::minmax(*first, *last);
    co_return difference(found, from, to, !since).runs();
}

}  // namespace exshadow
