#include "volume/group.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>

#include "volume/instant.h"

namespace exshadow {

// One split; the room's access to Volume's inside.
class GroupSplit {
public:
    GroupSplit(Loop& loop, SplitRequest request) : loop_(loop), request_(std::move(request)) {}
    Task<Result<SplitResult>> run();

private:
    struct Member {
        explicit Member(Volume& of) : volume(of), scope(of) {}
        Volume& volume;
        Volume::Scope scope;
        std::optional<Mutex::Guard> guard;
        Volume::PlexPointer plex;
        std::unique_ptr<StoredMap> next;  // the reserved interval, until the turn
        bool prepared = false;
        Status status;
    };

    [[nodiscard]] Status check() const;
    [[nodiscard]] Result<Volume::PlexPointer> choose_plex(const Volume& volume) const;
    [[nodiscard]] Task<Status> lock_all();
    [[nodiscard]] Task<void> prepare(Member& member);
    [[nodiscard]] Task<Status> prepare_member(Member& member);
    void check_before_turn();
    void turn();
    [[nodiscard]] Task<void> make_ready(Member& member);
    [[nodiscard]] Task<Status> make_member_ready(Member& member);
    [[nodiscard]] Task<Status> record_ready(Member& member, PlexIdentity identity);
    [[nodiscard]] Task<void> announce(Member& member);
    [[nodiscard]] Task<void> take_back(Member& member);
    [[nodiscard]] Task<void> undo_all(bool turned);
    [[nodiscard]] Status first_failure() const;

