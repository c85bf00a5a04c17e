#include "volume/instant.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>

namespace exshadow {

// One restore; the room's access to Volume's inside.
class GroupRestore {
public:
    GroupRestore(Loop& loop, std::vector<RestoreWish> wishes) : loop_(loop), wishes_(std::move(wishes)) {}
    Task<Status> run();

private:
    struct Member {
        Member(Volume& of, std::string name) : volume(of), label(std::move(name)), scope(of) {}
        Volume& volume;
        const std::string label;
        Volume::Scope scope;
        std::optional<Mutex::Guard> guard;
        Volume::PlexPointer plex;
        bool turned = false;
        Status status;
    };

    [[nodiscard]] Status check() const;
    [[nodiscard]] Task<Status> lock_all();
    [[nodiscard]] Status check_member(Member& member) const;
    [[nodiscard]] Task<void> each(Task<Status> (GroupRestore::*step)(Member&));
    [[nodiscard]] Task<void> run_step(Member& member, Task<Status> (GroupRestore::*step)(Member&));
    [[nodiscard]] Task<Status> prepare(Member& member);
    [[nodiscard]] Task<Status> reserve(Member& member);
    [[nodiscard]] Task<Status> find_difference(Member& member);
    void check_before_turn();
    void turn();
    [[nodiscard]] Task<Status> make_ready(Member& member);
    [[nodiscard]] Task<Status> apply(Member& member);
    [[nodiscard]] Task<Status> tidy(Member& member);
    [[nodiscard]] Task<Status> undo(Member& member);
    void let_go();
    [[nodiscard]] Status first_failure() const;
    [[nodiscard]] bool alone() const {
        return members_.size() == 1 ||
               !members_[0]->volume.options_.orders.keeps(Order::e26_all_members_or_none);
    }

