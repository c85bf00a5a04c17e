"""Both sides of the contest of splits under load: exshadow's Engine.split, QEMU's transaction."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from bench import images
from bench.qmp import QmpClient, QmpError

_START_S = 10.0


class Side(Protocol):
    """One way to take a copy of all volumes at one instant."""

    name: str
    uris: list[str]

    def split(self) -> None:
        """All volumes at one instant; what is timed."""

    def settle(self) -> None:
        """Undo it, so that the next one can be taken."""


class Exshadow:
    """An engine with `count` volumes, a mirror each, served over NBD."""

    def __init__(self, folder: Path, count: int, size: int) -> None:
        from exshadow import Engine

        self.name = "exshadow split"
        self._taken = 0
        with ExitStack() as stack:
            self._engine = stack.enter_context(Engine())
            self._volumes = []
            for number in range(count):
                source = folder / f"v{number}.img"
                images.write_noise(source, size, number)
                volume = self._engine.create(folder / f"v{number}.exv", plex=source)
                volume.add_plex(folder / f"v{number}-m2.img", label="m2").wait()
                self._volumes.append(volume)
            path = folder / "nbd.sock"
            self._engine.serve(path)
            self.uris = [f"nbd+unix:///{one.name}?socket={path}" for one in self._volumes]
            self._plexes = {volume.name: "m2" for volume in self._volumes}
            self._opened = stack.pop_all()

    @property
    def turn(self) -> float:
        """Seconds of the last split's only step between two writes."""
        return self._engine.split_turn_ns() / 1e9

    def split(self) -> None:
        self._taken += 1
        self._engine.split(self._volumes, f"s{self._taken}", plexes=self._plexes)

    def settle(self) -> None:
        label = f"s{self._taken}"
        for job in [volume.resync(label) for volume in self._volumes]:
            job.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._opened.close()


class Transaction:
    """qemu-storage-daemon: a QMP transaction of a bitmap and a blockdev-backup for every volume.

    sync=none: nothing is copied but what is overwritten, the least that keeps the instant.
    """

    def __init__(self, folder: Path, count: int, size: int) -> None:
        self.name = f"QMP transaction of {count} bitmaps and blockdev-backups"
        self._count, qmp, nbd = count, folder / "qsd-q.sock", folder / "qsd-n.sock"
        command = ["qemu-storage-daemon", "--chardev", f"socket,id=c,path={qmp},server=on,wait=off"]
        command += ["--monitor", "chardev=c"]
        command += ["--nbd-server", f"addr.type=unix,addr.path={nbd},max-connections=0"]
        for number in range(count):
            for node in (f"src{number}", f"dst{number}"):
                path = folder / f"{node}.img"
                images.write_noise(path, size, number)
                file = f"driver=file,node-name=f{node},filename={path},aio=io_uring"
                raw = f"driver=raw,node-name={node},file=f{node}"
                command += ["--blockdev", file, "--blockdev", raw]
            export = f"type=nbd,id=e{number},node-name=src{number},name=v{number},writable=on"
            command += ["--export", export]
        self.uris = [f"nbd+unix:///v{number}?socket={nbd}" for number in range(count)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            self._qmp = self._connected(qmp)
        except BaseException:
            self._end()
            raise

    def _connected(self, path: Path) -> QmpClient:
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise QmpError(f"qemu-storage-daemon ended with {self._process.returncode}")
            try:
                return QmpClient(path)
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.01)
        raise QmpError("qemu-storage-daemon did not open its socket")

    def split(self) -> None:
        actions: list[dict[str, Any]] = []
        for number in range(self._count):
            source = f"src{number}"
            bitmap = {"node": source, "name": "b", "granularity": 65536}
            backup = {"job-id": f"j{number}", "device": source, "target": f"dst{number}"}
            actions.append({"type": "block-dirty-bitmap-add", "data": bitmap})
            actions.append({"type": "blockdev-backup", "data": {**backup, "sync": "none"}})
        self._qmp.execute("transaction", actions=actions)

    def settle(self) -> None:
        for number in range(self._count):
            self._qmp.execute("block-job-cancel", device=f"j{number}")
        while self._qmp.execute("query-jobs"):
            time.sleep(0.01)
        for number in range(self._count):
            self._qmp.execute("block-dirty-bitmap-remove", node=f"src{number}", name="b")

    def stand_still(self, seconds: float) -> None:
        """Stop the daemon for a while."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._qmp.close()
        self._end()
