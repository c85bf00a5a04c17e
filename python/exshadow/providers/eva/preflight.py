"""What is checked before a copy is made, from the array's own records. Pure: raises RefusedError
(NoSpaceError for room) with the first reason found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from exshadow.errors import NoSpaceError, RefusedError
from exshadow.names import format_size
from exshadow.providers.eva.array import View
from exshadow.providers.eva.bounds import Bounds
from exshadow.providers.eva.objects import DiskGroup, Form, MirrorPhase, System, Vdisk
from exshadow.providers.eva.settings import Allocation, EvaSettings, Kind

_GIB = 1 << 30  # containers have whole gigabytes
# Fact sheet 2.1: a snapshot's level is its source's or lower. Where vraid6 stands to vraid1 is
# unconfirmed, so between those two the array decides; words that are not here are its affair too.
_RANK = {"vraid0": 0, "vraid5": 1, "vraid1": 2, "vraid6": 2}
_RESERVE = 10  # per cent of the source that a demand allocated snapshot needs at least (E4d)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A copy that is to be made. ``reserved``: its space is taken already: by a container, or by
    the mirrorclone that exists; ``later``: only space is reserved now, for a copy that a split
    makes when the source is normalised."""

    source: Vdisk
    disk_group: str
    redundancy: str
    reserved: bool = False
    later: bool = False


def array(system: System) -> None:
    """Licence and state."""
    if system.licensed is False:
        raise RefusedError(
            f"array {system.name} has no Business Copy licence",
            hint="enter its key in Command View",
        )
    if not system.good:
        raise RefusedError(f"array {system.name} is in state {system.state!r}")


def sources(view: View, wanted: Iterable[Wanted], settings: EvaSettings, bounds: Bounds) -> None:
    """State, and copies there are already."""
    for asked in wanted:
        one = asked.source
        if one.is_snapshot or one.form is Form.CONTAINER:
            raise RefusedError(f"{one.name} is a {one.form}: it cannot be copied from")
        if not one.good:
            raise RefusedError(
                f"vdisk {one.name} is in state {one.state!r}",
                hint="look at it in Command View: copies are made of good vdisks only",
            )
        if one.form is Form.MIRRORCLONE and (
            settings.kind is not Kind.SNAPSHOT or one.phase is not MirrorPhase.FRACTURED
        ):
            raise RefusedError(f"{one.name} is a mirrorclone: detach it first")
        copies = view.copies_of(one)
        if not asked.later:
            _normalised(one, copies, settings)
        _one_kind(asked, copies, settings)
        if settings.kind is Kind.SNAPSHOT:
            _level(asked)
            snapshots = [other for other in copies if other.is_snapshot]
            _alike(asked, snapshots, settings)
            _number(one, len(snapshots), bounds)


def _normalised(source: Vdisk, copies: Sequence[Vdisk], settings: EvaSettings) -> None:
    copying = source.copying or any(one.copying for one in copies)
    if copying and settings.kind is not Kind.MIRRORCLONE:
        raise RefusedError(
            f"{source.name} is being copied by a snapclone that is not normalised",
            hint="repeat it when that has ended: a run waits for it by itself",
        )


def _one_kind(asked: Wanted, copies: Sequence[Vdisk], settings: EvaSettings) -> None:
    """One kind of copy at a time on one source. A mirrorclone that exists is only fractured."""
    clashing = {
        Kind.SNAPSHOT: (Form.MIRRORCLONE,),
        Kind.SNAPCLONE: (Form.DEMAND, Form.FULLY, Form.MIRRORCLONE),
        Kind.MIRRORCLONE: () if asked.reserved else (Form.DEMAND, Form.FULLY),
    }[settings.kind]
    for one in copies:
        if one.form in clashing:
            raise RefusedError(
                f"{asked.source.name} has a {one.form} copy {one.name}: "
                f"no {settings.kind} can be made",
                hint="remove it first, or use one kind of copy for this vdisk",
            )


def _level(asked: Wanted) -> None:
    """A snapshot's Vraid level is the same as its source's or lower."""
    rank, limit = _RANK.get(asked.redundancy), _RANK.get(asked.source.redundancy)
    if rank is not None and limit is not None and rank > limit:
        raise RefusedError(
            f"a snapshot of {asked.source.name} in {asked.redundancy} is higher than its source "
            f"in {asked.source.redundancy}",
            hint="leave redundancy out, or name a lower level",
        )


def _alike(asked: Wanted, snapshots: Sequence[Vdisk], settings: EvaSettings) -> None:
    """All snapshots of a vdisk have the same allocation and level."""
    form = Form.DEMAND if settings.allocation is Allocation.DEMAND else Form.FULLY
    for one in snapshots:
        if one.form is not form:
            raise RefusedError(
                f"{asked.source.name} has a snapshot {one.name} allocated {one.form}: all must be",
                hint=f"set allocation = {one.form}, or remove that snapshot",
            )
        if one.redundancy and asked.redundancy and one.redundancy != asked.redundancy:
            raise RefusedError(
                f"{asked.source.name} has a snapshot {one.name} in {one.redundancy}: all must be",
                hint=f"set redundancy = {one.redundancy}",
            )


def _number(source: Vdisk, there: int, bounds: Bounds) -> None:
    """Not too many of a vdisk of this size."""
    most = bounds.most(source.size)
    if most is not None and there >= most:
        raise RefusedError(
            f"{source.name} of {format_size(source.size)} has {there} snapshots, the limit is "
            f"{most} ({bounds.whence()})",
            hint="abort a set; if the firmware takes more: snapshots_limit in [provider.eva]",
        )


def space(wanted: Sequence[Wanted], groups: Mapping[str, DiskGroup], settings: EvaSettings) -> None:
    """Room, the reserve for snapshots that grow, the alarm level, and where snapshots may be."""
    demand = settings.kind is Kind.SNAPSHOT and settings.allocation is Allocation.DEMAND
    needs: dict[tuple[str, str], int] = {}
    for one in wanted:
        group = groups.get(one.disk_group)
        if group is None:
            raise RefusedError(
                f"there is no disk group {one.disk_group}",
                hint=f"there are: {', '.join(sorted(groups)) or 'none'}",
            )
        if settings.kind is Kind.SNAPSHOT and one.disk_group != one.source.disk_group:
            raise RefusedError(
                f"a snapshot of {one.source.name} must be in {one.source.disk_group}",
                hint="leave disk_group out",
            )
        if group.total and group.used * 100 >= group.alarm_percent * group.total:
            raise NoSpaceError(
                f"disk group {group.path} is at its alarm level of {group.alarm_percent} %",
                hint="make room there before more copies are made",
            )
        if not one.reserved:
            size = one.source.size * _RESERVE // 100 if demand else one.source.size
            size = -(-size // _GIB) * _GIB if settings.containers else size
            at = (one.disk_group, one.redundancy)
            needs[at] = needs.get(at, 0) + size
    for (path, level), size in needs.items():
        free = groups[path].free(level)
        if size > free:
            raise NoSpaceError(
                f"disk group {path} has room for {free} bytes in {level or 'its level'}, "
                f"{size} are needed",
                hint="make room, or use demand allocated snapshots",
            )
