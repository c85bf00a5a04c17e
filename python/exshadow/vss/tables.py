"""The enumerations and HRESULTs of VSS with Microsoft's values.

Made by scripts/vss_tables.py from cpp/vss/enum_list.h and cpp/vss/hresult_list.h; edit those.
"""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from enum import IntFlag
from typing import Literal

from exshadow.vss.words import Word


class SnapshotState(Word):
    """VSS_SS_UNKNOWN and its like."""

    UNKNOWN = 0  # VSS_SS_UNKNOWN
    PREPARING = 1  # VSS_SS_PREPARING
    PROCESSING_PREPARE = 2  # VSS_SS_PROCESSING_PREPARE
    PREPARED = 3  # VSS_SS_PREPARED
    PROCESSING_PRECOMMIT = 4  # VSS_SS_PROCESSING_PRECOMMIT
    PRECOMMITTED = 5  # VSS_SS_PRECOMMITTED
    PROCESSING_COMMIT = 6  # VSS_SS_PROCESSING_COMMIT
    COMMITTED = 7  # VSS_SS_COMMITTED
    PROCESSING_POSTCOMMIT = 8  # VSS_SS_PROCESSING_POSTCOMMIT
    PROCESSING_PREFINALCOMMIT = 9  # VSS_SS_PROCESSING_PREFINALCOMMIT
    PREFINALCOMMITTED = 10  # VSS_SS_PREFINALCOMMITTED
    PROCESSING_POSTFINALCOMMIT = 11  # VSS_SS_PROCESSING_POSTFINALCOMMIT
    CREATED = 12  # VSS_SS_CREATED
    ABORTED = 13  # VSS_SS_ABORTED
    DELETED = 14  # VSS_SS_DELETED
    POSTCOMMITTED = 15  # VSS_SS_POSTCOMMITTED


class WriterState(Word):
    """VSS_WS_UNKNOWN and its like."""

    UNKNOWN = 0  # VSS_WS_UNKNOWN
    STABLE = 1  # VSS_WS_STABLE
    WAITING_FOR_FREEZE = 2  # VSS_WS_WAITING_FOR_FREEZE
    WAITING_FOR_THAW = 3  # VSS_WS_WAITING_FOR_THAW
    WAITING_FOR_POST_SNAPSHOT = 4  # VSS_WS_WAITING_FOR_POST_SNAPSHOT
    WAITING_FOR_BACKUP_COMPLETE = 5  # VSS_WS_WAITING_FOR_BACKUP_COMPLETE
    FAILED_AT_IDENTIFY = 6  # VSS_WS_FAILED_AT_IDENTIFY
    FAILED_AT_PREPARE_BACKUP = 7  # VSS_WS_FAILED_AT_PREPARE_BACKUP
    FAILED_AT_PREPARE_SNAPSHOT = 8  # VSS_WS_FAILED_AT_PREPARE_SNAPSHOT
    FAILED_AT_FREEZE = 9  # VSS_WS_FAILED_AT_FREEZE
    FAILED_AT_THAW = 10  # VSS_WS_FAILED_AT_THAW
    FAILED_AT_POST_SNAPSHOT = 11  # VSS_WS_FAILED_AT_POST_SNAPSHOT
    FAILED_AT_BACKUP_COMPLETE = 12  # VSS_WS_FAILED_AT_BACKUP_COMPLETE
    FAILED_AT_PRE_RESTORE = 13  # VSS_WS_FAILED_AT_PRE_RESTORE
    FAILED_AT_POST_RESTORE = 14  # VSS_WS_FAILED_AT_POST_RESTORE
    FAILED_AT_BACKUPSHUTDOWN = 15  # VSS_WS_FAILED_AT_BACKUPSHUTDOWN


class BackupType(Word):
    """VSS_BT_UNDEFINED and its like."""

    UNDEFINED = 0  # VSS_BT_UNDEFINED
    FULL = 1  # VSS_BT_FULL
    INCREMENTAL = 2  # VSS_BT_INCREMENTAL
    DIFFERENTIAL = 3  # VSS_BT_DIFFERENTIAL
    LOG = 4  # VSS_BT_LOG
    COPY = 5  # VSS_BT_COPY
    OTHER = 6  # VSS_BT_OTHER


class RestoreType(Word):
    """VSS_RTYPE_UNDEFINED and its like."""

    UNDEFINED = 0  # VSS_RTYPE_UNDEFINED
    BY_COPY = 1  # VSS_RTYPE_BY_COPY
    IMPORT = 2  # VSS_RTYPE_IMPORT
    OTHER = 3  # VSS_RTYPE_OTHER


class RollForward(Word):
    """VSS_RF_UNDEFINED and its like."""

    UNDEFINED = 0  # VSS_RF_UNDEFINED
    NONE = 1  # VSS_RF_NONE
    ALL = 2  # VSS_RF_ALL
    PARTIAL = 3  # VSS_RF_PARTIAL


