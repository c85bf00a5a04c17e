"""snapshot resync, delete, promote: the ways a set ends. Each acts on every member.

What refuses one member is looked for in all of them before the first is touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exshadow.errors import NotFoundError, RefusedError
from exshadow.model import JobRecord, Member, Plan, SetRecord, Step
from exshadow.service import jobs, sets
from exshadow.service.desk import Desk, Session
from exshadow.service.state import Survey

if TYPE_CHECKING:
    from exshadow._core import Job


def plan(desk: Desk, text: str, verb: str) -> Plan:
    """What `verb` (resync, delete or promote) would do to each member."""
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    _require(one, survey, verb)
    steps = []
    for member in one.members:
        volume = survey.volumes.get(member.volume)
        snapshot = volume.snapshot(one.id) if volume else None
        moved = snapshot.changed_bytes if snapshot and verb == "resync" else 0
        steps.append(Step(_ACTIONS[verb], member.volume, member.path, moved))
    return Plan(f"snapshot {verb} {one.group}@{one.label}", tuple(steps))


_ACTIONS = {
    "resync": "bring back into the mirror",
    "delete": "drop the relation, keep the file",
    "promote": "make it production",
}


def _require(one: SetRecord, survey: Survey, verb: str) -> None:
    """Refuse what may not be done to the set in its state."""
    if verb in ("resync", "delete"):
        sets.require_unpinned(one, verb)
    if verb == "resync" and one.state == "resyncing":
        return  # interrupted; continued by the same command
    if verb == "delete" and one.state == "failed":
        return  # the way out of a set that lost a member
    sets.require_whole(one, survey, verb)


def _require_unused(desk: Desk, one: SetRecord) -> None:
    """What ends the snapshot would take it from under a client."""
    desk.require_unused(f"{member.volume}@{one.label}" for member in one.members)


def resync(desk: Desk, text: str, *, limit: int | None = None) -> JobRecord:
    """Bring the set's plexes back into the mirror by copying what changed on either side."""
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    _require(one, survey, "resync")
    _require_unused(desk, one)
    names = [member.volume for member in one.members]
    with desk.session(names) as session:
        started = {}
        desk.record(lambda catalog: catalog.record_set(one))
        desk.record(lambda catalog: catalog.change_set(one.id, state="resyncing"))
        for member in one.members:
            job = _start_resync(session, one, member, limit)
            if job is not None:
                started[member.volume] = job
        resume = f"exshadow snapshot resync {one.id}"
        watch = jobs.Watch(f"resync of {one.group}@{one.label}", one.label, resume)
        result = jobs.run(desk, started, watch)
    _ended(desk, one)
    return result


def _start_resync(
    session: Session, one: SetRecord, member: Member, limit: int | None
) -> Job | None:
    """The member's job: the resync, its continuation, or None when it is in sync already."""
    volume = session.volumes[member.volume]
    record = session.info(member.volume)
    snapshot = record.snapshot(one.id)
    if snapshot is not None and snapshot.state == "ready":
        return volume.resync(one.label, limit=limit)
    plex = record.plex(member.plex)
    if plex is None:
        raise NotFoundError(f"volume {member.volume} has no plex {member.plex} any more")
    if plex.state == "in_sync":
        return None
    return volume.sync(member.plex, limit=limit)


def delete(desk: Desk, text: str) -> SetRecord:
    """Drop the relation of every copy to its volume; the files stay as they are."""
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    _require(one, survey, "delete")
    _require_unused(desk, one)
    with desk.session(_present(one, survey)) as session:
        for name, volume in session.volumes.items():
            if session.info(name).snapshot(one.id) is not None:
                volume.delete_snapshot(one.label)
    return _ended(desk, one)


def promote(desk: Desk, text: str) -> SetRecord:
    """Make every copy production itself; the old plexes become its stale mirrors."""
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    _require(one, survey, "promote")
    _require_unused(desk, one)
    with desk.session(_present(one, survey)) as session:
        for volume in session.volumes.values():
            volume.promote(one.label)
    return _ended(desk, one)


def _present(one: SetRecord, survey: Survey) -> list[str]:
    names = [member.volume for member in one.members if member.volume in survey.volumes]
    if not names:
        raise RefusedError(f"no volume of set {one.group}@{one.label} is here")
    return names


def _ended(desk: Desk, one: SetRecord) -> SetRecord:
    """Record what became of the set, by what the volume files say now."""

    survey = desk.folder.survey()
    held = any(volume.snapshot(one.id) for volume in survey.volumes.values())
    desk.record(lambda catalog: catalog.record_set(one))
    if not held:
        desk.record(lambda catalog: catalog.change_set(one.id, state="dissolved"))
    desk.record_volumes(*survey.group(one.group))
    return next((found for found in sets.assemble(survey, desk.facts()) if found.id == one.id), one)
