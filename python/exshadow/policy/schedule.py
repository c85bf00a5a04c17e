"""When a group is due: five cron fields, within a window, in local time of a zone."""

from __future__ import annotations

from datetime import datetime, time, timedelta

_SEARCHED = 10_000  # cron moments looked at before a window counts as never met


def _bounds(window: str) -> tuple[time, time]:
    begin, _, end = window.partition("-")
    return time.fromisoformat(begin), time.fromisoformat(end)


def inside(moment: datetime, window: str | None) -> bool:
    """May a run start then? A window over midnight has both ends on different days."""
    if window is None:
        return True
    begin, end = _bounds(window)
    now = moment.time()
    if begin <= end:
        return begin <= now < end
    return now >= begin or now < end


def next_run(cron: str, after: datetime, window: str | None = None) -> datetime | None:
    """The first moment after `after` that the cron fields and the window permit, in its zone.

    None: there is none, the window and the fields never meet.
    """
    from croniter import croniter

    moments = croniter(cron, after)
    for _ in range(_SEARCHED):
        moment: datetime = moments.get_next(datetime)
        if inside(moment, window):
            return moment
    return None


def last_due(cron: str, now: datetime, window: str | None = None) -> datetime | None:
    """The newest moment not after `now` at which a run was due."""
    from croniter import croniter

    moments = croniter(cron, now + timedelta(microseconds=1))
    for _ in range(_SEARCHED):
        moment: datetime = moments.get_prev(datetime)
        if inside(moment, window):
            return moment
    return None
