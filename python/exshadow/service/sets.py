"""Snapshot sets: assembled from the volume files, enriched by the catalog, found by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import TYPE_CHECKING

from exshadow.catalog.store import Catalog
from exshadow.errors import InvalidError, NotFoundError, RefusedError
from exshadow.model import (
    UNFINISHED,
    Member,
    SetRecord,
    SnapshotRecord,
    VolumeRecord,
    summary,
)
from exshadow.names import close_match, is_pinned
from exshadow.service import copies
from exshadow.service.state import Survey

if TYPE_CHECKING:
    from exshadow.service.desk import Desk

PROVIDER = "native"
_LEAST_PREFIX = 8


def assemble(survey: Survey, catalog: Catalog | None) -> list[SetRecord]:
    """Every set the volume files hold, then those only the catalog remembers; oldest first."""
    known = {one.id: one for one in catalog.sets()} if catalog else {}
    parts: dict[str, list[tuple[VolumeRecord, SnapshotRecord]]] = {}
    for volume in survey.volumes.values():
        for snapshot in volume.snapshots:
            parts.setdefault(snapshot.set_id, []).append((volume, snapshot))
    live = [_live(found, survey, known.get(set_id)) for set_id, found in parts.items()]
    others = [one for one in known.values() if one.id not in parts]
    lent = _lent(others, catalog)
    gone = [replace(_gone(one, survey), lent_to=lent.get(one.id, "")) for one in others]
    place = _places(survey)
    return sorted(live + gone, key=lambda one: (one.created, place.get(one.id, -1), one.id))


def _places(survey: Survey) -> dict[str, int]:
    """The order of the sets, which times of whole seconds do not tell: volume files list their
    snapshots as they were made, each those that it has."""
    lists = [
        [snapshot.set_id for snapshot in volume.snapshots] for volume in survey.volumes.values()
    ]
    order: TopologicalSorter[str] = TopologicalSorter({one: () for ids in lists for one in ids})
    for ids in lists:
        for earlier, later in pairwise(ids):
            order.add(later, earlier)
    try:
        return {one: index for index, one in enumerate(order.static_order())}
    except CycleError:  # volumes that were put together from several times
        return {one: index for ids in lists for index, one in enumerate(ids)}


def _lent(known: Sequence[SetRecord], catalog: Catalog | None) -> dict[str, str]:
    """Hosts that have sets of other providers."""
    if catalog is None or all(one.provider == PROVIDER for one in known):
        return {}
    from exshadow.catalog.lent import lent_sets

    return lent_sets(catalog)


def from_volumes(volumes: Sequence[VolumeRecord], set_id: str) -> SetRecord:
    """The set as these volumes hold it, without the catalog's facts."""
    survey = Survey({volume.name: volume for volume in volumes}, {})
    parts = [(volume, one) for volume in volumes if (one := volume.snapshot(set_id))]
    return _live(parts, survey, None)


def _live(
    parts: list[tuple[VolumeRecord, SnapshotRecord]], survey: Survey, known: SetRecord | None
) -> SetRecord:
    volume, first = parts[0]
    state, note = _state(parts, survey, known)
    members = [Member(one.name, snapshot.plex, snapshot.path, one.size) for one, snapshot in parts]
    if state == "resyncing" and known:  # those that gave the set up already are to be continued
        here = {member.volume for member in members}
        members += [one for one in unfinished(known, survey) if one.volume not in here]
    one = SetRecord(
        id=first.set_id,
        label=first.label,
        group=volume.group,
        created=first.created,
        provider=known.provider if known else PROVIDER,
        consistency=first.consistency,
        state=state,
        members=tuple(sorted(members, key=lambda member: member.volume)),
        pinned_until=_longest_pin(parts),
        hold_us=known.hold_us if known else 0,
        note=note,
        missing=_absent(parts, survey),
        checks=known.checks if known else (),
    )
    return _judged(one)


def _judged(one: SetRecord) -> SetRecord:
    """With the verdicts that still hold."""
    checks = copies.standing(one)
    return replace(one, checks=checks, verified=summary(checks))