class UsageType(Word):
    """VSS_UT_UNDEFINED and its like."""

    UNDEFINED = 0  # VSS_UT_UNDEFINED
    BOOTABLE_SYSTEM_STATE = 1  # VSS_UT_BOOTABLESYSTEMSTATE
    SYSTEM_SERVICE = 2  # VSS_UT_SYSTEMSERVICE
    USER_DATA = 3  # VSS_UT_USERDATA
    OTHER = 4  # VSS_UT_OTHER


class SourceType(Word):
    """VSS_ST_UNDEFINED and its like."""

    UNDEFINED = 0  # VSS_ST_UNDEFINED
    TRANSACTED_DB = 1  # VSS_ST_TRANSACTEDDB
    NONTRANSACTED_DB = 2  # VSS_ST_NONTRANSACTEDDB
    OTHER = 3  # VSS_ST_OTHER


class ComponentType(Word):
    """VSS_CT_UNDEFINED and its like."""

    UNDEFINED = 0  # VSS_CT_UNDEFINED
    DATABASE = 1  # VSS_CT_DATABASE
    FILE_GROUP = 2  # VSS_CT_FILEGROUP


class RestoreMethod(Word):
    """VSS_RME_UNDEFINED and its like."""

    UNDEFINED = 0  # VSS_RME_UNDEFINED
    RESTORE_IF_NOT_THERE = 1  # VSS_RME_RESTORE_IF_NOT_THERE
    RESTORE_IF_CAN_REPLACE = 2  # VSS_RME_RESTORE_IF_CAN_REPLACE
    STOP_RESTORE_START = 3  # VSS_RME_STOP_RESTORE_START
    RESTORE_TO_ALTERNATE_LOCATION = 4  # VSS_RME_RESTORE_TO_ALTERNATE_LOCATION
    RESTORE_AT_REBOOT = 5  # VSS_RME_RESTORE_AT_REBOOT
    RESTORE_AT_REBOOT_IF_CANNOT_REPLACE = 6  # VSS_RME_RESTORE_AT_REBOOT_IF_CANNOT_REPLACE
    CUSTOM = 7  # VSS_RME_CUSTOM
    RESTORE_STOP_START = 8  # VSS_RME_RESTORE_STOP_START


class WriterRestore(Word):
    """VSS_WRE_UNDEFINED and its like."""

    UNDEFINED = 0  # VSS_WRE_UNDEFINED
    NEVER = 1  # VSS_WRE_NEVER
    IF_REPLACE_FAILS = 2  # VSS_WRE_IF_REPLACE_FAILS
    ALWAYS = 3  # VSS_WRE_ALWAYS


class RestoreTarget(Word):
    """VSS_RT_UNDEFINED and its like."""

    UNDEFINED = 0  # VSS_RT_UNDEFINED
    ORIGINAL = 1  # VSS_RT_ORIGINAL
    ALTERNATE = 2  # VSS_RT_ALTERNATE
    DIRECTED = 3  # VSS_RT_DIRECTED
    ORIGINAL_LOCATION = 4  # VSS_RT_ORIGINAL_LOCATION


class FileRestoreStatus(Word):
    """VSS_RS_UNDEFINED and its like."""

    UNDEFINED = 0  # VSS_RS_UNDEFINED
    NONE = 1  # VSS_RS_NONE
    ALL = 2  # VSS_RS_ALL
    FAILED = 3  # VSS_RS_FAILED


class AlternateWriterState(Word):
    """VSS_AWS_UNDEFINED and its like."""

    UNDEFINED = 0  # VSS_AWS_UNDEFINED
    NO_ALTERNATE_WRITER = 1  # VSS_AWS_NO_ALTERNATE_WRITER
    ALTERNATE_WRITER_EXISTS = 2  # VSS_AWS_ALTERNATE_WRITER_EXISTS
    THIS_IS_ALTERNATE_WRITER = 3  # VSS_AWS_THIS_IS_ALTERNATE_WRITER


class ObjectType(Word):
    """VSS_OBJECT_UNKNOWN and its like."""

    UNKNOWN = 0  # VSS_OBJECT_UNKNOWN
    NONE = 1  # VSS_OBJECT_NONE
    SNAPSHOT_SET = 2  # VSS_OBJECT_SNAPSHOT_SET
    SNAPSHOT = 3  # VSS_OBJECT_SNAPSHOT
    PROVIDER = 4  # VSS_OBJECT_PROVIDER


class ProviderType(Word):
    """VSS_PROV_UNKNOWN and its like."""

    UNKNOWN = 0  # VSS_PROV_UNKNOWN
    SYSTEM = 1  # VSS_PROV_SYSTEM
    SOFTWARE = 2  # VSS_PROV_SOFTWARE
    HARDWARE = 3  # VSS_PROV_HARDWARE
    FILE_SHARE = 4  # VSS_PROV_FILESHARE


