// The fields of the records of cpp/vss by name: what Python calls them (python/exshadow/vss: values.py,
// documents.py) is what C++ calls them.
#pragma once

#include <tuple>

#include "vss/coordinator/coordinator.h"
#include "vss/metadata.h"
#include "vss/procedures.h"
#include "vss/requestor.h"

namespace exshadow::python {

template <class Record, class T>
struct Field {
    const char* name;
    T Record::*member;
};

template <class Record>
inline constexpr std::tuple<> fields{};

template <class Record>
concept VssRecord = (std::tuple_size_v<std::remove_cvref_t<decltype(fields<Record>)>> > 0);

// clang-format off
// One row per record, in the order of its declaration.
#define F(field) Field{#field, &R::field}
#define EXSHADOW_RECORD(type, ...) \
    template <> \
    inline constexpr auto fields<type> = [] { using R = type; return std::make_tuple(__VA_ARGS__); }()

EXSHADOW_RECORD(vss::BackupState, F(select_components), F(bootable_system_state), F(type), F(partial_files));
EXSHADOW_RECORD(vss::ComponentKey, F(writer_id), F(instance_id), F(type), F(logical_path), F(name));
EXSHADOW_RECORD(vss::WriterStatus, F(instance_id), F(writer_id), F(name), F(state), F(failure),
                F(application_failure), F(application_message));
EXSHADOW_RECORD(vss::SnapshotProperties, F(snapshot_id), F(set_id), F(set_size), F(device), F(original_volume),
                F(originating_machine), F(service_machine), F(exposed_name), F(exposed_path), F(provider_id),
                F(attributes), F(created), F(state));
EXSHADOW_RECORD(vss::ProviderProperties, F(provider_id), F(name), F(type), F(version), F(version_id), F(class_id));
EXSHADOW_RECORD(vss::DeleteOutcome, F(deleted), F(failed_snapshot), F(failure));
EXSHADOW_RECORD(vss::StepStatus, F(state), F(result), F(detail));
EXSHADOW_RECORD(vss::Requestor::RootAndPrefix, F(root), F(prefix));
EXSHADOW_RECORD(vss::UnknownXml, F(elements), F(attributes));
EXSHADOW_RECORD(vss::FileSet, F(path), F(spec), F(recursive), F(backup_type), F(alternate_path), F(unknown));
EXSHADOW_RECORD(vss::Dependency, F(writer_id), F(logical_path), F(name), F(unknown));
EXSHADOW_RECORD(vss::ComponentMetadata, F(type), F(logical_path), F(name), F(caption), F(icon), F(restore_metadata),
                F(notify_on_backup_complete), F(selectable), F(selectable_for_restore), F(flags), F(files),
                F(database_files), F(database_logs), F(dependencies), F(unknown));
EXSHADOW_RECORD(vss::LocationMapping, F(files), F(destination));
EXSHADOW_RECORD(vss::RestoreMethodMetadata, F(method), F(service), F(user_procedure), F(writer_restore),
                F(reboot_required), F(mappings), F(unknown));
EXSHADOW_RECORD(vss::WriterMetadata, F(writer_id), F(instance_id), F(name), F(instance_name), F(major_version),
                F(minor_version), F(usage), F(source), F(schema), F(components), F(excluded),
                F(excluded_from_snapshot), F(restore_method), F(version), F(unknown), F(unknown_identity),
                F(unknown_locations));
EXSHADOW_RECORD(vss::PartialFile, F(path), F(file_name), F(ranges), F(metadata), F(unknown));
EXSHADOW_RECORD(vss::DifferencedFile, F(files), F(last_modified));
EXSHADOW_RECORD(vss::DirectedTarget, F(source_path), F(source_name), F(source_ranges), F(target_path), F(target_name),
                F(target_ranges), F(unknown));
EXSHADOW_RECORD(vss::RestoreSubcomponent, F(logical_path), F(name), F(unknown));
EXSHADOW_RECORD(vss::ComponentFailure, F(failure), F(application_failure), F(application_message), F(unknown));
EXSHADOW_RECORD(vss::RestoreChoice, F(selected), F(additional_restores), F(authoritative), F(options), F(new_name),
                F(roll_forward), F(roll_forward_point), F(target), F(status), F(subcomponents), F(new_targets),
                F(alternate_mappings), F(directed_targets), F(pre_restore_failure), F(post_restore_failure));
EXSHADOW_RECORD(vss::BackupComponent, F(type), F(logical_path), F(name), F(succeeded), F(backup_options),
                F(backup_stamp), F(previous_backup_stamp), F(backup_metadata), F(restore_metadata), F(partial_files),
                F(differenced_files), F(restore), F(failure), F(unknown), F(unknown_metadata));
EXSHADOW_RECORD(vss::BackupWriter, F(writer_id), F(instance_id), F(instance_name), F(schema), F(components),
                F(unknown));
EXSHADOW_RECORD(vss::RecordedSnapshot, F(properties), F(unknown));
EXSHADOW_RECORD(vss::BackupDocument, F(bootable_system_state), F(select_components), F(type), F(partial_files),
                F(snapshot_set_id), F(writers), F(snapshots), F(version), F(unknown));
EXSHADOW_RECORD(vss::WriterOptions, F(writer_id), F(instance_id), F(name), F(instance_name), F(usage), F(source),
                F(level), F(freeze_limit), F(subscribe), F(alternate));
EXSHADOW_RECORD(vss::WriterAnswer, F(failure), F(noted), F(application_failure), F(application_message));
EXSHADOW_RECORD(vss::SessionFacts, F(session_id), F(set_id), F(context), F(state), F(restore_type), F(volumes));
EXSHADOW_RECORD(vss::ProviderFacts, F(properties), F(differential), F(plex), F(transportable), F(breaks), F(reverts),
                F(resyncs), F(exposes));
EXSHADOW_RECORD(vss::SnapshotRequest, F(set_id), F(snapshot_id), F(volume), F(attributes));
EXSHADOW_RECORD(vss::ResyncPair, F(snapshot_id), F(destination));
EXSHADOW_RECORD(vss::CoordinatorLimits, F(freeze), F(hold), F(identify), F(prepare_backup), F(prepare_snapshot),
                F(post_snapshot), F(backup_complete), F(restore), F(abort), F(provider));
EXSHADOW_RECORD(vss::ComponentWish, F(writer), F(component));
EXSHADOW_RECORD(vss::WaitLimits, F(limit), F(grace));
EXSHADOW_RECORD(vss::RetryLimits, F(tries), F(wait), F(busy_wait), F(busy_limit));
EXSHADOW_RECORD(vss::BackupRequest, F(volumes), F(provider), F(context), F(state), F(included), F(excluded),
                F(base_document), F(options), F(limits), F(retry));
EXSHADOW_RECORD(vss::WriterReport, F(status), F(wanted), F(seen_after));
EXSHADOW_RECORD(vss::ComponentReport, F(key), F(writer_name), F(included), F(explicitly), F(reason), F(succeeded),
                F(failure));
EXSHADOW_RECORD(vss::WriterDocument, F(writer_id), F(instance_id), F(name), F(xml));
EXSHADOW_RECORD(vss::BackupReport, F(snapshot_set_id), F(snapshots), F(writers), F(components), F(writer_documents),
                F(document), F(tries), F(completed), F(notes));
EXSHADOW_RECORD(vss::Copied, F(all_succeeded), F(failed));
EXSHADOW_RECORD(vss::WriterEntry, F(metadata), F(document), F(status));
EXSHADOW_RECORD(vss::ImportReport, F(snapshots), F(partly));
EXSHADOW_RECORD(vss::RestoreChoices, F(component), F(additional_restores), F(authoritative), F(options),
                F(roll_forward), F(roll_forward_point), F(new_name));
EXSHADOW_RECORD(vss::RangesFile, F(partial_file), F(path));
EXSHADOW_RECORD(vss::RestoreRequest, F(document), F(type), F(included), F(excluded), F(additional_restores),
                F(authoritative), F(options), F(roll_forward), F(roll_forward_point), F(new_name), F(new_targets),
                F(alternate_mappings), F(subcomponents), F(ranges_files), F(choices), F(limits));
EXSHADOW_RECORD(vss::RestoreReport, F(writers), F(components), F(chosen), F(completed), F(notes));
EXSHADOW_RECORD(vss::RecoveryPair, F(snapshot), F(destination));
#undef F
// clang-format on
#undef EXSHADOW_RECORD

}  // namespace exshadow::python
