"""HP EVA as beds: the imitated array of tests/simulators/eva behind its own sssu program."""

from __future__ import annotations

import os
import random
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from provider_beds import Bed

from exshadow.commands import CommandRunner
from exshadow.providers import eva
from exshadow.providers.contract import Provider, Source
from exshadow.providers.eva.provider import EvaProvider

SIMULATOR = Path(__file__).resolve().parents[1] / "simulators" / "eva"
sys.path.append(str(SIMULATOR))

from eva_array import host as eva_host  # noqa: E402
from eva_array import state as eva_state  # noqa: E402

MIB = 1 << 20
SIZES = {"db": 2 * MIB, "logs": MIB}
PROD = "\\Hosts\\Mail\\prod"
BACKUP = "\\Hosts\\Mail\\backup"
TAPE = "\\Hosts\\Mail\\tape"


class EvaBed(Bed):
    """A small array with the group's volumes presented to a host; mirrorclones."""

    name = "eva"
    other_host = "tape"
    third_host = "prod"
    copies_of_mirrors = 4
    kind: ClassVar[dict[str, str]] = {"kind": "mirrorclone"}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.resume()
        self.array.mkdir()
        eva_state.new(self.array)
        with eva_state.edit(self.array) as state:
            for number, (name, size) in enumerate(SIZES.items(), 1):
                made = eva_state.add_vdisk(state, self.array, f"SG1_{name}", "original", size)
                image = eva_state.image(self.array, made)
                image.write_bytes(random.Random(name).randbytes(size))
                state["luns"].append({"host": PROD, "number": number, "vdisk": made["id"]})
            eva_host.update(state, self.array)
        password = folder / "password"
        password.touch(mode=0o600)
        password.write_text("secret word\n")

    def resume(self) -> None:
        self.array = self.folder / "array"
        self.made: list[EvaProvider] = []

    @property
    def settings(self) -> dict[str, str]:
        """As ``[provider.eva]`` of a policy."""
        words = [sys.executable, "-I", "-S", str(SIMULATOR / "sssu"), "--state", str(self.array)]
        return {
            "sssu": shlex.join(words),
            "manager": "cv.example",
            "user": "admin",
            "password_file": str(self.folder / "password"),
            "system": "EVA1",
            "host": BACKUP,
            "work": str(self.folder / "work"),
            "sysfs": str(self.array / "sys"),
            "devices": str(self.array / "dev"),
            "mounts": str(self.folder / "mounts"),
            "flush_seconds": "5",
            "settle_seconds": "5",
            "device_seconds": "5",
            **self.kind,
        }

    @property
    def options(self) -> dict[str, str]:
        """What the policy's group says to the provider."""
        return {}

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(
            Source(name, str(self.array / "dev" / f"sd{letter}"), size)
            for letter, (name, size) in zip("ab", SIZES.items(), strict=True)
        )

    @property
    def other_paths(self) -> dict[str, str]:
        """The vdisk's own id, as for volumes of other hosts."""
        return {name: f"naa.{wwn}" for name, wwn in self.wwns.items()}

    @property
    def wwns(self) -> dict[str, str]:
        """Page-83 ids of production."""
        with eva_state.edit(self.array) as state:
            vdisks = state["vdisks"].values()
            return {
                name: one["wwn"] for name in SIZES for one in vdisks if one["name"] == f"SG1_{name}"
            }

    def provider(self, **changed: str) -> Provider:
        one = eva.build({**self.settings, **changed})
        self.made.append(one)
        return one

    def write(self, volume: str, offset: int, data: bytes) -> None:
        device = os.open(self.device(volume), os.O_WRONLY)
        try:
            os.pwrite(device, data, offset)
            os.fsync(device)
        finally:
            os.close(device)

    def read(self, volume: str) -> bytes:
        return self.device(volume).read_bytes()

    def device(self, volume: str) -> Path:
        """What the application has open."""
        return Path(next(one.path for one in self.sources if one.name == volume))

    def copies(self) -> Sequence[str]:
        """Vdisks that are not production, and LUNs that are not production's."""
        with eva_state.edit(self.array) as state:
            return sorted(
                [one["name"] for one in state["vdisks"].values() if "SG1_" not in one["name"]]
                + [f"LUN {one['number']}" for one in state["luns"] if one["host"] != PROD]
            )

    def set(self, **changes: Any) -> None:
        """Change fields of the array's state; ``traps`` and ``times`` are merged."""
        with eva_state.edit(self.array) as state:
            for key, value in changes.items():
                if isinstance(value, dict):
                    state[key] |= value
                else:
                    state[key] = value

    def get(self, key: str) -> Any:
        with eva_state.edit(self.array) as state:
            return state[key]

    def hold(self) -> None:
        self.set(hold=True)

    def release(self) -> None:
        self.set(hold=False)

    def close(self) -> None:
        for one in self.made:
            with suppress(Exception):
                one.close()


class EvaSnapshotBed(EvaBed):
    """Fully allocated snapshots, with consent to restore from them."""

    name = "eva snapshot"
    kind: ClassVar[dict[str, str]] = {"kind": "snapshot", "instant_restore": "yes"}


class EvaSnapcloneBed(EvaBed):
    """Snapclones."""

    name = "eva snapclone"
    kind: ClassVar[dict[str, str]] = {"kind": "snapclone"}


def runner(bed: EvaBed) -> CommandRunner:
    """One that keeps its log where a test sees it."""
    return CommandRunner(programs={"sssu": bed.settings["sssu"]})
