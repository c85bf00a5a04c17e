"""The two documents of VSS as values: what a writer says of itself (``WriterMetadata``) and what a
backup chose and what became of it (``BackupDocument``). They are the records of
cpp/vss/metadata.h.

Elements and attributes that exshadow does not know are kept in ``unknown``, so that a document
survives being read and written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from exshadow.vss.tables import (
    BackupSchema,
    BackupType,
    ComponentFlags,
    ComponentType,
    FileRestoreStatus,
    FileSpecBackupType,
    HResult,
    RestoreMethod,
    RestoreTarget,
    RollForward,
    SourceType,
    UsageType,
    WriterRestore,
)
from exshadow.vss.values import NIL, SnapshotProperties

STANDARD_BACKUP_TYPE = FileSpecBackupType(0xF0F)
"""Of a file set that does not say: needed in every kind of backup, read from the snapshot."""


@dataclass(slots=True)
class UnknownXml:
    """XML that nobody here knows: whole elements, and attributes as (name, value)."""

    elements: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class FileSet:
    """Files by folder and pattern. Paths may hold environment variables of the writer's machine."""

    path: str
    spec: str
    recursive: bool = False
    backup_type: FileSpecBackupType = STANDARD_BACKUP_TYPE
    alternate_path: str = ""
    unknown: UnknownXml = field(default_factory=UnknownXml)


@dataclass(slots=True)
class Dependency:
    """A component of another writer that is to be restored with this one."""

    writer_id: UUID
    logical_path: str
    name: str
    unknown: UnknownXml = field(default_factory=UnknownXml)


@dataclass(slots=True)
class ComponentMetadata:
    """One component that a writer offers."""

    name: str
    logical_path: str = ""
    type: ComponentType = ComponentType.FILE_GROUP
    caption: str = ""
    icon: str = ""
    restore_metadata: bool = False
    notify_on_backup_complete: bool = False
    selectable: bool = True
    selectable_for_restore: bool = False
    flags: ComponentFlags = ComponentFlags.NO_FLAGS
    files: list[FileSet] = field(default_factory=list)
    database_files: list[FileSet] = field(default_factory=list)
    database_logs: list[FileSet] = field(default_factory=list)
    dependencies: list[Dependency] = field(default_factory=list)
    unknown: UnknownXml = field(default_factory=UnknownXml)


@dataclass(slots=True)
class LocationMapping:
    """Where files go when they cannot go back to where they were."""

    files: FileSet
    destination: str


@dataclass(slots=True)
class RestoreMethodMetadata:
    """How a writer wants its files put back."""

    method: RestoreMethod = RestoreMethod.UNDEFINED
    service: str = ""
    user_procedure: str = ""
    writer_restore: WriterRestore = WriterRestore.UNDEFINED
    reboot_required: bool = False
    mappings: list[LocationMapping] = field(default_factory=list)
    unknown: UnknownXml = field(default_factory=UnknownXml)


@dataclass(slots=True)
class WriterMetadata:
    """A Writer Metadata Document."""

    writer_id: UUID
    name: str
    instance_id: UUID = NIL
    instance_name: str = ""
    major_version: int = 0
    minor_version: int = 0
    usage: UsageType = UsageType.USER_DATA
    source: SourceType = SourceType.OTHER
    schema: BackupSchema = BackupSchema.NO_FLAGS
    components: list[ComponentMetadata] = field(default_factory=list)
    excluded: list[FileSet] = field(default_factory=list)
    excluded_from_snapshot: list[FileSet] = field(default_factory=list)
    restore_method: RestoreMethodMetadata | None = None
    version: str = "1.2"
    unknown: UnknownXml = field(default_factory=UnknownXml)
    unknown_identity: UnknownXml = field(default_factory=UnknownXml)
    unknown_locations: UnknownXml = field(default_factory=UnknownXml)


