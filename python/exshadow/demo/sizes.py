"""How much the demo builds and writes."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Size:
    """`image_size` in bytes; `rows` make the database; `transactions` per phase."""

    name: str
    image_size: int
    rows: int
    logs: int
    transactions: int


SIZES = {
    "small": Size("small", 24 * MIB, 3_000, 64, 4),
    "full": Size("full", 256 * MIB, 90_000, 400, 25),
}
"""full: a database of some 100 MB."""
