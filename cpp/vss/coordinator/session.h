// Session: one requestor's session with the coordinator; what Requestor's calls do, on the coordinator's
// loop. Order keeps the order. A call while another still runs answers VSS_E_BAD_STATE (whether Windows
// refuses as well is not documented), but for abort_backup(), which stops an asynchronous one first.
//
// What may have to ask a provider is a Task; what VSS does asynchronously is a StepRun that begins at once.
// close() ends the session whatever it is doing: step stopped, set aborted, auto-release snapshots deleted,
// BackupShutdown sent. It is called when the requestor is gone, and by Coordinator::close().
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "runtime/sync.h"
#include "runtime/task.h"
#include "vss/component_index.h"
#include "vss/coordinator/coordinator.h"
#include "vss/coordinator/provider_set.h"
#include "vss/coordinator/writer_set.h"
#include "vss/order.h"
#include "vss/requestor.h"

namespace exshadow::vss {

// A value of an enumeration that came as a bare number.
template <class E>
Status known_value(std::string_view what, E value) {
    for (const auto& row : enum_names<E>()) {
        if (row.value == static_cast<std::int64_t>(value)) return {};
    }
    return vss_error(HResult::e_invalidarg, std::string(what) + " to " + word(value));
}

// One asynchronous call under way. Ends on the loop; looked at from any thread.
class StepRun {
public:
    // What cannot be cancelled runs on when it is asked to stop; only the session's end leaves it.
    StepRun(HubPtr hub, bool can_be_cancelled)
        : can_be_cancelled_(can_be_cancelled), hub_(std::move(hub)), ended_(hub_->loop) {}

    [[nodiscard]] StepStatus status() const;
    void wait_from_outside(Milliseconds limit) const;  // not on the loop's thread

    // Loop thread.
    Task<void> wait();
    HResult ask_to_stop();  // what AsyncStep::cancel() answers
    void end(StepStatus status);

private:
    mutable std::mutex mutex_;
    mutable std::condition_variable outside_;
    StepStatus status_;  // guarded by mutex_
    const bool can_be_cancelled_;
    bool asked_ = false;
    HubPtr hub_;
    Signal ended_;
};
using StepPtr = std::shared_ptr<StepRun>;

class Session : public std::enable_shared_from_this<Session> {
public:
    Session(Coordinator& coordinator, Uuid id);
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
    ~Session();

    // The call that now runs, if any, waits for providers no longer; what must be undone is waited for.
    void stop_waiting() {
        if (busy_) hub_->ask_to_stop();
    }

    // The names and meanings of Requestor.
    Status initialize_for_backup(std::string_view document);
    Status initialize_for_restore(std::string_view document);
    Status set_context(SnapshotAttributes context);
    Status set_backup_state(BackupState state);
    Status set_restore_state(RestoreType type);
    Status enable_writer_classes(std::span<const Uuid> classes);
    Status disable_writer_classes(std::span<const Uuid> classes);
    Status disable_writer_instances(std::span<const Uuid> instances);
    Result<Uuid> session_id();

    Result<StepPtr> gather_writer_metadata();
    Result<std::vector<WriterMetadata>> writer_metadata();
    Result<std::vector<std::string>> writer_metadata_documents();
    Status free_writer_metadata();
    Result<StepPtr> gather_writer_status();
    Result<std::vector<WriterStatus>> writer_status();
    Result<std::vector<BackupWriter>> writer_components();

    Status add_component(ComponentKey component);
    Status set_previous_backup_stamp(ComponentKey component, std::string stamp);
    Status set_backup_options(ComponentKey component, std::string options);

    Task<Result<bool>> is_volume_supported(Uuid provider, std::string volume);
    Result<Uuid> start_snapshot_set();
    Task<Result<Uuid>> add_to_snapshot_set(std::string volume, Uuid provider);
    Result<StepPtr> prepare_for_backup();
    Result<StepPtr> do_snapshot_set();
    Status set_backup_succeeded(ComponentKey component, bool succeeded);
    Result<StepPtr> backup_complete();
    Task<Status> abort_backup();
    Result<std::string> save_as_xml();

