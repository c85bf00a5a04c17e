"""Retention: restic's documented examples, and a plain reference over random histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from exshadow.errors import InvalidError
from exshadow.policy.retention import Held, Keep, Span, decide, parse_span

NOW = datetime(2024, 6, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def kept(texts: list[str], **rules: object) -> list[str]:
    """The times that are kept, oldest first."""
    sets = [Held(text, at(text)) for text in texts]
    fates = decide(sets, Keep(**rules), now=NOW)  # type: ignore[arg-type]
    return sorted(fate.held.id for fate in fates if fate.kept)


SUNDAYS = [f"{(at('2024-01-07') + timedelta(days=7 * week)):%Y-%m-%d}" for week in range(10)]


def test_a_set_every_sunday_and_keep_daily_4() -> None:
    """The manual's example: days without a set do not count."""
    assert kept(SUNDAYS, daily=4) == SUNDAYS[-4:]


def test_the_users_example_of_daily_and_within_daily() -> None:
    """Sets on May 1st, twice on the 2nd, on the 4th and 5th."""
    texts = ["2023-05-01T08:00", "2023-05-02T08:00", "2023-05-02T11:00", "2023-05-04T09:00",
             "2023-05-05T10:00"]  # fmt: skip
    assert kept(texts, daily=4) == [texts[0], texts[2], texts[3], texts[4]]
    assert kept(texts, within_daily=Span(days=4)) == texts[2:]


def test_a_set_every_day_for_a_hundred_years() -> None:
    """The manual: 7 daily, 4 more weekly, 12 or 11 monthly, 75 or 74 yearly; nothing else."""
    first = at("1924-01-01")
    texts = [f"{first + timedelta(days=number):%Y-%m-%d}" for number in range(36_500)]
    found = kept(texts, daily=7, weekly=5, monthly=12, yearly=75)
    assert found[-7:] == texts[-7:]
    assert 7 + 4 + 11 + 74 - 2 <= len(found) <= 7 + 4 + 12 + 75
    assert len({text[:4] for text in found}) == 75
    within = kept(texts, within_daily=Span(days=7), within_weekly=Span(months=1),
                  within_monthly=Span(years=1), within_yearly=Span(years=75))  # fmt: skip
    assert abs(len(within) - len(found)) <= 3


def test_sets_of_the_future_are_kept_and_count_for_nothing() -> None:
    assert kept(["2024-05-30", "2024-05-31", "2030-01-01"], last=1) == ["2024-05-31", "2030-01-01"]


def test_pins_and_the_newest_verified_are_looked_at_in_the_future_too() -> None:
    """A clock that was set back must not let a rotation take the only set that is good."""
    sets = [
        Held("late", NOW + timedelta(days=2), pinned_until=NOW + timedelta(days=9)),
        Held("proved", NOW + timedelta(days=1), verified=True),
        Held("ahead", NOW + timedelta(hours=1)),
        Held("now", NOW),
    ]
    fates = {fate.held.id: fate for fate in decide(sets, Keep(last=1), now=NOW)}
    assert [name for name, fate in fates.items() if fate.guarded] == ["late", "proved"]
    assert fates["proved"].reasons == ("in the future", "newest verified")


def test_the_oldest_is_kept_for_want_of_periods() -> None:
    texts = ["2024-01-01T01:00", "2024-01-01T02:00", "2024-01-02T01:00"]
    assert kept(texts, daily=2) == texts[1:]
    assert kept(texts, daily=3) == texts  # the oldest though its day has a newer one
    assert kept(texts, last=1) == texts[-1:]


def test_unlimited_and_none() -> None:
    assert kept(SUNDAYS, monthly=-1) == [SUNDAYS[0], "2024-01-28", "2024-02-25", "2024-03-10"]
    assert kept(SUNDAYS) == SUNDAYS  # no rule at all
    assert kept([], last=3) == []


def test_within_counts_from_the_newest_set_and_not_from_now() -> None:
    assert kept(SUNDAYS, within=Span(days=14)) == SUNDAYS[-2:]
    assert kept(SUNDAYS, within=Span(months=1)) == SUNDAYS[-5:]


