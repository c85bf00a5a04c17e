"""Makes logs of both forms, checkpoints and flush maps from the format's description."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

import numpy as np
from ese_maker import LOG_SIGNATURE, log_position, log_time, signature
from ese_sums import ECC_FLAG, fold, seal_ecc, seal_header, xor32

SEGMENT = 4096
LONG_SEED, SHORT_SEED, SHADOW_MARK = 0xFEEDBEAF, 0xDEADC0DE, 0x5AD05EC7
SHORT_USED, SHORT_UNUSED = 0x9A, 0xD1
RECORD = 22


def created_at(generation: int, line: int = 0) -> bytes:
    """When a generation was made. ``line``: another line of time of the same stream."""
    return log_time(generation % 60, day=1 + generation // 60 % 28, year=2005 + line)


@dataclass(frozen=True)
class LogHeader:
    """The fields of a log header that matter to a checker."""

    generation: int
    version: tuple[int, int, int, int] = (8, 4000, 60, 140)
    sector_size: int = SEGMENT
    header_sectors: int = 1
    file_sectors: int = 16
    page_size: int = 32768
    log_signature: bytes = LOG_SIGNATURE
    previous_sum: int = 0
    flags: int = 0
    line: int = 0
    first_ever: bool = False

    def build(self) -> bytearray:
        """The header's sectors, sealed."""
        page = bytearray(4096)
        struct.pack_into("<I", page, 4, self.generation)
        sizes = (self.sector_size, self.header_sectors, self.file_sectors, self.page_size % 65536)
        struct.pack_into("<4H", page, 8, *sizes)
        page[16:24] = created_at(self.generation, self.line)
        if not self.first_ever:
            page[24:32] = created_at(self.generation - 1, self.line)
        struct.pack_into("<III", page, 32, *self.version[:3])
        page[44:72] = self.log_signature
        page[72:90] = b"C:\\exchsrvr\\mdbdat"
        page[639] = self.flags
        page[640:648] = log_position(max(1, self.generation - 3))
        struct.pack_into("<I", page, 648, self.version[3])
        if self.version[3] >= 12:
            struct.pack_into("<Q", page, 653, self.previous_sum)
        if self.version >= (7, 3704, 5, 0):
            struct.pack_into("<I", page, 667, 3)
        page[671:691] = b"attached databases.."
        seal_header(page)
        return page + bytes(self.header_sectors * self.sector_size - len(page))

    @property
    def size(self) -> int:
        return self.file_sectors * self.sector_size


# --- format 8: segments ---


@dataclass(frozen=True)
class Segments:
    """``valid`` None: a full log. ``stale``: generation whose segments fill the rest (recycled)."""

    valid: int | None = None
    shadow: bool = True
    stale: int | None = None
    seed: int = 1


def segment(generation: int, number: int, seed: int) -> bytes:
    """One sealed segment at sector ``number``."""
    noise = np.random.default_rng([seed, generation, number]).integers(0, 256, SEGMENT, np.uint8)
    page = bytearray(noise.tobytes())
    page[8:16] = log_position(generation, number)
    page[16:24] = log_time(number)
    struct.pack_into("<I", page, 36, ECC_FLAG)
    return bytes(seal_ecc(page, number))


