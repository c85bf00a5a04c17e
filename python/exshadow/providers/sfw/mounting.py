"""Letters and folders: given to a volume and taken away, each time read back."""

from __future__ import annotations

import contextlib
import os

from exshadow.errors import RefusedError
from exshadow.providers.sfw.look import Ground
from exshadow.providers.sfw.naming import device, is_letter, opened_at
from exshadow.providers.sfw.product import Volume
from exshadow.providers.sfw.records import Record
from exshadow.providers.sfw.settling import effect, ensure


def assign(ground: Ground, group: str, name: str, place: str) -> None:
    """ProviderError when the volume is not there afterwards."""
    kind = "assign_letter" if is_letter(place) else "assign_folder"
    said = ground.product.do(kind, device=device(group, name), place=place)

    def shows() -> bool:
        now = ground.product.volume(name, group)
        return now is not None and place in now.places

    ensure(ground, said, shows, f"{name} is not at {place}")


def unassign(ground: Ground, volume: Volume) -> None:
    """All its letters and folders. RefusedError when one stays, with the others given back."""
    for place in volume.places:
        kind = "unassign_letter" if is_letter(place) else "unassign_folder"
        said = ground.product.do(kind, device=device(volume.group, volume.name), place=place)

        def gone(place: str = place) -> bool:
            now = ground.product.volume(volume.name, volume.group)
            return now is None or place not in now.places

        if effect(ground, said, gone):
            continue
        now = ground.product.volume(volume.name, volume.group)
        for lost in set(volume.places) - set(now.places if now else ()):
            assign(ground, volume.group, volume.name, lost)
        problem = said.error(f"{volume.name} is still mounted at {place}")
        raise RefusedError(
            problem.message, hint=f"stop what has files open on {place}, then repeat"
        ) from problem


def mount(ground: Ground, record: Record) -> None:
    """Production of the set where it was before."""
    for part in record.parts:
        volume = ground.product.volume(part.original, part.group)
        for place in part.places:
            if volume is None or place not in volume.places:
                assign(ground, part.group, part.original, place)


def free_places(ground: Ground, count: int) -> list[str]:
    """Of the letters and folders that copies may be given, so many that nobody has."""
    found: list[str] = []
    for place in (*ground.settings.letters, *ground.settings.folders):
        if len(found) == count:
            break
        if ground.product.volume(place) is None and not _used(ground, place):
            found.append(place)
    if len(found) < count:
        raise RefusedError(
            f"{count} letters or folders are needed for the copies, {len(found)} are free",
            hint="say more in [provider.sfw]: letters = 'P: Q: R:'",
        )
    return found


def _used(ground: Ground, place: str) -> bool:
    """By something else than a dynamic volume."""
    if not is_letter(place):
        return False
    with contextlib.suppress(OSError):
        return os.path.lexists(opened_at(ground.settings.devices, place))
    return False
