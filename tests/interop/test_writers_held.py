"""How long writers hold applications that are busy, as their clients see it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from machine import mounted, need_root, run, sparse
from vss_writers import OneVolume

from exshadow import vss
from exshadow.writers.filesystem import FilesystemWriter
from exshadow.writers.mariadb import MariaDbWriter
from exshadow.writers.postgresql import PostgresqlWriter
from exshadow.writers.sqlite import SqliteWriter
from interop.beds import MIB, need
from interop.load import TABLES, Commit, Connect, Load, prepare, transaction
from interop.mariadb import MariaDb
from interop.postgres import Postgres

REQUEST = vss.BackupRequest(volumes=["data"], retry=vss.RetryLimits(tries=1))
SETS = 5

pytestmark = pytest.mark.timeout(180)


def measure(name: str, writer: vss.Writer, load: Load, connect: Connect) -> list[float]:
    """Seconds from freeze to thaw of some sets under load."""
    held = []
    with load.running(connect):
        time.sleep(1)
        for _ in range(SETS):
            with vss.Coordinator() as coordinator:
                coordinator.register_provider(OneVolume())
                coordinator.register_writer(writer)
                coordinator.backup(REQUEST).check()
                at = {one.event: one.at for one in coordinator.callbacks() if one.of_writer}
            held.append(at["thaw"] - at["freeze"])
            time.sleep(0.3)
    numbers = ", ".join(f"{one * 1000:.1f}" for one in held)
    slowest = load.longest(0, time.monotonic())
    print(f"{name}: freeze to thaw {numbers} ms; ", end="")
    print(f"slowest of {sum(load.answered())} commits {slowest * 1000:.0f} ms")
    return held


@pytest.mark.parametrize("way", ["stages", "read lock"])
def test_mariadb(own_mariadb: MariaDb, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "read lock":
        monkeypatch.setattr(MariaDbWriter, "_has_stages", lambda self, connection: False)
    for table in ("alpha", "omega"):
        own_mariadb.query(f"DELETE FROM {table}")
    writer = MariaDbWriter(str(own_mariadb.socket))
    held = measure(f"mariadb by {way}", writer, Load(), own_mariadb.client)
    assert max(held) < writer.freeze_limit


@pytest.mark.parametrize("mode", ["crash", "backup"])
def test_postgresql(own_postgresql: Postgres, mode: str) -> None:
    place = f"host={own_postgresql.sockets} user=postgres dbname=postgres"

    @contextmanager
    def connect() -> Iterator[Commit]:
        with closing(psycopg.connect(place)) as connection:

            def commit(client: int, number: int) -> None:
                for statement in transaction(client, number):
                    connection.execute(statement)
                connection.commit()

            yield commit

    own_postgresql.query("DROP TABLE IF EXISTS alpha, omega, total")
    prepare(own_postgresql.query)
    writer = PostgresqlWriter(place, mode, "trust")
    assert max(measure(f"postgresql, mode {mode}", writer, Load(), connect)) < writer.freeze_limit


def test_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(";".join(("PRAGMA journal_mode = WAL", *TABLES)))

    @contextmanager
    def connect() -> Iterator[Commit]:
        with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:

            def commit(client: int, number: int) -> None:
                statements = transaction(client, number)
                connection.executescript(";".join(["BEGIN IMMEDIATE", *statements, "COMMIT"]))

            yield commit

    writer = SqliteWriter(str(path))
    assert max(measure("sqlite", writer, Load(1), connect)) < writer.freeze_limit


def test_filesystem(tmp_path: Path) -> None:
    need_root()
    need("mkfs.ext4")
    image = sparse(tmp_path / "image", 256 * MIB)
    run("mkfs.ext4", "-q", image)
    with mounted(image, tmp_path / "fs", "-o", "loop") as place:

        @contextmanager
        def connect() -> Iterator[Commit]:
            def commit(client: int, number: int) -> None:
                (place / f"{client}-{number % 64}").write_bytes(bytes(65536))

            yield commit

        writer = FilesystemWriter(str(place))
        assert max(measure("filesystem", writer, Load(), connect)) < writer.freeze_limit
