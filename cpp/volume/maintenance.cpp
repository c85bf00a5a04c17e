// The activity log and the maps while the volume runs: unclean mark, eviction, merging of intervals.
#include <algorithm>

#include "volume/volume.h"

namespace exshadow {

// The first write of an opening: `unclean` is durable before it, and every member carries the new
// generation in its attribute (E7, E19). Whoever comes meanwhile waits here too. After an unclean stop
// the mark is there already, but a member may still lack the attribute.
Task<Status> Volume::become_unclean() {
    const auto guard = co_await unclean_mutex_.lock();
    if (unclean_durable_) co_return Status{};
    EXSHADOW_CO_TRY(write_refusal());
    if (state_.clean) {
        const std::uint64_t tag = state_.generation + 1;
        for (const auto& plex : members()) {
            PlexRecord* const record = state_.find_plex(plex->uuid);
            if (record->tag == 0) continue;  // the file system keeps no attributes
            record->previous_tag = record->tag;
            record->tag = tag;
        }
        state_.clean = false;
        auto committing = commit();
        EXSHADOW_CO_TRY(co_await std::move(committing));  // else read-only from here on
    }
    for (const auto& plex : members()) {
        const std::uint64_t tag = state_.find_plex(plex->uuid)->tag;
        if (tag != 0) static_cast<void>(write_tag(*plex->device, state_.uuid, plex->uuid, tag));
    }
    // Durable before the first write, or a power cut would make every member look like an older copy.
    auto flushing = flush_plexes(members());
    EXSHADOW_CO_TRY(co_await std::move(flushing));
    unclean_durable_ = true;
    co_return Status{};
}

Task<Status> Volume::commit(std::uint32_t maps_digest) {
    if (metadata_error_) co_return *metadata_error_;
    state_.maps_digest = maps_digest;
    committed_ = true;
    auto committing = superblocks_->commit(state_);
    const Status status = co_await std::move(committing);
    if (!status.ok()) fail_metadata(status.error());
    co_return status;
}

Task<Status> Volume::persist(std::vector<std::shared_ptr<StoredMap>> maps) {
    if (metadata_error_) co_return *metadata_error_;
    if (!committed_) {
        // Sequences of map blocks grow with the generation: it must have grown in this opening.
        auto committing = commit();
        EXSHADOW_CO_TRY(co_await std::move(committing));
    }
    auto persisting = maps_->persist(std::move(maps));
    const Status status = co_await std::move(persisting);
    if (!status.ok()) fail_metadata(status.error());
    co_return status;
}

// Every map a mark may stand in: without snapshots nobody will ever ask the intervals.
Task<Status> Volume::persist_maps() {
    std::vector<std::shared_ptr<StoredMap>> maps;
    if (!state_.snapshots.empty()) {
        maps = intervals_;
        if (merging_) maps.push_back(merging_);
    }
    if (restore_map_) maps.push_back(restore_map_);
    if (starting_map_ && options_.orders.keeps(Order::e26_map_durable_before_commit))
        maps.push_back(starting_map_);
    if (starting_interval_) maps.push_back(starting_interval_);
    for (const auto& plex : plexes_) {
        if (plex->sync_map) maps.push_back(plex->sync_map);
    }
    return persist(std::move(maps));
}

// Metadata can no longer be written: no mode goes on without tracking (E20).
void Volume::fail_metadata(const Error& error) {
    if (metadata_error_ || !options_.orders.keeps(Order::e20_metadata_failure_is_final)) return;
    metadata_error_ = error;
    say("the volume is read-only from now on: " + error.message());
    log_->fail(error);
    departed_.notify();
}

void Volume::start_eviction() {
    if (evicting_ || (!log_->needs_eviction() && !log_->starved())) return;
    evicting_ = true;
    background_.spawn(evict());
}

// Makes room in the activity log ahead of need (E14).
Task<void> Volume::evict() {
    while ((log_->needs_eviction() || log_->starved()) && write_refusal().ok()) {
        const auto extents = log_->begin_eviction(std::max<std::size_t>(state_.log_slots / 4, 1));
        if (extents.empty()) break;  // all in use: the next release starts this again
        if (options_.orders.keeps(Order::e14_flush_before_eviction)) {
            auto flushing = flush_plexes(flush_targets());
            const Status flushed = co_await std::move(flushing);
            if (!flushed.ok()) break;
        }
        if (options_.orders.keeps(Order::e14_maps_before_eviction)) {
            auto persisting = persist_maps();
            const Status persisted = co_await std::move(persisting);
            if (!persisted.ok()) break;
        }
        auto recording = departures_recorded();
        const Status recorded = co_await std::move(recording);
        if (!recorded.ok()) break;
        log_->finish_eviction(extents);
    }
    evicting_ = false;
    if (const Status refusal = write_refusal(); !refusal.ok()) log_->fail(refusal.error());
}

bool Volume::anchors(std::uint64_t interval) const {
    return std::any_of(state_.snapshots.begin(), state_.snapshots.end(),
                       [&](const SnapshotRecord& snapshot) { return snapshot.anchor == interval; });
}

Task<void> Volume::merge_slowly(ChangeMap& target, const ChangeMap& source) {
    std::uint64_t cursor = 0;
    while (!target.merge_step(source, cursor)) co_await loop_.yield();
}

// An interval that no snapshot starts belongs to the one before it; the oldest such is nobody's (E15).
// The caller holds structure_mutex_.
Task<Status> Volume::merge_lost_intervals() {
    for (std::size_t index = intervals_.size(); index-- > 0;) {
        if (anchors(intervals_[index]->ref.id)) continue;
        if (index > 0) {
            auto merging = merge_one_interval(index);
            EXSHADOW_CO_TRY(co_await std::move(merging));
        } else if (intervals_.size() > 1) {
            state_.intervals.erase(state_.intervals.begin());
            intervals_.erase(intervals_.begin());
            auto committing = commit();
            EXSHADOW_CO_TRY(co_await std::move(committing));
        }
    }
    co_return Status{};
}

Task<Status> Volume::merge_one_interval(std::size_t index) {
    // Taken out in one turn: were it the current one, the one before it is current from here on. It stays
    // among the maps that persist_maps() writes until everything of it is durable in the other.
    const auto at = static_cast<std::ptrdiff_t>(index);
    const std::shared_ptr<StoredMap> lost = intervals_[index];
    const std::shared_ptr<StoredMap> target = intervals_[index - 1];
    intervals_.erase(intervals_.begin() + at);
    merging_ = lost;
    Status status;
    if (options_.orders.keeps(Order::e15_merge_interval_of_lost_snapshot)) {
        auto merging = merge_slowly(target->bits, lost->bits);
        co_await std::move(merging);
        auto persisting = persist({target});
        status = co_await std::move(persisting);
    }
    if (status.ok()) {
        state_.intervals.erase(state_.intervals.begin() + at);
        auto committing = commit();
        status = co_await std::move(committing);
    } else {
        intervals_.insert(intervals_.begin() + at,
                          lost);  // read-only from now on, but differences stay known
    }
    merging_.reset();
    co_return status;
}

void Volume::say(std::string text) {
    events_.push_back({loop_.wall_clock_ns(), std::move(text)});
}

}  // namespace exshadow
