"""Writers that cannot do what they are to do: the set fails, says why, and nothing stays frozen."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pymysql
import pytest
from machine import mounted, need_root, run, sparse
from vss_writers import OneVolume

from exshadow import vss
from exshadow.vss.places import Places
from exshadow.vss.registry import spec_of
from exshadow.writers.mariadb import MariaDbWriter
from exshadow.writers.postgresql import PostgresqlWriter
from interop.beds import MIB, need, until
from interop.load import Load, prepare
from interop.mariadb import MariaDb
from interop.postgres import Postgres

H = vss.HResult
REQUEST = vss.BackupRequest(
    volumes=["data"],
    state=vss.BackupState(select_components=False),
    retry=vss.RetryLimits(tries=1),
)

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def no_leavings() -> Iterator[None]:
    """PyMySQL leaves the socket of a refused connection to the garbage collection, which warns."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def backup(writer: vss.Writer) -> tuple[vss.BackupOutcome, float, dict[str, float]]:
    """One set; how long it took, and when the writer was called."""
    begin = time.monotonic()
    with vss.Coordinator() as coordinator:
        coordinator.register_provider(OneVolume())
        coordinator.register_writer(writer)
        outcome = coordinator.backup(REQUEST)
        calls = {one.event: one.at for one in coordinator.callbacks() if one.of_writer}
    return outcome, time.monotonic() - begin, calls


def backup_by_name(text: str) -> tuple[vss.BackupOutcome, float, dict[str, float]]:
    """The same by a coordinator in a process of its own, as commands do it."""
    begin = time.monotonic()
    spec = spec_of(text)
    with vss.IsolatedCoordinator() as coordinator:
        coordinator.register_provider(OneVolume())
        coordinator.register_writer(spec.place, spec.arguments)
        outcome = coordinator.backup(replace(REQUEST, state=vss.BackupState()))
    return outcome, time.monotonic() - begin, {}


def refused(writer: vss.Writer | str, code: vss.HResult, *words: str, within: float = 30) -> str:
    """The set fails with this code and all these words."""
    make = backup_by_name if isinstance(writer, str) else backup
    outcome, seconds, _ = make(writer)
    text = str(outcome.error)
    print(f"{seconds:.1f} s: {text}")
    codes = [one.status.failure for one in outcome.report.writers if one.status.failure]
    assert codes in ([code], []), codes
    for word in words:
        assert word in text
    assert seconds < within
    return text


# --- PostgreSQL ---


def place(server: Postgres, user: str = "postgres") -> str:
    return f"host={server.sockets} user={user} dbname=postgres"


def works(server: Postgres) -> None:
    with psycopg.connect(place(server), autocommit=True) as connection:
        connection.execute("INSERT INTO t VALUES (1)")


def test_postgresql_is_down(tmp_path: Path) -> None:
    writer = f"postgresql?dsn=host={tmp_path} user=postgres"
    refused(writer, H.VSS_E_WRITERERROR_RETRYABLE, "cannot connect")


def test_postgresql_wrong_password(own_postgresql: Postgres) -> None:
    server = own_postgresql
    server.query("DROP ROLE IF EXISTS shadow")
    server.query("CREATE ROLE shadow LOGIN SUPERUSER PASSWORD 'right'")
    rules = server.folder / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("local all shadow scram-sha-256\n" + before)
    server.query("SELECT pg_reload_conf()")
    time.sleep(0.5)
    try:
        dsn = place(server, "shadow") + " password="
        writer = f"postgresql?dsn={dsn}wrong-one"
        text = refused(writer, H.VSS_E_WRITERERROR_NONRETRYABLE, "password")
        assert "wrong-one" not in text
        backup(PostgresqlWriter(dsn + "right", places="trust"))[0].check()
    finally:
        rules.write_text(before)
        server.query("SELECT pg_reload_conf()")


