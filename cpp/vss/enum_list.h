// The enumerations of VSS with Microsoft's names and values, one row each: X(enumerator, SDK name, value).
// Sources: vss.h, vswriter.h, vsbackup.h, vsprov.h of mingw-w64; tests/wine compares every row with them.
// EXSHADOW_VSS_ENUMS and EXSHADOW_VSS_FLAG_SETS list the lists: E(type, underlying type, list).
#pragma once

// clang-format off
// VSS_VOLUME_SNAPSHOT_ATTRIBUTES; the contexts are sums of them (namespace context)
#define EXSHADOW_VSS_SNAPSHOT_ATTRIBUTES(X) \
    X(persistent, VSS_VOLSNAP_ATTR_PERSISTENT, 0x1) \
    X(no_autorecovery, VSS_VOLSNAP_ATTR_NO_AUTORECOVERY, 0x2) \
    X(client_accessible, VSS_VOLSNAP_ATTR_CLIENT_ACCESSIBLE, 0x4) \
    X(no_auto_release, VSS_VOLSNAP_ATTR_NO_AUTO_RELEASE, 0x8) \
    X(no_writers, VSS_VOLSNAP_ATTR_NO_WRITERS, 0x10) \
    X(transportable, VSS_VOLSNAP_ATTR_TRANSPORTABLE, 0x20) \
    X(not_surfaced, VSS_VOLSNAP_ATTR_NOT_SURFACED, 0x40) \
    X(not_transacted, VSS_VOLSNAP_ATTR_NOT_TRANSACTED, 0x80) \
    X(hardware_assisted, VSS_VOLSNAP_ATTR_HARDWARE_ASSISTED, 0x10000) \
    X(differential, VSS_VOLSNAP_ATTR_DIFFERENTIAL, 0x20000) \
    X(plex, VSS_VOLSNAP_ATTR_PLEX, 0x40000) \
    X(imported, VSS_VOLSNAP_ATTR_IMPORTED, 0x80000) \
    X(exposed_locally, VSS_VOLSNAP_ATTR_EXPOSED_LOCALLY, 0x100000) \
    X(exposed_remotely, VSS_VOLSNAP_ATTR_EXPOSED_REMOTELY, 0x200000) \
    X(autorecover, VSS_VOLSNAP_ATTR_AUTORECOVER, 0x400000) \
    X(rollback_recovery, VSS_VOLSNAP_ATTR_ROLLBACK_RECOVERY, 0x800000) \
    X(delayed_postsnapshot, VSS_VOLSNAP_ATTR_DELAYED_POSTSNAPSHOT, 0x1000000) \
    X(txf_recovery, VSS_VOLSNAP_ATTR_TXF_RECOVERY, 0x2000000) \
    X(file_share, VSS_VOLSNAP_ATTR_FILE_SHARE, 0x4000000)

// VSS_SNAPSHOT_STATE
#define EXSHADOW_VSS_SNAPSHOT_STATE(X) \
    X(unknown, VSS_SS_UNKNOWN, 0) \
    X(preparing, VSS_SS_PREPARING, 1) \
    X(processing_prepare, VSS_SS_PROCESSING_PREPARE, 2) \
    X(prepared, VSS_SS_PREPARED, 3) \
    X(processing_precommit, VSS_SS_PROCESSING_PRECOMMIT, 4) \
    X(precommitted, VSS_SS_PRECOMMITTED, 5) \
    X(processing_commit, VSS_SS_PROCESSING_COMMIT, 6) \
    X(committed, VSS_SS_COMMITTED, 7) \
    X(processing_postcommit, VSS_SS_PROCESSING_POSTCOMMIT, 8) \
    X(processing_prefinalcommit, VSS_SS_PROCESSING_PREFINALCOMMIT, 9) \
    X(prefinalcommitted, VSS_SS_PREFINALCOMMITTED, 10) \
    X(processing_postfinalcommit, VSS_SS_PROCESSING_POSTFINALCOMMIT, 11) \
    X(created, VSS_SS_CREATED, 12) \
    X(aborted, VSS_SS_ABORTED, 13) \
    X(deleted, VSS_SS_DELETED, 14) \
    X(postcommitted, VSS_SS_POSTCOMMITTED, 15)

