#include "vss/order.h"

#include <array>
#include <initializer_list>
#include <string>

#include "base/check.h"
#include "vss/hresult.h"

namespace exshadow::vss {

namespace {

using enum Phase;
using PhaseSet = std::uint16_t;

constexpr PhaseSet in(std::initializer_list<Phase> phases) {
    unsigned set = 0;
    for (const auto phase : phases) set |= 1U << static_cast<unsigned>(phase);
    return static_cast<PhaseSet>(set);
}

constexpr PhaseSet with_writers_known =
    in({gathered, set_open, prepared, snapshot_failed, snapshotted, completed});
constexpr PhaseSet restoring = in({restore, pre_restored, post_restored});
constexpr PhaseSet of_a_backup =
    in({backup, gathered, set_open, prepared, snapshot_failed, snapshotted, completed});
constexpr PhaseSet managing = in({backup, gathered, snapshotted, completed});  // B5+ and Q

struct Row {
    Call call;
    std::string_view name;
    PhaseSet phases;
};

// Where the sheet's sources differ the comment says which one we follow.
constexpr auto table = std::to_array<Row>({
    {Call::initialize_for_backup, "InitializeForBackup", in({created})},
    {Call::initialize_for_restore, "InitializeForRestore", in({created})},
    // Requestors in use call it after gathering as well; when exactly Windows refuses is unconfirmed.
    {Call::set_context, "SetContext", in({backup, gathered})},
    {Call::set_backup_state, "SetBackupState", in({backup, gathered, set_open})},
    {Call::set_restore_state, "SetRestoreState", in({restore})},
    {Call::filter_writers, "Enable/DisableWriterClasses", in({backup, restore})},
    {Call::gather_writer_metadata, "GatherWriterMetadata", in({backup, restore})},
    {Call::read_writer_metadata, "GetWriterMetadata", with_writers_known | restoring},
    {Call::free_writer_metadata, "FreeWriterMetadata", with_writers_known | restoring},
    {Call::gather_writer_status, "GatherWriterStatus", with_writers_known | restoring},
    {Call::read_writer_status, "GetWriterStatus", with_writers_known | restoring},
    {Call::read_components, "GetWriterComponents", with_writers_known | restoring},
    // The method's page: until DoSnapshotSet; the page on creation: before StartSnapshotSet. We keep the
    // method's.
    {Call::add_component, "AddComponent", in({gathered, set_open})},
    {Call::set_previous_stamp, "SetPreviousBackupStamp", in({gathered, set_open})},
    {Call::set_backup_options, "SetBackupOptions", in({gathered, set_open})},
    {Call::start_snapshot_set, "StartSnapshotSet", in({backup, gathered})},
    {Call::add_to_snapshot_set, "AddToSnapshotSet", in({set_open})},
    {Call::prepare_for_backup, "PrepareForBackup", in({set_open})},
    {Call::do_snapshot_set, "DoSnapshotSet", in({set_open, prepared})},  // set_open: without writers
    {Call::set_backup_succeeded, "SetBackupSucceeded", in({prepared, snapshotted})},
    {Call::backup_complete, "BackupComplete", in({prepared, snapshotted})},  // prepared: no snapshot needed
    {Call::abort_backup, "AbortBackup", in({set_open, prepared, snapshot_failed, snapshotted})},
    {Call::save_as_xml, "SaveAsXML", in({prepared, snapshotted, completed})},
    // A snapshot that is being made is not found, which is another answer than a bad state.
    {Call::get_snapshot_properties, "GetSnapshotProperties", of_a_backup},
    {Call::query, "Query", of_a_backup},
    {Call::is_volume_supported, "IsVolumeSupported", of_a_backup},
    {Call::delete_snapshots, "DeleteSnapshots", managing},
    {Call::break_snapshot_set, "BreakSnapshotSet", managing},
    {Call::import_snapshots, "ImportSnapshots", in({backup})},
    {Call::expose_snapshot, "ExposeSnapshot", managing},
    {Call::unexpose_snapshot, "UnexposeSnapshot", managing},
    {Call::revert_to_snapshot, "RevertToSnapshot", in({backup, gathered})},
    {Call::query_revert_status, "QueryRevertStatus", in({backup, gathered})},
    {Call::select_for_restore, "SetSelectedForRestore and the other choices", in({restore})},
    {Call::add_alternative_location_mapping, "AddAlternativeLocationMapping", in({restore, pre_restored})},
    {Call::set_file_restore_status, "SetFileRestoreStatus", in({pre_restored})},
    {Call::pre_restore, "PreRestore", in({restore})},
    {Call::post_restore, "PostRestore", in({pre_restored})},
    // The resynchronisation of disks has an optional PreRestore before it.
    {Call::add_snapshot_to_recovery_set, "AddSnapshotToRecoverySet", in({restore, pre_restored})},
    {Call::recover_set, "RecoverSet", in({restore, pre_restored})},
    {Call::get_session_id, "GetSessionId", of_a_backup | restoring},
    {Call::get_root_and_logical_prefix_paths, "GetRootAndLogicalPrefixPaths", of_a_backup | restoring},
});
static_assert(table.size() == call_count);

constexpr bool rows_stand_at_their_numbers() {
    for (std::size_t i = 0; i < table.size(); ++i) {
        if (static_cast<std::size_t>(table[i].call) != i) return false;
    }
    return true;
}
static_assert(rows_stand_at_their_numbers());

const Row& row(Call call) {
    return table[static_cast<std::size_t>(call)];
}

bool writers_only(Call call) {
    return call == Call::add_component || call == Call::prepare_for_backup || call == Call::backup_complete ||
           call == Call::set_backup_succeeded;
}

// What `call` lacks although its phase permits it; empty: nothing.
std::string_view lacking(Call call, Phase phase, const Circumstances& now) {
    if (writers_only(call) && !now.writers) return "the context involves no writers";
    switch (call) {
        case Call::gather_writer_metadata: return now.gathered ? "metadata is gathered once per object" : "";
        case Call::filter_writers:
            return now.gathered ? "writers are chosen before GatherWriterMetadata" : "";
        case Call::read_writer_metadata:
        case Call::free_writer_metadata: return now.metadata_held ? "" : "no metadata is held";
        case Call::gather_writer_status: return now.gathered ? "" : "GatherWriterMetadata comes first";
        case Call::read_writer_status: return now.status_held ? "" : "GatherWriterStatus comes first";
        case Call::do_snapshot_set:
            if (!now.writers) return phase == set_open ? "" : "the context involves no writers";
            if (!now.gathered) return "GatherWriterMetadata comes first";
            return phase == prepared ? "" : "PrepareForBackup comes first";
        case Call::set_backup_succeeded:
        case Call::backup_complete:
            return phase == snapshotted || !now.snapshot_needed ? "" : "DoSnapshotSet comes first";
        case Call::import_snapshots:
            return now.from_document ? "" : "no document was given to import, or it was imported";
        case Call::recover_set: return now.recovery_set ? "" : "AddSnapshotToRecoverySet comes first";
        default: return "";
    }
}

Error bad_state(Call call, Phase phase, std::string_view reason) {
    std::string context(name(call));
    context += " in the state '";
    context += name(phase);
    context += "'";
    if (!reason.empty()) {
        context += " (";
        context += reason;
        context += ")";
    }
    return vss_error(HResult::vss_e_bad_state, context);
}

}  // namespace

std::string_view name(Call call) {
    return row(call).name;
}

std::string_view name(Phase phase) {
    static constexpr auto names = std::to_array<std::string_view>(
        {"created", "initialised for backup", "metadata gathered", "snapshot set open", "prepared",
         "snapshot failed", "snapshot set made", "backup complete", "initialised for restore",
         "restore prepared", "restore complete", "closed"});
    static_assert(names.size() == phase_count);
    return names[static_cast<std::size_t>(phase)];
}

bool table_permits(Phase phase, Call call) {
    return (row(call).phases & in({phase})) != 0;
}

Status Order::permit(Call call) const {
    if (!table_permits(phase_, call)) return bad_state(call, phase_, "");
    const auto reason = lacking(call, phase_, now_);
    if (!reason.empty()) return bad_state(call, phase_, reason);
    return {};
}

void Order::ended(Call call, bool well) {
    if (call == Call::do_snapshot_set) phase_ = well ? snapshotted : snapshot_failed;
    if (call == Call::import_snapshots) now_.from_document = false;  // once, whatever came of it
    if (!well) return;
    switch (call) {
        case Call::initialize_for_backup: phase_ = backup; break;
        case Call::initialize_for_restore: phase_ = restore; break;
        case Call::gather_writer_metadata:
            now_.gathered = true;
            now_.metadata_held = true;
            if (phase_ == backup) phase_ = gathered;
            break;
        case Call::free_writer_metadata: now_.metadata_held = false; break;
        case Call::gather_writer_status: now_.status_held = true; break;
        case Call::read_writer_status: now_.status_held = false; break;
        case Call::start_snapshot_set: phase_ = set_open; break;
        case Call::prepare_for_backup: phase_ = prepared; break;
        case Call::backup_complete: phase_ = completed; break;
        case Call::abort_backup: phase_ = closed; break;
        case Call::pre_restore: phase_ = pre_restored; break;
        case Call::post_restore: phase_ = post_restored; break;
        case Call::add_snapshot_to_recovery_set: now_.recovery_set = true; break;
        default: break;
    }
}

bool Order::must_abort() const {
    if (phase_ == snapshotted) return now_.writers;
    return phase_ == set_open || phase_ == prepared || phase_ == snapshot_failed;
}

}  // namespace exshadow::vss