def test_postgresql_without_the_right(own_postgresql: Postgres) -> None:
    own_postgresql.query("DROP ROLE IF EXISTS nobody_special")
    own_postgresql.query("CREATE ROLE nobody_special LOGIN")
    for mode in ("crash", "backup"):
        dsn = place(own_postgresql, "nobody_special")
        writer = f"postgresql?dsn={dsn}&mode={mode}&places=trust"
        refused(writer, H.VSS_E_WRITERERROR_NONRETRYABLE, "PostgreSQL")


def test_postgresql_elsewhere(own_postgresql: Postgres) -> None:
    """Its folders are not in the set, and that is no matter of trying again."""
    for mode in ("auto", "crash", "backup"):
        writer = PostgresqlWriter(place(own_postgresql), mode)
        refused(writer, H.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT, "not in the set", "places=trust")


def test_postgresql_a_tablespace_elsewhere(own_postgresql: Postgres, ground: Path) -> None:
    """The log may be kept elsewhere; without a tablespace its tables would be lost."""

    class Inside(PostgresqlWriter):
        def on_prepare_backup(self, call: vss.WriterCall) -> None:
            call.is_path_affected = lambda path: path in inside  # type: ignore[method-assign]
            super().on_prepare_backup(call)

    server = own_postgresql
    space = ground / "space"
    space.mkdir()
    shutil.chown(space, "postgres", "postgres")
    server.query(f"CREATE TABLESPACE apart LOCATION '{space}'")
    try:
        inside = {str(server.folder), str(server.wal / "pg")}
        for mode in ("auto", "backup"):
            code = H.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT
            refused(Inside(place(server), mode), code, "would lose", str(space))
        inside = {str(server.folder), str(space)}
        outcome, _, _ = backup(Inside(place(server)))
        assert "no place in a backup without components" in str(outcome.error)  # it came so far
    finally:
        server.query("DROP TABLESPACE apart")


@contextmanager
def stopped(server: Postgres, kind: str) -> Iterator[None]:
    """One of the server's processes stands."""
    query = f"SELECT pid FROM pg_stat_activity WHERE backend_type = '{kind}'"
    process = int(server.query(query))
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_postgresql_statement_hangs(own_postgresql: Postgres) -> None:
    with stopped(own_postgresql, "checkpointer"):
        writer = PostgresqlWriter(place(own_postgresql), places="trust", timeout=1)
        refused(writer, H.VSS_E_WRITERERROR_TIMEOUT, "CHECKPOINT", "statement timeout")
        works(own_postgresql)
    works(own_postgresql)


def test_postgresql_another_backup_runs(own_postgresql: Postgres) -> None:
    """That is no hindrance since its backups are no longer exclusive."""
    with psycopg.connect(place(own_postgresql), autocommit=True) as other:
        other.execute("SELECT pg_backup_start('other', true)")
        writer = PostgresqlWriter(place(own_postgresql), "backup", "trust")
        outcome, _, _ = backup(writer)
        assert "no place in a backup without components" in str(outcome.error)
        outcome, _, _ = backup(PostgresqlWriter(place(own_postgresql), "crash", "trust"))
        outcome.check()
        other.execute("SELECT * FROM pg_backup_stop(false)")


def test_postgresql_without_fsync_is_refused(own_postgresql: Postgres) -> None:
    """What its checkpoint wrote may be in the kernel's memory only."""
    with setting(own_postgresql, "fsync", "off"):
        for mode in ("crash", "backup"):
            writer = PostgresqlWriter(place(own_postgresql), mode, "trust")
            refused(writer, H.VSS_E_WRITERERROR_NONRETRYABLE, "fsync = off")
    backup(PostgresqlWriter(place(own_postgresql), "crash", "trust"))[0].check()


