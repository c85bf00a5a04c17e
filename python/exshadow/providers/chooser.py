"""The choice of a provider: facts and a wish in, a provider and one reason for each other out.

Pure and total: the same facts give the same answer, there is always an answer, and a provider whose
limits fail is never it. Order of the fact sheet, section 4: the stack of every volume; mixed stacks
only when one provider covers all; limits; then the policy's preference.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from exshadow.providers.facts import (
    SFW_MIRRORS,
    ArrayFacts,
    Capability,
    Choice,
    CopyKind,
    Disk,
    Facts,
    Refusal,
    Room,
    StackKind,
    VolumeStack,
    VssProviderFacts,
    Wish,
    normal_id,
)

# SCSI inquiry of EVA controllers (multipath-tools' hardware table); the last form is unconfirmed.
_EVA_VENDORS = {"compaq", "hp"}
_EVA_PRODUCT = re.compile(r"HSV(1[01]1|2[01]0|3[046]0|4[05]0|1[01]0)", re.IGNORECASE)
_FIRST = "named first in the policy"
NAMES = ("native", "sfw", "eva", "vss")

_Judge = Callable[[Facts, Wish], "Capability | str"]
"""The capability, or the first reason against it."""


def choose(facts: Facts, wish: Wish) -> Choice:
    """The best provider that can, by the wish's order."""
    if not facts.volumes:
        nothing = tuple(Refusal(name, "the group has no volumes") for name in NAMES)
        return Choice(None, None, "the group has no volumes", nothing)
    able: dict[str, Capability] = {}
    refused: list[Refusal] = []
    for name in NAMES:
        verdict = _verdict(name, facts, wish)
        if isinstance(verdict, str):
            refused.append(Refusal(name, verdict))
        else:
            able[name] = verdict
    if not able:
        return Choice(None, None, "no provider can take all volumes of the group", tuple(refused))
    ranked = sorted(able, key=lambda name: _rank(name, able[name], wish))
    best = ranked[0]
    why = _strength(able[best])
    if best in wish.prefer:
        earlier = wish.prefer[: wish.prefer.index(best)]
        why = f"preferred by the policy after {', '.join(earlier)}" if earlier else _FIRST
    over = tuple(
        Refusal(name, f"could do it; {best} comes before it ({why})") for name in ranked[1:]
    )
    return Choice(best, able[best], why + _waits(best, facts), tuple(refused), over)


def _waits(provider: str, facts: Facts) -> str:
    """What a run of the provider waits for first."""
    if provider != "eva":
        return ""
    known = {wwn: one for array in facts.arrays for wwn, one in array.volumes.items()}
    busy = [
        volume.name
        for volume in facts.volumes
        if any(known[normal_id(disk.page83)].normalising for disk in volume.disks)
    ]
    return f"; it waits until its copy of {', '.join(busy)} is normalised" if busy else ""


def _verdict(name: str, facts: Facts, wish: Wish) -> Capability | str:
    if name in wish.forbid:
        return "forbidden by the policy"
    found = _JUDGES[name](facts, wish)
    if isinstance(found, str):
        return found
    return unmet(found, wish, len(facts.volumes)) or found


def unmet(capability: Capability, wish: Wish, volumes: int) -> str:
    """The first demand that a provider with this capability does not meet for so many volumes;
    empty when it meets all."""
    if wish.survive_source_loss and not capability.survives_source_loss:
        return "its copy does not survive the loss of the source, which the policy demands"
    if wish.delta_resync and not capability.delta_resync:
        return "it copies everything at each refresh, the policy demands changes only"
    if wish.off_host and not capability.off_host:
        return "its copy cannot be shown to another host, which the policy demands"
    if volumes > 1 and not capability.atomic_set:
        return "it cannot take several volumes at one instant"
    return ""


def _missing(name: str, facts: Facts, wish: Wish) -> int:
    """Mirrors that must still be made."""
    return max(0, wish.copies - facts.made.get(name, 0))


def _rank(name: str, capability: Capability, wish: Wish) -> tuple[int, int, int, int]:
    preferred = wish.prefer.index(name) if name in wish.prefer else len(wish.prefer)
    return (
        preferred,
        -int(capability.survives_source_loss),
        -int(capability.delta_resync),
        NAMES.index(name),
    )


