"""What SQLite and PostgreSQL raise, as errors of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import IntegrityError as ConstraintError

from exshadow.errors import (
    BusyError,
    CorruptError,
    Error,
    IoError,
    NoSpaceError,
    NotFoundError,
    PermissionRefusedError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the database layer raises into our errors; all but broken constraints, which only
    those who wrote the rows can explain."""
    try:
        yield
    except ConstraintError:
        raise
    except DBAPIError as error:
        cause = error.orig
        if type(cause).__module__.startswith("psycopg"):
            raise _from_postgresql(str(cause), getattr(cause, "sqlstate", None) or "") from error
        raise _from_sqlite(cause or error) from error
    except sqlite3.DatabaseError as error:
        raise _from_sqlite(error) from error


_NO_ROOM = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
"""SQLite's names for a full disk; the second for the file that is shared beside the catalog."""


def _from_sqlite(cause: BaseException) -> Error:
    reason = str(cause)
    operational = isinstance(cause, sqlite3.OperationalError)  # about the file's surroundings
    if "malformed" in reason or not operational:
        said = "" if "malformed" in reason else f": {reason}"
        return CorruptError(f"the catalog is damaged{said}", hint="exshadow catalog rebuild")
    if "locked" in reason:
        return BusyError(
            "the catalog is locked by another process", hint="let it end and repeat the command"
        )
    if "readonly" in reason or "unable to open" in reason:
        return PermissionRefusedError(
            f"the catalog cannot be written: {reason}",
            hint="look at owner and mode of the state folder and the catalog in it",
        )
    if getattr(cause, "sqlite_errorname", "") in _NO_ROOM:
        return NoSpaceError(
            "the disk of the state folder is full: the catalog in it cannot be used",
            hint="make room there and repeat the command; volumes and copies are as they were",
        )
    return IoError(
        f"the catalog cannot be used: {reason}", hint="look at the disk of the state folder"
    )


def _from_postgresql(text: str, state: str) -> Error:
    """By SQLSTATE. A catalog on a server is not damaged because the server says no."""
    said = text.strip().partition("\n")[0]
    who = ("authentication failed", "no pg_hba.conf entry", "role ")  # come without a state
    if state.startswith("28") or state in ("42501", "25006") or any(one in said for one in who):
        return PermissionRefusedError(
            f"the catalog's server refuses: {said}",
            hint="look at the role in EXSHADOW_CATALOG and at what it may do",
        )
    if state.startswith("53"):
        return NoSpaceError(f"the catalog's server has no room: {said}", hint="make room there")
    if state in ("40001", "40P01", "55P03"):
        return BusyError(f"the catalog is busy: {said}", hint="repeat the command")
    if state.startswith("3D") or ("database" in said and "does not exist" in said):
        return NotFoundError(f"the catalog's server: {said}", hint="make it with: createdb")
    return IoError(
        f"the catalog's server cannot be used: {said}",
        hint="see that it runs and that EXSHADOW_CATALOG names it",
    )