// VSS_WRITER_STATE
#define EXSHADOW_VSS_WRITER_STATE(X) \
    X(unknown, VSS_WS_UNKNOWN, 0) \
    X(stable, VSS_WS_STABLE, 1) \
    X(waiting_for_freeze, VSS_WS_WAITING_FOR_FREEZE, 2) \
    X(waiting_for_thaw, VSS_WS_WAITING_FOR_THAW, 3) \
    X(waiting_for_post_snapshot, VSS_WS_WAITING_FOR_POST_SNAPSHOT, 4) \
    X(waiting_for_backup_complete, VSS_WS_WAITING_FOR_BACKUP_COMPLETE, 5) \
    X(failed_at_identify, VSS_WS_FAILED_AT_IDENTIFY, 6) \
    X(failed_at_prepare_backup, VSS_WS_FAILED_AT_PREPARE_BACKUP, 7) \
    X(failed_at_prepare_snapshot, VSS_WS_FAILED_AT_PREPARE_SNAPSHOT, 8) \
    X(failed_at_freeze, VSS_WS_FAILED_AT_FREEZE, 9) \
    X(failed_at_thaw, VSS_WS_FAILED_AT_THAW, 10) \
    X(failed_at_post_snapshot, VSS_WS_FAILED_AT_POST_SNAPSHOT, 11) \
    X(failed_at_backup_complete, VSS_WS_FAILED_AT_BACKUP_COMPLETE, 12) \
    X(failed_at_pre_restore, VSS_WS_FAILED_AT_PRE_RESTORE, 13) \
    X(failed_at_post_restore, VSS_WS_FAILED_AT_POST_RESTORE, 14) \
    X(failed_at_backupshutdown, VSS_WS_FAILED_AT_BACKUPSHUTDOWN, 15)

// VSS_BACKUP_TYPE
#define EXSHADOW_VSS_BACKUP_TYPE(X) \
    X(undefined, VSS_BT_UNDEFINED, 0) \
    X(full, VSS_BT_FULL, 1) \
    X(incremental, VSS_BT_INCREMENTAL, 2) \
    X(differential, VSS_BT_DIFFERENTIAL, 3) \
    X(log, VSS_BT_LOG, 4) \
    X(copy, VSS_BT_COPY, 5) \
    X(other, VSS_BT_OTHER, 6)

// VSS_RESTORE_TYPE
#define EXSHADOW_VSS_RESTORE_TYPE(X) \
    X(undefined, VSS_RTYPE_UNDEFINED, 0) \
    X(by_copy, VSS_RTYPE_BY_COPY, 1) \
    X(import, VSS_RTYPE_IMPORT, 2) \
    X(other, VSS_RTYPE_OTHER, 3)

// VSS_ROLLFORWARD_TYPE
#define EXSHADOW_VSS_ROLL_FORWARD(X) \
    X(undefined, VSS_RF_UNDEFINED, 0) \
    X(none, VSS_RF_NONE, 1) \
    X(all, VSS_RF_ALL, 2) \
    X(partial, VSS_RF_PARTIAL, 3)

// VSS_USAGE_TYPE
#define EXSHADOW_VSS_USAGE_TYPE(X) \
    X(undefined, VSS_UT_UNDEFINED, 0) \
    X(bootable_system_state, VSS_UT_BOOTABLESYSTEMSTATE, 1) \
    X(system_service, VSS_UT_SYSTEMSERVICE, 2) \
    X(user_data, VSS_UT_USERDATA, 3) \
    X(other, VSS_UT_OTHER, 4)

// VSS_SOURCE_TYPE
#define EXSHADOW_VSS_SOURCE_TYPE(X) \
    X(undefined, VSS_ST_UNDEFINED, 0) \
    X(transacted_db, VSS_ST_TRANSACTEDDB, 1) \
    X(nontransacted_db, VSS_ST_NONTRANSACTEDDB, 2) \
    X(other, VSS_ST_OTHER, 3)

