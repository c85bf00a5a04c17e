"""Opens the catalog: creates, upgrades, refuses newer ones, moves a damaged one aside.

The opening of a local file is serialised over processes by a lock on ``NAME.lock`` beside it, so
that nobody migrates or moves a file that somebody else is just creating. Afterwards SQLite's own
locks (WAL, with a generous wait) are enough.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from exshadow.catalog import migrations
from exshadow.catalog.database_errors import translated
from exshadow.catalog.store import Catalog
from exshadow.errors import BusyError, CorruptError, InvalidError, from_system

_WAIT_SECONDS = 30.0
_LOCK_KEY = 0x65787368  # of PostgreSQL's advisory lock while the schema is made
_READ_SECONDS = 2.0  # readers go on without it rather than wait


@dataclass(frozen=True, slots=True)
class Opened:
    """`state`: existing, fresh (just created), or replaced (a damaged one went to `aside`)."""

    catalog: Catalog
    state: Literal["existing", "fresh", "replaced"]
    aside: str = ""


def open_catalog(
    file: Path, url: str | None = None, *, owner: str = "", repair: bool = True
) -> Opened:
    """Open the catalog at `url`, else in `file`, creating and upgrading it. `owner`: whose rows of
    a shared one.

    A damaged local file is moved aside when `repair`, else CorruptError. NewerVersionError when a
    later exshadow wrote it.
    """
    if url:
        return Opened(_open(_connect(_checked_url(url)), checked=False, owner=owner), "existing")
    with _opening_lock(file):
        fresh = not file.exists() or file.stat().st_size == 0
        try:
            return Opened(_open(_local(file), checked=not fresh), "fresh" if fresh else "existing")
        except CorruptError:
            if not repair:
                raise
        aside = _move_aside(file)
        return Opened(_open(_local(file), checked=False), "replaced", str(aside))


def open_for_reading(file: Path, url: str | None = None, *, owner: str = "") -> Catalog | None:
    """The catalog at `url`, else in `file`, for reading: takes no lock and creates nothing.

    None when its schema is older. NewerVersionError, CorruptError, BusyError, IoError.
    """
    engine = (
        _connect(_checked_url(url)) if url else _connect(_reading_url(file), wait=_READ_SECONDS)
    )
    with translated(), engine.execution_options(exshadow_reads=True).connect() as connection:
        if engine.dialect.name == "sqlite":
            _check_sound(connection.exec_driver_sql("PRAGMA quick_check(1)").fetchone())
        current = migrations.is_current(connection)
    return Catalog(engine, owner) if current else None


def _reading_url(file: Path) -> str:
    from urllib.parse import quote

    # Readers share memory in a file beside it, which a read-only folder does not let them make.
    # Where nobody can write and no journal is left, none is needed.
    frozen = not os.access(file.parent, os.W_OK) and not Path(f"{file}-wal").exists()
    return f"sqlite:///file:{quote(str(file))}?{'immutable=1' if frozen else 'mode=ro'}&uri=true"


def _checked_url(url: str) -> str:
    try:
        make_url(url).get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:  # ValueError: of its port
        raise InvalidError(
            "EXSHADOW_CATALOG is no database URL", hint="e.g. postgresql+psycopg:///exshadow"
        ) from error
    return url


def _local(file: Path) -> Engine:
    return _connect(f"sqlite:///{file}")


def _connect(url: str, wait: float = _WAIT_SECONDS) -> Engine:
    # A server whose database has no encoding (SQL_ASCII) would answer in bytes.
    driver = make_url(url).drivername
    arguments = {"client_encoding": "utf8"} if driver == "postgresql+psycopg" else {}
    try:
        engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
    except ImportError as error:
        raise InvalidError(
            f"no driver for this catalog: {error}",
            hint="it can be a PostgreSQL: EXSHADOW_CATALOG=postgresql+psycopg://host/name",
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda raw, _: _configure_sqlite(raw, wait))
        # The driver's own implicit BEGIN is deferred and leaves DDL outside; ours is neither.
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    reads = options.get("exshadow_reads", False)
    if options.get("exshadow_durable", False):  # the journal: also after a power cut
        connection.exec_driver_sql("PRAGMA synchronous = FULL")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _configure_sqlite(connection: Any, wait: float) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = NORMAL")


def _open(engine: Engine, *, checked: bool, owner: str = "") -> Catalog:
    with translated():
        if engine.dialect.name == "sqlite":
            _prepare_sqlite(engine, checked=checked)
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql" and not migrations.is_current(connection):
                # Two hosts that find it empty must not both create it.
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            migrations.upgrade(connection)
    return Catalog(engine, owner)


def _check_sound(answer: Any) -> None:
    if answer is None or tuple(answer) != ("ok",):
        raise CorruptError("the catalog is damaged", hint="exshadow catalog rebuild")


def _prepare_sqlite(engine: Engine, *, checked: bool) -> None:
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        if checked:
            _check_sound(cursor.execute("PRAGMA quick_check(1)").fetchone())
        cursor.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


@contextmanager
def _opening_lock(file: Path) -> Iterator[None]:
    try:
        descriptor = os.open(f"{file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise from_system(error, f"cannot open the catalog {file}") from error
    try:
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BusyError("another process is opening the catalog") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _move_aside(file: Path) -> Path:
    """Rename the damaged file with its journal; never over an earlier one."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = file.with_name(f"{file.name}.damaged-{stamp}")
    count = 1
    while aside.exists():
        count += 1
        aside = file.with_name(f"{file.name}.damaged-{stamp}-{count}")
    for suffix in ("-wal", "-shm"):
        companion = Path(f"{file}{suffix}")
        if companion.exists():
            companion.rename(f"{aside}{suffix}")
    file.rename(aside)
    return aside