class ApplicationLevel(Word):
    """VSS_APP_AUTO and its like."""

    AUTOMATIC = -1  # VSS_APP_AUTO
    UNKNOWN = 0  # VSS_APP_UNKNOWN
    SYSTEM = 1  # VSS_APP_SYSTEM
    BACK_END = 2  # VSS_APP_BACK_END
    FRONT_END = 3  # VSS_APP_FRONT_END
    SYSTEM_RM = 4  # VSS_APP_SYSTEM_RM


class SnapshotAttributes(IntFlag):
    """VSS_VOLSNAP_ATTR_PERSISTENT and its like."""

    NO_FLAGS = 0
    PERSISTENT = 0x1  # VSS_VOLSNAP_ATTR_PERSISTENT
    NO_AUTORECOVERY = 0x2  # VSS_VOLSNAP_ATTR_NO_AUTORECOVERY
    CLIENT_ACCESSIBLE = 0x4  # VSS_VOLSNAP_ATTR_CLIENT_ACCESSIBLE
    NO_AUTO_RELEASE = 0x8  # VSS_VOLSNAP_ATTR_NO_AUTO_RELEASE
    NO_WRITERS = 0x10  # VSS_VOLSNAP_ATTR_NO_WRITERS
    TRANSPORTABLE = 0x20  # VSS_VOLSNAP_ATTR_TRANSPORTABLE
    NOT_SURFACED = 0x40  # VSS_VOLSNAP_ATTR_NOT_SURFACED
    NOT_TRANSACTED = 0x80  # VSS_VOLSNAP_ATTR_NOT_TRANSACTED
    HARDWARE_ASSISTED = 0x10000  # VSS_VOLSNAP_ATTR_HARDWARE_ASSISTED
    DIFFERENTIAL = 0x20000  # VSS_VOLSNAP_ATTR_DIFFERENTIAL
    PLEX = 0x40000  # VSS_VOLSNAP_ATTR_PLEX
    IMPORTED = 0x80000  # VSS_VOLSNAP_ATTR_IMPORTED
    EXPOSED_LOCALLY = 0x100000  # VSS_VOLSNAP_ATTR_EXPOSED_LOCALLY
    EXPOSED_REMOTELY = 0x200000  # VSS_VOLSNAP_ATTR_EXPOSED_REMOTELY
    AUTORECOVER = 0x400000  # VSS_VOLSNAP_ATTR_AUTORECOVER
    ROLLBACK_RECOVERY = 0x800000  # VSS_VOLSNAP_ATTR_ROLLBACK_RECOVERY
    DELAYED_POSTSNAPSHOT = 0x1000000  # VSS_VOLSNAP_ATTR_DELAYED_POSTSNAPSHOT
    TXF_RECOVERY = 0x2000000  # VSS_VOLSNAP_ATTR_TXF_RECOVERY
    FILE_SHARE = 0x4000000  # VSS_VOLSNAP_ATTR_FILE_SHARE


class ComponentFlags(IntFlag):
    """VSS_CF_BACKUP_RECOVERY and its like."""

    NO_FLAGS = 0
    BACKUP_RECOVERY = 0x1  # VSS_CF_BACKUP_RECOVERY
    APP_ROLLBACK_RECOVERY = 0x2  # VSS_CF_APP_ROLLBACK_RECOVERY
    NOT_SYSTEM_STATE = 0x4  # VSS_CF_NOT_SYSTEM_STATE


class SubscribeMask(IntFlag):
    """VSS_SM_POST_SNAPSHOT_FLAG and its like."""

    NO_FLAGS = 0
    POST_SNAPSHOT = 0x1  # VSS_SM_POST_SNAPSHOT_FLAG
    BACKUP_EVENTS = 0x2  # VSS_SM_BACKUP_EVENTS_FLAG
    RESTORE_EVENTS = 0x4  # VSS_SM_RESTORE_EVENTS_FLAG
    IO_THROTTLING = 0x8  # VSS_SM_IO_THROTTLING_FLAG


