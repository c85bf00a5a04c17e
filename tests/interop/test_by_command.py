"""An administrator's day by the command line alone: a daemon, attached volumes, PostgreSQL on them,
a set under load, a disaster, and the server up again seconds after ``restore --mode instant``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from machine import need_root, run, sparse

from interop.beds import GIB, MIB, in_time, mounted, need, until
from interop.postgres import Postgres, programs


@dataclass(frozen=True)
class Commands:
    """``exshadow`` on one state folder, each a process as a person would start it."""

    state: Path

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        environment = os.environ | {"EXSHADOW_STATE": str(self.state)}
        command = [sys.executable, "-m", "exshadow", "--json", *map(str, words)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def __call__(self, *words: str | Path) -> dict[str, Any]:
        process = self.start(*words)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, f"{words}: {process.returncode} {said}"
        return json.loads(said)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """The daemon, until SIGTERM ends it with status 0."""
        with self.start("serve") as process:
            try:
                until(
                    lambda: process.poll() is not None or (self.state / "control.sock").exists(),
                    "exshadow serve",
                )
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=60)
        assert process.returncode == 0

    @contextmanager
    def attached(self, names: list[str]) -> Iterator[list[str]]:
        """Devices of all of them, by as many commands at the same time."""
        with ExitStack() as stack:
            begun = [self.start("attach", name, "--writable") for name in names]
            said = [(one, one.communicate(timeout=100)[0]) for one in begun]
            devices = []
            for name, (process, document) in zip(names, said, strict=True):
                if process.returncode == 0:
                    stack.callback(self, "detach", name)
                    devices.append(json.loads(document)["attached"]["device"])
            assert len(devices) == len(names), said
            yield devices

    @contextmanager
    def placed(self, folder: Path, suffix: str = "") -> Iterator[Postgres]:
        """PostgreSQL's two file systems, attached and mounted."""
        folder.mkdir(exist_ok=True)
        with ExitStack() as stack:
            names = ("data", "wal")
            devices = stack.enter_context(self.attached([name + suffix for name in names]))
            for name, device in zip(names, devices, strict=True):
                stack.enter_context(mounted(device, folder / name))
            yield Postgres(folder / "data", folder / "wal", folder / "sockets")


@pytest.fixture
def commands(bed: Path) -> Iterator[Commands]:
    need_root()
    need("nbdfuse", "mkfs.ext4", "runuser")
    programs()
    made = Commands(bed / "state")
    for name, size in (("data", GIB), ("wal", 256 * MIB)):
        image = sparse(bed / f"{name}.img", size)
        run("mkfs.ext4", "-q", "-F", image)
        made("volume", "add", name, image, "--group", "shop")
        made("mirror", "add", name, bed / f"{name}-m2.img", "--label", "m2")
    with made.serving():
        yield made


def restore_and_query(commands: Commands, bed: Path, known: tuple[int, int]) -> float:
    """Seconds from the start of the command to the first answered query; then all is checked."""
    start = time.monotonic()
    commands("restore", "shop@noon", "--mode", "instant", "--yes", "--limit", "8M")
    with commands.placed(bed / "live") as server, server.running():
        assert known[0] <= server.history() <= known[1]
        seconds = time.monotonic() - start
        server.check()
    return seconds


@pytest.mark.timeout(400)
def test_a_database_is_up_again_seconds_after_restore(commands: Commands, bed: Path) -> None:
    with commands.placed(bed / "live") as server:
        server.create()
        with server.running():
            run(*server.client("pgbench", "--initialize", "--scale=3", "--quiet", "postgres"))
            with server.under_pgbench():
                time.sleep(1)
                before = server.history()
                commands("snapshot", "create", "shop", "--label", "noon")
                known = (before, server.history())
            server.query("drop table pgbench_accounts")
    taken = in_time(lambda: restore_and_query(commands, bed, known))
    print(f"first query {taken} s after the command's start")
    with commands.placed(bed / "copy", "@noon") as copy:
        copy.point_at_wal()
        with copy.running():
            copy.check()
    sets = commands("snapshot", "list")["sets"]
    assert [one["label"] for one in sets] == ["noon"]
