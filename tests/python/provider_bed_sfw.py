"""The bed of Storage Foundation for Windows: one disk group, production at W: and L:."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from provider_beds import Bed
from sfw_tools import SimulatedRunner

from exshadow.providers.contract import Source
from exshadow.providers.sfw import SfwProvider
from simulators.sfw import program, world

MIB = 1 << 20
PATHS = {"db": "W:", "logs": "L:"}


class SfwBed(Bed):
    """Mirror m1 lies on Harddisk3, m2 on Harddisk4; copies get P: to S:."""

    name = "sfw"
    other_host = "HOST2"
    third_host = "HOST3"
    copies_of_mirrors = 6
    sizes: ClassVar = {"db": 2 * MIB, "logs": MIB}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.resume()
        world.create(self.world)
        disks = {f"Harddisk{number}": 64 * MIB for number in range(1, 6)}
        world.add_group(self.world, "MAIL", disks)
        for volume, disk in (("db", "Harddisk1"), ("logs", "Harddisk2")):
            size, path = self.sizes[volume], PATHS[volume]
            world.add_volume(self.world, "MAIL", volume, size, disk, places=(path,))
            self.write(volume, 0, os.urandom(size))

    def resume(self) -> None:
        """What is needed to go on with a host that is there already."""
        self.world = self.folder / "sfw"
        self.sets = self.folder / "sets"
        self.commands = SimulatedRunner(state=self.world)
        self.programs = program.install(self.folder / "bin", self.world)

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(Source(name, PATHS[name], size) for name, size in self.sizes.items())

    @property
    def other_paths(self) -> dict[str, str]:
        return {name: f"\\Device\\HarddiskDmVolumes\\MAIL\\{name}" for name in self.sizes}

    @property
    def nowhere(self) -> str:
        return "Z:"

    @property
    def settings(self) -> dict[str, str]:
        """As the policy's [provider.sfw] would have them; the programs are for other processes."""
        return {
            "mirrors": "m1=Harddisk3 m2=Harddisk4",
            "letters": "P: Q: R: S:",
            "sets": str(self.sets),
            "sets_copy": str(self.folder / "share"),
            "devices": str(self.world / "devices"),
            "host": "HOST1",
            **self.programs,
        }

    def provider(self, **settings: str) -> SfwProvider:
        return SfwProvider({**self.settings, **settings}, self.commands)

    def write(self, volume: str, offset: int, data: bytes) -> None:
        world.write(self.world, PATHS[volume], offset, data)

    def read(self, volume: str) -> bytes:
        return (self.world / "devices" / PATHS[volume]).read_bytes()

    def copies(self) -> Sequence[str]:
        """Every plex that is there, by disk group and name: production's own as well."""
        with world.opened(self.world) as found:
            return sorted(
                f"{group}/{plex}"
                for group, data in found.groups.items()
                for volume in data["volumes"].values()
                for plex in volume["plexes"]
            )

    def hold(self) -> None:
        (self.world / "held").touch()

    def release(self) -> None:
        (self.world / "held").unlink(missing_ok=True)
