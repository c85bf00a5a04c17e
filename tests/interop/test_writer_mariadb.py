"""The mariadb writer on a server under load: every set starts and has all that was committed."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from interop.beds import MIB
from interop.load import Load, prepare
from interop.mariadb import MariaDb
from interop.shop import Shop, opened

SOAK_SNAPSHOTS = int(os.environ.get("EXSHADOW_WRITER_SNAPSHOTS", "20"))
SIZES = {"data": 384 * MIB, "log": 256 * MIB}


@pytest.fixture
def shop() -> Iterator[Shop]:
    with opened(SIZES) as made:
        yield made


def check_copy(shop: Shop, label: str, load: Load, known: tuple[list[int], list[int]]) -> None:
    """The set starts in throw-away views and is right."""
    with shop.copy(label) as place:
        copy = MariaDb(place / "data", place / "log", shop.bed / "copy-sockets")
        copy.point_at_log()
        with copy.running():
            last = load.check(copy.query, *known)
            copy.check()
    print(f"{label}: {sum(last)} transactions of at least {sum(known[0])}")


def replay(server: MariaDb, position: dict[str, str]) -> None:
    """The kept binary log from the recorded position to its end, as MariaDB's manual has it; by a
    server that writes no log of its own."""
    names = [line.rpartition("/")[2] for line in (server.log / "bin.index").read_text().split()]
    files = [str(server.log / name) for name in names if name >= position["file"]]
    assert files[0].endswith(position["file"])
    with server.running(binlog=False):
        read = ["mariadb-binlog", "--no-defaults", f"--start-position={position['position']}"]
        with subprocess.Popen([*read, *files], stdout=subprocess.PIPE) as said:
            client = ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root"]
            subprocess.run([*client, "--binary-mode"], stdin=said.stdout, check=True)
        assert said.returncode == 0


# All that can be told to come later: only what the writer flushes is on the disk at the split.
RELAXED = ("--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0")


@pytest.mark.parametrize(
    ("snapshots", "settings"),
    [
        pytest.param(2, RELAXED, id="relaxed"),
        pytest.param(
            SOAK_SNAPSHOTS, (), marks=[pytest.mark.soak, pytest.mark.timeout(3600)], id="soak"
        ),
    ],
)
@pytest.mark.timeout(400)
def test_every_set_has_what_was_committed_and_rolls_forward(
    shop: Shop, snapshots: int, settings: tuple[str, ...]
) -> None:
    load = Load(pause=0.004)
    with ExitStack() as stack:
        stack.enter_context(shop.mounted())
        server = MariaDb(shop.live / "data", shop.live / "log", shop.bed / "sockets", settings)
        server.create()
        writer = f"mariadb?socket={server.socket}&user=root"
        with server.running():
            server.query("CREATE DATABASE shop", None)
            prepare(server.query)
            with load.running(server.client, may_fail=True):
                for number in range(1, snapshots + 1):
                    label = f"s{number}"
                    if number > 1:
                        shop.resync(f"s{number - 1}")
                    time.sleep(0.5)
                    known = shop.create(label, writer, load)
                    check_copy(shop, label, load, known)
                assert not any(book.error for book in load.books)
                server.query("FLUSH BINARY LOGS")
                time.sleep(0.5)
                server.kill()
    at_the_end = load.answered()
    shop.commands("restore", f"shop@{label}", "--volume", "data", "--yes")
    with shop.mounted():
        replay(server, shop.said(label))
        with server.running():
            last = load.check(server.query, at_the_end, load.begun())
            server.check()
    assert sum(last) > sum(known[0])
    print(f"rolled forward from {sum(known[0])} to {sum(last)} transactions")
