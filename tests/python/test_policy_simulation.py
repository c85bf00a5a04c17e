"""What `policy simulate` predicts: by the rules and the rotation of runs."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from exshadow.errors import RefusedError
from exshadow.model import SetRecord, Verification
from exshadow.policy.planning import held_of
from exshadow.policy.retention import Held, Keep, Span, decide
from exshadow.policy.simulation import simulate
from exshadow.providers.contract import Mirror, MirrorState
from exshadow.service.policy_run.rotation import turn

NOW = datetime(2024, 6, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_simulation_has_the_days_of_its_zone() -> None:
    start = datetime(2026, 10, 24, tzinfo=BERLIN)
    days = simulate(Keep(last=1000), start=start, days=3, every=timedelta(hours=1), zone=BERLIN)
    assert [f"{one.day}" for one in days] == ["2026-10-24", "2026-10-25", "2026-10-26"]
    assert [len(one.kept) for one in days] == [24, 24 + 25, 24 + 25 + 24]
    daily = simulate(Keep(daily=2), start=start, days=3, every=timedelta(hours=1), zone=BERLIN)
    assert [f"{moment:%d %H:%M}" for moment in daily[-1].kept] == ["25 23:00", "26 23:00"]


def test_a_simulation_settles() -> None:
    days = simulate(Keep(hourly=6, daily=7, weekly=4), start=NOW, days=60, every=timedelta(hours=4))
    assert len(days) == 60
    assert len(days[-1].kept) == len(days[-8].kept)
    assert len(days[-1].kept) <= 6 + 7 + 4


def test_a_month_before_its_31st_is_the_last_of_the_month_before_also_in_a_simulation() -> None:
    """restic's library makes 3 March of "31 February"; what is kept here is more, never less."""
    start, month = at("2026-02-01"), Keep(within=Span(months=1))
    (*_, last) = simulate(month, start=start, days=59, every=timedelta(days=1))
    assert f"{last.day}" == "2026-03-31"
    assert [f"{one:%m-%d}" for one in last.kept[:2]] == ["03-01", "03-02"]
    made = [Held(f"{one}", start + timedelta(days=one)) for one in range(59)]
    fates = decide(made, month, now=made[-1].created)
    assert [one.held.created for one in reversed(fates) if one.kept] == [*last.kept]


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize("mirrors", [1, 2, 3])
def test_a_simulation_gives_mirrors_up_as_runs_do(mirrors: int, verified: bool) -> None:
    """The newest good set keeps its mirror: with one alone there is no second set."""
    labels = [f"m{number}" for number in range(mirrors)]
    keep, held, there = Keep(daily=2), dict[str, SetRecord](), dict[str, Mirror]()
    days = simulate(
        keep, start=NOW, days=6, every=timedelta(hours=5), mirrors=mirrors, verified=verified
    )
    end, moment = NOW + timedelta(days=6), NOW
    while moment < end:
        text = moment.isoformat()
        verdict = Verification("bytes", True, text, "")
        one = SetRecord(text, "x", "g", text, "native", "crash", "ready", ())
        one = replace(one, verified=verdict, checks=(verdict,)) if verified else one
        known = held_of(sorted(held.values(), key=lambda found: found.created), ())
        with suppress(RefusedError):
            label = turn(labels, there, held, decide(known, keep, now=moment)).mirror
            held[label], there[label] = one, Mirror(label, MirrorState.SPLIT)
        moment += timedelta(hours=5)
    made = sorted(one.created for one in held.values())
    assert made == [one.isoformat() for one in days[-1].kept]
    assert len(held) == mirrors
    assert (days[-1].kept[0] == NOW) is (verified and mirrors == 1)