def _state(
    parts: list[tuple[VolumeRecord, SnapshotRecord]], survey: Survey, known: SetRecord | None
) -> tuple[str, str]:
    """The set's state and why, from its members' states. The first that applies:"""
    states = {snapshot.state for _, snapshot in parts}
    names = {name for _, snapshot in parts for name in snapshot.members}
    absent = _absent(parts, survey)
    left = sorted(names - {volume.name for volume, _ in parts} - set(absent))
    if "failed" in states:
        return "failed", "a member failed"
    if "in_doubt" in states:
        return "creating", f"in doubt until volume {', '.join(absent or left)} is here"
    for state in ("restoring", "resyncing", "creating"):
        if state in states:
            return state, ""
    if left:
        begun = known.state if known and known.state in ("resyncing", "dissolved") else "failed"
        return begun, f"volume {', '.join(left)} holds it no longer"
    return "ready", f"volume {', '.join(absent)} is not here" if absent else ""


def _absent(parts: list[tuple[VolumeRecord, SnapshotRecord]], survey: Survey) -> tuple[str, ...]:
    """Volumes of the set that are not here, or cannot be read."""
    names = {name for _, snapshot in parts for name in snapshot.members}
    return tuple(sorted(names - set(survey.volumes)))


def _longest_pin(parts: list[tuple[VolumeRecord, SnapshotRecord]]) -> str | None:
    pins = [snapshot.pinned_until for _, snapshot in parts if snapshot.pinned_until]
    return next((pin for pin in pins if is_pinned(pin)), pins[0] if pins else None)


def _gone(one: SetRecord, survey: Survey) -> SetRecord:
    """A set no volume file holds: dissolved, or a resync that has not brought all plexes back.
    What another provider holds is as the catalog has it."""
    if one.provider != PROVIDER:
        return one
    if one.state == "resyncing" and unfinished(one, survey):
        return _judged(replace(one, note="its resync was interrupted; repeat it"))
    return _judged(replace(one, state="dissolved", pinned_until=None))


def unfinished(one: SetRecord, survey: Survey) -> list[Member]:
    """Members whose plex is attached but not in sync again."""
    found = []
    for member in one.members:
        volume = survey.volumes.get(member.volume)
        plex = volume.plex(member.plex) if volume else None
        if plex is not None and plex.state in UNFINISHED:
            found.append(member)
    return found


def is_present(one: SetRecord) -> bool:
    return one.state != "dissolved"


def find(desk: Desk, text: str, survey: Survey | None = None) -> SetRecord:
    """The set called `text`: its id (or 8 or more leading characters), GROUP@LABEL, or a label.

    NotFoundError; InvalidError when a label is ambiguous. Dissolved sets are found by id only.
    """
    survey = survey or desk.folder.survey()
    return choose(assemble(survey, desk.facts()), text, survey)


def choose(every: Sequence[SetRecord], text: str, survey: Survey) -> SetRecord:
    """The one of `every` that `text` means; see :func:`find`."""
    present = [one for one in every if is_present(one)]
    group, at, label = text.partition("@")
    tries = [
        [one for one in every if one.id == text.lower()],
        [one for one in present if at and (one.group, one.label) == (group, label)],
        [one for one in present if one.label == text],
        [one for one in every if len(text) >= _LEAST_PREFIX and one.id.startswith(text.lower())],
    ]
    found = next((matches for matches in tries if matches), [])
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(sorted({f"{one.group}@{one.label}" for one in found}))
        raise InvalidError(f"{text!r} is ambiguous: {names}", hint="use GROUP@LABEL or the id")
    if survey.problem is not None:
        raise survey.problem  # it may well be a set of the volume that cannot be read
    raise NotFoundError(f"no snapshot set {text!r}", hint=_near(present, text, survey))


_SHOWN = 5


