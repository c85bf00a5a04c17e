"""``postgresql``: a server's data directory, consistent in one of two ways.

``crash``: the data directory, pg_wal and all tablespaces lie in the set, which is one instant: what
it holds is what a power cut would leave, and the server recovers from that by itself. A checkpoint
before the split makes that recovery short. ``backup``: the log is kept elsewhere; the split lies
between pg_backup_start and pg_backup_stop, and the backup label, which the restored copy needs,
goes into the set's document. ``auto`` takes ``crash`` where it is safe.

Both can be rolled forward with a log that was kept: the restored server goes on from the segment
that the document names (``needs_wal_from``) as far as pg_wal or the archive reach. In mode
``crash`` pg_wal must lie on a volume that is not restored and must still have that segment:
wal_keep_size. In mode ``backup`` the label must be put into the data directory first.

Nothing is frozen: the server goes on. When the connection is lost the server ends the backup mode.
"""

from __future__ import annotations

import json
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from exshadow.errors import UnsupportedError
from exshadow.vss import (
    BackupSchema,
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
from exshadow.writers.arguments import PLACES, checked_port, choice, seconds

if TYPE_CHECKING:
    import psycopg

_MODES = ("auto", "crash", "backup")
_ADVICE = "where exshadow cannot see that it is, say places=trust"
_NAMED_15 = 150_000  # pg_start_backup became pg_backup_start


@dataclass(frozen=True, slots=True)
class _Places:
    """Folders of a server: its data directory; its log's and its tablespaces' where they lie apart
    from that."""

    data: str
    log: tuple[str, ...]
    spaces: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return (self.data, *self.log, *self.spaces)


class PostgresqlWriter(Writer):
    """``dsn``: a libpq connection string (default: the local server). ``mode``: auto, crash or
    backup. ``places``: ``look`` where the server's folders are mounted, or ``trust`` that all of
    them lie in the set, for a server on another machine. ``limit``: longest time from freeze to
    thaw (20 s); ``timeout``: of the checkpoint and of every other statement (600 s)."""

    writer_id = UUID("6d4f6f0e-8a51-4b8d-9f53-2c7b3f1e6a05")
    name = "postgresql"
    source = SourceType.TRANSACTED_DB

    def __init__(
        self,
        dsn: str = "",
        mode: str = "auto",
        places: str = "look",
        limit: str | float = 20,
        timeout: str | float = 600,
    ) -> None:
        _check_ports(dsn)
        self.dsn = dsn
        self.instance_name = _without_password(dsn)
        self.mode = choice("mode", mode, _MODES)
        self.places = choice("places", places, PLACES)
        self.freeze_limit = seconds("limit", limit, most=60)
        self.timeout = seconds("timeout", timeout, most=86_400)
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self._said: dict[str, str] = {}
        self._in_backup = False

    def identify(self) -> WriterMetadata:
        with self._connect() as connection:
            places = self._places_of(connection)
        files = [FileSet(folder, "*", recursive=True) for folder in places.all]
        cluster = ComponentMetadata(
            "cluster", type=ComponentType.DATABASE, database_files=files, selectable=True
        )
        return WriterMetadata(
            self.writer_id, self.name, schema=BackupSchema.COPY, components=[cluster]
        )

    def on_prepare_backup(self, call: WriterCall) -> None:
        """Can what was asked for be had with these volumes?"""
        with self._connect() as connection:
            _require_fsync(connection)
            places = self._places_of(connection)
        look = self.places == "look"
        outside = [one for one in places.all if look and not call.is_path_affected(one)]
        if self.mode == "crash" and outside:
            raise failure(
                HResult.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT,
                f"not in the set, so that the copy could not be one instant: {', '.join(outside)}; "
                + _ADVICE,
            )
        if places.data in outside:
            raise failure(
                HResult.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT,
                f"the data directory {places.data} is not in the set; {_ADVICE}",
            )
        # Only the log may be kept elsewhere: without a tablespace its tables do not come back.
        if lost := [one for one in places.spaces if one in outside]:
            raise failure(
                HResult.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT,
                f"tablespaces are not in the set, whose tables it would lose: {', '.join(lost)}; "
                + _ADVICE,
            )
        self._in_backup = self.mode == "backup" or (self.mode == "auto" and bool(outside))

    def on_prepare_snapshot(self, call: WriterCall) -> None:
        with self._lock:
            self._hang_up()
            connection = self._connect()
            self._connection = connection
            if self._in_backup:
                start = (
                    "pg_backup_start" if _version(connection) >= _NAMED_15 else "pg_start_backup"
                )
                extra = "" if _version(connection) >= _NAMED_15 else ", false"
                self._do(f"SELECT {start}('exshadow', true{extra})")
            else:
                self._do("CHECKPOINT")
                self._said = self._position()

    def on_freeze(self, call: WriterCall) -> None:
        """The server need not stand still; what it has answered as committed must be on its disk,
        under synchronous_commit = off as well: a commit that waits flushes all before it."""
        with self._lock:
            if self._in_backup or self._do("SELECT pg_is_in_recovery()")[0]:
                self._do("SELECT 1")  # it must still be there; a standby commits nothing itself
                return
            self._do("SET synchronous_commit = local")
            self._do("SELECT pg_logical_emit_message(true, 'exshadow', 'split')")

    def on_thaw(self, call: WriterCall) -> None:
        with self._lock:
            if not self._in_backup:
                self._hang_up()
                return
            self._said = self._stop()
            self._hang_up()

    def on_abort(self, call: WriterCall) -> None:
        connection = self._connection
        if connection is not None and not connection.closed:
            connection.cancel()
        with self._lock:
            self._hang_up()  # the server leaves backup mode with it

    def on_post_snapshot(self, call: WriterCall) -> None:
        if call.components().components:
            call.set_backup_metadata("", "cluster", json.dumps(self._said))
        elif self._in_backup:
            raise failure(
                HResult.VSS_E_WRITERERROR_NONRETRYABLE,
                "the backup label has no place in a backup without components",
            )

    def on_backup_shutdown(self, call: WriterCall) -> None:
        with self._lock:
            self._hang_up()

    # --- the server ---

    def _connect(self) -> psycopg.Connection[Any]:
        try:
            import psycopg
        except ImportError as problem:
            raise UnsupportedError(
                "the postgresql writer needs psycopg",
                hint="pip install 'exshadow[postgresql]'",
            ) from problem
        try:
            connection = psycopg.connect(
                self.dsn,
                autocommit=True,
                connect_timeout=10,
                application_name="exshadow",
                client_encoding="UTF8",  # else a server of SQL_ASCII answers in bytes
            )
            connection.execute(f"SET statement_timeout = {int(self.timeout * 1000)}")
        except psycopg.Error as problem:
            raise _failed("cannot connect", problem) from problem
        return connection

    def _places_of(self, connection: psycopg.Connection[Any]) -> _Places:
        import psycopg

        try:
            row = connection.execute("SHOW data_directory").fetchone()
            spaces = connection.execute(
                "SELECT pg_tablespace_location(oid) FROM pg_tablespace "
                "WHERE pg_tablespace_location(oid) <> ''"
            ).fetchall()
        except psycopg.Error as problem:
            raise _failed("cannot ask where the data lies", problem) from problem
        assert row is not None
        data = str(row[0])
        log = [] if self.places == "trust" else _log_apart(Path(data))
        return _Places(data, tuple(log), tuple(str(space[0]) for space in spaces))

    def _do(self, statement: str) -> Any:
        import psycopg

        if self._connection is None:
            raise failure(HResult.VSS_E_WRITERERROR_RETRYABLE, "the connection is gone")
        try:
            return (
                self._connection.execute(statement).fetchone()
                if "SELECT" in statement
                else (self._connection.execute(statement))
            )
        except psycopg.Error as problem:
            raise _failed(statement, problem) from problem

    def _stop(self) -> dict[str, str]:
        connection = self._connection
        new = connection is not None and _version(connection) >= _NAMED_15
        stop = "pg_backup_stop(false)" if new else "pg_stop_backup(false, false)"
        lsn, label, tablespaces = self._do(f"SELECT * FROM {stop}")
        first = re.search(r"START WAL LOCATION: \S+ \(file (\S+)\)", label)
        return {
            "mode": "backup",
            "needs_wal_from": first[1] if first else "",
            "stop_lsn": str(lsn),
            "backup_label": label,
            "tablespace_map": tablespaces or "",
        }

    def _position(self) -> dict[str, str]:
        """The first segment that the copy's recovery reads. A later checkpoint may need less."""
        (first,) = self._do("SELECT redo_wal_file FROM pg_control_checkpoint()")
        return {"mode": "crash", "needs_wal_from": str(first)}

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _require_fsync(connection: psycopg.Connection[Any]) -> None:
    """Without it even a checkpoint leaves pages in the kernel's memory, where no copy of the
    volumes finds them."""
    row = connection.execute("SHOW fsync").fetchone()
    if row is not None and row[0] == "off":
        raise failure(
            HResult.VSS_E_WRITERERROR_NONRETRYABLE,
            "PostgreSQL runs with fsync = off: no copy of its volumes is safe; turn it on",
        )


def _version(connection: psycopg.Connection[Any]) -> int:
    return connection.info.server_version


def _log_apart(data: Path) -> list[str]:
    """The log's folder, unless it is in the data directory."""
    try:
        log = (data / "pg_wal").resolve(strict=True)
    except OSError as problem:
        raise failure(
            HResult.VSS_E_WRITERERROR_NONRETRYABLE,
            f"cannot see where {data}/pg_wal lies: {problem.strerror}; {_ADVICE}",
        ) from problem
    return [] if log == data.resolve() / "pg_wal" else [str(log)]


def _failed(doing: str, problem: Exception) -> Exception:
    """A server that is starting, full or slow may be asked again; a refusal stands."""
    state = getattr(problem, "sqlstate", None) or ""
    again = state[:2] in ("08", "53", "57") or (not state and not _of_person(problem))
    code = HResult.VSS_E_WRITERERROR_RETRYABLE if again else HResult.VSS_E_WRITERERROR_NONRETRYABLE
    if state == "57014":  # statement_timeout
        code = HResult.VSS_E_WRITERERROR_TIMEOUT
    return failure(code, f"PostgreSQL, {doing}: {str(problem).strip()}")


def _of_person(problem: Exception) -> bool:
    """libpq gives no code for a refused connection, but says whether a password was asked for. And
    a text that is no connection string stays none."""
    import psycopg

    if isinstance(problem, psycopg.ProgrammingError):
        return True
    connection = getattr(problem, "pgconn", None)
    return connection is not None and (connection.needs_password or connection.used_password)


def _check_ports(dsn: str) -> None:
    """InvalidError for a port that no server can have, which libpq would tell as if the server
    could not be reached. What is no connection string is told by who connects."""
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        return
    try:
        named = conninfo_to_dict(dsn).get("port")
    except ProgrammingError:
        return
    ports = str(named) if named is not None else os.environ.get("PGPORT", "")
    for one in ports.split(","):  # of several hosts; an empty one is the usual port
        if one.strip():
            checked_port(one)


def _without_password(dsn: str) -> str:
    words = re.sub(r"\b(ssl)?password\s*=\s*('(\\.|[^'\\])*'|\S*)", "", dsn)
    return " ".join(re.sub(r"(://[^:/@]*):[^/@]*@", r"\1@", words).split()) or "local"