def _strength(capability: Capability) -> str:
    if capability.survives_source_loss and capability.delta_resync:
        return "its copy survives the source and refreshes by changes"
    if capability.survives_source_loss:
        return "its copy survives the source"
    return "it is what can be had here"


# --- one judge for each provider ---


def _foreign(facts: Facts, kind: StackKind) -> VolumeStack | None:
    return next((volume for volume in facts.volumes if volume.kind is not kind), None)


def _mixed(facts: Facts, other: VolumeStack, what: str) -> str:
    if any(volume.kind is not other.kind for volume in facts.volumes):
        return (
            f"mixed stacks: {other.name} is {other.kind.value}, {what} would take the others only"
        )
    return ""


def _native(facts: Facts, wish: Wish) -> Capability | str:
    if not facts.native:
        return "the native engine is not built here"
    if other := _foreign(facts, StackKind.EXSHADOW):
        return _mixed(facts, other, "the native engine") or (
            f"{other.name} is no volume of exshadow: exshadow volume add"
        )
    return Capability(CopyKind.PLEX, True, True, True, True, True)


def _sfw(facts: Facts, wish: Wish) -> Capability | str:
    if not facts.sfw_tools:
        return "vxassist, vxsnap and vxdg are not here"
    for volume in facts.volumes:
        if volume.kind is StackKind.LDM:
            return f"{volume.name} is in a Microsoft dynamic disk group, which vxassist refuses"
    if other := _foreign(facts, StackKind.SFW):
        return _mixed(facts, other, "Storage Foundation") or (
            f"{other.name} is no volume of a Veritas disk group"
        )
    missing = _missing("sfw", facts, wish)
    for volume in facts.volumes:
        if volume.raid5:
            return f"{volume.name} is software RAID-5, of which there are no snapshots"
        if volume.plexes + missing > SFW_MIRRORS:
            return f"{volume.name} would have more than {SFW_MIRRORS} mirrors"
    for group in sorted({volume.group for volume in facts.volumes}):
        members = [volume for volume in facts.volumes if volume.group == group]
        needed = sum(volume.size for volume in members) * missing
        told = [one.spare_in_group for one in members if one.spare_in_group is not None]
        room = min(told, default=None)
        if room is not None and needed > room:
            return f"disk group {group} has {room} bytes free, {needed} are needed"
    groups = {volume.group for volume in facts.volumes}
    return Capability(CopyKind.PLEX, True, True, False, True, len(groups) == 1)


def _eva(facts: Facts, wish: Wish) -> Capability | str:
    if not facts.sssu:
        return "sssu is not here"
    if other := next((one for one in facts.volumes if one.kind is not StackKind.BASIC), None):
        if other.kind is StackKind.SFW:
            return (
                f"{other.name} is a dynamic volume: its disks would have to be taken in one atomic "
                "set, and their disk group would exist twice on this host"
            )
        return _mixed(facts, other, "the array") or f"{other.name} is no basic disk of an array"
    for volume in facts.volumes:
        if not volume.disks or not all(_is_eva(disk, facts) for disk in volume.disks):
            return f"{volume.name} does not lie on an EVA"
    if twice := _shared(facts):
        return twice
    array = _array_of(facts)
    if isinstance(array, str):
        return array
    return _array_limits(facts, wish, array)


def _is_eva(disk: Disk, facts: Facts) -> bool:
    if not disk.vendor and not disk.product:  # nobody told: an array that has the disk may
        return any(normal_id(disk.page83) in array.volumes for array in facts.arrays)
    return disk.vendor.strip().lower() in _EVA_VENDORS and bool(_EVA_PRODUCT.search(disk.product))


def _shared(facts: Facts) -> str:
    """Which volumes lie on one vdisk: a restore of one would replace the other."""
    owners: dict[str, str] = {}
    for volume in facts.volumes:
        for disk in volume.disks:
            first = owners.setdefault(normal_id(disk.page83), volume.name)
            if disk.page83 and first != volume.name:
                return f"{first} and {volume.name} are on one vdisk, which is copied as a whole"
    return ""