@dataclass(slots=True)
class PartialFile:
    """Ranges of one file that are to be backed up: ``offset:length,...`` or a ranges file's
    name."""

    path: str
    file_name: str
    ranges: str
    metadata: str = ""
    unknown: UnknownXml = field(default_factory=UnknownXml)


@dataclass(slots=True)
class DifferencedFile:
    """Files that changed since a time (FILETIME)."""

    files: FileSet
    last_modified: int = 0


@dataclass(slots=True)
class DirectedTarget:
    """A part of a file that goes back into a part of another."""

    source_path: str
    source_name: str
    source_ranges: str
    target_path: str
    target_name: str
    target_ranges: str
    unknown: UnknownXml = field(default_factory=UnknownXml)


@dataclass(slots=True)
class RestoreSubcomponent:
    """A part of a component that is restored alone."""

    logical_path: str
    name: str
    unknown: UnknownXml = field(default_factory=UnknownXml)


@dataclass(slots=True)
class ComponentFailure:
    """What a writer said of one component that failed."""

    failure: HResult = HResult.S_OK
    application_failure: HResult = HResult.S_OK
    application_message: str = ""
    unknown: UnknownXml = field(default_factory=UnknownXml)


@dataclass(slots=True)
class RestoreChoice:
    """What a restore wants of one component and what came of it."""

    selected: bool = False
    additional_restores: bool = False
    authoritative: bool = False
    options: str = ""
    new_name: str = ""
    roll_forward: RollForward = RollForward.UNDEFINED
    roll_forward_point: str = ""
    target: RestoreTarget = RestoreTarget.UNDEFINED
    status: FileRestoreStatus = FileRestoreStatus.UNDEFINED
    subcomponents: list[RestoreSubcomponent] = field(default_factory=list)
    new_targets: list[LocationMapping] = field(default_factory=list)
    alternate_mappings: list[LocationMapping] = field(default_factory=list)
    directed_targets: list[DirectedTarget] = field(default_factory=list)
    pre_restore_failure: str = ""
    post_restore_failure: str = ""


@dataclass(slots=True)
class BackupComponent:
    """One component as the backup holds it. `succeeded` is None until somebody said."""

    name: str
    logical_path: str = ""
    type: ComponentType = ComponentType.FILE_GROUP
    succeeded: bool | None = None
    backup_options: str = ""
    backup_stamp: str = ""
    previous_backup_stamp: str = ""
    backup_metadata: str = ""
    restore_metadata: str = ""
    partial_files: list[PartialFile] = field(default_factory=list)
    differenced_files: list[DifferencedFile] = field(default_factory=list)
    restore: RestoreChoice = field(default_factory=RestoreChoice)
    failure: ComponentFailure | None = None
    unknown: UnknownXml = field(default_factory=UnknownXml)
    unknown_metadata: UnknownXml = field(default_factory=UnknownXml)


@dataclass(slots=True)
class BackupWriter:
    """The components of one writer in a backup."""

    writer_id: UUID
    instance_id: UUID = NIL
    instance_name: str = ""
    schema: BackupSchema = BackupSchema.NO_FLAGS
    components: list[BackupComponent] = field(default_factory=list)
    unknown: UnknownXml = field(default_factory=UnknownXml)


@dataclass(slots=True)
class RecordedSnapshot:
    """A snapshot of the set as the document records it."""

    properties: SnapshotProperties
    unknown: UnknownXml = field(default_factory=UnknownXml)


@dataclass(slots=True)
class BackupDocument:
    """A Backup Components Document. The set id is nil before the snapshot."""

    bootable_system_state: bool = False
    select_components: bool = False
    type: BackupType = BackupType.UNDEFINED
    partial_files: bool = False
    snapshot_set_id: UUID = NIL
    writers: list[BackupWriter] = field(default_factory=list)
    snapshots: list[RecordedSnapshot] = field(default_factory=list)
    version: str = "1.2"
    unknown: UnknownXml = field(default_factory=UnknownXml)
