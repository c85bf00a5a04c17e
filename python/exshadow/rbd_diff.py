"""Snapshots out to files and back: Ceph's RBD diffs with changes only, and full images.

The format itself is :mod:`exshadow.rbd_format`, full images are :mod:`exshadow.raw_image`. Names in
a diff are ids of one volume's snapshot (:func:`snapshot_id`). An image outside the mirror carries a
record of what it holds (:mod:`exshadow.image_base`); a diff is applied only onto its own base, and
an interrupted import is repeated. Nothing is written before the header is known to be sound, nor,
where the stream can seek, before every record is.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from exshadow import errors, image_base, sparse
from exshadow.image_files import check_size, errors_as_io, opened
from exshadow.raw_image import Progress, Read, Transfer, export_full, import_full, pieces
from exshadow.rbd_format import Header, Reader, Writer

__all__ = [
    "Progress",
    "Read",
    "Transfer",
    "errors_as_io",
    "export_diff",
    "export_full",
    "import_diff",
    "import_full",
    "snapshot_id",
]


def snapshot_id(set_id: str, volume: str) -> str:
    """The name of one volume's member of a set, as it stands in diffs and in records of images.

    A set id alone would let the diff of one volume onto the image of another. Ceph takes the text
    as a snapshot name: no "/" and no "@".
    """
    return f"{set_id}.{volume}"


def export_diff(
    read: Read,
    extents: npt.NDArray[np.int64],
    size: int,
    from_id: str | None,
    to_id: str,
    file: BinaryIO,
    progress: Progress | None = None,
) -> Transfer:
    """Write what `read` has at `extents` as a diff that leads from `from_id` to `to_id`.

    `extents` is an (n, 2) array of offset and length, sorted and disjoint, as ``changed()`` gives.
    `file` is flushed, making it durable is the caller's. InvalidError for extents that are none,
    IoError when `read` or `file` fails.
    """
    rows = np.asarray(extents, dtype=np.int64).reshape(-1, 2).tolist()
    total = sum(length for _, length in rows)
    copied = zeroed = 0
    with errors_as_io("writing the diff"):
        writer = Writer(file, Header(from_id, to_id, size))
        for offset, data in pieces(read, rows, size):
            for start, length, is_zero in sparse.runs(data):
                if is_zero:
                    writer.zero(offset + start, length)
                    zeroed += length
                else:
                    writer.data(offset + start, memoryview(data)[start : start + length])
                    copied += length
            if progress is not None:
                progress(copied + zeroed, total)
        digest = writer.finish()
        file.flush()
    return Transfer(copied, zeroed, total, digest)


def import_diff(
    file: BinaryIO,
    image: str | os.PathLike[str],
    progress: Progress | None = None,
    *,
    sha256: str | None = None,
    force: bool = False,
    locked: Callable[[], None] = lambda: None,
) -> Transfer:
    """Apply a diff to `image`, which must hold the diff's base; durable on return.

    IntegrityError (``mismatch``) when the record of `image` names another base, is missing, or the
    image was written to since; with `force` the caller vouches for an image that has no record or
    was written to. A diff without a base makes a new image. Importing what `image` holds already
    does nothing. Before the first byte the record says what is being imported: when interrupted,
    the same import is repeated and no other is accepted. `sha256` of the whole diff is checked
    before anything is written; the stream must be able to seek for that (InvalidError). `locked`
    is called before the first byte is written, once nobody else can begin to use `image`.
    """
    image = Path(image)
    with errors_as_io("reading the diff"):
        if sha256 is not None:
            _check_digest(file, sha256)
        reader = Reader(file)
        reader.look_ahead()
    header = reader.header
    if header.to_id is None:
        raise errors.InvalidError(
            "the diff does not name the snapshot it leads to",
            hint="export a snapshot, not the head",
        )
    new_size = header.size if header.from_id is None else None
    if new_size is not None and not image.exists():
        image_base.forget(image)  # of a file that is gone
    with opened(image, writable=True, create_size=new_size) as target:
        check_size(image, target, header.size)
        locked()
        if holds_already(image, target, header, force):
            return Transfer(0, 0, header.size)
        with errors_as_io(f"importing onto {image}"):
            image_base.begin(image, target, header.from_id, header.to_id)
            transfer = _apply(reader, target, progress)
            os.fsync(target)
            image_base.store(image, image_base.describe(target, header.to_id))
    return transfer


def _check_digest(file: BinaryIO, expected: str) -> None:
    if not file.seekable():
        raise errors.InvalidError("the digest of a diff can be checked only in a file")
    start = file.tell()
    digest = hashlib.sha256()
    while piece := file.read(sparse.CHUNK):
        digest.update(piece)
    file.seek(start)
    if digest.hexdigest() != expected:
        raise errors.CorruptError("the diff is not the one that was exported: its SHA-256 differs")


def holds_already(image: Path, target: int, header: Header, force: bool) -> bool:
    """Whether there is nothing to do; IntegrityError when the diff does not fit."""
    record = image_base.load(image)
    if record is None:
        if force or (header.from_id is None and _is_empty(image)):
            return False
        raise _mismatch(f"nothing says what {image} holds", "import its full VOLUME.img first")
    if record.importing is not None:
        if (record.holds, record.importing) == (header.from_id, header.to_id):
            return False
        raise _mismatch(
            f"{image} is in the middle of an import of {record.importing}",
            "repeat that import, or import a full VOLUME.img",
        )
    if record.holds not in (header.from_id, header.to_id):
        raise _mismatch(
            f"{image} holds {record.holds}, the diff starts from {header.from_id or 'zeroes'}",
            "export since what the image holds, or import a full VOLUME.img",
        )
    if not image_base.unchanged(record, target) and not force:
        raise _mismatch(
            f"{image} was written to since it held {record.holds}, or is another file",
            "import a full VOLUME.img; force when only its time is new, as after a plain copy",
        )
    return record.holds == header.to_id


def _mismatch(message: str, hint: str) -> errors.IntegrityError:
    return errors.IntegrityError(message, hint=hint)


def _is_empty(image: Path) -> bool:
    return image.is_file() and not sparse.data_extents(image)


def _apply(reader: Reader, target: int, progress: Progress | None) -> Transfer:
    copied = zeroed = 0
    size = reader.header.size
    for record in reader.records():
        if record.kind == "z":
            sparse.zero(target, record.offset, record.length)
            zeroed += record.length
        else:
            position = record.offset
            for piece in reader.data():
                sparse.write_all(target, position, piece)
                position += len(piece)
            copied += record.length
        if progress is not None:
            progress(record.offset + record.length, size)
    return Transfer(copied, zeroed, size)
