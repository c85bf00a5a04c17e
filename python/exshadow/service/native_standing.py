"""How far an action of the native provider is, and how its mirrors are, read back from the volume
files. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Sequence

from exshadow.model import UNFINISHED, Member, SetRecord, VolumeRecord
from exshadow.providers.contract import Action, Mirror, MirrorState, Stage, Standing, Verb
from exshadow.service.contract import Service

_COPYING = frozenset({"syncing", "resyncing"})
_UNDER_WAY = UNFINISHED | {"in_sync", "splitting"}


def look(service: Service, action: Action) -> Standing:
    """Of every verb but the abort of a preparation."""
    one = find(service, action.set_id) if action.set_id else None
    volumes = [service.show_volume(source.name) for source in action.volumes]
    match action.verb:
        case Verb.PREPARE:
            return _prepared(action, volumes)
        case Verb.SPLIT:
            return _split(service, action, one)
        case Verb.RESYNC:
            return _resynced(action, one, volumes)
        case Verb.RESTORE:
            return _restored(service, action, one, volumes)
        case Verb.PROMOTE:
            return _promoted(action, one, volumes)
        case Verb.PRESENT:
            return Standing(Stage.DONE, members=one.members) if one else _no_set(action)
        case Verb.UNPRESENT:
            return Standing(Stage.DONE)
        case Verb.LEND | Verb.RECALL:
            return Standing(Stage.ABSENT) if one else _no_set(action)
        case Verb.DISSOLVE | Verb.ABORT:
            if one is None:
                return Standing(Stage.DONE)
            return Standing(Stage.ABSENT if one.state == "ready" else Stage.HALF, one.note)


def find(service: Service, set_id: str) -> SetRecord | None:
    """The set, None when it has ended or never was."""
    return next((one for one in service.list_sets().sets if one.id == set_id), None)


def taken(action: Action, volume: VolumeRecord) -> str:
    """Why a mirror cannot be prepared."""
    holds = next((one.label for one in volume.snapshots if one.plex == action.mirror), "another")
    return f"mirror {action.mirror} of volume {volume.name} is set {action.group}@{holds}"


def _no_set(action: Action) -> Standing:
    return Standing(Stage.FAILED, f"there is no set {action.set_id}")


def _prepared(action: Action, volumes: Sequence[VolumeRecord]) -> Standing:
    plexes = [one.plex(action.mirror) for one in volumes]
    for volume, plex in zip(volumes, plexes, strict=True):
        if plex is not None and plex.state not in _UNDER_WAY:
            return Standing(Stage.FAILED, taken(action, volume))
    total = sum(one.size for one in volumes)
    left = _to_sync(action.mirror, volumes)
    if all(plex is not None and plex.state == "in_sync" for plex in plexes):
        return Standing(Stage.DONE, "in sync", total, total)
    stage = _going(volumes, action.mirror)
    if all(plex is None for plex in plexes):
        stage = Stage.ABSENT
    return Standing(stage, "not in sync yet", total - left, total)


def _split(service: Service, action: Action, one: SetRecord | None) -> Standing:
    if one is None:
        every = service.list_sets(everything=True).sets
        if any(found.id == action.set_id for found in every):
            return Standing(Stage.FAILED, "the set was split and has ended since")
        return Standing(Stage.ABSENT)
    if one.state == "creating":
        return Standing(Stage.RUNNING, one.note or one.state)
    if one.state == "failed":
        return Standing(Stage.FAILED, one.note or "a member failed")
    return Standing(Stage.DONE, one.label, members=one.members)


def _resynced(action: Action, one: SetRecord | None, volumes: Sequence[VolumeRecord]) -> Standing:
    if one is not None and one.state in ("ready", "failed"):
        return Standing(Stage.ABSENT)
    plexes = [volume.plex(action.mirror) for volume in volumes]
    # A volume that came to the group after the set has no such plex yet.
    there = [plex for plex in plexes if plex is not None]
    if one is None and (not there or any(plex.state not in _UNDER_WAY for plex in there)):
        return _no_set(action)
    if one is None and all(plex.state == "in_sync" for plex in there):
        return Standing(Stage.DONE, "in sync")
    volumes = [volume for volume in volumes if volume.plex(action.mirror) is not None]
    total = sum(volume.size for volume in volumes)
    left = _to_sync(action.mirror, volumes)
    return Standing(_going(volumes, action.mirror), "not in sync yet", total - left, total)


def _restored(
    service: Service, action: Action, one: SetRecord | None, volumes: Sequence[VolumeRecord]
) -> Standing:
    if one is None:
        return _no_set(action)
    if one.state == "restoring":
        left = sum(volume.bytes_to_move for volume in volumes)
        running = any(volume.owner for volume in volumes)
        return Standing(Stage.RUNNING if running else Stage.HALF, f"{left} bytes left")
    if one.state != "ready":
        return Standing(Stage.FAILED, f"the set is {one.state}")
    changed = sum(member.bytes for member in service.diff_set(one.id))
    if changed == 0:
        return Standing(Stage.DONE, "production is the set", members=one.members)
    return Standing(Stage.ABSENT, f"{changed} bytes differ at most")


def _promoted(action: Action, one: SetRecord | None, volumes: Sequence[VolumeRecord]) -> Standing:
    if one is not None:
        return Standing(Stage.ABSENT if one.state == "ready" else Stage.HALF, one.note)
    members = [
        Member(volume.name, plex.label, plex.path, plex.size)
        for volume in volumes
        if (plex := volume.plex(action.mirror)) and plex.authority
    ]
    if len(members) < len(volumes):
        return _no_set(action)
    return Standing(Stage.DONE, "production", members=tuple(members))


def _to_sync(label: str, volumes: Sequence[VolumeRecord]) -> int:
    plexes = [one.plex(label) for one in volumes]
    return sum(
        plex.bytes_to_sync if plex else one.size for one, plex in zip(volumes, plexes, strict=True)
    )


def _going(volumes: Sequence[VolumeRecord], label: str) -> Stage:
    """Whether somebody, a daemon, copies to an unfinished mirror now."""
    for volume in volumes:
        plex = volume.plex(label)
        if plex is not None and plex.state in _COPYING and volume.owner:
            return Stage.RUNNING
    return Stage.HALF


def mirror(label: str, volumes: Sequence[VolumeRecord]) -> Mirror:
    """The least advanced of the volumes counts."""
    plexes = [one.plex(label) for one in volumes]
    held = {
        snapshot.set_id: snapshot.state
        for one in volumes
        for snapshot in one.snapshots
        if snapshot.plex == label
    }
    states = {plex.state if plex else "none" for plex in plexes}
    set_id = next(iter(held)) if len(held) == 1 else ""
    notes = "; ".join(plex.note for plex in plexes if plex and plex.note)
    paths = tuple(plex.path for plex in plexes if plex)
    if "restoring" in held.values():
        return Mirror(label, MirrorState.RESTORING, set_id=set_id, presented=paths)
    if "split" in states and states <= {"split", "none"}:  # it may be older than a volume
        return Mirror(label, MirrorState.SPLIT, set_id=set_id, presented=paths)
    if states == {"in_sync"}:
        return Mirror(label, MirrorState.READY)
    if states == {"none"}:
        return Mirror(label, MirrorState.NONE)
    if states <= _UNDER_WAY | {"none"}:
        size = sum(one.size for one in volumes)
        percent = 100 * (size - _to_sync(label, volumes)) // max(size, 1)
        return Mirror(label, MirrorState.SYNCING, percent, set_id, detail=notes)
    return Mirror(label, MirrorState.BROKEN, set_id=set_id, detail=notes or "volumes differ")
