#include "vss/coordinator/writer_set.h"

#include <algorithm>
#include <array>

#include "vss/hresult.h"
#include "vss/writer_match.h"

namespace exshadow::vss {

namespace {

// From the first to be frozen to the last. A writer that leaves the choice to VSS counts as a front end.
int rank(ApplicationLevel level) {
    switch (level) {
        case ApplicationLevel::back_end: return 1;
        case ApplicationLevel::system: return 2;
        case ApplicationLevel::system_rm: return 3;
        default: return 0;
    }
}
constexpr int last_rank = 3;

bool of_restore(WriterEvent event) {
    return event == WriterEvent::pre_restore || event == WriterEvent::post_restore;
}

bool shows_document(WriterEvent event) {
    return of_restore(event) || event == WriterEvent::prepare_backup || event == WriterEvent::post_snapshot ||
           event == WriterEvent::backup_complete;
}

WriterState failed_state(WriterEvent event) {
    switch (event) {
        case WriterEvent::identify: return WriterState::failed_at_identify;
        case WriterEvent::prepare_backup: return WriterState::failed_at_prepare_backup;
        case WriterEvent::prepare_snapshot: return WriterState::failed_at_prepare_snapshot;
        case WriterEvent::freeze: return WriterState::failed_at_freeze;
        case WriterEvent::thaw: return WriterState::failed_at_thaw;
        case WriterEvent::post_snapshot: return WriterState::failed_at_post_snapshot;
        case WriterEvent::backup_complete: return WriterState::failed_at_backup_complete;
        case WriterEvent::pre_restore: return WriterState::failed_at_pre_restore;
        case WriterEvent::post_restore: return WriterState::failed_at_post_restore;
        case WriterEvent::backup_shutdown: return WriterState::failed_at_backupshutdown;
        case WriterEvent::abort: break;
    }
    return WriterState::unknown;
}

WriterState next_state(WriterEvent event) {
    switch (event) {
        case WriterEvent::prepare_snapshot: return WriterState::waiting_for_freeze;
        case WriterEvent::freeze: return WriterState::waiting_for_thaw;
        case WriterEvent::thaw: return WriterState::waiting_for_post_snapshot;
        case WriterEvent::post_snapshot: return WriterState::waiting_for_backup_complete;
        default: return WriterState::stable;
    }
}

// What SetWriterFailure takes. For any other code, and for a refusal without one, no source says what the
// requestor sees; we say NONRETRYABLE.
HResult writer_code(HResult code) {
    constexpr auto permitted = std::to_array<HResult>({
        HResult::vss_e_writererror_inconsistentsnapshot,
        HResult::vss_e_writererror_outofresources,
        HResult::vss_e_writererror_timeout,
        HResult::vss_e_writererror_retryable,
        HResult::vss_e_writererror_nonretryable,
        HResult::vss_e_writererror_partial_failure,
    });
    return std::ranges::find(permitted, code) != permitted.end() ? code
                                                                 : HResult::vss_e_writererror_nonretryable;
}

// The application's code; where there is none, the code that is not for writers, so that it explains itself.
HResult own_code(const WriterAnswer& answer) {
    const bool replaced = writer_code(answer.failure) != answer.failure;
    return answer.application_failure == HResult::s_ok && replaced ? answer.failure
                                                                   : answer.application_failure;
}

std::string quoted(const Participant& one) {
    return "writer '" + one.options.name + "'";
}

Task<WriterAnswer> deliver(Writer& writer, WriterCallPtr call) {
    switch (call->event()) {
        case WriterEvent::prepare_backup: return writer.on_prepare_backup(std::move(call));
        case WriterEvent::prepare_snapshot: return writer.on_prepare_snapshot(std::move(call));
        case WriterEvent::freeze: return writer.on_freeze(std::move(call));
        case WriterEvent::thaw: return writer.on_thaw(std::move(call));
        case WriterEvent::abort: return writer.on_abort(std::move(call));
        case WriterEvent::post_snapshot: return writer.on_post_snapshot(std::move(call));
        case WriterEvent::backup_complete: return writer.on_backup_complete(std::move(call));
        case WriterEvent::backup_shutdown: return writer.on_backup_shutdown(std::move(call));
        case WriterEvent::pre_restore: return writer.on_pre_restore(std::move(call));
        case WriterEvent::post_restore: return writer.on_post_restore(std::move(call));
        case WriterEvent::identify: break;
    }
    EXSHADOW_CHECK(false);
    return writer.on_abort(std::move(call));
}

void adopt_identity(WriterMetadata& metadata, const WriterOptions& options) {
    metadata.writer_id = options.writer_id;
    metadata.instance_id = options.instance_id;
    metadata.name = options.name;
    metadata.instance_name = options.instance_name;
    metadata.usage = options.usage;
    metadata.source = options.source;
}

}  // namespace

Task<bool> WriterSet::identify(std::vector<Participant> candidates) {
    CallGroup<Result<WriterMetadata>> calls(hub_);
    std::vector<WriterCallPtr> sent;
    const Nanoseconds until = hub_->loop.now() + options_.limits.identify * millisecond_ns;
    for (auto& one : candidates) {
        sent.push_back(std::make_shared<WriterCall>(WriterEvent::identify, facts_, BackupWriter{}));
        observe(one, WriterEvent::identify);
        calls.start(one.writer->identify(sent.back()), one.writer, until);
    }
    auto waiting = calls.wait(Stoppable::yes);
    co_await std::move(waiting);
    bool answered_or_late = true;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        auto* const answer = calls.answer(i);
        if (answer == nullptr) {
            sent[i]->mark_abandoned();
            candidates[i].writer->abandon(sent[i]);
            if (!calls.late(i)) answered_or_late = false;
            continue;
        }
        if (!answer->ok()) continue;  // no status is kept of it
        auto& one = candidates[i];
        one.metadata = std::move(**answer);
        adopt_identity(one.metadata, one.options);
        one.status = {one.options.instance_id,
                      one.options.writer_id,
                      one.options.name,
                      WriterState::stable,
                      HResult::s_ok,
                      HResult::s_ok,
                      {}};
        participants_.push_back(std::move(one));
    }
    if (!answered_or_late) participants_.clear();  // stopped: it may be begun anew
    co_return answered_or_late;
}