def test_pins_and_the_newest_verified_are_kept() -> None:
    sets = [
        Held("old", at("2024-01-01"), pinned_until=at("2024-12-31")),
        Held("lapsed", at("2024-01-02"), pinned_until=at("2024-02-01")),
        Held("proved", at("2024-01-03"), verified=True),
        Held("older proof", at("2023-12-03"), verified=True),
        Held("new", at("2024-01-05")),
    ]
    fates = {fate.held.id: fate for fate in decide(sets, Keep(last=1), now=NOW)}
    assert {name for name, fate in fates.items() if fate.kept} == {"old", "proved", "new"}
    assert fates["old"].reasons == ("pinned until 2024-12-31 00:00",)
    assert fates["proved"].reasons == ("newest verified",)


def test_days_begin_where_the_zone_says() -> None:
    sets = [Held(text, at(text)) for text in ("2024-01-01T22:30", "2024-01-01T23:30")]
    in_berlin = decide(sets, Keep(daily=2), now=NOW, zone=ZoneInfo("Europe/Berlin"))
    assert [fate.reasons for fate in in_berlin] == [("daily set",), ("daily set",)]
    in_london = decide(sets, Keep(daily=1), now=NOW, zone=ZoneInfo("Europe/London"))
    assert [fate.kept for fate in in_london] == [True, False]


@pytest.mark.parametrize(
    ("text", "span"),
    [("2y5m7d3h", Span(2, 5, 7, 3)), ("14d", Span(days=14)), ("36h", Span(hours=36))],
)
def test_spans(text: str, span: Span) -> None:
    assert parse_span(text) == span
    assert parse_span(str(span)) == span


@pytest.mark.parametrize(
    "text", ["0h", "0y0d", "", "7", "7w", "3h2d", "-1d", "1y 2m", "9" * 30 + "d"]
)
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(InvalidError):
        parse_span(text)


def test_a_month_back_from_its_last_day() -> None:
    assert Span(months=1).before(at("2024-03-31")) == at("2024-02-29")
    assert Span(years=1).before(at("2024-02-29")) == at("2023-02-28")
    assert Span(years=9999).before(at("2024-02-29")).year == 1


BERLIN = ZoneInfo("Europe/Berlin")


def test_hours_are_hours_that_passed_also_when_the_clock_is_changed() -> None:
    newest = Held("newest", at("2026-03-29T01:30"))  # 03:30 in Berlin, 02:00 to 03:00 was none
    held = [newest, Held("80 min", at("2026-03-29T00:10")), Held("130 min", at("2026-03-28T23:20"))]
    fates = decide(held, Keep(within=Span(hours=2)), now=newest.created, zone=BERLIN)
    assert [fate.held.id for fate in fates if fate.kept] == ["newest", "80 min"]


def test_days_are_the_zones_calendar_days() -> None:
    noon = datetime(2026, 3, 29, 12, tzinfo=BERLIN)  # 23 hours after the noon before
    assert Span(days=1).before(noon) == datetime(2026, 3, 28, 12, tzinfo=BERLIN)
    assert Span(days=1, hours=1).before(noon) == at("2026-03-28T10:00")


# --- a plain reference: what belongs to a bucket, counted from the newest ---

PERIODS = {
    "hourly": "%Y-%m-%d %H", "daily": "%Y-%m-%d", "weekly": "%G-%V", "monthly": "%Y-%m",
    "yearly": "%Y",
}  # fmt: skip


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Asuncion")
CHANGES = ("2021-03-28T01:00", "2022-10-30T01:00", "2022-11-06T06:00", "2023-04-01T15:00",
           "2023-03-26T03:00", "2023-10-01T04:00")  # fmt: skip
"""Moments at which the clocks of one of the zones are changed."""


def edge(newest: datetime, span: Span) -> float:
    """The second that lies so long before: calendar units first, by another library."""
    shift = relativedelta(years=span.years, months=span.months, days=span.days)
    day = (newest.replace(tzinfo=None) - shift).replace(tzinfo=newest.tzinfo) if shift else newest
    return day.timestamp() - 3600 * span.hours


