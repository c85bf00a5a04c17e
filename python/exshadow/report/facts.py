"""What the page shows, as plain values: pure, from records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from exshadow.catalog.mirrors import LastKnown
from exshadow.model import Json, SetRecord, Verification, VolumeRecord
from exshadow.policy.planning import moment_of
from exshadow.policy.standing import GroupStatus

DRILL = "drill"
_RESYNCS = 12
MANY = 60
"""With more dots they are drawn small."""
ROWS = 5
_APART = 0.025  # of the line's length: two dots side by side on a narrow page


@dataclass(frozen=True, slots=True)
class Dot:
    """A set on the timeline. ``place``: 0 (oldest moment shown) to 1 (now); ``kind``: good, bad,
    unchecked; ``pinned``; ``told``: when one points at it; ``row``: 0 on the line, others above it:
    sets so near in time would hide each other."""

    place: float
    kind: str
    pinned: bool
    told: str
    row: int = 0


@dataclass(frozen=True, slots=True)
class Resync:
    """A copy job. ``share``: of the most bytes among those shown."""

    when: str
    kind: str
    volume: str
    bytes: int
    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror in another product, as it was when a run last had to do with it. ``set``: label of
    the set that it is; ``age``: of this knowledge."""

    known: LastKnown
    set: str
    age: timedelta


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """One protection group. ``drill``: the newest of any of its sets, with that set's label."""

    status: GroupStatus
    dots: tuple[Dot, ...]
    sets: tuple[SetRecord, ...]
    drill: tuple[str, Verification] | None
    resyncs: tuple[Resync, ...]
    volumes: tuple[VolumeRecord, ...]
    mirrors: tuple[Mirror, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Everything. ``since``: where timelines begin."""

    title: str
    now: datetime
    since: datetime
    groups: tuple[GroupFacts, ...]
    problems: tuple[str, ...]


def page(
    title: str,
    statuses: Sequence[GroupStatus],
    sets: Sequence[SetRecord],
    volumes: Mapping[str, VolumeRecord],
    jobs: Iterable[Json],
    problems: Sequence[str],
    *,
    now: datetime,
    mirrors: Mapping[str, Sequence[LastKnown]] | None = None,
) -> Page:
    """``sets``: dissolved ones too: they are history, but their drills count; ``mirrors``: by
    group, those of other products."""
    shown = [one for one in sets if one.state != "dissolved"]
    oldest = min((moment_of(one.created) for one in shown), default=now)
    since = min(oldest, now - timedelta(hours=1))
    all_jobs = list(jobs)
    return Page(
        title,
        now,
        since,
        tuple(
            replace(
                _group(one, sets, volumes, all_jobs, since, now),
                mirrors=_mirrors((mirrors or {}).get(one.name, ()), sets, now),
            )
            for one in statuses
        ),
        tuple(problems),
    )


def _group(
    status: GroupStatus,
    every: Sequence[SetRecord],
    volumes: Mapping[str, VolumeRecord],
    jobs: list[Json],
    since: datetime,
    now: datetime,
) -> GroupFacts:
    mine = [one for one in every if one.group == status.name]
    shown = tuple(one for one in mine if one.state != "dissolved")
    there = tuple(one for one in volumes.values() if one.group == status.name)
    names = {one.name for one in there} | {m.volume for one in mine for m in one.members}
    return GroupFacts(
        status,
        # Those that failed are drawn last: nothing hides them.
        tuple(
            sorted(
                _stacked([_dot(one, since, now) for one in shown]),
                key=lambda one: one.kind == "bad",
            )
        ),
        tuple(reversed(shown)),
        _drill(mine),
        _resyncs(jobs, names),
        there,
    )


def _mirrors(
    known: Sequence[LastKnown], sets: Sequence[SetRecord], now: datetime
) -> tuple[Mirror, ...]:
    labels = {one.id: one.label for one in sets if one.state != "dissolved"}
    return tuple(
        Mirror(one, labels.get(one.set_id, ""), max(now - moment_of(one.at), timedelta(0)))
        for one in known
    )


def _dot(one: SetRecord, since: datetime, now: datetime) -> Dot:
    place = (moment_of(one.created) - since) / (now - since)
    kind = "unchecked" if one.verified is None else "good" if one.verified.ok else "bad"
    said = f", {one.verified.check} {'ok' if one.verified.ok else 'FAILED'}" if one.verified else ""
    pinned = f", pinned until {one.pinned_until}" if one.pinned_until else ""
    return Dot(
        min(max(place, 0.0), 1.0),
        kind,
        one.pinned_until is not None,
        f"{one.label}, {one.created}, {one.consistency} consistent{said}{pinned}",
    )


def _stacked(dots: Sequence[Dot]) -> list[Dot]:
    """Each in the lowest row where nothing lies so near that it would be hidden; in the last row
    where all are taken. So many that rows would not help stay on the line."""
    if len(dots) > MANY:
        return list(dots)
    ends = [-1.0] * ROWS
    found = []
    for dot in sorted(dots, key=lambda one: one.place):
        free = (row for row, end in enumerate(ends) if dot.place - end >= _APART)
        row = next(free, ROWS - 1)
        ends[row] = dot.place
        found.append(replace(dot, row=row))
    return found


def _drill(sets: Sequence[SetRecord]) -> tuple[str, Verification] | None:
    found = [(one.label, check) for one in sets for check in one.checks if check.check == DRILL]
    return max(found, key=lambda pair: pair[1].at, default=None)


def _resyncs(jobs: Sequence[Json], names: set[str]) -> tuple[Resync, ...]:
    kinds = ("resync", "sync", "restore")
    mine = [one for one in jobs if one["volume"] in names and one["kind"] in kinds][-_RESYNCS:]
    most = max((_moved(one) for one in mine), default=0)
    return tuple(
        Resync(
            one["started"],
            one["kind"],
            one["volume"],
            _moved(one),
            one["seconds"],
            _moved(one) / most if most else 0.0,
        )
        for one in reversed(mine)
    )


def _moved(job: Json) -> int:
    return int(job["bytes_copied"]) + int(job["bytes_zeroed"])
