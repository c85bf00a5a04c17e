"""Raw images out of a snapshot and onto another image: sparse, streaming, restartable.

Offsets, lengths and sizes are bytes; memory is bounded by ``sparse.CHUNK``. What an image holds
afterwards stands in the record beside it (:mod:`exshadow.image_base`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from exshadow import errors, image_base, sparse
from exshadow.image_files import check_size, errors_as_io, opened
from exshadow.rbd_format import write_stream

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all)."""

Read = Callable[[int, int], bytes]
"""Called with (offset, length), answers exactly that many bytes."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """What an export or import moved, in bytes. `sha256` is of the whole stream, of an image
    file that of ``sparse.Digest`` (exports only)."""

    bytes_copied: int
    bytes_zeroed: int
    bytes_total: int
    sha256: str | None = None


def export_full(
    read: Read,
    size: int,
    target: str | os.PathLike[str] | BinaryIO,
    progress: Progress | None = None,
    *,
    holds: str | None = None,
    extents: list[tuple[int, int]] | None = None,
) -> Transfer:
    """Write all `size` bytes that `read` has as a raw image, holes for zeroes.

    A path must not exist yet (ExistsError); the file appears under its name when it is complete and
    durable, with the record that it holds the snapshot `holds`. A stream gets the zeroes spelled
    out and no record. `extents` says where data can be (``sparse.data_extents`` of the snapshot's
    own file); everything outside reads as zeroes.
    """
    rows = sparse.aligned([(0, size)] if extents is None else extents, size)
    if not isinstance(target, str | os.PathLike):
        with errors_as_io("writing the image"):
            return _full_to_stream(read, rows, size, target, progress)
    path = Path(target)
    if path.exists():
        raise errors.ExistsError(f"{path} exists already", hint="choose another folder")
    part = path.with_name(path.name + ".part")
    with errors_as_io(f"writing {path}"):
        image_base.forget(path)
        try:
            with part.open("wb", buffering=0) as file:
                file.truncate(size)
                transfer = _full_to_file(read, rows, size, file.fileno(), progress)
                os.fsync(file.fileno())
                base = image_base.describe(file.fileno(), holds)
            part.rename(path)
            image_base.sync_folder(path.parent)
        finally:
            part.unlink(missing_ok=True)
    if holds is not None:
        image_base.store(path, base)
    return transfer


def _full_to_file(
    read: Read, rows: list[list[int]], size: int, descriptor: int, progress: Progress | None
) -> Transfer:
    """Write onto a file that reads as zeroes; the digest is that of ``sparse.Digest``."""
    copied, digest = 0, sparse.Digest()
    for offset, data in pieces(read, rows, size):
        digest.add(offset, data)
        for start, length, is_zero in sparse.runs(data):
            if not is_zero:
                sparse.write_all(descriptor, offset + start, data[start : start + length])
                copied += length
        if progress is not None:
            progress(offset + len(data), size)
    return Transfer(copied, 0, size, digest.finish(size))


def _full_to_stream(
    read: Read, rows: list[list[int]], size: int, file: BinaryIO, progress: Progress | None
) -> Transfer:
    copied, end, digest = 0, 0, hashlib.sha256()

    def put(data: bytes) -> None:
        digest.update(data)
        write_stream(file, data)

    def fill(until: int) -> None:
        for start in range(end, until, sparse.CHUNK):
            put(bytes(min(sparse.CHUNK, until - start)))

    for offset, data in pieces(read, rows, size):
        fill(offset)
        put(data)
        copied, end = copied + len(data), offset + len(data)
        if progress is not None:
            progress(end, size)
    fill(size)
    file.flush()
    return Transfer(copied, size - copied, size, digest.hexdigest())


def import_full(
    source: str | os.PathLike[str],
    image: str | os.PathLike[str],
    progress: Progress | None = None,
    *,
    holds: str | None = None,
    digest: str | None = None,
    locked: Callable[[], None] = lambda: None,
) -> Transfer:
    """Copy the raw image `source` onto `image`, a new file, one of the same size, or a device.

    What the copy holds is `holds`, else what the record beside `source` says, if that is still
    believed. Until the copy is durable `image` has no record, so an interrupted import is repeated.
    `digest` (``sparse.Digest``) is checked before the first byte is written; so is `locked` called,
    once nobody else can begin to use `image`. NotFoundError, InvalidError (sizes), BusyError (in
    use), IntegrityError (`source` is damaged, or half of an import itself).
    """
    source, image = Path(source), Path(image)
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(opened(source, writable=False))
        size = os.lseek(origin, 0, os.SEEK_END)
        record = image_base.load(source)
        if holds is None and record is not None:
            holds = _believed(source, record, origin)
        _refuse_same(origin, image)
        if digest is not None:
            _check_digest(source, origin, size, digest, progress)
        target = stack.enter_context(opened(image, writable=True, create_size=size))
        check_size(image, target, size)
        locked()
        with errors_as_io(f"importing onto {image}"):
            image_base.forget(image)
            transfer = _copy_image(source, origin, target, size, progress)
            os.fsync(target)
            base = image_base.describe(target, holds)
    if holds is not None:
        image_base.store(image, base)
    return transfer


def _check_digest(
    source: Path, origin: int, size: int, expected: str, progress: Progress | None
) -> None:
    """CorruptError when the image is not the one that was exported."""
    digest = sparse.Digest()
    rows = sparse.aligned(sparse.data_extents(source), size)
    with errors_as_io(f"reading {source}"):
        for offset, data in pieces(lambda at, length: os.pread(origin, length, at), rows, size):
            digest.add(offset, data)
            if progress is not None:
                progress(0, size)  # may stop it
    if digest.finish(size) != expected:
        raise errors.CorruptError(
            f"{source} is not the image that was exported: its digest differs",
            hint="export the set again; nothing was written",
        )


def _believed(source: Path, record: image_base.Base, descriptor: int) -> str | None:
    if record.importing is not None:
        raise errors.IntegrityError(
            f"{source} is in the middle of an import of {record.importing}",
            hint="repeat that import first",
        )
    return record.holds if image_base.unchanged(record, descriptor) else None


def _refuse_same(origin: int, image: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(origin), image.stat()):
            raise errors.InvalidError(f"{image} is the very image to be imported")


def _copy_image(
    source: Path, origin: int, target: int, size: int, progress: Progress | None
) -> Transfer:
    """Make `target` equal to `source`: holes and zeroes become holes."""
    copied = end = 0

    def read(offset: int, length: int) -> bytes:
        return os.pread(origin, length, offset)

    rows = [list(row) for row in sparse.data_extents(source)]
    for offset, data in pieces(read, rows, size):
        if offset > end:
            sparse.zero(target, end, offset - end)
        end = offset + len(data)
        copied += _lay(target, offset, data)
        if progress is not None:
            progress(end, size)
    if end < size:
        sparse.zero(target, end, size - end)
    return Transfer(copied, size - copied, size)


def _lay(target: int, offset: int, data: bytes) -> int:
    """Put `data` at `offset`; returns the bytes written, zeroes become holes."""
    copied = 0
    for start, length, is_zero in sparse.runs(data):
        if is_zero:
            sparse.zero(target, offset + start, length)
        else:
            sparse.write_all(target, offset + start, data[start : start + length])
            copied += length
    return copied


def pieces(read: Read, rows: list[list[int]], size: int) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of all extents, at most ``sparse.CHUNK`` at a time."""
    for offset, length in rows:
        if offset < 0 or length <= 0 or offset + length > size:
            raise errors.InvalidError(f"extent {offset}+{length} is not within {size} bytes")
        for start in range(offset, offset + length, sparse.CHUNK):
            yield start, read_exactly(read, start, min(sparse.CHUNK, offset + length - start))


def read_exactly(read: Read, offset: int, length: int) -> bytes:
    """What `read` gives; IoError when it gives more or less than was asked for."""
    data = read(offset, length)
    if len(data) != length:
        raise errors.IoError(f"read {len(data)} of {length} bytes at {offset}")
    return data
