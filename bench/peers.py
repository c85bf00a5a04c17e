"""The peers' side: full copies with QEMU's tools and libnbd's, resync with QEMU's dirty bitmaps.

Commands as tuned and tried on QEMU 7.2 and libnbd 1.14; versions are printed with the results.
qemu-nbd is never left at its write-through default. On disks everything is O_DIRECT; nbdcopy itself
has no file descriptor there but those of its two servers.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

from bench import images
from bench.images import Medium
from bench.qmp import StorageDaemon

TOOLS = {
    "qemu-img": "qemu-utils",
    "qemu-nbd": "qemu-utils",
    "qemu-io": "qemu-utils",
    "qemu-storage-daemon": "qemu-system-common",
    "nbdcopy": "libnbd-bin",
}
"""Tool to Debian 12 package."""


def missing_tools() -> list[str]:
    return [f"{tool} ({package})" for tool, package in TOOLS.items() if shutil.which(tool) is None]


def versions() -> list[str]:
    """One line a tool, as it says itself."""
    lines = []
    for tool in TOOLS:
        if shutil.which(tool) is None:
            lines.append(f"{tool}: not installed")
            continue
        text = subprocess.run(
            [tool, "--version"], capture_output=True, text=True, check=True
        ).stdout
        found = re.search(r"\d+\.\d+(\.\d+)?( \([^)]*\))?", text)
        lines.append(f"{tool}: {found.group(0) if found else text.splitlines()[0]}")
    return lines


class Copy:
    """A full copy from source to target; the rounds' frame for all peers and exshadow."""

    def __init__(self, name: str, medium: Medium, source: Path, target: Path, rounds: int) -> None:
        self.name = name
        self.medium, self.source, self.target = medium, source, target
        self._last = rounds - 1
        self._seed = sum(name.encode())

    def prepare(self, number: int) -> None:
        images.scribble(self.target, self._seed + number, direct=self.medium.direct)

    def run(self) -> None:
        raise NotImplementedError

    def check(self, number: int) -> None:
        """Everything in the first and last round, the places spoilt before in the others."""
        everything = number in (0, self._last)
        seed = self._seed + number
        images.assert_equal(self.source, self.target, everything=everything, seed=seed)

    def stop(self) -> None:
        """No servers here."""

    def server_pids(self) -> list[int]:
        return []


class Convert(Copy):
    """qemu-img convert, out of order with 16 coroutines, or with copy offloading (`-C`)."""

    def __init__(
        self, medium: Medium, source: Path, target: Path, rounds: int, *, aio: str, offload: bool
    ) -> None:
        how = "-C" if offload else f"-m16 -W {aio}"
        super().__init__(f"qemu-img convert {how}", medium, source, target, rounds)
        tuning = ["-C"] if offload else ["-m", "16", "-W", "-S", "0"]
        self._command = ["qemu-img", "convert", "--image-opts", "--target-image-opts", "-n"]
        self._command += [*tuning, self._options(source, aio), self._options(target, aio)]

    def _options(self, path: Path, aio: str) -> str:
        cache = ",file.cache.direct=on" if self.medium.direct else ""
        return f"driver=raw,file.driver=file,file.filename={path},file.aio={aio}{cache}"

    def run(self) -> None:
        subprocess.run(self._command, check=True)
        images.flush(self.target)


class NbdCopy(Copy):
    """nbdcopy between two qemu-nbd, which are started before and stopped after the timing."""

    def __init__(self, medium: Medium, source: Path, target: Path, rounds: int) -> None:
        super().__init__("nbdcopy, two qemu-nbd", medium, source, target, rounds)
        self._servers: list[subprocess.Popen[bytes]] = []

    def _socket(self, side: str) -> Path:
        return self.medium.folder / f"{side}.sock"

    def prepare(self, number: int) -> None:
        super().prepare(number)
        for side, path, extra in (("s", self.source, ["-r"]), ("d", self.target, [])):
            self._socket(side).unlink(missing_ok=True)
            cache = "none" if self.medium.direct else "writeback"
            command = ["qemu-nbd", *extra, "-t", "-e", "8", "-f", "raw", f"--cache={cache}"]
            command += ["--aio=io_uring", "-k", str(self._socket(side)), str(path)]
            self._servers.append(subprocess.Popen(command))
        while not all(self._socket(side).exists() for side in "sd"):
            assert all(server.poll() is None for server in self._servers), "qemu-nbd ended"
            time.sleep(0.01)

    def run(self) -> None:
        ends = [f"nbd+unix:///?socket={self._socket(side)}" for side in "sd"]
        tuning = ["--flush", "-S", "0", "-C", "2", "-R", "8", "--request-size=131072"]
        subprocess.run(["nbdcopy", *tuning, *ends], check=True)
        images.flush(self.target)

    def server_pids(self) -> list[int]:
        return [server.pid for server in self._servers]

    def stop(self) -> None:
        for server in self._servers:
            server.terminate()
            server.wait(timeout=60)
        self._servers.clear()

    def check(self, number: int) -> None:
        self.stop()
        super().check(number)


