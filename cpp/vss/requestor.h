// Requestor: IVssBackupComponents through ..Ex4, in snake_case, as far as a requestor needs it. Two
// implementations: win32/com_requestor.h drives the real COM object, coordinator/ plays the service
// elsewhere. Both keep the one table of legal orders (order.h) and give HRESULTs as errors (hresult.h).
//
// One object is one backup, or one restore, or one query session; it is never used again. Destroying it ends
// the session: a set that was begun and not completed is aborted first (after PrepareForBackup), snapshots of
// auto-release contexts vanish, writers get BackupShutdown.
//
// Thread rule: one call at a time, from any thread. AsyncStep::cancel may come from another thread.
// Ownership: everything returned is a value; an AsyncStep may outlive a cancelled call but not the Requestor.
// Errors: vss_error() with the service's HRESULT; VSS_E_BAD_STATE, before anything is asked of the service,
// when the order is broken; Code::timed_out when finish() gave up.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "vss/metadata.h"
#include "vss/types.h"

namespace exshadow::vss {

using Milliseconds = std::int64_t;

// The second result of an asynchronous call (IVssAsync::QueryStatus).
enum class StepState : std::uint8_t { pending, finished, cancelled, failed };
struct StepStatus {
    StepState state = StepState::pending;
    HResult result = HResult::vss_s_async_pending;  // VSS_S_ASYNC_... or the operation's failure
    // Who refused what ("writer 'X' refused Freeze"). Empty on Windows, where only status and log know.
    std::string detail{};
};

// IVssAsync. The first result of an asynchronous call is whether it began; this object has the second.
class AsyncStep {
public:
    AsyncStep() = default;
    AsyncStep(const AsyncStep&) = delete;
    AsyncStep& operator=(const AsyncStep&) = delete;
    virtual ~AsyncStep() = default;

    // Returns when the step has ended or the time is up, with success in both cases.
    virtual Status wait(Milliseconds limit) = 0;
    virtual Result<StepStatus> query_status() = 0;  // its own error: it could not be asked
    // Asks to stop. vss_s_async_cancelled: asked before; vss_s_async_finished: too late; s_ok: asked now.
    virtual Result<HResult> cancel() = 0;
};
using Step = std::unique_ptr<AsyncStep>;

struct WaitLimits {
    Milliseconds limit = 600'000;     // of the whole step; then it is cancelled
    Milliseconds slice = 500;         // between two looks at `cancelled`
    Milliseconds grace = 30'000;      // for a cancelled step to end
    std::function<bool()> cancelled;  // asked between slices; empty: never
};
// Waits in slices until the step ends and gives its result: vss_s_async_finished or another success code
// (VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED), or the failure as an error that begins with `what`. Past the limit or
// on request it cancels, waits `grace` and gives Code::timed_out or Code::cancelled: the object must then be
// aborted (its destructor does).
[[nodiscard]] Result<HResult> finish(AsyncStep& step, std::string_view what, const WaitLimits& limits);

struct BackupState {
    bool select_components = true;
    bool bootable_system_state = false;
    BackupType type = BackupType::full;
    bool partial_files = false;
};

struct DeleteOutcome {
    std::int32_t deleted = 0;
    std::optional<Uuid> failed_snapshot;  // deletion stopped there
    HResult failure = HResult::s_ok;
};

enum class Exposure : std::uint8_t { locally, remotely };

class Requestor {
public:
    Requestor() = default;
    Requestor(const Requestor&) = delete;
    Requestor& operator=(const Requestor&) = delete;
    virtual ~Requestor() = default;

    // --- Beginning. An empty document: a new backup or a query session; a document: import of a
    // transportable set.
    virtual Status initialize_for_backup(std::string_view document) = 0;
    virtual Status initialize_for_restore(std::string_view document) = 0;
    virtual Status set_context(SnapshotAttributes context) = 0;  // default context::backup
    virtual Status set_backup_state(BackupState state) = 0;
    virtual Status set_restore_state(RestoreType type) = 0;
    virtual Status enable_writer_classes(std::span<const Uuid> classes) = 0;
    virtual Status disable_writer_classes(std::span<const Uuid> classes) = 0;
    virtual Status disable_writer_instances(std::span<const Uuid> instances) = 0;
    virtual Result<Uuid> session_id() = 0;  // Ex3

    // --- Writers. Gather once; the documents are read one by one, parsed and as the service gave them.
    virtual Result<Step> gather_writer_metadata() = 0;
    virtual Result<std::vector<WriterMetadata>> writer_metadata() = 0;
    virtual Result<std::vector<std::string>> writer_metadata_documents() = 0;
    virtual Status free_writer_metadata() = 0;
    virtual Result<Step> gather_writer_status() = 0;
    virtual Result<std::vector<WriterStatus>> writer_status() = 0;  // reads all and frees them
    // The components in the document, anew at every call: pointers of the SDK go stale, values do not.
    virtual Result<std::vector<BackupWriter>> writer_components() = 0;