def _array_of(facts: Facts) -> ArrayFacts | str:
    """The one array that has all disks: only there a set is atomic."""
    ids = {normal_id(disk.page83) for volume in facts.volumes for disk in volume.disks}
    owners = [array for array in facts.arrays if ids & array.volumes.keys()]
    if not owners:
        return "no array that answers knows the disks (page-83 ids)"
    if len(owners) > 1:
        return f"the volumes lie on several arrays: {', '.join(one.name for one in owners)}"
    missing = sorted(ids - owners[0].volumes.keys())
    if missing:
        return f"array {owners[0].name} does not know disk {missing[0]}"
    return owners[0]


def _array_limits(facts: Facts, wish: Wish, array: ArrayFacts) -> Capability | str:
    if array.managed_by_other:
        return f"array {array.name} is managed by {array.managed_by_other}; taking it needs consent"
    if not array.licensed:
        return f"array {array.name} has no Business Copy licence"
    kind, missing = array.kind, _missing("eva", facts, wish)
    for volume in facts.volumes:
        for disk in volume.disks:
            vdisk = array.volumes[normal_id(disk.page83)]
            if vdisk.state != "good":
                return f"the vdisk of {volume.name} is in state {vdisk.state}"
            if vdisk.normalising and not vdisk.ours:
                return (
                    f"the vdisk of {volume.name} is still normalising, by a copy that is not ours: "
                    "ask again when that has ended"
                )
            if any(copy is not kind for copy in vdisk.copies):
                return f"the vdisk of {volume.name} has copies of another type than {kind.value}"
            limit = vdisk.copies_limit
            if limit is not None and len(vdisk.copies) + missing > limit:
                return f"the vdisk of {volume.name} would exceed {limit} copies"
    if why := _no_room(facts, array, missing):
        return why
    full = kind is not CopyKind.DIFFERENTIAL
    return Capability(kind, full, kind is CopyKind.MIRRORCLONE, full, True, True)


def _no_room(facts: Facts, array: ArrayFacts, missing: int) -> str:
    """Why the disk groups that the copies go to do not do; empty when they do."""
    needs: dict[Room, int] = {}
    for volume in facts.volumes:
        size = volume.size if array.kind is not CopyKind.DIFFERENTIAL else volume.size // 10
        # How much of a volume lies on which of its disks is not known: each must do for all of it.
        for room in {array.volumes[normal_id(disk.page83)].room for disk in volume.disks}:
            if room is None:
                return f"array {array.name} has no disk group for copies of {volume.name}"
            needs[room] = needs.get(room, 0) + size * missing
    for room, needed in needs.items():
        where = f"disk group {room.group} of array {array.name}"
        if room.used_percent >= room.alarm_percent:
            return f"{where} is {room.used_percent} % full, above its alarm level"
        if needed > room.free:
            return f"{where} has {room.free} bytes free, {needed} are needed"
    return ""


def _vss(facts: Facts, wish: Wish) -> Capability | str:
    if not facts.vss:
        return "no VSS provider here: not a Windows host"
    names = {volume.name for volume in facts.volumes}
    takers = [one for one in facts.vss if names <= one.supported]
    if not takers:
        first = next(
            (name for name in sorted(names) if not any(name in one.supported for one in facts.vss)),
            None,
        )
        if first is None:
            return "mixed stacks: no single VSS provider takes all volumes"
        return f"no VSS provider takes {first}"
    chosen = min(takers, key=lambda one: _vss_rank(one, wish))
    full = chosen.kind is not CopyKind.DIFFERENTIAL
    return Capability(chosen.kind, full, False, full, True, chosen.transportable)


def _vss_rank(one: VssProviderFacts, wish: Wish) -> tuple[int, int, str]:
    full = one.kind is not CopyKind.DIFFERENTIAL
    return (
        -int(full and wish.survive_source_loss),
        -int(one.transportable and wish.off_host),
        one.id,
    )


_JUDGES: dict[str, _Judge] = {"native": _native, "sfw": _sfw, "eva": _eva, "vss": _vss}
