"""A daemon on a state folder, for tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
from conftest import Cli

import exshadow
from exshadow.client.service import connect_service
from exshadow.client.volume import ServedVolume
from exshadow.service.contract import Service
from exshadow.service.desk import Desk
from exshadow.service.local import LocalService
from exshadow.service.reporter import Silent
from exshadow.service.state import StateFolder


class DaemonProcess:
    """``exshadow serve`` beside the test; what it says goes to files in `folder`."""

    def __init__(self, cli: Cli, folder: Path, *arguments: str) -> None:
        self.cli = cli
        self.out, self.err = folder / "serve.out", folder / "serve.err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.pid = cli.server.start(
                ["--json", "serve", *arguments], cli.environment, out.fileno(), err.fileno()
            )
        self.ended = False
        self.wait_ready()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 60
        while not self.out.read_bytes().endswith(b"\n"):
            assert time.monotonic() < deadline, self.err.read_text()
            time.sleep(0.01)

    @property
    def nbd(self) -> Path:
        return self.cli.state / "nbd.sock"

    def http(self) -> httpx.Client:
        transport = httpx.HTTPTransport(uds=str(self.cli.state / "control.sock"))
        return httpx.Client(transport=transport, base_url="http://exshadow", timeout=60)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait: the exit status."""
        os.kill(self.pid, number)
        self.ended = True
        return self.cli.server.wait(self.pid)

    def close(self) -> None:
        if not self.ended:
            status = self.stop()
            assert status == 0, self.err.read_text()
        assert "Traceback" not in self.err.read_text()


@contextmanager
def served(cli: Cli, folder: Path, *arguments: str) -> Iterator[DaemonProcess]:
    with closing(DaemonProcess(cli, folder, *arguments)) as daemon:
        yield daemon


class ServedCli(Cli):
    """The command line on a state folder that has a daemon."""

    served = True

    @contextmanager
    def opened(self, volume: str) -> Iterator[ServedVolume]:
        """The volume by way of the daemon, as an application on its socket would use it."""
        with exshadow.connect(self.state) as daemon:
            opened = daemon.open(volume)
            opened.read(0, 1)  # the daemon opens what others added when it is first used
            yield opened


@contextmanager
def service(cli: Cli) -> Iterator[Service]:
    """The verbs, by the daemon where one serves the state folder."""
    if cli.served:
        remote = connect_service(StateFolder(cli.state).control_socket, Silent())
        assert remote is not None
        with remote:
            yield remote
    else:
        with closing(Desk(StateFolder(cli.state))) as desk:
            yield LocalService(desk)