def log8(header: LogHeader, body: Segments = Segments()) -> bytearray:
    """A log of segments (Exchange 2013 on)."""
    first, end = header.header_sectors, header.file_sectors
    # The last sector is kept for a shadow: a full log stops one before it.
    valid = end - first - 1 if body.valid is None else body.valid
    whole = header.build()
    for number in range(first, first + valid):
        whole += segment(header.generation, number, body.seed)
    if body.shadow and valid:
        whole += whole[-SEGMENT:]
    for number in range(len(whole) // SEGMENT, end):
        old = body.stale
        whole += segment(old, number, body.seed) if old is not None else bytes(SEGMENT)
    return whole


def segments_sum(log: bytes | bytearray, header: LogHeader) -> int:
    """XOR of the checksums of the valid segments: what the next header states."""
    total = 0
    for number in range(header.header_sectors, header.file_sectors):
        at = number * SEGMENT
        if log[at + 8 : at + 16] == log_position(header.generation, number):
            total ^= struct.unpack_from("<Q", log, at)[0]
    return total


def tear_last(log: bytearray, header: LogHeader) -> bytearray:
    """The last valid segment half written; its shadow stays whole."""
    torn = bytearray(log)
    last = max(
        number
        for number in range(header.header_sectors, header.file_sectors)
        if log[number * SEGMENT + 8 :][:8] == log_position(header.generation, number)
    )
    torn[last * SEGMENT + 2048 : (last + 1) * SEGMENT] = bytes(2048)
    return torn


# --- format 7: checksum records ---


def record7_sums(log: bytes | bytearray, at: int, sector: int, generation: int) -> tuple[int, int]:
    """Checksum and short checksum of the record at a byte, from its own fields."""
    before, after, following = struct.unpack_from("<III", log, at + 1)
    used = log[at + 21]
    end = at + RECORD
    rest = before ^ after ^ following ^ used ^ generation ^ fold(log[at - before : at])
    near = min(end + after, (at // sector + 1) * sector)
    short = SHORT_SEED ^ rest ^ fold(log[end:near]) if used == SHORT_USED else 0
    return LONG_SEED ^ rest ^ fold(log[end : end + after]), short


@dataclass(frozen=True)
class Chain:
    """What a body of format 7 shall look like."""

    writes: int = 12
    shadow: bool = False  # of the last sector, as a crash leaves it
    seed: int = 1


def log7(header: LogHeader, chain: Chain = Chain()) -> tuple[bytearray, list[int]]:
    """A log of checksum records (Exchange 2000 to 2010), and where its records lie."""
    chance, sector = random.Random(f"{chain.seed}/{header.generation}"), header.sector_size
    log = header.build()
    # Noise without byte 42, so that only a true record looks like one.
    noise = chance.randbytes(header.size - len(log))
    places = _places7(header, chain, chance)
    log += noise.replace(b"\x2a", b"\x2b")
    for index, at in enumerate(places):
        following = places[index + 1] - at - RECORD if index + 1 < len(places) else 0
        if not following:
            after = chance.randrange(sector - at % sector - RECORD + 1)
        elif chance.random() < 0.5:
            after = following
        else:  # the start of the next record's sector is covered by that record alone
            after = max(0, following - (at + RECORD + following) % sector)
        several = at % sector + RECORD + after > sector
        struct.pack_into("<BIIIII", log, at, 42, at % sector, after, following, 0, 0)
        log[at + 21] = SHORT_USED if several else SHORT_UNUSED
    for at in places:  # a record covers those before it in its sector, never a later one
        struct.pack_into("<II", log, at + 13, *record7_sums(log, at, sector, header.generation))
    if chain.shadow:
        _shadow7(log, places[-1], sector)
    return log, places


def _places7(header: LogHeader, chain: Chain, chance: random.Random) -> list[int]:
    """Ascending bytes at which records lie, the first right behind the header."""
    sector = header.sector_size
    at = header.header_sectors * sector
    end = header.size - 2 * sector
    places = [at]
    for left in range(chain.writes - 1, 0, -1):
        longest = max(1, (end - at) // left - RECORD)
        near = max(1, sector - at % sector - 2 * RECORD)
        wanted = chance.choice([chance.randrange(longest), chance.randrange(near)])
        at += RECORD + max(1, min(longest, wanted))  # no distance at all would say "the last"
        if at % sector > sector - RECORD:  # no record crosses a sector
            at += sector - at % sector
        places.append(at)
    return places


def _shadow7(log: bytearray, last: int, sector: int) -> None:
    """The last sector once more behind itself, its record's checksum marked."""
    begin = last - last % sector
    copy = bytearray(log[begin : begin + sector])
    (found,) = struct.unpack_from("<I", copy, last - begin + 13)
    struct.pack_into("<I", copy, last - begin + 13, found ^ SHADOW_MARK)
    log[begin + sector : begin + 2 * sector] = copy


# --- beside the logs ---


def checkpoint(generation: int, sector: int = 8, log_signature: bytes = LOG_SIGNATURE) -> bytearray:
    """Two copies of one page."""
    page = bytearray(4096)
    page[4:12] = log_position(max(1, generation - 2))
    page[12:20] = log_position(generation, sector)
    page[20:48] = log_signature
    page[656:664] = log_position(generation, sector)
    struct.pack_into("<I", page, 667, 4)
    seal_header(page)
    return page + page


def flush_map(pages: int = 3, clean: bool = True, lowest: int = 0) -> bytearray:
    """Header and data pages."""
    header = bytearray(8192)
    struct.pack_into("<III", header, 4, 3, 0, 0)
    struct.pack_into("<I", header, 36, int(clean))
    struct.pack_into("<I", header, 64, lowest)
    header[88:116] = signature(11)
    header[116:144] = signature(12)
    struct.pack_into("<I", header, 667, 7)
    whole = seal_header(header)
    for number in range(pages):
        noise = np.random.default_rng(number).integers(0, 256, 8192, np.uint8)
        page = bytearray(noise.tobytes())
        page[8:64] = bytes(56)
        struct.pack_into("<i", page, 16, number)
        struct.pack_into("<I", page, 36, ECC_FLAG)
        whole += seal_ecc(page, number)
    return whole


def is_sealed(page: bytes | bytearray) -> bool:
    """Whether a header's XOR32 fits."""
    return struct.unpack_from("<I", page)[0] == xor32(page)
