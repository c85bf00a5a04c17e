"""Makes ESE databases from the format's description: headers, pages, .stm, trailer."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace

import numpy as np
from ese_sums import ECC_FLAG, seal_header, seal_legacy, seal_pages

MAGIC = 0x89ABCDEF
NEVER, JUST_CREATED, DIRTY, CLEAN, CONVERTING, FORCED, RESEED, PATCHED, REVERT = range(9)
SHADOW_OFF, HAS_STM = 0x01, 0x04


def log_time(second: int = 0, day: int = 1, year: int = 2005) -> bytes:
    """LOGTIME, 8 bytes."""
    return bytes((second % 60, 30, 12, day, 6, year - 1900, 1, 0))


def log_position(generation: int, sector: int = 8, byte: int = 0) -> bytes:
    """LGPOS, 8 bytes."""
    return struct.pack("<HHi", byte, sector, generation)


def signature(random: int, year: int = 2005) -> bytes:
    """SIGNATURE, 28 bytes."""
    return struct.pack("<I", random) + log_time(random % 60, year=year) + b"\0" * 16


def backup_mark(lowest: int, highest: int) -> bytes:
    """BKINFO, 24 bytes."""
    return log_position(highest) + log_time() + struct.pack("<II", lowest, highest)


LOG_SIGNATURE = signature(0x1A2B3C4D)
DATABASE_SIGNATURE = signature(0x5E6F7788)
STM_SIGNATURE = signature(0x0BADCAFE)


@dataclass(frozen=True)
class Header:
    """The fields of a database header that matter to a checker."""

    page_size: int = 4096
    stated_page_size: int | None = None  # 0 means 4096
    state: int = CLEAN
    required: tuple[int, int] = (0, 0)
    committed: int = 0
    revision: int = 0xB
    format: int = 0x620
    streaming: bool = False
    flags: int = 0
    dbtime: int = 100_000
    database_signature: bytes = DATABASE_SIGNATURE
    log_signature: bytes = LOG_SIGNATURE
    stm_signature: bytes = bytes(28)
    repair_count: int = 0
    file_type: int = 0
    current_full: tuple[int, int] = (0, 0)
    previous_full: tuple[int, int] = (0, 0)
    beyond: bytes = b""  # bytes from 672 on, as newer revisions have them

    def build(self) -> bytearray:
        """One copy, sealed."""
        page = bytearray(self.page_size)
        stated = self.page_size if self.stated_page_size is None else self.stated_page_size
        struct.pack_into("<IIIQ", page, 4, MAGIC, self.format, int(self.streaming), self.dbtime)
        page[24:52] = self.database_signature
        struct.pack_into("<I", page, 52, self.state)
        page[56:64] = log_position(max(self.required[0], 1))
        page[64:72] = log_time()
        struct.pack_into("<I", page, 104, 1)
        page[108:136] = self.log_signature
        if self.previous_full != (0, 0):
            page[136:160] = backup_mark(*self.previous_full)
        if self.current_full != (0, 0):
            page[184:208] = backup_mark(*self.current_full)
        struct.pack_into("<II", page, 208, self.flags, 77)
        struct.pack_into(
            "<IIIIIII", page, 216, 5, 2, 3790, 1, self.revision, stated, self.repair_count
        )
        page[252:280] = self.stm_signature
        struct.pack_into("<II", page, 296, *self.required)
        struct.pack_into("<I", page, 416, self.committed)
        struct.pack_into("<I", page, 667, self.file_type)
        page[672 : 672 + len(self.beyond)] = self.beyond
        return seal_header(page)


@dataclass(frozen=True)
class Database:
    """What a database shall hold. ``empty``, ``legacy``: page numbers; the rest are ECC pages."""

    header: Header = field(default_factory=Header)
    second: Header | None = None  # when the copies differ
    pages: int = 40
    empty: frozenset[int] = frozenset()
    legacy: frozenset[int] = frozenset()
    trailer: bytes | None = None
    seed: int = 1

    def build(self) -> bytearray:
        """The bytes of the file."""
        whole = bytearray(self.header.build() + (self.second or self.header).build())
        whole += self.data_pages().tobytes()
        return whole + (self.trailer or b"")

    def data_pages(self) -> np.ndarray:
        """All data pages, uint8 (pages, page size)."""
        size = self.header.page_size
        numbers = np.arange(1, self.pages + 1, dtype=np.uint32)
        pages = np.random.default_rng(self.seed).integers(0, 256, (self.pages, size), np.uint8)
        _page_headers(pages, numbers, self.header.dbtime)
        seal_pages(pages, numbers)
        for number in self.legacy:
            page = bytearray(pages[number - 1].tobytes())
            struct.pack_into("<I", page, 36, 0x0002)
            pages[number - 1] = np.frombuffer(seal_legacy(page, number), np.uint8)
        for number in self.empty:
            pages[number - 1] = 0
        return pages


def _page_headers(pages: np.ndarray, numbers: np.ndarray, dbtime: int) -> None:
    words = pages.view("<u4")
    words[:, 2:10] = 0
    words[:, 2] = dbtime - numbers.astype(np.int64) % 1000
    words[:, 4] = numbers - 1
    words[:, 5] = numbers + 1
    words[:, 6] = 10 + numbers % 7
    words[:, 8] = 0x0010_0000
    words[:, 9] = ECC_FLAG | 0x0802
    if pages.shape[1] >= 16384:
        words[:, 10:20] = 0
        words[:, 16] = numbers


def all_legacy(pages: int) -> frozenset[int]:
    return frozenset(range(1, pages + 1))


def trailer(
    page_size: int,
    lowest: int,
    highest: int,
    *,
    database: bytes = DATABASE_SIGNATURE,
    log: bytes = LOG_SIGNATURE,
) -> bytes:
    """The page that ends the image of a streaming backup (4.7)."""
    page = bytearray(page_size)
    page[40:64] = backup_mark(lowest, highest)
    page[64:92] = database
    page[92:120] = log
    struct.pack_into("<III", page, 120, lowest, highest, highest)
    page[132:148] = log_time() + log_time(1)
    return bytes(seal_header(page))


def streaming_pair(
    header: Header, pages: int, stm_pages: int, seed: int = 7
) -> tuple[bytearray, bytearray]:
    """A database of Exchange 2000/2003 and its streaming file."""
    ours = replace(header, flags=header.flags | HAS_STM, stm_signature=STM_SIGNATURE)
    legacy = all_legacy(pages) if header.revision < 0xB else frozenset(range(1, pages + 1, 3))
    database = Database(ours, pages=pages, legacy=legacy, empty=frozenset({pages - 1}), seed=seed)
    theirs = replace(
        header,
        streaming=True,
        database_signature=STM_SIGNATURE,
        file_type=2 if header.file_type else 0,
    )
    data = np.random.default_rng(seed).integers(0, 256, stm_pages * 4096, np.uint8)
    copy = bytes(theirs.build())
    return database.build(), bytearray(copy + copy + data.tobytes())


def temporary(page_size: int = 8192, pages: int = 30) -> bytearray:
    """JustCreated, no second copy kept, checksums of the pages not kept up."""
    header = Header(page_size, state=JUST_CREATED, flags=SHADOW_OFF, file_type=1)
    database = Database(header, pages=pages, empty=frozenset({3})).build()
    for page in range(2, pages, 2):
        database[(page + 1) * page_size + 100] ^= 0xFF
    return database