    Task<Result<SnapshotProperties>> snapshot_properties(Uuid snapshot);
    Task<Result<std::vector<SnapshotProperties>>> query_snapshots();
    Result<std::vector<ProviderProperties>> query_providers();
    Task<Result<DeleteOutcome>> delete_snapshots(Uuid id, ObjectType type, bool force);
    Task<Status> break_snapshot_set(Uuid set);
    Result<StepPtr> break_snapshot_set_ex(Uuid set, BreakFlags flags);
    Result<StepPtr> import_snapshots();
    Task<Result<std::string>> expose_snapshot(Uuid snapshot, std::string path_from_root, Exposure how,
                                              std::string name);
    Task<Status> unexpose_snapshot(Uuid snapshot);
    Task<Status> revert_to_snapshot(Uuid snapshot, bool force_dismount);
    Result<StepPtr> query_revert_status(std::string volume);
    Result<Requestor::RootAndPrefix> root_and_logical_prefix_paths(std::string path, bool normalize_fqdn);

    Status set_selected_for_restore(ComponentKey component, bool selected);
    Status set_restore_options(ComponentKey component, std::string options);
    Status set_additional_restores(ComponentKey component, bool more);
    Status set_authoritative_restore(ComponentKey component, bool authoritative);
    Status set_roll_forward(ComponentKey component, RollForward kind, std::string point);
    Status set_restore_name(ComponentKey component, std::string name);
    Status add_restore_subcomponent(ComponentKey component, RestoreSubcomponent part);
    Status add_new_target(ComponentKey component, LocationMapping target);
    Status set_ranges_file_path(ComponentKey component, std::uint32_t partial_file, std::string path);
    Result<StepPtr> pre_restore();
    Status add_alternative_location_mapping(ComponentKey component, LocationMapping mapping);
    Status set_file_restore_status(ComponentKey component, FileRestoreStatus status);
    Result<StepPtr> post_restore();
    Task<Status> add_snapshot_to_recovery_set(Uuid snapshot, std::string destination);
    Result<StepPtr> recover_set(RecoveryFlags flags);

    // Idempotent; whoever comes second waits for the first.
    Task<void> close();
    [[nodiscard]] const Order& order() const { return order_; }
    [[nodiscard]] const WriterSet& writers() const { return writers_; }

private:
    struct StepOutcome {
        HResult result = HResult::vss_s_async_finished;
        std::string detail;
    };
    [[nodiscard]] static StepOutcome outcome_of(const Error& error) {
        return {hresult_of(error), vss_context(error)};
    }
    // One call at a time: held while a call waits for somebody.
    class [[nodiscard]] Turn {
    public:
        explicit Turn(Session& session) : session_(&session) { session.busy_ = true; }
        Turn(Turn&& other) noexcept : session_(std::exchange(other.session_, nullptr)) {}
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;
        Turn& operator=(Turn&&) = delete;
        ~Turn() {
            if (session_ != nullptr) session_->end_turn();
        }

    private:
        Session* session_;
    };

    [[nodiscard]] Status permit(Call call) const;
    [[nodiscard]] Result<Turn> take_turn(Call call);
    void end_turn();
    template <class R>
    Task<R> ask(ProviderPtr provider, ProviderCall call, Task<R> task,
                Patience patience = Patience::provider) {
        return providers_.ask(std::move(provider), call, std::move(task), Stoppable::yes, patience);
    }

