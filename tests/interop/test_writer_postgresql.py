"""The postgresql writer on a server under load: every set starts and has all that was committed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from machine import run

from interop.beds import MIB, until
from interop.load import Commit, Load, prepare, transaction
from interop.postgres import Postgres, programs
from interop.shop import Shop, opened

SOAK_SNAPSHOTS = int(os.environ.get("EXSHADOW_WRITER_SNAPSHOTS", "20"))


def dsn(server: Postgres) -> str:
    return f"host={server.sockets} user=postgres dbname=postgres"


def ask(server: Postgres, text: str) -> Sequence[Sequence[Any]]:
    with psycopg.connect(dsn(server), autocommit=True, client_encoding="UTF8") as connection:
        found = connection.execute(text)
        return found.fetchall() if found.description else []


@contextmanager
def client(server: Postgres) -> Iterator[Commit]:
    """A connection of its own that commits."""
    with closing(psycopg.connect(dsn(server))) as connection:

        def commit(client: int, number: int) -> None:
            for statement in transaction(client, number):
                connection.execute(statement)
            connection.commit()

        yield commit


def check_copy(shop: Shop, label: str, load: Load, known: tuple[list[int], list[int]]) -> None:
    """The set starts in throw-away views and is right."""
    with shop.copy(label) as place:
        copy = Postgres(place / "data", place / "wal", shop.bed / "copy-sockets")
        copy.point_at_wal()
        with copy.running():
            last = load.check(lambda text: ask(copy, text), *known)
            run(*copy.client("pg_amcheck", "--install-missing", "--heapallindexed", "postgres"))
    print(f"{label}: {sum(last)} transactions of at least {sum(known[0])}")


@contextmanager
def loaded(shop: Shop, server: Postgres, load: Load, *settings: str) -> Iterator[None]:
    """A new server with clients."""
    server.create()
    server.configure("".join(f"{line}\n" for line in settings))
    with server.running():
        prepare(lambda text: ask(server, text))
        with load.running(lambda: client(server), may_fail=True):
            yield


def stop_at_once(server: Postgres) -> None:
    """Nothing is written any more; the next start recovers."""
    run(*server.tool("pg_ctl", "stop", "-w", "-m", "immediate", "-D", server.folder))


@pytest.mark.parametrize(
    "snapshots",
    [
        2,
        pytest.param(
            SOAK_SNAPSHOTS, marks=[pytest.mark.soak, pytest.mark.timeout(3600)], id="soak"
        ),
    ],
)
@pytest.mark.timeout(400)
def test_every_set_has_what_was_committed_and_rolls_forward(snapshots: int) -> None:
    """Data and log in one set: it is one instant, and recovers as after a power cut. With the log
    kept the restored data go on to the last commit, for the log still has what is needed."""
    load = Load(pause=0.004)
    with opened({"data": 384 * MIB, "wal": 256 * MIB}) as shop:
        server = Postgres(shop.live / "data", shop.live / "wal", shop.bed / "sockets")
        writer = f"postgresql?dsn={dsn(server)}"
        with shop.mounted(), loaded(shop, server, load, "wal_keep_size = 64MB"):
            for number in range(1, snapshots + 1):
                label = f"s{number}"
                if number > 1:
                    shop.resync(f"s{number - 1}")
                time.sleep(0.5)
                known = shop.create(label, writer, load)
                check_copy(shop, label, load, known)
            assert not any(book.error for book in load.books)
            ask(server, "CHECKPOINT")
            time.sleep(0.5)
            stop_at_once(server)
            shop.refuses("late", writer, "cannot connect")
        said = shop.said(label)
        assert said["mode"] == "crash"
        at_the_end = load.answered()
        shop.commands("restore", f"shop@{label}", "--volume", "data", "--yes")
        with shop.mounted():
            assert (server.wal / "pg" / said["needs_wal_from"]).exists()
            (server.folder / "postmaster.pid").unlink(missing_ok=True)
            with server.running():
                last = load.check(lambda text: ask(server, text), at_the_end, load.begun())
        assert sum(last) > sum(known[0])
        print(f"rolled forward from {sum(known[0])} to {sum(last)} transactions")


@contextmanager
def restored_from(shop: Shop, label: str, archive: Path) -> Iterator[Postgres]:
    """A copy of the data alone as PostgreSQL's manual has it: the label in its place, an empty
    pg_wal, the archive named."""
    with shop.copy(label) as place:
        copy = Postgres(place / "data", shop.bed / "copy-wal", shop.bed / "copy-sockets")
        shutil.rmtree(copy.wal, ignore_errors=True)
        (copy.wal / "pg").mkdir(parents=True)
        copy.point_at_wal()
        (copy.folder / "backup_label").write_text(shop.said(label)["backup_label"])
        (copy.folder / "recovery.signal").touch()
        copy.configure(f"restore_command = 'cp {archive}/%f %p'\narchive_mode = off\n")
        for path in (copy.wal, copy.wal / "pg", copy.folder / "backup_label"):
            shutil.chown(path, "postgres", "postgres")
        shutil.chown(copy.folder / "recovery.signal", "postgres", "postgres")
        yield copy


def archived(archive: Path, server: Postgres) -> None:
    """Wait until the archive has what was written until now."""
    ((name,),) = ask(server, "SELECT pg_walfile_name(pg_switch_wal())")
    until(lambda: (archive / name).exists(), f"{name} in the archive", 60)


@pytest.mark.timeout(400)
def test_data_alone_with_its_label_and_the_archive() -> None:
    """The log is no part of the set: mode backup is chosen, and the archive has all the rest."""
    load = Load(pause=0.004)
    with opened({"data": 384 * MIB}) as shop:
        archive = shop.bed / "archive"
        archive.mkdir()
        shutil.chown(archive, "postgres", "postgres")
        server = Postgres(shop.live / "data", shop.bed / "wal", shop.bed / "sockets")
        copied = f"archive_command = 'cp %p {archive}/%f.half && mv {archive}/%f.half {archive}/%f'"
        with shop.mounted(), loaded(shop, server, load, "archive_mode = on", copied):
            time.sleep(0.5)
            known = shop.create("noon", f"postgresql?dsn={dsn(server)}", load)
            said = shop.said("noon")
            assert said["mode"] == "backup"
            assert "START WAL LOCATION" in said["backup_label"]
            time.sleep(0.5)
            at_the_end = load.answered()
            archived(archive, server)
            assert (archive / said["needs_wal_from"]).exists()
            with restored_from(shop, "noon", archive) as copy, copy.running():
                until(
                    lambda: ask(copy, "SELECT pg_is_in_recovery()") == [(False,)], "recovered", 60
                )
                last = load.check(lambda text: ask(copy, text), at_the_end, load.begun())
            assert not any(book.error for book in load.books)
        print(f"recovered from {sum(known[0])} to {sum(last)} transactions")


@pytest.fixture(autouse=True)
def postgresql() -> None:
    programs()
