"""What the requestor's calls take and give. Ids are UUIDs, times FILETIMEs: 100 ns since 1601,
UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from math import isnan
from uuid import UUID

from exshadow.errors import InvalidError
from exshadow.vss.tables import (
    BackupType,
    ComponentType,
    HResult,
    ProviderType,
    SnapshotAttributes,
    SnapshotState,
    WriterState,
)

NIL = UUID(int=0)
SYSTEM_PROVIDER_ID = UUID("b5946137-7b9f-4925-af80-51abd60b20d5")
"""The system provider of Windows; other ids are asked for with ``query_providers``."""


_FOR_EVER = 10.0**12
_LONGEST = 10.0**9  # seconds: thirty years


def milliseconds(what: str, seconds: float) -> int:
    """InvalidError for what is no number of seconds above 0."""
    if not isinstance(seconds, int | float) or not 0 < seconds <= _LONGEST:
        raise InvalidError(
            f"{what} is {seconds!r:.100}", hint="give a number of seconds above 0, such as 60"
        )
    return max(1, int(seconds * 1000))


def patience(seconds: float) -> int:
    """The milliseconds that somebody waits, for ever as well; InvalidError for what is no time."""
    if not isinstance(seconds, int | float) or isnan(seconds):
        raise InvalidError(f"{seconds!r:.100} is no number of seconds", hint="such as 60")
    return int(min(max(seconds, 0.0), _FOR_EVER) * 1000)


class Context(IntEnum):
    """What a snapshot set is for. TRANSPORTABLE, DIFFERENTIAL or PLEX, NO_AUTORECOVERY and the
    like of SnapshotAttributes may be added with ``|``."""

    BACKUP = 0x00000000
    FILE_SHARE_BACKUP = 0x00000010
    NAS_ROLLBACK = 0x00000019
    APP_ROLLBACK = 0x00000009
    CLIENT_ACCESSIBLE = 0x0000001D
    CLIENT_ACCESSIBLE_WRITERS = 0x0000000D
    ALL = 0xFFFFFFFF
    """Only for query, delete, break, expose and revert."""


class StepState(IntEnum):
    """How far an asynchronous step is."""

    PENDING = 0
    FINISHED = 1
    CANCELLED = 2
    FAILED = 3


class Exposure(IntEnum):
    """Where a snapshot is shown."""

    LOCALLY = 0
    REMOTELY = 1


@dataclass(frozen=True, slots=True)
class StepStatus:
    """The second result of an asynchronous call."""

    state: StepState = StepState.PENDING
    result: HResult = HResult.VSS_S_ASYNC_PENDING
    detail: str = ""
    """Who refused what; empty on Windows, where only status and event log know."""


@dataclass(frozen=True, slots=True)
class BackupState:
    """What kind of backup it is going to be."""

    select_components: bool = True
    bootable_system_state: bool = False
    type: BackupType = BackupType.FULL
    partial_files: bool = False


@dataclass(frozen=True, slots=True)
class ComponentKey:
    """Names one component of one writer. An empty logical path is the writer's root; a nil instance
    any instance of the writer class."""

    writer_id: UUID
    name: str
    type: ComponentType = ComponentType.FILE_GROUP
    logical_path: str = ""
    instance_id: UUID = NIL


@dataclass(frozen=True, slots=True)
class WriterStatus:
    """One writer as the last look at it showed. A failure that is not S_OK is its reason."""

    instance_id: UUID
    writer_id: UUID
    name: str
    state: WriterState = WriterState.UNKNOWN
    failure: HResult = HResult.S_OK
    application_failure: HResult = HResult.S_OK
    application_message: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotProperties:
    """One snapshot."""

    snapshot_id: UUID
    set_id: UUID
    set_size: int
    device: str
    original_volume: str
    originating_machine: str
    service_machine: str
    exposed_name: str
    exposed_path: str
    provider_id: UUID
    attributes: SnapshotAttributes
    created: int
    state: SnapshotState

    @property
    def created_at(self) -> datetime:
        """`created` as a time, to the microsecond."""
        return datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.created // 10)


@dataclass(frozen=True, slots=True)
class ProviderProperties:
    """One registered provider."""

    provider_id: UUID
    name: str
    type: ProviderType = ProviderType.UNKNOWN
    version: str = ""
    version_id: UUID = NIL
    class_id: UUID = NIL


@dataclass(frozen=True, slots=True)
class DeleteOutcome:
    """How far a deletion came: it stops at the first snapshot that fails."""

    deleted: int = 0
    failed_snapshot: UUID | None = None
    failure: HResult = HResult.S_OK


@dataclass(frozen=True, slots=True)
class RootAndPrefix:
    """A path split into its volume or share and the same for people."""

    root: str
    prefix: str
