"""The checksums of ESE files, written from the format's description alone, in numpy.

Nothing here is shared with the checker: what both agree on is proved by two readings of the rules.
"""

from __future__ import annotations

import struct

import numpy as np

XOR_SEED = 0x89ABCDEF
ECC_FLAG = 0x2000
PAGE_SIZES = (2048, 4096, 8192, 16384, 32768)


def fold(data: bytes | bytearray | memoryview) -> int:
    """X: the XOR of all little-endian words; a short tail is padded with zero."""
    padded = bytes(data) + b"\0" * (-len(data) % 4)
    return int(np.bitwise_xor.reduce(np.frombuffer(padded, "<u4"))) if padded else 0


def xor32(page: bytes | bytearray) -> int:
    """The sum of a header, checkpoint or trailer: over everything behind its own word."""
    return XOR_SEED ^ fold(bytes(page[4:]))


def seal_header(page: bytearray) -> bytearray:
    struct.pack_into("<I", page, 0, xor32(page))
    return page


def seal_legacy(page: bytearray, number: int) -> bytearray:
    """The form before 2004: XOR32, and the page's own number at byte 4."""
    struct.pack_into("<I", page, 4, number)
    return seal_header(page)


def blocks_of(page_size: int) -> int:
    return 4 if page_size >= 16384 else 1


def ecc_sums(words: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """XOR and ECC words, (n, 2), of blocks given as words (n, m); exempt words are zero already."""
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
    mask = np.uint32(8 * 4 * words.shape[1] - 1)
    high = np.where(bits.astype(bool), low ^ mask, low)
    return np.stack([column ^ numbers.astype(np.uint32), (high << np.uint32(16)) | low], axis=1)


def seal_pages(pages: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Write the checksums of ECC pages, uint8 (n, page size), in place."""
    page_size = pages.shape[1]
    count = blocks_of(page_size)
    words = pages.view("<u4")
    step = words.shape[1] // count
    for block in range(count - 1, 0, -1):
        part = np.ascontiguousarray(words[:, block * step : (block + 1) * step])
        at = 10 + 2 * (block - 1)
        words[:, at : at + 2] = ecc_sums(part, numbers)
    first = words[:, :step].copy()
    first[:, :2] = 0
    words[:, :2] = ecc_sums(first, numbers)
    return pages


def seal_ecc(page: bytearray, number: int) -> bytearray:
    """One ECC page or log segment, in place."""
    whole = np.frombuffer(page, np.uint8).reshape(1, -1)
    seal_pages(whole, np.array([number], np.uint32))
    return page
