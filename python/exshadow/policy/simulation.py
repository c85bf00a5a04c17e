"""What a policy's schedule, retention and mirrors lead to over days: pure, by the rules of runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo

from exshadow.errors import InvalidError
from exshadow.policy.retention import Held, Keep, decide

_LONGEST = 36_525  # days: a century


@dataclass(frozen=True, slots=True)
class Day:
    """One simulated day: the sets that are there at its end."""

    day: date
    kept: tuple[datetime, ...]


def simulate(
    keep: Keep,
    *,
    start: datetime,
    days: int,
    every: timedelta = timedelta(hours=1),
    made: Iterator[datetime] | None = None,
    mirrors: int | None = None,
    zone: tzinfo = UTC,
    verified: bool = False,
) -> list[Day]:
    """What a policy leads to: a set every so often, or at the moments of ``made``, for N days of
    the zone, given up as the rules say there. With so many ``mirrors`` there is never a set more: a
    new one takes the mirror of one that the rules give up, else of the oldest. ``verified``: every
    set is checked and found good, so that the newest one guards its mirror, as it does in runs."""
    if every < timedelta(minutes=1) or not 1 <= days <= _LONGEST:
        raise InvalidError(
            f"a simulation needs a day at least and {_LONGEST} at most, and a minute between sets",
            hint="--days 60 --every 1h",
        )
    there: list[Held] = []
    found = []
    moments = made if made is not None else _regular(start, every)
    moment = next(moments, None)
    local = start.astimezone(zone)
    for number in range(days):
        end = (local + timedelta(days=number + 1)).astimezone(UTC)  # by the calendar: 23 to 25 h
        while moment is not None and moment < end:
            made_at = moment.astimezone(UTC)
            fresh = Held(made_at.isoformat(), made_at, verified)
            there = _after(there, fresh, keep, mirrors, zone)
            moment = next(moments, None)
        day = (end - timedelta(seconds=1)).astimezone(zone).date()
        found.append(Day(day, tuple(one.created.astimezone(zone) for one in there)))
    return found


def _regular(start: datetime, every: timedelta) -> Iterator[datetime]:
    moment = start.astimezone(UTC)
    while True:
        yield moment
        moment += every


def _after(
    there: list[Held], fresh: Held, keep: Keep, mirrors: int | None, zone: tzinfo
) -> list[Held]:
    """The sets, oldest first, when one more is to be made; the same when no mirror is free."""
    now = fresh.created
    if mirrors is None:
        fates = decide([*there, fresh], keep, now=now, zone=zone)
        return [fate.held for fate in reversed(fates) if fate.kept]
    if len(there) >= mirrors:
        fates = [one for one in decide(there, keep, now=now, zone=zone) if not one.guarded]
        if not fates:
            return there
        taken = min(fates, key=lambda fate: (fate.kept, fate.held.created)).held
        there = [one for one in there if one is not taken]
    return [*there, fresh]
