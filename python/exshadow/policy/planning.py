"""What a policy means for the sets that exist: pure, from records to a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from exshadow.model import SetRecord, Step, VolumeRecord
from exshadow.policy.model import Group
from exshadow.policy.retention import Fate, Held, decide
from exshadow.policy.schedule import inside, last_due, next_run


def moment_of(text: str) -> datetime:
    """A time of the catalog, with its zone."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


BY_RETENTION = "by retention"
FOR_MIRROR = "for its mirror"


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What the next run of a group would do. ``steps``: of that run; ``problems``: what stands
    against it; ``gives_up``: id of the set whose mirror the run takes, empty where one is free."""

    name: str
    provider: str
    due: bool
    next: datetime | None
    steps: tuple[Step, ...]
    fates: tuple[Fate, ...]
    problems: tuple[str, ...]
    gives_up: str = ""

    def given_up(self, fate: Fate) -> str:
        """Why the set goes, empty when it stays. The run's turn goes before retention: the newest
        set needs a mirror, even of one that retention would keep."""
        if fate.held.id == self.gives_up:
            return FOR_MIRROR
        return "" if fate.kept else BY_RETENTION

    def to_json(self, labels: Mapping[str, str]) -> dict[str, object]:
        """As ``policy plan --json`` has it; ``labels``: set id to GROUP@LABEL."""
        return {
            "group": self.name,
            "provider": self.provider,
            "due": self.due,
            "next": self.next.isoformat() if self.next else None,
            "steps": [step.to_json() for step in self.steps],
            "sets": [
                {
                    "id": fate.held.id,
                    "set": labels.get(fate.held.id, fate.held.id),
                    "keep": not self.given_up(fate),
                    "given_up": self.given_up(fate) or None,
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
    *,
    now: datetime,
    zone: tzinfo = UTC,
    provider: str = "",
    steps: Sequence[Step] = (),
    problems: Sequence[str] = (),
    gives_up: str = "",
) -> GroupPlan:
    """The next run: when, and what retention then says of the sets. Only ready ones count."""
    mine = [one for one in sets if one.group == name and one.state == "ready"]
    held = held_of(mine, group.verify)
    due, upcoming = _when(group, [one.created for one in held], now.astimezone(zone))
    fates = decide(held, group.keep.rules(), now=now, zone=zone)
    return GroupPlan(
        name, provider, due, upcoming, tuple(steps), tuple(fates), tuple(problems), gives_up
    )


def held_of(sets: Iterable[SetRecord], checks: Sequence[str]) -> list[Held]:
    """Sets as retention sees them. ``sets``: as they were made, which orders those of one second.
    ``checks``: of the policy. While none of the sets is good by all of these, those with any good
    verdict count as verified: nothing better is there."""
    every = list(sets)
    proved = {one.id for one in every if not unproved(one, checks)}
    proved = proved or {one.id for one in every if not unproved(one, ())}
    return [
        Held(
            one.id,
            moment_of(one.created) + timedelta(microseconds=place),
            one.id in proved,
            _pin_of(one.pinned_until),
        )
        for place, one in enumerate(every)
    ]


def unproved(one: SetRecord, checks: Sequence[str]) -> tuple[str, ...]:
    """What is wanting until the set counts as verified: the policy's checks that have no good
    verdict, or that of any check where the policy names none; a bad verdict of any other check."""
    bad = tuple(found.check for found in (one.verified,) if found and not found.ok)
    if not checks:
        return bad or (() if one.verified else ("any check",))
    good = {found.check for found in one.checks if found.ok}
    return tuple(dict.fromkeys((*(check for check in checks if check not in good), *bad)))


def _pin_of(until: str | None) -> datetime | None:
    """When a pin ends. One for ever, and one that cannot be read, never does."""
    if until is None:
        return None
    try:
        return moment_of(until)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)


def is_due(
    name: str, group: Group, sets: Iterable[SetRecord], *, now: datetime, zone: tzinfo = UTC
) -> bool:
    """Whether no set was made since the group's last scheduled moment. One of the future (a clock
    was or is wrong) is none that was made since."""
    made = [moment_of(one.created) for one in sets if one.group == name and one.state == "ready"]
    local = now.astimezone(zone)
    # A window that is over permits no start any more.
    return inside(local, group.window) and _when(group, made, local)[0]


def _when(group: Group, made: Iterable[datetime], now: datetime) -> tuple[bool, datetime | None]:
    if group.schedule is None:
        return False, None
    newest = max((moment for moment in made if moment <= now), default=None)
    before = last_due(group.schedule, now, group.window)
    due = before is not None and (newest is None or newest < before)
    return due, next_run(group.schedule, now, group.window)


def misfits(name: str, group: Group, volumes: Mapping[str, VolumeRecord]) -> list[str]:
    """Where the policy and the native engine's groups differ: a set holds all volumes of a group of
    the same name."""
    found = [f"there is no volume {one}" for one in group.volumes if one not in volumes]
    there = [volumes[one] for one in group.volumes if one in volumes]
    found += [
        f"volume {one.name} is in group {one.group}, not {name}"
        for one in there
        if one.group != name
    ]
    extra = sorted(one.name for one in volumes.values() if one.group == name)
    return found + [
        f"volume {one} of the group is not named" for one in extra if one not in group.volumes
    ]
