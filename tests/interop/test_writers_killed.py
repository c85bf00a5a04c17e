"""Kill -9 of exshadow while an application is frozen: it writes again within its limit."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from machine import mounted, run, sparse

from interop.beds import MIB, need
from interop.killed import WHO, seconds_until_it_writes
from interop.mariadb import MariaDb
from interop.postgres import Postgres

LIMIT = 10.0

pytestmark = pytest.mark.timeout(180)


@WHO
def test_mariadb(own_mariadb: MariaDb, who: tuple[str, ...]) -> None:
    def write() -> None:
        own_mariadb.query("UPDATE total SET number = number + 1")

    writer = f"mariadb?socket={own_mariadb.socket}&limit={LIMIT}"
    assert seconds_until_it_writes(writer, who, write) < LIMIT


@WHO
def test_postgresql(own_postgresql: Postgres, who: tuple[str, ...]) -> None:
    """It is never held; and the backup mode ends with the connection."""
    place = f"host={own_postgresql.sockets} user=postgres dbname=postgres"

    def write() -> None:
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute("INSERT INTO t VALUES (1)")

    writer = f"postgresql?dsn={place}&mode=backup&places=trust&limit={LIMIT}"
    assert seconds_until_it_writes(writer, who, write, stands=False) < LIMIT
    end = time.monotonic() + LIMIT
    query = "select count(*) from pg_stat_activity where application_name = 'exshadow'"
    while own_postgresql.query(query) != "0":
        assert time.monotonic() < end, "the writer's session is still there"
        time.sleep(0.05)


@WHO
def test_sqlite(tmp_path: Path, who: tuple[str, ...]) -> None:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE t (n)")

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
            connection.execute("INSERT INTO t VALUES (1)")

    assert seconds_until_it_writes(f"sqlite?path={path}&limit={LIMIT}", who, write) < LIMIT


@WHO
def test_filesystem(tmp_path: Path, who: tuple[str, ...]) -> None:
    need("mkfs.ext4")
    image = sparse(tmp_path / "image", 64 * MIB)
    run("mkfs.ext4", "-q", image)
    with mounted(image, tmp_path / "fs", "-o", "loop") as place:
        writer = f"filesystem?mount={place}&limit={LIMIT}"
        after = seconds_until_it_writes(writer, who, lambda: _put(place / "file"))
    assert after < LIMIT


def _put(path: Path) -> None:
    path.write_text("goes on")


@WHO
def test_script(tmp_path: Path, who: tuple[str, ...]) -> None:
    """The application is a process that the script stops and continues."""
    told = tmp_path / "told"
    os.mkfifo(told)
    with subprocess.Popen(["cat", str(told)], stdout=subprocess.PIPE) as application:
        hook = tmp_path / "hook"
        hook.write_text(
            f"#!/bin/sh\nread line\ncase $line in\n"
            f"*'\"freeze\"'*) kill -STOP {application.pid};;\n"
            f"*'\"thaw\"'*|*'\"abort\"'*) kill -CONT {application.pid};;\nesac\n"
        )
        hook.chmod(0o755)
        assert application.stdout is not None

        def write() -> None:
            told.write_text("x")  # it reads that, and says it again, when it is continued
            assert application.stdout.read(1) == b"x"

        try:
            after = seconds_until_it_writes(f"script?command={hook}&limit={LIMIT}", who, write)
        finally:
            application.send_signal(signal.SIGCONT)
            application.kill()
    assert after < LIMIT
