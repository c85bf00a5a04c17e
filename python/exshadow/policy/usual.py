"""Whether a value leaves the range that is usual for its group: pure.

The middle half of the earlier values is the measure (Tukey's fences, three times its width), so
that single outliers of the past neither hide nor raise an alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

LEAST = 5
"""Earlier values needed before anything counts as unusual."""
KEPT = 50
"""Newest earlier values that count."""
_WIDTH = 3.0


@dataclass(frozen=True, slots=True)
class Range:
    """What is usual: both ends included."""

    low: float
    high: float

    def has(self, value: float) -> bool:
        """Whether the value is usual."""
        return self.low <= value <= self.high


def usual(earlier: Sequence[float], *, slack: float) -> Range | None:
    """The range of earlier values, oldest first; None while there are too few. ``slack``: a
    distance from them that never matters."""
    kept = list(earlier)[-KEPT:]
    if len(kept) < LEAST:
        return None
    first, _, third = quantiles(kept, n=4, method="inclusive")
    reach = max(_WIDTH * (third - first), slack)
    return Range(first - reach, third + reach)
