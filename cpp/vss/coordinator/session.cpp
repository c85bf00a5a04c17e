#include "vss/coordinator/session.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "vss/documents.h"

namespace exshadow::vss {

StepStatus StepRun::status() const {
    const std::lock_guard lock(mutex_);
    return status_;
}

void StepRun::wait_from_outside(Milliseconds limit) const {
    std::unique_lock lock(mutex_);
    outside_.wait_for(lock, std::chrono::milliseconds(std::max<Milliseconds>(limit, 0)),
                      [this] { return status_.state != StepState::pending; });
}

Task<void> StepRun::wait() {
    while (status().state == StepState::pending) co_await ended_.wait();
}

HResult StepRun::ask_to_stop() {
    const auto state = status().state;
    if (state == StepState::cancelled || (state == StepState::pending && asked_))
        return HResult::vss_s_async_cancelled;
    if (state != StepState::pending) return HResult::vss_s_async_finished;
    asked_ = true;
    if (can_be_cancelled_) hub_->ask_to_stop();
    return HResult::s_ok;
}

void StepRun::end(StepStatus status) {
    const std::lock_guard lock(mutex_);
    status_ = std::move(status);
    outside_.notify_all();
    ended_.notify();
}

Session::Session(Coordinator& coordinator, Uuid id)
    : coordinator_(coordinator),
      id_(id),
      hub_(std::make_shared<Hub>(coordinator.loop(), coordinator.alarms())),
      writers_(hub_, coordinator.options()),
      providers_(hub_, coordinator.options()),
      idle_(coordinator.loop()) {
    writers_.set_document(document_);
    tell_writers();
}

Session::~Session() {
    EXSHADOW_CHECK(closed_);
}

Status Session::permit(Call call) const {
    if (closing_)
        return vss_error(HResult::vss_e_bad_state, std::string(name(call)) + ": the session has ended");
    if (busy_)
        return vss_error(HResult::vss_e_bad_state, std::string(name(call)) + " while another call runs");
    return order_.permit(call);
}

Result<Session::Turn> Session::take_turn(Call call) {
    EXSHADOW_TRY(permit(call));
    hub_->stop = false;
    return Turn(*this);
}

void Session::end_turn() {
    busy_ = false;
    idle_.notify();
}

Result<StepPtr> Session::begin_step(Call call, Task<StepOutcome> body) {
    auto turn = take_turn(call);
    if (!turn.ok()) return turn.error();
    const auto step = step_ = std::make_shared<StepRun>(hub_, call != Call::query_revert_status);
    spawn(run_step(shared_from_this(), call, std::move(body), std::move(*turn)));
    return step;
}

Task<void> Session::run_step(std::shared_ptr<Session> self, Call call, Task<StepOutcome> body, Turn turn) {
    auto outcome = co_await std::move(body);
    const bool well = !failed(outcome.result) && outcome.result != HResult::vss_s_async_cancelled;
    self->order_.ended(call, well);
    const auto step = std::exchange(self->step_, nullptr);
    const Turn over(std::move(turn));
    StepStatus status{StepState::finished, outcome.result, std::move(outcome.detail)};
    if (!well) {
        status.state =
            outcome.result == HResult::vss_s_async_cancelled ? StepState::cancelled : StepState::failed;
    }
    step->end(std::move(status));
}

// --- Beginning.

Status Session::initialize_for_backup(std::string_view document) {
    EXSHADOW_TRY(permit(Call::initialize_for_backup));
    if (!document.empty()) {
        auto parsed = parse_backup_document(document);
        if (!parsed.ok()) return parsed.error();
        document_ = std::move(*parsed);
    }
    order_.set_from_document(!document.empty());
    order_.ended(Call::initialize_for_backup, true);
    return {};
}

Status Session::initialize_for_restore(std::string_view document) {
    EXSHADOW_TRY(permit(Call::initialize_for_restore));
    auto parsed = parse_backup_document(document);
    if (!parsed.ok()) return parsed.error();
    document_ = std::move(*parsed);
    state_ = {document_.select_components, document_.bootable_system_state, document_.type,
              document_.partial_files};
    set_id_ = document_.snapshot_set_id;
    tell_writers();
    order_.ended(Call::initialize_for_restore, true);
    return {};
}

namespace {

// One of the SDK's contexts, and beside it what a requestor may add.
bool is_possible(SnapshotAttributes attributes) {
    const auto kinds = SnapshotAttributes::differential | SnapshotAttributes::plex;
    const auto base = attributes & (context::client_accessible | context::nas_rollback);
    const auto added = SnapshotAttributes::transportable | kinds | SnapshotAttributes::no_autorecovery |
                       SnapshotAttributes::not_transacted | SnapshotAttributes::rollback_recovery |
                       SnapshotAttributes::txf_recovery;
    constexpr auto known = std::to_array<SnapshotAttributes>(
        {context::backup, context::file_share_backup, context::nas_rollback, context::app_rollback,
         context::client_accessible, context::client_accessible_writers});
    if (std::ranges::find(known, base) == known.end() || (attributes & (base | added)) != attributes)
        return false;
    const bool any_kind = (attributes & kinds) != SnapshotAttributes::no_flags;
    return !has(attributes, kinds) && !(any_kind && has(attributes, SnapshotAttributes::client_accessible));
}

}  // namespace

Status Session::set_context(SnapshotAttributes context) {
    EXSHADOW_TRY(permit(Call::set_context));
    if (context != context::all && !is_possible(context))
        return vss_error(HResult::vss_e_unsupported_context, "SetContext to " + word(context));
    context_ = context;
    order_.set_writers(involves_writers());
    tell_writers();
    return {};
}

Status Session::set_backup_state(BackupState state) {
    EXSHADOW_TRY(permit(Call::set_backup_state));
    if (state.type == BackupType::undefined)
        return vss_error(HResult::e_invalidarg, "SetBackupState without a type");
    EXSHADOW_TRY(known_value("SetBackupState", state.type));
    state_ = state;
    document_.select_components = state.select_components;
    document_.bootable_system_state = state.bootable_system_state;
    document_.type = state.type;
    document_.partial_files = state.partial_files;
    tell_writers();
    return {};
}

Status Session::set_restore_state(RestoreType type) {
    EXSHADOW_TRY(permit(Call::set_restore_state));
    EXSHADOW_TRY(known_value("SetRestoreState", type));
    restore_type_ = type;
    tell_writers();
    return {};
}

Status Session::filter(std::vector<Uuid>& list, std::span<const Uuid> ids) {
    EXSHADOW_TRY(permit(Call::filter_writers));
    list.insert(list.end(), ids.begin(), ids.end());
    return {};
}

// The first call cancels what was disabled before it.
Status Session::enable_writer_classes(std::span<const Uuid> classes) {
    EXSHADOW_TRY(filter(enabled_classes_, classes));
    if (!std::exchange(only_enabled_, true)) disabled_classes_.clear();
    return {};
}
Status Session::disable_writer_classes(std::span<const Uuid> classes) {
    return filter(disabled_classes_, classes);
}
Status Session::disable_writer_instances(std::span<const Uuid> instances) {
    return filter(disabled_instances_, instances);
}

Result<Uuid> Session::session_id() {
    EXSHADOW_TRY(permit(Call::get_session_id));
    return id_;
}

bool Session::involves_writers() const {
    return context_ == context::all || !has(context_, SnapshotAttributes::no_writers);
}

void Session::tell_writers() {
    SessionFacts facts{
        id_, set_id_, context_, state_, restore_type_, volumes_, coordinator_.options().volume_of_path};
    writers_.set_facts(std::make_shared<const SessionFacts>(std::move(facts)));
}

// --- The end.

Task<void> Session::close() {
    const auto self = shared_from_this();
    if (std::exchange(closing_, true)) {
        while (!closed_) co_await idle_.wait();
        co_return;
    }
    while (busy_) {
        hub_->ask_to_stop();
        co_await idle_.wait();
    }
    hub_->stop = false;
    auto ending = end_session();
    co_await std::move(ending);
    closed_ = true;
    idle_.notify();
    coordinator_.forget(*this);
}

Task<void> Session::end_session() {
    if (order_.must_abort()) {
        auto undoing = undo_set();
        co_await std::move(undoing);
    }
    auto releasing = release_snapshots();
    co_await std::move(releasing);
    auto telling = writers_.shut_down();
    co_await std::move(telling);
    give_back_slot();
}

void Session::give_back_slot() {
    if (std::exchange(slot_taken_, false)) coordinator_.slot().give_back();
}

}  // namespace exshadow::vss
