// Restore by copy: production becomes the snapshot again by copying only what differs (E16).
//
// Start: the whole difference is durable in a restore map and marked in the current interval; one
// superblock then names the restore, opens a new interval and anchors the snapshot there. From here until
// every bit is cleared production takes no client I/O; a crash resumes where it was. The restore map's
// safe side is "all": the snapshot is a whole copy and nobody writes meanwhile.
#include "volume/copier.h"
#include "volume/volume.h"

namespace exshadow {

Task<Status> Volume::restore(std::string label, std::uint64_t limit, std::shared_ptr<Job> job) {
    const Scope scope(*this, job);
    EXSHADOW_CO_TRY(check_operation());
    if (has_other_jobs(job.get())) {
        co_return Error(Code::busy, "volume " + state_.name + " is being copied to or from",
                        "wait for the job or cancel it");
    }
    auto snapshot = usable_snapshot(label);
    if (!snapshot.ok()) co_return snapshot.error();
    const PlexPointer plex = find((*snapshot)->plex);
    auto stopping = stop_mover();
    co_await std::move(stopping);
    if (plex->busy) co_return Error(Code::busy, "snapshot '" + label + "' is being worked on");
    ++plex->busy;
    // The same restore again continues where it stopped; another set starts anew and covers its rest.
    const bool continues = is_restoring() && state_.restore->plex == plex->uuid;
    Status status;
    if (!continues) {
        auto beginning = begin_restore(label, plex);
        status = co_await std::move(beginning);
    }
    if (status.ok()) {
        auto running = run_restore(limit, job);
        status = co_await std::move(running);
    }
    --plex->busy;
    co_return status;
}

Task<Status> Volume::continue_restore(std::uint64_t limit, std::shared_ptr<Job> job) {
    const Scope scope(*this, job);
    EXSHADOW_CO_TRY(check_operation());
    if (is_moving()) {
        auto moving = move_restored(limit, job);
        co_return co_await std::move(moving);
    }
    if (!state_.restore) co_return Error(Code::refused, "volume " + state_.name + " is not being restored");
    const PlexPointer plex = find(state_.restore->plex);
    if (!plex || plex->busy) co_return Error(Code::busy, "the snapshot is being worked on");
    ++plex->busy;
    auto running = run_restore(limit, job);
    const Status status = co_await std::move(running);
    --plex->busy;
    co_return status;
}

Task<Status> Volume::begin_restore(std::string label, PlexPointer plex) {
    const auto guard = co_await structure_mutex_.lock();
    EXSHADOW_CO_TRY(check_operation());
    auto snapshot = usable_snapshot(label);
    if (!snapshot.ok()) co_return snapshot.error();
    auto opening = open_restore_source(plex);
    EXSHADOW_CO_TRY(co_await std::move(opening));
    if (!unclean_durable_) {
        auto marking = become_unclean();
        EXSHADOW_CO_TRY(co_await std::move(marking));
    }
    if (has_other_jobs(nullptr) &&
        running_jobs_.size() > 1) {  // began while this one waited; none begins while clients are paused
        co_return Error(Code::busy, "volume " + state_.name + " is being copied to or from",
                        "wait for the job or cancel it");
    }
    paused_ = true;
    auto waiting = wait_for_old_requests(epoch_);
    co_await std::move(waiting);
    auto starting = start_restore(plex, (*snapshot)->set_id);
    const Status status = co_await std::move(starting);
    paused_ = false;
    request_done_.notify();
    co_return status;
}

// The copy must still be what was split off: restoring from anything else would be a lie (E7).
Task<Status> Volume::open_restore_source(PlexPointer plex) {
    auto idle = wait_idle(plex);
    co_await std::move(idle);
    plex->device.reset();
    auto opening = open_snapshot_device(plex);
    EXSHADOW_CO_TRY(co_await std::move(opening));
    auto judging = distrust(plex, false);
    const std::string why = co_await std::move(judging);
    if (why.empty()) co_return Status{};
    if (!options_.force) {
        co_return Error(Code::mismatch,
                        "snapshot plex " + plex->label + " is not as it was split off: " + why,
                        "restore from another snapshot, or take the copy as it is now with --force");
    }
    say("plex " + plex->label + " " + why + ": restored as it is now, everything is compared");
    state_.find_plex(plex->uuid)->needs_compare = true;
    co_return Status{};
}

// No client request is under way and none starts.
Task<Status> Volume::start_restore(PlexPointer plex, Uuid set_id) {
    const std::uint64_t anchor = state_.find_snapshot(set_id)->anchor;
    const auto interval_slot = take_slot();
    if (!interval_slot.ok()) co_return interval_slot.error();
    auto creating = maps_->create(new_map_ref(*interval_slot));
    auto interval = co_await std::move(creating);
    if (!interval.ok()) co_return interval.error();
    // The slot is taken once the interval stands in the list; until then the next free one is behind it.
    std::uint32_t map_slot = *interval_slot + 1;
    while (state_.uses_slot(map_slot)) ++map_slot;
    if (map_slot >= format::max_map_slots)
        co_return Error(Code::refused, "the volume file has no room for the restore map");
    auto creating_map = maps_->create(new_map_ref(map_slot));
    auto created_map = co_await std::move(creating_map);
    if (!created_map.ok()) co_return created_map.error();
    const std::shared_ptr<StoredMap> map = std::move(created_map).value();

    if (state_.find_plex(plex->uuid)->needs_compare || (redirect_ && redirect_->broken)) {
        map->bits.mark_all();
    } else {
        if (restore_map_) {  // or what another restore has not moved yet
            auto merging = merge_slowly(map->bits, restore_map_->bits);
            co_await std::move(merging);
        }
        auto merging = merge_difference(map->bits, anchor);
        co_await std::move(merging);
    }
    if (options_.orders.keeps(Order::e16_restore_marks_difference)) {
        auto merging = merge_slowly(current_interval().bits, map->bits);
        co_await std::move(merging);
    }
    for (const auto& other : plexes_) {
        if (!other->sync_map) continue;
        auto merging = merge_slowly(other->sync_map->bits, map->bits);
        co_await std::move(merging);
    }
    auto persisting = persist_maps();
    EXSHADOW_CO_TRY(co_await std::move(persisting));
    auto persisting_map = persist({map});
    EXSHADOW_CO_TRY(co_await std::move(persisting_map));

    const auto settled =
        co_await moved_mutex_.lock();  // nobody writes the map of an instant restore any more
    state_.mode = VolumeMode::restoring;
    state_.restore = RestoreRecord{plex->uuid, map->ref};
    state_.intervals.push_back({(*interval)->ref});
    state_.find_snapshot(set_id)->anchor = (*interval)->ref.id;
    intervals_.push_back(std::move(interval).value());
    restore_map_ = map;
    for (const auto& other : plexes_) {
        if (other->sync_map) other->sync_map->bits.merge(map->bits);  // left the mirror meanwhile
    }
    auto committing = commit();
    EXSHADOW_CO_TRY(co_await std::move(committing));
    redirect_.reset();
    auto merging = merge_lost_intervals();
    co_return co_await std::move(merging);
}

Task<Status> Volume::run_restore(std::uint64_t limit, std::shared_ptr<Job> job) {
    const PlexPointer plex = find(state_.restore->plex);
    if (!plex->device) {
        auto opening = open_restore_source(plex);
        EXSHADOW_CO_TRY(co_await std::move(opening));
    }
    if (!unclean_durable_) {
        auto marking = become_unclean();
        EXSHADOW_CO_TRY(co_await std::move(marking));
    }
    const bool compare = state_.find_plex(plex->uuid)->needs_compare;
    if (compare) job->set_note("everything is compared: the copy is not as it was split off");
    while (!restore_map_->bits.empty()) {
        ChangeMap todo(state_.size, state_.region_size);
        todo.merge(restore_map_->bits);
        CopyPlan plan;
        plan.source = plex;
        plan.todo = &todo;
        plan.durable = restore_map_;
        plan.compare = compare;
        plan.limit = limit;
        Copier copier(*this, std::move(plan), job);
        auto copying = copier.run();
        EXSHADOW_CO_TRY(co_await std::move(copying));
    }
    auto flushing = flush_plexes(members());
    EXSHADOW_CO_TRY(co_await std::move(flushing));
    // Clients wait for the superblock: after a crash before it the restore would go over their writes.
    paused_ = true;
    state_.mode = VolumeMode::normal;
    state_.restore.reset();
    state_.find_plex(plex->uuid)->needs_compare = false;
    auto committing = commit();
    const Status committed = co_await std::move(committing);
    if (committed.ok()) restore_map_.reset();
    paused_ = false;
    request_done_.notify();
    co_return committed;
}

}  // namespace exshadow
