"""vxassist: prepare (snapstart), snapback, snapclear, snapabort, snapprint, (un)assign, rescan.

Documented: the grammar of prepare; ``-f -gDG snapback VOLUME``; ``-f assign DEVICE DriveLetter=``;
rescan. Of the UNIX sibling: -o resyncfromreplica, snapclear, snapabort, the states. Imagined:
unassign, DrivePath= of assign, the listing of snapprint, every sentence.
"""

from __future__ import annotations

import re

from simulators.sfw import copying
from simulators.sfw.words import Line
from simulators.sfw.world import Json, Refused, World

MIRRORS = 32


def run(world: World, line: Line, fault: str = "") -> str:
    options = line.options("bf", "o", "g")
    if line.words[:1] == ["-g"] or options.get("g", "x").startswith("="):
        raise line.usage("-g is followed by the name without a space")
    verbs = ("prepare", "snapstart", "snapback", "snapclear", "snapabort", "snapprint",
             "assign", "unassign", "rescan")  # fmt: skip
    verb = line.verb(*verbs)
    asked = options.get("o")
    fitting = {"prepare": "notrackalign", "snapstart": "notrackalign",
               "snapback": "resyncfromreplica"}  # fmt: skip
    if asked is not None and fitting.get(verb) != asked:
        raise line.usage(f"-o {asked} does not fit {verb}")
    group = options.get("g", "")
    if verb == "rescan":
        line.end()
        return "Rescan done."
    if verb == "snapprint":
        world.group(group)
        line.end()
        return _pairs(world, group)
    word = line.one("volume")
    if verb == "snapclear":
        line.end()
        return _snapclear(world, group, word)
    group, name = world.find(word, group)
    if verb in ("prepare", "snapstart"):
        return _prepare(world, line, group, name)
    if verb == "snapback":
        line.end()
        return _snapback(world, group, name, reverse=asked is not None)
    if verb == "snapabort":
        return _snapabort(world, line, group, name)
    return _assign(world, line, group, name, verb)


def _prepare(world: World, line: Line, group: str, name: str) -> str:
    place, disks = "", []
    for word in line.words:
        if word.lower().startswith("plex="):
            place = word[5:]
        elif re.fullmatch(r"(?i)(type=stripe|column=\d+|stripeunit=\d+)", word):
            raise line.usage(f"{word}: striped snap plexes are not simulated")
        elif "=" in word or word.startswith(("!", "-")):
            raise line.usage(f"unknown attribute {word}")
        else:
            disks.append(word)
    if world.groups[group]["kind"] != "sfw":
        raise Refused(f"V-0 ERROR: prepare is not supported for disk group {group}")
    volume = world.volume(group, name)
    if volume["layout"] == "raid5":
        raise Refused(f"V-0 ERROR: {name} is a RAID-5 volume")
    if place:
        return _convert(world, volume, place)
    if len(volume["plexes"]) >= MIRRORS:
        raise Refused(f"V-0 ERROR: {name} has {MIRRORS} mirrors")
    disk = _room(world, group, volume, disks)
    copying.begin(world)
    volume["plexes"][world.new_plex_name(group, name)] = {
        "disk": disk,
        "state": "SNAPATT",
        "file": world.add_image(volume["size"]),
        "at": 0.0,
    }
    return "Preparing has begun."


def _convert(world: World, volume: Json, name: str) -> str:
    """An existing mirror, which is in sync already, becomes the snap plex."""
    plex = volume["plexes"].get(name)
    if plex is None or plex["state"] != "ACTIVE":
        raise Refused(f"V-0 ERROR: {name} is no mirror that can be converted")
    if sum(one["state"] == "ACTIVE" for one in volume["plexes"].values()) < 2:
        raise Refused(f"V-0 ERROR: {name} is the last mirror")
    plex["state"] = "SNAPDONE"
    copying.catch_up(world, volume)
    return "Converted."


def _room(world: World, group: str, volume: Json, disks: list[str]) -> str:
    """The disk for a new plex: of those named, with room, without another plex of the volume."""
    known = world.groups[group]["disks"]
    for disk in disks:
        if disk not in known:
            raise Refused(f"V-0 ERROR: {disk} is not in disk group {group}")
    taken = {plex["disk"] for plex in volume["plexes"].values()}
    for disk in disks or sorted(known):
        used = sum(
            one["size"]
            for one in world.groups[group]["volumes"].values()
            for plex in one["plexes"].values()
            if plex["disk"] == disk
        )
        if disk not in taken and used + volume["size"] <= known[disk]:
            return disk
    raise Refused("V-0 ERROR: not enough space on the disks")


def unmounted(volume: Json, name: str) -> None:
    if volume["places"] or volume["open"]:
        at = ", ".join(volume["places"]) or "open files"
        raise Refused(f"V-0 ERROR: volume {name} is in use ({at})")


