// Provider: what makes the snapshots, in the form of VSS's software providers (fact sheet, section 5). A
// set's steps come in the order of the declarations below; the coordinator keeps it.
//
// Errors are vss_error() with a code of contract_codes(); any other is reported as
// VSS_E_UNEXPECTED_PROVIDER_ERROR, with the provider's text.
//
// A Provider is asynchronous and runs on the coordinator's loop; a BlockingProvider is given to
// on_own_thread() (blocking.h). A call that takes longer than its limit is abandoned, its answer dropped;
// abort_snapshots may come while it still runs.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/task.h"
#include "vss/metadata.h"
#include "vss/requestor.h"
#include "vss/types.h"

namespace exshadow::vss {

enum class ProviderCall : std::uint8_t {
    is_supported,
    snapshot_id,
    begin_prepare,
    end_prepare,
    pre_commit,
    commit,
    post_commit,
    pre_final_commit,
    post_final_commit,
    abort,
    query,
    remove,  // DeleteSnapshots
    break_set,
    import,
    expose,
    unexpose,
    revert,
    revert_status,
    resync,
};
inline constexpr std::size_t provider_call_count = static_cast<std::size_t>(ProviderCall::resync) + 1;
[[nodiscard]] std::string_view word(ProviderCall call);      // "begin_prepare", "delete", "break"
[[nodiscard]] std::string_view sdk_name(ProviderCall call);  // "BeginPrepareSnapshot"

// The HRESULTs that a provider may answer.
[[nodiscard]] std::span<const HResult> contract_codes();

struct ProviderFacts {
    ProviderProperties properties;  // its id and type decide the choice
    bool differential = true;       // kinds it can make
    bool plex = true;
    bool transportable = false;  // hardware providers only
    bool breaks = false;         // BreakSnapshotSet; software providers do not
    bool reverts = false;
    bool resyncs = false;  // LUN_RESYNC
    bool exposes = false;
};

struct SnapshotRequest {
    Uuid set_id;
    Uuid snapshot_id;
    std::string volume;
    SnapshotAttributes attributes = context::backup;  // the session's context and what was added to it
};

struct ResyncPair {
    Uuid snapshot_id;
    std::string destination;  // volume to be overwritten; empty: the one the snapshot was made of
};

using CallNumber = std::uint64_t;

class Provider {
public:
    Provider() = default;
    Provider(const Provider&) = delete;
    Provider& operator=(const Provider&) = delete;
    virtual ~Provider() = default;

    [[nodiscard]] virtual const ProviderFacts& facts() const = 0;

    // VSS_E_OBJECT_NOT_FOUND: there is no such volume.
    virtual Task<Result<bool>> is_volume_supported(std::string volume, SnapshotAttributes attributes) = 0;

    // The id that a snapshot will have. Most take the one proposed; one that cannot keep ids makes its own.
    virtual Task<Result<Uuid>> snapshot_id(Uuid set, std::string volume, Uuid proposed);

    // Making a set. begin_prepare_snapshot starts what is slow and comes back quickly; one of another set
    // means that the former set was dropped before end_prepare_snapshots.
    virtual Task<Status> begin_prepare_snapshot(SnapshotRequest request) = 0;
    virtual Task<Status> end_prepare_snapshots(Uuid set) = 0;
    virtual Task<Status> pre_commit_snapshots(Uuid set) = 0;                       // writers are frozen
    virtual Task<Status> commit_snapshots(Uuid set) = 0;                           // the point in time
    virtual Task<Status> post_commit_snapshots(Uuid set, std::int32_t count) = 0;  // writes flow again
    virtual Task<Status> pre_final_commit_snapshots(Uuid set) = 0;                 // may still be repaired
    virtual Task<Status> post_final_commit_snapshots(Uuid set) = 0;                // read-only from now on
    // At any moment after end_prepare_snapshots was called, also while it runs; ignored for a finished set.
    virtual Task<Status> abort_snapshots(Uuid set) = 0;