class Backup(Copy):
    """qemu-storage-daemon blockdev-backup with copy offloading."""

    def __init__(self, medium: Medium, source: Path, target: Path, rounds: int) -> None:
        super().__init__("QSD blockdev-backup copy-range", medium, source, target, rounds)
        self._daemon: StorageDaemon | None = None

    def prepare(self, number: int) -> None:
        super().prepare(number)
        self._daemon = StorageDaemon(
            self.source,
            self.target,
            direct=self.medium.direct,
            aio="io_uring",
            folder=self.medium.folder,
        )

    def run(self) -> None:
        assert self._daemon is not None
        perf = {"max-workers": 64, "use-copy-range": True}
        self._daemon.backup(sync="full", x_perf=perf)
        images.flush(self.target)

    def server_pids(self) -> list[int]:
        return [self._daemon.pid] if self._daemon else []

    def stop(self) -> None:
        if self._daemon is not None:
            self._daemon.close()
            self._daemon = None

    def check(self, number: int) -> None:
        self.stop()
        super().check(number)


def full_copies(medium: Medium, source: Path, target: Path, rounds: int) -> list[Copy]:
    """All peers of the initial sync on that medium."""
    common = (medium, source, target, rounds)
    copies: list[Copy] = [Convert(*common, aio="io_uring", offload=False)]
    if not medium.direct:
        copies.append(Convert(*common, aio="threads", offload=False))
    return [
        *copies,
        Convert(*common, aio="io_uring", offload=True),
        NbdCopy(*common),
        Backup(*common),
    ]


class BitmapResync:
    """blockdev-backup of the regions in a dirty bitmap, the regions written through NBD before."""

    def __init__(
        self, medium: Medium, source: Path, target: Path, dirty: list[list[int]], region: int
    ) -> None:
        self.name = "QSD blockdev-backup sync=bitmap, 64 workers"
        self._medium, self._source, self._target = medium, source, target
        self._dirty, self._region = dirty, region
        self._daemon: StorageDaemon | None = None

    def prepare(self, number: int) -> None:
        """`dirty[number]` is written with the round's byte; the bitmap knows nothing else."""
        self._daemon = StorageDaemon(
            self._source,
            self._target,
            direct=self._medium.direct,
            aio="io_uring",
            folder=self._medium.folder,
        )
        self._daemon.qmp.execute(
            "block-dirty-bitmap-add", node="src", name="b0", granularity=self._region
        )
        byte = 1 + number % 255
        lines = [f"write -q -P {byte} {offset} {self._region}" for offset in self._dirty[number]]
        export = f"nbd+unix:///v?socket={self._daemon.nbd_path}"
        script = "\n".join([*lines, "flush", "quit"]) + "\n"
        subprocess.run(
            ["qemu-io", "-f", "raw", export],
            input=script.encode(),
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def run(self) -> None:
        assert self._daemon is not None
        perf = {"max-workers": 64, "use-copy-range": False}
        self._daemon.backup(sync="bitmap", bitmap="b0", bitmap_mode="on-success", x_perf=perf)
        images.flush(self._target)

    def server_pids(self) -> list[int]:
        return [self._daemon.pid] if self._daemon else []

    def stop(self) -> None:
        if self._daemon is not None:
            self._daemon.close()
            self._daemon = None

    def check(self, number: int) -> None:
        self.stop()
        images.assert_equal(self._source, self._target, everything=True)
        with self._source.open("rb") as file:
            file.seek(self._dirty[number][-1])
            assert file.read(self._region) == bytes([1 + number % 255]) * self._region