def buckets(newest_first: list[datetime], name: str) -> list[datetime]:
    """The newest of each period."""
    firsts: dict[str, datetime] = {}
    for moment in newest_first:
        firsts.setdefault(moment.strftime(PERIODS[name]), moment)
    return list(firsts.values())


def by_count(newest_first: list[datetime], name: str, count: int) -> list[datetime]:
    if name == "last":
        return newest_first if count < 0 else newest_first[:count]
    chosen = buckets(newest_first, name)
    if count < 0 or len(chosen) < count:
        return [*chosen, *newest_first[-1:]]
    return chosen[:count]


def by_span(newest_first: list[datetime], name: str, span: Span) -> list[datetime]:
    limit = edge(newest_first[0], span)
    recent = [moment for moment in newest_first if moment.timestamp() > limit]
    if name == "within":
        return recent
    chosen = buckets(recent, name.removeprefix("within_"))
    return [*chosen, newest_first[-1]] if recent == newest_first else chosen


def reference(sets: list[Held], rules: dict[str, Any], now: datetime, zone: tzinfo) -> set[str]:
    past = sorted((held for held in sets if held.created <= now), key=lambda held: held.created)
    kept = {held.id for held in sets if held.created > now}
    kept |= {one.id for one in past if one.pinned_until is not None and one.pinned_until > now}
    kept |= set([held.id for held in past if held.verified][-1:])
    newest_first = [held.created.astimezone(zone) for held in reversed(past)]
    wanted: list[datetime] = []
    for name, rule in rules.items():
        if isinstance(rule, int):
            wanted += by_count(newest_first, name, rule)
        elif newest_first:
            wanted += by_span(newest_first, name, rule)
    seconds = {moment.timestamp() for moment in wanted}
    return kept | {held.id for held in past if held.created.timestamp() in seconds}


QUARTERS = st.integers(0, 3 * 365 * 96).map(lambda n: at("2021-01-01") + timedelta(minutes=15 * n))


def near(change: str) -> st.SearchStrategy[datetime]:
    return st.integers(-20, 20).map(lambda n: at(change) + timedelta(minutes=15 * n))


def histories(moments: st.SearchStrategy[datetime]) -> st.SearchStrategy[Any]:
    """By moment whether the set is verified and until when it is pinned; what time it is now."""
    more = st.tuples(st.booleans(), st.none() | moments)
    return st.tuples(st.dictionaries(moments, more, max_size=40), moments | st.just(NOW))


HISTORIES = st.one_of(
    histories(QUARTERS), st.sampled_from(CHANGES).flatmap(lambda change: histories(near(change)))
)
SPANS = st.builds(
    Span, st.integers(0, 2), st.integers(0, 14), st.integers(0, 40), st.integers(0, 60)
) | st.builds(Span, hours=st.integers(0, 12))
RULES = st.dictionaries(
    st.sampled_from(["last", *PERIODS]), st.integers(-1, 8), max_size=3
).flatmap(
    lambda counts: st.dictionaries(
        st.sampled_from(["within", *(f"within_{name}" for name in PERIODS)]), SPANS, max_size=3
    ).map(lambda spans: {**counts, **spans})
)


@given(HISTORIES, RULES, st.sampled_from(ZONES).map(ZoneInfo))
def test_every_history_is_thinned_as_the_reference_says(
    history: tuple[dict[datetime, tuple[bool, datetime | None]], datetime],
    rules: dict[str, Any],
    zone: tzinfo,
) -> None:
    """Counts and spans together, with pins, verdicts and sets of the future, where clocks change;
    whatever zone the times come in."""
    made, now = history
    sets = [Held(moment.isoformat(), moment, *more) for moment, more in made.items()]
    keep = Keep(**rules)
    wanted = {held.id for held in sets} if keep.empty else reference(sets, rules, now, zone)
    local = [
        replace(
            held,
            created=held.created.astimezone(zone),
            pinned_until=held.pinned_until and held.pinned_until.astimezone(zone),
        )
        for held in sets
    ]
    for given_sets, moment in ((sets, now), (local, now.astimezone(zone))):
        fates = decide(given_sets, keep, now=moment, zone=zone)
        assert {fate.held.id for fate in fates if fate.kept} == wanted
