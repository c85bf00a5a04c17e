// The whole procedures of a requestor (fact sheet, section 2), step by step over the contract alone: the same
// on Windows' COM object and on the coordinator elsewhere. Each makes its own Requestor, because one object
// serves one session, and drops it at the end, which aborts what was not completed.
//
// Thread rule: a procedure runs on its caller's thread and returns when all is done; Host::cancelled is asked
// on it. Errors name what a person can act on: the writer and its state, the components that failed, the
// volume.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vss/metadata.h"
#include "vss/requestor.h"

namespace exshadow::vss {

// What the procedures stand on. Only `make` must be given.
struct Host {
    std::function<Result<std::unique_ptr<Requestor>>()> make;
    std::function<void(Milliseconds)> sleep;         // empty: the thread sleeps
    std::function<bool()> cancelled;                 // asked between waits; empty: never
    std::function<void(std::string_view)> progress;  // one line for people, now and then
    // As selection.h wants it. Empty: nothing is known of paths, and no component is left out for its volume.
    std::function<std::optional<std::string>(const std::string& path)> volume_of;
    // A volume as people know it, for messages ("C:" for a GUID path). Empty: as the service names it.
    std::function<std::string(const std::string& volume)> shown;
};

struct RetryLimits {
    int tries = 3;                   // in all, each with a new object
    Milliseconds wait = 600'000;     // between two tries after a transient failure: Microsoft's ten minutes
    Milliseconds busy_wait = 5'000;  // between two looks at a creation slot that another holds
    Milliseconds busy_limit = 120'000;  // and how long altogether
};

// A writer by id or name (no matter which case), and a component "path\name" of it; an empty one means all.
struct ComponentWish {
    std::string writer;
    std::string component;
};

struct BackupRequest {
    // As the service names them; on Windows they end in a backslash. Empty, in component mode: those of the
    // components.
    std::vector<std::string> volumes;
    std::string provider;  // id or name; empty: the service chooses
    SnapshotAttributes context = context::backup;
    BackupState state;
    std::vector<ComponentWish> included;  // empty: everything that can be
    std::vector<ComponentWish> excluded;  // a writer without component: not asked at all
    // Backup Components Document of the base, for its stamps. Refused when it holds a failed component, or a
    // kind of backup that is no base for the one wanted.
    std::string base_document;
    std::vector<std::pair<ComponentWish, std::string>> options;  // SetBackupOptions
    WaitLimits limits;                                           // of each step; `cancelled` is the host's
    RetryLimits retry;
};

// --- What is known when a procedure has ended, well or not.
struct WriterReport {
    WriterStatus status;
    bool wanted = true;      // false: its failure does not count
    std::string seen_after;  // the step of the last look, "DoSnapshotSet"
};
struct ComponentReport {
    ComponentKey key;
    std::string writer_name;
    bool included = false;
    bool explicitly = false;  // in the document; the others come with the one above them
    std::string reason;       // why it was left out, or put in
    std::optional<bool> succeeded;
    std::optional<ComponentFailure> failure;
};
struct WriterDocument {
    Uuid writer_id;
    Uuid instance_id;
    std::string name;
    std::string xml;  // as the service gave it
};
struct BackupReport {
    Uuid snapshot_set_id;  // nil: none was made, or it is gone again with a failure
    std::vector<SnapshotProperties> snapshots;
    std::vector<WriterReport> writers;
    std::vector<ComponentReport> components;
    std::vector<WriterDocument> writer_documents;
    std::string document;  // Backup Components Document, saved last after the outcome was set
    int tries = 0;
    bool completed = false;
    std::vector<std::string> notes;  // what was done otherwise than asked, each a sentence
};
struct BackupResult {
    Status status;
    BackupReport report;  // as far as it came
};

// The caller's part, when the snapshots exist. An error aborts the backup; else what is named is told to have
// failed.
struct Copied {
    bool all_succeeded = true;  // of the components that are not named
    std::vector<ComponentKey>
        failed;  // a nil instance means every one; when not all succeeded, of no interest
};
using Between = std::function<Result<Copied>(const BackupReport& so_far)>;

// A new object after a transient failure of the service or of a wanted writer. A failure of `between` is
// never repeated.
[[nodiscard]] BackupResult backup(const Host& host, const BackupRequest& request, const Between& between);

// --- Looking
struct WriterEntry {
    WriterMetadata metadata;
    std::string document;
    std::optional<WriterStatus> status;
};
[[nodiscard]] Result<std::vector<WriterEntry>> list_writers(const Host& host, const WaitLimits& limits);
[[nodiscard]] Result<std::vector<ProviderProperties>> list_providers(const Host& host);
[[nodiscard]] Result<std::vector<SnapshotProperties>> list_snapshots(
    const Host& host, SnapshotAttributes context = context::all);

// --- Snapshots that exist. Those of auto-release contexts are not theirs: they belong to a session.
[[nodiscard]] Result<DeleteOutcome> delete_snapshots(const Host& host, const Uuid& id, ObjectType type,
                                                     bool force);
[[nodiscard]] Status break_set(const Host& host, const Uuid& set, std::optional<BreakFlags> flags,
                               const WaitLimits& limits);
[[nodiscard]] Result<std::string> expose(const Host& host, const Uuid& snapshot, Exposure how,
                                         std::string_view name, std::string_view path_from_root);
[[nodiscard]] Status unexpose(const Host& host, const Uuid& snapshot);
// `blocked`: does a writer forbid to revert this volume? Empty: not asked.
[[nodiscard]] Status revert(const Host& host, const Uuid& snapshot, bool force_dismount,
                            const std::function<Result<bool>(std::string_view volume)>& blocked,
                            const WaitLimits& limits);

struct ImportReport {
    std::vector<SnapshotProperties> snapshots;
    bool partly = false;  // VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED
};
// `use` runs before the session ends, with which snapshots of auto-release contexts vanish; it may be empty.
[[nodiscard]] Result<ImportReport> import_set(const Host& host, std::string_view document,
                                              const WaitLimits& limits,
                                              const std::function<Status(const ImportReport&)>& use);

// --- Restore
// What is said of one component (or of all of one writer), over what is said of all.
struct RestoreChoices {
    ComponentWish component;
    bool additional_restores = false;
    bool authoritative = false;
    std::string options;
    std::optional<RollForward> roll_forward;
    std::string roll_forward_point;
    std::string new_name;
};
// Where the ranges file of a partial file lies now (SetRangesFilePath).
struct RangesFile {
    std::uint32_t partial_file = 0;  // its number among those of the component, from 0
    std::string path;
};
struct RestoreRequest {
    std::string document;  // Backup Components Document of the backup
    std::optional<RestoreType> type;
    std::vector<ComponentWish> included;  // empty: every component of the document
    std::vector<ComponentWish> excluded;
    bool additional_restores = false;  // incrementals still follow
    bool authoritative = false;
    std::string options;  // SetRestoreOptions of every chosen component
    std::optional<RollForward> roll_forward;
    std::string roll_forward_point;
    std::string new_name;  // of one component
    // A file set is known by path and pattern; whether it includes subfolders its writer's metadata says.
    std::vector<std::pair<ComponentWish, LocationMapping>> new_targets;
    // Files that the program puts where their writer's own mapping says. Named as those of new_targets are.
    std::vector<std::pair<ComponentWish, LocationMapping>> alternate_mappings;
    // Only these parts of a component; a part's writer must let it be restored alone.
    std::vector<std::pair<ComponentWish, RestoreSubcomponent>> subcomponents;
    std::vector<std::pair<ComponentWish, RangesFile>> ranges_files;
    std::vector<RestoreChoices> choices;
    WaitLimits limits;
};
struct RestoreReport {
    std::vector<WriterReport> writers;
    std::vector<ComponentReport> components;
    std::vector<BackupWriter>
        chosen;              // with targets and directed targets, as the writers left them after PreRestore
    bool completed = false;  // PostRestore was made
    std::vector<std::string> notes;
};
struct RestoreResult {
    Status status;
    RestoreReport report;
};
// The caller puts the files back; its answer is told to the writers. An error counts as all having failed:
// there is no abort of a restore, so PostRestore is made all the same.
using PutBack = std::function<Result<Copied>(const RestoreReport& so_far)>;
[[nodiscard]] RestoreResult restore(const Host& host, const RestoreRequest& request, const PutBack& put_back);

struct RecoveryPair {
    Uuid snapshot;
    std::string destination;  // volume to be overwritten; empty: the one the snapshot was made of
};
// Resynchronisation of whole disks by the hardware provider. `writers`: PreRestore before it and PostRestore
// after it, with every component of the document whose writer runs; a writer that refuses PreRestore stops it
// before a disk is touched.
[[nodiscard]] Status resync(const Host& host, std::string_view document,
                            const std::vector<RecoveryPair>& pairs, RecoveryFlags flags,
                            const WaitLimits& limits, bool writers = false);

}  // namespace exshadow::vss
