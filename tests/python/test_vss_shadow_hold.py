"""Freeze to thaw on the way that users take: writers in a process of their own, the volumes of a
state folder, here or in a daemon whose clients write all the while."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from conftest import Cli
from daemons import ServedCli, served, service
from test_vss_hold import BOUND

from exshadow.service import shadow

ROUNDS = 7


@pytest.fixture(params=["here", "in a daemon"])
def cli(request, state, fork_server, tmp_path) -> Iterator[Cli]:
    if request.param == "here":
        yield Cli(state, fork_server)
        return
    line = ServedCli(state, fork_server)
    with served(line, tmp_path):
        yield line


CLIENT = """
import os, sys, exshadow
with exshadow.connect(sys.argv[1]) as daemon:
    volumes, block, count = [daemon.open(one) for one in ("db", "logs")], os.urandom(65536), 0
    while not os.path.exists(sys.argv[2]):
        for volume in volumes:
            volume.write(count * len(block) % (1 << 20), block)
        count += 1
print(count)
"""


@contextmanager
def busy(state: Path, done: Path) -> Iterator[subprocess.Popen[str]]:
    """A client of the daemon that writes as fast as it can, until `done` is there."""
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(state), str(done)], stdout=subprocess.PIPE, text=True
    ) as client:
        try:
            yield client
        finally:
            done.touch()


def times_beyond(log: Path) -> list[float]:
    """Seconds from the end of each Freeze to its Thaw."""
    times = [float(line) for line in log.read_text().split()]
    return [thaw - frozen for frozen, thaw in zip(times[::2], times[1::2], strict=True)]


@pytest.mark.slow
def test_freeze_to_thaw_as_users_have_it(shop, tmp_path, capsys):
    log, done = tmp_path / "log", tmp_path / "done"
    writer = f"vss_writers:TimedWriter?log={log}"
    with (
        service(shop.cli) as verbs,
        busy(shop.cli.state, done) if shop.cli.served else nullcontext() as client,
    ):
        for _ in range(3):  # a series that other load on the machine spoilt proves nothing
            log.unlink(missing_ok=True)
            for _ in range(ROUNDS):
                made = shadow.create_set(verbs, "shop", [writer], shop.cli.state)
                verbs.resync_set(made.id)
            beyond = times_beyond(log)
            if statistics.median(beyond) < BOUND:
                break
        done.touch()
        writes = int(client.communicate(timeout=30)[0]) if client is not None else 0
    with capsys.disabled():
        shown = ", ".join(f"{one * 1000:.1f}" for one in beyond)
        where = "in a daemon" if shop.cli.served else "here"
        sys.stdout.write(f"\n  {where}, freeze to thaw (ms): {shown}; {writes} writes\n")
    assert len(beyond) == ROUNDS
    assert writes > ROUNDS or not shop.cli.served
    assert statistics.median(beyond) < BOUND
