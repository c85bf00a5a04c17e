#include "scenario/scripted_requestor.h"

#include <atomic>

namespace exshadow::scenario {

using namespace vss;  // every word of the contract is here

namespace {

class ScriptedStep final : public AsyncStep {
public:
    ScriptedStep(Step inner, StepScript script)
        : inner_(std::move(inner)), pending_(script.pending), result_(script.result) {}

    Status wait(Milliseconds limit) override {
        if (pending_ > 0) return {};  // "time is up": the caller looks, and asks again
        return inner_->wait(limit);
    }
    Result<StepStatus> query_status() override {
        if (pending_ > 0) {
            --pending_;
            return StepStatus{};
        }
        auto status = inner_->query_status();
        if (!status.ok() || status->state == StepState::pending || !result_) return status;
        return StepStatus{failed(*result_) ? StepState::failed : StepState::finished, *result_};
    }
    Result<HResult> cancel() override {
        pending_ = 0;
        return inner_->cancel();
    }

private:
    Step inner_;
    std::atomic<int> pending_;
    const std::optional<HResult> result_;
};

class ScriptedRequestor final : public Requestor {
public:
    ScriptedRequestor(std::unique_ptr<Requestor> inner, std::shared_ptr<CallScripts> scripts)
        : inner_(std::move(inner)), scripts_(std::move(scripts)) {}

    Status initialize_for_backup(std::string_view document) override {
        return ask("InitializeForBackup", &Requestor::initialize_for_backup, document);
    }
    Status initialize_for_restore(std::string_view document) override {
        return ask("InitializeForRestore", &Requestor::initialize_for_restore, document);
    }
    Status set_context(SnapshotAttributes context) override {
        return ask("SetContext", &Requestor::set_context, context);
    }
    Status set_backup_state(BackupState state) override {
        return ask("SetBackupState", &Requestor::set_backup_state, state);
    }
    Status set_restore_state(RestoreType type) override {
        return ask("SetRestoreState", &Requestor::set_restore_state, type);
    }
    Status enable_writer_classes(std::span<const Uuid> classes) override {
        return ask("EnableWriterClasses", &Requestor::enable_writer_classes, classes);
    }
    Status disable_writer_classes(std::span<const Uuid> classes) override {
        return ask("DisableWriterClasses", &Requestor::disable_writer_classes, classes);
    }
    Status disable_writer_instances(std::span<const Uuid> instances) override {
        return ask("DisableWriterInstances", &Requestor::disable_writer_instances, instances);
    }
    Result<Uuid> session_id() override { return ask("GetSessionId", &Requestor::session_id); }

    Result<Step> gather_writer_metadata() override {
        return begin("GatherWriterMetadata", &Requestor::gather_writer_metadata);
    }
    Result<std::vector<WriterMetadata>> writer_metadata() override {
        return ask("GetWriterMetadata", &Requestor::writer_metadata);
    }
    Result<std::vector<std::string>> writer_metadata_documents() override {
        return inner_->writer_metadata_documents();  // the SDK has one call for both
    }
    Status free_writer_metadata() override {
        return ask("FreeWriterMetadata", &Requestor::free_writer_metadata);
    }
    Result<Step> gather_writer_status() override {
        return begin("GatherWriterStatus", &Requestor::gather_writer_status);
    }
    Result<std::vector<WriterStatus>> writer_status() override {
        return ask("GetWriterStatus", &Requestor::writer_status);
    }
    Result<std::vector<BackupWriter>> writer_components() override {
        return ask("GetWriterComponents", &Requestor::writer_components);
    }

    Status add_component(const ComponentKey& component) override {
        return ask("AddComponent", &Requestor::add_component, component);
    }
    Status set_previous_backup_stamp(const ComponentKey& component, std::string_view stamp) override {
        return ask("SetPreviousBackupStamp", &Requestor::set_previous_backup_stamp, component, stamp);
    }
    Status set_backup_options(const ComponentKey& component, std::string_view options) override {
        return ask("SetBackupOptions", &Requestor::set_backup_options, component, options);
    }

