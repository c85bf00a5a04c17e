"""Files to be damaged, how they are damaged, and which damage the format cannot show.

What is hidden is decided here by rule, from the description of the format; never by what a
checker says.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from ese_log_maker import RECORD, SEGMENT, SHORT_USED
from ese_sums import ECC_FLAG, ecc_sums, fold, seal_ecc, seal_header, seal_legacy

SECTOR = 512


@dataclass(frozen=True)
class Unit:
    """A piece of a file that is judged as one. ``kind``: header page map segment unprotected."""

    kind: str
    begin: int
    size: int
    number: int = 0

    @property
    def end(self) -> int:
        return self.begin + self.size


@dataclass
class Subject:
    """A sound file. ``records``: places of the checksum records of a log of format 7."""

    name: str
    content: bytes
    units: list[Unit]
    records: list[int] = field(default_factory=list)
    generation: int = 0
    second_kept: bool = True

    def of(self, *kinds: str) -> list[Unit]:
        return [unit for unit in self.units if unit.kind in kinds]


def database(name: str, content: bytes | bytearray, second_kept: bool = True) -> Subject:
    """All pages; a last page without a number is a trailer, judged like a header."""
    size = page_size(content)
    units = [Unit("header", 0, size)]
    units.append(Unit("header" if second_kept else "unprotected", size, size))
    for number in range(1, len(content) // size - 1):
        units.append(Unit("page", (number + 1) * size, size, number))
    last = units[-1]
    page = content[last.begin : last.end]
    if any(page) and not any(page[4:16]):
        units[-1] = Unit("trailer", last.begin, size, last.number)
    return Subject(name, bytes(content), units, second_kept=second_kept)


def page_size(content: bytes | bytearray) -> int:
    return int(struct.unpack_from("<I", content, 236)[0]) or 4096


def streaming(name: str, content: bytes | bytearray) -> Subject:
    data = Unit("unprotected", 8192, len(content) - 8192)
    return Subject(
        name, bytes(content), [Unit("header", 0, 4096), Unit("header", 4096, 4096), data]
    )


def segments(name: str, content: bytes | bytearray) -> Subject:
    (generation,) = struct.unpack_from("<I", content, 4)
    units = [Unit("header", 0, SEGMENT)]
    for number in range(1, len(content) // SEGMENT):
        units.append(Unit("segment", number * SEGMENT, SEGMENT, number))
    return Subject(name, bytes(content), units, generation=generation)


def records(name: str, content: bytes | bytearray, places: list[int]) -> Subject:
    (generation,) = struct.unpack_from("<I", content, 4)
    body = Unit("records", 4096, len(content) - 4096)
    return Subject(name, bytes(content), [Unit("header", 0, 4096), body], places, generation)


def pair_of_headers(name: str, content: bytes | bytearray) -> Subject:
    return Subject(name, bytes(content), [Unit("header", 0, 4096), Unit("header", 4096, 4096)])


def flush_map(name: str, content: bytes | bytearray) -> Subject:
    units = [Unit("header", 0, 8192)]
    for number in range(len(content) // 8192 - 1):
        units.append(Unit("map", (number + 1) * 8192, 8192, number))
    return Subject(name, bytes(content), units)


# --- what the format cannot show ---


def hidden(subject: Subject, new: bytes | bytearray, unit: Unit) -> bool:
    """Whether no reader of this file's bytes could tell that this unit was changed."""
    before, after = subject.content[unit.begin : unit.end], bytes(new[unit.begin : unit.end])
    if before == after or unit.kind == "unprotected":
        return True
    changed = _xor(before, after)
    if unit.kind in ("header", "trailer"):
        return fold(changed) == 0  # XOR32 cannot see two flips in one bit column, nor an older copy
    if unit.kind == "records":
        return _records_hidden(subject, _xor(subject.content, new))
    if unit.kind == "segment":
        return _lies_behind_the_end(subject, new, unit)
    if not any(after) or after in _olders(subject, unit):
        return True  # zeroed: looks never used; an older version: only the logs could tell
    if not any(before) or _is_ecc(before) != _is_ecc(after):
        return False
    if unit.kind == "page" and not _is_ecc(before):
        return fold(changed) == 0 and not any(changed[4:8])
    return _cancels_out(changed, 4 if unit.size >= 16384 else 1)


def _cancels_out(changed: bytes, blocks: int) -> bool:
    """XOR and ECC are linear: they stay the same when the change itself has both of them zero.

    Random damage does not do that. Exchanging two sectors of one block does in half of all cases:
    the columns stay, and every odd word moves by the same distance, so an even count cancels out.
    """
    words = np.frombuffer(changed, "<u4").reshape(blocks, -1).copy()
    stored = [words[0, 10 + 2 * block : 12 + 2 * block].copy() for block in range(blocks - 1)]
    stored.insert(0, words[0, :2].copy())
    words[0, :2] = 0
    return bool((ecc_sums(words, np.zeros(blocks)) == np.array(stored)).all())


def _lies_behind_the_end(subject: Subject, new: bytes | bytearray, unit: Unit) -> bool:
    """Zeroed, or with an older generation's segment again, and nothing of this log follows."""
    after = bytes(new[unit.begin : unit.end])
    if any(after) and after not in _olders(subject, unit):
        before = subject.content[unit.begin : unit.end]
        return any(before) and _cancels_out(_xor(before, after), 1)
    return not any(
        _written_in(new, other) == subject.generation
        for other in subject.of("segment")
        if other.number > unit.number
    )


