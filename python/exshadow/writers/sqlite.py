"""``sqlite``: databases checkpointed and held under their write lock.

Readers go on; a program that wants to write waits in its own busy timeout. The lock belongs to this
process' connections: it goes with them, whatever happens to the process.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from pathlib import Path
from uuid import UUID

from exshadow.vss import (
    ComponentMetadata,
    ComponentType,
    FileSet,
    HResult,
    SourceType,
    Writer,
    WriterCall,
    WriterMetadata,
    failure,
)
from exshadow.writers.arguments import PLACES, choice, existing, require_inside, seconds
from exshadow.writers.flush import opened, sync

_USUAL_WAIT = 5.0  # seconds
_BETWEEN_TRIES = 0.0005  # seconds
_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside a database, by its name and this


class SqliteWriter(Writer):
    """``path``: a database, or a pattern with ``*`` for several. ``limit``: longest hold (20 s);
    ``wait``: how long to wait for a program that is writing (5 s, or ``limit`` when shorter);
    ``places``: ``look`` whether the databases lie in the set, or ``trust`` that they do."""

    writer_id = UUID("6d4f6f0e-8a51-4b8d-9f53-2c7b3f1e6a02")
    name = "sqlite"
    source = SourceType.TRANSACTED_DB

    def __init__(
        self,
        path: str,
        limit: str | float = 20,
        wait: str | float | None = None,
        places: str = "look",
    ) -> None:
        self.pattern = path
        self.places = choice("places", places, PLACES)
        self.instance_name = path
        self.freeze_limit = seconds("limit", limit, most=60)
        if wait is None:
            wait = min(_USUAL_WAIT, self.freeze_limit)
        self.wait = seconds("wait", wait, most=self.freeze_limit)
        self._lock = threading.Lock()
        self._held: list[sqlite3.Connection] = []
        _databases(path)

    def identify(self) -> WriterMetadata:
        components = [_component(path) for path in _databases(self.pattern)]
        return WriterMetadata(self.writer_id, self.name, components=components)

    def on_prepare_snapshot(self, call: WriterCall) -> None:
        """Moves the write-ahead log into the databases, as far as readers let it. A set without
        the databases is refused: it would be called consistent with them."""
        if self.places == "look":
            require_inside(call, map(str, _databases(self.pattern)))
        for path in _databases(self.pattern):
            with contextlib.closing(_connect(path, self.wait)) as connection:
                _do(connection, path, "PRAGMA wal_checkpoint(PASSIVE)")
        _sync_folders(_databases(self.pattern))  # most of it outside the freeze

    def on_freeze(self, call: WriterCall) -> None:
        with self._lock:
            for path in _databases(self.pattern):
                if call.abandoned():
                    break
                connection = _connect(path, 0)
                self._held.append(connection)
                _take(connection, path, time.monotonic() + self.wait, call)
            if not call.abandoned():
                _sync_folders(_databases(self.pattern))
            if call.abandoned():
                self._let_go()

    def on_thaw(self, call: WriterCall) -> None:
        with self._lock:
            self._let_go()

    def on_abort(self, call: WriterCall) -> None:
        for connection in list(self._held):
            connection.interrupt()  # a wait for the lock ends at once
        self.on_thaw(call)

    def _let_go(self) -> None:
        held, self._held = self._held, []
        for connection in held:
            connection.close()  # an open transaction is rolled back


def _databases(pattern: str) -> list[Path]:
    """A pattern such as ``/srv/*`` names the files beside a database as well: they are no other."""
    found = existing(pattern)
    beside = {f"{path}{ending}" for path in found for ending in _BESIDE}
    return [path for path in found if str(path) not in beside]


def _sync_folders(databases: list[Path]) -> None:
    """What was committed, but never synced (WAL with synchronous=NORMAL), is in the kernel's memory
    only. The folders are opened, never the files: closing one of them would drop the locks that
    this process has on it, SQLite's too."""
    for folder in {path.resolve().parent for path in databases}:
        with opened(folder) as descriptor:
            sync(descriptor, folder)


def _take(connection: sqlite3.Connection, path: Path, deadline: float, call: WriterCall) -> None:
    """The write lock. It is asked for often: SQLite's own waiting sleeps up to a tenth of a second
    between two tries, and a writer that commits all the time would never leave it a gap."""
    while not call.abandoned():
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.Error as problem:
            code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
            if code != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise _failed(path, problem) from problem
        time.sleep(_BETWEEN_TRIES)


def _component(path: Path) -> ComponentMetadata:
    folder = str(path.parent)
    return ComponentMetadata(
        path.name,
        folder,
        type=ComponentType.DATABASE,
        database_files=[FileSet(folder, path.name)],
        database_logs=[
            FileSet(folder, f"{path.name}-wal"),
            FileSet(folder, f"{path.name}-journal"),
        ],
    )


def _connect(path: Path, wait: float) -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=rw",
            uri=True,
            timeout=wait,
            isolation_level=None,
            check_same_thread=False,  # Thaw comes on another thread
        )
    except sqlite3.Error as problem:
        raise failure(
            HResult.VSS_E_WRITERERROR_NONRETRYABLE, f"cannot open {path}: {problem}"
        ) from problem


def _do(connection: sqlite3.Connection, path: Path, statement: str) -> None:
    try:
        connection.execute(statement).fetchall()
    except sqlite3.Error as problem:
        raise _failed(path, problem) from problem


def _failed(path: Path, problem: sqlite3.Error) -> Exception:
    """What is locked may be asked again; what is no database, or a damaged one, may not."""
    busy = getattr(problem, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )
    code = HResult.VSS_E_WRITERERROR_RETRYABLE if busy else HResult.VSS_E_WRITERERROR_NONRETRYABLE
    return failure(code, f"{path}: {problem}")
