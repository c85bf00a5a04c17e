"""Catalogs of both kinds: a file, and a database of a PostgreSQL server that the tests start."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine import run

from interop.postgres import Postgres

_numbers = itertools.count()


@contextmanager
def running_server() -> Iterator[Postgres]:
    """Its folder is where the user postgres may pass. Crash-safe it need not be: no fsync."""
    folder = Path(tempfile.mkdtemp(prefix="exshadow-catalogs-"))
    folder.chmod(0o755)
    server = Postgres(folder / "data", folder / "wal", folder / "sockets")
    try:
        server.create()
        server.configure("fsync = off\nmax_connections = 50\n")
        with server.running():
            yield server
    finally:
        shutil.rmtree(folder)


def new_database(server: Postgres) -> str:
    """The URL of an empty database."""
    name = f"catalog{next(_numbers)}"
    server.query(f"create database {name} template template0")
    return f"postgresql+psycopg://postgres@/{name}?host={server.sockets}"


def drop_connections(server: Postgres) -> None:
    """As a server that went away for a moment."""
    run(
        *server.client(
            "psql", "-Atqc",
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
            " and backend_type = 'client backend'",
            "postgres",
        )
    )  # fmt: skip