class BackupSchema(IntFlag):
    """VSS_BS_DIFFERENTIAL and its like."""

    NO_FLAGS = 0
    DIFFERENTIAL = 0x1  # VSS_BS_DIFFERENTIAL
    INCREMENTAL = 0x2  # VSS_BS_INCREMENTAL
    EXCLUSIVE_INCREMENTAL_DIFFERENTIAL = 0x4  # VSS_BS_EXCLUSIVE_INCREMENTAL_DIFFERENTIAL
    LOG = 0x8  # VSS_BS_LOG
    COPY = 0x10  # VSS_BS_COPY
    TIMESTAMPED = 0x20  # VSS_BS_TIMESTAMPED
    LAST_MODIFY = 0x40  # VSS_BS_LAST_MODIFY
    LSN = 0x80  # VSS_BS_LSN
    WRITER_SUPPORTS_NEW_TARGET = 0x100  # VSS_BS_WRITER_SUPPORTS_NEW_TARGET
    WRITER_SUPPORTS_RESTORE_WITH_MOVE = 0x200  # VSS_BS_WRITER_SUPPORTS_RESTORE_WITH_MOVE
    INDEPENDENT_SYSTEM_STATE = 0x400  # VSS_BS_INDEPENDENT_SYSTEM_STATE
    ROLLFORWARD_RESTORE = 0x1000  # VSS_BS_ROLLFORWARD_RESTORE
    RESTORE_RENAME = 0x2000  # VSS_BS_RESTORE_RENAME
    AUTHORITATIVE_RESTORE = 0x4000  # VSS_BS_AUTHORITATIVE_RESTORE
    WRITER_SUPPORTS_PARALLEL_RESTORES = 0x8000  # VSS_BS_WRITER_SUPPORTS_PARALLEL_RESTORES


class FileSpecBackupType(IntFlag):
    """VSS_FSBT_FULL_BACKUP_REQUIRED and its like."""

    NO_FLAGS = 0
    FULL_BACKUP_REQUIRED = 0x1  # VSS_FSBT_FULL_BACKUP_REQUIRED
    DIFFERENTIAL_BACKUP_REQUIRED = 0x2  # VSS_FSBT_DIFFERENTIAL_BACKUP_REQUIRED
    INCREMENTAL_BACKUP_REQUIRED = 0x4  # VSS_FSBT_INCREMENTAL_BACKUP_REQUIRED
    LOG_BACKUP_REQUIRED = 0x8  # VSS_FSBT_LOG_BACKUP_REQUIRED
    FULL_SNAPSHOT_REQUIRED = 0x100  # VSS_FSBT_FULL_SNAPSHOT_REQUIRED
    DIFFERENTIAL_SNAPSHOT_REQUIRED = 0x200  # VSS_FSBT_DIFFERENTIAL_SNAPSHOT_REQUIRED
    INCREMENTAL_SNAPSHOT_REQUIRED = 0x400  # VSS_FSBT_INCREMENTAL_SNAPSHOT_REQUIRED
    LOG_SNAPSHOT_REQUIRED = 0x800  # VSS_FSBT_LOG_SNAPSHOT_REQUIRED
    CREATED_DURING_BACKUP = 0x10000  # VSS_FSBT_CREATED_DURING_BACKUP
    ALL_BACKUP_REQUIRED = 0xF  # VSS_FSBT_ALL_BACKUP_REQUIRED
    ALL_SNAPSHOT_REQUIRED = 0xF00  # VSS_FSBT_ALL_SNAPSHOT_REQUIRED


class BreakFlags(IntFlag):
    """VSS_BREAKEX_FLAG_MASK_LUNS and its like."""

    NO_FLAGS = 0
    MASK_LUNS = 0x1  # VSS_BREAKEX_FLAG_MASK_LUNS
    MAKE_READ_WRITE = 0x2  # VSS_BREAKEX_FLAG_MAKE_READ_WRITE
    REVERT_IDENTITY_ALL = 0x4  # VSS_BREAKEX_FLAG_REVERT_IDENTITY_ALL
    REVERT_IDENTITY_NONE = 0x8  # VSS_BREAKEX_FLAG_REVERT_IDENTITY_NONE


class RecoveryFlags(IntFlag):
    """VSS_RECOVERY_REVERT_IDENTITY_ALL and its like."""

    NO_FLAGS = 0
    REVERT_IDENTITY_ALL = 0x100  # VSS_RECOVERY_REVERT_IDENTITY_ALL
    NO_VOLUME_CHECK = 0x200  # VSS_RECOVERY_NO_VOLUME_CHECK


