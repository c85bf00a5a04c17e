"""A PostgreSQL server of Debian's on two file systems: its data on one, its WAL on the other."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from machine import run

from interop.beds import until

SETTINGS = """
listen_addresses = ''
shared_buffers = 32MB
max_connections = 20
max_wal_size = 96MB
min_wal_size = 32MB
checkpoint_timeout = 30s
autovacuum_naptime = 5s
"""


def programs() -> Path:
    """Where Debian puts the server's programs; the newest version."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: int(path.parent.parent.name),
    )
    if not found:
        pytest.skip("needs postgresql: run scripts/packages.sh")
    return found[-1].parent


_CLIENTS = 2  # of pgbench


@dataclass(frozen=True)
class Postgres:
    """A server in data/pg with its WAL in wal/pg; the socket is in `sockets`."""

    data: Path
    wal: Path
    sockets: Path

    @property
    def folder(self) -> Path:
        return self.data / "pg"

    def tool(self, name: str, *arguments: str | Path) -> list[str]:
        """A command as the server's user."""
        return ["runuser", "-u", "postgres", "--", str(programs() / name), *map(str, arguments)]

    def client(self, name: str, *arguments: str) -> list[str]:
        return self.tool(name, "--host", self.sockets, *arguments)

    def create(self) -> None:
        for place in (self.data, self.wal, self.sockets):
            place.mkdir(exist_ok=True)
            shutil.chown(place, "postgres", "postgres")
        place = (f"--pgdata={self.folder}", f"--waldir={self.wal / 'pg'}")
        run(*self.tool("initdb", *place, "--auth=trust", "--data-checksums", "--locale=C"))
        self.configure(SETTINGS)

    def configure(self, settings: str) -> None:
        """Lines at the end of the settings. Safe on the disk, as initdb's own are: a crash copy has
        what was synced."""
        with (self.folder / "postgresql.conf").open("a") as file:
            file.write(settings)
        run("sync", "--file-system", self.folder)

    def point_at_wal(self) -> None:
        """The data folder names its WAL by a path that a copy mounted elsewhere does not have."""
        link = self.folder / "pg_wal"
        link.unlink()
        link.symlink_to(self.wal / "pg")
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """From the first query that is answered to a fast shutdown."""
        self.sockets.mkdir(exist_ok=True)
        shutil.chown(self.sockets, "postgres", "postgres")
        log = self.sockets / "log"
        with log.open("a") as said:
            process = subprocess.Popen(
                self.tool("postgres", "-D", self.folder, "-k", self.sockets),
                stdout=said, stderr=said,
            )  # fmt: skip
        try:
            until(
                lambda: process.poll() is not None or self.answers(),
                f"PostgreSQL on {self.data}\n{log.read_text()}", 60,
            )  # fmt: skip
            assert process.poll() is None, log.read_text()
            yield
        finally:
            if process.poll() is None:
                run(*self.tool("pg_ctl", "stop", "-w", "-m", "fast", "-D", self.folder))
            process.wait(timeout=60)

    def answers(self) -> bool:
        command = self.client("psql", "-Atqc", "select 1", "postgres")
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def query(self, text: str) -> str:
        return run(*self.client("psql", "-Atqc", text, "postgres"))

    def check(self) -> None:
        """Every page and index is right, and pgbench's books balance."""
        install = ("--install-missing", "--heapallindexed", "--all")
        done = subprocess.run(
            self.client("pg_amcheck", *install), check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        sums = self.query(
            "select (select sum(abalance) from pgbench_accounts),"
            " (select sum(bbalance) from pgbench_branches),"
            " (select sum(tbalance) from pgbench_tellers),"
            " (select coalesce(sum(delta), 0) from pgbench_history)"
        )
        assert len(set(sums.split("|"))) == 1, sums

    def history(self) -> int:
        """Transactions of pgbench that are committed."""
        return int(self.query("select count(*) from pgbench_history"))

    def history_at_most(self) -> int:
        """The most that a copy of before may have: a commit is in the log, and so in the copy, a
        moment before others see it; one of each client of pgbench may be at that."""
        return self.history() + _CLIENTS

    @contextmanager
    def under_pgbench(self) -> Iterator[None]:
        """Two clients that commit as fast as they can until the block is left."""
        command = ("pgbench", f"--client={_CLIENTS}", "--no-vacuum", "--time=86400", "postgres")
        process = subprocess.Popen(
            self.client(*command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield
            assert process.poll() is None, "pgbench ended"
        finally:
            process.terminate()
            process.wait(timeout=60)
