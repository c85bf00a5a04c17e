"""Log generations in words. They are counted in decimal; names of files have them in hexadecimal,
so whoever looks for the file of generation 17 must be told ``E0000000011.log``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

Run = tuple[int, int]  # first and last generation
_FIELDS = frozenset(
    ("generation", "lowest_required", "highest_required", "highest_committed", "last_full_backup")
)
_MARK_FIELDS = frozenset(("lowest", "highest"))  # of a backup mark
_USUAL_DIGITS = 8
_DIFFER_FROM = 10


def is_generation(field: str) -> bool:
    """Whether a field of a header holds a generation."""
    return field in _FIELDS or field in _MARK_FIELDS


def in_hexadecimal(low: int, high: int) -> str:
    """``0x11-0x13``, ``0x11``; "" where the names show the same digits."""
    if high < _DIFFER_FROM:
        return ""
    return f"0x{low:X}" if low == high else f"0x{low:X}-0x{high:X}"


def spelled(low: int, high: int) -> str:
    """``17-19 (0x11-0x13)``, ``5-7``, ``5``."""
    text = str(low) if low == high else f"{low}-{high}"
    names = in_hexadecimal(low, high)
    return f"{text} ({names})" if names else text


class LogNames:
    """How the logs of one stream are called: as those that are there, else in the newer form.
    ``base`` is empty where nothing tells it: then generations are numbers alone."""

    def __init__(self, base: str, examples: Iterable[str] = ()) -> None:
        self._base = base
        names = [PurePath(path) for path in examples]
        self._digits = max((len(one.stem) - len(base) for one in names), default=_USUAL_DIGITS)
        self._suffix = names[0].suffix if names else ".log"

    def of(self, generation: int) -> str:
        """The file's name."""
        return f"{self._base}{generation:0{self._digits}X}{self._suffix}"

    def spelled(self, runs: Iterable[Run]) -> str:
        """``17 (E0000000011.log), 19-20 (E0000000013.log to E0000000014.log)``."""
        if not self._base:
            return ", ".join(spelled(low, high) for low, high in runs)
        return ", ".join(
            f"{low} ({self.of(low)})"
            if low == high
            else f"{low}-{high} ({self.of(low)} to {self.of(high)})"
            for low, high in runs
        )