    Loop& loop_;
    std::vector<RestoreWish> wishes_;
    Uuid id_;
    std::vector<std::unique_ptr<Member>> members_;
};

Status GroupRestore::check() const {
    if (wishes_.empty()) return Error(Code::invalid, "no volume to restore");
    if (wishes_.size() > max_set_members)
        return Error(Code::invalid, "at most 64 volumes can be restored together");
    std::set<const Volume*> distinct;
    for (const RestoreWish& wish : wishes_) {
        if (&wish.volume->loop() != &loop_)
            return Error(Code::invalid, "volumes of different engines cannot be restored together");
        if (!distinct.insert(wish.volume).second) return Error(Code::invalid, "a volume is named twice");
    }
    return {};
}

// In the order of their ids, as splits do, so that nobody waits in a circle.
Task<Status> GroupRestore::lock_all() {
    std::sort(wishes_.begin(), wishes_.end(), [](const RestoreWish& a, const RestoreWish& b) {
        return a.volume->state().uuid < b.volume->state().uuid;
    });
    for (const RestoreWish& wish : wishes_) {
        EXSHADOW_CO_TRY(wish.volume->check_operation());
        members_.push_back(std::make_unique<Member>(*wish.volume, wish.label));
        auto locking = wish.volume->structure_mutex_.lock();
        members_.back()->guard.emplace(co_await locking);
    }
    for (auto& member : members_) EXSHADOW_CO_TRY(check_member(*member));
    // All may be restored: those under way give way.
    for (auto& member : members_) {
        auto stopping = member->volume.stop_mover();
        co_await std::move(stopping);
    }
    for (auto& member : members_) EXSHADOW_CO_TRY(check_member(*member));
    co_return Status{};
}

Status GroupRestore::check_member(Member& member) const {
    Volume& volume = member.volume;
    EXSHADOW_TRY(volume.check_operation());
    auto snapshot = volume.usable_snapshot(member.label);
    if (!snapshot.ok()) return snapshot.error();
    member.plex = volume.find((*snapshot)->plex);
    const bool moved_from = volume.redirect_ && volume.redirect_->source == member.plex && volume.mover_;
    if ((member.plex->busy && !moved_from) || volume.has_other_jobs(nullptr)) {
        return Error(Code::busy, "volume " + volume.state().name + " is being copied to or from",
                     "wait for the job or cancel it");
    }
    for (const auto& other : volume.state().snapshots) {
        if (other.state == SetState::committed) continue;
        return Error(Code::refused,
                     "snapshot '" + other.label + "' of volume " + volume.state().name + " is in doubt",
                     "open all volumes of its set together, then it is decided");
    }
    if (volume.state().starting) {
        return Error(Code::refused,
                     "volume " + volume.state().name + " was restored with others that do not know it yet",
                     "open all volumes of that restore together");
    }
    return {};
}

Task<Status> GroupRestore::run() {
    EXSHADOW_CO_TRY(check());
    auto locking = lock_all();
    EXSHADOW_CO_TRY(co_await std::move(locking));
    id_ = loop_.new_uuid();
    for (auto& member : members_) ++member->plex->busy;
    auto preparing = each(&GroupRestore::prepare);
    co_await std::move(preparing);
    check_before_turn();
    bool stands = first_failure().ok();
    if (stands) {
        turn();
        auto readying = each(&GroupRestore::make_ready);
        co_await std::move(readying);
        stands = first_failure().ok();
    }
    if (stands && alone()) {
        for (auto& member : members_) {  // several only where that order is switched off
            auto applying = run_step(*member, &GroupRestore::apply);
            co_await std::move(applying);
        }
    } else if (stands) {  // the set stands whatever happens now, unless it is one volume that cannot say so
        auto applying = each(&GroupRestore::apply);
        co_await std::move(applying);
    } else {
        auto undoing = each(&GroupRestore::undo);
        co_await std::move(undoing);
    }
    let_go();
    if (stands) {
        auto tidying = each(&GroupRestore::tidy);
        co_await std::move(tidying);
    }
    co_return first_failure();
}

Status GroupRestore::first_failure() const {
    for (const auto& member : members_) {
        if (!member->status.ok())
            return member->status.error().within("volume " + member->volume.state().name);
    }
    return {};
}

Task<void> GroupRestore::each(Task<Status> (GroupRestore::*step)(Member&)) {
    TaskGroup group(loop_);
    for (auto& member : members_) group.spawn(run_step(*member, step));
    auto waiting = group.wait();
    co_await std::move(waiting);
}

Task<void> GroupRestore::run_step(Member& member, Task<Status> (GroupRestore::*step)(Member&)) {
    auto running = (this->*step)(member);
    const Status status = co_await std::move(running);
    if (member.status.ok()) member.status = status;
}

Task<Status> GroupRestore::prepare(Member& member) {
    Volume& volume = member.volume;
    // The source of a restore under way is open and known, and clients read it.
    if (!volume.redirect_ || volume.redirect_->source != member.plex || !volume.redirect_->source_known) {
        auto opening = volume.open_restore_source(member.plex);
        EXSHADOW_CO_TRY(co_await std::move(opening));
    }
    if (!volume.unclean_durable_) {
        auto marking = volume.become_unclean();
        EXSHADOW_CO_TRY(co_await std::move(marking));
    }
    auto reserving = reserve(member);
    EXSHADOW_CO_TRY(co_await std::move(reserving));
    auto finding = find_difference(member);
    EXSHADOW_CO_TRY(co_await std::move(finding));
    if (alone()) co_return Status{};
    auto committing = volume.commit();
    co_return co_await std::move(committing);
}

// Space first (E20): slots for the map and for the interval that begins with the turn.
Task<Status> GroupRestore::reserve(Member& member) {
    Volume& volume = member.volume;
    VolumeState& state = volume.state_;
    RestoreStart start;
    start.id = id_;
    start.set_id = state.find_snapshot(member.label)->set_id;
    for (const auto& other : members_) {
        start.members.push_back({other->volume.state().uuid, other->volume.state().name});
    }
    const auto map_slot = volume.take_slot();
    if (!map_slot.ok()) co_return map_slot.error();
    start.map = volume.new_map_ref(*map_slot);
    state.starting = start;
    const auto interval_slot = volume.take_slot();
    if (!interval_slot.ok()) co_return interval_slot.error();
    start.interval = volume.new_map_ref(*interval_slot);
    state.starting = start;
    auto creating = volume.maps_->create(start.map);
    auto map = co_await std::move(creating);
    if (!map.ok()) co_return map.error();
    auto creating_interval = volume.maps_->create(start.interval);
    auto interval = co_await std::move(creating_interval);
    if (!interval.ok()) co_return interval.error();
    volume.starting_map_ = std::move(map).value();
    volume.starting_interval_ = std::move(interval).value();
    co_return Status{};
}

// The snapshot's whole difference; what is written from here on is added as it is written.
Task<Status> GroupRestore::find_difference(Member& member) {
    Volume& volume = member.volume;
    ChangeMap& map = volume.starting_map_->bits;
    volume.watched_.push_back(&map);
    const bool unknown = volume.redirect_ && volume.redirect_->broken;
    if (unknown || volume.state_.find_plex(member.plex->uuid)->needs_compare) {
        map.mark_all();
    } else {
        auto merging = volume.merge_difference(map, volume.state_.find_snapshot(member.label)->anchor);
        co_await std::move(merging);
        if (volume.restore_map_) {  // or what another restore has not moved yet
            auto adding = volume.merge_slowly(map, volume.restore_map_->bits);
            co_await std::move(adding);
        }
    }
    if (volume.options_.orders.keeps(Order::e16_restore_marks_difference)) {
        auto marking = volume.merge_slowly(volume.current_interval().bits, map);
        co_await std::move(marking);
    }
    // What is not in the map must be on the disks when the restore is answered: it may be from before the
    // split and never have been flushed here.
    if (volume.options_.orders.keeps(Order::e26_members_flushed_before_commit)) {
        auto flushing = volume.settle_moved();
        EXSHADOW_CO_TRY(co_await std::move(flushing));
    }
    auto persisting = volume.persist_maps();
    co_return co_await std::move(persisting);
}

// Jobs may have begun while the members were prepared; from the turn on none does.
void GroupRestore::check_before_turn() {
    for (auto& member : members_) {
        Volume& volume = member->volume;
        if (!member->status.ok()) continue;
        member->status = volume.check_operation();
        if (!volume.has_other_jobs(nullptr) && !volume.mover_) continue;
        member->status = Error(Code::busy, "a copy of it began meanwhile", "wait for the job or cancel it");
    }
}

// The instant. Nothing in here suspends.
void GroupRestore::turn() {
    for (auto& member : members_) {
        Volume& volume = member->volume;
        ++volume.epoch_;
        std::erase(volume.watched_, &volume.starting_map_->bits);
        for (const auto* request = volume.lock_.first(); request != nullptr; request = request->next) {
            if (!request->client || !volume.options_.orders.keeps(Order::e26_turn_marks_unfinished)) continue;
            volume.starting_map_->bits.mark(request->range);
            volume.starting_interval_->bits.mark(request->range);
            volume.current_interval().bits.mark(request->range);
        }
        volume.paused_ = true;
        member->turned = true;
    }
}

Task<Status> GroupRestore::make_ready(Member& member) {
    Volume& volume = member.volume;
    for (const auto& plex : volume.plexes_) {
        if (!plex->sync_map) continue;
        auto merging = volume.merge_slowly(plex->sync_map->bits, volume.starting_map_->bits);
        co_await std::move(merging);
    }
    auto persisting = volume.persist_maps();
    EXSHADOW_CO_TRY(co_await std::move(persisting));
    if (alone()) co_return Status{};
    volume.state_.starting->state = SetState::ready;
    auto committing = volume.commit();
    co_return co_await std::move(committing);
}

Task<Status> GroupRestore::apply(Member& member) {
    auto beginning = member.volume.begin_redirect(alone());
    const Status status = co_await std::move(beginning);
    // What was looked at before the turn is known.
    if (status.ok()) member.volume.redirect_->source_known = true;
    co_return status;
}

// Clients go on. Members know of each other until all say that they are restored.
void GroupRestore::let_go() {
    const bool all = first_failure().ok();
    for (auto& member : members_) {
        Volume& volume = member->volume;
        --member->plex->busy;
        if (!member->turned) continue;
        if (all) volume.state_.starting.reset();
        volume.paused_ = false;
        volume.request_done_.notify();
    }
}

// An interval nobody starts from any more.
Task<Status> GroupRestore::tidy(Member& member) {
    auto merging = member.volume.merge_lost_intervals();
    static_cast<void>(co_await std::move(merging));
    co_return Status{};
}

Task<Status> GroupRestore::undo(Member& member) {
    Volume& volume = member.volume;
    if (volume.starting_map_) std::erase(volume.watched_, &volume.starting_map_->bits);
    auto giving_up = volume.give_up_restore();
    static_cast<void>(co_await std::move(giving_up));
    co_return Status{};
}

// As it was before. Marks in the current interval stay: they harm nobody.
Task<Status> Volume::give_up_restore() {
    if (!state_.starting) co_return Status{};
    state_.starting.reset();
    starting_map_.reset();
    starting_interval_.reset();
    in_doubt_ = false;
    if (metadata_error_) co_return Status{};
    auto committing = commit();
    co_return co_await std::move(committing);
}

// From here on production is the snapshot. `alone`: nobody else decides, and a superblock that cannot be
// written leaves everything as it was.
Task<Status> Volume::begin_redirect(bool alone) {
    const auto guard = co_await moved_mutex_.lock();
    const Uuid set_id = state_.starting->set_id;
    SnapshotRecord& snapshot = *state_.find_snapshot(set_id);
    auto redirect =
        std::make_unique<Redirect>(find(snapshot.plex), epoch_ - 1, state_.size, state_.region_size);
    auto copying = merge_slowly(redirect->unmoved, starting_map_->bits);
    co_await std::move(copying);
    const VolumeMode mode_before = state_.mode;
    const auto restore_before = state_.restore;
    const std::uint64_t anchor_before = snapshot.anchor;
    state_.mode = VolumeMode::redirecting;
    state_.restore = RestoreRecord{snapshot.plex, starting_map_->ref};
    state_.intervals.push_back({starting_interval_->ref});
    snapshot.anchor = starting_interval_->ref.id;
    state_.starting->state = SetState::committed;
    state_.starting->map = state_.starting->interval = {};
    if (alone) state_.starting.reset();
    intervals_.push_back(starting_interval_);
    auto committing = commit();
    const Status committed = co_await std::move(committing);
    if (!committed.ok() && alone) {
        state_.mode = mode_before;
        state_.restore = restore_before;
        state_.find_snapshot(set_id)->anchor = anchor_before;
        state_.intervals.pop_back();
        intervals_.pop_back();
    } else {
        restore_map_ = starting_map_;
        redirect_ = std::move(redirect);
        for (const auto& plex : plexes_) {  // who left meanwhile
            if (!plex->sync_map) continue;
            auto merging = merge_slowly(plex->sync_map->bits, restore_map_->bits);
            co_await std::move(merging);
        }
    }
    starting_map_.reset();
    starting_interval_.reset();
    in_doubt_ = false;
    co_return committed;
}

namespace {

struct Decision {
    bool known = false;  // whether it stands
    bool stands = false;
};

// Of one member in doubt: by what the others say (E24).
Decision decide(const RestoreStart& start, const std::vector<Volume*>& volumes) {
    Decision decision{true, true};
    for (const SetMember& named : start.members) {
        const auto at = std::find_if(volumes.begin(), volumes.end(), [&](const Volume* other) {
            return other->state().uuid == named.volume;
        });
        if (at == volumes.end()) {
            decision.known = false;  // unless somebody else knows
            continue;
        }
        const auto& theirs = (*at)->state().starting;
        if (!theirs || theirs->id != start.id) return {true, false};
        if (theirs->state == SetState::committed) return {true, true};
    }
    return decision;
}

}  // namespace

Task<Status> resolve_restores(std::vector<Volume*> volumes) {
    std::vector<std::pair<Volume*, Decision>> decisions;
    for (Volume* const volume : volumes) {
        if (volume->in_doubt_) decisions.emplace_back(volume, decide(*volume->state().starting, volumes));
    }
    for (const auto& [volume, decision] : decisions) {
        if (!decision.known) continue;
        const Volume::Scope scope(*volume);
        const auto guard = co_await volume->structure_mutex_.lock();
        auto deciding = decision.stands ? volume->begin_redirect(false) : volume->give_up_restore();
        EXSHADOW_CO_TRY(co_await std::move(deciding));
        volume->say(std::string("an instant restore with other volumes was ") +
                    (decision.stands ? "completed" : "undone"));
        auto merging = volume->merge_lost_intervals();
        EXSHADOW_CO_TRY(co_await std::move(merging));
    }
    for (Volume* const volume : volumes) {  // all of them know: nobody has to be told any more
        if (!volume->state().starting || volume->in_doubt_) continue;
        const auto& members = volume->state().starting->members;
        const bool all = std::all_of(members.begin(), members.end(), [&](const SetMember& named) {
            return std::any_of(volumes.begin(), volumes.end(), [&](const Volume* other) {
                return other->state().uuid == named.volume && !other->in_doubt_;
            });
        });
        if (all && !volume->paused_) volume->state_.starting.reset();
    }
    co_return Status{};
}

Task<Status> restore_instant(Loop& loop, std::vector<RestoreWish> wishes) {
    GroupRestore operation(loop, std::move(wishes));
    auto running = operation.run();
    co_return co_await std::move(running);
}

}  // namespace exshadow
