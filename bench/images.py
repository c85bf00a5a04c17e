"""Pre-written incompressible images on the two media, and their comparison."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PIECE = 8 << 20
SCRIBBLE = 64 << 10


@dataclass(frozen=True, slots=True)
class Medium:
    """Where images lie, and whether the page cache is left out (O_DIRECT)."""

    name: str
    folder: Path
    direct: bool


def room(folder: Path) -> int:
    """Free bytes; for memory file systems not more than the memory that is available."""
    free = shutil.disk_usage(folder).free
    if folder.is_relative_to("/dev/shm"):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return min(free, int(line.split()[1]) * 1024)
    return free


def write_noise(path: Path, size: int, seed: int) -> None:
    """Fill a new file with `size` bytes that do not compress; durable on return."""
    generator = np.random.default_rng(seed)
    with path.open("wb", buffering=0) as file:
        for start in range(0, size, PIECE):
            file.write(generator.bytes(min(PIECE, size - start)))
        os.fsync(file.fileno())


@contextmanager
def _pieces(path: Path, offsets: Iterator[int], length: int) -> Iterator[Iterator[bytes]]:
    """Read from storage, not from a stale place; the pages read are given back."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield (os.pread(descriptor, length, offset) for offset in offsets)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Hex digest of a whole file."""
    digest = hashlib.sha256()
    with _pieces(path, iter(range(0, path.stat().st_size, PIECE)), PIECE) as pieces:
        for piece in pieces:
            digest.update(piece)
    return digest.hexdigest()


def assert_equal(left: Path, right: Path, *, everything: bool, seed: int = 0) -> None:
    """AssertionError with the first place that differs. Not `everything`: every 64th MiB."""
    size = left.stat().st_size
    assert right.stat().st_size == size, f"{right} has another size than {left}"
    length = PIECE if everything else SCRIBBLE
    offsets = list(range(0, size, PIECE)) if everything else scribble_offsets(size, seed)
    with (
        _pieces(left, iter(offsets), length) as ours,
        _pieces(right, iter(offsets), length) as theirs,
    ):
        for offset, a, b in zip(offsets, ours, theirs, strict=True):
            assert a == b, f"{right} differs from {left} near byte {offset}"


def scribble_offsets(size: int, seed: int) -> list[int]:
    """One place in every 16 MiB, aligned to 64 KiB, another one for every seed."""
    chooser = random.Random(seed)
    step = 16 << 20
    return [
        start + SCRIBBLE * chooser.randrange(max(1, min(step, size - start) // SCRIBBLE))
        for start in range(0, size, step)
    ]


def scribble(path: Path, seed: int, *, direct: bool) -> None:
    """Spoil a target before its round, so that a copy that did not happen is seen.

    Durable and out of the page cache on return where `direct`.
    """
    noise = random.Random(seed).randbytes(SCRIBBLE)
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for offset in scribble_offsets(path.stat().st_size, seed):
            os.pwrite(descriptor, noise, offset)
        os.fsync(descriptor)
        if direct:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def flush(path: Path) -> None:
    """fdatasync(2): what every competitor pays inside its timed region."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def random_regions(size: int, region: int, percent: float, seed: int) -> list[int]:
    """Offsets of `percent` of all regions, chosen at random, ascending."""
    count = size // region
    chosen = random.Random(seed).sample(range(count), max(1, round(count * percent / 100)))
    return sorted(number * region for number in chosen)
