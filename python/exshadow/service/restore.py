"""restore: production becomes the snapshot again. The set is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from exshadow.errors import BusyError, Error, InvalidError, NotFoundError, RefusedError
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
    """Every step: what would be written where, at most, and how long that took before; what
    would stop it now, as a client or a mount does, is the plan's refusal, since it passes.
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
        copied = f"copy from {member.path} to"
        certain, others = _left(targets) if keeping else (targets, [])
        steps += [Step(copied, member.volume, plex.path, changed) for plex in certain]
        stays = f"{copied} what stays of"
        paths = ", ".join(plex.path for plex in others)
        steps += [Step(stays, member.volume, paths, changed) for _ in others[1:]]
    found = Plan(f"restore {one.group}@{one.label}", tuple(steps))
    names = [member.volume for member in members]
    return replace(rates.estimated(desk, found), refusal=_refusal(desk, names, survey, wish))


def _refusal(desk: Desk, names: Sequence[str], survey: Survey, wish: RestoreWish) -> Error | None:
    """What copy_back would end with before it changed anything."""
    try:
        if not wish.live:
            desk.require_no_writer(names)
        attached.require_unmounted(desk, names, "restore")
        desk.require_unheld(survey.volumes[name] for name in names)
    except BusyError as problem:
        return problem
    return None


def kept_steps(desk: Desk, one: SetRecord, members: Sequence[Member], survey: Survey) -> list[Step]:
    """What keeping production takes; nothing when it is kept already. RefusedError where no plex
    can be spared."""
    if kept_already(desk, one, members, survey) is not None:
        return []
    steps = []
    for member in members:
        record = survey.volumes[member.volume]
        mirrors.require_spare(record)
        spare = [one for one in record.plexes if one.state == "in_sync" and not one.authority]
        action = f"split as {KEPT_LABEL}"
        if len(spare) > 1:
            action += ", the one that joined the mirror last, of"
        steps.append(Step(action, member.volume, ", ".join(one.path for one in spare)))
    return steps


def _left(targets: Sequence[PlexRecord]) -> tuple[list[PlexRecord], list[PlexRecord]]:
    """The plexes that are written when production is kept first, and those of which one goes:
    which, only the open volume tells (the one that joined last, never the authority)."""
    authority = [plex for plex in targets if plex.authority]
    return authority, [plex for plex in targets if not plex.authority]


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
