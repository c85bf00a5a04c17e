"""A snapshot straight onto an image or device outside the mirror: all of it, or what changed.

What the target holds stands in the record beside it (:mod:`exshadow.image_base`); changes
go only onto an image that is known to hold the snapshot they start from. A new file appears under
its name when it is complete and durable. A device, and an image that changes are laid onto, are
written in place: interrupted, a device has no record, and an image one that lets nothing but the
same changes be laid onto it again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from exshadow import errors, image_base, sparse
from exshadow.image_files import check_size, errors_as_io, opened
from exshadow.raw_image import Progress, Read, Transfer, pieces
from exshadow.rbd_diff import holds_already
from exshadow.rbd_format import Header, Writer

Check = Callable[[], None]
"""Called before the first byte is written, once nobody else can begin to use the target."""


class _Whole:
    """SHA-256 of all bytes, those that are not written because they are zero as well."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()
        self._end = 0

    def add(self, offset: int, data: bytes) -> None:
        """Pieces in ascending order."""
        self._fill(offset)
        self._sum.update(data)
        self._end = offset + len(data)

    def finish(self, size: int) -> str:
        self._fill(size)
        return self._sum.hexdigest()

    def _fill(self, until: int) -> None:
        zeroes = bytes(min(sparse.CHUNK, max(0, until - self._end)))
        for start in range(self._end, until, sparse.CHUNK):
            self._sum.update(memoryview(zeroes)[: min(sparse.CHUNK, until - start)])


class _Nowhere:
    """Takes a stream for its digest's sake."""

    def write(self, data: bytes | memoryview) -> int:
        return len(data)


def export_image(
    read: Read,
    extents: list[tuple[int, int]],
    size: int,
    image: Path,
    progress: Progress,
    *,
    holds: str,
    replace: bool = False,
    locked: Check = lambda: None,
) -> Transfer:
    """Make `image`, a file or device, the raw bytes that `read` has; durable on return. `extents`:
    where data can be. The digest is the SHA-256 of all `size` bytes.

    ExistsError when there is something that may not be replaced, and for every device: what is on
    it cannot be told. BusyError when it is in use, InvalidError for a device that is too small.
    """
    require_replaceable(image, replace=replace)
    rows = sparse.aligned(extents, size)
    if image.is_block_device():
        return _onto_device(read, rows, size, image, progress, holds, locked)
    part = image.with_name(f"{image.name}.part")
    with ExitStack() as stack:
        if image.exists():
            stack.enter_context(opened(image, writable=True))  # in use, or nobody's now
        target = stack.enter_context(opened(part, writable=True, create_size=size))
        stack.callback(part.unlink, missing_ok=True)
        locked()
        with errors_as_io(f"writing {image}"):
            os.ftruncate(target, 0)  # of an export that was killed
            os.ftruncate(target, size)
            digest, copied = _Whole(), 0
            for offset, data in pieces(read, rows, size):
                digest.add(offset, data)
                copied += _lay(target, offset, data)
                progress(offset + len(data), size)
            os.fsync(target)
            image_base.forget(image)
            base = image_base.describe(target, holds)
            part.rename(image)
            image_base.sync_folder(image.parent)
        image_base.store(image, base)
    return Transfer(copied, 0, size, digest.finish(size))


def require_replaceable(image: Path, *, replace: bool) -> None:
    """ExistsError for what is there, unless it may be replaced."""
    if image.exists() and not replace:
        lost = "is a device: what is on it would be lost" if image.is_block_device() else "exists"
        raise errors.ExistsError(f"{image} {lost}", hint="to overwrite it: --force")


def _onto_device(
    read: Read,
    rows: list[list[int]],
    size: int,
    device: Path,
    progress: Progress,
    holds: str,
    locked: Check,
) -> Transfer:
    with opened(device, writable=True) as target:
        check_size(device, target, size)
        locked()
        with errors_as_io(f"writing {device}"):
            image_base.forget(device)
            digest, copied, end = _Whole(), 0, 0
            for offset, data in pieces(read, rows, size):
                if offset > end:
                    sparse.zero(target, end, offset - end)
                end = offset + len(data)
                digest.add(offset, data)
                sparse.write_all(target, offset, data)
                copied += len(data)
                progress(end, size)
            if end < size:
                sparse.zero(target, end, size - end)
            os.fsync(target)
            image_base.store(device, image_base.describe(target, holds))
    return Transfer(copied, size - copied, size, digest.finish(size))


def export_changes(
    read: Read,
    extents: npt.NDArray[np.int64],
    size: int,
    image: Path,
    progress: Progress,
    *,
    since: str,
    holds: str,
    locked: Check = lambda: None,
) -> Transfer:
    """Bring `image`, which must hold the snapshot `since`, to `holds` by the bytes at `extents`;
    durable on return. Nothing is done when it holds that already. The digest is that of the same
    changes as an RBD diff, None when there was nothing to do.

    IntegrityError when it is not known to hold `since`, or was written to since it did.
    """
    header = Header(since, holds, size)
    rows = np.asarray(extents, dtype=np.int64).reshape(-1, 2).tolist()
    with opened(image, writable=True) as target:
        check_size(image, target, size)
        locked()
        if holds_already(image, target, header, False):
            return Transfer(0, 0, size)
        with errors_as_io(f"writing {image}"):
            image_base.begin(image, target, since, holds)
            transfer = _changes(read, rows, target, header, progress)
            os.fsync(target)
            image_base.store(image, image_base.describe(target, holds))
    return transfer


def _changes(
    read: Read, rows: list[list[int]], target: int, header: Header, progress: Progress
) -> Transfer:
    stream = Writer(cast(BinaryIO, _Nowhere()), header)
    total = sum(length for _, length in rows)
    copied = zeroed = 0
    for offset, data in pieces(read, rows, header.size):
        for start, length, is_zero in sparse.runs(data):
            if is_zero:
                stream.zero(offset + start, length)
                sparse.zero(target, offset + start, length)
                zeroed += length
            else:
                piece = memoryview(data)[start : start + length]
                stream.data(offset + start, piece)
                sparse.write_all(target, offset + start, piece)
                copied += length
        progress(copied + zeroed, total)
    return Transfer(copied, zeroed, total, stream.finish())


def _lay(target: int, offset: int, data: bytes) -> int:
    """Put what is not zero onto a file that reads as zeroes; bytes written."""
    copied = 0
    for start, length, is_zero in sparse.runs(data):
        if not is_zero:
            sparse.write_all(target, offset + start, memoryview(data)[start : start + length])
            copied += length
    return copied