    // Snapshots that exist. query gives all finished ones, whatever their context; what is being made is
    // not found. The provider keeps attributes, set id and set size.
    virtual Task<Result<std::vector<SnapshotProperties>>> query() = 0;
    virtual Task<Status> delete_snapshot(Uuid snapshot, bool force) = 0;
    virtual Task<Status> break_snapshot_set(Uuid set, BreakFlags flags);
    // Surfaces one snapshot of a transportable set; VSS_E_OBJECT_NOT_FOUND: its disk is not here.
    virtual Task<Result<SnapshotProperties>> import_snapshot(RecordedSnapshot recorded);
    virtual Task<Result<std::string>> expose_snapshot(Uuid snapshot, std::string path_from_root, Exposure how,
                                                      std::string name);
    virtual Task<Status> unexpose_snapshot(Uuid snapshot);
    // Begins; query_revert_status ends with the revert, VSS_E_OBJECT_NOT_FOUND when none runs.
    virtual Task<Status> revert_to_snapshot(Uuid snapshot, bool force_dismount);
    virtual Task<Status> query_revert_status(std::string volume);
    virtual Task<Status> resync(std::vector<ResyncPair> pairs, RecoveryFlags flags);

    // The coordinator no longer waits for this call: let its task end soon. Several sessions may have a call
    // of one kind under way; `number` is what last_call() was when this one had been made.
    virtual void abandon(ProviderCall call, CallNumber number) {
        static_cast<void>(call);
        static_cast<void>(number);
    }
    [[nodiscard]] CallNumber last_call() const { return last_call_; }

protected:
    // At once when a call is made, by providers that tell their calls apart.
    CallNumber count_call() { return ++last_call_; }

private:
    CallNumber last_call_ = 0;
};

// The same calls as plain functions that may block. on_own_thread() makes a Provider of one.
class BlockingProvider {
public:
    BlockingProvider() = default;
    BlockingProvider(const BlockingProvider&) = delete;
    BlockingProvider& operator=(const BlockingProvider&) = delete;
    virtual ~BlockingProvider() = default;

    [[nodiscard]] virtual const ProviderFacts& facts() const = 0;
    virtual Result<bool> is_volume_supported(const std::string& volume, SnapshotAttributes attributes) = 0;
    virtual Result<Uuid> snapshot_id(const Uuid& set, const std::string& volume, const Uuid& proposed);
    virtual Status begin_prepare_snapshot(const SnapshotRequest& request) = 0;
    virtual Status end_prepare_snapshots(const Uuid& set) = 0;
    virtual Status pre_commit_snapshots(const Uuid& set) = 0;
    virtual Status commit_snapshots(const Uuid& set) = 0;
    virtual Status post_commit_snapshots(const Uuid& set, std::int32_t count) = 0;
    virtual Status pre_final_commit_snapshots(const Uuid& set) = 0;
    virtual Status post_final_commit_snapshots(const Uuid& set) = 0;
    virtual Status abort_snapshots(const Uuid& set) = 0;
    virtual Result<std::vector<SnapshotProperties>> query() = 0;
    virtual Status delete_snapshot(const Uuid& snapshot, bool force) = 0;
    virtual Status break_snapshot_set(const Uuid& set, BreakFlags flags);
    virtual Result<SnapshotProperties> import_snapshot(const RecordedSnapshot& recorded);
    virtual Result<std::string> expose_snapshot(const Uuid& snapshot, const std::string& path_from_root,
                                                Exposure how, const std::string& name);
    virtual Status unexpose_snapshot(const Uuid& snapshot);
    virtual Status revert_to_snapshot(const Uuid& snapshot, bool force_dismount);
    virtual Status query_revert_status(const std::string& volume);
    virtual Status resync(const std::vector<ResyncPair>& pairs, RecoveryFlags flags);
};

}  // namespace exshadow::vss