    // --- Choosing what to back up.
    virtual Status add_component(const ComponentKey& component) = 0;  // needs the instance
    virtual Status set_previous_backup_stamp(const ComponentKey& component, std::string_view stamp) = 0;
    virtual Status set_backup_options(const ComponentKey& component, std::string_view options) = 0;

    // --- The snapshot set. A nil provider leaves the choice to the service: hardware, software, system.
    virtual Result<bool> is_volume_supported(const Uuid& provider, std::string_view volume) = 0;
    virtual Result<Uuid> start_snapshot_set() = 0;  // VSS_E_SNAPSHOT_SET_IN_PROGRESS while another is open
    virtual Result<Uuid> add_to_snapshot_set(std::string_view volume, const Uuid& provider) = 0;
    virtual Result<Step> prepare_for_backup() = 0;
    virtual Result<Step> do_snapshot_set() = 0;
    virtual Status set_backup_succeeded(const ComponentKey& component,
                                        bool succeeded) = 0;  // needs the instance
    virtual Result<Step> backup_complete() = 0;
    virtual Status abort_backup() = 0;
    virtual Result<std::string> save_as_xml() = 0;

    // --- Snapshots that exist. query_*: an empty list when there are none.
    virtual Result<SnapshotProperties> snapshot_properties(const Uuid& snapshot) = 0;
    virtual Result<std::vector<SnapshotProperties>> query_snapshots() = 0;
    virtual Result<std::vector<ProviderProperties>> query_providers() = 0;
    virtual Result<DeleteOutcome> delete_snapshots(const Uuid& id, ObjectType type, bool force) = 0;
    virtual Status break_snapshot_set(const Uuid& set) = 0;
    virtual Result<Step> break_snapshot_set_ex(const Uuid& set, BreakFlags flags) = 0;  // Ex2
    // The step's result may be VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED: finished, with that result.
    virtual Result<Step> import_snapshots() = 0;
    virtual Result<std::string> expose_snapshot(const Uuid& snapshot, std::string_view path_from_root,
                                                Exposure how,
                                                std::string_view name) = 0;  // gives the name it got
    virtual Status unexpose_snapshot(const Uuid& snapshot) = 0;              // Ex2
    virtual Status revert_to_snapshot(const Uuid& snapshot, bool force_dismount) = 0;
    virtual Result<Step> query_revert_status(std::string_view volume) = 0;
    struct RootAndPrefix {
        std::string root;    // volume root or share
        std::string prefix;  // the same for people
    };
    virtual Result<RootAndPrefix> root_and_logical_prefix_paths(std::string_view path,
                                                                bool normalize_fqdn) = 0;  // Ex4

    // --- Restore. An instance in the key is one that runs now (Ex: "restored to this instance"); nil: the
    // first of its class in the document. Only SetSelectedForRestoreEx takes one: Windows' other calls go by
    // the class.
    virtual Status set_selected_for_restore(const ComponentKey& component, bool selected) = 0;
    virtual Status set_restore_options(const ComponentKey& component, std::string_view options) = 0;
    virtual Status set_additional_restores(const ComponentKey& component, bool more) = 0;
    virtual Status set_authoritative_restore(const ComponentKey& component, bool authoritative) = 0;  // Ex2
    virtual Status set_roll_forward(const ComponentKey& component, RollForward kind,
                                    std::string_view point) = 0;
    virtual Status set_restore_name(const ComponentKey& component, std::string_view name) = 0;
    virtual Status add_restore_subcomponent(const ComponentKey& component,
                                            const RestoreSubcomponent& part) = 0;
    virtual Status add_new_target(const ComponentKey& component, const LocationMapping& target) = 0;
    virtual Status set_ranges_file_path(const ComponentKey& component, std::uint32_t partial_file,
                                        std::string_view path) = 0;
    virtual Result<Step> pre_restore() = 0;
    virtual Status add_alternative_location_mapping(const ComponentKey& component,
                                                    const LocationMapping& mapping) = 0;
    virtual Status set_file_restore_status(const ComponentKey& component, FileRestoreStatus status) = 0;
    virtual Result<Step> post_restore() = 0;
    // Resynchronisation of whole disks (Ex3). An empty destination: the volume the snapshot was made of.
    virtual Status add_snapshot_to_recovery_set(const Uuid& snapshot, std::string_view destination) = 0;
    virtual Result<Step> recover_set(RecoveryFlags flags) = 0;
};

}  // namespace exshadow::vss