def _written_in(content: bytes | bytearray, unit: Unit) -> int:
    return int(struct.unpack_from("<I", content, unit.begin + 12)[0])


def _records_hidden(subject: Subject, changed: bytes) -> bool:
    """No record's own fields changed, and what changed under each cancels out in its sums."""
    for at in subject.records:
        before, after = struct.unpack_from("<II", subject.content, at + 1)
        ours = changed[at : at + RECORD]
        several = subject.content[at + 21] == SHORT_USED
        if any(ours[:13]) or ours[21] or (any(ours[17:21]) and not several):
            return False
        end, behind = at + RECORD, fold(changed[at - before : at])
        if fold(changed[end : end + after]) ^ behind ^ fold(ours[13:17]):
            return False
        near = min(end + after, (at // SECTOR + 1) * SECTOR)
        if several and fold(changed[end:near]) ^ behind ^ fold(ours[17:21]):
            return False
    return True


def _is_ecc(page: bytes) -> bool:
    return bool(struct.unpack_from("<I", page, 36)[0] & ECC_FLAG)


def _xor(one: bytes, other: bytes | bytearray) -> bytes:
    number = int.from_bytes(one, "little") ^ int.from_bytes(other, "little")
    return number.to_bytes(len(one), "little")


# --- an older version of a unit, as sound as the present one ---

OLDER_SEEDS = range(2)


def older(subject: Subject, unit: Unit, seed: int = 0) -> bytes:
    """What stood there before; the same for the same seed. Nothing older than a page never used."""
    page = bytearray(subject.content[unit.begin : unit.end])
    if not any(page):
        return bytes(page)
    chance = random.Random(f"{unit.begin}/{seed}")
    begin = 80 + chance.randrange(len(page) - 200)
    page[begin : begin + 120] = chance.randbytes(min(120, len(page) - begin))
    if unit.kind in ("header", "trailer"):
        return bytes(_older_header(subject, unit, chance))
    if unit.kind == "segment":
        if _written_in(subject.content, unit) != subject.generation:
            return bytes(unit.size)
        struct.pack_into("<H", page, 10, unit.number)
        struct.pack_into("<I", page, 12, max(1, subject.generation - 1))
        return bytes(seal_ecc(page, unit.number))
    if unit.kind == "page" and not _is_ecc(page):
        return bytes(seal_legacy(page, unit.number))
    if unit.kind in ("page", "map"):
        return bytes(seal_ecc(page, unit.number))
    return chance.randbytes(unit.size)


def _olders(subject: Subject, unit: Unit) -> list[bytes]:
    return [older(subject, unit, seed) for seed in OLDER_SEEDS]


def _older_header(subject: Subject, unit: Unit, chance: random.Random) -> bytearray:
    """Another change count and time: fields that decide nothing."""
    page = bytearray(subject.content[unit.begin : unit.end])
    page[16:24] = chance.randbytes(8)
    return seal_header(page)


# --- damage ---

Damage = Callable[[Subject, random.Random], bytearray]


def flip_bits(subject: Subject, chance: random.Random) -> bytearray:
    new = bytearray(subject.content)
    unit = chance.choice(subject.units)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        bit = chance.randrange(8 * unit.size)
        new[unit.begin + bit // 8] ^= 1 << bit % 8
    return new


def tear_sectors(subject: Subject, chance: random.Random) -> bytearray:
    """Some sectors of a unit are of an older version of it, or the noise of another file."""
    new = bytearray(subject.content)
    unit = chance.choice(subject.units)
    sectors = unit.size // SECTOR
    if chance.random() < 0.5:
        source = older(subject, unit, chance.choice(OLDER_SEEDS))
    else:
        source = chance.randbytes(unit.size)
    first = chance.randrange(sectors)
    last = chance.randrange(first, sectors) + 1
    new[unit.begin + first * SECTOR : unit.begin + last * SECTOR] = source[
        first * SECTOR : last * SECTOR
    ]
    return new


def swap_units(subject: Subject, chance: random.Random) -> bytearray:
    """Two pages, segments, header copies or sectors change places."""
    new = bytearray(subject.content)
    same = chance.choice([subject.of("page", "trailer"), subject.of("segment"), subject.of("map")])
    if len(same) < 2:
        same = [Unit("sector", at, SECTOR) for at in range(0, len(new) - SECTOR + 1, SECTOR)]
    one, other = chance.sample(same, 2)
    new[one.begin : one.end], new[other.begin : other.end] = (
        subject.content[other.begin : other.end],
        subject.content[one.begin : one.end],
    )
    return new


def zero_run(subject: Subject, chance: random.Random) -> bytearray:
    new = bytearray(subject.content)
    unit = chance.choice(subject.units)
    if chance.random() < 0.3:
        begin, size = unit.begin, unit.size * chance.randrange(1, 4)
    else:
        begin = unit.begin + chance.randrange(unit.size)
        size = chance.choice(
            (chance.randrange(1, 64), SECTOR, chance.randrange(1, 2 * unit.size + 1))
        )
    end = min(begin + size, len(new))
    new[begin:end] = bytes(end - begin)
    return new


def stale_unit(subject: Subject, chance: random.Random) -> bytearray:
    """A whole unit as it was in an older copy of the file."""
    new = bytearray(subject.content)
    unit = chance.choice(subject.units)
    new[unit.begin : unit.end] = older(subject, unit, chance.choice(OLDER_SEEDS))
    return new


DAMAGES: tuple[Damage, ...] = (flip_bits, tear_sectors, swap_units, zero_run, stale_unit)
