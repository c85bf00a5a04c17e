"""Debian's MariaDB on two file systems: its data on one, its binary log on the other."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
from machine import run

from interop.beds import need, until
from interop.load import Commit, transaction

USER = "nobody"
SETTINGS = (
    "--no-defaults", "--skip-networking", "--server-id=1", "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=32M", "--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1",
    "--innodb-use-native-aio=OFF", "--performance-schema=OFF",
)  # fmt: skip


@dataclass
class MariaDb:
    """A server in data/db with its binary log in log/bin; the socket is in `sockets`."""

    data: Path
    log: Path
    sockets: Path
    settings: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def folder(self) -> Path:
        return self.data / "db"

    @property
    def socket(self) -> Path:
        return self.sockets / "db.sock"

    def create(self) -> None:
        need("mariadbd", "mariadb-install-db", "runuser")
        for place in (self.data, self.log, self.sockets):
            place.mkdir(exist_ok=True)
            shutil.chown(place, USER)
        run(
            "runuser", "-u", USER, "--", "mariadb-install-db", "--no-defaults",
            f"--datadir={self.folder}", "--auth-root-authentication-method=normal",
            "--skip-test-db", "--innodb-log-file-size=32M", f"--tmpdir={self.sockets}",
        )  # fmt: skip

    def point_at_log(self) -> None:
        """The log's index names the files by paths that a copy mounted elsewhere does not have."""
        index = self.log / "bin.index"
        names = [Path(line).name for line in index.read_text().splitlines()]
        index.write_text("".join(f"{self.log / name}\n" for name in names))

    @contextmanager
    def running(self, *settings: str, binlog: bool = True) -> Iterator[None]:
        """From the first answer to an orderly shutdown."""
        self.sockets.mkdir(exist_ok=True)
        shutil.chown(self.sockets, USER)
        said = self.sockets / "error.log"
        command = [
            "runuser", "-u", USER, "--", "mariadbd", *SETTINGS, *self.settings, *settings,
            f"--datadir={self.folder}", f"--socket={self.socket}", f"--tmpdir={self.sockets}",
            f"--pid-file={self.sockets / 'pid'}",
        ]  # fmt: skip
        command += [f"--log-bin={self.log / 'bin'}"] if binlog else []
        with said.open("a") as errors:
            process = self.process = subprocess.Popen(command, stdout=errors, stderr=errors)
        try:
            until(lambda: process.poll() is not None or self.answers(), "MariaDB", 60)
            assert process.poll() is None, said.read_text()[-3000:]
            yield
        finally:
            if process.poll() is None:
                with closing(self.connect()) as connection:
                    connection.cursor().execute("SHUTDOWN")
            process.wait(timeout=60)

    def kill(self) -> None:
        """As a power cut ends it; the clients see it at once."""
        assert self.process is not None
        subprocess.run(["kill", "-9", (self.sockets / "pid").read_text().strip()], check=True)
        self.process.wait(timeout=30)

    def connect(self, **options: Any) -> pymysql.connections.Connection[Any]:
        place = {"unix_socket": str(self.socket), "user": "root"}
        return pymysql.connect(**(place | {"autocommit": True} | options))

    def answers(self) -> bool:
        ping = ("mariadb-admin", "--no-defaults", f"--socket={self.socket}", "--user=root", "ping")
        return subprocess.run(ping, check=False, capture_output=True).returncode == 0

    def query(self, text: str, database: str | None = "shop") -> Sequence[Sequence[Any]]:
        with closing(self.connect(database=database)) as connection:
            cursor = connection.cursor()
            cursor.execute(text)
            return cursor.fetchall()

    @contextmanager
    def client(self) -> Iterator[Commit]:
        """A connection of its own that commits."""
        with closing(self.connect(database="shop", autocommit=False)) as connection:

            def commit(client: int, number: int) -> None:
                cursor = connection.cursor()
                for statement in transaction(client, number):
                    cursor.execute(statement)
                connection.commit()

            yield commit

    def check(self) -> None:
        """Every table and index is right."""
        rows = self.query("CHECK TABLE alpha, omega, total EXTENDED")
        assert [row[3] for row in rows] == ["OK"] * 3, rows
