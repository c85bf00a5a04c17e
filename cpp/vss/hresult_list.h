// Every HRESULT that the Volume Shadow Copy Service hands out, and the COM codes its pages name: one row
// each. Source: mingw-w64's vsserror.h (names, values; tests/wine compares them) and Microsoft's vsbackup.h
// reference (meanings, in our words). Rows: X(enumerator, name, value, retry, meaning, advice); an empty
// advice is the one of `retry`.
#pragma once

// clang-format off
#define EXSHADOW_VSS_HRESULTS(X) \
    X(s_ok, S_OK, 0x00000000, none, "done", "") \
    X(s_false, S_FALSE, 0x00000001, none, "done, and there is nothing to give", "") \
    X(e_notimpl, E_NOTIMPL, 0x80004001, never, "this system or object does not offer the call", \
      "use another way, or another edition of the system") \
    X(e_nointerface, E_NOINTERFACE, 0x80004002, never, "the object has no such interface", \
      "a newer Windows has it") \
    X(e_fail, E_FAIL, 0x80004005, after_repair, "failed without saying why", \
      "read the event log (sources VSS and VolSnap)") \
    X(e_unexpected, E_UNEXPECTED, 0x8000FFFF, after_repair, "internal fault (Windows before 7)", \
      "read the event log (sources VSS and VolSnap)") \
    X(e_accessdenied, E_ACCESSDENIED, 0x80070005, after_repair, "the caller may not do this", \
      "run elevated, as an administrator or backup operator") \
    X(e_outofmemory, E_OUTOFMEMORY, 0x8007000E, transient, "no memory left", \
      "repeat when memory is free") \
    X(e_invalidarg, E_INVALIDARG, 0x80070057, never, "an argument is wrong or missing", \
      "correct the argument") \
    X(e_pointer, E_POINTER, 0x80004003, never, "a pointer argument is null", \
      "correct the argument") \
    X(vss_e_bad_state, VSS_E_BAD_STATE, 0x80042301, never, "call not allowed in this state or order", \
      "start again with a new backup components object and keep the documented order of calls") \
    X(vss_e_unexpected, VSS_E_UNEXPECTED, 0x80042302, after_repair, "internal fault, look in event log", \
      "read the event log (sources VSS and VolSnap), mend what it names, then repeat") \
    X(vss_e_provider_already_registered, VSS_E_PROVIDER_ALREADY_REGISTERED, 0x80042303, never, "provider id exists", "") \
    X(vss_e_provider_not_registered, VSS_E_PROVIDER_NOT_REGISTERED, 0x80042304, never, "unknown provider id", \
      "list the providers (exshadow vss providers) and name one of those") \
    X(vss_e_provider_veto, VSS_E_PROVIDER_VETO, 0x80042306, transient, "provider failed in a way it reported itself", \
      "read the provider's entries in the event log, then repeat; NO_AUTORECOVERY helps with some providers") \
    X(vss_e_provider_in_use, VSS_E_PROVIDER_IN_USE, 0x80042307, transient, "provider still busy", \
      "wait until the provider has ended what it does, then repeat") \
    X(vss_e_object_not_found, VSS_E_OBJECT_NOT_FOUND, 0x80042308, never, "no such snapshot, set, volume, component, writer", \
      "list what is there (exshadow vss snapshots, exshadow vss writers) and check the id or name") \
    X(vss_s_async_pending, VSS_S_ASYNC_PENDING, 0x00042309, none, "still running", "") \
    X(vss_s_async_finished, VSS_S_ASYNC_FINISHED, 0x0004230A, none, "done well", "") \
    X(vss_s_async_cancelled, VSS_S_ASYNC_CANCELLED, 0x0004230B, none, "cancelled", "") \
    X(vss_e_volume_not_supported, VSS_E_VOLUME_NOT_SUPPORTED, 0x8004230C, never, "no provider takes this volume", \
      "name an NTFS or ReFS volume of a local disk, or install a provider for this one") \
    X(vss_e_object_already_exists, VSS_E_OBJECT_ALREADY_EXISTS, 0x8004230D, never, "duplicate", "") \
    X(vss_e_volume_not_supported_by_provider, VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER, 0x8004230E, never, "this provider does not", \
      "leave the provider to be chosen, or name another one") \
    X(vss_e_unexpected_provider_error, VSS_E_UNEXPECTED_PROVIDER_ERROR, 0x8004230F, transient, "provider returned a code outside the contract", \
      "read the provider's entries in the event log, then repeat") \
    X(vss_e_corrupt_xml_document, VSS_E_CORRUPT_XML_DOCUMENT, 0x80042310, never, "old name, now INVALID_XML_DOCUMENT", \
      "give a document that was saved by a VSS requestor and not changed since") \
    X(vss_e_invalid_xml_document, VSS_E_INVALID_XML_DOCUMENT, 0x80042311, never, "BCD or WMD text unusable", \
      "give a document that was saved by a VSS requestor and not changed since") \
    X(vss_e_maximum_number_of_volumes_reached, VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED, 0x80042312, never, "64 volumes in set", \
      "make two sets of at most 64 volumes each") \
    X(vss_e_flush_writes_timeout, VSS_E_FLUSH_WRITES_TIMEOUT, 0x80042313, transient, "file system flush took too long", \
      "repeat when the volumes are less busy, at most three times, ten minutes apart") \
    X(vss_e_hold_writes_timeout, VSS_E_HOLD_WRITES_TIMEOUT, 0x80042314, transient, "writes could not be held long enough", \
      "repeat when the volumes are less busy, at most three times, ten minutes apart") \
    X(vss_e_unexpected_writer_error, VSS_E_UNEXPECTED_WRITER_ERROR, 0x80042315, transient, "talk with writers failed oddly", "") \
    X(vss_e_snapshot_set_in_progress, VSS_E_SNAPSHOT_SET_IN_PROGRESS, 0x80042316, transient, "another creation is open on this machine", \
      "wait until the other backup has made its snapshots, then repeat") \
    X(vss_e_maximum_number_of_snapshots_reached, VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED, 0x80042317, after_repair, "512 per volume, or provider limit", \
      "delete snapshots that are no longer needed, then repeat") \
    X(vss_e_writer_infrastructure, VSS_E_WRITER_INFRASTRUCTURE, 0x80042318, after_repair, "event system or VSS service broken", \
      "see that the services VSS and COM+ Event System run, then repeat") \
    X(vss_e_writer_not_responding, VSS_E_WRITER_NOT_RESPONDING, 0x80042319, after_repair, "writer died, hung or did not answer status", \
      "restart the service that holds the writer, then repeat") \
    X(vss_e_writer_already_subscribed, VSS_E_WRITER_ALREADY_SUBSCRIBED, 0x8004231A, never, "second Subscribe of a writer", "") \
    X(vss_e_unsupported_context, VSS_E_UNSUPPORTED_CONTEXT, 0x8004231B, never, "context or flags not possible here", \
      "ask with fewer flags, or on a Server edition") \
    X(vss_e_volume_in_use, VSS_E_VOLUME_IN_USE, 0x8004231D, transient, "volume could not be locked", \
      "close what uses the volume, or force the dismount, then repeat") \
    X(vss_e_maximum_diffarea_associations_reached, VSS_E_MAXIMUM_DIFFAREA_ASSOCIATIONS_REACHED, 0x8004231E, never, "too many storage associations", "") \
    X(vss_e_insufficient_storage, VSS_E_INSUFFICIENT_STORAGE, 0x8004231F, after_repair, "no room for diff area or LUN", \
      "make room on the volume that holds the shadow storage, or raise its limit, then repeat") \
    X(vss_e_no_snapshots_imported, VSS_E_NO_SNAPSHOTS_IMPORTED, 0x80042320, after_repair, "import found none", \
      "present the set's disks to this machine and see that its provider is installed, then repeat") \
    X(vss_s_some_snapshots_not_imported, VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED, 0x00042321, none, "import partly good", "") \
    X(vss_e_some_snapshots_not_imported, VSS_E_SOME_SNAPSHOTS_NOT_IMPORTED, 0x80042321, after_repair, "same as error", "") \
    X(vss_e_maximum_number_of_remote_machines_reached, VSS_E_MAXIMUM_NUMBER_OF_REMOTE_MACHINES_REACHED, 0x80042322, never, "too many file servers in one set", "") \
    X(vss_e_remote_server_unavailable, VSS_E_REMOTE_SERVER_UNAVAILABLE, 0x80042323, transient, "file server unreachable", "") \
    X(vss_e_remote_server_unsupported, VSS_E_REMOTE_SERVER_UNSUPPORTED, 0x80042324, never, "file server has no share snapshots", "") \
    X(vss_e_revert_in_progress, VSS_E_REVERT_IN_PROGRESS, 0x80042325, transient, "revert running on volume", \
      "wait until the revert has ended, then repeat") \
    X(vss_e_revert_volume_lost, VSS_E_REVERT_VOLUME_LOST, 0x80042326, after_repair, "volume went away in revert", "") \
    X(vss_e_reboot_required, VSS_E_REBOOT_REQUIRED, 0x80042327, after_repair, "reboot first", \
      "restart the machine, then repeat") \
    X(vss_e_transaction_freeze_timeout, VSS_E_TRANSACTION_FREEZE_TIMEOUT, 0x80042328, transient, "transaction manager did not freeze", "") \
    X(vss_e_transaction_thaw_timeout, VSS_E_TRANSACTION_THAW_TIMEOUT, 0x80042329, transient, "or thaw", "") \
    X(vss_e_unselected_volume, VSS_E_UNSELECTED_VOLUME, 0x8004232A, after_repair, "LUN resync would hit a volume not listed", \
      "add every volume of the affected disks, or pass NO_VOLUME_CHECK") \
    X(vss_e_snapshot_not_in_set, VSS_E_SNAPSHOT_NOT_IN_SET, 0x8004232B, never, "snapshot is not of the BCD's set", \
      "give the document that was saved with this snapshot") \
    X(vss_e_nested_volume_limit, VSS_E_NESTED_VOLUME_LIMIT, 0x8004232C, never, "virtual disk inside virtual disk", \
      "back up the outer volume instead") \
    X(vss_e_volume_not_local, VSS_E_VOLUME_NOT_LOCAL, 0x8004232D, after_repair, "cluster volume owned elsewhere", "") \
    X(vss_e_cluster_timeout, VSS_E_CLUSTER_TIMEOUT, 0x8004232E, transient, "cluster shared volume not ready in time", "") \
    X(vss_e_not_supported, VSS_E_NOT_SUPPORTED, 0x8004232F, never, "mix or operation not supported", "") \
    X(vss_e_writererror_partial_failure, VSS_E_WRITERERROR_PARTIAL_FAILURE, 0x80042336, after_repair, "some components failed: ask each", \
      "look at the components' own failures, mend those, then repeat") \
    X(vss_e_writererror_inconsistentsnapshot, VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT, 0x800423F0, after_repair, "set lacks a volume the writer needs", \
      "add the volumes that the writer's components lie on, then start over") \
    X(vss_e_writererror_outofresources, VSS_E_WRITERERROR_OUTOFRESOURCES, 0x800423F1, transient, "writer lacked memory or the like", \
      "try again with a new session after a while, at most three times") \
    X(vss_e_writererror_timeout, VSS_E_WRITERERROR_TIMEOUT, 0x800423F2, transient, "freeze to thaw took too long", \
      "try again when the machine is less busy, at most three times; else restart the service that holds the writer") \
    X(vss_e_writererror_retryable, VSS_E_WRITERERROR_RETRYABLE, 0x800423F3, transient, "writer says try again", \
      "try again with a new session after a while, at most three times; else restart the service that holds the writer") \
    X(vss_e_writererror_nonretryable, VSS_E_WRITERERROR_NONRETRYABLE, 0x800423F4, never, "writer says do not", \
      "read the writer's entries in the event log; leave the writer out only if its data is not wanted") \
    X(vss_e_writererror_recovery_failed, VSS_E_WRITERERROR_RECOVERY_FAILED, 0x800423F5, after_repair, "auto-recovery of snapshot failed", "") \
    X(vss_e_break_revert_id_failed, VSS_E_BREAK_REVERT_ID_FAILED, 0x800423F6, after_repair, "disk identity not put back at break", "") \
    X(vss_e_legacy_provider, VSS_E_LEGACY_PROVIDER, 0x800423F7, never, "provider too old for the call", \
      "update the provider, or restore by copy instead") \
    X(vss_e_missing_disk, VSS_E_MISSING_DISK, 0x800423F8, transient, "expected disk did not appear", "") \
    X(vss_e_missing_hidden_volume, VSS_E_MISSING_HIDDEN_VOLUME, 0x800423F9, transient, "hidden volume did not appear", "") \
    X(vss_e_missing_volume, VSS_E_MISSING_VOLUME, 0x800423FA, transient, "volume did not appear", "") \
    X(vss_e_autorecovery_failed, VSS_E_AUTORECOVERY_FAILED, 0x800423FB, after_repair, "snapshot recovery failed", "") \
    X(vss_e_dynamic_disk_error, VSS_E_DYNAMIC_DISK_ERROR, 0x800423FC, after_repair, "dynamic disk handling failed", "") \
    X(vss_e_nontransportable_bcd, VSS_E_NONTRANSPORTABLE_BCD, 0x800423FD, never, "document describes a local set", \
      "give the document of a set that was made with TRANSPORTABLE") \
    X(vss_e_cannot_revert_diskid, VSS_E_CANNOT_REVERT_DISKID, 0x800423FE, after_repair, "MBR signature or GPT id not restorable", "") \
    X(vss_e_resync_in_progress, VSS_E_RESYNC_IN_PROGRESS, 0x800423FF, transient, "LUN resync running", \
      "wait until the resynchronisation has ended, then repeat") \
    X(vss_e_cluster_error, VSS_E_CLUSTER_ERROR, 0x80042400, after_repair, "cluster call failed", "") \
    X(vss_e_asrerror_disk_assignment_failed, VSS_E_ASRERROR_DISK_ASSIGNMENT_FAILED, 0x80042401, after_repair, "system recovery: disks cannot be matched", "") \
    X(vss_e_asrerror_disk_recreation_failed, VSS_E_ASRERROR_DISK_RECREATION_FAILED, 0x80042402, after_repair, "layout could not be rebuilt", "") \
    X(vss_e_asrerror_no_arcpath, VSS_E_ASRERROR_NO_ARCPATH, 0x80042403, after_repair, "boot path not mapped", "") \
    X(vss_e_asrerror_missing_dyndisk, VSS_E_ASRERROR_MISSING_DYNDISK, 0x80042404, after_repair, "dynamic disk lacking", "") \
    X(vss_e_asrerror_shared_cridisk, VSS_E_ASRERROR_SHARED_CRIDISK, 0x80042405, never, "critical disk is shared", "") \
    X(vss_e_asrerror_datadisk_rdisk0, VSS_E_ASRERROR_DATADISK_RDISK0, 0x80042406, never, "data disk active as first disk", "") \
    X(vss_e_asrerror_rdisk0_toosmall, VSS_E_ASRERROR_RDISK0_TOOSMALL, 0x80042407, after_repair, "first disk too small", "") \
    X(vss_e_asrerror_critical_disks_too_small, VSS_E_ASRERROR_CRITICAL_DISKS_TOO_SMALL, 0x80042408, after_repair, "critical disks too small", "") \
    X(vss_e_writer_status_not_available, VSS_E_WRITER_STATUS_NOT_AVAILABLE, 0x80042409, transient, "writer's session slots used up, state unknown", \
      "repeat when fewer backups run") \
    X(vss_e_asrerror_dynamic_vhd_not_supported, VSS_E_ASRERROR_DYNAMIC_VHD_NOT_SUPPORTED, 0x8004240A, never, "dynamic VHD target", "") \
    X(vss_e_critical_volume_on_invalid_disk, VSS_E_CRITICAL_VOLUME_ON_INVALID_DISK, 0x80042411, never, "critical volume on a disk not restorable", "") \
    X(vss_e_asrerror_rdisk_for_system_disk_not_found, VSS_E_ASRERROR_RDISK_FOR_SYSTEM_DISK_NOT_FOUND, 0x80042412, after_repair, "no disk for system volume", "") \
    X(vss_e_asrerror_no_physical_disk_available, VSS_E_ASRERROR_NO_PHYSICAL_DISK_AVAILABLE, 0x80042413, after_repair, "no disk at all", "") \
    X(vss_e_asrerror_fixed_physical_disk_available_after_disk_exclusion, VSS_E_ASRERROR_FIXED_PHYSICAL_DISK_AVAILABLE_AFTER_DISK_EXCLUSION, 0x80042414, after_repair, "exclusions leave none", "") \
    X(vss_e_asrerror_critical_disk_cannot_be_excluded, VSS_E_ASRERROR_CRITICAL_DISK_CANNOT_BE_EXCLUDED, 0x80042415, after_repair, "critical disk was excluded", "") \
    X(vss_e_asrerror_system_partition_hidden, VSS_E_ASRERROR_SYSTEM_PARTITION_HIDDEN, 0x80042416, after_repair, "system partition hidden", "") \
    X(vss_e_fss_timeout, VSS_E_FSS_TIMEOUT, 0x80042417, transient, "share snapshot agent too slow", "")
// clang-format on
