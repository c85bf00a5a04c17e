"""What a policy means for the sets that exist: pure, from records to a plan and a status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from exshadow.model import SetRecord, VolumeRecord
from exshadow.policy.model import Group
from exshadow.policy.retention import Fate, Held, decide
from exshadow.policy.schedule import last_due, next_run


def moment_of(text: str) -> datetime:
    """A time of the catalog, with its zone."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What the next run of a group would do. ``mirror``: the plex whose turn it is."""

    name: str
    due: bool
    next: datetime | None
    mirror: str | None
    fates: tuple[Fate, ...]
    problems: tuple[str, ...]

    def to_json(self, labels: Mapping[str, str]) -> dict[str, object]:
        """As ``policy plan --json`` has it; ``labels``: set id to GROUP@LABEL."""
        return {
            "group": self.name,
            "due": self.due,
            "next": self.next.isoformat() if self.next else None,
            "mirror": self.mirror,
            "sets": [
                {
                    "id": fate.held.id,
                    "set": labels.get(fate.held.id, fate.held.id),
                    "keep": fate.kept,
                    "reasons": list(fate.reasons),
                }
                for fate in self.fates
            ],
            "problems": list(self.problems),
        }


def plan_group(
    name: str,
    group: Group,
    sets: Iterable[SetRecord],
    volumes: Mapping[str, VolumeRecord],
    *,
    now: datetime,
    zone: tzinfo = UTC,
) -> GroupPlan:
    """The next run; with what stands against it. Only sets that are ready count."""
    mine = [one for one in sets if one.group == name and one.state == "ready"]
    held = [held_of(one) for one in mine]
    newest = max((one.created for one in held), default=None)
    local = now.astimezone(zone)
    due, upcoming = _when(group, newest, local)
    fates = decide(held, group.keep.rules(), now=now, zone=zone)
    problems = _problems(name, group, volumes)
    return GroupPlan(name, due, upcoming, _turn(group, volumes), tuple(fates), tuple(problems))


def held_of(one: SetRecord) -> Held:
    """A set as retention sees it."""
    pinned = moment_of(one.pinned_until) if one.pinned_until else None
    return Held(one.id, moment_of(one.created), bool(one.verified and one.verified.ok), pinned)


def _when(group: Group, newest: datetime | None, now: datetime) -> tuple[bool, datetime | None]:
    if group.schedule is None:
        return False, None
    before = last_due(group.schedule, now, group.window)
    due = before is not None and (newest is None or newest < before)
    return due, next_run(group.schedule, now, group.window)


def _problems(name: str, group: Group, volumes: Mapping[str, VolumeRecord]) -> list[str]:
    problems = [f"there is no volume {one}" for one in group.volumes if one not in volumes]
    there = [volumes[one] for one in group.volumes if one in volumes]
    problems += [
        f"volume {one.name} is in group {one.group}, not {name}"
        for one in there
        if one.group != name
    ]
    extra = sorted(one.name for one in volumes.values() if one.group == name)
    problems += [
        f"volume {one} of the group is not named" for one in extra if one not in group.volumes
    ]
    for volume in there:
        known = {plex.label for plex in volume.plexes}
        problems += [
            f"volume {volume.name} has no mirror {label}"
            for label in group.mirrors
            if label not in known
        ]
        if len([plex for plex in volume.plexes if plex.state == "in_sync"]) < 2:
            problems.append(f"volume {volume.name} has no second plex in sync: nothing could split")
    return problems


def _turn(group: Group, volumes: Mapping[str, VolumeRecord]) -> str | None:
    """The first of the policy's mirrors that is in sync in every volume."""
    there = [volumes[one] for one in group.volumes if one in volumes]
    for label in group.mirrors:
        states = [plex.state for volume in there for plex in volume.plexes if plex.label == label]
        if len(states) == len(group.volumes) and set(states) == {"in_sync"}:
            return label
    return None


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """How a group stands. ``state``: ok, late (copy too old), damaged (a check failed), none."""

    name: str
    state: str
    age: timedelta | None
    newest: SetRecord | None
    next: datetime | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """As ``policy status --json`` has it; ``age`` in seconds."""
        return {
            "group": self.name,
            "state": self.state,
            "age": self.age.total_seconds() if self.age is not None else None,
            "newest": self.newest.to_json() if self.newest else None,
            "next": self.next.isoformat() if self.next else None,
            "notes": list(self.notes),
        }


EXIT_STATUS = {"ok": 0, "late": 9, "none": 9, "damaged": 5}
NAGIOS = {
    "ok": (0, "OK"),
    "late": (1, "WARNING"),
    "none": (2, "CRITICAL"),
    "damaged": (2, "CRITICAL"),
}


def status_of(
    name: str, group: Group, sets: Iterable[SetRecord], *, now: datetime, zone: tzinfo = UTC
) -> GroupStatus:
    """Age against ``max-age``, or against the schedule where none is given; the verdict."""
    ready = [one for one in sets if one.group == name and one.state == "ready"]
    newest = max(ready, key=lambda one: moment_of(one.created), default=None)
    local = now.astimezone(zone)
    upcoming = next_run(group.schedule, local, group.window) if group.schedule else None
    if newest is None:
        return GroupStatus(name, "none", None, None, upcoming, ("there is no set",))
    age = now - moment_of(newest.created)
    notes: list[str] = []
    state = "ok"
    if (limit := _oldest(group, local)) is not None and now - age < limit:
        state = "late"
        notes.append(f"the newest set is older than it may be (since {limit:%Y-%m-%d %H:%M})")
    if newest.verified is not None and not newest.verified.ok:
        state = "damaged"
        notes.append(f"check {newest.verified.check} of the newest set failed")
    elif group.verify and newest.verified is None:
        notes.append("the newest set was not verified yet")
    return GroupStatus(name, state, age, newest, upcoming, tuple(notes))


def _oldest(group: Group, now: datetime) -> datetime | None:
    """The newest set must not be older than this."""
    if group.max_age is not None:
        return now - group.max_age
    if group.schedule is None:
        return None
    due = last_due(group.schedule, now, group.window)
    # One run may be under way: the moment before it counts.
    return last_due(group.schedule, due - timedelta(minutes=1), group.window) if due else None