class HResult(Word):
    """What the service answers. Values with the bit 0x80000000 are failures."""

    S_OK = 0x00000000
    S_FALSE = 0x00000001
    E_NOTIMPL = 0x80004001
    E_NOINTERFACE = 0x80004002
    E_FAIL = 0x80004005
    E_UNEXPECTED = 0x8000FFFF
    E_ACCESSDENIED = 0x80070005
    E_OUTOFMEMORY = 0x8007000E
    E_INVALIDARG = 0x80070057
    E_POINTER = 0x80004003
    VSS_E_BAD_STATE = 0x80042301
    VSS_E_UNEXPECTED = 0x80042302
    VSS_E_PROVIDER_ALREADY_REGISTERED = 0x80042303
    VSS_E_PROVIDER_NOT_REGISTERED = 0x80042304
    VSS_E_PROVIDER_VETO = 0x80042306
    VSS_E_PROVIDER_IN_USE = 0x80042307
    VSS_E_OBJECT_NOT_FOUND = 0x80042308
    VSS_S_ASYNC_PENDING = 0x00042309
    VSS_S_ASYNC_FINISHED = 0x0004230A
    VSS_S_ASYNC_CANCELLED = 0x0004230B
    VSS_E_VOLUME_NOT_SUPPORTED = 0x8004230C
    VSS_E_OBJECT_ALREADY_EXISTS = 0x8004230D
    VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER = 0x8004230E
    VSS_E_UNEXPECTED_PROVIDER_ERROR = 0x8004230F
    VSS_E_CORRUPT_XML_DOCUMENT = 0x80042310
    VSS_E_INVALID_XML_DOCUMENT = 0x80042311
    VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED = 0x80042312
    VSS_E_FLUSH_WRITES_TIMEOUT = 0x80042313
    VSS_E_HOLD_WRITES_TIMEOUT = 0x80042314
    VSS_E_UNEXPECTED_WRITER_ERROR = 0x80042315
    VSS_E_SNAPSHOT_SET_IN_PROGRESS = 0x80042316
    VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED = 0x80042317
    VSS_E_WRITER_INFRASTRUCTURE = 0x80042318
    VSS_E_WRITER_NOT_RESPONDING = 0x80042319
    VSS_E_WRITER_ALREADY_SUBSCRIBED = 0x8004231A
    VSS_E_UNSUPPORTED_CONTEXT = 0x8004231B
    VSS_E_VOLUME_IN_USE = 0x8004231D
    VSS_E_MAXIMUM_DIFFAREA_ASSOCIATIONS_REACHED = 0x8004231E
    VSS_E_INSUFFICIENT_STORAGE = 0x8004231F
    VSS_E_NO_SNAPSHOTS_IMPORTED = 0x80042320
    VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED = 0x00042321
    VSS_E_SOME_SNAPSHOTS_NOT_IMPORTED = 0x80042321
    VSS_E_MAXIMUM_NUMBER_OF_REMOTE_MACHINES_REACHED = 0x80042322
    VSS_E_REMOTE_SERVER_UNAVAILABLE = 0x80042323
    VSS_E_REMOTE_SERVER_UNSUPPORTED = 0x80042324
    VSS_E_REVERT_IN_PROGRESS = 0x80042325
    VSS_E_REVERT_VOLUME_LOST = 0x80042326
    VSS_E_REBOOT_REQUIRED = 0x80042327
    VSS_E_TRANSACTION_FREEZE_TIMEOUT = 0x80042328
    VSS_E_TRANSACTION_THAW_TIMEOUT = 0x80042329
    VSS_E_UNSELECTED_VOLUME = 0x8004232A
    VSS_E_SNAPSHOT_NOT_IN_SET = 0x8004232B
    VSS_E_NESTED_VOLUME_LIMIT = 0x8004232C
    VSS_E_VOLUME_NOT_LOCAL = 0x8004232D
    VSS_E_CLUSTER_TIMEOUT = 0x8004232E
    VSS_E_NOT_SUPPORTED = 0x8004232F
    VSS_E_WRITERERROR_PARTIAL_FAILURE = 0x80042336
    VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT = 0x800423F0
    VSS_E_WRITERERROR_OUTOFRESOURCES = 0x800423F1
    VSS_E_WRITERERROR_TIMEOUT = 0x800423F2
    VSS_E_WRITERERROR_RETRYABLE = 0x800423F3
    VSS_E_WRITERERROR_NONRETRYABLE = 0x800423F4
    VSS_E_WRITERERROR_RECOVERY_FAILED = 0x800423F5
    VSS_E_BREAK_REVERT_ID_FAILED = 0x800423F6
    VSS_E_LEGACY_PROVIDER = 0x800423F7
    VSS_E_MISSING_DISK = 0x800423F8
    VSS_E_MISSING_HIDDEN_VOLUME = 0x800423F9
    VSS_E_MISSING_VOLUME = 0x800423FA
    VSS_E_AUTORECOVERY_FAILED = 0x800423FB
    VSS_E_DYNAMIC_DISK_ERROR = 0x800423FC
    VSS_E_NONTRANSPORTABLE_BCD = 0x800423FD
    VSS_E_CANNOT_REVERT_DISKID = 0x800423FE
    VSS_E_RESYNC_IN_PROGRESS = 0x800423FF
    VSS_E_CLUSTER_ERROR = 0x80042400
    VSS_E_ASRERROR_DISK_ASSIGNMENT_FAILED = 0x80042401
    VSS_E_ASRERROR_DISK_RECREATION_FAILED = 0x80042402
    VSS_E_ASRERROR_NO_ARCPATH = 0x80042403
    VSS_E_ASRERROR_MISSING_DYNDISK = 0x80042404
    VSS_E_ASRERROR_SHARED_CRIDISK = 0x80042405
    VSS_E_ASRERROR_DATADISK_RDISK0 = 0x80042406
    VSS_E_ASRERROR_RDISK0_TOOSMALL = 0x80042407
    VSS_E_ASRERROR_CRITICAL_DISKS_TOO_SMALL = 0x80042408
    VSS_E_WRITER_STATUS_NOT_AVAILABLE = 0x80042409
    VSS_E_ASRERROR_DYNAMIC_VHD_NOT_SUPPORTED = 0x8004240A
    VSS_E_CRITICAL_VOLUME_ON_INVALID_DISK = 0x80042411
    VSS_E_ASRERROR_RDISK_FOR_SYSTEM_DISK_NOT_FOUND = 0x80042412
    VSS_E_ASRERROR_NO_PHYSICAL_DISK_AVAILABLE = 0x80042413
    VSS_E_ASRERROR_FIXED_PHYSICAL_DISK_AVAILABLE_AFTER_DISK_EXCLUSION = 0x80042414
    VSS_E_ASRERROR_CRITICAL_DISK_CANNOT_BE_EXCLUDED = 0x80042415
    VSS_E_ASRERROR_SYSTEM_PARTITION_HIDDEN = 0x80042416
    VSS_E_FSS_TIMEOUT = 0x80042417