void WriterSet::leave_out_unchosen() {
    for (auto& one : participants_) {
        const auto* const part = part_of(one);
        one.left_out = part == nullptr || part->components.empty();
    }
}

bool WriterSet::wants(const Participant& one, WriterEvent event) const {
    const auto mask = one.options.subscribe;
    if (event == WriterEvent::backup_shutdown) return true;
    if (one.failed || one.aborted || one.left_out) return false;
    if (event == WriterEvent::post_snapshot) return has(mask, SubscribeMask::post_snapshot);
    return has(mask, of_restore(event) ? SubscribeMask::restore_events : SubscribeMask::backup_events);
}

WriterSet::Indices WriterSet::takers(WriterEvent event) const {
    Indices to;
    for (std::size_t i = 0; i < participants_.size(); ++i) {
        if (wants(participants_[i], event)) to.push_back(i);
    }
    return to;
}

Task<EventOutcome> WriterSet::send(WriterEvent event) {
    auto sending = send_to(event, takers(event), Stoppable::yes);
    auto outcome = co_await std::move(sending);
    if (event == WriterEvent::post_snapshot && !outcome.stopped) {
        for (auto& one : participants_) {  // those who are not subscribed move on as well
            if (one.status.state == WriterState::waiting_for_post_snapshot) note_well(one, event);
        }
    }
    co_return outcome;
}

Task<EventOutcome> WriterSet::freeze() {
    for (int level = 0; level <= last_rank; ++level) {
        auto to = takers(WriterEvent::freeze);
        std::erase_if(to, [&](std::size_t i) { return rank(participants_[i].options.level) != level; });
        auto sending = send_to(WriterEvent::freeze, std::move(to), Stoppable::yes);
        auto outcome = co_await std::move(sending);
        if (!outcome.well()) co_return outcome;
    }
    co_return EventOutcome{};
}

Task<EventOutcome> WriterSet::thaw() {
    for (int level = last_rank; level >= 0; --level) {
        Indices to;
        for (std::size_t i = 0; i < participants_.size(); ++i) {
            if (participants_[i].frozen && rank(participants_[i].options.level) == level) to.push_back(i);
        }
        auto sending = send_to(WriterEvent::thaw, std::move(to), Stoppable::no);
        auto outcome = co_await std::move(sending);
        if (!outcome.well()) co_return outcome;
    }
    co_return EventOutcome{};
}

Task<void> WriterSet::abort() {
    Indices to;
    for (std::size_t i = 0; i < participants_.size(); ++i) {
        const auto& one = participants_[i];
        if (one.told && !one.left_out && !one.past_snapshot && !one.aborted) to.push_back(i);
    }
    auto sending = send_to(WriterEvent::abort, std::move(to), Stoppable::no);
    co_await std::move(sending);
    all_frozen_until_ = never;
}

