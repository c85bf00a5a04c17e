"""The verbs of the service, whoever plays it: a coordinator here, one in a process of its own, or
Windows behind ``exshadow-vss.exe``. All take and give the same records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from exshadow.vss.command import Command
from exshadow.vss.plain import from_plain, to_plain
from exshadow.vss.procedures import (
    AS_LONG_AS_IT_TAKES,
    BackupOutcome,
    BackupRequest,
    Between,
    ImportReport,
    PutBack,
    RecoveryPair,
    RestoreOutcome,
    RestoreRequest,
    WaitLimits,
    WriterEntry,
)
from exshadow.vss.requestor import BackupComponents, Session
from exshadow.vss.tables import BreakFlags, ObjectType, RecoveryFlags
from exshadow.vss.values import (
    Context,
    DeleteOutcome,
    Exposure,
    ProviderProperties,
    SnapshotProperties,
)


class VssService(ABC):
    """What can be asked. Failures are those of exshadow.vss.errors; nothing is printed."""

    @abstractmethod
    def writers(self) -> list[WriterEntry]:
        """Every writer with its components and state."""

    @abstractmethod
    def providers(self) -> list[ProviderProperties]:
        """The registered providers."""

    @abstractmethod
    def snapshots(self, context: int = Context.ALL) -> list[SnapshotProperties]:
        """The finished snapshots of a context."""

    @abstractmethod
    def backup(
        self, request: BackupRequest, between: Between | Command | None = None
    ) -> BackupOutcome:
        """A whole backup; `between` is called, or run, while the snapshots exist."""

    @abstractmethod
    def restore(
        self, request: RestoreRequest, put_back: PutBack | Command | None = None
    ) -> RestoreOutcome:
        """A whole restore; `put_back` is called between PreRestore and PostRestore."""

    @abstractmethod
    def delete(self, id: UUID, type: ObjectType, *, force: bool = False) -> DeleteOutcome:
        """Delete a snapshot, or a set one by one until the first that fails."""

    @abstractmethod
    def break_set(self, set_id: UUID, flags: BreakFlags | None = None) -> None:
        """Let the service forget a set; its disks stay."""

    @abstractmethod
    def import_set(self, document: str) -> ImportReport:
        """Surface the transportable set of a saved document."""

    @abstractmethod
    def expose(
        self,
        snapshot: UUID,
        name: str = "",
        *,
        path_from_root: str = "",
        how: Exposure = Exposure.LOCALLY,
    ) -> str:
        """Show a snapshot as drive letter, folder or share; gives the name it got."""

    @abstractmethod
    def unexpose(self, snapshot: UUID) -> None:
        """Undo it."""

    @abstractmethod
    def revert(self, snapshot: UUID, *, force_dismount: bool = False) -> None:
        """Roll the volume back and wait for the end. Cannot be undone."""

    @abstractmethod
    def resync(
        self,
        document: str,
        pairs: Sequence[RecoveryPair],
        flags: RecoveryFlags = RecoveryFlags.NO_FLAGS,
        *,
        writers: bool = False,
    ) -> None:
        """Resynchronise whole disks from the snapshots of a saved document. `writers`: those of
        the document are told before and after; one that refuses stops it before a disk is
        touched."""


class OverSessions(VssService):
    """The short verbs, over a session each, or by a procedure of the native module."""

    @abstractmethod
    def new_session(self) -> Session:
        """The untyped session of a BackupComponents."""

    @abstractmethod
    def run_plain(self, procedure: str, *arguments: Any) -> Any:
        """A procedure of the native module: its name and arguments there, as plain values."""

    def backup_components(self) -> BackupComponents:
        """One backup, restore or session of questions."""
        return BackupComponents(self.new_session())

    def _asking(self, context: int = Context.ALL) -> BackupComponents:
        session = self.backup_components()
        try:
            session.initialize_for_backup()
            session.set_context(context)
        except BaseException:
            session.close()
            raise
        return session

    def providers(self) -> list[ProviderProperties]:
        with self._asking() as session:
            return session.query_providers()

    def snapshots(self, context: int = Context.ALL) -> list[SnapshotProperties]:
        with self._asking(context) as session:
            return session.query_snapshots()

    def delete(self, id: UUID, type: ObjectType, *, force: bool = False) -> DeleteOutcome:
        with self._asking() as session:
            return session.delete_snapshots(id, type, force=force)

    def break_set(self, set_id: UUID, flags: BreakFlags | None = None) -> None:
        with self._asking() as session:
            if flags is None:
                session.break_snapshot_set(set_id)
            else:
                session.break_snapshot_set_ex(set_id, flags).finish()

    def expose(
        self,
        snapshot: UUID,
        name: str = "",
        *,
        path_from_root: str = "",
        how: Exposure = Exposure.LOCALLY,
    ) -> str:
        with self._asking() as session:
            return session.expose_snapshot(snapshot, name, path_from_root=path_from_root, how=how)

    def unexpose(self, snapshot: UUID) -> None:
        with self._asking() as session:
            session.unexpose_snapshot(snapshot)

    def writers(self) -> list[WriterEntry]:
        return from_plain(list[WriterEntry], self.run_plain("list_writers", to_plain(WaitLimits())))

    def import_set(self, document: str) -> ImportReport:
        found = self.run_plain("import_set", document, to_plain(WaitLimits()), None)
        return from_plain(ImportReport, found)

    def revert(self, snapshot: UUID, *, force_dismount: bool = False) -> None:
        self.run_plain("revert", str(snapshot), force_dismount, to_plain(AS_LONG_AS_IT_TAKES))

    def resync(
        self,
        document: str,
        pairs: Sequence[RecoveryPair],
        flags: RecoveryFlags = RecoveryFlags.NO_FLAGS,
        *,
        writers: bool = False,
    ) -> None:
        plain = [to_plain(one) for one in pairs]
        wait = to_plain(AS_LONG_AS_IT_TAKES)
        self.run_plain("resync", document, plain, int(flags), wait, writers)
