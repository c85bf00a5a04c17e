"""restore: production becomes the snapshot again. The set is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from exshadow.errors import Error, InvalidError, NotFoundError, RefusedError
from exshadow.model import (
    JobRecord,
    Member,
    Plan,
    PlexRecord,
    SetRecord,
    Step,
    Verification,
    VolumeRecord,
)
from exshadow.names import format_size
from exshadow.service import attached, jobs, mirrors, rates, sets, snapshots
from exshadow.service import members as whole
from exshadow.service.desk import Desk, Session
from exshadow.service.state import Survey

if TYPE_CHECKING:
    from exshadow._core import Job

KEPT_LABEL = "before-restore"
MODES = ("copy", "instant")


@dataclass(frozen=True, slots=True)
class RestoreWish:
    """How a set is to be restored: which volumes (all), and what is done with production first.

    `live`: also while a client has a volume open for writing. `limit`: bytes a second.
    `roll_forward`: database volumes only; the current logs stay and are proved to fit.
    """

    volumes: tuple[str, ...] = ()
    mode: str = "copy"
    keep_current: bool = False
    live: bool = False
    limit: int | None = None
    roll_forward: bool = False


@dataclass(frozen=True, slots=True)
class Restored:
    """`kept`: the set that production went into first. `verdict`: of a roll-forward, and `error`
    when that is bad."""

    job: JobRecord
    kept: SetRecord | None = None
    verdict: Verification | None = None
    error: Error | None = None


def check_mode(mode: str) -> None:
    """InvalidError for what is no mode of restoring."""
    if mode not in MODES:
        raise InvalidError(f"{mode!r} is no restore mode", hint=f"use {' or '.join(MODES)}")


def plan(desk: Desk, text: str, wish: RestoreWish) -> Plan:
    """Every step: what would be written where, at most, and how long that took before.
    RefusedError for what a restore would refuse: a volume whose production is lost, none to spare.
    """
    check_mode(wish.mode)
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    members = _members(desk, one, survey, wish.volumes)
    steps: list[Step] = []
    if wish.keep_current:
        steps += kept_steps(desk, one, members, survey)
    keeping = bool(steps)
    for member in members:
        record = survey.volumes[member.volume]
        targets = [plex for plex in record.plexes if plex.state == "in_sync"]
        if lost := _lost(record, targets):
            raise RefusedError(
                f"volume {member.volume} cannot be restored: {lost}; its copy can become "
                f"production: {member.path}",
                hint=rates.PROMOTE.format(set=f"{one.group}@{one.label}"),
            )
        if not Path(member.path).exists():
            raise NotFoundError(
                f"volume {member.volume} cannot be restored: its copy {member.path} is gone",
                hint="bring it back, or restore another set: exshadow snapshot list",
            )
        snapshot = record.snapshot(one.id)
        changed = snapshot.changed_bytes if snapshot else record.size
        steps += [
            Step(f"copy from {member.path} to", member.volume, plex.path, changed)
            for plex in (_without_spare(targets) if keeping else targets)
        ]
    return rates.estimated(desk, Plan(f"restore {one.group}@{one.label}", tuple(steps)))


def kept_steps(desk: Desk, one: SetRecord, members: Sequence[Member], survey: Survey) -> list[Step]:
    """What keeping production takes; nothing when it is kept already. RefusedError where no plex
    can be spared."""
    if kept_already(desk, one, members, survey) is not None:
        return []
    for member in members:
        mirrors.require_spare(survey.volumes[member.volume])
    return [Step(f"split a spare plex as {KEPT_LABEL}", m.volume, "") for m in members]


def _without_spare(targets: Sequence[PlexRecord]) -> list[PlexRecord]:
    """What is left to be written when production is kept first: the plex that joined last goes, as
    far as their order tells, never the authority."""
    spare = [plex for plex in targets if not plex.authority][-1:]
    return [plex for plex in targets if plex not in spare]


def _lost(record: VolumeRecord, targets: Sequence[PlexRecord]) -> str:
    """Why a volume has no production to be restored; empty when it has."""
    if not targets:
        return "it has no production plex"
    if not any(Path(plex.path).exists() for plex in targets):
        return f"its production {targets[0].path} is gone"
    return ""


def _members(desk: Desk, one: SetRecord, survey: Survey, volumes: Sequence[str]) -> list[Member]:
    """The members to be restored; refuses unknown names and sets that are not whole."""
    sets.require_native(one, "restore")
    if one.state == "ready" and volumes:  # chosen ones need not wait for those that are not here
        sets.require_here(desk, one, survey, "restore")
    elif one.state != "restoring":  # an interrupted restore is continued by repeating it
        if one.missing and one.state == "ready":
            raise RefusedError(
                f"cannot restore set {one.group}@{one.label} as a whole: {one.note}",
                hint="restore what is here with --volume NAME, or bring the volume file back",
            )
        sets.require_whole(one, survey, "restore")
    unknown = sorted(set(volumes) - {member.volume for member in one.members})
    if unknown:
        raise NotFoundError(
            f"set {one.group}@{one.label} has no volume {', '.join(unknown)}",
            hint=f"it has: {', '.join(member.volume for member in one.members)}",
        )
    return [member for member in one.members if not volumes or member.volume in volumes]


def copy_back(desk: Desk, text: str, wish: RestoreWish) -> Restored:
    """Bring the set's bytes back over production, only what differs; to all in-sync plexes.

    With `keep_current` production as it is now is first kept as a set of its own. All members
    start before any is waited for: after an interruption none looks whole. With mode instant
    production is the set before anything is copied, in all members at one instant.
    BusyError while a client has one of the volumes open for writing, unless `live`, and while one
    is attached and mounted.
    """
    check_mode(wish.mode)
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    members = _members(desk, one, survey, wish.volumes)
    names = [member.volume for member in members]
    kept = kept_already(desk, one, members, survey) if wish.keep_current else None
    keeps = wish.keep_current and kept is None
    if keeps:
        for name in names:
            mirrors.require_spare(survey.volumes[name])
    elif kept is not None:
        desk.reporter.note(f"production is kept already, as set {kept.group}@{kept.label}")
    if not wish.live:
        desk.require_no_writer(names)
    attached.prepare(desk, names, "restore")
    resume = _resume(one, names, wish)
    watch = jobs.Watch(f"restore of {one.group}@{one.label}", one.label, resume)
    with desk.session(names) as session:
        whole.check(session, one, members, "restore")
        if keeps:
            kept = keep(session, members)
        started = _start(session, one, names, wish, watch)
        attached.refresh(desk, names)
        if wish.mode == "instant":
            _tell(session, one, started, kept, watch)
        try:
            result = jobs.run(desk, started, watch)
        finally:
            attached.refresh(desk, names)
        for name in names:
            known = survey.volumes[name].events
            session.say(name, session.volumes[name].info()["events"], known)
    return Restored(result, kept)


def _tell(
    session: Session,
    one: SetRecord,
    started: Mapping[str, Job],
    kept: SetRecord | None,
    watch: jobs.Watch,
) -> None:
    """Production is the set from now on; say so, and what is left to be moved."""
    left = sum(session.info(name).bytes_to_move for name in started)
    total = replace(jobs.progress(started, watch.what), bytes_total=left)
    session.desk.reporter.progress(watch.what, total)
    text = f"production is {one.label} now; {format_size(left)} are still to be moved behind"
    session.desk.usable(f"{', '.join(started)}: {text}", kept)


def _start(
    session: Session, one: SetRecord, names: Sequence[str], wish: RestoreWish, watch: jobs.Watch
) -> Mapping[str, Job]:
    """The members' jobs. An instant restore answers with the snapshot's bytes from here on."""
    chosen = [session.volumes[name] for name in names]
    if wish.mode == "instant":
        return session.engine.restore(chosen, one.label, limit=wish.limit)
    volumes = session.volumes
    return jobs.begin(names, lambda name: volumes[name].restore(one.label, limit=wish.limit), watch)


def _resume(one: SetRecord, names: Sequence[str], wish: RestoreWish) -> str:
    """How to go on: an instant restore repeated would drop what was written since."""
    if wish.mode == "instant":
        return " && ".join(f"exshadow mirror sync {name}" for name in names)
    volumes = "".join(f" --volume {name}" for name in wish.volumes)
    return f"exshadow restore {one.id}{volumes}" + (" --roll-forward" * wish.roll_forward)


def kept_already(
    desk: Desk, one: SetRecord, members: Sequence[Member], survey: Survey
) -> SetRecord | None:
    """The set that an interrupted try kept production in: the newest of these volumes so called,
    when they are being restored now or have not changed since it was split off."""
    volumes = [survey.volumes[member.volume] for member in members]
    every = sets.assemble(survey, desk.facts())
    place = next((index for index, found in enumerate(every) if found.id == one.id), 0)
    for index, found in reversed(list(enumerate(every))):
        if index == place or not found.label.startswith(KEPT_LABEL):
            continue
        kept = [snapshot for volume in volumes if (snapshot := volume.snapshot(found.id))]
        if found.state != "ready" or len(kept) < len(volumes):
            continue
        unfinished = one.state == "restoring" and index > place
        if unfinished or not any(snapshot.changed_bytes for snapshot in kept):
            return found
    return None


def keep(session: Session, members: list[Member]) -> SetRecord:
    names = [member.volume for member in members]
    taken = {one.label for name in names for one in session.info(name).snapshots}
    return snapshots.split(session, names, snapshots.free_label(KEPT_LABEL, taken))
