"""snapshot create, list, show, diff."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from exshadow.errors import ExistsError, InvalidError, RefusedError
from exshadow.model import ChangedMember, SetRecord, VolumeRecord
from exshadow.names import check_name, time_label
from exshadow.service import mirrors, sets
from exshadow.service.desk import Desk, Session
from exshadow.service.records import extents
from exshadow.service.state import Survey


def create(
    desk: Desk, group: str, *, label: str | None = None, plex: str | None = None
) -> SetRecord:
    """Split every volume of the group at one instant: one set. The last in-sync plex never splits.

    `plex` names the plex of every volume that leaves; otherwise the newest in-sync one that is not
    the authority. All members split or none.
    """
    with armed(desk, group, label=label, plex=plex) as split_now:
        return split_now(str(uuid.uuid4()), "crash")


HOLD_SECONDS = 10.0
"""A split that takes longer is of no use: writes were held for it, or might have been."""
LATEST_SPLIT = 90.0
"""Seconds after a group was armed in which the split may still come: the longest freeze, holding
writes, and time to spare."""
_CONSISTENCIES = ("application", "filesystem", "crash")

Split = Callable[[str, str], SetRecord]
"""Splits: id of the set, consistency."""


@contextmanager
def armed(
    desk: Desk, group: str, *, label: str | None = None, plex: str | None = None
) -> Iterator[Split]:
    """The same in two steps: everything that takes long or may be refused beforehand, then the
    split itself, as quick as it gets, while others hold still for it."""
    volumes = desk.folder.group(group)
    _refuse_unreadable(desk, group)
    chosen = _label(volumes, label)
    for volume in volumes:
        if plex is not None:
            mirrors.require_plex(volume, plex)
    names = [volume.name for volume in volumes]
    made: list[SetRecord] = []
    with desk.session(names) as session:
        for name in names:
            session.volumes[name].flush()  # what is dirty by now does not wait for the split

        def split_now(set_id: str, consistency: str) -> SetRecord:
            made.append(_split(session, names, chosen, plex, set_id, consistency))
            return made[-1]

        try:
            yield split_now
        finally:
            for one in made:  # when nobody holds still for it any more
                _record(session, one)


def split(
    session: Session,
    names: list[str],
    label: str,
    plex: str | None = None,
    *,
    set_id: str | None = None,
    consistency: str = "crash",
) -> SetRecord:
    """Split open volumes and record the set."""
    made = _split(session, names, label, plex, set_id or str(uuid.uuid4()), consistency)
    _record(session, made)
    return made


def _split(
    session: Session,
    names: list[str],
    label: str,
    plex: str | None,
    set_id: str,
    consistency: str,
) -> SetRecord:
    session.engine.split(
        [session.volumes[name] for name in names],
        label,
        plexes=dict.fromkeys(names, plex) if plex is not None else None,
        set_id=set_id,
        consistency=consistency,
    )
    return sets.from_volumes([session.info(name) for name in names], set_id)


def _record(session: Session, made: SetRecord) -> None:
    desk = session.desk
    desk.record(lambda catalog: catalog.record_set(made))
    desk.record_volumes(*(session.info(member.volume) for member in made.members))


def _label(volumes: tuple[VolumeRecord, ...], label: str | None) -> str:
    """A label that no snapshot of these volumes has."""
    taken = {snapshot.label for volume in volumes for snapshot in volume.snapshots}
    if label is not None:
        check_name(label, "label")
        if label in taken:
            raise ExistsError(
                f"group {volumes[0].group} has a snapshot {label} already", hint="choose another"
            )
        return label
    return free_label(time_label(), taken)


def free_label(wanted: str, taken: set[str]) -> str:
    """`wanted`, else `wanted`-2 and so on."""
    label, count = wanted, 1
    while label in taken:
        count += 1
        label = f"{wanted}-{count}"
    return label


def _refuse_unreadable(desk: Desk, group: str) -> None:
    """A set without one of the group's volumes is no set: raise what is wrong with that volume."""
    problems = desk.folder.survey().problems
    if not problems:
        return
    known = desk.catalog.volumes()
    for name, problem in problems.items():
        # A volume nobody recorded may be of any group.
        if name not in known or known[name]["group"] == group:
            raise problem


@dataclass(frozen=True, slots=True)
class Listing:
    """Sets, oldest first, and what could not be read."""

    sets: tuple[SetRecord, ...]
    survey: Survey


def listing(desk: Desk, group: str | None = None, *, everything: bool = False) -> Listing:
    """Sets of all groups or one; `everything` adds dissolved ones. Takes no lock."""
    survey = desk.folder.survey()
    every = [one for one in sets.assemble(survey, desk.facts()) if group in (None, one.group)]
    if group is not None and not any(one.provider != sets.PROVIDER for one in every):
        desk.folder.group(group)  # NotFoundError that names the groups
    found = [one for one in every if everything or sets.is_present(one)]
    return Listing(tuple(found), survey)


def show(desk: Desk, text: str) -> SetRecord:
    """One set; takes no lock."""
    return sets.find(desk, text)


def diff(desk: Desk, text: str, since: str | None = None) -> tuple[ChangedMember, ...]:
    """Where each volume may differ between production now (or `since`) and the set; no lock."""
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    other = sets.find(desk, since, survey) if since is not None else None
    _require_live(one, survey)
    if other is not None:
        _require_live(other, survey)
        if other.group != one.group:
            raise InvalidError(f"sets of groups {one.group} and {other.group} share no volume")
    changed = []
    for member in one.members:
        if other is not None and member.volume not in {m.volume for m in other.members}:
            raise InvalidError(f"set {other.label} has no copy of volume {member.volume}")
        rows = desk.folder.changed(member.volume, one.label, other.label if other else None)
        region_size = survey.volumes[member.volume].region_size
        changed.append(ChangedMember(member.volume, region_size, extents(rows)))
    return tuple(changed)


def _require_live(one: SetRecord, survey: Survey) -> None:
    """RefusedError unless the volume files hold every member's change map."""
    for member in one.members:
        volume = survey.volumes.get(member.volume)
        if volume is None or volume.snapshot(one.id) is None:
            sets.require_whole(one, survey, "compare")
            raise RefusedError(f"volume {member.volume} does not hold set {one.label}")


def mark(desk: Desk, text: str, consistency: str) -> SetRecord:
    """Say of every copy what it is: ``application``, ``filesystem`` or ``crash``."""
    if consistency not in _CONSISTENCIES:
        raise InvalidError(
            f"a set is not {consistency!r}", hint=f"it is one of {', '.join(_CONSISTENCIES)}"
        )
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    sets.require_readable(desk, one, survey, "mark")
    with desk.session([member.volume for member in one.members]) as session:
        for member in one.members:
            session.volumes[member.volume].set_consistency(one.label, consistency)
        records = [session.info(member.volume) for member in one.members]
    marked = replace(sets.from_volumes(records, one.id), verified=one.verified, checks=one.checks)
    desk.record(lambda catalog: catalog.record_set(marked))
    return marked