def _near(present: Sequence[SetRecord], text: str, survey: Survey) -> str:
    """What may have been meant: GROUP@LABEL for VOLUME@LABEL, names that are nearly the same, the
    newest sets of the group, and the command that lists all."""
    listing = "see: exshadow snapshot list"
    group, at, label = text.partition("@")
    volume = survey.volumes.get(group)
    names = [f"{one.group}@{one.label}" for one in present]
    if at and volume is not None and volume.group != group:
        mine = [name for name in names if name.startswith(f"{volume.group}@")]
        inside = f"volume {group} is in group {volume.group}, and sets are named by the group: "
        if f"{volume.group}@{label}" in mine:
            return f"{inside}{volume.group}@{label}; {listing}"
        return f"{inside}{', '.join(mine[-_SHOWN:]) or 'it has no set'}; {listing}"
    if at:
        mine = [name for name in names if name.startswith(f"{group}@")]
        known = f"{group} has {', '.join(mine[-_SHOWN:])}; " if mine else ""
        return f"{close_match(text, names)}{known}{listing}"
    if any(one.group == text for one in present):
        mine = [name for name in names if name.startswith(f"{text}@")]
        return f"{text} is a group; its sets: {', '.join(mine[-_SHOWN:])}; {listing}"
    by_label = {one.label: f"{one.group}@{one.label}" for one in present}
    return f"{close_match(text, [*by_label, *names])}{listing}"


def require_native(one: SetRecord, verb: str) -> None:
    """RefusedError for a set that another provider holds: no volume file here knows it."""
    if one.provider != PROVIDER:
        raise RefusedError(
            f"cannot {verb} set {one.group}@{one.label}: provider {one.provider} holds it",
            hint="restore and snapshot verify, resync, promote, delete work with any provider",
        )


def require_whole(one: SetRecord, survey: Survey, verb: str) -> None:
    """RefusedError unless every member of the set is here and ready for `verb`."""
    require_native(one, verb)
    for member in one.members:
        if problem := survey.problems.get(member.volume):
            raise problem
    if one.state == "ready" and not one.note:
        return
    why = f": {one.note}" if one.note else ""
    raise RefusedError(
        f"cannot {verb} set {one.group}@{one.label} in state {one.state}{why}",
        hint=_WAY_OUT.get(one.state, "bring back the missing volume file"),
    )


def require_here(desk: Desk, one: SetRecord, survey: Survey, verb: str) -> None:
    """The same, but volumes that are not here are only said: `verb` is done to the others."""
    if one.state != "ready" or not one.missing:
        require_whole(one, survey, verb)
        return
    desk.reporter.note(
        f"set {one.group}@{one.label}: volume {', '.join(one.missing)} is not here; "
        f"{verb} of {', '.join(member.volume for member in one.members)} only"
    )


def require_readable(desk: Desk, one: SetRecord, survey: Survey, verb: str) -> None:
    """The same for what only reads the copies: an instant restore leaves them as they are."""
    require_native(one, verb)
    if not is_moving(one, survey):
        require_here(desk, one, survey, verb)


def is_moving(one: SetRecord, survey: Survey) -> bool:
    """Whether an instant restore of the set, and nothing else, is under way."""
    states = {survey.volumes[member.volume].state for member in one.members}
    return one.state == "restoring" and not one.missing and states <= {"moving", "ok"}


_WAY_OUT = {
    "dissolved": "its copies are plain files now",
    "resyncing": "repeat: exshadow snapshot resync SET",
    "restoring": "finish the restore: exshadow restore SET, or exshadow mirror sync VOLUME",
    "creating": "open the missing volume, the set is then completed or rolled back",
    "failed": "delete it: exshadow snapshot delete SET",
}


def require_unpinned(one: SetRecord, verb: str) -> None:
    """RefusedError while a pin is in force."""
    if is_pinned(one.pinned_until):
        raise RefusedError(
            f"cannot {verb} set {one.group}@{one.label}: it is pinned until {one.pinned_until}",
            hint=f"exshadow snapshot pin {one.group}@{one.label} --clear --reason TEXT",
        )
