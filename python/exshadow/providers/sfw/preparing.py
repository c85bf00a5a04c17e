"""Prepare: a snap plex at the mirror's place for every volume, copied in the background."""

from __future__ import annotations

from exshadow.errors import RefusedError
from exshadow.providers.contract import Action, Source, Stage, Standing
from exshadow.providers.sfw import rules
from exshadow.providers.sfw.look import Ground, Look, lies_at, place_of
from exshadow.providers.sfw.product import Plex, Volume
from exshadow.providers.sfw.settling import ensure


def standing(ground: Ground, action: Action) -> Standing:
    """By the states of the snap plexes."""
    look = Look(ground)
    for source in action.volumes:
        several = look.plexes(source, action.group, action.mirror)
        if len(several) > 1:
            # An earlier vxassist, whose giver was killed before it showed, and ours.
            names = ", ".join(plex.name for plex in several)
            return Standing(
                Stage.FAILED,
                f"{source.name} has several plexes at the place of mirror {action.mirror}: "
                f"{names}; abort the mirror, then prepare it anew",
            )
    found = [look.plex(source, action.group, action.mirror) for source in action.volumes]
    return progress(action.volumes, found)


def progress(sources: tuple[Source, ...], plexes: list[Plex | None]) -> Standing:
    """Of plexes that are synchronised: the least advanced counts."""
    there = [plex for plex in plexes if plex is not None]
    if len(there) < len(plexes):
        return Standing(Stage.HALF if there else Stage.ABSENT)
    if odd := [plex for plex in there if not plex.state]:
        return Standing(Stage.FAILED, f"plex {odd[0].name} shows the state {odd[0].shown}")
    total = sum(source.size for source in sources)
    done = sum(
        source.size if plex.state == "ready" else source.size * (plex.percent or 0) // 100
        for source, plex in zip(sources, there, strict=True)
    )
    ready = all(plex.state == "ready" for plex in there)
    return Standing(Stage.DONE if ready else Stage.RUNNING, done=done, total=total)


def start(ground: Ground, action: Action) -> None:
    """Add the plexes that are missing. All volumes are judged before the first is touched."""
    look = Look(ground)
    groups = ground.product.groups()
    wanted: list[tuple[Source, Volume]] = []
    for source in action.volumes:
        if look.plex(source, action.group, action.mirror):
            continue
        volume = look.needed(source, action.group)
        place = ground.settings.place(action.mirror, source.name)
        _free(look, volume, action, source)
        rules.may_mirror(volume, place, groups.get(volume.group), look.split_of(volume))
        wanted.append((source, volume))
    for source, volume in wanted:
        _add(ground, action, source, volume)


def _free(look: Look, volume: Volume, action: Action, source: Source) -> None:
    """The place is not that of a set."""
    place = look.ground.settings.place(action.mirror, source.name)
    for pair in look.pairs(volume.group):
        if pair.original[1] != volume.name:
            continue
        snapshot = look.volume(pair.snapshot[1], pair.snapshot[0])
        if snapshot and lies_at(snapshot, place):
            raise RefusedError(
                f"mirror {action.mirror} of {source.name} is a set ({snapshot.name})",
                hint="resync or dissolve that set first",
            )


def _add(ground: Ground, action: Action, source: Source, volume: Volume) -> None:
    place = ground.settings.place(action.mirror, source.name)
    said = ground.product.do(
        "prepare",
        group=volume.group,
        volume=volume.name,
        plex=place.plex,
        disks=[{"disk": disk} for disk in place.disks],
    )

    def shows() -> bool:
        now = ground.product.volume(volume.name, volume.group)
        return now is not None and place_of(now.plexes, place) is not None

    found = f"{volume.name} has no snap plex at the place of {action.mirror}"
    ensure(ground, said, shows, found, background=True)
