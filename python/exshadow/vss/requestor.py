"""BackupComponents: the requestor's side of VSS (``IVssBackupComponents`` through ``..Ex4``).

One object is one backup, one restore or one session of questions; it is never used again. Calls
come one at a time, from any thread, and free the GIL while they wait. The order of calls is VSS's:
what is not allowed now raises :class:`~exshadow.vss.errors.BadState` before anything is asked.
Leaving the object ends the session: a set that was begun and not completed is aborted, snapshots
of contexts that are released with the object vanish, writers are told.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar
from uuid import UUID

from exshadow.vss.documents import (
    BackupWriter,
    LocationMapping,
    RestoreSubcomponent,
    WriterMetadata,
)
from exshadow.vss.errors import is_failure, writer_failure
from exshadow.vss.plain import Plain, from_plain, to_plain
from exshadow.vss.tables import (
    BreakFlags,
    FileRestoreStatus,
    HResult,
    ObjectType,
    RecoveryFlags,
    RestoreType,
    RollForward,
    SnapshotAttributes,
)
from exshadow.vss.values import (
    NIL,
    BackupState,
    ComponentKey,
    Context,
    DeleteOutcome,
    Exposure,
    ProviderProperties,
    RootAndPrefix,
    SnapshotProperties,
    StepState,
    StepStatus,
    WriterStatus,
    patience,
)

T = TypeVar("T")

STEP_TIMEOUT = 600.0
"""Seconds that a step may take before it is cancelled."""
GRACE = 30.0
"""Seconds that a cancelled step has to end."""


class StepSession(Protocol):
    """An asynchronous step where it runs; milliseconds."""

    def wait(self, milliseconds: int) -> bool: ...
    def status(self) -> Plain: ...
    def cancel(self) -> int: ...
    def finish(self, what: str, limit: int, grace: int) -> int: ...


class Session(Protocol):
    """A requestor where it runs: in this process or in a host. Its methods are those of
    BackupComponents by name, with plain values."""

    def close(self) -> None: ...


class Sessions(ABC):
    """Who has sessions to give: a coordinator."""

    @abstractmethod
    def new_session(self) -> Session:
        """One of its own for every BackupComponents."""


class Step:
    """An asynchronous call of VSS (``IVssAsync``). It has two results: that the call returned
    means it began; this object has what came of it. Use it before its BackupComponents is
    closed."""

    def __init__(self, step: StepSession, what: str) -> None:
        self._step = step
        self._what = what

    def wait(self, timeout: float) -> bool:
        """Wait at most so many seconds; whether it has ended, well or not."""
        return self._step.wait(patience(timeout))

    def status(self) -> StepStatus:
        """How far it is, and its result."""
        return from_plain(StepStatus, self._step.status())

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.status().state is not StepState.PENDING

    def cancel(self) -> HResult:
        """Ask it to stop, from any thread. S_OK: asked; ..ASYNC_FINISHED: too late. It may still
        end well: wait for it. The set must then be aborted."""
        return HResult(self._step.cancel())

    def finish(self, timeout: float = STEP_TIMEOUT, *, grace: float = GRACE) -> HResult:
        """Wait for the end and give its result, a success code; raises what it failed with.

        After `timeout` seconds it is cancelled, has `grace` seconds to end, and TimedOutError is
        raised. Ctrl-C cancels it, too. Writers' failures are not in the result: ask
        ``check_writers``.
        """
        return HResult(self._step.finish(self._what, patience(timeout), patience(grace)))


class BackupComponents:
    """One backup, restore or session of questions.

    ``with coordinator.backup_components() as backup:`` ends the session at the end of the block.
    """

    def __init__(self, session: Session | Sessions) -> None:
        self._session = session.new_session() if isinstance(session, Sessions) else session

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session: abort what was begun, release what goes with it, tell the writers."""
        self._session.close()

    def _call(self, method: str, *arguments: object) -> Plain:
        return getattr(self._session, method)(*map(to_plain, arguments))

    def _ask(self, kind: type[T], method: str, *arguments: object) -> T:
        return from_plain(kind, self._call(method, *arguments))

    def _begin(self, method: str, *arguments: object) -> Step:
        step: Any = self._call(method, *arguments)
        return Step(step, method)

    # --- beginning ---

    def initialize_for_backup(self, document: str = "") -> None:
        """Begin a backup or a session of questions. With the saved document of a transportable set:
        to import it. InvalidDocument when the text is none."""
        self._call("initialize_for_backup", document)

    def initialize_for_restore(self, document: str) -> None:
        """Begin a restore from the document that the backup saved."""
        self._call("initialize_for_restore", document)

    def set_context(self, context: Context | SnapshotAttributes | int) -> None:
        """What the set is for; BACKUP when it is not called. NotSupported: flags that exclude each
        other."""
        self._call("set_context", int(context))

    def set_backup_state(self, state: BackupState) -> None:
        """The kind of backup; before ``prepare_for_backup``."""
        self._call("set_backup_state", state)

    def set_restore_state(self, type: RestoreType) -> None:
        """The kind of restore; by copy when it is not called."""
        self._call("set_restore_state", type)

    def enable_writer_classes(self, classes: Iterable[UUID]) -> None:
        """Only these writers take part; before metadata is gathered."""
        self._call("enable_writer_classes", list(classes))

    def disable_writer_classes(self, classes: Iterable[UUID]) -> None:
        """These writers are left out; calls add up."""
        self._call("disable_writer_classes", list(classes))

    def disable_writer_instances(self, instances: Iterable[UUID]) -> None:
        """These instances are left out."""
        self._call("disable_writer_instances", list(instances))

    def session_id(self) -> UUID:
        """Id of this session."""
        return self._ask(UUID, "session_id")

    # --- writers ---

    def gather_writer_metadata(self) -> Step:
        """Ask all writers to identify themselves; once per object."""
        return self._begin("gather_writer_metadata")

    def writer_metadata(self) -> list[WriterMetadata]:
        """What the writers said."""
        return self._ask(list[WriterMetadata], "writer_metadata")

    def writer_metadata_documents(self) -> list[str]:
        """The same as the service gave it, to be stored with the backup."""
        return self._ask(list[str], "writer_metadata_documents")

    def free_writer_metadata(self) -> None:
        """Forget it; it cannot be gathered again."""
        self._call("free_writer_metadata")

    def gather_writer_status(self) -> Step:
        """Ask every writer how it is."""
        return self._begin("gather_writer_status")

    def writer_status(self) -> list[WriterStatus]:
        """The answers, once."""
        return self._ask(list[WriterStatus], "writer_status")

    def check_writers(self, wanted: Iterable[UUID] | None = None) -> list[WriterStatus]:
        """Gather and read the status; raise WriterFailure for the first failed writer of the
        classes `wanted` (all when None). After every step of a backup: steps do not tell of
        writers."""
        self.gather_writer_status().finish()
        found = self.writer_status()
        classes = None if wanted is None else set(wanted)
        for one in found:
            if is_failure(one.failure) and (classes is None or one.writer_id in classes):
                raise writer_failure(
                    one.name,
                    one.failure,
                    one.state,
                    writer_id=one.writer_id,
                    instance_id=one.instance_id,
                    application_message=one.application_message,
                )
        return found

    def writer_components(self) -> list[BackupWriter]:
        """The components in the document as it is now."""
        return self._ask(list[BackupWriter], "writer_components")

    # --- choosing what to back up ---

    def add_component(self, component: ComponentKey) -> None:
        """Put a component, with its instance, into the backup; AlreadyExists when it is there."""
        self._call("add_component", component)

    def set_previous_backup_stamp(self, component: ComponentKey, stamp: str) -> None:
        """Hand back the stamp of the backup that this one builds on."""
        self._call("set_previous_backup_stamp", component, stamp)

    def set_backup_options(self, component: ComponentKey, options: str) -> None:
        """Private text for the component's writer."""
        self._call("set_backup_options", component, options)

    # --- the snapshot set ---

    def is_volume_supported(self, volume: str, provider: UUID = NIL) -> bool:
        """Could this volume be snapped in principle? ObjectNotFound: there is no such volume."""
        return self._ask(bool, "is_volume_supported", provider, volume)

    def start_snapshot_set(self) -> UUID:
        """Open the set; SnapshotSetInProgress while another is being made on this machine."""
        return self._ask(UUID, "start_snapshot_set")

    def add_to_snapshot_set(self, volume: str, provider: UUID = NIL) -> UUID:
        """Add one volume; gives the id its snapshot will have. A nil provider leaves the choice to
        the service: hardware, software, system."""
        return self._ask(UUID, "add_to_snapshot_set", volume, provider)

    def prepare_for_backup(self) -> Step:
        """Tell the writers; after it, only the way to ``backup_complete`` or ``abort_backup``."""
        return self._begin("prepare_for_backup")

    def do_snapshot_set(self) -> Step:
        """Freeze the writers, make the snapshots at one instant, thaw."""
        return self._begin("do_snapshot_set")

    def set_backup_succeeded(self, component: ComponentKey, succeeded: bool) -> None:
        """Whether the component's data was copied."""
        self._call("set_backup_succeeded", component, succeeded)

    def backup_complete(self) -> Step:
        """Tell the writers that the copying is over."""
        return self._begin("backup_complete")

    def abort_backup(self) -> None:
        """Give the backup up."""
        self._call("abort_backup")

    def save_as_xml(self) -> str:
        """The Backup Components Document."""
        return self._ask(str, "save_as_xml")

    # --- snapshots that exist ---

    def snapshot_properties(self, snapshot: UUID) -> SnapshotProperties:
        """One snapshot."""
        return self._ask(SnapshotProperties, "snapshot_properties", snapshot)

    def query_snapshots(self) -> list[SnapshotProperties]:
        """The finished snapshots of this context."""
        return self._ask(list[SnapshotProperties], "query_snapshots")

    def query_providers(self) -> list[ProviderProperties]:
        """The registered providers."""
        return self._ask(list[ProviderProperties], "query_providers")

    def delete_snapshots(
        self, id: UUID, type: ObjectType = ObjectType.SNAPSHOT, *, force: bool = False
    ) -> DeleteOutcome:
        """Delete one snapshot, or a set one by one until the first that fails."""
        return self._ask(DeleteOutcome, "delete_snapshots", id, type, force)

    def break_snapshot_set(self, set_id: UUID) -> None:
        """Let the service forget a set; its disks stay. Not for software providers."""
        self._call("break_snapshot_set", set_id)

    def break_snapshot_set_ex(self, set_id: UUID, flags: BreakFlags) -> Step:
        """The same with options."""
        return self._begin("break_snapshot_set_ex", set_id, flags)

    def import_snapshots(self) -> Step:
        """Surface the transportable set of the document. VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED is a
        success: ask ``query_snapshots`` what is here."""
        return self._begin("import_snapshots")

    def expose_snapshot(
        self,
        snapshot: UUID,
        name: str = "",
        *,
        path_from_root: str = "",
        how: Exposure = Exposure.LOCALLY,
    ) -> str:
        """Show a snapshot as drive letter, folder or share; gives the name it got."""
        return self._ask(str, "expose_snapshot", snapshot, path_from_root, how, name)

    def unexpose_snapshot(self, snapshot: UUID) -> None:
        """Undo it."""
        self._call("unexpose_snapshot", snapshot)

    def revert_to_snapshot(self, snapshot: UUID, *, force_dismount: bool = False) -> None:
        """Roll the volume back; cannot be undone. ``query_revert_status`` waits for the end."""
        self._call("revert_to_snapshot", snapshot, force_dismount)

    def query_revert_status(self, volume: str) -> Step:
        """Wait for a revert; ObjectNotFound when none runs."""
        return self._begin("query_revert_status", volume)

    def root_and_logical_prefix_paths(
        self, path: str, *, normalize_fqdn: bool = False
    ) -> RootAndPrefix:
        """Volume or share of a path, and the same for people."""
        return self._ask(RootAndPrefix, "root_and_logical_prefix_paths", path, normalize_fqdn)

    # --- restore ---

    def set_selected_for_restore(self, component: ComponentKey, selected: bool = True) -> None:
        """Choose a component to be restored."""
        self._call("set_selected_for_restore", component, selected)

    def set_restore_options(self, component: ComponentKey, options: str) -> None:
        """Private text for the component's writer."""
        self._call("set_restore_options", component, options)

    def set_additional_restores(self, component: ComponentKey, more: bool) -> None:
        """Increments still follow: keep the database offline."""
        self._call("set_additional_restores", component, more)

    def set_authoritative_restore(self, component: ComponentKey, authoritative: bool) -> None:
        """This copy wins over replicas."""
        self._call("set_authoritative_restore", component, authoritative)

    def set_roll_forward(self, component: ComponentKey, kind: RollForward, point: str = "") -> None:
        """Replay logs: none, all, or to a point."""
        self._call("set_roll_forward", component, kind, point)

    def set_restore_name(self, component: ComponentKey, name: str) -> None:
        """Restore it under another name."""
        self._call("set_restore_name", component, name)

    def add_restore_subcomponent(self, component: ComponentKey, part: RestoreSubcomponent) -> None:
        """Restore only a part of a chosen component."""
        self._call("add_restore_subcomponent", component, part)

    def add_new_target(self, component: ComponentKey, target: LocationMapping) -> None:
        """Another place for some files; path, pattern and recursion as the writer has them."""
        self._call("add_new_target", component, target)

    def set_ranges_file_path(self, component: ComponentKey, partial_file: int, path: str) -> None:
        """Where the ranges file of a partial file lies now."""
        self._call("set_ranges_file_path", component, partial_file, path)

    def pre_restore(self) -> Step:
        """Tell the writers that files are going to be put back."""
        return self._begin("pre_restore")

    def add_alternative_location_mapping(
        self, component: ComponentKey, mapping: LocationMapping
    ) -> None:
        """Record files that went to a place the writer named."""
        self._call("add_alternative_location_mapping", component, mapping)

    def set_file_restore_status(self, component: ComponentKey, status: FileRestoreStatus) -> None:
        """What came of the component's files; for every chosen one."""
        self._call("set_file_restore_status", component, status)

    def post_restore(self) -> Step:
        """Tell the writers that the files are back."""
        return self._begin("post_restore")

    def add_snapshot_to_recovery_set(self, snapshot: UUID, destination: str = "") -> None:
        """Pair a snapshot with the volume it is to overwrite; empty: the one it was made of."""
        self._call("add_snapshot_to_recovery_set", snapshot, destination)

    def recover_set(self, flags: RecoveryFlags = RecoveryFlags.NO_FLAGS) -> Step:
        """Resynchronise whole disks from the snapshots."""
        return self._begin("recover_set", flags)
