"""vxdg: list, split, deport, import, join.

Documented by batch files: ``-g DG -n NEW -f -s split VOLUME``, ``-g DG -f -C import``,
``-g NEW -n DG -C -f join``. Of the sibling: whole disks move, no open volumes, both sides keep a
disk. Imagined: that a group split off is imported where it was split, deport, list, every sentence.
"""

from __future__ import annotations

from simulators.sfw.words import Line
from simulators.sfw.world import Json, Refused, World


def run(world: World, line: Line, fault: str = "") -> str:
    options = line.options("fsC", "gn")
    verb = line.verb("list", "split", "deport", "import", "join")
    if verb == "list":
        line.end()
        return _list(world)
    name = options.get("g") or ""
    if not name:
        raise line.usage("-g GROUP is missing")
    if verb == "split":
        return _split(world, line, name, options.get("n", ""))
    line.end()
    if verb == "deport":
        group = world.group(name)
        _closed(group)
        group["host"] = ""
        return "Deported."
    if verb == "import":
        return _import(world, name, clear="C" in options)
    return _join(world, line, name, options.get("n", ""))


def _closed(group: Json) -> None:
    for name, volume in group["volumes"].items():
        if volume["open"] or volume["places"]:
            raise Refused(f"V-0 ERROR: volume {name} is in use")


def _split(world: World, line: Line, name: str, new: str) -> str:
    if not new or new in world.groups:
        raise Refused("V-0 ERROR: the new disk group needs a name of its own")
    group = world.group(name)
    if not line.words:
        raise line.usage("no volume to split off")
    moving = {word: world.volume(name, word) for word in line.words}
    _closed({"volumes": moving})
    disks = {plex["disk"] for one in moving.values() for plex in one["plexes"].values()}
    for other, volume in group["volumes"].items():
        for plex in volume["plexes"].values():
            if other not in moving and plex["disk"] in disks:
                raise Refused(f"V-0 ERROR: whole disks move: {plex['disk']} also has {other}")
    if disks >= set(group["disks"]):
        raise Refused(f"V-0 ERROR: no disk would stay in {name}")
    world.groups[new] = {
        "kind": group["kind"],
        "host": world.host,
        "disks": {disk: group["disks"].pop(disk) for disk in sorted(disks)},
        "volumes": {word: group["volumes"].pop(word) for word in moving},
    }
    _renamed(world, name, new, set(moving))
    return "Split."


def _renamed(world: World, old: str, new: str, volumes: set[str]) -> None:
    for relation in world.relations:
        for side in ("original", "snapshot"):
            if relation[side][0] == old and relation[side][1] in volumes:
                relation[side][0] = new


def _import(world: World, name: str, *, clear: bool) -> str:
    group = world.groups.get(name)
    if group is None:
        raise Refused(f"V-0 ERROR: no disks of disk group {name} are here")
    if group["host"] not in ("", world.host) and not clear:
        raise Refused(f"V-0 ERROR: {name} is imported on {group['host']}")
    if group["host"] not in ("", world.host):
        _closed(group)
    group["host"] = world.host
    return "Imported."


def _join(world: World, line: Line, name: str, into: str) -> str:
    source, target = world.group(name), world.group(into)
    _closed(source)
    if clash := set(source["volumes"]) & set(target["volumes"]):
        raise Refused(f"V-0 ERROR: both have {', '.join(sorted(clash))}")
    _renamed(world, name, into, set(source["volumes"]))
    target["disks"].update(source["disks"])
    target["volumes"].update(source["volumes"])
    del world.groups[name]
    return "Joined."


def _list(world: World) -> str:
    """Imagined throughout."""
    lines = [f"Disk groups: {len(world.groups)}"]
    for name, group in sorted(world.groups.items()):
        kind = {"sfw": "dynamic", "ldm": "microsoft"}[group["kind"]]
        state = "imported" if group["host"] == world.host else "deported"
        lines.append(f"  {name}  {kind}  {state}")
    return "\n".join(lines)
