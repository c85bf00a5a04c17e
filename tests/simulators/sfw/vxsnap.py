"""vxsnap of Windows: create, reattach, restore, each with -x FILE. The UNIX grammar is refused.

Documented: ``-x FILE create source=VOLUME/label=L/newvol=N``; that vxsnap is the requestor and asks
the writer for the component's volumes; reattach and restore with writer= and component= are named
in guides. Imagined: what the XML holds (it names its host), that an XML of another host and one
that exists are refused, that a writer who is named must be the set's, whether a
restore uses the set up (it does here), every sentence.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from simulators.sfw import copying
from simulators.sfw.vxassist import reattach
from simulators.sfw.words import Line
from simulators.sfw.world import Json, Refused, World

_ATTRIBUTES = {"driveletter", "drivepath", "label", "newvol", "plex"}


def run(world: World, line: Line, fault: str = "") -> str:
    options = line.options("bf", "x")
    verb = line.verb("create", "reattach", "restore")
    for letter in "bf":
        if verb == "create" and letter in options:
            raise line.usage(f"-{letter} does not fit create")
    if "x" not in options:
        raise line.usage("-x FILE is missing")
    path = Path(options["x"])
    if verb == "create":
        return _create(world, line, path, fault)
    if verb == "reattach":
        return _reattach(world, line, path)
    return _restore(world, line, path, fault)


# --- create ---


def _create(world: World, line: Line, path: Path, fault: str) -> str:
    sources = []
    named: dict[str, str] = {}
    if line.words[-1:] == ["-E"]:
        line.words.pop()
        named["eseutil"] = "yes"
    for word in line.words:
        name, equals, value = word.partition("=")
        if not equals or not value:
            raise line.usage(f"unknown attribute {word}")
        if name.lower() == "source":
            sources.append(_source(world, line, value))
        elif name.lower() in ("writer", "component", "backuptype") and name.lower() not in named:
            named[name.lower()] = value
        else:
            raise line.usage(f"unknown attribute {word}")
    if not sources:
        raise line.usage("source= is missing")
    if named.get("backuptype", "COPY") not in ("FULL", "COPY"):
        raise line.usage("backuptype is FULL or COPY")
    if path.exists():
        raise Refused(f"V-0 ERROR: {path} exists")
    if not path.parent.is_dir():
        raise Refused(f"V-0 ERROR: {path.parent} does not exist")
    _ask_writer(world, named, sources)
    planned = [(one, _plex(world, one, fault)) for one in sources]
    made = [str(one["newvol"]) for one in sources]
    if len(set(made)) != len(made):
        raise Refused("V-0 ERROR: a volume name is given twice")
    for one, plex in planned[: 1 if fault == "half" else None]:
        _split(world, one, plex)
    if fault != "no-xml":
        path.write_text(_xml(world, sources, named))
    return f"Snapshot set of {len(sources)} volumes made."


def _source(world: World, line: Line, text: str) -> Json:
    first, *more = text.split("/")
    group, name = world.find(first)
    found: Json = {"group": group, "volume": name}
    spelled = world.state.get("spelled", {})  # in this release, where it differs
    known = {spelled.get(one, one): one for one in _ATTRIBUTES}
    for part in more:
        key, equals, value = part.partition("=")
        if not equals or key.lower() not in known or not value:
            raise line.usage(f"unknown attribute /{part}")
        found[known[key.lower()]] = value
    new = found.setdefault("newvol", f"SNAP-{name}")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,18}", new):
        raise Refused(f"V-0 ERROR: {new} is no volume name")
    if new in world.groups[group]["volumes"]:
        raise Refused(f"V-0 ERROR: volume {new} exists")
    return found


def _ask_writer(world: World, named: dict[str, str], sources: list[Json]) -> None:
    """The writer tells which volumes the component has; the set must have them all."""
    if ("writer" in named) != ("component" in named):
        raise Refused("V-0 ERROR: writer= and component= go together")
    if "writer" not in named:
        return
    if world.state["vss_busy"]:
        raise Refused("V-0 ERROR: VSS: another snapshot set is being created")
    components = world.state["writers"].get(named["writer"])
    if components is None:
        raise Refused(f"V-0 ERROR: VSS writer {named['writer']} not found")
    if named["component"] not in components:
        raise Refused(f"V-0 ERROR: component {named['component']} not found")
    have = {f"{one['group']}\\{one['volume']}" for one in sources}
    if missing := set(components[named["component"]]) - have:
        raise Refused(f"V-0 ERROR: the component also lies on {', '.join(sorted(missing))}")


def _plex(world: World, source: Json, fault: str) -> str:
    volume = world.volume(source["group"], source["volume"])
    ready = [name for name, one in volume["plexes"].items() if one["state"] == "SNAPDONE"]
    if "plex" in source:
        ready = [name for name in ready if (name == source["plex"]) != (fault == "wrong-plex")]
    if not ready:
        raise Refused(f"V-0 ERROR: {source['volume']} has no snap plex that is ready")
    return ready[0]


def _split(world: World, source: Json, plex_name: str) -> None:
    group = source["group"]
    volume = world.volume(group, source["volume"])
    copying.catch_up(world, volume)
    plex = volume["plexes"].pop(plex_name)
    plex["state"] = "ACTIVE"
    places = [source[key] for key in ("driveletter", "drivepath") if key in source]
    if not places and world.state.get("letters_by_itself"):  # whether it does so is not known
        places = [world.free_letter()]
    world.groups[group]["volumes"][source["newvol"]] = {
        "size": volume["size"],
        "layout": "concatenated",
        "places": places,
        "open": False,
        "plexes": {plex_name: plex},
    }
    world.relations.append(
        {
            "original": [group, source["volume"]],
            "snapshot": [group, source["newvol"]],
            "sums": copying.sums(world.image(plex)),
            "known": ["original", "snapshot"],
        }
    )


def _xml(world: World, sources: list[Json], named: dict[str, str]) -> str:
    root = ElementTree.Element("SnapshotSet", {"Host": world.host, **named})
    for one in sources:
        ElementTree.SubElement(
            root, "Volume", {"Group": one["group"], "Original": one["volume"], "New": one["newvol"]}
        )
    return ElementTree.tostring(root, encoding="unicode")


# --- what follows ---


def _set(world: World, path: Path) -> tuple[ElementTree.Element, list[Json]]:
    """The XML and the relations of its volumes."""
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise Refused(f"V-0 ERROR: {path} does not exist") from None
    except ElementTree.ParseError:
        raise Refused(f"V-0 ERROR: {path} is damaged") from None
    if root.get("Host") != world.host:
        raise Refused(f"V-0 ERROR: {path} was written on {root.get('Host')}")
    pairs = []
    for one in root:
        sides = [one.get("Group"), one.get("Original")], one.get("New")
        found = [r for r in world.relations if r["original"] == sides[0]
                 and r["snapshot"][1] == sides[1] and len(r["known"]) == 2]  # fmt: skip
        if not found:
            raise Refused(f"V-0 ERROR: {sides[1]} is no snapshot volume of the set")
        pairs.append(found[0])
    return root, pairs


def _reattach(world: World, line: Line, path: Path) -> str:
    asked = line.named("writer")
    root, pairs = _set(world, path)
    if asked.get("writer", "") != root.get("writer", ""):
        raise Refused("V-0 ERROR: the set was not made with this writer")
    for relation in pairs:
        reattach(world, relation, reverse=False)
    return "Reattach has begun."


def _restore(world: World, line: Line, path: Path, fault: str) -> str:
    asked = line.named("restoretype", "writer", "subcomponent", "rsg")
    root, pairs = _set(world, path)
    if asked.get("restoretype") not in ("PIT", "POF"):
        raise line.usage("RestoreType is PIT or POF")
    if "writer" not in asked or asked["writer"] != root.get("writer"):
        raise Refused("V-0 ERROR: the set was not made with this writer")
    if asked["restoretype"] == "POF":  # the logs stay as they are, to be replayed
        logs = world.state.get("log_volumes", [])
        pairs = [one for one in pairs if "\\".join(one["original"]) not in logs]
    for relation in pairs[: 1 if fault == "half" else None]:
        reattach(world, relation, reverse=True)
    return "Restore has begun."
