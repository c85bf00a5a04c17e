"""What must be in volumes and snapshots after a kill: blocks that name themselves, and a model."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

BLOCK = 4096
WRITERS = 2
SIZES = (64 << 20, 16 << 20)  # of the two volumes of the group

_RECORD = struct.Struct("<cBBxIQ")
_NAME = struct.Struct("<8sIIQQ")

Image = npt.NDArray[np.uint8]


class Kind(enum.Enum):
    """What a record of the child tells."""

    READY = b"R"
    BEGUN = b"b"  # a write is about to be made
    ANSWERED = b"a"  # it was answered
    WORK_BEGUN = b"w"
    WORK_DONE = b"W"
    PROGRESS = b"p"  # sequence: bytes settled by the first job


def pack(kind: Kind, writer: int, volume: int, block: int, sequence: int) -> bytes:
    return _RECORD.pack(kind.value, writer, volume, block, sequence)


def block_bytes(volume: int, block: int, sequence: int) -> bytes:
    """4 KiB that say which write made them."""
    return _NAME.pack(b"exshadow", volume, block, sequence, ~sequence & (1 << 64) - 1) * 128


def sequence_of(content: bytes, volume: int, block: int) -> int | None:
    """Which write made these bytes: None when no single one did."""
    sequence = int(_NAME.unpack(content[: _NAME.size])[3])
    return sequence if content == block_bytes(volume, block, sequence) else None


@dataclass(frozen=True)
class Write:
    writer: int
    volume: int
    block: int
    sequence: int


@dataclass
class Report:
    """What the child told before it died. Writes are in each writer's order."""

    writes: list[list[Write]] = field(default_factory=lambda: [[] for _ in range(WRITERS)])
    answered: list[int] = field(default_factory=lambda: [0] * WRITERS)
    before_work: list[int] = field(default_factory=lambda: [0] * WRITERS)  # answered by then
    until_done: list[int] | None = None  # begun when the work was done
    progress: int = 0
    work_begun: bool = False

    @property
    def work_done(self) -> bool:
        return self.until_done is not None

    @staticmethod
    def read(data: bytes) -> Report:
        report = Report()
        whole = len(data) - len(data) % _RECORD.size
        for letter, writer, volume, block, sequence in _RECORD.iter_unpack(data[:whole]):
            match Kind(letter):
                case Kind.BEGUN:
                    report.writes[writer].append(Write(writer, volume, block, sequence))
                case Kind.ANSWERED:
                    report.answered[writer] += 1
                case Kind.WORK_BEGUN:
                    report.work_begun = True
                    report.before_work = list(report.answered)
                case Kind.WORK_DONE:
                    report.until_done = [len(writes) for writes in report.writes]
                case Kind.PROGRESS:
                    report.progress = sequence
                case Kind.READY:
                    pass
        return report


class Model:
    """The bytes of production and of the snapshot, of each volume."""

    def __init__(self, images: Sequence[Image]) -> None:
        self.production = list(images)
        self.snapshot: list[Image] = []
        self.sequence = 1  # of the next write

    def settle(self, report: Report, read: Callable[[Write], bytes]) -> None:
        """Production after the kill: all that was answered; of what was under way all or nothing.

        `read` says what is now where a write went to.
        """
        last: dict[tuple[int, int], Write] = {}
        under_way: set[Write] = set()
        for writes, answered in zip(report.writes, report.answered, strict=True):
            assert len(writes) - answered in (0, 1)
            for number, write in enumerate(writes):
                if number < answered:
                    last[write.volume, write.block] = write
                else:
                    under_way.add(write)
                self.sequence = max(self.sequence, write.sequence + 1)
        for write in under_way:
            if read(write) == block_bytes(write.volume, write.block, write.sequence):
                last[write.volume, write.block] = write
        for write in last.values():
            self.put(self.production, write)

    @staticmethod
    def put(images: Sequence[Image], write: Write) -> None:
        content = block_bytes(write.volume, write.block, write.sequence)
        place = slice(write.block * BLOCK, (write.block + 1) * BLOCK)
        images[write.volume][place] = np.frombuffer(content, np.uint8)

    def cut(self, before: Sequence[Image], report: Report, found: Sequence[Image]) -> None:
        """Take over a snapshot made under writes; it must be one cut through all volumes.

        Of each writer it holds the first K writes and none after them, whatever volume they went
        to; K covers what was answered before the split was asked for, and nothing that began after
        it had been announced. `before` is production when the child began.
        """
        expected = [image.copy() for image in before]
        for writer, writes in enumerate(report.writes):
            end = report.until_done[writer] if report.until_done else len(writes)
            count = first_missing(writes, found)
            assert count >= report.before_work[writer], "an answered write is not in the snapshot"
            assert count <= end, "the snapshot holds a write that began after it was announced"
            for write in writes[:count]:
                self.put(expected, write)
        assert_equal(found, expected, "snapshot: it is no cut")
        self.snapshot = expected


def first_missing(writes: Sequence[Write], found: Sequence[Image]) -> int:
    """How many of a writer's writes are in a snapshot if it is a cut at all."""
    newest = {(write.volume, write.block): -1 for write in writes}
    number_of = {write.sequence: number for number, write in enumerate(writes)}
    for volume, block in newest:
        content = found[volume][block * BLOCK : (block + 1) * BLOCK].tobytes()
        sequence = sequence_of(content, volume, block)
        newest[volume, block] = number_of.get(sequence, -1) if sequence is not None else -1
    return max(newest.values(), default=-1) + 1


def load(path: str | Path) -> Image:
    """The bytes of a file, without copying them."""
    return np.memmap(path, np.uint8, mode="r")


def assert_equal(found: Iterable[Image], expected: Iterable[Image], what: str) -> None:
    for number, (left, right) in enumerate(zip(found, expected, strict=True)):
        if np.array_equal(left, right):
            continue
        different = np.flatnonzero(left != right)
        block = int(different[0]) // BLOCK
        place = slice(block * BLOCK, (block + 1) * BLOCK)
        names = [sequence_of(side[place].tobytes(), number, block) for side in (left, right)]
        raise AssertionError(
            f"{what}: volume {number} differs in {len(different)} bytes, first at {different[0]}: "
            f"block {block} holds write {names[0]}, not {names[1]}"
        )
