"""``mariadb`` / ``mysql``: a server whose commits and table files stand still for the split.

MariaDB from 10.4 on: BACKUP STAGE up to BLOCK_COMMIT, which lets readers and uncommitted writers
go on. Others: FLUSH TABLES WITH READ LOCK. Both are held by one connection and go with it, whatever
happens to this process. The position in the binary log then goes into the set's document.
"""

from __future__ import annotations

import contextlib
import json
import threading
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
from exshadow.writers.arguments import PLACES, checked_port, choice, require_inside, seconds

if TYPE_CHECKING:
    from pymysql.connections import Connection

_LOCK_WAIT_TIMEOUT = 1205
_QUERY_INTERRUPTED = 1317
_TRANSIENT = {1040, 1053, 2002, 2003, 2006, 2013, _LOCK_WAIT_TIMEOUT, _QUERY_INTERRUPTED}
_NO_SUCH_STATEMENT = 1064
_USUAL_WAIT = 10.0  # seconds
_LOOK = 10.0  # seconds an answer: Identify has 60 in all
_LAST_WORD = 3.0  # seconds an answer: Abort has 10 in all
_FOLDERS = (
    "@@datadir", "@@innodb_data_home_dir", "@@innodb_log_group_home_dir", "@@innodb_undo_directory",
)  # fmt: skip
_DURABLE = ("1", "3")  # of innodb_flush_log_at_trx_commit


