"""Ceph's RBD incremental diff format, version 1: write and read.

Layout, from Ceph's own description (https://docs.ceph.com/en/latest/dev/rbd-diff/); integers are
little-endian:

    "rbd diff v1\\n"
    'f' u32 length, name      from this snapshot      | metadata, before all data, any order;
    't' u32 length, name      to this snapshot        | without 'f': from an image of zeroes
    's' u64 size              size at the end         |
    'w' u64 offset, u64 length, bytes                 | data
    'z' u64 offset, u64 length                        |
    'e'                                               | the end

What ``rbd merge-diff`` asks for beyond that (ceph: src/tools/rbd/action/MergeDiff.cc) is kept by
the writer: offsets ascend, no record is empty, names have at most 4096 bytes. The format has no
checksum; :meth:`Writer.finish` returns the SHA-256 of the stream. Everything streams: memory is
bounded by ``sparse.CHUNK`` whatever a length field says.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from exshadow import errors, sparse

BANNER = b"rbd diff v1\n"
NAME_LIMIT = 4096
_SIZE_LIMIT = 1 << 63
_EXTENT = struct.Struct("<QQ")


@dataclass(frozen=True, slots=True)
class Header:
    """The metadata records. `from_id` None: from an image of zeroes."""

    from_id: str | None
    to_id: str | None
    size: int


@dataclass(frozen=True, slots=True)
class Record:
    """One data record; the bytes of a "w" come from :meth:`Reader.data`."""

    kind: Literal["w", "z"]
    offset: int
    length: int


class Writer:
    """Writes one diff to `file`. Records must ascend; neighbouring zeroes are merged."""

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self._size = header.size
        self._end = 0
        self._zeroes: tuple[int, int] | None = None
        self._digest = hashlib.sha256()
        if not 0 <= header.size < _SIZE_LIMIT:
            raise errors.InvalidError(f"an image cannot have {header.size} bytes")
        named = [(b"f", header.from_id), (b"t", header.to_id)]
        parts = [_name_record(tag, name) for tag, name in named if name is not None]
        self._put(BANNER + b"".join(parts) + b"s" + struct.pack("<Q", header.size))

    def data(self, offset: int, data: bytes | memoryview) -> None:
        self._advance(offset, len(data))
        self._settle()
        self._put(b"w" + _EXTENT.pack(offset, len(data)))
        self._put(data)

    def zero(self, offset: int, length: int) -> None:
        self._advance(offset, length)
        if self._zeroes is not None and sum(self._zeroes) == offset:
            self._zeroes = self._zeroes[0], self._zeroes[1] + length
            return
        self._settle()
        self._zeroes = offset, length

    def finish(self) -> str:
        """Write the end record; returns the SHA-256 of the stream. Flushing is the caller's."""
        self._settle()
        self._put(b"e")
        return self._digest.hexdigest()

    def _advance(self, offset: int, length: int) -> None:
        if length <= 0 or offset < self._end or offset + length > self._size:
            raise errors.InvalidError(
                f"extent {offset}+{length} is empty, out of order or beyond {self._size} bytes"
            )
        self._end = offset + length

    def _settle(self) -> None:
        if self._zeroes is not None:
            self._put(b"z" + _EXTENT.pack(*self._zeroes))
            self._zeroes = None

    def _put(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        write_stream(self._file, data)


def write_stream(file: BinaryIO, data: bytes | memoryview) -> None:
    """Write all of `data`, also to an unbuffered file that takes less at a time."""
    view = memoryview(data)
    while view:
        written = file.write(view)
        view = view[len(view) if written is None else written :]


def _name_record(tag: bytes, name: str) -> bytes:
    text = name.encode()
    if not text or len(text) > NAME_LIMIT or b"/" in text or b"@" in text:
        raise errors.InvalidError(f"{name!r} cannot be the name of a snapshot in a diff")
    return tag + struct.pack("<I", len(text)) + text


class Reader:
    """Reads one diff. The header is read and checked at once.

    Raises InvalidError for what is no diff of version 1 and CorruptError, with the position in the
    stream, for one that is damaged or ends early. Nothing a length field says is allocated.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0
        self._left = 0  # bytes of the current "w" record not yet given out
        self._tag = b""
        self.header = self._read_header()

    def records(self) -> Iterator[Record]:
        """The data records in their order. Bytes of a "w" not asked for are skipped."""
        while self._tag != b"e":
            if self._tag not in (b"w", b"z"):
                raise self._damaged(f"record {self._tag!r} is not known or out of place")
            offset, length = _EXTENT.unpack(self._exactly(_EXTENT.size))
            if length == 0 or offset + length > self.header.size:
                raise self._damaged(f"extent {offset}+{length} in {self.header.size} bytes")
            kind: Literal["w", "z"] = "w" if self._tag == b"w" else "z"
            self._left = length if kind == "w" else 0
            yield Record(kind, offset, length)
            for _ in self.data():
                pass
            self._tag = self._exactly(1)

    def data(self) -> Iterator[bytes]:
        """The bytes of the current "w" record in pieces of at most ``sparse.CHUNK``."""
        while self._left:
            piece = self._exactly(min(self._left, sparse.CHUNK))
            self._left -= len(piece)
            yield piece

    def look_ahead(self) -> bool:
        """Check all records to the end without their bytes, then come back.

        False, having done nothing, where the stream cannot seek. CorruptError as when reading, and
        when something follows the end.
        """
        if not self._file.seekable():
            return False
        start = self._file.tell(), self._position, self._tag
        end = self._file.seek(0, io.SEEK_END)
        self._file.seek(start[0])
        for _ in self.records():
            if self._file.tell() + self._left > end:
                raise self._damaged("the file ends inside a record's data")
            self._file.seek(self._left, io.SEEK_CUR)
            self._position, self._left = self._position + self._left, 0
        if self._file.tell() != end:
            raise self._damaged("something follows the end record")
        self._file.seek(start[0])
        _, self._position, self._tag = start
        return True

    def _read_header(self) -> Header:
        banner = self._file.read(len(BANNER))
        self._position = len(banner)
        if banner != BANNER:
            raise errors.InvalidError(
                "this is not an RBD diff of version 1",
                hint="`rbd export-diff` and `exshadow snapshot export --since` write that format",
            )
        names: dict[bytes, str] = {}
        size: int | None = None
        while (tag := self._exactly(1)) in (b"f", b"t", b"s"):
            if tag in names or (tag == b"s" and size is not None):
                raise self._damaged(f"metadata record {tag!r} is there twice")
            if tag == b"s":
                (size,) = struct.unpack("<Q", self._exactly(8))
            else:
                names[tag] = self._name()
        if size is None or size >= _SIZE_LIMIT:
            raise self._damaged("the image size is missing or absurd")
        self._tag = tag
        return Header(names.get(b"f"), names.get(b"t"), size)

    def _name(self) -> str:
        (length,) = struct.unpack("<I", self._exactly(4))
        if not 0 < length <= NAME_LIMIT:
            raise self._damaged(f"a snapshot name of {length} bytes")
        try:
            return self._exactly(length).decode()
        except UnicodeDecodeError as problem:
            raise self._damaged("a snapshot name is not UTF-8") from problem

    def _exactly(self, length: int) -> bytes:
        pieces = []
        while length:
            piece = self._file.read(length)
            if not piece:
                raise self._damaged("it ends early")
            pieces.append(piece)
            self._position += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _damaged(self, what: str) -> errors.CorruptError:
        return errors.CorruptError(
            f"the RBD diff is damaged at byte {self._position}: {what}",
            hint="fetch or export it again; repeating an import is safe",
        )
