"""The native engine as a bed: volumes of a state folder, over the verbs in this process."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from provider_beds import Bed

import exshadow
from exshadow.providers.contract import Provider, Source
from exshadow.service import volumes
from exshadow.service.desk import Desk
from exshadow.service.local import LocalService
from exshadow.service.native_provider import NativeProvider
from exshadow.service.state import StateFolder

MIB = 1 << 20
SIZES = {"db": 2 * MIB, "logs": MIB}


class NativeBed(Bed):
    """``settings`` and ``policy`` say how a policy run finds the same things."""

    name = "native"
    copies_of_mirrors = 4

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.resume()
        (folder / "mirrors").mkdir()
        with closing(Desk(StateFolder(self.state))) as desk:
            for name, size in SIZES.items():
                path = folder / f"{name}.img"
                path.write_bytes(random.Random(name).randbytes(size))
                volumes.add(desk, name, str(path), group=self.group)

    def resume(self) -> None:
        self.state = self.folder / "state"
        self._desks: list[Desk] = []

    @property
    def options(self) -> dict[str, str]:
        """What the policy's group says to the provider."""
        return {"mirror-path": f"{self.folder}/mirrors/{{volume}}-{{mirror}}.img"}

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(
            Source(name, str(self.folder / f"{name}.img"), size) for name, size in SIZES.items()
        )

    @property
    def other_paths(self) -> dict[str, str]:
        """The volume file is what counts."""
        return {name: f"/elsewhere/{name}.img" for name in SIZES}

    def provider(self) -> Provider:
        desk = Desk(StateFolder(self.state))
        self._desks.append(desk)
        return NativeProvider(LocalService(desk), self.options)

    def write(self, volume: str, offset: int, data: bytes) -> None:
        with exshadow.Engine() as engine:
            opened = engine.open(str(self.state / f"{volume}.exv"))
            opened.write(offset, data)
            opened.flush()

    def read(self, volume: str) -> bytes:
        with exshadow.Engine() as engine:
            opened = engine.open(str(self.state / f"{volume}.exv"))
            return bytes(opened.read(0, SIZES[volume]))

    def copies(self) -> Sequence[str]:
        return sorted(path.name for path in (self.folder / "mirrors").iterdir())

    def close(self) -> None:
        for desk in self._desks:
            desk.close()
