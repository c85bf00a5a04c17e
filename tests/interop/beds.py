"""Beds of the interop tests: volumes served over NBD, block devices on their exports, mounts."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
from machine import loop_device, need_root, run, sparse

import exshadow

MIB = 1 << 20
GIB = 1 << 30
SYSTEM_PYTHON = "/usr/bin/python3"  # where Debian puts libnbd's module
CLIENT = Path(__file__).with_name("client.py")


def need(*tools: str) -> None:
    """Skip aloud where a tool is missing; scripts/packages.sh installs them all."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    if missing := [tool for tool in tools if shutil.which(tool, path=path) is None]:
        pytest.skip(f"needs {', '.join(missing)}: run scripts/packages.sh")


def need_libnbd() -> None:
    if subprocess.run([SYSTEM_PYTHON, "-c", "import nbd"], check=False).returncode:
        pytest.skip("needs python3-libnbd: run scripts/packages.sh")


def until(what: Callable[[], object], why: str, seconds: float = 30) -> None:
    """Wait until `what` holds."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"{why}: not within {seconds} s"
        time.sleep(0.01)


def in_time(measured: Callable[[], float], limit: float = 5, tries: int = 3) -> list[float]:
    """Seconds of each try until one is within the limit: a machine may be busy with others."""
    taken: list[float] = []
    while not taken or (taken[-1] >= limit and len(taken) < tries):
        taken.append(round(measured(), 2))
    assert taken[-1] < limit, f"{taken} s, not within {limit}"
    return taken


def status(*command: str | Path) -> tuple[int, str]:
    """Exit status and everything that was said."""
    done = subprocess.run(
        command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return done.returncode, done.stdout


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_data(path: Path) -> str:
    """Of the content of a sparse file, however large: its blocks of MIB that are not all zeros."""
    digest = hashlib.sha256(str(path.stat().st_size).encode())
    with path.open("rb", buffering=0) as file:
        offset, zeros = 0, bytes(MIB)
        while True:
            try:
                found = os.lseek(file.fileno(), offset, os.SEEK_DATA)
            except OSError as problem:
                if problem.errno != errno.ENXIO:
                    raise
                return digest.hexdigest()
            start = found - found % MIB
            block = os.pread(file.fileno(), MIB, start)
            if block != zeros[: len(block)]:
                digest.update(b"%d:" % start + block)
            offset = start + len(block)


class Served:
    """An engine with volumes, each with mirrors m1, m2 ..., and a server on `socket`."""

    def __init__(self, folder: Path, sizes: dict[str, int], mirrors: int = 1) -> None:
        self.folder, self.socket = folder, folder / "nbd.sock"
        self.engine = exshadow.Engine()
        try:
            self.volumes = [self._make(name, size, mirrors) for name, size in sizes.items()]
            self.server = self.engine.serve(
                self.socket, tcp=("127.0.0.1", 0), views=folder, view_limit=GIB
            )
        except BaseException:
            self.engine.close()
            raise

    def _make(self, name: str, size: int, mirrors: int) -> exshadow.Volume:
        plex = sparse(self.folder / f"{name}.img", size)
        volume = self.engine.create(self.folder / f"{name}.exv", plex=plex)
        for number in range(1, mirrors + 1):
            volume.add_plex(self.folder / f"{name}-m{number}.img", label=f"m{number}").wait()
        return volume

    @property
    def port(self) -> int:
        (address,) = (one for one in self.server.addresses if one.startswith("127."))
        return int(address.rpartition(":")[2])

    def uri(self, export: str) -> str:
        return f"nbd+unix:///{export}?socket={self.socket}"

    def split(self, label: str, **plexes: str) -> dict[str, exshadow.Snapshot]:
        return self.engine.split(self.volumes, label, plexes=plexes or None)

    def close(self) -> None:
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _fuse_file(uri: str, folder: Path, *options: str) -> Iterator[Path]:
    """A file that is the export, by nbdfuse; it must be gone when this ends."""
    need("nbdfuse", "fusermount3")
    file = folder / f"nbdfuse-{time.monotonic_ns()}"
    file.touch()
    size = file.stat
    process = subprocess.Popen(["nbdfuse", *options, str(file), uri])
    try:
        until(lambda: process.poll() is not None or size().st_size, f"nbdfuse of {uri}")
        assert process.poll() is None, f"nbdfuse of {uri} ended with {process.returncode}"
        yield file
    finally:
        try:
            if process.poll() is None:
                until(lambda: status("umount", file)[0] == 0, f"umount {file}")
            process.wait(timeout=30)
        finally:
            status("umount", "--lazy", file)
            process.kill()
            process.wait()
            file.unlink()


@contextmanager
def attached(uri: str, folder: Path, *, read_only: bool = False) -> Iterator[str]:
    """A loop device on the export."""
    need_root()
    if not Path("/dev/fuse").exists():
        pytest.skip("needs /dev/fuse")
    with (
        _fuse_file(uri, folder, *(["--readonly"] if read_only else [])) as file,
        loop_device(file) as device,
    ):
        yield device


@contextmanager
def mounted(device: str, place: Path, *options: str) -> Iterator[Path]:
    """`device` mounted at `place`; unlike machine.mounted a refusal is a failure."""
    place.mkdir(exist_ok=True)
    run("mount", *options, device, place)
    try:
        yield place
    finally:
        try:
            until(lambda: status("umount", place)[0] == 0, f"umount {place}")
        except AssertionError:
            run("umount", "--lazy", place)
            raise


@contextmanager
def frozen(place: Path) -> Iterator[None]:
    """The file system at `place` holds still."""
    run("fsfreeze", "--freeze", place)
    try:
        yield
    finally:
        run("fsfreeze", "--unfreeze", place)


@contextmanager
def client(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """client.py under Debian's Python; killed when the block is left."""
    need_libnbd()
    process = subprocess.Popen(
        [SYSTEM_PYTHON, str(CLIENT), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def served_child(folder: Path, volumes: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that serves the volume files in `folder` on nbd.sock there."""
    child = Path(__file__).with_name("serve_child.py")
    process = subprocess.Popen(
        [sys.executable, str(child), str(folder), *volumes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()
