"""Which sets are kept: restic's words, and for every set the reasons.

``last``, ``hourly`` ... ``yearly`` keep the newest set of each of the last N hours ... years that
have one; when there are fewer such periods than N, the oldest set is kept as well. ``within...``
are times back from the newest set, not from now: years, months and days by the zone's calendar,
hours as they pass, also where the clock is changed. Where a month back has no such day it is its
last one (restic goes on into the next month, and keeps up to three days less). A set is kept when
any rule wants it. Sets that are pinned and the newest verified one are always kept: the latter
until a newer one is verified. Sets of the future (a clock was or is wrong) are kept and count for
no rule; the newest verified one of all and the newest verified one up to now are both kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta, tzinfo

from exshadow.errors import InvalidError

UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class Span:
    """A time back in calendar units, as restic writes it: ``2y5m7d3h``."""

    years: int = 0
    months: int = 0
    days: int = 0
    hours: int = 0

    def before(self, moment: datetime) -> datetime:
        """The moment that long before, in UTC. Years, months and days are the calendar's of the
        moment's zone, the day cut to the month's last; hours are hours that passed."""
        try:
            return self._day_before(moment).astimezone(UTC) - timedelta(hours=self.hours)
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)

    def _day_before(self, moment: datetime) -> datetime:
        if not (self.years or self.months or self.days):
            return moment  # it knows which of two hours of one name it is in
        month = moment.month - 1 - self.months
        year = moment.year - self.years + month // 12
        month = month % 12 + 1
        if year < 1:
            raise OverflowError
        day = min(moment.day, _days_of_month(year, month))
        start = moment.replace(year=year, month=month, day=day, fold=0)
        return start - timedelta(days=self.days)

    def __str__(self) -> str:
        parts = ((self.years, "y"), (self.months, "m"), (self.days, "d"), (self.hours, "h"))
        return "".join(f"{number}{unit}" for number, unit in parts if number) or "0h"


SPAN = "(?:([0-9]{1,4})y)?(?:([0-9]{1,5})m)?(?:([0-9]{1,6})d)?(?:([0-9]{1,7})h)?"
_SPAN = re.compile(SPAN)


def parse_span(text: str) -> Span:
    """``2y5m7d3h``, units in this order, at least one. InvalidError otherwise."""
    found = _SPAN.fullmatch(text.strip())
    if not found or not any(found.groups()):
        raise InvalidError(f"{text!r} is no time span", hint="write it as 2y5m7d3h, any unit alone")
    years, months, days, hours = (int(part or 0) for part in found.groups())
    if not (years or months or days or hours):
        raise InvalidError(f"{text!r} is no time at all", hint="leave it out to keep none by it")
    return Span(years, months, days, hours)


def _days_of_month(year: int, month: int) -> int:
    following = date(year + month // 12, month % 12 + 1, 1) if year < 9999 or month < 12 else None
    return (following - timedelta(days=1)).day if following else 31


@dataclass(frozen=True, slots=True)
class Keep:
    """The rules. Counts: 0 keeps none by that rule, UNLIMITED (-1) all."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: Span | None = None
    within_hourly: Span | None = None
    within_daily: Span | None = None
    within_weekly: Span | None = None
    within_monthly: Span | None = None
    within_yearly: Span | None = None

    @property
    def empty(self) -> bool:
        """No rule at all: then nothing is ever given up."""
        return all(getattr(self, one.name) in (0, None) for one in fields(self))

    @property
    def most(self) -> int | None:
        """The most sets that the counts want; None where a rule has no number: all, or a span."""
        values = [getattr(self, one.name) for one in fields(self)]
        counts = [one for one in values if isinstance(one, int)]
        spans = [one for one in values if isinstance(one, Span)]
        return None if self.empty or spans or UNLIMITED in counts else sum(counts)