def test_postgresql_commits_that_waited_for_nothing_are_in_the_split(
    own_postgresql: Postgres,
) -> None:
    seen: list[tuple[bool, ...]] = []

    class Committing(PostgresqlWriter):
        """Its application commits right before the freeze, without waiting for the disk."""

        def on_freeze(self, call: vss.WriterCall) -> None:
            application.execute("INSERT INTO t VALUES (1)")
            (at,) = application.execute("SELECT pg_current_wal_insert_lsn()").fetchone() or ()
            super().on_freeze(call)
            flushed = f"SELECT pg_current_wal_flush_lsn() >= '{at}'::pg_lsn"
            seen.append(application.execute(flushed).fetchone() or ())

    server = own_postgresql
    with (
        setting(server, "wal_writer_delay", "10s"),
        psycopg.connect(place(server), autocommit=True, client_encoding="UTF8") as application,
    ):
        application.execute("SET synchronous_commit = off")
        backup(Committing(place(server), "crash", "trust"))[0].check()
    assert seen == [(True,)]


@contextmanager
def setting(server: Postgres, name: str, value: str) -> Iterator[None]:
    """The server's, for a while."""
    server.query(f"ALTER SYSTEM SET {name} = '{value}'")
    server.query("SELECT pg_reload_conf()")
    until(lambda: server.query(f"SHOW {name}") == value, f"{name} is set", 10)
    try:
        yield
    finally:
        server.query(f"ALTER SYSTEM RESET {name}")
        server.query("SELECT pg_reload_conf()")
        until(lambda: server.query(f"SHOW {name}") != value, f"{name} is reset", 10)


# --- MariaDB ---


def writer_of(server: MariaDb, **arguments: str | float) -> MariaDbWriter:
    return MariaDbWriter(**({"socket": str(server.socket)} | arguments))


def commits(server: MariaDb) -> None:
    server.query("UPDATE total SET number = number + 1")


def test_mariadb_is_down(tmp_path: Path) -> None:
    writer = f"mariadb?socket={tmp_path}/none"
    refused(writer, H.VSS_E_WRITERERROR_RETRYABLE, "cannot connect")


def test_mariadb_wrong_password(own_mariadb: MariaDb, tmp_path: Path) -> None:
    own_mariadb.query("CREATE OR REPLACE USER shadow@localhost IDENTIFIED BY 'right'")
    own_mariadb.query("GRANT RELOAD, BINLOG MONITOR ON *.* TO shadow@localhost")
    secret = tmp_path / "secret"
    secret.write_text("wrong-one\n")
    writer = f"mariadb?socket={own_mariadb.socket}&user=shadow&password_file={secret}"
    text = refused(writer, H.VSS_E_WRITERERROR_NONRETRYABLE, "Access denied")
    assert "wrong-one" not in text
    secret.write_text("right\n")
    backup_by_name(writer)[0].check()
    refused(writer.replace("secret", "none"), H.VSS_E_WRITERERROR_NONRETRYABLE, "cannot read")


def test_mariadb_refuses_a_set_without_its_data(own_mariadb: MariaDb) -> None:
    writer = writer_of(own_mariadb)
    with vss.Coordinator(places=Places({"data": ["/proc"]})) as coordinator:
        coordinator.register_provider(OneVolume())
        coordinator.register_writer(writer)
        said = str(coordinator.backup(REQUEST).error)
    assert "places=trust" in said
    assert said.count(str(own_mariadb.folder)) == 1
    commits(own_mariadb)


def test_mariadb_without_the_right(own_mariadb: MariaDb) -> None:
    own_mariadb.query("CREATE OR REPLACE USER nobody_special@localhost")
    writer = writer_of(own_mariadb, user="nobody_special")
    refused(writer, H.VSS_E_WRITERERROR_NONRETRYABLE, "Access denied")


def test_mariadb_another_backup_runs(own_mariadb: MariaDb) -> None:
    with closing(own_mariadb.connect()) as other:
        other.cursor().execute("BACKUP STAGE START")
        writer = writer_of(own_mariadb, wait=1)
        refused(writer, H.VSS_E_WRITERERROR_RETRYABLE, "BACKUP STAGE START")
        other.cursor().execute("BACKUP STAGE END")
    commits(own_mariadb)


