"""The whole procedures of a requestor: what to ask for and what came of it.

The same records for a coordinator of this machine and for Windows' own service behind
``exshadow-vss.exe`` (:class:`exshadow.vss.Tool`). Times to wait are milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from exshadow.errors import Error
from exshadow.vss.documents import (
    BackupWriter,
    ComponentFailure,
    LocationMapping,
    RestoreSubcomponent,
    WriterMetadata,
)
from exshadow.vss.tables import RestoreType, RollForward
from exshadow.vss.values import (
    NIL,
    BackupState,
    ComponentKey,
    Context,
    SnapshotProperties,
    WriterStatus,
)


@dataclass(frozen=True, slots=True)
class WaitLimits:
    """Of each asynchronous step: until it is cancelled, and then until it is given up."""

    limit: int = 600_000
    grace: int = 30_000


AS_LONG_AS_IT_TAKES = WaitLimits(limit=1 << 50)
"""For steps that move data."""


@dataclass(frozen=True, slots=True)
class RetryLimits:
    """Repeating after transient failures, each time with a new session."""

    tries: int = 3
    wait: int = 600_000
    """Between two tries: Microsoft's ten minutes."""
    busy_wait: int = 5_000
    """Between two looks at a creation slot that somebody else holds."""
    busy_limit: int = 120_000


@dataclass(frozen=True, slots=True)
class ComponentWish:
    """A writer by id or name, and one of its components as ``path\\name``; empty: all."""

    writer: str
    component: str = ""


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """What to back up. No volumes, in component mode: those that the components lie on."""

    volumes: list[str] = field(default_factory=list)
    provider: str = ""
    context: int = Context.BACKUP
    state: BackupState = field(default_factory=BackupState)
    included: list[ComponentWish] = field(default_factory=list)
    excluded: list[ComponentWish] = field(default_factory=list)
    base_document: str = ""
    options: list[tuple[ComponentWish, str]] = field(default_factory=list)
    limits: WaitLimits = WaitLimits()
    retry: RetryLimits = RetryLimits()


@dataclass(frozen=True, slots=True)
class WriterReport:
    """A writer as it was last seen; the failure of one that is not wanted does not count."""

    status: WriterStatus
    wanted: bool = True
    seen_after: str = ""


@dataclass(frozen=True, slots=True)
class ComponentReport:
    """A component: whether it takes part, why, and what came of it."""

    key: ComponentKey
    writer_name: str = ""
    included: bool = False
    explicitly: bool = False
    reason: str = ""
    succeeded: bool | None = None
    failure: ComponentFailure | None = None


@dataclass(frozen=True, slots=True)
class WriterDocument:
    """A Writer Metadata Document as the service gave it."""

    writer_id: UUID
    instance_id: UUID
    name: str
    xml: str


@dataclass(frozen=True, slots=True)
class BackupReport:
    """A backup as far as it came. The set id is nil when no snapshots were made."""

    snapshot_set_id: UUID = NIL
    snapshots: list[SnapshotProperties] = field(default_factory=list)
    writers: list[WriterReport] = field(default_factory=list)
    components: list[ComponentReport] = field(default_factory=list)
    writer_documents: list[WriterDocument] = field(default_factory=list)
    document: str = ""
    tries: int = 0
    completed: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Copied:
    """The caller's answer: what was copied, or put back, well."""

    all_succeeded: bool = True
    failed: list[ComponentKey] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RestoreChoices:
    """What is said of one component, or of all of one writer, over what is said of all."""

    component: ComponentWish
    additional_restores: bool = False
    authoritative: bool = False
    options: str = ""
    roll_forward: RollForward | None = None
    roll_forward_point: str = ""
    new_name: str = ""


@dataclass(frozen=True, slots=True)
class RangesFile:
    """Where the ranges file of a component's partial file (by number, from 0) lies now."""

    partial_file: int
    path: str


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What to restore from the document of a backup; nothing included means everything.

    `alternate_mappings`: files that are put where their writer's own mapping says. `subcomponents`:
    only these parts of a component.
    """

    document: str
    type: RestoreType | None = None
    included: list[ComponentWish] = field(default_factory=list)
    excluded: list[ComponentWish] = field(default_factory=list)
    additional_restores: bool = False
    authoritative: bool = False
    options: str = ""
    roll_forward: RollForward | None = None
    roll_forward_point: str = ""
    new_name: str = ""
    new_targets: list[tuple[ComponentWish, LocationMapping]] = field(default_factory=list)
    alternate_mappings: list[tuple[ComponentWish, LocationMapping]] = field(default_factory=list)
    subcomponents: list[tuple[ComponentWish, RestoreSubcomponent]] = field(default_factory=list)
    ranges_files: list[tuple[ComponentWish, RangesFile]] = field(default_factory=list)
    choices: list[RestoreChoices] = field(default_factory=list)
    limits: WaitLimits = WaitLimits()


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """A restore as far as it came. `completed`: the writers were told that it is over."""

    writers: list[WriterReport] = field(default_factory=list)
    components: list[ComponentReport] = field(default_factory=list)
    chosen: list[BackupWriter] = field(default_factory=list)
    completed: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BackupOutcome:
    """How a backup ended: `error` is None when it ended well."""

    report: BackupReport
    error: Error | None = None

    def check(self) -> BackupReport:
        """The report; raises the error where there is one."""
        if self.error is not None:
            raise self.error
        return self.report


@dataclass(frozen=True, slots=True)
class RestoreOutcome:
    """How a restore ended."""

    report: RestoreReport
    error: Error | None = None

    def check(self) -> RestoreReport:
        """The report; raises the error where there is one."""
        if self.error is not None:
            raise self.error
        return self.report


@dataclass(frozen=True, slots=True)
class WriterEntry:
    """A writer: what it says of itself, parsed and as it came, and how it is."""

    metadata: WriterMetadata
    document: str = ""
    status: WriterStatus | None = None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The snapshots of an imported set; `partly`: some could not be surfaced."""

    snapshots: list[SnapshotProperties] = field(default_factory=list)
    partly: bool = False


@dataclass(frozen=True, slots=True)
class RecoveryPair:
    """A snapshot and the volume it is to overwrite; empty: the one it was made of."""

    snapshot: UUID
    destination: str = ""


Between = Callable[[BackupReport], Copied | None]
"""The caller's part while the snapshots exist. An exception aborts the backup; None: all went
well."""
PutBack = Callable[[RestoreReport], Copied | None]
"""The caller puts the files back. An exception counts as all having failed."""