    Loop& loop_;
    SplitRequest request_;
    SplitResult result_;
    std::vector<std::unique_ptr<Member>> members_;
};

Status GroupSplit::check() const {
    if (request_.volumes.empty()) return Error(Code::invalid, "no volume to split");
    if (request_.volumes.size() > max_set_members)
        return Error(Code::invalid, "a set has at most 64 volumes");
    if (!is_name(request_.label)) return Error(Code::invalid, "'" + request_.label + "' is not a label");
    std::set<const Volume*> distinct(request_.volumes.begin(), request_.volumes.end());
    if (distinct.size() != request_.volumes.size()) return Error(Code::invalid, "a volume is named twice");
    for (const Volume* const volume : request_.volumes) {
        if (&const_cast<Volume*>(volume)->loop() != &loop_)
            return Error(Code::invalid, "volumes of different engines cannot be split together");
    }
    return {};
}

// The newest member that is not the authority (interface.md).
Result<Volume::PlexPointer> GroupSplit::choose_plex(const Volume& volume) const {
    const VolumeState& state = volume.state();
    if (const auto named = request_.plexes.find(state.name); named != request_.plexes.end()) {
        auto plex = volume.find(named->second);
        if (!plex)
            return Error(Code::not_found, "volume " + state.name + " has no plex '" + named->second + "'");
        if (!plex->is_member()) return refuse_event(plex->label, plex->state, PlexEvent::prepare_split);
        if (volume.members().size() < 2) {
            return Error(Code::refused,
                         "plex '" + plex->label + "' is the last one in sync of volume " + state.name,
                         "add a mirror first: exshadow mirror add " + state.name + " PATH");
        }
        return plex;
    }
    Volume::PlexPointer newest;
    for (const auto& plex : volume.members()) {
        if (plex->uuid == state.authority) continue;
        if (!newest || state.find_plex(plex->uuid)->joined > state.find_plex(newest->uuid)->joined)
            newest = plex;
    }
    if (newest) return newest;
    for (const auto& plex : volume.plexes()) {
        if (plex->state == PlexState::syncing || plex->state == PlexState::resyncing) {
            return refuse_event(plex->label, plex->state, PlexEvent::prepare_split);
        }
    }
    return Error(Code::refused, "volume " + state.name + " has no mirror that is in sync",
                 "add one: exshadow mirror add " + state.name +
                     " PATH, or bring one back: exshadow mirror sync " + state.name);
}

// In the order of their ids, so that two splits never wait for each other.
Task<Status> GroupSplit::lock_all() {
    auto volumes = request_.volumes;
    std::sort(volumes.begin(), volumes.end(),
              [](const Volume* a, const Volume* b) { return a->state().uuid < b->state().uuid; });
    for (Volume* const volume : volumes) {
        EXSHADOW_CO_TRY(volume->check_operation());
        members_.push_back(std::make_unique<Member>(*volume));
        auto locking = volume->structure_mutex_.lock();
        members_.back()->guard.emplace(co_await locking);
        EXSHADOW_CO_TRY(volume->check_operation());
        EXSHADOW_CO_TRY(volume->check_not_restoring());
        EXSHADOW_CO_TRY(volume->check_not_moving());
    }
    co_return Status{};
}

Task<Result<SplitResult>> GroupSplit::run() {
    EXSHADOW_CO_TRY(check());
    auto locking = lock_all();
    EXSHADOW_CO_TRY(co_await std::move(locking));
    result_.set_id = request_.set_id.is_nil() ? loop_.new_uuid() : request_.set_id;
    result_.created_ns = loop_.wall_clock_ns();
    for (auto& member : members_) {
        auto plex = choose_plex(member->volume);
        if (!plex.ok()) co_return plex.error();
        member->plex = *plex;
        if (member->plex->busy)
            co_return Error(Code::busy, "plex '" + member->plex->label + "' is being worked on");
    }
    for (auto& member : members_) ++member->plex->busy;
    TaskGroup group(loop_);
    for (auto& member : members_) group.spawn(prepare(*member));
    auto preparing = group.wait();
    co_await std::move(preparing);
    check_before_turn();
    Status status = first_failure();
    if (status.ok() && request_.gate) {
        auto waiting = request_.gate->wait_for_decision();
        const bool decided = co_await std::move(waiting);
        check_before_turn();  // the wait may have cost a plex
        status = decided ? first_failure() : Error(Code::cancelled, "the split was given up");
    }
    const bool turned = status.ok();
    if (turned) {
        turn();
        if (request_.gate) request_.gate->note_turned();
        for (auto& member : members_) group.spawn(make_ready(*member));
        auto readying = group.wait();
        co_await std::move(readying);
        status = first_failure();
    }
    if (!status.ok()) {
        auto undoing = undo_all(turned);
        co_await std::move(undoing);
    } else {
        for (auto& member : members_) group.spawn(announce(*member));
        auto announcing = group.wait();
        co_await std::move(announcing);
    }
    for (auto& member : members_) --member->plex->busy;
    if (!status.ok()) co_return status.error();
    co_return result_;
}

Status GroupSplit::first_failure() const {
    for (const auto& member : members_) {
        if (!member->status.ok())
            return member->status.error().within("volume " + member->volume.state().name);
    }
    return {};
}

Task<void> GroupSplit::prepare(Member& member) {
    auto preparing = prepare_member(member);
    member.status = co_await std::move(preparing);
}

// Space first, then the intent: a split without room fails here (E20).
Task<Status> GroupSplit::prepare_member(Member& member) {
    Volume& volume = member.volume;
    VolumeState& state = volume.state_;
    if (state.snapshots.size() >= max_snapshots) {
        co_return Error(Code::refused, "a volume has at most 32 snapshots", "resync or delete one first");
    }
    if (state.find_snapshot(request_.label) != nullptr) {
        co_return Error(Code::exists, "there is a snapshot '" + request_.label + "' already");
    }
    if (!volume.unclean_durable_) {
        auto marking = volume.become_unclean();
        EXSHADOW_CO_TRY(co_await std::move(marking));
    }
    const auto slot = volume.take_slot();
    if (!slot.ok()) co_return slot.error();
    auto creating = volume.maps_->create(volume.new_map_ref(*slot));
    auto next = co_await std::move(creating);
    if (!next.ok()) co_return next.error();
    member.next = std::move(next).value();
    if (!member.plex->is_member() || volume.members().size() < 2) {
        co_return Error(Code::io,
                        "plex '" + member.plex->label + "' left the mirror while it was to be split");
    }
    SnapshotRecord record;
    record.set_id = result_.set_id;
    record.label = request_.label;
    record.plex = member.plex->uuid;
    record.state = SetState::preparing;
    record.next_interval = member.next->ref;
    record.created_ns = result_.created_ns;
    record.consistency = request_.consistency;
    for (const auto& other : members_) {
        record.members.push_back({other->volume.state().uuid, other->volume.state().name});
    }
    state.snapshots.push_back(record);
    if (member.plex->uuid == state.authority) volume.choose_authority(member.plex.get());
    state.find_plex(member.plex->uuid)->state = PlexState::splitting;
    member.prepared = true;
    auto committing = volume.commit();
    co_return co_await std::move(committing);
}

// The mirror may have lost a plex while the members were prepared. One that stays must be left, and it is
// the authority (E4).
void GroupSplit::check_before_turn() {
    for (auto& member : members_) {
        Volume& volume = member->volume;
        if (!member->status.ok()) continue;
        if (!member->plex->is_member() || volume.members().size() < 2) {
            member->status = Error(Code::io, "a plex left the mirror while it was to be split", "try again");
        } else if (volume.state().authority == member->plex->uuid) {
            volume.choose_authority(member->plex.get());
        }
    }
}

// The instant. Nothing in here suspends.
void GroupSplit::turn() {
    const Nanoseconds started = loop_.now();
    for (auto& member : members_) {
        Volume& volume = member->volume;
        Plex& plex = *member->plex;
        plex.state = PlexState::splitting;
        plex.leave_epoch = volume.epoch_;
        plex.leave_error.reset();
        ++volume.epoch_;
        StoredMap& closing = volume.current_interval();
        // A request admitted and not finished belongs to both sides of the cut (E22).
        for (const auto* request = volume.lock_.first(); request != nullptr; request = request->next) {
            if (!request->client || !volume.options_.orders.keeps(Order::e22_mark_unfinished_in_both))
                continue;
            closing.bits.mark(request->range);
            member->next->bits.mark(request->range);
        }
        volume.intervals_.push_back(std::move(member->next));
    }
    result_.turn_ns = loop_.now() - started;
}

Task<void> GroupSplit::make_ready(Member& member) {
    auto readying = make_member_ready(member);
    const Status status = co_await std::move(readying);
    if (member.status.ok()) member.status = status;
}

Task<Status> GroupSplit::make_member_ready(Member& member) {
    Volume& volume = member.volume;
    Plex& plex = *member.plex;
    if (plex.state != PlexState::splitting) co_return Error(Code::io, "plex '" + plex.label + "' failed");
    auto landing = volume.wait_for_old_requests(plex.leave_epoch);
    co_await std::move(landing);
    if (plex.leave_error) co_return *plex.leave_error;
    if (volume.options_.orders.keeps(Order::e21_flush_leaving_before_ready)) {
        auto flushing = volume.flush_plexes({member.plex});
        EXSHADOW_CO_TRY(co_await std::move(flushing));
    }
    auto waiting = volume.wait_idle(member.plex);
    co_await std::move(waiting);
    if (plex.leave_error) co_return *plex.leave_error;
    auto identifying = read_identity(*plex.device);
    const Result<PlexIdentity> identity = co_await std::move(identifying);
    if (!identity.ok()) co_return identity.error();
    auto persisting = volume.persist_maps();
    EXSHADOW_CO_TRY(co_await std::move(persisting));
    if (plex.leave_error) co_return *plex.leave_error;
    auto recording = record_ready(member, *identity);
    co_return co_await std::move(recording);
}

Task<Status> GroupSplit::record_ready(Member& member, PlexIdentity identity) {
    VolumeState& state = member.volume.state_;
    SnapshotRecord& record = *state.find_snapshot(result_.set_id);
    const MapRef opened = member.volume.current_interval().ref;
    const bool alone =
        members_.size() == 1 || !member.volume.options_.orders.keeps(Order::e24_all_members_or_none);
    record.state = alone ? SetState::committed : SetState::ready;
    record.anchor = opened.id;
    record.next_interval = {};
    state.intervals.push_back({opened});
    PlexRecord& plex = *state.find_plex(member.plex->uuid);
    plex.identity = identity;
    if (alone) member.volume.set_plex_state(*member.plex, PlexState::split);
    auto committing = member.volume.commit();
    co_return co_await std::move(committing);
}

// All members are ready, so the set stands whatever happens now.
Task<void> GroupSplit::announce(Member& member) {
    Volume& volume = member.volume;
    if (volume.state_.find_snapshot(result_.set_id)->state != SetState::committed) {
        auto committing = volume.commit_split(result_.set_id);
        static_cast<void>(co_await std::move(committing));
    }
    auto closing = volume.close_device(member.plex, false);
    static_cast<void>(co_await std::move(closing));
    // An interval nobody starts from (there was no older snapshot) is dropped.
    auto merging = volume.merge_lost_intervals();
    static_cast<void>(co_await std::move(merging));
}

// Before the turn nothing was withheld from the plex: it is flushed and a member again (E17's conditions
// hold with an empty map).
Task<void> GroupSplit::take_back(Member& member) {
    Volume& volume = member.volume;
    std::erase_if(volume.state_.snapshots,
                  [&](const SnapshotRecord& record) { return record.set_id == result_.set_id; });
    if (member.plex->is_member()) {
        auto flushing = volume.flush_plexes({member.plex});
        static_cast<void>(co_await std::move(flushing));
    }
    PlexRecord& record = *volume.state_.find_plex(member.plex->uuid);
    if (member.plex->is_member())
        record.state = PlexState::in_sync;
    else if (record.state == PlexState::splitting)
        record.state = member.plex->state;
    auto committing = volume.commit();
    static_cast<void>(co_await std::move(committing));
}

Task<void> GroupSplit::undo_all(bool turned) {
    for (auto& member : members_) {
        if (!member->prepared || member->volume.is_read_only()) continue;
        if (turned) {
            auto rolling = member->volume.roll_back_split(result_.set_id);
            static_cast<void>(co_await std::move(rolling));
        } else {
            auto taking = take_back(*member);
            co_await std::move(taking);
        }
    }
}

// Every set in doubt that can be decided here (E24).
Task<Status> resolve_sets(std::vector<Volume*> volumes) {
    std::set<Uuid> sets;
    for (const Volume* const volume : volumes) {
        for (const auto& snapshot : volume->state().snapshots) {
            if (snapshot.state == SetState::ready) sets.insert(snapshot.set_id);
        }
    }
    for (const auto& set_id : sets) {
        std::vector<Volume*> here;
        std::size_t wanted = 0;
        bool all_ready = true;
        bool announced =
            false;  // somebody says `committed`: all were ready, whoever has no record gave it up later
        for (Volume* const volume : volumes) {
            const SnapshotRecord* const snapshot = volume->state_.find_snapshot(set_id);
            if (snapshot == nullptr) continue;
            if (snapshot->state == SetState::ready) here.push_back(volume);
            announced = announced || snapshot->state == SetState::committed;
            wanted = snapshot->members.size();
            for (const auto& named : snapshot->members) {
                const auto at = std::find_if(volumes.begin(), volumes.end(), [&](const Volume* other) {
                    return other->state().uuid == named.volume;
                });
                if (at == volumes.end())
                    wanted = 0;  // not all are here: stays in doubt
                else if ((*at)->state_.find_snapshot(set_id) == nullptr)
                    all_ready = false;
            }
            if (wanted == 0) break;
        }
        for (Volume* const volume : wanted == 0 ? std::vector<Volume*>{} : here) {
            const Volume::Scope scope(*volume);
            const auto guard = co_await volume->structure_mutex_.lock();
            auto deciding =
                all_ready || announced ? volume->commit_split(set_id) : volume->roll_back_split(set_id);
            EXSHADOW_CO_TRY(co_await std::move(deciding));
            auto merging = volume->merge_lost_intervals();
            EXSHADOW_CO_TRY(co_await std::move(merging));
        }
    }
    auto restores = resolve_restores(volumes);
    co_return co_await std::move(restores);
}

Task<void> SplitGate::until_prepared() {
    while (!prepared_ && !ended_) co_await changed_.wait();
}
Task<void> SplitGate::until_turned() {
    while (!turned_ && !ended_) co_await changed_.wait();
}
Task<void> SplitGate::until_ended() {
    while (!ended_) co_await changed_.wait();
}

Task<bool> SplitGate::wait_for_decision() {
    prepared_ = true;
    changed_.notify();
    while (decision_ == Decision::none) co_await changed_.wait();
    co_return decision_ == Decision::turn;
}

void SplitGate::decide(Decision decision) {
    if (decision_ == Decision::none) decision_ = decision;
    changed_.notify();
}
void SplitGate::note_turned() {
    turned_ = true;
    changed_.notify();
}
void SplitGate::note_ended() {
    ended_ = true;
    changed_.notify();
}

Task<Result<SplitResult>> split(Loop& loop, SplitRequest request) {
    GroupSplit operation(loop, std::move(request));
    auto running = operation.run();
    co_return co_await std::move(running);
}

}  // namespace exshadow
