"""vxvol volinfo VOLUME: the spelling is in batch files, what it prints is imagined throughout."""

from __future__ import annotations

from simulators.sfw.words import Line
from simulators.sfw.world import World


def run(world: World, line: Line, fault: str = "") -> str:
    options = line.options("", "", "g")
    line.verb("volinfo")
    word = line.one("volume")
    line.end()
    group, name = world.find(word, options.get("g", ""))
    volume = world.volume(group, name)
    lines = [
        f"Volume       : {name}",
        f"Disk group   : {group}",
        f"Size         : {volume['size']} bytes",
        f"Layout       : {volume['layout']}",
    ]
    for place in volume["places"]:
        what = "Mount folder" if "\\" in place else "Drive letter"
        lines.append(f"{what} : {place}")
    for plex_name, plex in volume["plexes"].items():
        under_way = plex["state"] in ("SNAPATT", "SNAPTMP")
        percent = f" {int(100 * plex['at'])}%" if under_way else ""
        lines.append(f"Plex         : {plex_name}  {plex['disk']}  {plex['state']}{percent}")
    return "\n".join(lines)