Task<void> WriterSet::shut_down() {
    auto sending = send_to(WriterEvent::backup_shutdown, takers(WriterEvent::backup_shutdown), Stoppable::no);
    co_await std::move(sending);
}

Task<EventOutcome> WriterSet::send_to(WriterEvent event, Indices to, Stoppable stoppable) {
    if (options_.withheld == event) co_return EventOutcome{};
    CallGroup<WriterAnswer> calls(hub_);
    std::vector<WriterCallPtr> sent;
    for (const auto i : to) sent.push_back(prepare_call(event, participants_[i]));
    std::vector<Nanoseconds> dues;
    for (const auto i : to) dues.push_back(due(event, i, to));
    for (std::size_t i = 0; i < to.size(); ++i) {
        const auto& one = participants_[to[i]];
        observe(one, event);
        calls.start(deliver(*one.writer, sent[i]), one.writer, dues[i]);
    }
    // One whose window is over spoils the set and must get Abort, whoever else may take longer.
    const auto how_long = event == WriterEvent::thaw ? Until::first_late : Until::all;
    auto waiting = calls.wait(stoppable, how_long);
    co_await std::move(waiting);

    // All answers before the first silence: who has answered is not to blame for the time that others took.
    EventOutcome outcome;
    const auto keep_first = [&outcome](std::optional<Refusal> refusal) {
        if (refusal && !outcome.refusal) outcome.refusal = std::move(refusal);
    };
    for (std::size_t i = 0; i < to.size(); ++i) {
        if (const auto* const answer = calls.answer(i))
            keep_first(take(participants_[to[i]], *sent[i], *answer));
    }
    for (std::size_t i = 0; i < to.size(); ++i) {
        if (calls.answer(i) != nullptr) continue;
        auto& one = participants_[to[i]];
        sent[i]->mark_abandoned();
        one.writer->abandon(sent[i]);
        if (calls.late(i)) {
            keep_first(cut_off(one, sent[i]));
        } else if (how_long == Until::all) {
            outcome.stopped = true;
        }
    }
    co_return outcome;
}

WriterCallPtr WriterSet::prepare_call(WriterEvent event, Participant& one) {
    const Nanoseconds now = hub_->loop.now();
    if (event == WriterEvent::prepare_backup) one.told = true;
    if (event == WriterEvent::post_snapshot) one.past_snapshot = true;
    if (event == WriterEvent::freeze) {
        if (!any_frozen()) all_frozen_until_ = now + options_.limits.freeze * millisecond_ns;
        one.frozen = true;
        one.frozen_until = std::min(now + one.options.freeze_limit * millisecond_ns, all_frozen_until_);
    }
    BackupWriter own{one.options.writer_id,
                     one.options.instance_id,
                     one.options.instance_name,
                     one.metadata.schema,
                     {},
                     {}};
    const auto* const part = part_of(one);
    if (shows_document(event) && part != nullptr) own = *part;
    return std::make_shared<WriterCall>(event, facts_, std::move(own));
}

// A Freeze is waited for as long as everyone who is frozen permits. At Thaw each has its own window; those
// whose turn comes later are still frozen, and wait no longer than they permit.
Nanoseconds WriterSet::due(WriterEvent event, std::size_t taker, const Indices& to) const {
    const auto& limits = options_.limits;
    const auto in = [&](Milliseconds limit) { return hub_->loop.now() + limit * millisecond_ns; };
    switch (event) {
        case WriterEvent::identify: return in(limits.identify);
        case WriterEvent::prepare_backup: return in(limits.prepare_backup);
        case WriterEvent::prepare_snapshot: return in(limits.prepare_snapshot);
        case WriterEvent::freeze: return frozen_until();
        case WriterEvent::thaw: {
            Nanoseconds until = participants_[taker].frozen_until;
            for (std::size_t i = 0; i < participants_.size(); ++i) {
                const bool thaws_now = std::ranges::find(to, i) != to.end();
                if (participants_[i].frozen && !thaws_now)
                    until = std::min(until, participants_[i].frozen_until);
            }
            return until;
        }
        case WriterEvent::post_snapshot: return in(limits.post_snapshot);
        case WriterEvent::backup_complete: return in(limits.backup_complete);
        case WriterEvent::pre_restore:
        case WriterEvent::post_restore: return in(limits.restore);
        case WriterEvent::abort:
        case WriterEvent::backup_shutdown: break;
    }
    return in(limits.abort);
}