@dataclass(frozen=True, slots=True)
class Held:
    """A set as retention sees it. Times have a zone."""

    id: str
    created: datetime
    verified: bool = False
    pinned_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """``reasons`` to keep it; none: it may be given up."""

    held: Held
    reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Some rule wants it."""
        return bool(self.reasons)

    @property
    def guarded(self) -> bool:
        """Pinned, or the newest verified set: nothing may take its mirror."""
        return any(
            reason.startswith("pinned") or reason == "newest verified" for reason in self.reasons
        )


_Bucket = Callable[[datetime, int], object]


def _by_week(moment: datetime, number: int) -> object:
    return moment.isocalendar()[:2]


_BUCKETS: dict[str, _Bucket] = {
    "last": lambda moment, number: number,
    "hourly": lambda moment, number: (moment.date(), moment.hour),
    "daily": lambda moment, number: moment.date(),
    "weekly": _by_week,
    "monthly": lambda moment, number: (moment.year, moment.month),
    "yearly": lambda moment, number: moment.year,
}


def decide(sets: Iterable[Held], keep: Keep, *, now: datetime, zone: tzinfo = UTC) -> list[Fate]:
    """The fate of every set, newest first. ``zone``: where days and weeks begin.

    With no rule at all every set is kept.
    """
    # Times of one zone would be compared by the hands of its clock, which shows some twice.
    now = now.astimezone(UTC)
    everything = sorted(
        sets, key=lambda held: (held.created.astimezone(UTC), held.id), reverse=True
    )
    ahead = sum(held.created.astimezone(UTC) > now for held in everything)
    every = [["in the future"] if place < ahead else [] for place in range(len(everything))]
    _always(everything, every, keep, now)
    newest_first, reasons = everything[ahead:], every[ahead:]
    moments = [held.created.astimezone(zone) for held in newest_first]
    for name, bucket in _BUCKETS.items():
        _by_count(moments, reasons, name, bucket, getattr(keep, name))
        if name != "last":
            _by_span(moments, reasons, name, bucket, getattr(keep, f"within_{name}"))
    if keep.within is not None and moments:
        edge = keep.within.before(moments[0])
        for moment, why in zip(moments, reasons, strict=True):
            if moment.astimezone(UTC) > edge:
                why.append(f"within {keep.within}")
    return [Fate(held, tuple(why)) for held, why in zip(everything, every, strict=True)]


def _always(sets: list[Held], reasons: list[list[str]], keep: Keep, now: datetime) -> None:
    # With a clock that is or was wrong nobody knows which of the two is the newer one.
    good = [held for held in sets if held.verified]
    past = [held for held in good if held.created.astimezone(UTC) <= now]
    newest = (*good[:1], *past[:1])
    for held, why in zip(sets, reasons, strict=True):
        until = held.pinned_until
        if until is not None and until > now:
            ever = until.year == datetime.max.year
            why.append("pinned for ever" if ever else f"pinned until {until:%Y-%m-%d %H:%M}")
        if held in newest:
            why.append("newest verified")
        if keep.empty:
            why.append("no rule gives up sets")


def _by_count(
    moments: list[datetime], reasons: list[list[str]], name: str, bucket: _Bucket, count: int
) -> None:
    seen: object = None
    left = count
    for number, moment in enumerate(moments):
        if left == 0:
            return
        current = bucket(moment, number)
        oldest = number == len(moments) - 1
        if number and current == seen and not oldest:
            continue
        extra = bool(number) and current == seen
        reasons[number].append(f"oldest {name} set" if extra else _counted(name))
        seen = current
        left -= left > 0


def _counted(name: str) -> str:
    return name if name == "last" else f"{name} set"


def _by_span(
    moments: list[datetime],
    reasons: list[list[str]],
    name: str,
    bucket: _Bucket,
    span: Span | None,
) -> None:
    if span is None or not moments:
        return
    edge = span.before(moments[0])
    seen: object = None
    for number, moment in enumerate(moments):
        if moment.astimezone(UTC) <= edge:
            return
        current = bucket(moment, number)
        oldest = number == len(moments) - 1
        if number and current == seen and not oldest:
            continue
        reasons[number].append(f"{name} within {span}")
        seen = current
