// The vocabulary of the two documents, in one table. `seen`: read in documents that Windows saved, or in
// Microsoft's listing of writers. `unconfirmed`: the interface stores the thing, but no public document shows
// how it is spelled; the words are the SDK's. What stands under an unconfirmed name is read leniently.
#pragma once

#include <array>
#include <span>
#include <string_view>

#include "vss/types.h"

namespace exshadow::vss {

struct DocumentName {
    std::string_view text;
    bool confirmed;
};

// A value of an enumeration as the documents spell it.
template <class E>
struct DocumentWord {
    E value;
    DocumentName name;
};

namespace names {

constexpr DocumentName seen(std::string_view text) {
    return {text, true};
}
constexpr DocumentName unconfirmed(std::string_view text) {
    return {text, false};
}

inline constexpr std::string_view metadata_space = "x-schema:#VssWriterMetadataInfo";
inline constexpr std::string_view components_space = "x-schema:#VssComponentMetadata";

// --- Elements of the Writer Metadata Document
inline constexpr auto writer_metadata = seen("WRITER_METADATA");
inline constexpr auto identification = seen("IDENTIFICATION");
inline constexpr auto restore_method = seen("RESTORE_METHOD");
inline constexpr auto backup_locations = seen("BACKUP_LOCATIONS");
inline constexpr auto file_group = seen("FILE_GROUP");
inline constexpr auto file_list = seen("FILE_LIST");
inline constexpr auto database = seen("DATABASE");
inline constexpr auto database_files = seen("DATABASE_FILES");
inline constexpr auto database_logs = seen("DATABASE_LOGFILES");
inline constexpr auto exclude_files = seen("EXCLUDE_FILES");
inline constexpr auto exclude_from_snapshot = seen("EXCLUDE_FILES_FROM_SNAPSHOT");
inline constexpr auto location_mapping = unconfirmed("ALTERNATE_LOCATION_MAPPING");
inline constexpr auto dependency = unconfirmed("DEPENDENCY");

// --- Its attributes
inline constexpr auto version = seen("version");
inline constexpr auto backup_schema = seen("backupSchema");
inline constexpr auto writer_id = seen("writerId");
inline constexpr auto instance_id = seen("instanceId");
inline constexpr auto instance_name = seen("instanceName");
inline constexpr auto friendly_name = seen("friendlyName");
inline constexpr auto usage = seen("usage");
inline constexpr auto data_source = seen("dataSource");
inline constexpr auto major_version = seen("majorVersion");
inline constexpr auto minor_version = seen("minorVersion");
inline constexpr auto method = seen("method");
inline constexpr auto writer_restore = seen("writerRestore");
inline constexpr auto reboot_required = seen("rebootRequired");
inline constexpr auto service = unconfirmed("service");
inline constexpr auto user_procedure = unconfirmed("userProcedure");
inline constexpr auto logical_path = seen("logicalPath");
inline constexpr auto component_name = seen("componentName");
inline constexpr auto caption = seen("caption");
inline constexpr auto icon = unconfirmed("icon");
inline constexpr auto restores_metadata = seen("restoreMetadata");
inline constexpr auto notify_on_backup_complete = seen("notifyOnBackupComplete");
inline constexpr auto selectable = seen("selectable");
inline constexpr auto selectable_for_restore = seen("selectableForRestore");
inline constexpr auto component_flags = seen("componentFlags");
inline constexpr auto path = seen("path");
inline constexpr auto file_spec = seen("filespec");
inline constexpr auto recursive = seen("recursive");
inline constexpr auto file_spec_backup_type = seen("filespecBackupType");
inline constexpr auto alternate_path = unconfirmed("alternatePath");

// --- Elements of the Backup Components Document
inline constexpr auto backup_components = seen("BACKUP_COMPONENTS");
inline constexpr auto writer_components = seen("WRITER_COMPONENTS");
inline constexpr auto component = seen("COMPONENT");
inline constexpr auto backup_metadata = seen("BACKUP_METADATA");
inline constexpr auto restore_metadata = unconfirmed("RESTORE_METADATA");
inline constexpr auto partial_file = unconfirmed("PARTIAL_FILE");
inline constexpr auto differenced_file = unconfirmed("DIFFERENCED_FILE");
inline constexpr auto restore_subcomponent = unconfirmed("RESTORE_SUBCOMPONENT");
inline constexpr auto new_target = unconfirmed("NEW_TARGET");
inline constexpr auto directed_target = unconfirmed("DIRECTED_TARGET");
inline constexpr auto component_failure = unconfirmed("FAILURE");
inline constexpr auto snapshot = unconfirmed("SNAPSHOT");

// --- Its attributes
inline constexpr auto bootable_system_state = seen("bootableSystemStateBackup");
inline constexpr auto select_components = seen("selectComponents");
inline constexpr auto backup_type = seen("backupType");
inline constexpr auto partial_file_support = seen("partialFileSupport");
inline constexpr auto snapshot_set_id = seen("snapshotSetId");
inline constexpr auto component_type = seen("componentType");
inline constexpr auto backup_stamp = seen("backupStamp");
inline constexpr auto metadata = seen("metadata");
inline constexpr auto backup_succeeded = unconfirmed("backupSucceeded");
inline constexpr auto backup_options = unconfirmed("backupOptions");
inline constexpr auto previous_backup_stamp = unconfirmed("previousBackupStamp");
inline constexpr auto selected_for_restore = unconfirmed("selectedForRestore");
inline constexpr auto additional_restores = unconfirmed("additionalRestores");
inline constexpr auto authoritative_restore = unconfirmed("authoritativeRestore");
inline constexpr auto restore_options = unconfirmed("restoreOptions");
inline constexpr auto restore_name = unconfirmed("restoreName");
inline constexpr auto roll_forward_type = unconfirmed("rollForwardType");
inline constexpr auto roll_forward_point = unconfirmed("rollForwardPoint");
inline constexpr auto restore_target = unconfirmed("restoreTarget");
inline constexpr auto file_restore_status = unconfirmed("fileRestoreStatus");
inline constexpr auto pre_restore_failure = unconfirmed("preRestoreFailureMsg");
inline constexpr auto post_restore_failure = unconfirmed("postRestoreFailureMsg");
inline constexpr auto file_name = unconfirmed("filename");
inline constexpr auto ranges = unconfirmed("ranges");
inline constexpr auto last_modify_time = unconfirmed("lastModifyTime");
inline constexpr auto source_path = unconfirmed("sourcePath");
inline constexpr auto source_file_name = unconfirmed("sourceFilename");
inline constexpr auto source_ranges = unconfirmed("sourceRangeList");
inline constexpr auto target_path = unconfirmed("destinationPath");
inline constexpr auto target_file_name = unconfirmed("destinationFilename");
inline constexpr auto target_ranges = unconfirmed("destinationRangeList");
inline constexpr auto failure = unconfirmed("failure");
inline constexpr auto application_failure = unconfirmed("applicationFailure");
inline constexpr auto application_message = unconfirmed("applicationMessage");
inline constexpr auto snapshot_id = unconfirmed("snapshotId");
inline constexpr auto snapshots_count = unconfirmed("snapshotsCount");
inline constexpr auto device_object = unconfirmed("snapshotDeviceObject");
inline constexpr auto original_volume = unconfirmed("originalVolumeName");
inline constexpr auto originating_machine = unconfirmed("originatingMachine");
inline constexpr auto service_machine = unconfirmed("serviceMachine");
inline constexpr auto exposed_name = unconfirmed("exposedName");
inline constexpr auto exposed_path = unconfirmed("exposedPath");
inline constexpr auto provider_id = unconfirmed("providerId");
inline constexpr auto snapshot_attributes = unconfirmed("snapshotAttributes");
inline constexpr auto creation_timestamp = unconfirmed("creationTimestamp");
inline constexpr auto status = unconfirmed("status");

}  // namespace names

// --- Values. `undefined` has no word: the attribute is left out.
namespace words {

using names::seen;
using names::unconfirmed;

inline constexpr auto usage = std::to_array<DocumentWord<UsageType>>({
    {UsageType::bootable_system_state, seen("BOOTABLE_SYSTEM_STATE")},
    {UsageType::system_service, seen("SYSTEM_SERVICE")},
    {UsageType::user_data, seen("USER_DATA")},
    {UsageType::other, unconfirmed("OTHER")},
});
inline constexpr auto data_source = std::to_array<DocumentWord<SourceType>>({
    {SourceType::transacted_db, seen("TRANSACTION_DB")},
    {SourceType::nontransacted_db, unconfirmed("NONTRANSACTION_DB")},
    {SourceType::other, seen("OTHER")},
});
inline constexpr auto method = std::to_array<DocumentWord<RestoreMethod>>({
    {RestoreMethod::restore_if_not_there, unconfirmed("RESTORE_IF_NOT_THERE")},
    {RestoreMethod::restore_if_can_replace, seen("RESTORE_IF_CAN_BE_REPLACED")},
    {RestoreMethod::stop_restore_start, unconfirmed("STOP_RESTORE_START")},
    {RestoreMethod::restore_to_alternate_location, unconfirmed("RESTORE_TO_ALTERNATE_LOCATION")},
    {RestoreMethod::restore_at_reboot, seen("REPLACE_AT_REBOOT")},
    {RestoreMethod::restore_at_reboot_if_cannot_replace, seen("REPLACE_AT_REBOOT_IF_CANNOT_REPLACE")},
    {RestoreMethod::custom, unconfirmed("CUSTOM")},
    {RestoreMethod::restore_stop_start, unconfirmed("RESTORE_STOP_START")},
});
inline constexpr auto writer_restore = std::to_array<DocumentWord<WriterRestore>>({
    {WriterRestore::never, seen("never")},
    {WriterRestore::if_replace_fails, unconfirmed("ifReplaceFails")},
    {WriterRestore::always, seen("always")},
});
inline constexpr auto backup_type = std::to_array<DocumentWord<BackupType>>({
    {BackupType::full, seen("full")},
    {BackupType::incremental, unconfirmed("incremental")},
    {BackupType::differential, unconfirmed("differential")},
    {BackupType::log, unconfirmed("log")},
    {BackupType::copy, unconfirmed("copy")},
    {BackupType::other, unconfirmed("other")},
});
inline constexpr auto component_type = std::to_array<DocumentWord<ComponentType>>({
    {ComponentType::database, unconfirmed("database")},
    {ComponentType::file_group, seen("filegroup")},
});
inline constexpr auto roll_forward = std::to_array<DocumentWord<RollForward>>({
    {RollForward::none, unconfirmed("none")},
    {RollForward::all, unconfirmed("all")},
    {RollForward::partial, unconfirmed("partial")},
});
inline constexpr auto restore_target = std::to_array<DocumentWord<RestoreTarget>>({
    {RestoreTarget::original, unconfirmed("original")},
    {RestoreTarget::alternate, unconfirmed("alternate")},
    {RestoreTarget::directed, unconfirmed("directed")},
    {RestoreTarget::original_location, unconfirmed("originalLocation")},
});
inline constexpr auto file_restore_status = std::to_array<DocumentWord<FileRestoreStatus>>({
    {FileRestoreStatus::none, unconfirmed("none")},
    {FileRestoreStatus::all, unconfirmed("all")},
    {FileRestoreStatus::failed, unconfirmed("failed")},
});

}  // namespace words

}  // namespace exshadow::vss