// VSS_COMPONENT_TYPE
#define EXSHADOW_VSS_COMPONENT_TYPE(X) \
    X(undefined, VSS_CT_UNDEFINED, 0) \
    X(database, VSS_CT_DATABASE, 1) \
    X(file_group, VSS_CT_FILEGROUP, 2)

// VSS_COMPONENT_FLAGS
#define EXSHADOW_VSS_COMPONENT_FLAGS(X) \
    X(backup_recovery, VSS_CF_BACKUP_RECOVERY, 0x1) \
    X(app_rollback_recovery, VSS_CF_APP_ROLLBACK_RECOVERY, 0x2) \
    X(not_system_state, VSS_CF_NOT_SYSTEM_STATE, 0x4)

// VSS_RESTOREMETHOD_ENUM
#define EXSHADOW_VSS_RESTORE_METHOD(X) \
    X(undefined, VSS_RME_UNDEFINED, 0) \
    X(restore_if_not_there, VSS_RME_RESTORE_IF_NOT_THERE, 1) \
    X(restore_if_can_replace, VSS_RME_RESTORE_IF_CAN_REPLACE, 2) \
    X(stop_restore_start, VSS_RME_STOP_RESTORE_START, 3) \
    X(restore_to_alternate_location, VSS_RME_RESTORE_TO_ALTERNATE_LOCATION, 4) \
    X(restore_at_reboot, VSS_RME_RESTORE_AT_REBOOT, 5) \
    X(restore_at_reboot_if_cannot_replace, VSS_RME_RESTORE_AT_REBOOT_IF_CANNOT_REPLACE, 6) \
    X(custom, VSS_RME_CUSTOM, 7) \
    X(restore_stop_start, VSS_RME_RESTORE_STOP_START, 8)

// VSS_WRITERRESTORE_ENUM: does the writer want restore events
#define EXSHADOW_VSS_WRITER_RESTORE(X) \
    X(undefined, VSS_WRE_UNDEFINED, 0) \
    X(never, VSS_WRE_NEVER, 1) \
    X(if_replace_fails, VSS_WRE_IF_REPLACE_FAILS, 2) \
    X(always, VSS_WRE_ALWAYS, 3)

// VSS_RESTORE_TARGET
#define EXSHADOW_VSS_RESTORE_TARGET(X) \
    X(undefined, VSS_RT_UNDEFINED, 0) \
    X(original, VSS_RT_ORIGINAL, 1) \
    X(alternate, VSS_RT_ALTERNATE, 2) \
    X(directed, VSS_RT_DIRECTED, 3) \
    X(original_location, VSS_RT_ORIGINAL_LOCATION, 4)

// VSS_FILE_RESTORE_STATUS
#define EXSHADOW_VSS_FILE_RESTORE_STATUS(X) \
    X(undefined, VSS_RS_UNDEFINED, 0) \
    X(none, VSS_RS_NONE, 1) \
    X(all, VSS_RS_ALL, 2) \
    X(failed, VSS_RS_FAILED, 3)

// VSS_ALTERNATE_WRITER_STATE
#define EXSHADOW_VSS_ALTERNATE_WRITER_STATE(X) \
    X(undefined, VSS_AWS_UNDEFINED, 0) \
    X(no_alternate_writer, VSS_AWS_NO_ALTERNATE_WRITER, 1) \
    X(alternate_writer_exists, VSS_AWS_ALTERNATE_WRITER_EXISTS, 2) \
    X(this_is_alternate_writer, VSS_AWS_THIS_IS_ALTERNATE_WRITER, 3)

// VSS_OBJECT_TYPE
#define EXSHADOW_VSS_OBJECT_TYPE(X) \
    X(unknown, VSS_OBJECT_UNKNOWN, 0) \
    X(none, VSS_OBJECT_NONE, 1) \
    X(snapshot_set, VSS_OBJECT_SNAPSHOT_SET, 2) \
    X(snapshot, VSS_OBJECT_SNAPSHOT, 3) \
    X(provider, VSS_OBJECT_PROVIDER, 4)