Retry = Literal["none", "transient", "after_repair", "never"]

HRESULT_FACTS: dict[HResult, tuple[Retry, str, str]] = {
    HResult.S_OK: ("none", "done", ""),
    HResult.S_FALSE: ("none", "done, and there is nothing to give", ""),
    HResult.E_NOTIMPL: ("never", "this system or object does not offer the call", "use another way, or another edition of the system"),
    HResult.E_NOINTERFACE: ("never", "the object has no such interface", "a newer Windows has it"),
    HResult.E_FAIL: ("after_repair", "failed without saying why", "read the event log (sources VSS and VolSnap)"),
    HResult.E_UNEXPECTED: ("after_repair", "internal fault (Windows before 7)", "read the event log (sources VSS and VolSnap)"),
    HResult.E_ACCESSDENIED: ("after_repair", "the caller may not do this", "run elevated, as an administrator or backup operator"),
    HResult.E_OUTOFMEMORY: ("transient", "no memory left", "repeat when memory is free"),
    HResult.E_INVALIDARG: ("never", "an argument is wrong or missing", "correct the argument"),
    HResult.E_POINTER: ("never", "a pointer argument is null", "correct the argument"),
    HResult.VSS_E_BAD_STATE: ("never", "call not allowed in this state or order", "start again with a new backup components object and keep the documented order of calls"),
    HResult.VSS_E_UNEXPECTED: ("after_repair", "internal fault, look in event log", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_PROVIDER_ALREADY_REGISTERED: ("never", "provider id exists", "repeating does not help: change what was asked for"),
    HResult.VSS_E_PROVIDER_NOT_REGISTERED: ("never", "unknown provider id", "list the providers (exshadow vss providers) and name one of those"),
    HResult.VSS_E_PROVIDER_VETO: ("transient", "provider failed in a way it reported itself", "read the provider's entries in the event log, then repeat; NO_AUTORECOVERY helps with some providers"),
    HResult.VSS_E_PROVIDER_IN_USE: ("transient", "provider still busy", "wait until the provider has ended what it does, then repeat"),
    HResult.VSS_E_OBJECT_NOT_FOUND: ("never", "no such snapshot, set, volume, component, writer", "list what is there (exshadow vss snapshots, exshadow vss writers) and check the id or name"),
    HResult.VSS_S_ASYNC_PENDING: ("none", "still running", ""),
    HResult.VSS_S_ASYNC_FINISHED: ("none", "done well", ""),
    HResult.VSS_S_ASYNC_CANCELLED: ("none", "cancelled", ""),
    HResult.VSS_E_VOLUME_NOT_SUPPORTED: ("never", "no provider takes this volume", "name an NTFS or ReFS volume of a local disk, or install a provider for this one"),
    HResult.VSS_E_OBJECT_ALREADY_EXISTS: ("never", "duplicate", "repeating does not help: change what was asked for"),
    HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER: ("never", "this provider does not", "leave the provider to be chosen, or name another one"),
    HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR: ("transient", "provider returned a code outside the contract", "read the provider's entries in the event log, then repeat"),
    HResult.VSS_E_CORRUPT_XML_DOCUMENT: ("never", "old name, now INVALID_XML_DOCUMENT", "give a document that was saved by a VSS requestor and not changed since"),
    HResult.VSS_E_INVALID_XML_DOCUMENT: ("never", "BCD or WMD text unusable", "give a document that was saved by a VSS requestor and not changed since"),
    HResult.VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED: ("never", "64 volumes in set", "make two sets of at most 64 volumes each"),
    HResult.VSS_E_FLUSH_WRITES_TIMEOUT: ("transient", "file system flush took too long", "repeat when the volumes are less busy, at most three times, ten minutes apart"),
    HResult.VSS_E_HOLD_WRITES_TIMEOUT: ("transient", "writes could not be held long enough", "repeat when the volumes are less busy, at most three times, ten minutes apart"),
    HResult.VSS_E_UNEXPECTED_WRITER_ERROR: ("transient", "talk with writers failed oddly", "wait a while, then repeat with a new session, at most three times"),
    HResult.VSS_E_SNAPSHOT_SET_IN_PROGRESS: ("transient", "another creation is open on this machine", "wait until the other backup has made its snapshots, then repeat"),
    HResult.VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED: ("after_repair", "512 per volume, or provider limit", "delete snapshots that are no longer needed, then repeat"),
    HResult.VSS_E_WRITER_INFRASTRUCTURE: ("after_repair", "event system or VSS service broken", "see that the services VSS and COM+ Event System run, then repeat"),
    HResult.VSS_E_WRITER_NOT_RESPONDING: ("after_repair", "writer died, hung or did not answer status", "restart the service that holds the writer, then repeat"),
    HResult.VSS_E_WRITER_ALREADY_SUBSCRIBED: ("never", "second Subscribe of a writer", "repeating does not help: change what was asked for"),
    HResult.VSS_E_UNSUPPORTED_CONTEXT: ("never", "context or flags not possible here", "ask with fewer flags, or on a Server edition"),
    HResult.VSS_E_VOLUME_IN_USE: ("transient", "volume could not be locked", "close what uses the volume, or force the dismount, then repeat"),
    HResult.VSS_E_MAXIMUM_DIFFAREA_ASSOCIATIONS_REACHED: ("never", "too many storage associations", "repeating does not help: change what was asked for"),
    HResult.VSS_E_INSUFFICIENT_STORAGE: ("after_repair", "no room for diff area or LUN", "make room on the volume that holds the shadow storage, or raise its limit, then repeat"),
    HResult.VSS_E_NO_SNAPSHOTS_IMPORTED: ("after_repair", "import found none", "present the set's disks to this machine and see that its provider is installed, then repeat"),
    HResult.VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED: ("none", "import partly good", ""),
    HResult.VSS_E_SOME_SNAPSHOTS_NOT_IMPORTED: ("after_repair", "same as error", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_MAXIMUM_NUMBER_OF_REMOTE_MACHINES_REACHED: ("never", "too many file servers in one set", "repeating does not help: change what was asked for"),
    HResult.VSS_E_REMOTE_SERVER_UNAVAILABLE: ("transient", "file server unreachable", "wait a while, then repeat with a new session, at most three times"),
    HResult.VSS_E_REMOTE_SERVER_UNSUPPORTED: ("never", "file server has no share snapshots", "repeating does not help: change what was asked for"),
    HResult.VSS_E_REVERT_IN_PROGRESS: ("transient", "revert running on volume", "wait until the revert has ended, then repeat"),
    HResult.VSS_E_REVERT_VOLUME_LOST: ("after_repair", "volume went away in revert", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_REBOOT_REQUIRED: ("after_repair", "reboot first", "restart the machine, then repeat"),
    HResult.VSS_E_TRANSACTION_FREEZE_TIMEOUT: ("transient", "transaction manager did not freeze", "wait a while, then repeat with a new session, at most three times"),
    HResult.VSS_E_TRANSACTION_THAW_TIMEOUT: ("transient", "or thaw", "wait a while, then repeat with a new session, at most three times"),
    HResult.VSS_E_UNSELECTED_VOLUME: ("after_repair", "LUN resync would hit a volume not listed", "add every volume of the affected disks, or pass NO_VOLUME_CHECK"),
    HResult.VSS_E_SNAPSHOT_NOT_IN_SET: ("never", "snapshot is not of the BCD's set", "give the document that was saved with this snapshot"),
    HResult.VSS_E_NESTED_VOLUME_LIMIT: ("never", "virtual disk inside virtual disk", "back up the outer volume instead"),
    HResult.VSS_E_VOLUME_NOT_LOCAL: ("after_repair", "cluster volume owned elsewhere", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_CLUSTER_TIMEOUT: ("transient", "cluster shared volume not ready in time", "wait a while, then repeat with a new session, at most three times"),
    HResult.VSS_E_NOT_SUPPORTED: ("never", "mix or operation not supported", "repeating does not help: change what was asked for"),
    HResult.VSS_E_WRITERERROR_PARTIAL_FAILURE: ("after_repair", "some components failed: ask each", "look at the components' own failures, mend those, then repeat"),
    HResult.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT: ("after_repair", "set lacks a volume the writer needs", "add the volumes that the writer's components lie on, then start over"),
    HResult.VSS_E_WRITERERROR_OUTOFRESOURCES: ("transient", "writer lacked memory or the like", "try again with a new session after a while, at most three times"),
    HResult.VSS_E_WRITERERROR_TIMEOUT: ("transient", "freeze to thaw took too long", "try again when the machine is less busy, at most three times; else restart the service that holds the writer"),
    HResult.VSS_E_WRITERERROR_RETRYABLE: ("transient", "writer says try again", "try again with a new session after a while, at most three times; else restart the service that holds the writer"),
    HResult.VSS_E_WRITERERROR_NONRETRYABLE: ("never", "writer says do not", "read the writer's entries in the event log; leave the writer out only if its data is not wanted"),
    HResult.VSS_E_WRITERERROR_RECOVERY_FAILED: ("after_repair", "auto-recovery of snapshot failed", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_BREAK_REVERT_ID_FAILED: ("after_repair", "disk identity not put back at break", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_LEGACY_PROVIDER: ("never", "provider too old for the call", "update the provider, or restore by copy instead"),
    HResult.VSS_E_MISSING_DISK: ("transient", "expected disk did not appear", "wait a while, then repeat with a new session, at most three times"),
    HResult.VSS_E_MISSING_HIDDEN_VOLUME: ("transient", "hidden volume did not appear", "wait a while, then repeat with a new session, at most three times"),
    HResult.VSS_E_MISSING_VOLUME: ("transient", "volume did not appear", "wait a while, then repeat with a new session, at most three times"),
    HResult.VSS_E_AUTORECOVERY_FAILED: ("after_repair", "snapshot recovery failed", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_DYNAMIC_DISK_ERROR: ("after_repair", "dynamic disk handling failed", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_NONTRANSPORTABLE_BCD: ("never", "document describes a local set", "give the document of a set that was made with TRANSPORTABLE"),
    HResult.VSS_E_CANNOT_REVERT_DISKID: ("after_repair", "MBR signature or GPT id not restorable", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_RESYNC_IN_PROGRESS: ("transient", "LUN resync running", "wait until the resynchronisation has ended, then repeat"),
    HResult.VSS_E_CLUSTER_ERROR: ("after_repair", "cluster call failed", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_ASRERROR_DISK_ASSIGNMENT_FAILED: ("after_repair", "system recovery: disks cannot be matched", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_ASRERROR_DISK_RECREATION_FAILED: ("after_repair", "layout could not be rebuilt", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_ASRERROR_NO_ARCPATH: ("after_repair", "boot path not mapped", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_ASRERROR_MISSING_DYNDISK: ("after_repair", "dynamic disk lacking", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_ASRERROR_SHARED_CRIDISK: ("never", "critical disk is shared", "repeating does not help: change what was asked for"),
    HResult.VSS_E_ASRERROR_DATADISK_RDISK0: ("never", "data disk active as first disk", "repeating does not help: change what was asked for"),
    HResult.VSS_E_ASRERROR_RDISK0_TOOSMALL: ("after_repair", "first disk too small", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_ASRERROR_CRITICAL_DISKS_TOO_SMALL: ("after_repair", "critical disks too small", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_WRITER_STATUS_NOT_AVAILABLE: ("transient", "writer's session slots used up, state unknown", "repeat when fewer backups run"),
    HResult.VSS_E_ASRERROR_DYNAMIC_VHD_NOT_SUPPORTED: ("never", "dynamic VHD target", "repeating does not help: change what was asked for"),
    HResult.VSS_E_CRITICAL_VOLUME_ON_INVALID_DISK: ("never", "critical volume on a disk not restorable", "repeating does not help: change what was asked for"),
    HResult.VSS_E_ASRERROR_RDISK_FOR_SYSTEM_DISK_NOT_FOUND: ("after_repair", "no disk for system volume", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_ASRERROR_NO_PHYSICAL_DISK_AVAILABLE: ("after_repair", "no disk at all", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_ASRERROR_FIXED_PHYSICAL_DISK_AVAILABLE_AFTER_DISK_EXCLUSION: ("after_repair", "exclusions leave none", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_ASRERROR_CRITICAL_DISK_CANNOT_BE_EXCLUDED: ("after_repair", "critical disk was excluded", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_ASRERROR_SYSTEM_PARTITION_HIDDEN: ("after_repair", "system partition hidden", "read the event log (sources VSS and VolSnap), mend what it names, then repeat"),
    HResult.VSS_E_FSS_TIMEOUT: ("transient", "share snapshot agent too slow", "wait a while, then repeat with a new session, at most three times"),
}
"""What repeating may bring, the meaning, what to do."""
