"""An administrator's day by the command line alone: a daemon, attached volumes, PostgreSQL on them,
a set under load, a disaster, and the server up again seconds after ``restore --mode instant``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from machine import need_root, run, sparse

from interop.beds import MIB, in_time, need
from interop.commands import Commands
from interop.postgres import Postgres, programs


@pytest.fixture
def commands(bed: Path) -> Iterator[Commands]:
    need_root()
    need("nbdfuse", "mkfs.ext4", "runuser")
    programs()
    made = Commands(bed / "state")
    for name, size in (("data", 384 * MIB), ("wal", 256 * MIB)):
        image = sparse(bed / f"{name}.img", size)
        run("mkfs.ext4", "-q", "-F", image)
        made("volume", "add", name, image, "--group", "shop")
        made("mirror", "add", name, bed / f"{name}-m2.img", "--label", "m2")
    with made.serving():
        yield made


@contextmanager
def placed(commands: Commands, folder: Path, suffix: str = "") -> Iterator[Postgres]:
    with commands.placed(folder, ("data", "wal"), suffix):
        yield Postgres(folder / "data", folder / "wal", folder / "sockets")


def restore_and_query(commands: Commands, bed: Path, known: tuple[int, int]) -> float:
    """Seconds from the start of the command to the first answered query; then all is checked."""
    start = time.monotonic()
    commands("restore", "shop@noon", "--mode", "instant", "--yes", "--limit", "8M")
    with placed(commands, bed / "live") as server, server.running():
        assert known[0] <= server.history() <= known[1]
        seconds = time.monotonic() - start
        server.check()
    return seconds


@pytest.mark.timeout(400)
def test_a_database_is_up_again_seconds_after_restore(commands: Commands, bed: Path) -> None:
    with placed(commands, bed / "live") as server:
        server.create()
        with server.running():
            run(*server.client("pgbench", "--initialize", "--scale=3", "--quiet", "postgres"))
            with server.under_pgbench():
                time.sleep(1)
                before = server.history()
                commands("snapshot", "create", "shop", "--label", "noon")
                known = (before, server.history_at_most())
            server.query("drop table pgbench_accounts")
    taken = in_time(lambda: restore_and_query(commands, bed, known))
    print(f"first query {taken} s after the command's start")
    with placed(commands, bed / "copy", "@noon") as copy:
        copy.point_at_wal()
        with copy.running():
            copy.check()
    sets = commands("snapshot", "list")["sets"]
    assert [one["label"] for one in sets] == ["noon"]