std::optional<Refusal> WriterSet::take(Participant& one, const WriterCall& call, const WriterAnswer& answer) {
    const auto event = call.event();
    if (call.edited()) {
        if (auto* const part = part_of(one)) part->components = call.components().components;
    }
    // A refusal to undo says nothing of why there was something to undo.
    const bool told_already = event == WriterEvent::abort && vss::failed(one.status.failure);
    if (vss::failed(answer.failure) && !told_already) {
        one.status.failure = writer_code(answer.failure);
        one.status.application_failure = own_code(answer);
        one.status.application_message = answer.application_message;
    }
    if (!answer.fatal()) {
        note_well(one, event);
        return std::nullopt;
    }
    note_failed(one, event, writer_code(answer.failure));
    std::string text = quoted(one) + " refused " + std::string(sdk_name(event));
    if (vss::failed(one.status.application_failure))
        text += " (" + hresult_text(one.status.application_failure) + ")";
    if (!answer.application_message.empty()) text += ": " + answer.application_message;
    return Refusal{one.status.failure, std::move(text)};
}

// No answer in time. Of several that were frozen those are to blame whose window is over; who was only waited
// for is aborted like all others.
Refusal WriterSet::cut_off(Participant& one, const WriterCallPtr& call) {
    const auto event = call->event();
    const std::string what = quoted(one) + " did not answer " + std::string(sdk_name(event));
    if (event != WriterEvent::freeze && event != WriterEvent::thaw) {
        note_failed(one, event, HResult::vss_e_writer_not_responding);
        if (event != WriterEvent::abort) one.status.state = WriterState::unknown;
        return {HResult::vss_e_writer_not_responding, what + " in time"};
    }
    if (one.frozen_until <= hub_->loop.now()) note_failed(one, event, HResult::vss_e_writererror_timeout);
    const auto others = expire(what);
    return {HResult::vss_e_writererror_timeout,
            others ? others->text : what + " within its time from Freeze to Thaw"};
}

void WriterSet::note_well(Participant& one, WriterEvent event) {
    if (event == WriterEvent::thaw || event == WriterEvent::abort) {
        one.frozen = false;
        one.frozen_until = never;
    }
    if (event == WriterEvent::abort) one.aborted = true;
    if (!one.failed) one.status.state = next_state(event);
}

void WriterSet::note_failed(Participant& one, WriterEvent event, HResult code) {
    if (event == WriterEvent::abort) {  // it was told; no more can be done
        note_well(one, event);
        return;
    }
    if (event == WriterEvent::freeze || event == WriterEvent::thaw) one.frozen_until = never;
    one.failed = true;
    one.status.state = failed_state(event);
    one.status.failure = code;
}

Nanoseconds WriterSet::frozen_until() const {
    Nanoseconds earliest = never;
    for (const auto& one : participants_) {
        if (one.frozen) earliest = std::min(earliest, one.frozen_until);
    }
    return earliest;
}

bool WriterSet::any_frozen() const {
    return std::ranges::any_of(participants_, [](const Participant& one) { return one.frozen; });
}

std::optional<Refusal> WriterSet::expire(std::string_view waiting_for) {
    std::string late;
    for (auto& one : participants_) {
        if (!one.frozen || one.frozen_until > hub_->loop.now()) continue;
        note_failed(one, WriterEvent::freeze, HResult::vss_e_writererror_timeout);
        late += late.empty() ? quoted(one) : ", " + quoted(one);
    }
    if (late.empty()) return std::nullopt;
    return Refusal{HResult::vss_e_writererror_timeout,
                   late + " was frozen for longer than it permits, because " + std::string(waiting_for)};
}

BackupWriter* WriterSet::part_of(const Participant& one) const {
    return part_of(one.options.instance_id);
}

BackupWriter* WriterSet::part_of(const Uuid& instance) const {
    if (document_ == nullptr) return nullptr;
    std::vector<RunningWriter> running;
    for (const auto& one : participants_)
        running.push_back({one.options.writer_id, one.options.instance_id, one.options.instance_name});
    const auto matches = match_writers(document_->writers, running);
    for (std::size_t i = 0; i < running.size(); ++i) {
        if (running[i].instance_id == instance && matches[i]) return &document_->writers[*matches[i]];
    }
    return nullptr;
}

void WriterSet::observe(const Participant& one, WriterEvent event) const {
    if (!options_.observe) return;
    options_.observe({one.options.name, one.options.instance_id, true, word(event), hub_->loop.now()});
}

}  // namespace exshadow::vss
