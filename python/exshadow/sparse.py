"""Zeroes and holes of image files: find them, make them, leave them out.

Offsets and lengths are bytes. Nothing here keeps state; memory use is bounded by ``CHUNK``.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CHUNK = 1 << 20
"""Most bytes held at once while copying."""

GRANULE = 4096
"""Zero runs are found in steps of this many bytes."""

_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02  # linux/falloc.h
_NOT_THERE = {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV, errno.ENOTTY}
_ZEROES = bytes(CHUNK)


def runs(data: bytes | memoryview) -> Iterator[tuple[int, int, bool]]:
    """Cut `data` into (start, length, is_zero) pieces that alternate and cover all of it."""
    if not data:
        return
    import numpy as np  # a tenth of a second, which most commands need not pay

    whole = len(data) // GRANULE
    words = np.frombuffer(data, dtype=np.uint64, count=whole * GRANULE // 8)
    used: npt.NDArray[np.bool_] = np.any(words.reshape(whole, GRANULE // 8), axis=1)
    if len(data) % GRANULE:
        used = np.append(used, any(data[whole * GRANULE :]))
    turns = np.flatnonzero(used[1:] != used[:-1]) + 1
    edges = [0, *turns.tolist(), len(used)]
    for first, last in itertools.pairwise(edges):
        start, end = first * GRANULE, min(last * GRANULE, len(data))
        yield start, end - start, not bool(used[first])


def aligned(extents: Iterable[tuple[int, int]], size: int) -> list[list[int]]:
    """The extents, ascending, grown to whole granules and merged where they then meet."""
    rows: list[list[int]] = []
    for offset, length in extents:
        start = offset // GRANULE * GRANULE
        end = min(-(-(offset + length) // GRANULE) * GRANULE, size)
        if rows and start <= rows[-1][0] + rows[-1][1]:
            rows[-1][1] = max(rows[-1][1], end - rows[-1][0])
        elif end > start:
            rows.append([start, end - start])
    return rows


class Digest:
    """SHA-256 over an image's granules that are not all zero, and where they lie: the same for a
    hole and for zeroes, and as quick as the image has data."""

    def __init__(self) -> None:
        self._data, self._places = hashlib.sha256(), hashlib.sha256()
        self._start = self._end = 0

    def add(self, offset: int, data: bytes | memoryview) -> None:
        """Pieces in ascending order, each beginning at a whole granule."""
        for start, length, is_zero in runs(data):
            if is_zero:
                continue
            if offset + start != self._end:
                self._note()
                self._start = offset + start
            self._end = offset + start + length
            self._data.update(data[start : start + length])

    def _note(self) -> None:
        self._places.update(f"{self._start} {self._end - self._start}\n".encode())

    def finish(self, size: int) -> str:
        """Hex digest of the whole image of `size` bytes."""
        self._note()
        parts = f"{size} {self._places.hexdigest()} {self._data.hexdigest()}"
        return hashlib.sha256(parts.encode()).hexdigest()


def data_extents(path: str | os.PathLike[str]) -> list[tuple[int, int]]:
    """(offset, length) of what the file system holds for `path`; all of it where holes are unknown.

    Everything outside reads as zeroes. SEEK_DATA and SEEK_HOLE, see lseek(2).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        return list(_seek_data(descriptor, size))
    finally:
        os.close(descriptor)


def _seek_data(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as problem:
            if problem.errno == errno.ENXIO:  # only a hole is left
                return
            if problem.errno not in _NOT_THERE:
                raise
            start = position  # a device or file system without holes
        try:
            position = min(os.lseek(descriptor, start, os.SEEK_HOLE), size)
        except OSError as problem:
            if problem.errno not in _NOT_THERE:
                raise
            position = size
        yield start, position - start


@cache
def _fallocate() -> ctypes._NamedFuncPointer | None:
    function = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return function


def punch(descriptor: int, offset: int, length: int) -> bool:
    """Make a range of an open file or block device a hole, which reads as zeroes; False where it
    cannot have holes. Raises OSError."""
    fallocate = _fallocate()
    if fallocate is None:
        return False
    while fallocate(descriptor, _KEEP_SIZE | _PUNCH_HOLE, offset, length) != 0:
        number = ctypes.get_errno()
        if number in _NOT_THERE:
            return False
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
    return True


def zero(descriptor: int, offset: int, length: int) -> None:
    """Make a range of an open file or block device read as zeroes: a hole where it can be.

    Not durable before the caller's fsync. Raises OSError.
    """
    if punch(descriptor, offset, length):
        return
    while length > 0:
        written = os.pwrite(descriptor, _ZEROES[: min(length, CHUNK)], offset)
        offset, length = offset + written, length - written


def write_all(descriptor: int, offset: int, data: bytes | memoryview) -> None:
    """pwrite(2) until everything is written; raises OSError."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        offset, view = offset + written, view[written:]
