"""A volume of Storage Foundation as the chooser sees it."""

from __future__ import annotations

from exshadow.providers.contract import Source
from exshadow.providers.facts import StackKind, VolumeStack
from exshadow.providers.sfw.look import Ground, Look

_KINDS = {"sfw": StackKind.SFW, "ldm": StackKind.LDM}


def stack(ground: Ground, source: Source) -> VolumeStack | None:
    """None for what is no dynamic volume. The listing of free space is not known for sure, so that
    the room in the disk group is left to the product."""
    look = Look(ground)
    volume = look.by_path(source)
    if volume is None:
        return None
    group = ground.product.groups().get(volume.group)
    return VolumeStack(
        source.name,
        _KINDS.get(group.kind if group else "", StackKind.OTHER),
        volume.size,
        group=volume.group,
        raid5=volume.layout == "raid5",
        plexes=len(volume.plexes) + look.split_of(volume),
        spare_in_group=None,
    )
