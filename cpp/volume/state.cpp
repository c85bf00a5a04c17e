#include "volume/state.h"

#include <algorithm>
#include <set>

#include "base/units.h"

namespace exshadow {

namespace {

template <class List, class Match>
auto* find_in(List& list, Match match) {
    const auto at = std::find_if(list.begin(), list.end(), match);
    return at == list.end() ? nullptr : &*at;
}

bool is_word(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// Visits every map slot in use; stops when `visit` answers false.
template <class Visit>
bool each_slot(const VolumeState& state, Visit visit) {
    for (const auto& plex : state.plexes) {
        if (plex.slot != MapRef::no_slot && !visit(plex.slot)) return false;
    }
    for (const auto& interval : state.intervals) {
        if (!visit(interval.map.slot)) return false;
    }
    for (const auto& snapshot : state.snapshots) {
        if (snapshot.next_interval.present() && !visit(snapshot.next_interval.slot)) return false;
    }
    if (state.starting) {
        for (const MapRef& map : {state.starting->map, state.starting->interval}) {
            if (map.present() && !visit(map.slot)) return false;
        }
    }
    return !state.restore || visit(state.restore->map.slot);
}

std::string plex_problem(const VolumeState& state) {
    if (state.plexes.empty()) return "no plex";
    if (state.plexes.size() > max_plexes) return "too many plexes";
    std::set<std::string> labels;
    std::set<Uuid> uuids;
    for (const auto& plex : state.plexes) {
        if (!is_name(plex.label) || plex.path.empty()) return "a plex without label or path";
        if (!labels.insert(plex.label).second || !uuids.insert(plex.uuid).second) return "two equal plexes";
        if (plex.state < PlexState::stale || plex.state > PlexState::detached) return "unknown plex state";
    }
    const auto* const authority = state.find_plex(state.authority);
    if (authority == nullptr) return "the authority is not a plex of the volume";
    if (authority->state != PlexState::in_sync) return "the authority is not in sync";
    return {};
}

std::string restore_problem(const VolumeState& state) {
    if (state.mode > VolumeMode::redirecting) return "unknown mode";
    if (state.mode != VolumeMode::normal && !state.restore) return "a restore without its record";
    if (state.restore && state.find_plex(state.restore->plex) == nullptr) return "a restore without plex";
    if (!state.starting) return {};
    const bool committed = state.starting->state == SetState::committed;
    if (state.starting->map.present() == committed) return "an impossible start of a restore";
    return {};
}

std::string snapshot_problem(const VolumeState& state) {
    if (state.intervals.empty()) return "no interval";
    if (state.snapshots.size() > max_snapshots) return "too many snapshots";
    for (const auto& snapshot : state.snapshots) {
        const auto* const plex = state.find_plex(snapshot.plex);
        if (plex == nullptr) return "a snapshot without plex";
        if (plex->state != PlexState::split && plex->state != PlexState::splitting) {
            return "a snapshot whose plex is not split";
        }
        const bool prepared = snapshot.state == SetState::preparing;
        if (!prepared && state.interval_index(snapshot.anchor) == state.intervals.size()) {
            return "a snapshot without interval";
        }
    }
    return {};
}

}  // namespace

PlexRecord* VolumeState::find_plex(const Uuid& plex) {
    return find_in(plexes, [&](const PlexRecord& record) { return record.uuid == plex; });
}
PlexRecord* VolumeState::find_plex(const std::string& label) {
    return find_in(plexes, [&](const PlexRecord& record) { return record.label == label; });
}
SnapshotRecord* VolumeState::find_snapshot(const Uuid& set_id) {
    return find_in(snapshots, [&](const SnapshotRecord& record) { return record.set_id == set_id; });
}
SnapshotRecord* VolumeState::find_snapshot(const std::string& label) {
    return find_in(snapshots, [&](const SnapshotRecord& record) { return record.label == label; });
}
const PlexRecord* VolumeState::find_plex(const Uuid& plex) const {
    return find_in(plexes, [&](const PlexRecord& record) { return record.uuid == plex; });
}
const SnapshotRecord* VolumeState::find_snapshot(const std::string& label) const {
    return find_in(snapshots, [&](const SnapshotRecord& record) { return record.label == label; });
}

std::size_t VolumeState::interval_index(std::uint64_t id) const {
    std::size_t index = 0;
    while (index < intervals.size() && intervals[index].map.id != id) ++index;
    return index;
}

std::uint32_t VolumeState::free_slot() const {
    std::set<std::uint32_t> used;
    each_slot(*this, [&](std::uint32_t slot) {
        used.insert(slot);
        return true;
    });
    std::uint32_t slot = 0;
    while (used.contains(slot)) ++slot;
    return slot;
}

bool VolumeState::uses_slot(std::uint32_t wanted) const {
    return !each_slot(*this, [&](std::uint32_t slot) { return slot != wanted; });
}

std::string VolumeState::problem() const {
    if (size == 0 || size % 512 != 0) return "impossible size";
    if (!is_power_of_two(region_size) || region_size < 4096) return "impossible region size";
    if (!is_power_of_two(extent_size) || extent_size < region_size) return "impossible extent size";
    if (log_slots == 0 || log_slots > 4000) return "impossible activity log size";
    if (!is_name(name) || !is_name(group)) return "impossible name";
    if (auto text = plex_problem(*this); !text.empty()) return text;
    if (auto text = snapshot_problem(*this); !text.empty()) return text;
    if (auto text = restore_problem(*this); !text.empty()) return text;
    std::set<std::uint32_t> used;
    const bool distinct = each_slot(*this, [&](std::uint32_t slot) { return used.insert(slot).second; });
    if (!distinct) return "two maps in one slot";
    return {};
}

const char* plex_state_name(PlexState state) {
    switch (state) {
        case PlexState::stale: return "stale";
        case PlexState::syncing: return "syncing";
        case PlexState::in_sync: return "in_sync";
        case PlexState::splitting: return "splitting";
        case PlexState::split: return "split";
        case PlexState::resyncing: return "resyncing";
        case PlexState::failed: return "failed";
        case PlexState::detached: return "detached";
    }
    return "unknown";
}

bool is_name(const std::string& text) {
    if (text.empty() || text.size() > max_name_bytes || !is_word(text[0])) return false;
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return is_word(c) || c == '.' || c == '_' || c == '-'; });
}

}  // namespace exshadow