class MariaDbWriter(Writer):
    """``socket`` (default) or ``host`` and ``port``; ``user``; ``password_file``: a file with the
    password, never the password itself; ``limit``: longest hold (20 s); ``wait``: how long running
    statements may delay it (10 s, or ``limit`` when that is shorter); ``timeout``: how long the
    server may take over one answer before it counts as hung (60 s); ``places``: ``look`` whether
    the folders of a server on this machine lie in the set, or ``trust`` that they do."""

    writer_id = UUID("6d4f6f0e-8a51-4b8d-9f53-2c7b3f1e6a06")
    name = "mariadb"
    source = SourceType.TRANSACTED_DB

    def __init__(
        self,
        socket: str = "/run/mysqld/mysqld.sock",
        host: str = "",
        port: str | int = 3306,
        user: str = "root",
        password_file: str = "",
        limit: str | float = 20,
        wait: str | float | None = None,
        timeout: str | float = 60,
        places: str = "look",
    ) -> None:
        self.places = choice("places", places, PLACES)
        number = checked_port(port)  # a wrong one is told though there is no host for it
        self.place: dict[str, Any] = (
            {"host": host, "port": number} if host else {"unix_socket": socket}
        )
        self.user = user
        self.password_file = password_file
        self.instance_name = f"{host}:{number}" if host else socket
        self.freeze_limit = seconds("limit", limit, most=60)
        if wait is None:
            wait = min(_USUAL_WAIT, self.freeze_limit)
        self.wait = seconds("wait", wait, most=self.freeze_limit)
        self.timeout = seconds("timeout", timeout, most=3600)
        self._lock = threading.Lock()
        self._connection: Connection[Any] | None = None
        self._staged = False
        self._position: dict[str, str] = {}

    def identify(self) -> WriterMetadata:
        with contextlib.closing(self._connect(_LOOK)) as connection:
            folder = str(self._ask(connection, "SELECT @@datadir")[0])
        files = [FileSet(folder, "*", recursive=True)]
        server = ComponentMetadata("server", type=ComponentType.DATABASE, database_files=files)
        return WriterMetadata(
            self.writer_id, self.name, schema=BackupSchema.COPY, components=[server]
        )

    def on_prepare_snapshot(self, call: WriterCall) -> None:
        """What takes long: tables are flushed, long statements waited for, outside the freeze. A
        set without the server's data is refused: it would be called consistent with it."""
        with self._lock:
            self._hang_up()
            self._connection = self._connect()
            if self.places == "look" and "unix_socket" in self.place:
                data, *others = self._do(f"SELECT {', '.join(_FOLDERS)}")
                folders = [str(Path(data, one or "")) for one in ("", *others)]
                require_inside(call, dict.fromkeys(folders))
            self._staged = self._has_stages(self._connection)
            if self._staged:
                self._do("BACKUP STAGE START")
                self._do("BACKUP STAGE FLUSH")
            else:
                self._do("FLUSH LOCAL TABLES")

    def on_freeze(self, call: WriterCall) -> None:
        with self._lock:
            if call.abandoned():
                return
            if self._staged:
                self._do("BACKUP STAGE BLOCK_DDL")
                self._do("BACKUP STAGE BLOCK_COMMIT")
            else:
                self._do("FLUSH TABLES WITH READ LOCK")
            self._flush()
            self._position = self._binlog()

    def on_thaw(self, call: WriterCall) -> None:
        with self._lock:
            if self._connection is None:
                return
            try:
                self._do("BACKUP STAGE END" if self._staged else "UNLOCK TABLES")
            finally:
                self._hang_up()  # the locks go with the connection, whatever the answer was

    def on_abort(self, call: WriterCall) -> None:
        self._kill_statement()
        with self._lock:
            self._hang_up()

    def on_post_snapshot(self, call: WriterCall) -> None:
        if self._position and call.components().components:
            call.set_backup_metadata("", "server", json.dumps(self._position))

    def on_backup_shutdown(self, call: WriterCall) -> None:
        with self._lock:
            self._hang_up()

    # --- the server ---

    def _connect(self, seconds: float | None = None) -> Connection[Any]:
        """`seconds`: what each answer may take; else ``timeout``."""
        patience = min(self.timeout, seconds or self.timeout)
        try:
            import pymysql
        except ImportError as problem:
            raise UnsupportedError(
                "the mariadb writer needs PyMySQL", hint="pip install 'exshadow[mariadb]'"
            ) from problem
        try:
            password = _secret(self.password_file)
            connection = pymysql.connect(
                user=self.user,
                password=password,
                connect_timeout=min(10, patience),
                read_timeout=patience,  # also of the greeting, which a hung server never sends
                write_timeout=patience,
                autocommit=True,
                **self.place,
            )
            with connection.cursor() as cursor:
                cursor.execute(f"SET SESSION lock_wait_timeout = {max(1, int(self.wait))}")
        except pymysql.Error as problem:
            raise _failed(f"cannot connect to {self.instance_name}", problem) from problem
        except (OSError, UnicodeDecodeError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8"
            raise failure(
                HResult.VSS_E_WRITERERROR_NONRETRYABLE,
                f"cannot read {self.password_file}: {why}",
            ) from problem
        return connection

    def _ask(self, connection: Connection[Any], statement: str) -> tuple[Any, ...]:
        import pymysql

        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchone() or ()
        except pymysql.Error as problem:
            raise _failed(statement, problem) from problem

    def _do(self, statement: str) -> tuple[Any, ...]:
        if self._connection is None:
            raise failure(HResult.VSS_E_WRITERERROR_RETRYABLE, "the connection is gone")
        return self._ask(self._connection, statement)

    def _flush(self) -> None:
        """MariaDB does no more than a commit does: where commits are not written at once they must
        be for this moment, or the copy would lack the last ones."""
        row = self._do("SHOW GLOBAL VARIABLES LIKE 'innodb_flush_log_at_trx_commit'")
        usual = str(row[1]) if row else "1"
        if usual not in _DURABLE:
            self._do("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
        try:
            self._do("FLUSH ENGINE LOGS")
        finally:
            if usual not in _DURABLE:
                self._do(f"SET GLOBAL innodb_flush_log_at_trx_commit = {int(usual)}")

    def _has_stages(self, connection: Connection[Any]) -> bool:
        version = str(self._ask(connection, "SELECT VERSION()")[0])
        numbers = [int(part) for part in version.split("-")[0].split(".")[:2]]
        return "mariadb" in version.lower() and numbers >= [10, 4]

    def _binlog(self) -> dict[str, str]:
        """Empty when the server keeps no binary log. MySQL 8.4 renamed the statement."""
        import pymysql

        assert self._connection is not None
        for statement in ("SHOW MASTER STATUS", "SHOW BINARY LOG STATUS"):
            try:
                with self._connection.cursor() as cursor:
                    cursor.execute(statement)
                    row = cursor.fetchone()
            except pymysql.Error as problem:
                if problem.args and problem.args[0] == _NO_SUCH_STATEMENT:
                    continue
                raise _failed(statement, problem) from problem
            return {"file": str(row[0]), "position": str(row[1])} if row else {}
        return {}

    def _kill_statement(self) -> None:
        """A lock that is still waited for is given up at once, by a second connection."""
        connection = self._connection
        if connection is None or not self._lock.locked():
            return
        with contextlib.suppress(Exception), contextlib.closing(self._connect(_LAST_WORD)) as other:
            number = connection.thread_id()  # type: ignore[no-untyped-call]
            self._ask(other, f"KILL {number}")

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()


def _secret(path: str) -> str:
    if not path:
        return ""
    return Path(path).read_text(encoding="utf-8").rstrip("\n")


def _failed(doing: str, problem: Exception) -> Exception:
    number = problem.args[0] if problem.args else 0
    text = problem.args[1] if len(problem.args) > 1 else str(problem)
    code = (
        HResult.VSS_E_WRITERERROR_RETRYABLE
        if number in _TRANSIENT
        else HResult.VSS_E_WRITERERROR_NONRETRYABLE
    )
    return failure(code, f"MariaDB, {doing}: {text} ({number})")
