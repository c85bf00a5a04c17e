"""restore: production becomes the snapshot again. The set is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from exshadow.errors import InvalidError, NotFoundError
from exshadow.model import JobRecord, Member, Plan, SetRecord, Step
from exshadow.service import jobs, mirrors, sets, snapshots
from exshadow.service.desk import Desk, Session
from exshadow.service.state import Survey

if TYPE_CHECKING:
    from exshadow._core import Job

KEPT_LABEL = "before-restore"
MODES = ("copy", "instant")


def check_mode(mode: str) -> None:
    """InvalidError for a mode that is none."""
    if mode not in MODES:
        raise InvalidError(f"{mode!r} is no restore mode", hint="use --mode copy or instant")


def plan(desk: Desk, text: str, *, volumes: Sequence[str] = (), keep_current: bool = False) -> Plan:
    """What would be written where, at most."""
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    members = _members(one, survey, volumes)
    steps: list[Step] = []
    if keep_current:
        steps += [Step(f"split a spare plex as {KEPT_LABEL}", m.volume, "") for m in members]
    for member in members:
        record = survey.volumes[member.volume]
        snapshot = record.snapshot(one.id)
        changed = snapshot.changed_bytes if snapshot else record.size
        steps += [
            Step(f"copy from {member.path} to", member.volume, plex.path, changed)
            for plex in record.plexes
            if plex.state == "in_sync"
        ]
    return Plan(f"restore {one.group}@{one.label}", tuple(steps))


def _members(one: SetRecord, survey: Survey, volumes: Sequence[str]) -> list[Member]:
    """The members to be restored; refuses unknown names and sets that are not whole."""
    if one.state != "restoring":  # an interrupted restore is continued by repeating it
        sets.require_whole(one, survey, "restore")
    unknown = sorted(set(volumes) - {member.volume for member in one.members})
    if unknown:
        raise NotFoundError(
            f"set {one.group}@{one.label} has no volume {', '.join(unknown)}",
            hint=f"it has: {', '.join(member.volume for member in one.members)}",
        )
    return [member for member in one.members if not volumes or member.volume in volumes]


def restore(
    desk: Desk,
    text: str,
    *,
    mode: str = "copy",
    volumes: Sequence[str] = (),
    keep_current: bool = False,
    limit: int | None = None,
) -> tuple[JobRecord, SetRecord | None]:
    """Copy the set's bytes back over production, only what differs; to all in-sync plexes.

    With `keep_current` production as it is now is first kept as a set of its own, the second
    value. All members start before any is waited for: after an interruption none looks whole. With
    mode instant production is the set before anything is copied, in all members at one instant.
    """
    check_mode(mode)
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    members = _members(one, survey, volumes)
    if keep_current:
        for member in members:
            mirrors.require_spare(survey.volumes[member.volume])
    with desk.session([member.volume for member in members]) as session:
        kept = _keep(session, members) if keep_current else None
        started = _start(session, one, members, mode, limit)
        watch = jobs.Watch(
            f"restore of {one.group}@{one.label}", one.label, _resume(one, members, mode, volumes)
        )
        result = jobs.run(desk, started, watch)
        for member in members:
            known = survey.volumes[member.volume].events
            session.say(member.volume, session.volumes[member.volume].info()["events"], known)
    return result, kept


def _start(
    session: Session, one: SetRecord, members: list[Member], mode: str, limit: int | None
) -> Mapping[str, Job]:
    chosen = [session.volumes[member.volume] for member in members]
    if mode == "instant":
        started = session.engine.restore(chosen, one.label, limit=limit)
        names = ", ".join(started)
        session.desk.reporter.note(f"{names}: production is {one.label} now, its data moves behind")
        return started
    return {volume.name: volume.restore(one.label, limit=limit) for volume in chosen}


def _resume(one: SetRecord, members: list[Member], mode: str, volumes: Sequence[str]) -> str:
    """How to go on: an instant restore repeated would drop what was written since."""
    if mode == "instant":
        return " && ".join(f"exshadow mirror sync {member.volume}" for member in members)
    return f"exshadow restore {one.id}" + "".join(f" --volume {name}" for name in volumes)


def _keep(session: Session, members: list[Member]) -> SetRecord:
    names = [member.volume for member in members]
    taken = {one.label for name in names for one in session.info(name).snapshots}
    return snapshots.split(session, names, snapshots.free_label(KEPT_LABEL, taken))
