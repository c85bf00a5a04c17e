"""Retention: restic's documented examples, and a plain reference over random histories."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exshadow.errors import InvalidError
from exshadow.policy.retention import Held, Keep, Span, decide, parse_span, simulate
from exshadow.service.policy_run.rotation import guarded

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
    assert [name for name, fate in fates.items() if guarded(fate)] == ["late", "proved"]
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


@pytest.mark.parametrize("text", ["", "7", "7w", "3h2d", "-1d", "1y 2m", "9" * 30 + "d"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(InvalidError):
        parse_span(text)


def test_a_month_back_from_its_last_day() -> None:
    assert Span(months=1).before(at("2024-03-31")) == at("2024-02-29")
    assert Span(years=1).before(at("2024-02-29")) == at("2023-02-28")
    assert Span(years=9999).before(at("2024-02-29")).year == 1


def test_a_simulation_settles() -> None:
    days = simulate(Keep(hourly=6, daily=7, weekly=4), start=NOW, days=60, every=timedelta(hours=4))
    assert len(days) == 60
    assert len(days[-1].kept) == len(days[-8].kept)
    assert len(days[-1].kept) <= 6 + 7 + 4


# --- a plain reference: what belongs to a bucket, counted from the newest ---

PERIODS = {
    "hourly": "%Y-%m-%d %H", "daily": "%Y-%m-%d", "weekly": "%G-%V", "monthly": "%Y-%m",
    "yearly": "%Y",
}  # fmt: skip


def reference(moments: list[datetime], rules: dict[str, int]) -> set[datetime]:
    newest_first = sorted(moments, reverse=True)
    wanted: set[datetime] = set()
    for name, count in rules.items():
        if name == "last":
            wanted |= set(newest_first if count < 0 else newest_first[:count])
            continue
        firsts: dict[str, datetime] = {}
        for moment in newest_first:
            firsts.setdefault(moment.strftime(PERIODS[name]), moment)
        chosen = list(firsts.values())
        if count >= 0:
            short = len(chosen) < count
            chosen = chosen[:count]
        else:
            short = True
        wanted |= set(chosen)
        if short and newest_first:
            wanted.add(newest_first[-1])
    return wanted


@given(
    st.lists(
        st.integers(0, 3 * 365 * 96).map(lambda n: at("2021-01-01") + timedelta(minutes=15 * n)),
        unique=True, max_size=60,
    ),
    st.dictionaries(st.sampled_from(["last", *PERIODS]), st.integers(-1, 8), min_size=1),
)  # fmt: skip
def test_every_history_is_thinned_as_the_reference_says(
    moments: list[datetime], rules: dict[str, int]
) -> None:
    keep = Keep(**rules)
    sets = [Held(moment.isoformat(), moment) for moment in moments]
    found = {fate.held.created for fate in decide(sets, keep, now=NOW) if fate.kept}
    assert found == (set(moments) if keep.empty else reference(moments, rules))