// VSS_PROVIDER_TYPE
#define EXSHADOW_VSS_PROVIDER_TYPE(X) \
    X(unknown, VSS_PROV_UNKNOWN, 0) \
    X(system, VSS_PROV_SYSTEM, 1) \
    X(software, VSS_PROV_SOFTWARE, 2) \
    X(hardware, VSS_PROV_HARDWARE, 3) \
    X(file_share, VSS_PROV_FILESHARE, 4)

// VSS_APPLICATION_LEVEL: freeze goes from front end to system
#define EXSHADOW_VSS_APPLICATION_LEVEL(X) \
    X(automatic, VSS_APP_AUTO, -1) \
    X(unknown, VSS_APP_UNKNOWN, 0) \
    X(system, VSS_APP_SYSTEM, 1) \
    X(back_end, VSS_APP_BACK_END, 2) \
    X(front_end, VSS_APP_FRONT_END, 3) \
    X(system_rm, VSS_APP_SYSTEM_RM, 4)

// VSS_SUBSCRIBE_MASK: events a writer wants
#define EXSHADOW_VSS_SUBSCRIBE_MASK(X) \
    X(post_snapshot, VSS_SM_POST_SNAPSHOT_FLAG, 0x1) \
    X(backup_events, VSS_SM_BACKUP_EVENTS_FLAG, 0x2) \
    X(restore_events, VSS_SM_RESTORE_EVENTS_FLAG, 0x4) \
    X(io_throttling, VSS_SM_IO_THROTTLING_FLAG, 0x8)

// VSS_BACKUP_SCHEMA
#define EXSHADOW_VSS_BACKUP_SCHEMA(X) \
    X(differential, VSS_BS_DIFFERENTIAL, 0x1) \
    X(incremental, VSS_BS_INCREMENTAL, 0x2) \
    X(exclusive_incremental_differential, VSS_BS_EXCLUSIVE_INCREMENTAL_DIFFERENTIAL, 0x4) \
    X(log, VSS_BS_LOG, 0x8) \
    X(copy, VSS_BS_COPY, 0x10) \
    X(timestamped, VSS_BS_TIMESTAMPED, 0x20) \
    X(last_modify, VSS_BS_LAST_MODIFY, 0x40) \
    X(lsn, VSS_BS_LSN, 0x80) \
    X(writer_supports_new_target, VSS_BS_WRITER_SUPPORTS_NEW_TARGET, 0x100) \
    X(writer_supports_restore_with_move, VSS_BS_WRITER_SUPPORTS_RESTORE_WITH_MOVE, 0x200) \
    X(independent_system_state, VSS_BS_INDEPENDENT_SYSTEM_STATE, 0x400) \
    X(rollforward_restore, VSS_BS_ROLLFORWARD_RESTORE, 0x1000) \
    X(restore_rename, VSS_BS_RESTORE_RENAME, 0x2000) \
    X(authoritative_restore, VSS_BS_AUTHORITATIVE_RESTORE, 0x4000) \
    X(writer_supports_parallel_restores, VSS_BS_WRITER_SUPPORTS_PARALLEL_RESTORES, 0x8000)

// VSS_FILE_SPEC_BACKUP_TYPE
#define EXSHADOW_VSS_FILE_SPEC_BACKUP_TYPE(X) \
    X(full_backup_required, VSS_FSBT_FULL_BACKUP_REQUIRED, 0x1) \
    X(differential_backup_required, VSS_FSBT_DIFFERENTIAL_BACKUP_REQUIRED, 0x2) \
    X(incremental_backup_required, VSS_FSBT_INCREMENTAL_BACKUP_REQUIRED, 0x4) \
    X(log_backup_required, VSS_FSBT_LOG_BACKUP_REQUIRED, 0x8) \
    X(full_snapshot_required, VSS_FSBT_FULL_SNAPSHOT_REQUIRED, 0x100) \
    X(differential_snapshot_required, VSS_FSBT_DIFFERENTIAL_SNAPSHOT_REQUIRED, 0x200) \
    X(incremental_snapshot_required, VSS_FSBT_INCREMENTAL_SNAPSHOT_REQUIRED, 0x400) \
    X(log_snapshot_required, VSS_FSBT_LOG_SNAPSHOT_REQUIRED, 0x800) \
    X(created_during_backup, VSS_FSBT_CREATED_DURING_BACKUP, 0x10000) \
    X(all_backup_required, VSS_FSBT_ALL_BACKUP_REQUIRED, 0xF) \
    X(all_snapshot_required, VSS_FSBT_ALL_SNAPSHOT_REQUIRED, 0xF00)

