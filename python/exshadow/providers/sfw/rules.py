"""What Storage Foundation forbids, looked at before it is asked; a refusal says what was found."""

from __future__ import annotations

from collections.abc import Sequence

from exshadow.errors import NotFoundError, RefusedError, UnsupportedError
from exshadow.providers.contract import Action
from exshadow.providers.facts import SFW_MIRRORS
from exshadow.providers.sfw import abandoning
from exshadow.providers.sfw.look import Copy, Ground
from exshadow.providers.sfw.product import Group, Volume
from exshadow.providers.sfw.records import Record
from exshadow.providers.sfw.settings import Place


def may_mirror(volume: Volume, place: Place, group: Group | None, split: int) -> None:
    """A snap plex may be added at the place. ``split``: plexes of the volume that are sets now, and
    come back as mirrors of it."""
    if group is None:
        raise RefusedError(
            f"vxdg does not list the disk group {volume.group} of {volume.name}",
            hint="look at it with: vxdg list",
        )
    if group.kind == "ldm":
        raise UnsupportedError(
            f"{volume.name} is in the Microsoft disk group {volume.group}, which vxassist refuses",
            hint="make it a Veritas disk group, or choose another provider",
        )
    if group.kind != "sfw":
        raise RefusedError(
            f"nobody knows what kind of disk group {volume.group} is",
            hint="correct meaning.group in the file of commands",
        )
    if volume.layout == "raid5":
        raise UnsupportedError(
            f"{volume.name} is software RAID-5, of which there are no snapshots",
            hint="choose another provider for this group",
        )
    if volume.layout != "plain":
        raise RefusedError(
            f"nobody knows the layout of {volume.name}",
            hint="correct meaning.layout in the file of commands",
        )
    if place.plex:
        names = [one.name for one in volume.plexes if one.state == "active"]
        if place.plex not in names:
            raise NotFoundError(
                f"{volume.name} has no mirror {place.plex}", hint=f"it has {', '.join(names)}"
            )
        if len(names) < 2:
            raise RefusedError(f"{place.plex} is the only mirror of {volume.name}")
        return
    serving = [disk for one in volume.plexes if one.state == "active" for disk in one.disks]
    if set(place.disks) <= set(serving):
        disks = ", ".join(place.disks)
        raise RefusedError(
            f"{volume.name} itself lies on {disks}, a mirror would be no copy",
            hint=f"so it is after a promotion: write another disk in place of {disks} in "
            '[provider.sfw] mirrors = "..."',
        )
    if len(volume.plexes) + split >= SFW_MIRRORS:
        away = f", {split} of them split off as sets" if split else ""
        raise RefusedError(
            f"{volume.name} has {SFW_MIRRORS} mirrors{away}: no more are possible",
            hint="dissolve a set, or abort a mirror",
        )


def same_host(ground: Ground, record: Record | None) -> None:
    """The set was split here, or on a node of the same cluster."""
    if record and record.host not in ground.settings.hosts:
        raise RefusedError(
            f"set {record.set_id} was split on {record.host}, this is {ground.settings.host}",
            hint="do it there; nodes of one cluster are named by the setting hosts",
        )


def no_other_work(record: Record | None, action: Action) -> None:
    """No other restore or promotion of the set is under way."""
    if record and record.step and record.action != action.id:
        raise RefusedError(
            f"set {record.set_id} is being restored or promoted by action {record.action}",
            hint=_ways_out(record),
        )


def mirror_is_free(ground: Ground, action: Action) -> None:
    """The mirror's plexes are not the only copy of a set that is being restored."""
    for record in _under_way(ground, action):
        if record.mirror == action.mirror:
            raise RefusedError(
                f"mirror {action.mirror} holds set {record.set_id}, which is being restored",
                hint=_ways_out(record),
            )


def production_is_free(ground: Ground, action: Action) -> None:
    """No other set is being put in production's place: its letters are away meanwhile."""
    for record in _under_way(ground, action):
        raise RefusedError(
            f"set {record.set_id} is being restored or promoted by action {record.action}",
            hint=_ways_out(record),
        )


def others_that_ended(ground: Ground, action: Action) -> list[Record]:
    """Other sets that were to be put in production's place, and that nothing is done about any
    more: a whole restore may be begun over them. RefusedError while the product is at work on one.
    """
    others = _under_way(ground, action)
    for record in others:
        same_host(ground, record)
        if abandoning.is_at_work(ground, record):
            raise RefusedError(
                f"set {record.set_id} is being restored or promoted by action {record.action}, "
                "and the product is at work on it",
                hint="wait for its end, then repeat",
            )
    return others


def _ways_out(record: Record) -> str:
    return (
        f"end that first: exshadow restore {record.set_id}; or, if production is as it should be: "
        f"exshadow policy settle {record.policy_group} --forget REASON"
    )


def _under_way(ground: Ground, action: Action) -> list[Record]:
    return [
        record
        for record in ground.records.all()
        if record.policy_group == action.group and record.step and record.set_id != action.set_id
    ]


def unmounted(copies: Sequence[Copy]) -> None:
    """No copy is mounted: a plex cannot be taken from under a file system."""
    for copy in copies:
        if copy.snapshot and copy.snapshot.places:
            raise RefusedError(
                f"the copy of {copy.source.name} is still mounted at "
                f"{', '.join(copy.snapshot.places)}",
                hint="take it back first (unpresent)",
            )


def at_home(copies: Sequence[Copy]) -> None:
    """Every copy is in the disk group of its original."""
    for copy in copies:
        if copy.away:
            raise RefusedError(
                f"the copy of {copy.source.name} is in disk group {copy.where}, its original in "
                f"{copy.home}",
                hint="bring it back first: exshadow snapshot recall SET",
            )


def is_production(copies: Sequence[Copy]) -> None:
    """The originals of the set are what production is now."""
    for copy in copies:
        now = copy.production
        if now is None:
            raise NotFoundError(
                f"production of {copy.source.name} is gone", hint="promote the set instead"
            )
        if (now.group, now.name) != (copy.home, copy.original):
            raise RefusedError(
                f"the set is of {copy.home}\\{copy.original}, but {copy.source.path} is "
                f"{now.group}\\{now.name} now",
                hint="another set was promoted since; exshadow snapshot delete keeps this one's "
                "volumes as they are, to be given the letter or path by hand",
            )


def is_gone(copies: Sequence[Copy]) -> bool:
    """A copy is neither here nor lent: nothing can be done with the set. One that is lent makes
    the verb refuse, by :func:`whole` or :func:`at_home`, with what to do."""
    return any(copy.snapshot is None and not copy.away for copy in copies)


def whole(copies: Sequence[Copy], action: Action) -> None:
    """Every volume of the set has its copy here."""
    for copy in copies:
        if copy.away and copy.snapshot is None:
            raise RefusedError(
                f"the copy of {copy.source.name} is in disk group {copy.where}, which this host "
                "has let go of: the set is lent",
                hint="bring it back first: exshadow snapshot recall SET",
            )
    lost = [copy.source.name for copy in copies if copy.snapshot is None]
    if lost:
        raise NotFoundError(
            f"set {action.label or action.set_id} has no copy of {', '.join(lost)} on this host",
            hint="look at what is here: exshadow provider probe",
        )