def relation_of(world: World, group: str, name: str) -> Json:
    found = [one for one in world.relations if one["snapshot"] == [group, name]]
    if not found or "snapshot" not in found[0]["known"]:
        raise Refused(f"V-0 ERROR: {name} is no snapshot volume")
    return found[0]


def _snapback(world: World, group: str, name: str, *, reverse: bool) -> str:
    relation = relation_of(world, group, name)
    reattach(world, relation, reverse=reverse)
    return "Snapback has begun."


def reattach(world: World, relation: Json, *, reverse: bool) -> None:
    """The snapshot's plex back to its volume; only changed regions are copied."""
    group, name = relation["snapshot"]
    snapshot = world.volume(group, name)
    unmounted(snapshot, name)
    if relation["original"][0] != group:
        raise Refused(f"V-0 ERROR: the original of {name} is in another disk group: join them")
    if "original" not in relation["known"]:
        raise Refused(f"V-0 ERROR: the original does not know {name} any more")
    original = world.volume(*relation["original"])
    if reverse:
        unmounted(original, relation["original"][1])
    if len(original["plexes"]) >= MIRRORS:
        raise Refused(f"V-0 ERROR: {relation['original'][1]} has {MIRRORS} mirrors")
    dirty = sorted(copying.changed(world, relation))
    copying.catch_up(world, original)  # plexes in sync took part in every write until now
    copying.begin(world)
    for plex_name, plex in snapshot["plexes"].items():
        plex.update(state="SNAPTMP", at=0.0, dirty=dirty, reverse=reverse)
        original["plexes"][plex_name] = plex
    del world.groups[group]["volumes"][name]
    world.relations.remove(relation)


def _snapclear(world: World, group: str, name: str) -> str:
    """One side forgets; both when they are in one disk group."""
    world.group(group)
    for relation in world.relations:
        if relation["snapshot"][1] != name:
            continue
        sides = [side for side in ("original", "snapshot")
                 if relation[side][0] == group and side in relation["known"]]  # fmt: skip
        if not sides:
            continue
        relation["known"] = [side for side in relation["known"] if side not in sides]
        if not relation["known"]:
            world.relations.remove(relation)
        return "Cleared."
    raise Refused(f"V-0 ERROR: {name} is no snapshot volume of disk group {group}")


def _snapabort(world: World, line: Line, group: str, name: str) -> str:
    asked = line.named("plex").get("plex")
    volume = world.volume(group, name)
    snap = [one for one, plex in volume["plexes"].items() if plex["state"] != "ACTIVE"]
    if asked is not None:
        snap = [one for one in snap if one == asked]
    if not snap:
        raise Refused(f"V-0 ERROR: {name} has no such snap plex")
    if len(snap) > 1:
        raise Refused(f"V-0 ERROR: {name} has several snap plexes: name one")
    plex = volume["plexes"].pop(snap[0])
    world.image(plex).unlink()
    return "Aborted."


def _assign(world: World, line: Line, group: str, name: str, verb: str) -> str:
    asked = line.named("driveletter", "drivepath")
    if len(asked) != 1:
        raise line.usage("one of DriveLetter= and DrivePath= is needed")
    place = next(iter(asked.values()))
    if "driveletter" in asked and not re.fullmatch(r"[A-Za-z]:", place):
        raise line.usage(f"{place} is no drive letter")
    if "drivepath" in asked and not re.fullmatch(r"[A-Za-z]:\\.+", place):
        raise line.usage(f"{place} is no folder")
    volume = world.volume(group, name)
    if verb == "unassign":
        if place not in volume["places"]:
            raise Refused(f"V-0 ERROR: {name} is not at {place}")
        if volume["open"]:
            raise Refused(f"V-0 ERROR: volume {name} is in use (open files)")
        volume["places"].remove(place)
        return "Unassigned."
    if any(place in one["places"] for every in world.groups.values()
           if every["host"] == world.host for one in every["volumes"].values()):  # fmt: skip
        raise Refused(f"V-0 ERROR: {place} is in use")
    if any(plex.get("reverse") for plex in volume["plexes"].values()):
        raise Refused(f"V-0 ERROR: {name} is being synchronised from its replica")
    volume["places"].append(place)
    return "Assigned."


def _pairs(world: World, group: str) -> str:
    """Imagined throughout."""
    lines = []
    for one in world.relations:
        for side in one["known"]:
            if one[side][0] == group:
                percent = copying.percent(world, one)
                original, snapshot = "\\".join(one["original"]), "\\".join(one["snapshot"])
                lines.append(f"  {original}  {snapshot}  {side}  {percent}%")
    head = f"Snapshot pairs of disk group {group}: {len(lines)}"
    return "\n".join([head, *lines])
