"""The bed of the VSS provider: the portable coordinator as the service, and a VSS provider that
copies image files, whose snapshots outlive every process."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from provider_beds import Bed

from exshadow import vss
from exshadow.providers.contract import Source
from exshadow.providers.vss import VssProvider
from exshadow.providers.vss.settings import parse

MIB = 1 << 20
SIZES = {"db": 2 * MIB, "logs": MIB}
PROVIDER = UUID("0c1e5d3a-95d5-4a2f-8f61-6a5f5b0f7a11")
EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


class FileSnapshots(vss.Provider):
    """Copies the image that a volume's name is, at commit. ``index.json`` has the finished ones;
    a copy counts from PostFinalCommit on: what is left before by a kill is a ``.part``, which the
    real service, whose requestor was killed, would have aborted."""

    provider_id = PROVIDER
    name = "image files"
    differential = True
    plex = True
    reverts = True
    breaks = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.making: dict[UUID, list[vss.SnapshotRequest]] = {}
        folder.mkdir(exist_ok=True)

    def index(self) -> dict[str, Any]:
        file = self.folder / "index.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def write(self, index: dict[str, Any]) -> None:
        fresh = self.folder / "index.new"
        fresh.write_text(json.dumps(index))
        fresh.replace(self.folder / "index.json")

    def image(self, snapshot: UUID | str) -> Path:
        return self.folder / f"{snapshot}.img"

    def part(self, snapshot: UUID | str) -> Path:
        return self.image(snapshot).with_suffix(".part")

    def is_volume_supported(self, volume: str, attributes: vss.SnapshotAttributes) -> bool:
        return Path(volume).exists()

    def begin_prepare_snapshot(self, request: vss.SnapshotRequest) -> None:
        self.making.setdefault(request.set_id, []).append(request)

    def commit_snapshots(self, set_id: UUID) -> None:
        for one in self.making[set_id]:
            shutil.copyfile(one.volume, self.part(one.snapshot_id))

    def post_final_commit_snapshots(self, set_id: UUID) -> None:
        index = self.index()
        for one in self.making.pop(set_id):
            self.part(one.snapshot_id).replace(self.image(one.snapshot_id))
            index[str(one.snapshot_id)] = {
                "set": str(set_id), "volume": one.volume, "attributes": int(one.attributes),
                "made": datetime.now(UTC).isoformat(),
            }  # fmt: skip
        self.write(index)

    def abort_snapshots(self, set_id: UUID) -> None:
        for one in self.making.pop(set_id, []):
            self.part(one.snapshot_id).unlink(missing_ok=True)

    def query(self) -> Sequence[vss.SnapshotProperties]:
        index = self.index()
        return [
            vss.SnapshotProperties(
                snapshot_id=UUID(name), set_id=UUID(one["set"]),
                set_size=sum(other["set"] == one["set"] for other in index.values()),
                device=str(self.image(name)), original_volume=one["volume"],
                originating_machine="here", service_machine="here", exposed_name="",
                exposed_path="", provider_id=PROVIDER,
                attributes=vss.SnapshotAttributes(one["attributes"]),
                created=int((datetime.fromisoformat(one["made"]) - EPOCH).total_seconds() * 1e7),
                state=vss.SnapshotState.CREATED,
            )
            for name, one in index.items()
        ]  # fmt: skip

    def delete_snapshot(self, snapshot: UUID, force: bool) -> None:
        index = self.index()
        index.pop(str(snapshot))
        self.write(index)
        self.image(snapshot).unlink()

    def break_snapshot_set(self, set_id: UUID, flags: vss.BreakFlags) -> None:
        index = self.index()
        self.write({name: one for name, one in index.items() if one["set"] != str(set_id)})

    def revert_to_snapshot(self, snapshot: UUID, force_dismount: bool) -> None:
        shutil.copyfile(self.image(snapshot), self.index()[str(snapshot)]["volume"])

    def query_revert_status(self, volume: str) -> None:
        """A revert has ended when it returned."""


class VssBed(Bed):
    """Differential copies, restored by the provider's revert."""

    name = "vss"
    copies_of_mirrors = 2
    copies_of_a_set = 2
    options: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.resume()
        for name, size in SIZES.items():
            if not self.path(name).exists():
                self.path(name).write_bytes(random.Random(name).randbytes(size))

    def resume(self) -> None:
        self.coordinators: list[vss.Coordinator] = []

    def path(self, volume: str) -> Path:
        return self.folder / f"{volume}.img"

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(Source(name, str(self.path(name)), size) for name, size in SIZES.items())

    @property
    def settings(self) -> dict[str, str]:
        """As the policy's [provider.vss] would have them."""
        return {"sets": str(self.folder / "sets"), "writers": "no", **self.options}

    def provider(self) -> VssProvider:
        coordinator = vss.Coordinator()
        coordinator.register_provider(FileSnapshots(self.folder / "shadows"))
        self.coordinators.append(coordinator)
        return VssProvider(replace_tries(parse(self.settings)), coordinator)

    def write(self, volume: str, offset: int, data: bytes) -> None:
        with self.path(volume).open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def read(self, volume: str) -> bytes:
        return self.path(volume).read_bytes()

    def copies(self) -> Sequence[str]:
        """Snapshots' images, and the slots of mirrors."""
        slots = (path.stem for path in (self.folder / "sets").glob("*.json"))
        return sorted([*slots, *(path.name for path in (self.folder / "shadows").glob("*.img"))])

    def close(self) -> None:
        for one in self.coordinators:
            one.close()


class VssPlexBed(VssBed):
    """Full copies, restored by copying back; they outlive their relation."""

    options: ClassVar[dict[str, str]] = {"kind": "plex", "restore": "copy", "copying_seconds": "0"}


def replace_tries(settings: Any) -> Any:
    """A test does not wait ten minutes for the next try."""
    return settings.model_copy(update={"tries": 1})
