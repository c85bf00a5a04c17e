"""When a group is due: five cron fields, within a window, in local time of a zone.

Fields: ``*``, numbers, ranges, steps (``*/15``, ``8-18/2``), lists of these; names of months and
weekdays; ``l`` for a month's last day. Nothing else that the library reads: its other signs are
drawn anew at each look, or have no like in the timers of the operating system.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

_SEARCHED = 10_000  # cron moments looked at before a window counts as never met


_ITEM = r"(?:\*|{value}(?:-{value})?)(?:/[0-9]{{1,2}})?"
_NUMBER, _NAMED = r"[0-9]{1,2}", r"(?:[0-9]{1,2}|[a-z]{3})"
_FIELDS = (
    ("minute", _ITEM.format(value=_NUMBER)),
    ("hour", _ITEM.format(value=_NUMBER)),
    ("day", rf"(?:{_ITEM.format(value=_NUMBER)}|l)"),
    ("month", _ITEM.format(value=_NAMED)),
    ("weekday", _ITEM.format(value=_NAMED)),
)
_PATTERNS = (
    f"{item}(?:,{item})*".replace("[a-z]", "[A-Za-z]").replace("|l)", "|[lL])")
    for _, item in _FIELDS
)
CRON = "[ \\t]+".join(_PATTERNS)
"""Pattern of the five fields; whether their numbers can be is not in it."""
_ANY_YEARS = datetime(2024, 1, 1, tzinfo=UTC)  # of the years from here one has every date


def checked_cron(text: str) -> str:
    """The fields, when every run and every timer reads them alike. ValueError says what is wrong
    otherwise, also for a day that never comes."""
    from croniter import CroniterError, croniter

    fields = re.split(r"[ \t]+", text.strip(" \t"))
    if len(fields) != len(_FIELDS) or text.startswith("@"):
        raise ValueError("write five cron fields: minute hour day month weekday")
    for (name, item), field in zip(_FIELDS, fields, strict=True):
        if not re.fullmatch(f"{item}(?:,{item})*", field, re.IGNORECASE):
            raise ValueError(f"{name} {field!r} is not understood: {_permitted(name)}")
    try:
        croniter(text)
    except CroniterError as problem:
        raise ValueError(
            f"write five cron fields: minute hour day month weekday ({problem})"
        ) from None
    if next_run(text, _ANY_YEARS) is None:
        raise ValueError("no such day ever comes")
    return text


def _permitted(name: str) -> str:
    more = {"day": ", l for the last", "month": ", jan-dec", "weekday": ", sun-sat"}
    return f"write *, numbers{more.get(name, '')}, with - and / and commas"


def checked_window(window: str, cron: str | None) -> str:
    """The window, when it has a length and some moment of the fields lies in it; ValueError."""
    from croniter import croniter

    begin, end = _bounds(window)
    if begin == end:
        raise ValueError("it begins and ends at the same time: leave it out for the whole day")
    if cron is None:
        return window
    minutes, hours = croniter.expand(cron)[0][:2]
    clock = (
        time(hour, minute)
        for hour in (range(24) if hours == ["*"] else map(int, hours))
        for minute in (range(60) if minutes == ["*"] else map(int, minutes))
    )
    if not any(_within(one, window) for one in clock):
        raise ValueError(f"the schedule {cron!r} has no moment in it: nothing would ever run")
    return window


def _bounds(window: str) -> tuple[time, time]:
    begin, _, end = window.partition("-")
    return time.fromisoformat(begin), time.fromisoformat(end)


def inside(moment: datetime, window: str | None) -> bool:
    """May a run start then? A window over midnight has both ends on different days."""
    if window is None:
        return True
    return _within(moment.time(), window)


def _within(now: time, window: str) -> bool:
    begin, end = _bounds(window)
    if begin <= end:
        return begin <= now < end
    return now >= begin or now < end


def next_run(cron: str, after: datetime, window: str | None = None) -> datetime | None:
    """The first moment after `after` that the cron fields and the window permit, in its zone.

    None: there is none, the window and the fields never meet.
    """
    return _first(cron, after, window, back=False)


def moments(cron: str, after: datetime, window: str | None = None) -> Iterator[datetime]:
    """All that follow."""
    found = next_run(cron, after, window)
    while found is not None:
        yield found
        found = next_run(cron, found, window)


def last_due(cron: str, now: datetime, window: str | None = None) -> datetime | None:
    """The newest moment not after `now` at which a run was due."""
    # By the hands of the clock the sum would be of the first of two hours that are called alike.
    start = (now.astimezone(UTC) + timedelta(microseconds=1)).astimezone(now.tzinfo)
    return _first(cron, start, window, back=True)


def _first(cron: str, start: datetime, window: str | None, *, back: bool) -> datetime | None:
    from croniter import CroniterBadDateError, croniter

    moments = croniter(cron, start)
    step = moments.get_prev if back else moments.get_next
    try:
        for _ in range(_SEARCHED):
            moment: datetime = step(datetime)
            if inside(moment, window):
                return moment
    except CroniterBadDateError:
        return None
    return None
