"""Mounts and loop devices for tests; skips aloud where they cannot be had."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


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
def loop_device(path: Path, sector: int = 512, *, read_only: bool = False) -> Iterator[str]:
    """A loop device on the file `path`."""
    need_root()
    if not Path("/dev/loop-control").exists():
        pytest.skip("needs loop devices")
    options = ("--read-only",) if read_only else ()
    sector_size = ("--sector-size", str(sector))
    device = run("losetup", "--find", "--show", *sector_size, *options, path)
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
