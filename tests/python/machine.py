"""Mounts and loop devices for tests; skips aloud where they cannot be had."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_LOOP_CTL_REMOVE = 0x4C81  # <linux/loop.h>


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")


@contextmanager
def mounted(source: str | Path, place: Path, *options: str) -> Iterator[Path]:
    """`source` mounted at `place`: a device, an image with ``-o loop``, ``none`` with a type."""
    need_root()
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", *options, source, place], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    try:
        yield place
    finally:
        run("umount", place)


@contextmanager
def own_loop_name() -> Iterator[str]:
    """The name of a loop device that nobody else is given, for one that goes and comes back."""
    number = 1000 + os.getpid() % 500_000
    yield f"/dev/loop{number}"
    with open("/dev/loop-control") as control:  # noqa: PTH123
        fcntl.ioctl(control, _LOOP_CTL_REMOVE, number)


@contextmanager
def loop_device(
    path: Path, sector: int = 512, *, read_only: bool = False, name: str = ""
) -> Iterator[str]:
    """A loop device on the file `path`; `name`: this one, else any that is free."""
    need_root()
    if not Path("/dev/loop-control").exists():
        pytest.skip("needs loop devices")
    options = ("--read-only",) if read_only else ()
    sector_size = ("--sector-size", str(sector))
    which = (name,) if name else ("--find", "--show")
    device = run("losetup", *sector_size, *options, *which, path) or name
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


def copy_sparse(path: Path, target: Path) -> Path:
    """Copy a file whose holes stay holes: an image of a file system is mostly that."""
    run("cp", "--sparse=always", path, target)
    return target


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path
