"""The page as HTML: one file, no script, nothing fetched; light or dark as the reader's system."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from exshadow.names import format_seconds, format_size
from exshadow.policy.planning import moment_of
from exshadow.policy.standing import GroupStatus
from exshadow.report.facts import MANY, Page


def render(page: Page) -> str:
    """The whole document. Every value is escaped."""
    environment = Environment(
        loader=PackageLoader("exshadow", "report/templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": lambda number: format_size(int(number)),
        "span": span,
        "moment": lambda text: f"{moment_of(text).astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        "minute": lambda moment: f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
    }
    return environment.get_template("page.html").render(
        page=page, ticks=_ticks(page.since, page.now), bar=recovery_bar, many_dots=MANY
    )


def span(value: timedelta | float | None) -> str:
    """A length of time for people; a dash where it is not known."""
    if value is None:
        return "–"
    return format_seconds(value.total_seconds() if isinstance(value, timedelta) else value)


def recovery_bar(status: GroupStatus) -> tuple[float, float] | None:
    """Ends of the estimate and of the objective as shares of the bar; None without both."""
    if status.objective is None or status.recovery is None or status.recovery.seconds is None:
        return None
    objective = status.objective.total_seconds()
    whole = max(objective, status.recovery.seconds) * 1.1 or 1.0
    return status.recovery.seconds / whole, objective / whole


def _ticks(since: datetime, now: datetime) -> list[tuple[float, str]]:
    """Five moments along a timeline, as places and texts."""
    length = now - since
    short = length < timedelta(days=2)
    found = []
    for part in range(5):
        moment = (since + length * part / 4).astimezone(UTC)
        found.append((part / 4, f"{moment:%d %b %H:%M}" if short else f"{moment:%d %b %Y}"))
    return found