@contextmanager
def long_statement(server: MariaDb, statement: str) -> Iterator[None]:
    """It runs until the block is left."""
    with closing(server.connect(database="shop")) as other:

        def run() -> None:
            with pytest.raises(pymysql.Error):
                other.cursor().execute(statement)

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.5)
        try:
            yield
        finally:
            server.query(f"KILL {other.thread_id()}")
            thread.join(30)


def test_mariadb_statement_hangs(own_mariadb: MariaDb) -> None:
    """A statement that changes data for minutes: a set is not kept waiting for it, nor are others
    by the set. One that only reads is no hindrance."""
    own_mariadb.query("CREATE OR REPLACE TABLE slow (n INT) ENGINE=MyISAM")
    own_mariadb.query("INSERT INTO slow VALUES (1), (2), (3)")
    with long_statement(own_mariadb, "UPDATE slow SET n = n + SLEEP(60)"):
        writer = writer_of(own_mariadb, wait=1)
        refused(writer, H.VSS_E_WRITERERROR_RETRYABLE, "Lock wait timeout")
        commits(own_mariadb)
    with long_statement(own_mariadb, "SELECT SLEEP(60) FROM total"):
        backup(writer_of(own_mariadb, wait=1))[0].check()
    commits(own_mariadb)


def test_older_servers_way(own_mariadb: MariaDb, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLUSH TABLES WITH READ LOCK, which MySQL has, and MariaDB as well."""
    monkeypatch.setattr(MariaDbWriter, "_has_stages", lambda self, connection: False)
    backup(writer_of(own_mariadb))[0].check()
    with closing(own_mariadb.connect(database="shop", autocommit=False)) as other:
        other.cursor().execute("UPDATE total SET number = number + 1")  # uncommitted, and no matter
        backup(writer_of(own_mariadb, wait=2))[0].check()
        other.commit()
    with long_statement(own_mariadb, "UPDATE slow SET n = n + SLEEP(60)"):
        writer = writer_of(own_mariadb, wait=1)
        refused(writer, H.VSS_E_WRITERERROR_RETRYABLE, "FLUSH TABLES WITH READ LOCK")
        commits(own_mariadb)
    commits(own_mariadb)


def test_mariadb_restarts_while_it_is_held(own_mariadb: MariaDb) -> None:
    """The lock was lost before the thaw: the set is no good, and is told so."""

    class Lost(MariaDbWriter):
        def on_freeze(self, call: vss.WriterCall) -> None:
            super().on_freeze(call)
            assert self._connection is not None
            own_mariadb.query(f"KILL {self._connection.thread_id()}")

    refused(Lost(str(own_mariadb.socket)), H.VSS_E_WRITERERROR_RETRYABLE, "BACKUP STAGE END")
    commits(own_mariadb)


@pytest.fixture
def tight(tmp_path: Path) -> Iterator[MariaDb]:
    """A server whose binary log has little room."""
    need_root()
    need("mkfs.ext4")
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    image = sparse(tmp_path / "image", 16 * MIB)
    run("mkfs.ext4", "-q", image)
    with mounted(image, tmp_path / "log", "-o", "loop") as log:
        server = MariaDb(tmp_path / "data", log, tmp_path / "sockets")
        server.create()
        with server.running():
            server.query("CREATE DATABASE shop", None)
            prepare(server.query)
            yield server


@pytest.mark.soak  # the server looks for room once a minute
def test_mariadb_disk_full(tight: MariaDb) -> None:
    """The log's disk is full and a commit waits for room: the set fails in time, and does not keep
    the server from going on when there is room."""
    ballast = tight.log / "ballast"
    with suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(65536))
            file.flush()
    load = Load(1)
    with load.running(tight.client):
        until(lambda: "full" in (tight.sockets / "error.log").read_text(), "a full disk", 60)
        refused(writer_of(tight, wait=2), H.VSS_E_WRITERERROR_RETRYABLE, "MariaDB", within=60)
        ballast.unlink()
        before = load.answered()[0]
        until(lambda: load.answered()[0] > before, "commits go on", 100)
