"""How protection groups stand: pure, from records and estimates to a state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from exshadow.model import SetRecord
from exshadow.names import format_seconds, format_size
from exshadow.policy.model import Group
from exshadow.policy.planning import moment_of, unproved
from exshadow.policy.schedule import last_due, next_run
from exshadow.policy.usual import usual

EXIT_STATUS = {"ok": 0, "stuck": 9, "late": 9, "slow": 9, "none": 9, "damaged": 5}
_SLACK_BYTES = 64 << 20
_SLACK_SHARE = 0.2
_SKEW = timedelta(minutes=1)  # clocks are corrected by less all the time


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long a recovery from the newest set would take. ``seconds`` None: nothing was measured
    yet; ``basis``: what the estimate stands on, or why there is none."""

    seconds: float | None
    basis: str


@dataclass(frozen=True, slots=True)
class Series:
    """Values that runs measured, oldest first; the last is the newest set's."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """``state``: ok, stuck (the next run cannot work), late (copy too old, or of the future),
    slow (recovery would miss its objective), damaged (a check failed), none (no set). ``age``: None
    also when there are only sets of the future. ``warnings``: what is unusual; the
    state is not worse for it. ``oldest``: the age that the newest set may have, None when nothing
    says."""

    name: str
    state: str
    age: timedelta | None
    newest: SetRecord | None
    next: datetime | None
    recovery: Recovery | None
    objective: timedelta | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    oldest: timedelta | None = None

    def to_json(self) -> dict[str, object]:
        """As ``policy status --json`` has it; times in seconds."""
        return {
            "group": self.name,
            "state": self.state,
            "age": self.age.total_seconds() if self.age is not None else None,
            "newest": self.newest.to_json() if self.newest else None,
            "next": self.next.isoformat() if self.next else None,
            "recovery": self.recovery.seconds if self.recovery else None,
            "recovery_basis": self.recovery.basis if self.recovery else "",
            "objective": self.objective.total_seconds() if self.objective else None,
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


def status_of(
    name: str,
    group: Group,
    sets: Iterable[SetRecord],
    *,
    now: datetime,
    zone: tzinfo = UTC,
    recovery: Recovery | None = None,
    measured: Sequence[Series] = (),
) -> GroupStatus:
    """Age against ``max-age``, or against the schedule where none is given; the verdict; the time
    to recover against the objective; sets of the future. The worst of them is the state."""
    now, local = now.astimezone(UTC), now.astimezone(zone)
    ready = _ready(name, sets)
    newest = newest_of(name, ready, now=now)
    upcoming = next_run(group.schedule, local, group.window) if group.schedule else None
    if newest is None:
        none = ("there is no set",)
        return GroupStatus(name, "none", None, None, upcoming, None, group.objective, none)
    made = moment_of(newest.created)
    age = max(now - made, timedelta(0)) if made <= now + _SKEW else None
    found = [
        _recovery(group, recovery),
        *([] if age is None else [_age(group, local, now - age)]),
        _future(ready, now),
        _verdict(group, newest),
    ]
    states = [state for state, _ in found]
    worst = max(states, key=list(EXIT_STATUS).index)
    return GroupStatus(
        name,
        worst,
        age,
        newest,
        upcoming,
        recovery,
        group.objective,
        tuple(note for _, note in found if note),
        tuple(text for one in measured if (text := unusual(one))),
        now - limit if (limit := _oldest(group, local)) is not None else None,
    )


def hindered(status: GroupStatus, reasons: Sequence[str]) -> GroupStatus:
    """The same, with what stands against the group's next run; a state that is worse stays."""
    if not reasons:
        return status
    state = "stuck" if status.state == "ok" else status.state
    return replace(status, state=state, notes=(*status.notes, *reasons))


def lent_notes(name: str, sets: Iterable[SetRecord]) -> list[str]:
    """Sets of the group that another host has."""
    return [
        f"set {one.label} is lent to {one.lent_to}"
        for one in sets
        if one.group == name and one.state == "ready" and one.lent_to
    ]


def newest_of(name: str, sets: Iterable[SetRecord], *, now: datetime) -> SetRecord | None:
    """The group's newest set that is ready; one of the future only when there is no other."""
    return max(
        reversed(_ready(name, sets)),  # within one second the last that was made
        key=lambda one: (moment_of(one.created) <= now + _SKEW, moment_of(one.created)),
        default=None,
    )


def _ready(name: str, sets: Iterable[SetRecord]) -> list[SetRecord]:
    return [one for one in sets if one.group == name and one.state == "ready"]


def _future(ready: Iterable[SetRecord], now: datetime) -> tuple[str, str]:
    """Nobody can tell how old they are."""
    ahead = [one for one in ready if moment_of(one.created) > now + _SKEW]
    if not ahead:
        return "ok", ""
    told = ", ".join(f"{one.label} ({one.created})" for one in ahead)
    return "late", f"made in the future, so a clock was or is wrong: {told}"


def _age(group: Group, now: datetime, made: datetime) -> tuple[str, str]:
    """``now`` in the zone of the schedule."""
    limit = _oldest(group, now)
    if limit is None or made >= limit:
        return "ok", ""
    since = limit.astimezone(now.tzinfo)
    return "late", f"the newest set is older than it may be (since {since:%Y-%m-%d %H:%M %Z})"


def _verdict(group: Group, newest: SetRecord) -> tuple[str, str]:
    if newest.verified is not None and not newest.verified.ok:
        return "damaged", f"check {newest.verified.check} of the newest set failed"
    if group.verify and newest.verified is None:
        return "ok", "the newest set was not verified yet"
    if group.verify and (wanting := unproved(newest, group.verify)):
        return "ok", f"the newest set was not verified by {', '.join(wanting)} yet"
    return "ok", ""


def _recovery(group: Group, recovery: Recovery | None) -> tuple[str, str]:
    if group.objective is None or recovery is None:
        return "ok", ""
    if recovery.seconds is None:
        return "ok", f"the objective cannot be judged: {recovery.basis}"
    if recovery.seconds <= group.objective.total_seconds():
        return "ok", ""
    wanted = format_seconds(group.objective.total_seconds())
    needed = format_seconds(recovery.seconds)
    return "slow", f"recovery would take {needed}, the objective is {wanted}"


def _oldest(group: Group, now: datetime) -> datetime | None:
    """The newest set must not be older than this, in UTC; ``now`` in the schedule's zone."""
    if group.max_age is not None:
        return now.astimezone(UTC) - group.max_age
    if group.schedule is None:
        return None
    due = last_due(group.schedule, now, group.window)
    if due is None:
        return None
    # One run may be under way: the moment before it counts.
    earlier = (due.astimezone(UTC) - timedelta(minutes=1)).astimezone(now.tzinfo)
    before = last_due(group.schedule, earlier, group.window)
    return before.astimezone(UTC) if before else None


def unusual(one: Series) -> str:
    """What people should look at; empty when the newest value is as ever."""
    if not one.values:
        return ""
    *earlier, newest = one.values
    slack = _SLACK_SHARE if one.name == "incompressible" else _SLACK_BYTES
    found = usual(earlier, slack=slack)
    if found is None or found.has(newest):
        return ""
    if one.name == "incompressible":
        return (
            f"{newest:.0%} of what changed does not compress, usual are "
            f"{max(found.low, 0):.0%} to {min(found.high, 1):.0%}: has something encrypted it?"
        )
    many = "more" if newest > found.high else "less"
    low, high = format_size(max(int(found.low), 0)), format_size(int(found.high))
    changed = format_size(int(newest))
    return f"{changed} changed since the set before, {many} than the usual {low} to {high}"
