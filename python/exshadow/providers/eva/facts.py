"""The array as the chooser sees it."""

from __future__ import annotations

from exshadow.errors import RefusedError
from exshadow.providers.eva import names
from exshadow.providers.eva.array import Array, View
from exshadow.providers.eva.bounds import Bounds
from exshadow.providers.eva.objects import Form, Vdisk
from exshadow.providers.eva.session import OtherManagerError
from exshadow.providers.eva.settings import EvaSettings, Kind
from exshadow.providers.facts import ArrayFacts, ArrayVolume, CopyKind

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
    """Of the fullest disk group that copies may go to. An array of another manager is told as
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
    wanted = [groups[settings.disk_group]] if settings.disk_group in groups else groups.values()
    room = [(group.free(settings.redundancy), group) for group in wanted]
    bounds = None
    if settings.kind is Kind.SNAPSHOT:
        bounds = Bounds(settings, array.book, system.model)
    free, group = min(room, key=lambda one: one[0]) if room else (0, None)
    return ArrayFacts(
        name=settings.system,
        kind=KIND_OF[settings.kind],
        licensed=system.licensed is not False,
        free=free,
        alarm_percent=group.alarm_percent if group else 100,
        used_percent=group.used * 100 // group.total if group and group.total else 0,
        volumes={one.wwn: _volume(view, one, bounds) for one in view.vdisks if one.wwn},
    )


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
