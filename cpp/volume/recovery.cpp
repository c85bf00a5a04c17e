// After an unclean stop: what may be unfinished counts as changed everywhere, splits that were not
// committed are undone, active extents are made equal on all members (E3, E19, E24). Every step can be
// interrupted and repeated; open() answers when it is done.
#include <cstring>

#include "volume/volume.h"

namespace exshadow {

namespace {
constexpr std::uint64_t reconcile_bytes = MiB;
}

std::vector<std::uint32_t> Volume::every_extent() const {
    std::vector<std::uint32_t> all(divide_up(state_.size, state_.extent_size));
    for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
    return all;
}

void Volume::count_as_changed(Range range) {
    for (const auto& interval : intervals_) interval->bits.mark(range);
    if (starting_interval_) starting_interval_->bits.mark(range);
    // A copy restore: nobody reconciles these, it copies them. The map of an instant one is no change map:
    // what clients wrote since would be lost (E25).
    const bool copies = !is_moving() || !options_.orders.keeps(Order::e25_active_extents_not_in_restore_map);
    if (restore_map_ && copies) restore_map_->bits.mark(range);
    if (redirect_ && copies) redirect_->unmoved.mark(range);
    for (const auto& plex : plexes_) {
        if (plex->sync_map) plex->sync_map->bits.mark(range);
    }
}

Task<Status> Volume::recover(std::vector<std::uint32_t> extents) {
    if (options_.orders.keeps(Order::e19_active_extents_count_as_changed)) {
        for (const auto extent : extents) count_as_changed(log_->extent_range(extent));
    }
    auto settling = settle_interrupted();
    EXSHADOW_CO_TRY(co_await std::move(settling));
    if (extents.empty() && !accepted_) co_return Status{};
    if (options_.orders.keeps(Order::e19_reconcile_active_extents) && !is_restoring()) {
        for (const auto extent : extents) {
            auto reconciling = reconcile(log_->extent_range(extent));
            EXSHADOW_CO_TRY(co_await std::move(reconciling));
        }
    }
    auto flushing = flush_plexes(members());
    EXSHADOW_CO_TRY(co_await std::move(flushing));
    auto persisting = persist_maps();
    EXSHADOW_CO_TRY(co_await std::move(persisting));
    auto recording = departures_recorded();
    EXSHADOW_CO_TRY(co_await std::move(recording));
    auto emptying = log_->write_now();
    EXSHADOW_CO_TRY(co_await std::move(emptying));
    if (!extents.empty())
        say(std::to_string(extents.size()) + " active extent(s) reconciled after an unclean stop");
    co_return Status{};
}

// Copies what differs from the authority to the other members.
Task<Status> Volume::reconcile(Range extent) {
    std::vector<std::byte> truth(std::min(reconcile_bytes, extent.length));
    std::vector<std::byte> other(truth.size());
    while (!extent.empty() && members().size() > 1) {
        const std::uint64_t length = std::min<std::uint64_t>(truth.size(), extent.length);
        const PlexPointer source = authority();
        auto reading = source->device->read(extent.offset, std::span(truth).first(length));
        const Status read = co_await std::move(reading);
        if (!read.ok()) {
            depart(source, PlexState::failed, read.error().message());
            auto recording = departures_recorded();
            EXSHADOW_CO_TRY(co_await std::move(recording));
            continue;
        }
        for (const auto& plex : members()) {
            if (plex == source || !plex->is_member()) continue;
            auto comparing = plex->device->read(extent.offset, std::span(other).first(length));
            Status status = co_await std::move(comparing);
            if (status.ok() && std::memcmp(truth.data(), other.data(), length) == 0) continue;
            auto writing = plex->device->write(extent.offset, std::span(truth).first(length));
            status = co_await std::move(writing);
            if (!status.ok() && plex->is_member()) depart(plex, PlexState::failed, status.error().message());
        }
        extent = {extent.offset + length, extent.length - length};
    }
    co_return Status{};
}

// What was under way when the engine stopped.
Task<Status> Volume::settle_interrupted() {
    bool changed = false;
    for (const auto& plex : plexes_) {
        const auto state = next_state(plex->state, PlexEvent::interrupt);
        if (!state) continue;
        plex->state = *state;
        PlexRecord& record = *state_.find_plex(plex->uuid);
        record.state = *state;
        if (record.note.empty()) record.note = "its copy was interrupted";
        changed = true;
    }
    if (state_.starting && state_.starting->state == SetState::preparing) {  // no client ever saw it
        state_.starting.reset();
        changed = true;
    }
    std::vector<Uuid> undecided;
    for (auto& snapshot : state_.snapshots) {
        if (snapshot.state == SetState::preparing) {
            undecided.push_back(snapshot.set_id);
        } else if (snapshot.state == SetState::ready && snapshot.members.size() < 2) {
            snapshot.state = SetState::committed;
            set_plex_state(*find(snapshot.plex), PlexState::split);
            changed = true;
        }
    }
    if (changed) {
        auto committing = commit();
        EXSHADOW_CO_TRY(co_await std::move(committing));
    }
    for (const auto& set_id : undecided) {
        auto rolling = roll_back_split(set_id);
        EXSHADOW_CO_TRY(co_await std::move(rolling));
    }
    auto merging = merge_lost_intervals();
    co_return co_await std::move(merging);
}

void Volume::set_plex_state(Plex& plex, PlexState state) {
    plex.state = state;
    state_.find_plex(plex.uuid)->state = state;
}

Task<Status> Volume::roll_back_split(Uuid set_id) {
    const SnapshotRecord snapshot = *state_.find_snapshot(set_id);
    const PlexPointer plex = find(snapshot.plex);
    StoredMap& opened = current_interval();
    if (!plex->sync_map) start_sync_map(*plex);
    // Later splits may have closed the interval that this one opened.
    const std::uint64_t anchor = snapshot.state == SetState::preparing ? opened.ref.id : snapshot.anchor;
    auto merging = merge_difference(plex->sync_map->bits, anchor);
    co_await std::move(merging);
    // Everything that is written from here on marks the sync map as well: start_sync_map() saw to that.
    auto persisting = persist({plex->sync_map});
    EXSHADOW_CO_TRY(co_await std::move(persisting));
    set_plex_state(*plex, PlexState::stale);
    PlexRecord& record = *state_.find_plex(plex->uuid);
    record.sync_map_id = plex->sync_map->ref.id;
    record.note =
        plex->leave_error ? plex->leave_error->message().substr(0, 180) : "its split was rolled back";
    std::erase_if(state_.snapshots, [&](const SnapshotRecord& other) { return other.set_id == set_id; });
    // The opened interval joins the list, so that it is merged like any interval without snapshot.
    if (state_.intervals.size() < intervals_.size()) state_.intervals.push_back({opened.ref});
    auto committing = commit();
    EXSHADOW_CO_TRY(co_await std::move(committing));
    say("split " + snapshot.label + " was rolled back; plex " + plex->label + " is stale");
    auto closing = close_device(plex, false);
    static_cast<void>(co_await std::move(closing));
    plex->leave_error.reset();
    auto merging_intervals = merge_lost_intervals();
    co_return co_await std::move(merging_intervals);
}

Task<Status> Volume::commit_split(Uuid set_id) {
    SnapshotRecord* const snapshot = state_.find_snapshot(set_id);
    snapshot->state = SetState::committed;
    set_plex_state(*find(snapshot->plex), PlexState::split);
    auto committing = commit();
    co_return co_await std::move(committing);
}

}  // namespace exshadow
