// Who is in the mirror: leaving, choosing the authority, recording it durably (E1-E6).
#include <algorithm>

#include "volume/volume.h"

namespace exshadow {

Volume::PlexPointer Volume::find(const Uuid& plex) const {
    for (const auto& candidate : plexes_) {
        if (candidate->uuid == plex) return candidate;
    }
    return nullptr;
}

Volume::PlexPointer Volume::find(const std::string& label) const {
    for (const auto& candidate : plexes_) {
        if (candidate->label == label) return candidate;
    }
    return nullptr;
}

Volume::PlexPointer Volume::authority() const {
    const PlexPointer plex = find(state_.authority);
    EXSHADOW_CHECK(plex != nullptr);
    return plex;
}

Volume::PlexList Volume::members() const {
    PlexList list;
    for (const auto& plex : plexes_) {
        if (plex->is_member()) list.push_back(plex);
    }
    return list;
}

std::size_t Volume::member_count() const {
    return static_cast<std::size_t>(std::count_if(plexes_.begin(), plexes_.end(),
                                                  [](const PlexPointer& plex) { return plex->is_member(); }));
}

// Every plex whose unflushed writes an extent of the log may still stand for (E14).
Volume::PlexList Volume::flush_targets() const {
    PlexList list;
    for (const auto& plex : plexes_) {
        const bool leaving = plex->state == PlexState::splitting && !plex->sync_map && plex->device;
        if (plex->is_member() || plex->receiving || leaving) list.push_back(plex);
    }
    return list;
}

// From now on every write marks it; what may be unfinished or unflushed there is marked at once (E2).
void Volume::start_sync_map(Plex& plex) {
    const PlexRecord* const record = state_.find_plex(plex.uuid);
    EXSHADOW_CHECK(record != nullptr && record->slot != MapRef::no_slot);
    plex.sync_map = maps_->start(new_map_ref(record->slot));
    if (restore_map_)
        plex.sync_map->bits.merge(restore_map_->bits);  // what the restore still moves, or has not flushed
    if (!options_.orders.keeps(Order::e2_departed_map_has_active_extents)) return;
    for (const auto extent : log_->active()) plex.sync_map->bits.mark(log_->extent_range(extent));
}

// No flush of an eviction reaches it any more: what live writes put there and nobody flushed, all of it in
// active extents, counts as missing (E2).
void Volume::stop_receiving(Plex& plex) {
    if (!plex.receiving) return;
    plex.receiving = false;
    for (const auto extent : log_->active()) {
        plex.sync_map->bits.mark(log_->extent_range(extent));
        if (plex.todo) plex.todo->mark(log_->extent_range(extent));
    }
}

// In memory at once, durably before anything more is answered (departures_recorded).
void Volume::depart(PlexPointer plex, PlexState to, const std::string& why) {
    EXSHADOW_CHECK(plex->is_member() && members().size() > 1);
    plex->state = to;
    start_sync_map(*plex);
    if (PlexRecord* const record = state_.find_plex(plex->uuid)) {
        record->note = why.substr(0, 180);
        if (!state_.clean) record->identity.forget_contents();
    }
    say("plex " + plex->label + " left the mirror: " + why);
    if (plex->uuid == state_.authority) choose_authority();
    for (const auto& weak : fans_) {
        if (const auto fan = weak.lock()) fan->abandon(*plex);
    }
    if (departures_pending_++ == 0) background_.spawn(record_departures());
}

// A split was prepared and its turn has not come: the plex has every write, so it stays what it is. The
// next superblock says so together with whatever made that necessary.
void Volume::forget_prepared_split(PlexRecord& record) {
    record.state = PlexState::in_sync;
    std::erase_if(state_.snapshots, [&](const SnapshotRecord& snapshot) {
        return snapshot.plex == record.uuid && snapshot.state == SetState::preparing;
    });
}

// The member that was in sync longest, one that is about to be split off last of all; requests under way may
// be on the old authority only (E3).
void Volume::choose_authority(const Plex* except) {
    PlexRecord* best = nullptr;
    for (const auto& plex : members()) {
        if (plex.get() == except) continue;
        PlexRecord* const record = state_.find_plex(plex->uuid);
        const bool leaving = record->state == PlexState::splitting;
        if (best != nullptr && leaving && best->state != PlexState::splitting) continue;
        const bool better = best != nullptr && !leaving && best->state == PlexState::splitting;
        if (best == nullptr || better || record->joined < best->joined) best = record;
    }
    EXSHADOW_CHECK(best != nullptr);
    if (best->state == PlexState::splitting) forget_prepared_split(*best);
    state_.authority = best->uuid;
    for (auto* request = lock_.first(); request != nullptr; request = request->next) {
        if (!request->client || request->unsettled) continue;
        request->unsettled = true;
        ++unsettled_;
    }
}

Task<void> Volume::record_departures() {
    while (departures_pending_ != 0 && !metadata_error_) {
        const std::uint32_t handled = departures_pending_;
        std::vector<std::shared_ptr<StoredMap>> started;
        for (const auto& plex : plexes_) {
            const PlexRecord* const record = state_.find_plex(plex->uuid);
            if (plex->sync_map && record->sync_map_id != plex->sync_map->ref.id)
                started.push_back(plex->sync_map);
        }
        auto persisting = persist(started);
        const Status persisted = co_await std::move(persisting);
        if (!persisted.ok()) break;
        for (const auto& plex : plexes_) {
            PlexRecord* const record = state_.find_plex(plex->uuid);
            if (!plex->sync_map || record->sync_map_id == plex->sync_map->ref.id) continue;
            if (std::find(started.begin(), started.end(), plex->sync_map) == started.end()) continue;
            record->sync_map_id = plex->sync_map->ref.id;
            if (record->state == PlexState::in_sync) record->state = plex->state;
        }
        auto committing = commit();
        const Status committed = co_await std::move(committing);
        if (!committed.ok()) break;
        departures_pending_ -= handled;
        departed_.notify();
    }
    departed_.notify();
}

Task<Status> Volume::departures_recorded() {
    while (departures_pending_ != 0 && !metadata_error_) co_await departed_.wait();
    if (metadata_error_) co_return *metadata_error_;
    co_return Status{};
}

// An old write or flush failed on a plex that is being split off: the set will roll back (E23, E24). Until
// then it is tracked like any plex that left, so that nothing it lacks is forgotten.
void Volume::leave_broken(Plex& plex, const Error& why) {
    if (plex.leave_error || !options_.orders.keeps(Order::e23_old_failure_rolls_back)) return;
    plex.leave_error = why;
    start_sync_map(plex);
    plex.sync_map->bits.merge(current_interval().bits);
    say("plex " + plex.label + " failed while it was split off: " + why.message());
    for (const auto& weak : fans_) {
        if (const auto fan = weak.lock()) fan->abandon(plex);
    }
    if (departures_pending_++ == 0) background_.spawn(record_departures());
}

Task<void> Volume::wait_idle(PlexPointer plex) {
    const bool waits = options_.orders.keeps(Order::e6_back_when_idle);
    while (plex->in_flight != 0 && waits) co_await idle_.wait();
}

Task<Status> Volume::close_device(PlexPointer plex, bool flush_first) {
    auto waiting = wait_idle(plex);
    co_await std::move(waiting);
    Status status;
    if (plex->device && flush_first) {
        auto flushing = plex->device->flush();
        status = co_await std::move(flushing);
    }
    plex->device.reset();
    co_return status;
}

std::string Volume::new_label() const {
    for (int number = 1;; ++number) {
        const std::string label = "p" + std::to_string(number);
        if (find(label) == nullptr) return label;
    }
}

Result<std::uint32_t> Volume::take_slot() const {
    const std::uint32_t slot = state_.free_slot();
    if (slot < format::max_map_slots) return slot;
    return Error(Code::refused, "the volume file has no room for another change map",
                 "delete or resync snapshots that are no longer needed");
}

}  // namespace exshadow
