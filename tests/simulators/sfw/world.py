"""The state of the simulated host: disk groups, volumes and plexes in one JSON file under a lock,
the plexes' bytes in image files beside it, drive letters as links in ``devices``.

    STATE/world.json   STATE/lock   STATE/images/N.img   STATE/devices/W:
    STATE/held         while it exists no synchronisation goes on
    STATE/faults.json  what goes wrong next (see faults.py)

A volume's bytes are those of its first plex. A snap plex in sync receives every write in the
product; here it receives them when the next command looks (copying.catch_up), which nobody can
tell apart. Writers that must not fall between two volumes of a split hold the lock while writing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Refused(Exception):
    """The product says no. ``status``: exit code (imagined)."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class World:
    """Open it with :func:`opened`; what is changed is kept when the block ends."""

    def __init__(self, folder: Path, host: str = "HOST1") -> None:
        self.folder = folder
        self.host = host
        self._read = (folder / "world.json").read_text()
        self.state: Json = json.loads(self._read)

    @property
    def groups(self) -> dict[str, Json]:
        return self.state["groups"]

    @property
    def relations(self) -> list[Json]:
        """Pairs: original, snapshot ([group, volume]), sums (of the regions at the split),
        known (which sides still know of it)."""
        return self.state["relations"]

    def save(self) -> None:
        content = json.dumps(self.state)
        if content != self._read:
            plain = self.folder / "world.json"
            fresh = plain.with_suffix(".new")
            fresh.write_text(content)
            fresh.replace(plain)

    # --- looking up ---

    def group(self, name: str) -> Json:
        """An imported disk group of this host."""
        found = self.groups.get(name)
        if found is None or found["host"] != self.host:
            raise Refused(f"V-0: disk group {name} does not exist or is not imported")
        return found

    def volume(self, group: str, name: str) -> Json:
        volumes = self.group(group)["volumes"]
        if name not in volumes:
            raise Refused(f"V-0: volume {name} not found in disk group {group}")
        return volumes[name]

    def find(self, word: str, group: str = "") -> tuple[str, str]:
        """The four ways to name a volume: letter, device path, folder, name with its group."""
        device = "\\device\\harddiskdmvolumes\\"
        if word.lower().startswith(device):
            parts = word[len(device) :].split("\\")
            if len(parts) == 2 and parts[0] in self.groups:
                self.volume(parts[0], parts[1])
                return parts[0], parts[1]
            raise Refused(f"V-0: volume {word} not found")
        if ":" in word:
            for name, one in self.groups.items():
                for volume, data in one["volumes"].items():
                    mine = [place.lower() for place in data["places"]]
                    if one["host"] == self.host and word.lower() in mine:
                        return name, volume
            raise Refused(f"V-0: volume {word} not found")
        if not group:
            raise Refused("V-0: a disk group name is required with an internal volume name")
        self.volume(group, word)
        return group, word

    def image(self, plex: Json) -> Path:
        return self.folder / "images" / plex["file"]

    def primary(self, volume: Json) -> Json:
        return next(one for one in volume["plexes"].values() if one["state"] == "ACTIVE")

    # --- making ---

    def add_image(self, size: int) -> str:
        self.state["images"] += 1
        name = f"{self.state['images']}.img"
        with (self.folder / "images" / name).open("wb") as file:
            file.truncate(size)
        return name

    def free_letter(self) -> str:
        """From E: on."""
        used = {place for group in self.groups.values() for volume in group["volumes"].values()
                for place in volume["places"]}  # fmt: skip
        return next(f"{one}:" for one in "EFGHIJKMNOXYZ" if f"{one}:" not in used)

    def new_plex_name(self, group: str, volume: str) -> str:
        """Not used anywhere: ``db-02``."""
        used = {
            plex
            for one in self.groups.values()
            for data in one["volumes"].values()
            for plex in data["plexes"]
        }
        number = 1
        while f"{volume}-{number:02}" in used:
            number += 1
        return f"{volume}-{number:02}"

    def link_devices(self) -> None:
        """Letters and device paths as links to the bytes of imported volumes."""
        wanted = self._links()
        if wanted == self.state["links"]:
            return
        devices = self.folder / "devices"
        for link in self.state["links"]:
            (devices / link).unlink()
        for link, image in wanted.items():
            (devices / link).parent.mkdir(parents=True, exist_ok=True)
            up = "../" * (link.count("/") + 1)  # relative, so that the folder may be copied
            (devices / link).symlink_to(f"{up}images/{image}")
        self.state["links"] = wanted

    def _links(self) -> dict[str, str]:
        """Name under ``devices`` to name under ``images``."""
        found = {}
        for name, group in self.groups.items():
            for volume, data in group["volumes"].items() if group["host"] == self.host else ():
                image = self.primary(data)["file"]
                found[f"GLOBALROOT/Device/HarddiskDmVolumes/{name}/{volume}"] = image
                found |= {place: image for place in data["places"] if "\\" not in place}
        return found


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone with the state. A killed holder lets go."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def opened(folder: Path, host: str = "HOST1") -> Iterator[World]:
    """The world, kept also when the product refuses in the middle: as it would be."""
    with locked(folder):
        world = World(folder, host)
        try:
            yield world
        finally:
            world.link_devices()
            world.save()


# --- building one for a test ---


def create(folder: Path, *, sync_seconds: float = 0.0) -> None:
    """A host without disk groups. ``sync_seconds``: how long any synchronisation takes."""
    for part in ("images", "devices"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    state = {
        "groups": {},
        "relations": [],
        "images": 0,
        "sync_seconds": sync_seconds,
        "links": {},
        "looked": time.time(),
        "writers": {},
        "vss_busy": False,
    }
    (folder / "world.json").write_text(json.dumps(state))


def add_group(
    folder: Path, name: str, disks: dict[str, int], *, kind: str = "sfw", host: str = "HOST1"
) -> None:
    """A disk group. ``disks``: bytes each holds; ``kind``: sfw, or ldm for Microsoft's."""
    with opened(folder) as world:
        world.groups[name] = {"kind": kind, "host": host, "disks": disks, "volumes": {}}


def add_volume(
    folder: Path,
    group: str,
    name: str,
    size: int,
    disk: str,
    *,
    places: tuple[str, ...] = (),
    layout: str = "concatenated",
) -> None:
    """A volume with one plex on ``disk``; ``places``: its letters and folders."""
    with opened(folder) as world:
        plex = world.new_plex_name(group, name)
        world.groups[group]["volumes"][name] = {
            "size": size,
            "layout": layout,
            "places": list(places),
            "open": False,
            "plexes": {
                plex: {"disk": disk, "state": "ACTIVE", "file": world.add_image(size), "at": 0.0}
            },
        }


def write(folder: Path, path: str, offset: int, data: bytes) -> None:
    """As an application writes through a letter or device path; never inside a split."""
    with locked(folder):
        place = path.lstrip("\\").replace("\\", "/")
        target = folder / "devices" / (place if ":" in place else f"GLOBALROOT/{place}")
        file = os.open(target, os.O_WRONLY)
        try:
            os.pwrite(file, data, offset)
        finally:
            os.close(file)