    // Steps: permitted, then begun; `body` runs to its end or until hub_->stop.
    Result<StepPtr> begin_step(Call call, Task<StepOutcome> body);
    static Task<void> run_step(std::shared_ptr<Session> self, Call call, Task<StepOutcome> body, Turn turn);
    Task<StepOutcome> gather_metadata();
    Task<StepOutcome> gather_status();
    Task<StepOutcome> send_event(WriterEvent event);
    Task<StepOutcome> prepare();
    Task<StepOutcome> make_set();
    Task<StepOutcome> break_set(Uuid set, BreakFlags flags);
    Task<StepOutcome> import_set();
    Task<StepOutcome> import_recorded();
    Task<StepOutcome> wait_for_revert(std::string volume);
    Task<StepOutcome> recover(RecoveryFlags flags);
    Task<StepOutcome> before_restore();
    Task<StepOutcome> after_restore();

    // make_set() in its parts; the first that does not go well ends it.
    Task<EventOutcome> freeze_and_commit();
    Task<EventOutcome> step_while_frozen(ProviderCall call, Nanoseconds until);
    Task<EventOutcome> commit_held();
    Task<EventOutcome> thaw_and_finish();
    Task<void> record_snapshots();
    Task<std::vector<Error>> undo_set();
    void tell_trouble(const std::vector<Error>& troubles) const;
    [[nodiscard]] bool snapshot_needed() const;

    [[nodiscard]] bool is_same_volume(const std::string& one, const std::string& other) const;
    void tell_writers();  // facts have changed
    [[nodiscard]] bool involves_writers() const;
    void give_back_slot();
    [[nodiscard]] std::vector<Participant> chosen_writers() const;
    Status filter(std::vector<Uuid>& list, std::span<const Uuid> ids);
    [[nodiscard]] Result<BackupComponent*> component(Call call, const ComponentKey& key);
    [[nodiscard]] ComponentIndex& index_of(const BackupWriter& part);
    [[nodiscard]] BackupComponent* find_component(const ComponentKey& key);
    [[nodiscard]] const WriterMetadata* live_metadata(const ComponentKey& key) const;
    [[nodiscard]] const WriterMetadata* restored_by(const ComponentKey& key);
    [[nodiscard]] Status check_file_set(const ComponentKey& key, const FileSet& files);
    // What the providers have; the failure is of the first that did not say.
    struct Catalogue {
        std::vector<SnapshotProperties> snapshots;
        std::optional<Error> failure;
    };
    Task<Catalogue> all_snapshots();
    struct Found {
        ProviderPtr provider;
        SnapshotProperties properties;
    };
    Task<Result<std::vector<Found>>> find_snapshots(Uuid id, ObjectType type);
    Task<Result<Found>> find_snapshot(Uuid id);
    [[nodiscard]] ProviderPtr provider(const Uuid& id) const;
    [[nodiscard]] bool in_context(const SnapshotProperties& properties) const;
    Task<void> release_snapshots();
    Task<void> end_session();

    Coordinator& coordinator_;
    const Uuid id_;
    HubPtr hub_;
    Order order_;
    WriterSet writers_;
    ProviderSet providers_;

    SnapshotAttributes context_ = context::backup;
    BackupState state_;
    RestoreType restore_type_ = RestoreType::undefined;
    BackupDocument document_;
    // Of the document's writers, by their place in it: writers' edits leave the names of components as they
    // are.
    std::vector<ComponentIndex> document_index_;
    std::map<Uuid, ComponentIndex> metadata_index_;  // of the live writers, by instance
    std::vector<Uuid> enabled_classes_, disabled_classes_, disabled_instances_;
    bool only_enabled_ = false;
    std::vector<WriterMetadata> metadata_;
    std::vector<WriterStatus> statuses_;

    Uuid set_id_;
    std::vector<std::string> volumes_;
    std::vector<ResyncPair> recovery_;
    bool slot_taken_ = false;
    bool set_made_ = false;

    bool busy_ = false;
    StepPtr step_;
    bool closing_ = false;
    bool closed_ = false;
    Signal idle_;
};

}  // namespace exshadow::vss
