"""The array as the chooser sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from exshadow.errors import RefusedError
from exshadow.providers.eva import names
from exshadow.providers.eva.array import Array, View
from exshadow.providers.eva.bounds import Bounds
from exshadow.providers.eva.objects import DiskGroup, Form, Vdisk
from exshadow.providers.eva.session import OtherManagerError
from exshadow.providers.eva.settings import EvaSettings, Kind
from exshadow.providers.facts import ArrayFacts, ArrayVolume, CopyKind, Room

_KINDS = {
    Form.DEMAND: CopyKind.DIFFERENTIAL,
    Form.FULLY: CopyKind.DIFFERENTIAL,
    Form.SNAPCLONE: CopyKind.SNAPCLONE,
    Form.MIRRORCLONE: CopyKind.MIRRORCLONE,
}
KIND_OF = {
    Kind.SNAPSHOT: CopyKind.DIFFERENTIAL,
    Kind.SNAPCLONE: CopyKind.SNAPCLONE,
    Kind.MIRRORCLONE: CopyKind.MIRRORCLONE,
}


def array_facts(array: Array, settings: EvaSettings) -> ArrayFacts:
    """With the disk group that each vdisk's copies go to. An array of another manager is told as
    such, not raised."""
    system = array.system()
    try:
        view, groups = array.look(), array.disk_groups()
    except RefusedError as problem:
        if not isinstance(problem.__cause__, OtherManagerError):
            raise
        other = problem.__cause__.manager or "another manager"
        return ArrayFacts(
            settings.system,
            KIND_OF[settings.kind],
            licensed=system.licensed is not False,
            managed_by_other=other,
        )
    bounds = None
    if settings.kind is Kind.SNAPSHOT:
        bounds = Bounds(settings, array.book, system.model)
    return ArrayFacts(
        name=settings.system,
        kind=KIND_OF[settings.kind],
        licensed=system.licensed is not False,
        rooms=tuple(_room(one, settings.redundancy.lower()) for one in groups.values()),
        volumes={
            one.wwn: replace(
                _volume(view, one, bounds), room=_room_of_copies(one, groups, settings)
            )
            for one in view.vdisks
            if one.wwn
        },
    )


def _room_of_copies(
    one: Vdisk, groups: Mapping[str, DiskGroup], settings: EvaSettings
) -> Room | None:
    group = groups.get(settings.group_of_copies(one.disk_group))
    return _room(group, settings.level_of_copies(one.redundancy)) if group else None


def _room(group: DiskGroup, level: str) -> Room:
    used = group.used * 100 // group.total if group.total else 0
    return Room(group.path, level, group.free(level), used, group.alarm_percent)


def _volume(view: View, one: Vdisk, bounds: Bounds | None) -> ArrayVolume:
    copies = view.copies_of(one)
    copying = [copy for copy in copies if copy.copying]
    return ArrayVolume(
        state="good" if one.good else one.state,
        normalising=one.copying or bool(copying),
        ours=bool(copying) and all(names.parse(copy.name) for copy in copying),
        copies_limit=bounds.most(one.size) if bounds else None,
        copies=tuple(_KINDS[copy.form] for copy in copies if copy.form in _KINDS),
    )
