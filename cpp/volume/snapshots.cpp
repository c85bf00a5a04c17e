// Snapshots of one volume: what differs, reading, promotion, deletion (E15, E16). How they come to be is
// in group.cpp.
#include <algorithm>

#include "volume/volume.h"

namespace exshadow {

Result<SnapshotRecord*> Volume::usable_snapshot(const std::string& label) {
    SnapshotRecord* const snapshot = state_.find_snapshot(label);
    if (snapshot == nullptr) {
        return Error(Code::not_found, "volume " + state_.name + " has no snapshot '" + label + "'");
    }
    if (snapshot->state == SetState::committed) return snapshot;
    return Error(Code::refused, "snapshot '" + label + "' of volume " + state_.name + " is in doubt",
                 "open all volumes of its set together, then it is decided");
}

// The intervals from `anchor` on; those of a snapshot that is in doubt count too.
std::vector<const ChangeMap*> Volume::intervals_since(std::uint64_t anchor) const {
    std::vector<const ChangeMap*> list;
    bool found = false;
    for (const auto& interval : intervals_) {
        found = found || interval->ref.id == anchor;
        if (found) list.push_back(&interval->bits);
    }
    EXSHADOW_CHECK(found);
    return list;
}

// OR of all that may differ between production and the snapshot that starts at `anchor`. The caller holds
// structure_mutex_, so that no interval goes away meanwhile.
Task<void> Volume::merge_difference(ChangeMap& into, std::uint64_t anchor) {
    for (const ChangeMap* const interval : intervals_since(anchor)) {
        auto merging = merge_slowly(into, *interval);
        co_await std::move(merging);
    }
    if (!is_restoring()) co_return;
    auto merging = merge_slowly(into, restore_map_->bits);
    co_await std::move(merging);
}

std::uint64_t Volume::changed_bytes(const SnapshotRecord& snapshot) const {
    if (state_.interval_index(snapshot.anchor) == state_.intervals.size()) return 0;
    const auto since = intervals_since(snapshot.anchor);
    if (since.size() == 1 && !is_restoring()) return since.front()->marked_bytes();
    ChangeMap all(state_.size, state_.region_size);
    for (const ChangeMap* const interval : since) all.merge(*interval);
    if (is_restoring()) all.merge(restore_map_->bits);
    return all.marked_bytes();
}

Task<Result<Ranges>> Volume::changed(std::string label, std::optional<std::string> since) {
    const Scope scope(*this);
    const auto guard = co_await structure_mutex_.lock();
    auto snapshot = usable_snapshot(label);
    if (!snapshot.ok()) co_return snapshot.error();
    ChangeMap all(state_.size, state_.region_size);
    if (!since) {
        auto merging = merge_difference(all, (*snapshot)->anchor);
        co_await std::move(merging);
        co_return all.runs();
    }
    auto other = usable_snapshot(*since);
    if (!other.ok()) co_return other.error();
    // Between two snapshots lie the intervals from the older anchor up to the younger one.
    std::size_t first = state_.interval_index((*snapshot)->anchor);
    std::size_t last = state_.interval_index((*other)->anchor);
    if (first > last) std::swap(first, last);
    for (std::size_t i = first; i < last; ++i) {
        auto merging = merge_slowly(all, intervals_[i]->bits);
        co_await std::move(merging);
    }
    co_return all.runs();
}

// Of one range; many may be asked one after the other (NBD block status), so it costs that range only.
Task<Result<Ranges>> Volume::changed_within(std::string label, Range range) {
    const Scope scope(*this);
    const auto guard = co_await structure_mutex_.lock();
    auto snapshot = usable_snapshot(label);
    if (!snapshot.ok()) co_return snapshot.error();
    if (range.empty()) co_return Ranges{};
    ChangeWindow window(state_.size, state_.region_size, range);
    for (const ChangeMap* const interval : intervals_since((*snapshot)->anchor)) window.merge(*interval);
    if (is_restoring()) window.merge(restore_map_->bits);
    co_return window.runs();
}

Task<Status> Volume::open_snapshot_device(PlexPointer plex) {
    if (plex->device) co_return Status{};
    const PlexRecord& record = *state_.find_plex(plex->uuid);
    auto device = open_plex_for_reading(loop_, record.path);
    if (!device.ok()) co_return device.error().within("snapshot plex " + plex->label);
    if ((*device)->size() != state_.size) {
        co_return Error(Code::mismatch,
                        "snapshot plex " + plex->label + " has another size than the volume now");
    }
    plex->device = std::move(device).value();
    co_return Status{};
}

Task<Result<Volume::PlexPointer>> Volume::readable_plex(std::string label) {
    if (closing_ || closed_) co_return Error(Code::closed, "volume " + state_.name + " is closed");
    auto snapshot = usable_snapshot(label);
    if (!snapshot.ok()) co_return snapshot.error();
    PlexPointer plex = find((*snapshot)->plex);
    auto opening = open_snapshot_device(plex);
    EXSHADOW_CO_TRY(co_await std::move(opening));
    co_return plex;
}

Task<Status> Volume::read_snapshot(std::string label, std::uint64_t offset, std::span<std::byte> buffer) {
    const Scope scope(*this);
    auto opening = readable_plex(std::move(label));
    const auto plex = co_await std::move(opening);
    if (!plex.ok()) co_return plex.error();
    auto reading = read_plex(*plex, offset, buffer);
    co_return co_await std::move(reading);
}

Task<Result<std::vector<Extent>>> Volume::snapshot_extents(std::string label, Range range) {
    const Scope scope(*this);
    auto opening = readable_plex(std::move(label));
    const auto plex = co_await std::move(opening);
    if (!plex.ok()) co_return plex.error();
    auto asking = plex_extents(*plex, range);
    co_return co_await std::move(asking);
}

Task<Status> Volume::annotate_snapshot(std::string label, std::function<void(SnapshotRecord&)> change) {
    const Scope scope(*this);
    if (closing_ || closed_) co_return Error(Code::closed, "volume " + state_.name + " is closed");
    const auto guard = co_await structure_mutex_.lock();
    auto snapshot = usable_snapshot(label);
    if (!snapshot.ok()) co_return snapshot.error();
    change(**snapshot);
    auto committing = commit();
    co_return co_await std::move(committing);
}

// A snapshot that production is being restored from must stay.
Status Volume::check_not_source(const Plex& plex, const std::string& label) const {
    if (!state_.restore || state_.restore->plex != plex.uuid) return {};
    return Error(Code::refused, "volume " + state_.name + " is being restored from snapshot '" + label + "'",
                 "finish the restore first: exshadow mirror sync " + state_.name);
}

// Forgets the snapshot; the file of its plex stays as it is.
Task<Status> Volume::delete_snapshot(std::string label) {
    const Scope scope(*this);
    if (closing_ || closed_) co_return Error(Code::closed, "volume " + state_.name + " is closed");
    EXSHADOW_CO_TRY(write_refusal());
    const auto guard = co_await structure_mutex_.lock();
    auto snapshot = usable_snapshot(label);
    if (!snapshot.ok()) co_return snapshot.error();
    const PlexPointer plex = find((*snapshot)->plex);
    EXSHADOW_CO_TRY(check_not_source(*plex, label));
    if (plex->busy) co_return Error(Code::busy, "snapshot '" + label + "' is being worked on");
    auto closing = close_device(plex, false);
    static_cast<void>(co_await std::move(closing));
    std::erase_if(state_.snapshots, [&](const SnapshotRecord& record) { return record.plex == plex->uuid; });
    std::erase_if(state_.plexes, [&](const PlexRecord& record) { return record.uuid == plex->uuid; });
    std::erase(plexes_, plex);
    auto committing = commit();
    EXSHADOW_CO_TRY(co_await std::move(committing));
    auto merging = merge_lost_intervals();
    co_return co_await std::move(merging);
}

Task<Status> Volume::promote(std::string label) {
    const Scope scope(*this);
    if (closing_ || closed_) co_return Error(Code::closed, "volume " + state_.name + " is closed");
    EXSHADOW_CO_TRY(lacks_production_ ? Status{} : write_refusal());
    const auto guard = co_await structure_mutex_.lock();
    auto snapshot = usable_snapshot(label);
    if (!snapshot.ok()) co_return snapshot.error();
    if (closing_) co_return Error(Code::closed, "volume " + state_.name + " is closed");
    // With production gone, the source of the restore is the way out.
    EXSHADOW_CO_TRY(lacks_production_ ? Status{} : check_not_moving());
    if (!running_jobs_.empty())
        co_return Error(Code::busy, "volume " + state_.name + " is being copied to or from",
                        "wait for the job or cancel it");
    const PlexPointer plex = find((*snapshot)->plex);
    if (plex->busy) co_return Error(Code::busy, "snapshot '" + label + "' is being worked on");
    paused_ = true;
    auto waiting = wait_for_old_requests(epoch_);
    co_await std::move(waiting);
    auto promoting = promote_plex(plex, **snapshot);
    const Status status = co_await std::move(promoting);
    paused_ = false;
    request_done_.notify();
    co_return status;
}

// No client request is under way. The copy takes production's place by one superblock; until then
// nothing has changed but marks, which harm nobody.
Task<Status> Volume::promote_plex(PlexPointer plex, SnapshotRecord snapshot) {
    auto idle = wait_idle(plex);
    co_await std::move(idle);
    plex->device.reset();
    auto device = open_plex(loop_, state_.find_plex(plex->uuid)->path, options_.force, options_.lock_wait);
    if (!device.ok()) co_return device.error().within("snapshot plex " + plex->label);
    if ((*device)->size() != state_.size) {
        co_return Error(Code::mismatch,
                        "snapshot plex " + plex->label + " has another size than the volume now");
    }
    plex->device = std::move(device).value();
    auto judging = distrust(plex, false);
    const std::string why = co_await std::move(judging);
    const bool unknown = !why.empty() || lacks_production_;
    if (!why.empty()) say("plex " + plex->label + " " + why + ": it becomes production as it is now");

    ChangeMap difference(state_.size, state_.region_size);
    if (unknown) {
        difference.mark_all();
    } else {
        auto merging = merge_difference(difference, snapshot.anchor);
        co_await std::move(merging);
    }
    PlexList replaced;
    for (const auto& other : plexes_) {
        if (other == plex || other->state == PlexState::split || other->state == PlexState::splitting)
            continue;
        if (!other->sync_map) start_sync_map(*other);
        auto merging = merge_slowly(other->sync_map->bits, difference);
        co_await std::move(merging);
        replaced.push_back(other);
    }
    auto merging = merge_slowly(current_interval().bits, difference);
    co_await std::move(merging);
    auto persisting = persist_maps();
    Status status = co_await std::move(persisting);
    auto identifying = read_identity(*plex->device);
    const Result<PlexIdentity> identity = co_await std::move(identifying);
    if (status.ok() && !identity.ok()) status = identity.error();
    if (!status.ok()) {
        for (const auto& other : replaced) {
            if (other->is_member()) other->sync_map.reset();
        }
        co_return status;
    }
    auto swapping = swap_production(plex, snapshot.set_id, replaced, *identity, unknown);
    co_return co_await std::move(swapping);
}

Task<Status> Volume::swap_production(PlexPointer plex, Uuid set_id, PlexList replaced, PlexIdentity identity,
                                     bool unknown) {
    for (const auto& other : replaced) {
        PlexRecord& record = *state_.find_plex(other->uuid);
        if (const auto state = next_state(record.state, PlexEvent::replace)) set_plex_state(*other, *state);
        record.sync_map_id = other->sync_map->ref.id;
        record.needs_compare = record.needs_compare || unknown;
        record.identity.recorded = false;
        record.note = "plex " + plex->label + " was promoted over it";
    }
    PlexRecord& record = *state_.find_plex(plex->uuid);
    set_plex_state(*plex, PlexState::in_sync);
    record.joined = state_.generation + 1;
    record.identity = identity;
    state_.authority = plex->uuid;
    state_.mode = VolumeMode::normal;
    state_.restore.reset();
    std::erase_if(state_.snapshots, [&](const SnapshotRecord& other) { return other.set_id == set_id; });
    auto committing = commit();
    EXSHADOW_CO_TRY(co_await std::move(committing));
    restore_map_.reset();
    redirect_.reset();
    lacks_production_ = false;
    block_size_ = std::max(block_size_, plex->device->block_size());
    for (const auto& other : replaced) {
        auto closing = close_device(other, false);
        static_cast<void>(co_await std::move(closing));
    }
    auto merging = merge_lost_intervals();
    co_return co_await std::move(merging);
}

}  // namespace exshadow
