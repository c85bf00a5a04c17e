// DoSnapshotSet and its undoing (fact sheet, sections 4.4, 5.1 and 10).
//
//   writers PrepareForSnapshot: before EndPrepare, so that their checkpoints still reach a mirror that syncs
//
//   providers EndPrepare
//
//   writers Freeze: front end, back end, system
//
//   providers PreCommit
//
//   hold writes, providers Commit, release writes: within the limit of holding
//
//   providers PostCommit
//
//   writers Thaw: the other way; any window that is over by now spoils the set
//
//   providers PreFinalCommit, writers PostSnapshot, providers PostFinalCommit
//
// Whatever fails before PostSnapshot: the providers abort and every writer gets Abort. The sheet's table
// (section 10) has no Abort for what fails after Thaw; its section 4.4 has one for every fault of a provider,
// for writers whose PostSnapshot has not run. We keep 4.4. A writer that refuses PostSnapshot does not spoil
// the set. AbortSnapshots never comes before EndPrepareSnapshots (5.1).
#include <algorithm>

#include "vss/coordinator/session.h"

namespace exshadow::vss {

Result<StepPtr> Session::do_snapshot_set() {
    return begin_step(Call::do_snapshot_set, make_set());
}

Task<Session::StepOutcome> Session::make_set() {
    auto committing = freeze_and_commit();
    auto outcome = co_await std::move(committing);
    if (outcome.well()) {
        auto finishing = thaw_and_finish();
        outcome = co_await std::move(finishing);
    }
    if (outcome.well()) {
        set_made_ = true;
        auto recording = record_snapshots();
        co_await std::move(recording);
        give_back_slot();
        co_return StepOutcome{};
    }
    auto undoing = undo_set();
    const auto left = co_await std::move(undoing);
    if (!outcome.refusal) co_return StepOutcome{HResult::vss_s_async_cancelled, {}};
    std::string text = std::move(outcome.refusal->text);
    for (const auto& one : left) text += "; " + one.message();
    co_return StepOutcome{outcome.refusal->code, std::move(text)};
}

Task<EventOutcome> Session::freeze_and_commit() {
    const bool writers = involves_writers();
    if (writers) {
        auto preparing = writers_.send(WriterEvent::prepare_snapshot);
        auto prepared = co_await std::move(preparing);
        if (!prepared.well()) co_return prepared;
    }
    auto ending = providers_.step(ProviderCall::end_prepare, never);
    auto ended = co_await std::move(ending);
    if (!ended.well()) co_return ended;
    if (writers) {
        auto freezing = writers_.freeze();
        auto frozen = co_await std::move(freezing);
        if (!frozen.well()) co_return frozen;
    }
    auto before = step_while_frozen(ProviderCall::pre_commit, never);
    auto precommitted = co_await std::move(before);
    if (!precommitted.well()) co_return precommitted;
    auto committing = commit_held();
    auto committed = co_await std::move(committing);
    if (!committed.well()) co_return committed;
    auto after = step_while_frozen(ProviderCall::post_commit, never);
    auto postcommitted = co_await std::move(after);
    co_return postcommitted;
}

// What takes longer than a writer stays frozen is that writer's time-out, whoever was slow.
Task<EventOutcome> Session::step_while_frozen(ProviderCall call, Nanoseconds until) {
    auto stepping = providers_.step(call, std::min(until, writers_.frozen_until()));
    auto outcome = co_await std::move(stepping);
    const std::string reason =
        outcome.refusal ? outcome.refusal->text : std::string(sdk_name(call)) + " took so long";
    if (auto late = writers_.expire(reason)) outcome.refusal = std::move(late);
    co_return outcome;
}

Task<EventOutcome> Session::commit_held() {
    auto* const holder = coordinator_.options().holder.get();
    const auto& limits = coordinator_.options().limits;
    const Nanoseconds hold_until = hub_->loop.now() + limits.hold * millisecond_ns;
    EventOutcome outcome;
    if (holder != nullptr) {
        CallGroup<Status> holding(hub_);
        holding.start(holder->flush_and_hold(volumes_), coordinator_.options().holder,
                      std::min(hold_until, writers_.frozen_until()));
        auto waiting = holding.wait(Stoppable::yes);
        co_await std::move(waiting);
        const auto* const held = holding.answer(0);
        if (held == nullptr && !holding.late(0)) outcome.stopped = true;
        if (holding.late(0))
            outcome.refusal = Refusal{HResult::vss_e_flush_writes_timeout, "flushing took too long"};
        if (held != nullptr && !held->ok())
            outcome.refusal = Refusal{hresult_of(held->error()), vss_context(held->error())};
        if (auto late = writers_.expire("flushing took so long")) outcome.refusal = std::move(late);
    }
    if (outcome.well()) {
        auto committing = step_while_frozen(ProviderCall::commit, hold_until);
        outcome = co_await std::move(committing);
        const bool writer_late =
            outcome.refusal && outcome.refusal->code == HResult::vss_e_writererror_timeout;
        if (hub_->loop.now() >= hold_until && !writer_late) {
            outcome.refusal =
                Refusal{HResult::vss_e_hold_writes_timeout,
                        outcome.refusal ? outcome.refusal->text : "CommitSnapshots took too long"};
        }
    }
    if (holder != nullptr) {
        CallGroup<Status> releasing(hub_);
        releasing.start(holder->release(volumes_), coordinator_.options().holder,
                        hub_->loop.now() + limits.abort * millisecond_ns);
        auto waiting = releasing.wait(Stoppable::no);
        co_await std::move(waiting);
    }
    co_return outcome;
}

Task<EventOutcome> Session::thaw_and_finish() {
    const bool writers = involves_writers();
    if (writers) {
        auto thawing = writers_.thaw();
        auto thawed = co_await std::move(thawing);
        if (hub_->stop) thawed.stopped = true;
        if (!thawed.well()) co_return thawed;
    }
    auto before = providers_.step(ProviderCall::pre_final_commit, never);
    auto repairable = co_await std::move(before);
    if (!repairable.well()) co_return repairable;
    if (writers) {
        auto sending = writers_.send(WriterEvent::post_snapshot);
        auto sent = co_await std::move(sending);
        if (sent.stopped) co_return sent;
    }
    auto after = providers_.step(ProviderCall::post_final_commit, never);
    auto finished = co_await std::move(after);
    co_return finished;
}

// What is not surfaced yet (a transportable set) no provider shows here: it is recorded as it was asked for.
Task<void> Session::record_snapshots() {
    document_.snapshot_set_id = set_id_;
    auto asking = providers_.properties();
    auto made = co_await std::move(asking);
    for (auto& one : providers_.requested()) {
        one.set_size = static_cast<std::int32_t>(volumes_.size());
        one.originating_machine = one.service_machine = coordinator_.options().machine;
        const auto shown = std::ranges::find(made, one.snapshot_id, &SnapshotProperties::snapshot_id);
        if (shown != made.end()) one = std::move(*shown);
        document_.snapshots.push_back({std::move(one), {}});
    }
}

// Side by side: a provider that is slow to abort must not keep writers frozen. A finished set stays; writers
// that had PostSnapshot hear nothing more of it.
// Gives the snapshots that could not be deleted.
Task<std::vector<Error>> Session::undo_set() {
    std::vector<Error> left;
    TaskGroup undoing(hub_->loop);
    if (!set_made_) undoing.spawn(providers_.abort(&left));
    undoing.spawn(writers_.abort());
    auto waiting = undoing.wait();
    co_await std::move(waiting);
    give_back_slot();
    tell_trouble(left);
    co_return left;
}

void Session::tell_trouble(const std::vector<Error>& troubles) const {
    const auto& told = coordinator_.options().trouble;
    for (const auto& one : troubles) {
        if (told) told(one);
    }
}

Task<void> Session::release_snapshots() {
    const bool kept = has(context_, SnapshotAttributes::no_auto_release) ||
                      has(context_, SnapshotAttributes::transportable);  // they belong to where they go
    if (!set_made_ || kept) co_return;
    auto removing = providers_.remove_all();
    const auto left = co_await std::move(removing);
    tell_trouble(left);
}

}  // namespace exshadow::vss
