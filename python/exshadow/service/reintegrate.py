"""snapshot resync, delete, promote: the ways a set ends. Each acts on every member.

What refuses one member is looked for in all of them before the first is touched.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from exshadow.errors import BusyError, Error, NotFoundError, RefusedError
from exshadow.model import JobRecord, Member, Plan, SetRecord, Step
from exshadow.service import attached, jobs, members, sets
from exshadow.service.desk import Desk, Session
from exshadow.service.documents import forget_document
from exshadow.service.state import Survey

if TYPE_CHECKING:
    from exshadow._core import Job


def plan(desk: Desk, text: str, verb: str) -> Plan:
    """What `verb` (resync, delete or promote) would do to each member."""
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    _require(desk, one, survey, verb)
    steps = []
    for member in one.members:
        volume = survey.volumes.get(member.volume)
        snapshot = volume.snapshot(one.id) if volume else None
        moved = snapshot.changed_bytes if snapshot and verb == "resync" else 0
        steps.append(Step(_ACTIONS[verb], member.volume, member.path, moved))
    return Plan(
        f"snapshot {verb} {one.group}@{one.label}",
        tuple(steps),
        refusal=_in_the_way(desk, one, survey, verb),
    )


def _in_the_way(desk: Desk, one: SetRecord, survey: Survey, verb: str) -> Error | None:
    """Who uses the copy, or has a volume open: that passes, so that a plan is made all the same."""
    try:
        if verb != "promote":
            _require_unused(desk, one)
        wanted = [member.volume for member in one.members if member.volume in survey.volumes]
        desk.require_unheld(survey.volumes[name] for name in wanted)
    except BusyError as problem:
        return problem
    return None


_ACTIONS = {
    "resync": "bring back into the mirror",
    "delete": "drop the relation, keep the file",
    "promote": "make it production",
}


def _require(desk: Desk, one: SetRecord, survey: Survey, verb: str) -> None:
    """Refuse what may not be done to the set in its state."""
    # A promotion that is half done is continued: the set is not whole any more.
    if verb != "promote" or not _half_promoted(desk, one, survey):
        sets.require_unpinned(one, verb)
    if verb == "resync" and one.state == "resyncing":
        return  # interrupted; continued by the same command
    if verb == "delete" and one.state == "failed":
        return  # the way out of a set that lost a member
    if verb == "promote" and _half_promoted(desk, one, survey):
        return  # continued by the same command
    if verb == "promote":
        sets.require_whole(one, survey, verb)
    else:
        sets.require_here(desk, one, survey, verb)


def _require_unused(desk: Desk, one: SetRecord) -> None:
    """What ends the snapshot would take it from under a client."""
    desk.require_unused(f"{member.volume}@{one.label}" for member in one.members)


def resync(desk: Desk, text: str, *, limit: int | None = None) -> JobRecord:
    """Bring the set's plexes back into the mirror by copying what changed on either side."""
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    _require(desk, one, survey, "resync")
    _require_unused(desk, one)
    by_volume = {member.volume: member for member in one.members}
    resume = f"exshadow snapshot resync {one.id}"
    watch = jobs.Watch(f"resync of {one.group}@{one.label}", one.label, resume)
    with desk.session(by_volume) as session:
        members.check(session, one, one.members, "resync")
        desk.record(lambda catalog: catalog.record_set(one))
        desk.record(lambda catalog: catalog.change_set(one.id, state="resyncing"))
        started = jobs.begin(
            by_volume, lambda name: _start_resync(session, one, by_volume[name], limit), watch
        )
        result = jobs.run(desk, started, watch)
    if _ended(desk, one).state == "dissolved":
        forget_document(desk.folder.path, one.id)
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
        raise NotFoundError(
            f"volume {member.volume} has no plex {member.plex} any more",
            hint=f"see: exshadow mirror list {member.volume}",
        )
    if plex.state == "in_sync":
        return None
    return volume.sync(member.plex, limit=limit)


def delete(desk: Desk, text: str) -> SetRecord:
    """Drop the relation of every copy to its volume; the files stay as they are."""
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    _require(desk, one, survey, "delete")
    _require_unused(desk, one)
    with desk.session(_present(one, survey)) as session:

        def drop(name: str) -> None:
            if session.info(name).snapshot(one.id) is not None:
                session.volumes[name].delete_snapshot(one.label)

        resume = f"exshadow snapshot delete {one.id}"
        members.each(list(session.volumes), drop, "dropped", resume)
    return _ended(desk, one)


def promote(desk: Desk, text: str, *, live: bool = False) -> SetRecord:
    """Make every copy production itself; the old plexes become its stale mirrors.

    BusyError while a client has one of the volumes open for writing, unless `live`, and while one
    is attached and mounted.
    """
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    _require(desk, one, survey, "promote")
    _require_unused(desk, one)
    left = [member for member in one.members if _holds(survey, one, member)]
    names = [member.volume for member in left]
    if not live:
        desk.require_no_writer(names)
    attached.prepare(desk, names, "promote")
    with desk.session(names) as session:
        members.check(session, one, left, "promote")
        for name in names:  # the engine refuses the others: somebody may have pinned it just now
            snapshot = session.info(name).snapshot(one.id)
            if snapshot is not None and len(left) == len(one.members):
                sets.require_unpinned(replace(one, pinned_until=snapshot.pinned_until), "promote")
        # Known to the catalog with all members: a promotion that stops half-way is continued by it.
        desk.record(lambda catalog: catalog.record_set(one))
        resume = f"exshadow snapshot promote {one.id}"
        try:
            members.each(
                names, lambda name: session.volumes[name].promote(one.label), "promoted", resume
            )
        finally:
            attached.refresh(desk, names)
    return _ended(desk, one)


def _holds(survey: Survey, one: SetRecord, member: Member) -> bool:
    volume = survey.volumes.get(member.volume)
    return volume is not None and volume.snapshot(one.id) is not None


def _half_promoted(desk: Desk, one: SetRecord, survey: Survey) -> bool:
    """Whether what the set lacks is production by now: a promotion that did not reach all."""
    facts = desk.facts()
    known = next((found for found in facts.sets() if found.id == one.id), None) if facts else None
    if one.state != "failed" or known is None:
        return False
    gone = [member for member in known.members if not _holds(survey, one, member)]
    return bool(gone) and all(_is_production(survey, member) for member in gone)


def _is_production(survey: Survey, member: Member) -> bool:
    volume = survey.volumes.get(member.volume)
    plex = volume.plex(member.plex) if volume else None
    return plex is not None and plex.authority and plex.path == member.path


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
