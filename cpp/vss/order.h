// The legal order of calls, as one table for every implementation of Requestor (fact sheet,
// sections 1.2, 1.3, 10).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/error.h"

namespace exshadow::vss {

// Where an object stands between two calls.
enum class Phase : std::uint8_t {
    created,          // P0: nothing initialised
    backup,           // B1: initialised for backup, query or import; Q is this phase too
    gathered,         // B2: writers' metadata is here
    set_open,         // B3: StartSnapshotSet was called; the creation slot is ours
    prepared,         // B4: PrepareForBackup finished
    snapshot_failed,  // DoSnapshotSet failed: only status and abort
    snapshotted,      // B5: the set exists
    completed,        // B6: BackupComplete finished
    restore,          // R1
    pre_restored,     // R2
    post_restored,    // R3
    closed,           // aborted
};

// One row per method of the contract that has an order.
enum class Call : std::uint8_t {
    initialize_for_backup,
    initialize_for_restore,
    set_context,
    set_backup_state,
    set_restore_state,
    filter_writers,  // enable and disable of classes and instances
    gather_writer_metadata,
    read_writer_metadata,
    free_writer_metadata,
    gather_writer_status,
    read_writer_status,  // and free it
    read_components,     // GetWriterComponents
    add_component,
    set_previous_stamp,
    set_backup_options,
    start_snapshot_set,
    add_to_snapshot_set,
    prepare_for_backup,
    do_snapshot_set,
    set_backup_succeeded,
    backup_complete,
    abort_backup,
    save_as_xml,
    get_snapshot_properties,
    query,
    is_volume_supported,
    delete_snapshots,
    break_snapshot_set,
    import_snapshots,
    expose_snapshot,
    unexpose_snapshot,
    revert_to_snapshot,
    query_revert_status,
    select_for_restore,  // everything that is chosen before PreRestore
    add_alternative_location_mapping,
    set_file_restore_status,
    pre_restore,
    post_restore,
    add_snapshot_to_recovery_set,
    recover_set,
    get_session_id,
    get_root_and_logical_prefix_paths,
};
inline constexpr std::size_t phase_count = static_cast<std::size_t>(Phase::closed) + 1;
inline constexpr std::size_t call_count =
    static_cast<std::size_t>(Call::get_root_and_logical_prefix_paths) + 1;

[[nodiscard]] std::string_view name(Phase phase);
[[nodiscard]] std::string_view name(Call call);  // the SDK's name: "StartSnapshotSet"

// What decides beside the phase.
struct Circumstances {
    bool writers = true;          // the context involves writers
    bool from_document = false;   // InitializeForBackup was given a document: import is possible, once
    bool gathered = false;        // metadata was gathered; it is gathered once
    bool metadata_held = false;   // and not freed
    bool status_held = false;     // a writer status is held
    bool snapshot_needed = true;  // a chosen file set is to be read from a snapshot (FSBT mask)
    bool recovery_set = false;    // AddSnapshotToRecoverySet was called
};

// Follows one object through its life. Not thread-safe; each Requestor owns one.
class Order {
public:
    // May `call` be made now? The error is VSS_E_BAD_STATE and names the call, the phase and what is missing.
    [[nodiscard]] Status permit(Call call) const;
    // `call` (for asynchronous ones: its step) ended; moves to the next phase.
    void ended(Call call, bool well);

    // After PrepareForBackup succeeded and until BackupComplete, leaving means AbortBackup; the same after a
    // failed DoSnapshotSet. An open set, too, is given back by it.
    [[nodiscard]] bool must_abort() const;

    [[nodiscard]] Phase phase() const { return phase_; }
    [[nodiscard]] const Circumstances& circumstances() const { return now_; }
    void set_writers(bool involved) { now_.writers = involved; }
    void set_from_document(bool given) { now_.from_document = given; }
    void set_snapshot_needed(bool needed) { now_.snapshot_needed = needed; }

private:
    Phase phase_ = Phase::created;
    Circumstances now_;
};

// The bare table, for tests and documentation: may `call` be made in `phase` under any circumstances?
[[nodiscard]] bool table_permits(Phase phase, Call call);

}  // namespace exshadow::vss
