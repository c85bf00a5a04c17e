"""Random histories of one volume against a model of plain arrays."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

import exshadow

REGION = 4096
SIZE = 60 * REGION + 3 * 512  # the last region is short
MIRRORS = ("m2", "m3")

offsets = st.integers(0, SIZE - 1)
lengths = st.integers(0, 5 * REGION)
fills = st.integers(1, 255)


class History(RuleBasedStateMachine):
    """Production reads as the model, snapshots as they were, changes cover all differences."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.engine = exshadow.Engine()
        self.model = np.zeros(SIZE, dtype=np.uint8)
        self.snapshots: dict[str, np.ndarray] = {}
        self.made = 0

    @initialize(seed=st.integers(0, 2**32 - 1))
    def create(self, seed: int) -> None:
        self.model = np.random.default_rng(seed).integers(0, 256, SIZE, dtype=np.uint8)
        (self.folder / "p1.img").write_bytes(self.model.tobytes())
        self.volume = self.engine.create(
            self.folder / "db.exv", plex=self.folder / "p1.img", region_size=REGION
        )
        for label in MIRRORS:
            self.volume.add_plex(self.folder / f"{label}.img", label=label).wait()

    def teardown(self) -> None:
        self.engine.close()
        for path in self.in_sync_files():
            assert path.read_bytes() == self.model.tobytes()
        shutil.rmtree(self.folder)

    def in_sync_files(self) -> list[Path]:
        if not (self.folder / "db.exv").exists():
            return []
        plexes = exshadow.inspect(self.folder / "db.exv")["plexes"]
        return [Path(plex["path"]) for plex in plexes if plex["state"] == "in_sync"]

    # --- what happens ---

    @rule(offset=offsets, length=lengths, fill=fills, fua=st.booleans())
    def write(self, offset: int, length: int, fill: int, fua: bool) -> None:
        data = np.full(min(length, SIZE - offset), fill, dtype=np.uint8)
        data[::7] ^= 0x5A
        self.volume.write(offset, data, fua=fua)
        self.model[offset : offset + len(data)] = data

    @rule(offset=offsets, length=lengths, unmap=st.booleans())
    def zero(self, offset: int, length: int, unmap: bool) -> None:
        length = min(length, SIZE - offset)
        self.volume.zero(offset, length, unmap=unmap)
        self.model[offset : offset + length] = 0

    @rule()
    def flush(self) -> None:
        self.volume.flush()

    @precondition(lambda self: len(self.snapshots) < len(MIRRORS))
    @rule()
    def split(self) -> None:
        self.made += 1
        label = f"s{self.made}"
        snapshot = self.engine.split([self.volume], label)["db"]
        assert snapshot.changed().shape == (0, 2)
        self.snapshots[label] = self.model.copy()

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def resync(self, data: st.DataObject) -> None:
        label = data.draw(st.sampled_from(sorted(self.snapshots)))
        self.volume.resync(label).wait()
        del self.snapshots[label]

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        label = data.draw(st.sampled_from(sorted(self.snapshots)))
        self.volume.restore(label).wait()
        self.model[:] = self.snapshots[label]
        assert self.volume.snapshots[label].changed().shape == (0, 2)

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        label = data.draw(st.sampled_from(sorted(self.snapshots)))
        self.volume.promote(label)
        self.model[:] = self.snapshots.pop(label)
        self.volume.sync().wait()

    @rule(clean=st.booleans())
    def reopen(self, clean: bool) -> None:
        with self.volume if clean else contextlib.nullcontext():
            pass
        self.engine.close()
        self.engine = exshadow.Engine()
        self.volume = self.engine.open(self.folder / "db.exv")
        assert self.volume.info()["events"] == []

    # --- what holds ---

    @invariant()
    def production_is_the_model(self) -> None:
        if hasattr(self, "volume"):
            assert self.volume.read(0, SIZE) == self.model.tobytes()

    @invariant()
    def snapshots_stay_and_changes_cover_the_differences(self) -> None:
        if not self.snapshots:
            return
        found = self.volume.snapshots
        assert set(found) == set(self.snapshots)
        for label, then in self.snapshots.items():
            assert found[label].read(0, SIZE) == then.tobytes()
            self.covers(found[label].changed(), then, self.model)
            self.covers(exshadow.inspect_changed(self.volume.path, label), then, self.model)
            for other, later in self.snapshots.items():
                self.covers(found[label].changed(found[other]), then, later)

    def covers(self, rows: np.ndarray, one: np.ndarray, other: np.ndarray) -> None:
        rest = one != other
        end = -1
        for offset, length in rows.tolist():
            assert length > 0
            assert offset > end, "sorted, disjoint, merged"
            assert offset % REGION == 0
            end = offset + length
            assert end % REGION == 0 or end == SIZE
            rest[offset:end] = False
        assert end <= SIZE
        assert not rest.any()


TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