    Result<bool> is_volume_supported(const Uuid& provider, std::string_view volume) override {
        return ask("IsVolumeSupported", &Requestor::is_volume_supported, provider, volume);
    }
    Result<Uuid> start_snapshot_set() override {
        return ask("StartSnapshotSet", &Requestor::start_snapshot_set);
    }
    Result<Uuid> add_to_snapshot_set(std::string_view volume, const Uuid& provider) override {
        return ask("AddToSnapshotSet", &Requestor::add_to_snapshot_set, volume, provider);
    }
    Result<Step> prepare_for_backup() override {
        return begin("PrepareForBackup", &Requestor::prepare_for_backup);
    }
    Result<Step> do_snapshot_set() override { return begin("DoSnapshotSet", &Requestor::do_snapshot_set); }
    Status set_backup_succeeded(const ComponentKey& component, bool succeeded) override {
        return ask("SetBackupSucceeded", &Requestor::set_backup_succeeded, component, succeeded);
    }
    Result<Step> backup_complete() override { return begin("BackupComplete", &Requestor::backup_complete); }
    Status abort_backup() override { return ask("AbortBackup", &Requestor::abort_backup); }
    Result<std::string> save_as_xml() override { return ask("SaveAsXML", &Requestor::save_as_xml); }

    Result<SnapshotProperties> snapshot_properties(const Uuid& snapshot) override {
        return ask("GetSnapshotProperties", &Requestor::snapshot_properties, snapshot);
    }
    Result<std::vector<SnapshotProperties>> query_snapshots() override {
        return ask("Query", &Requestor::query_snapshots);
    }
    Result<std::vector<ProviderProperties>> query_providers() override {
        return ask("Query", &Requestor::query_providers);
    }
    Result<DeleteOutcome> delete_snapshots(const Uuid& id, ObjectType type, bool force) override {
        return ask("DeleteSnapshots", &Requestor::delete_snapshots, id, type, force);
    }
    Status break_snapshot_set(const Uuid& set) override {
        return ask("BreakSnapshotSet", &Requestor::break_snapshot_set, set);
    }
    Result<Step> break_snapshot_set_ex(const Uuid& set, BreakFlags flags) override {
        return begin("BreakSnapshotSetEx", &Requestor::break_snapshot_set_ex, set, flags);
    }
    Result<Step> import_snapshots() override {
        return begin("ImportSnapshots", &Requestor::import_snapshots);
    }
    Result<std::string> expose_snapshot(const Uuid& snapshot, std::string_view path_from_root, Exposure how,
                                        std::string_view name) override {
        return ask("ExposeSnapshot", &Requestor::expose_snapshot, snapshot, path_from_root, how, name);
    }
    Status unexpose_snapshot(const Uuid& snapshot) override {
        return ask("UnexposeSnapshot", &Requestor::unexpose_snapshot, snapshot);
    }
    Status revert_to_snapshot(const Uuid& snapshot, bool force_dismount) override {
        return ask("RevertToSnapshot", &Requestor::revert_to_snapshot, snapshot, force_dismount);
    }
    Result<Step> query_revert_status(std::string_view volume) override {
        return begin("QueryRevertStatus", &Requestor::query_revert_status, volume);
    }
    Result<RootAndPrefix> root_and_logical_prefix_paths(std::string_view path, bool normalize) override {
        return ask("GetRootAndLogicalPrefixPaths", &Requestor::root_and_logical_prefix_paths, path,
                   normalize);
    }

