"""Files as a mail server of the ESE kind keeps them: a database that needs its logs, and the logs.

Made from the format's description, for no real ones may be given away; the pages are noise with
right checksums. What judges them knows nothing of this module.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PAGE, SEGMENT = 32768, 4096
BASE = "E00"
_SEED = 0x89ABCDEF
_MAGIC = 0x89ABCDEF
_DIRTY = 2
_ECC = 0x2000
_LOG_SECTORS = 16
_BLOCKS = 4  # of a large page, each with checksums of its own

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class MailServer:
    """`pages` of the database; `required`: first and last log that it needs."""

    pages: int = 64
    required: tuple[int, int] = (6, 11)

    def database(self) -> bytes:
        """Dirty: its last changes are in the logs alone."""
        numbers = np.arange(1, self.pages + 1, dtype=np.uint32)
        noise = np.random.default_rng(7).integers(0, 256, (self.pages, PAGE), np.uint8)
        words = noise.view("<u4")
        words[:, 2:20] = 0
        words[:, 2], words[:, 4], words[:, 5] = 100_000, numbers - 1, numbers + 1
        words[:, 6], words[:, 8], words[:, 9] = 11, 0x0010_0000, _ECC | 0x0802
        words[:, 16] = numbers
        _seal_large(words, numbers)
        header = self._header()
        return header + header + noise.tobytes()

    def _header(self) -> bytes:
        page = bytearray(PAGE)
        struct.pack_into("<IIIQ", page, 4, _MAGIC, 0x620, 0, 100_000)
        page[24:52] = _signature(0x5E6F7788)
        struct.pack_into("<I", page, 52, _DIRTY)
        page[56:72] = _position(self.required[0], 8) + _time(0)
        struct.pack_into("<I", page, 104, 1)
        page[108:136] = _signature(_STREAM)
        struct.pack_into("<IIIIIII", page, 216, 5, 2, 3790, 1, 0x14, PAGE, 0)
        struct.pack_into("<II", page, 296, *self.required)
        struct.pack_into("<I", page, 416, self.required[1])
        struct.pack_into("<I", page, 667, 1)
        return _sealed(page)

    def logs(self, first: int, current: int) -> dict[str, bytes]:
        """By name; the last one is the current. Each header states the sum of the log before."""
        found: dict[str, bytes] = {}
        total = 0
        for generation in range(1, current + 1):
            content, following = _log(generation, total, generation == current)
            name = f"{BASE}.log" if generation == current else f"{BASE}{generation:08X}.log"
            if generation >= first:
                found[name] = content
            total = following
        return found

    def checkpoint(self) -> bytes:
        """Two copies of one page."""
        first = self.required[0]
        page = bytearray(SEGMENT)
        page[4:20] = _position(first - 1, 8) + _position(first, 8)
        page[20:48] = _signature(_STREAM)
        page[656:664] = _position(first, 8)
        struct.pack_into("<I", page, 667, 4)
        return _sealed(page) * 2


_STREAM = 0x1A2B3C4D


def _log(generation: int, before: int, current: bool) -> tuple[bytes, int]:
    """The log, and the XOR of its segments' checksums. The current one is a third full."""
    page = bytearray(SEGMENT)
    struct.pack_into("<I4H", page, 4, generation, SEGMENT, 1, _LOG_SECTORS, PAGE)
    page[16:24] = _time(generation)
    if generation > 1:
        page[24:32] = _time(generation - 1)
    struct.pack_into("<III", page, 32, 8, 4000, 60)
    page[44:72] = _signature(_STREAM)
    page[640:648] = _position(max(1, generation - 3), 8)
    struct.pack_into("<IB", page, 648, 140, 0)
    struct.pack_into("<Q", page, 653, before)
    struct.pack_into("<I", page, 667, 3)
    whole, total = _sealed(page), 0
    filled = 5 if current else _LOG_SECTORS - 2
    for number in range(1, filled + 1):
        part = _segment(generation, number)
        total ^= int.from_bytes(part[:8], "little")
        whole += part
    return whole.ljust(_LOG_SECTORS * SEGMENT, b"\0"), total


def _segment(generation: int, number: int) -> bytes:
    noise = np.random.default_rng([generation, number]).integers(0, 256, SEGMENT, np.uint8)
    page = bytearray(noise.tobytes())
    page[8:24] = _position(generation, number) + _time(number)
    struct.pack_into("<I", page, 36, _ECC)
    words = np.frombuffer(page, "<u4").reshape(1, -1)
    words[:, :2] = 0
    words[:, :2] = _sums(words, np.array([number], np.uint32))
    return bytes(page)


# --- checksums ---


def _seal_large(words: npt.NDArray[np.uint32], numbers: Words) -> None:
    """The four blocks of each page, the first last: it covers the others' sums."""
    step = words.shape[1] // _BLOCKS
    for block in range(_BLOCKS - 1, 0, -1):
        at = 10 + 2 * (block - 1)
        words[:, at : at + 2] = _sums(words[:, block * step : (block + 1) * step], numbers)
    first = words[:, :step].copy()
    first[:, :2] = 0
    words[:, :2] = _sums(first, numbers)


def _sums(words: npt.NDArray[np.uint32], numbers: Words) -> Words:
    """XOR and ECC of each row; the words of the sums themselves are zero."""
    column = np.bitwise_xor.reduce(words, axis=1)
    parity = words.copy()
    for shift in (16, 8, 4, 2, 1):
        parity ^= parity >> np.uint32(shift)
    odd = (parity & np.uint32(1)).astype(bool)
    places = np.arange(words.shape[1], dtype=np.uint32) * np.uint32(32)
    low = np.bitwise_xor.reduce(np.where(odd, places, np.uint32(0)), axis=1)
    bits = np.zeros(len(words), np.uint32)
    for bit in range(32):
        seen = (column >> np.uint32(bit)) & np.uint32(1)
        low ^= seen * np.uint32(bit)
        bits ^= seen
    high = np.where(bits.astype(bool), low ^ np.uint32(32 * words.shape[1] - 1), low)
    return np.stack([column ^ numbers, (high << np.uint32(16)) | low], axis=1)


def _sealed(page: bytearray) -> bytes:
    words = np.frombuffer(bytes(page[4:]), "<u4")
    struct.pack_into("<I", page, 0, _SEED ^ int(np.bitwise_xor.reduce(words)))
    return bytes(page)


def _time(second: int) -> bytes:
    return bytes((second % 60, second // 60 % 60, 12, 1, 6, 105, 1, 0))


def _position(generation: int, sector: int) -> bytes:
    return struct.pack("<HHi", 0, sector, generation)


def _signature(random: int) -> bytes:
    return struct.pack("<I", random) + _time(random) + b"\0" * 16
