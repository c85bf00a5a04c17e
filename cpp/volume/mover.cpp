// The mover of an instant restore: the copier fed with what is not moved yet; and the redirect's begin and
// end (E25, E27).
#include "volume/copier.h"
#include "volume/redirect.h"
#include "volume/volume.h"

namespace exshadow {

std::uint64_t Volume::unmoved_bytes() const {
    return redirect_ ? redirect_->unmoved.marked_bytes() : 0;
}

// The volume is opened while an instant restore moves. Its map has no safe side: what cannot be believed
// stops all I/O until another restore is begun, which then covers everything (E25).
Task<Status> Volume::load_redirect(std::size_t copy) {
    std::string doubts;
    auto loading = maps_->load(state_.restore->map, copy, doubts);
    auto map = co_await std::move(loading);
    if (!map.ok()) co_return map.error();
    restore_map_ = std::move(map).value();
    redirect_ =
        std::make_unique<Redirect>(find(state_.restore->plex), epoch_, state_.size, state_.region_size);
    ++epoch_;
    auto merging = merge_slowly(redirect_->unmoved, restore_map_->bits);
    co_await std::move(merging);
    if (!doubts.empty()) break_redirect("its restore map cannot be read");
    co_return Status{};
}

void Volume::break_redirect(const std::string& why) {
    redirect_->broken = Error(
        Code::corrupt,
        "volume " + state_.name + " was being restored and " + why + ": nobody knows which regions are moved",
        "restore a set again; until then the volume takes no I/O");
    say(redirect_->broken->message());
}

Status Volume::check_mode() const {
    if (in_doubt_) {
        return Error(Code::refused,
                     "an instant restore of volume " + state_.name + " with others is not decided yet",
                     "open all volumes of its set together, then it is decided");
    }
    if (is_restoring()) {
        return Error(Code::refused, "volume " + state_.name + " is being restored and not finished",
                     "continue with: exshadow mirror sync " + state_.name);
    }
    if (redirect_ && redirect_->broken) return *redirect_->broken;
    return {};
}

// For what would need production on a plex of its own.
Status Volume::check_not_moving() const {
    if (!is_moving()) return {};
    std::string label = "?";
    for (const auto& snapshot : state_.snapshots) {
        if (snapshot.plex == state_.restore->plex) label = snapshot.label;
    }
    return Error(Code::refused,
                 "volume " + state_.name + " is being restored from snapshot '" + label +
                     "': " + std::to_string(unmoved_bytes()) + " bytes are still to be moved",
                 "wait until they are, or continue with: exshadow mirror sync " + state_.name);
}

// Jobs other than the mover and `own`.
bool Volume::has_other_jobs(const Job* own) const {
    return std::any_of(running_jobs_.begin(), running_jobs_.end(),
                       [&](const std::shared_ptr<Job>& job) { return job.get() != own && job != mover_; });
}

// Another restore begins: the mover of the one under way pauses; what it moved stays moved.
Task<void> Volume::stop_mover() {
    while (mover_) {
        mover_->cancel();
        co_await idle_.wait();
    }
}

Task<Status> Volume::move_restored(std::uint64_t limit, std::shared_ptr<Job> job) {
    EXSHADOW_CO_TRY(check_mode());
    // Another restore is just beginning, or this one is not quite begun.
    const bool beginning = state_.starting && state_.starting->state != SetState::committed;
    if (mover_ || beginning || paused_ || !redirect_) {
        co_return Error(Code::busy, "volume " + state_.name + " is being restored already");
    }
    const PlexPointer source = redirect_->source;
    if (source->busy) co_return Error(Code::busy, "the snapshot is being worked on");
    mover_ = job;
    ++source->busy;
    if (!unclean_durable_) {
        auto marking = become_unclean();
        static_cast<void>(co_await std::move(marking));
    }
    auto running = run_mover(limit, job);
    const Status status = co_await std::move(running);
    --source->busy;
    mover_.reset();
    idle_.notify();
    co_return status;
}

Task<Status> Volume::run_mover(std::uint64_t limit, std::shared_ptr<Job> job) {
    EXSHADOW_CO_TRY(write_refusal());
    while (redirect_) {
        if (!redirect_->unmoved.empty()) {
            auto knowing = know_source();
            EXSHADOW_CO_TRY(co_await std::move(knowing));
            CopyPlan plan;
            plan.source = redirect_->source;
            plan.todo = &redirect_->unmoved;
            plan.durable = restore_map_;
            plan.redirect = true;
            plan.compare = state_.find_plex(plan.source->uuid)->needs_compare;
            plan.limit = limit;
            Copier copier(*this, std::move(plan), job);
            auto copying = copier.run();
            EXSHADOW_CO_TRY(co_await std::move(copying));
        }
        if (job->cancelled()) co_return job->cancelled_error();
        auto settling = settle_moved();
        EXSHADOW_CO_TRY(co_await std::move(settling));
        auto finishing = finish_redirect();
        EXSHADOW_CO_TRY(co_await std::move(finishing));
    }
    job->bytes_done = job->bytes_total.load();  // clients moved the rest
    co_return Status{};
}

// Everything is on the members, and the map on disk says so: from here on a crash changes nothing, whether
// the superblock is durable or not.
Task<Status> Volume::finish_redirect() {
    const auto guard = co_await moved_mutex_.lock();
    if (!redirect_->unmoved.empty() || !redirect_->moved->empty() || !restore_map_->bits.empty())
        co_return Status{};
    const PlexPointer source = redirect_->source;
    state_.mode = VolumeMode::normal;
    state_.restore.reset();
    state_.find_plex(source->uuid)->needs_compare = false;
    auto committing = commit();
    const Status committed = co_await std::move(committing);
    redirect_.reset();
    restore_map_.reset();
    co_return committed;
}

}  // namespace exshadow