    Status set_selected_for_restore(const ComponentKey& component, bool selected) override {
        return ask("SetSelectedForRestore", &Requestor::set_selected_for_restore, component, selected);
    }
    Status set_restore_options(const ComponentKey& component, std::string_view options) override {
        return ask("SetRestoreOptions", &Requestor::set_restore_options, component, options);
    }
    Status set_additional_restores(const ComponentKey& component, bool more) override {
        return ask("SetAdditionalRestores", &Requestor::set_additional_restores, component, more);
    }
    Status set_authoritative_restore(const ComponentKey& component, bool authoritative) override {
        return ask("SetAuthoritativeRestore", &Requestor::set_authoritative_restore, component,
                   authoritative);
    }
    Status set_roll_forward(const ComponentKey& component, RollForward kind,
                            std::string_view point) override {
        return ask("SetRollForward", &Requestor::set_roll_forward, component, kind, point);
    }
    Status set_restore_name(const ComponentKey& component, std::string_view name) override {
        return ask("SetRestoreName", &Requestor::set_restore_name, component, name);
    }
    Status add_restore_subcomponent(const ComponentKey& component, const RestoreSubcomponent& part) override {
        return ask("AddRestoreSubcomponent", &Requestor::add_restore_subcomponent, component, part);
    }
    Status add_new_target(const ComponentKey& component, const LocationMapping& target) override {
        return ask("AddNewTarget", &Requestor::add_new_target, component, target);
    }
    Status set_ranges_file_path(const ComponentKey& component, std::uint32_t partial_file,
                                std::string_view path) override {
        return ask("SetRangesFilePath", &Requestor::set_ranges_file_path, component, partial_file, path);
    }
    Result<Step> pre_restore() override { return begin("PreRestore", &Requestor::pre_restore); }
    Status add_alternative_location_mapping(const ComponentKey& component,
                                            const LocationMapping& mapping) override {
        return ask("AddAlternativeLocationMapping", &Requestor::add_alternative_location_mapping, component,
                   mapping);
    }
    Status set_file_restore_status(const ComponentKey& component, FileRestoreStatus status) override {
        return ask("SetFileRestoreStatus", &Requestor::set_file_restore_status, component, status);
    }
    Result<Step> post_restore() override { return begin("PostRestore", &Requestor::post_restore); }
    Status add_snapshot_to_recovery_set(const Uuid& snapshot, std::string_view destination) override {
        return ask("AddSnapshotToRecoverySet", &Requestor::add_snapshot_to_recovery_set, snapshot,
                   destination);
    }
    Result<Step> recover_set(RecoveryFlags flags) override {
        return begin("RecoverSet", &Requestor::recover_set, flags);
    }

private:
    template <class Answer, class... Parameters, class... Arguments>
    Answer ask(const char* call, Answer (Requestor::*method)(Parameters...), Arguments&&... arguments) {
        if (const auto answer = scripts_->take(call)) return vss_error(*answer, call);
        return (inner_.get()->*method)(std::forward<Arguments>(arguments)...);
    }
    template <class... Parameters, class... Arguments>
    Result<Step> begin(const char* call, Result<Step> (Requestor::*method)(Parameters...),
                       Arguments&&... arguments) {
        auto step = ask(call, method, std::forward<Arguments>(arguments)...);
        const auto script = scripts_->step(call);
        if (!step.ok() || !script) return step;
        return Step(std::make_unique<ScriptedStep>(std::move(step).value(), *script));
    }

    std::unique_ptr<Requestor> inner_;
    std::shared_ptr<CallScripts> scripts_;
};

}  // namespace

CallScripts::CallScripts(const Json& calls, const Json& steps) {
    for (const auto& [name, answer] : calls.items()) {
        check_keys(answer, {"result", "times"}, name);
        answers_[name].result = hresult_named(text_of(answer, "result"));
        if (answer.contains("times")) answers_[name].times = answer["times"].get<int>();
    }
    for (const auto& [name, step] : steps.items()) {
        check_keys(step, {"pending", "result"}, name);
        steps_[name].pending = step.value("pending", 0);
        if (step.contains("result")) steps_[name].result = hresult_named(text_of(step, "result"));
    }
}

std::optional<HResult> CallScripts::take(const char* call) {
    const std::lock_guard lock(mutex_);
    asked_.emplace_back(call);
    const auto found = answers_.find(call);
    if (found == answers_.end()) return std::nullopt;
    auto& answer = found->second;
    if (answer.times && *answer.times == 0) return std::nullopt;
    if (answer.times) --*answer.times;
    return answer.result;
}

std::optional<StepScript> CallScripts::step(const char* call) {
    const std::lock_guard lock(mutex_);
    const auto found = steps_.find(call);
    if (found == steps_.end()) return std::nullopt;
    return found->second;
}

void CallScripts::answer_from_now(const char* call, HResult result) {
    const std::lock_guard lock(mutex_);
    answers_[call] = {result, std::nullopt};
}

std::vector<std::string> CallScripts::asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
}

std::unique_ptr<Requestor> scripted(std::unique_ptr<Requestor> inner, std::shared_ptr<CallScripts> scripts) {
    return std::make_unique<ScriptedRequestor>(std::move(inner), std::move(scripts));
}

}  // namespace exshadow::scenario
