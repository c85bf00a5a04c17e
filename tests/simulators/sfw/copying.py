"""Bytes between plexes: full copies by exshadow's engine, refreshes by a map of changed regions."""

from __future__ import annotations

import functools
import time
import zlib
from pathlib import Path

from simulators.sfw.world import Json, World

REGION = 64 * 1024  # documented for the UNIX sibling; that of Windows is not known


def sums(path: Path) -> list[int]:
    """One checksum a region: what a split remembers, to find what changed on either side."""
    with path.open("rb") as file:
        return [zlib.crc32(block) for block in iter(lambda: file.read(REGION), b"")]


def changed(world: World, relation: Json) -> set[int]:
    """Regions in which original or snapshot were written since the split."""
    regions: set[int] = set()
    for side in ("original", "snapshot"):
        group, name = relation[side]
        volume = world.groups.get(group, {"volumes": {}})["volumes"].get(name)
        if volume is None:
            continue
        now = sums(world.image(world.primary(volume)))
        regions |= {at for at, one in enumerate(now) if one != relation["sums"][at]}
    return regions


@functools.lru_cache(maxsize=64)
def _sums_at(path: Path, when: int) -> list[int]:
    return sums(path)


def percent(world: World, relation: Json) -> int:
    """Of regions that changed, for showing: writes within one tick of the clock may be missing."""
    regions: set[int] = set()
    for side in ("original", "snapshot"):
        group, name = relation[side]
        if volume := world.groups.get(group, {"volumes": {}})["volumes"].get(name):
            image = world.image(world.primary(volume))
            now = _sums_at(image, image.stat().st_mtime_ns)
            regions |= {at for at, one in enumerate(now) if one != relation["sums"][at]}
    return 100 * len(regions) // len(relation["sums"])


def copy_regions(source: Path, target: Path, regions: set[int]) -> None:
    """Only these."""
    with source.open("rb") as one, target.open("r+b") as other:
        for at in sorted(regions):
            one.seek(at * REGION)
            other.seek(at * REGION)
            other.write(one.read(REGION))


def copy_all(source: Path, target: Path) -> None:
    """By the engine's copier."""
    from exshadow import _core

    _core.copy_benchmark(source, target, loop="pool", direct=False)


def catch_up(world: World, volume: Json) -> None:
    """Every plex in sync has what the application wrote so far."""
    source = world.image(world.primary(volume))
    wanted: list[int] | None = None
    for plex in volume["plexes"].values():
        if plex["state"] != "SNAPDONE":
            continue
        wanted = wanted or sums(source)
        have = sums(world.image(plex))
        late = {at for at, one in enumerate(wanted) if one != have[at]}
        copy_regions(source, world.image(plex), late)


def advance(world: World) -> None:
    """Let background synchronisation go on by the time that passed, unless it is held."""
    now = time.time()
    passed = max(0.0, now - world.state["looked"])
    if not syncing(world):
        return
    world.state["looked"] = now
    if (world.folder / "held").exists():
        return
    lasting = world.state["sync_seconds"]
    for group in world.groups.values():
        for volume in group["volumes"].values():
            for plex in volume["plexes"].values():
                if plex["state"] in ("SNAPATT", "SNAPTMP"):
                    plex["at"] = min(1.0, plex["at"] + passed / lasting) if lasting else 1.0
                    if plex["at"] >= 1.0:
                        _finish(world, volume, plex)


def _finish(world: World, volume: Json, plex: Json) -> None:
    source, copy = world.image(world.primary(volume)), world.image(plex)
    if plex["state"] == "SNAPATT":
        copy_all(source, copy)
    elif plex.get("reverse"):
        copy_regions(copy, source, set(plex["dirty"]))
    else:
        copy_regions(source, copy, set(plex["dirty"]))
    plex.update(state="SNAPDONE", at=0.0)
    for key in ("dirty", "reverse"):
        plex.pop(key, None)


def begin(world: World) -> None:
    """Time counts from now on, unless something is under way already."""
    if not syncing(world):
        world.state["looked"] = time.time()


def syncing(world: World) -> bool:
    """Whether anything is under way."""
    return any(
        plex["state"] in ("SNAPATT", "SNAPTMP")
        for group in world.groups.values()
        for volume in group["volumes"].values()
        for plex in volume["plexes"].values()
    )