// VSS_HARDWARE_OPTIONS for break
#define EXSHADOW_VSS_BREAK_FLAGS(X) \
    X(mask_luns, VSS_BREAKEX_FLAG_MASK_LUNS, 0x1) \
    X(make_read_write, VSS_BREAKEX_FLAG_MAKE_READ_WRITE, 0x2) \
    X(revert_identity_all, VSS_BREAKEX_FLAG_REVERT_IDENTITY_ALL, 0x4) \
    X(revert_identity_none, VSS_BREAKEX_FLAG_REVERT_IDENTITY_NONE, 0x8)

// VSS_RECOVERY_OPTIONS
#define EXSHADOW_VSS_RECOVERY_FLAGS(X) \
    X(revert_identity_all, VSS_RECOVERY_REVERT_IDENTITY_ALL, 0x100) \
    X(no_volume_check, VSS_RECOVERY_NO_VOLUME_CHECK, 0x200)

#define EXSHADOW_VSS_ENUMS(E) \
    E(SnapshotState, std::uint8_t, EXSHADOW_VSS_SNAPSHOT_STATE) \
    E(WriterState, std::uint8_t, EXSHADOW_VSS_WRITER_STATE) \
    E(BackupType, std::uint8_t, EXSHADOW_VSS_BACKUP_TYPE) \
    E(RestoreType, std::uint8_t, EXSHADOW_VSS_RESTORE_TYPE) \
    E(RollForward, std::uint8_t, EXSHADOW_VSS_ROLL_FORWARD) \
    E(UsageType, std::uint8_t, EXSHADOW_VSS_USAGE_TYPE) \
    E(SourceType, std::uint8_t, EXSHADOW_VSS_SOURCE_TYPE) \
    E(ComponentType, std::uint8_t, EXSHADOW_VSS_COMPONENT_TYPE) \
    E(RestoreMethod, std::uint8_t, EXSHADOW_VSS_RESTORE_METHOD) \
    E(WriterRestore, std::uint8_t, EXSHADOW_VSS_WRITER_RESTORE) \
    E(RestoreTarget, std::uint8_t, EXSHADOW_VSS_RESTORE_TARGET) \
    E(FileRestoreStatus, std::uint8_t, EXSHADOW_VSS_FILE_RESTORE_STATUS) \
    E(AlternateWriterState, std::uint8_t, EXSHADOW_VSS_ALTERNATE_WRITER_STATE) \
    E(ObjectType, std::uint8_t, EXSHADOW_VSS_OBJECT_TYPE) \
    E(ProviderType, std::uint8_t, EXSHADOW_VSS_PROVIDER_TYPE) \
    E(ApplicationLevel, std::int8_t, EXSHADOW_VSS_APPLICATION_LEVEL)

#define EXSHADOW_VSS_FLAG_SETS(E) \
    E(SnapshotAttributes, std::uint32_t, EXSHADOW_VSS_SNAPSHOT_ATTRIBUTES) \
    E(ComponentFlags, std::uint32_t, EXSHADOW_VSS_COMPONENT_FLAGS) \
    E(SubscribeMask, std::uint32_t, EXSHADOW_VSS_SUBSCRIBE_MASK) \
    E(BackupSchema, std::uint32_t, EXSHADOW_VSS_BACKUP_SCHEMA) \
    E(FileSpecBackupType, std::uint32_t, EXSHADOW_VSS_FILE_SPEC_BACKUP_TYPE) \
    E(BreakFlags, std::uint32_t, EXSHADOW_VSS_BREAK_FLAGS) \
    E(RecoveryFlags, std::uint32_t, EXSHADOW_VSS_RECOVERY_FLAGS)

// clang-format on
