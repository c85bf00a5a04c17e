"""kill -9 at any moment of writing, sync, split, resync, restore and recovery (E19, E24, F-rules).

One history a place: the same group of two volumes is killed again and again, and reopened at once.
EXSHADOW_KILLS says how often in all, EXSHADOW_KILL_SEED replays the choices of a history (the
moment of a kill falls where the machine lets it).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from kill_child import Order
from kill_model import (
    BLOCK,
    SIZES,
    Kind,
    Model,
    Report,
    Write,
    assert_equal,
    block_bytes,
    load,
    pack,
)

import exshadow

pytestmark = pytest.mark.kill

MIB = 1 << 20
CHILD = Path(__file__).with_name("kill_child.py")
KILLS = int(os.environ.get("EXSHADOW_KILLS", "20"))
SEED = int(os.environ.get("EXSHADOW_KILL_SEED", random.randrange(1 << 32)))
WORKS = ("write", "split", "resync", "sync", "restore", "open")
COPIES = ("sync", "resync", "restore")
LABEL = "cut"

# A copy writes down how far it is every two seconds. A long one is killed after that: at this rate
# more than CHECKPOINTED bytes mean that it has.
LONG_RATE = 16 * MIB
CHECKPOINTED = 36 * MIB


@pytest.fixture(params=["memory", "disk"])
def place(request, tmp_path: Path) -> Iterator[Path]:
    if request.param == "disk":
        yield tmp_path
        shutil.rmtree(tmp_path)
        return
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@dataclass
class Moment:
    """One kill: of what, and when."""

    work: str
    delay: float
    long: bool = False


class Victim:
    """The child, and what it tells."""

    def __init__(self, order: Order) -> None:
        command = [sys.executable, str(CHILD), json.dumps(vars(order))]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._told: list[bytes] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._ready.wait(20), "the child did not start"

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            while piece := pipe.read1(1 << 16):
                self._told.append(piece)
                if Kind.READY.value in piece[:: len(pack(Kind.READY, 0, 0, 0, 0))]:
                    self._ready.set()

    def kill(self) -> None:
        assert self._process.poll() is None, "the child failed"
        self._process.kill()

    def report(self) -> Report:
        """All that it told, once it is gone."""
        self._reader.join()
        self._process.wait()
        return Report.read(b"".join(self._told))


class History:
    """Two volumes of one group, what must be in them, and the dice."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.dice = random.Random(seed)
        bytes_of = np.random.default_rng(seed)
        self.model = Model([bytes_of.integers(0, 256, size, np.uint8) for size in SIZES])
        self.files = [str(folder / f"v{number}.exv") for number in range(len(SIZES))]
        self.deck: list[str] = []
        with exshadow.Engine() as engine:
            for number, image in enumerate(self.model.production):
                plex = self.plex(number, "p1")
                image.tofile(plex)
                region = 65536 << 2 * self.dice.randrange(2)
                volume = engine.create(self.files[number], plex=plex, region_size=region, group="g")
                volume.add_plex(self.plex(number, "m2"), label="m2").wait()

    def plex(self, number: int, label: str) -> Path:
        return self.folder / f"v{number}-{label}.img"

    def next(self) -> Moment:
        """Every kind of work comes up once before one comes up again."""
        if not self.deck:
            self.deck = self.dice.sample(WORKS, len(WORKS))
        work = self.deck.pop()
        if work in COPIES and self.dice.randrange(4) == 0:
            return Moment(work, self.dice.uniform(2.6, 2.9), long=True)
        longest = self.dice.choice((0.004, 0.03, 0.1)) if work in ("split", "open") else 0.7
        return Moment(work, self.dice.uniform(0, longest))

    # --- before the kill ---

    def prepare(self, work: str) -> None:
        """Bring the volumes where `work` can be done."""
        with exshadow.Engine() as engine:
            volumes = [engine.open(file) for file in self.files]
            for volume in volumes:
                assert volume.info()["events"] == []
            if work == "split" and self.model.snapshot:
                for volume in volumes:
                    volume.resync(LABEL).wait()
                self.model.snapshot = []
            if work in ("resync", "restore"):
                self.diverge(engine, volumes)
            if work == "sync":
                self.make_room(volumes)

    def diverge(self, engine: exshadow.Engine, volumes: list[exshadow.Volume]) -> None:
        """A snapshot, and a write to every region since."""
        if not self.model.snapshot:
            engine.split(volumes, LABEL)
            self.model.snapshot = [image.copy() for image in self.model.production]
        for number, volume in enumerate(volumes):
            for offset in range(0, volume.size, volume.region_size):
                block = offset // BLOCK + self.dice.randrange(volume.region_size // BLOCK)
                write = Write(0, number, block, self.model.sequence)
                self.model.sequence += 1
                content = block_bytes(number, block, write.sequence)
                volume.write(block * BLOCK, content)
                self.model.put(self.model.production, write)

    def make_room(self, volumes: list[exshadow.Volume]) -> None:
        """No plex m3, nor its file."""
        for number, volume in enumerate(volumes):
            for snapshot in volume.snapshots.values():
                if snapshot.plex == "m3":
                    volume.delete_snapshot(snapshot)
                    self.model.snapshot = []
            if any(plex["label"] == "m3" for plex in volume.plexes):
                volume.remove_plex("m3")
            self.plex(number, "m3").unlink(missing_ok=True)

    # --- the kill ---

    def kill(self, moment: Moment) -> Victim:
        """Start the child, let it work, kill it. Answers while it is still dying."""
        limit = LONG_RATE if moment.long else self.dice.choice((0, 64, 128)) * MIB
        order = Order(
            work=moment.work,
            volumes=self.files,
            targets=[str(self.plex(number, "m3")) for number in range(len(SIZES))],
            label=LABEL,
            limit=limit,
            seed=self.dice.randrange(1 << 32),
            sequence=self.model.sequence,
            quarter=3 if moment.long else self.dice.choice((0, 0, 3)),
            loop=self.dice.choice(("auto", "auto", "pool")),
        )
        victim = Victim(order)
        time.sleep(moment.delay)  # the moment
        victim.kill()
        return victim

    def reopen(self) -> tuple[exshadow.Engine, list[exshadow.Volume]]:
        started = time.monotonic()
        engine = exshadow.Engine()
        volumes = [engine.open(file) for file in self.files]
        assert time.monotonic() - started < 15
        return engine, volumes

    def check(self, moment: Moment, volumes: list[exshadow.Volume], report: Report) -> None:
        before = [image.copy() for image in self.model.production]
        self.model.settle(
            report, lambda write: volumes[write.volume].read(write.block * BLOCK, BLOCK)
        )
        for volume in volumes:
            assert volume.state in ("ok", "restoring")
        if moment.work == "split":
            self.check_split(volumes, report, before)
        if moment.work == "resync":
            self.check_resync(volumes, report)
        for number, volume in enumerate(volumes):
            self.go_on(moment, number, volume, report)
        self.compare(volumes)

    def check_split(self, volumes, report: Report, before) -> None:
        """All members or none; what was announced exists; and it is one cut."""
        made = {LABEL in volume.snapshots for volume in volumes}
        assert len(made) == 1, "a set that is neither there nor rolled back"
        if made == {True}:
            self.model.cut(before, report, [load(one.snapshots[LABEL].path) for one in volumes])
        else:
            assert not report.work_done, "a snapshot that was announced is gone"

    def check_resync(self, volumes, report: Report) -> None:
        """The snapshot is given up, or still what it was."""
        for number, volume in enumerate(volumes):
            if LABEL in volume.snapshots:
                assert not report.work_done
                found, expected = load(volume.snapshots[LABEL].path), self.model.snapshot[number]
                assert_equal([found], [expected], "snapshot that was not resynced")
                volume.resync(LABEL).wait()
        self.model.snapshot = []

    def go_on(self, moment: Moment, number: int, volume: exshadow.Volume, report: Report) -> None:
        """Continue what was interrupted, and see that it does not start over."""
        if moment.work == "restore":
            assert not report.work_done or volume.state == "ok"
        unfinished = volume.state == "restoring"
        for plex in volume.plexes:
            assert plex["state"] in ("in_sync", "split", "stale"), plex
            unfinished = unfinished or plex["state"] == "stale"
        assert not (report.work_done and unfinished and moment.work in COPIES)
        done = volume.sync().wait()
        if not unfinished:
            assert done["bytes_total"] == 0
        elif number == 0 and moment.long and report.progress > CHECKPOINTED:
            assert done["bytes_total"] < 0.95 * volume.size or done["note"], "it started over"
        if moment.work == "restore":
            if not (unfinished or report.work_done):  # killed before it began, or after its end
                volume.restore(LABEL).wait()
            self.model.production[number] = self.model.snapshot[number].copy()
        if moment.work == "sync" and all(plex["label"] != "m3" for plex in volume.plexes):
            volume.add_plex(self.plex(number, "m3"), label="m3").wait()

    def compare(self, volumes: list[exshadow.Volume]) -> None:
        """Byte for byte, all plexes and the snapshot."""
        for number, volume in enumerate(volumes):
            assert volume.state == "ok"
            copies = {plex["label"]: plex for plex in volume.plexes}
            for snapshot in volume.snapshots.values():
                copies.pop(snapshot.plex)
                found, expected = load(snapshot.path), self.model.snapshot[number]
                assert_equal([found], [expected], f"snapshot {snapshot.label}")
            for label, plex in copies.items():
                assert plex["state"] == "in_sync", plex
                expected = self.model.production[number]
                assert_equal([load(plex["path"])], [expected], f"plex {label}")


def test_kill(place: Path):
    print(f"EXSHADOW_KILL_SEED={SEED}")
    history = History(place, SEED)
    for number in range((KILLS + 1) // 2):
        moment = history.next()
        print(f"kill {number}: {moment}", flush=True)
        if moment.work == "open":  # a recovery is killed, and what it left is recovered
            history.prepare("write")
            victim = history.kill(Moment("write", 0.02))
            history.kill(moment).report()
        else:
            history.prepare(moment.work)
            victim = history.kill(moment)
        engine, volumes = history.reopen()
        report = victim.report()
        print(f"  {sum(report.answered)} writes, {report.progress >> 20} MiB copied,", end=" ")
        print("done" if report.work_done else "not done", flush=True)
        with engine:
            history.check(moment, volumes, report)
