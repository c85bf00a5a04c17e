"""A coordinator beside the volumes of an engine: application-consistent sets in one process."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from pathlib import Path
from uuid import UUID

import pytest
from test_vss_hold import BOUND, Slow, write_on

import exshadow
from exshadow import vss

NAMES = ("db", "logs")


@pytest.fixture
def volumes(engine, make, tmp_path):
    made = [make(engine, name) for name in NAMES]
    for volume in made:
        volume.add_plex(tmp_path / f"{volume.name}-m3.img", label="m3").wait()
    return made


def request(context: int = vss.Context.APP_ROLLBACK) -> vss.BackupRequest:
    return vss.BackupRequest(
        list(NAMES),
        context=context,
        state=vss.BackupState(select_components=False),
        retry=vss.RetryLimits(tries=1),
    )


def states(volume: exshadow.Volume) -> list[str]:
    return sorted(one["state"] for one in volume.plexes)


def in_mirror_again(volume: exshadow.Volume) -> bool:
    end = time.monotonic() + 20
    while states(volume) != ["in_sync"] * 3:
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Marker(vss.Writer):
    """Flips the marker in both volumes; between Freeze and Thaw they are the same."""

    writer_id = UUID(int=0xD1)
    name = "Marker"

    def __init__(self, volumes: list[exshadow.Volume]) -> None:
        self.volumes = volumes
        self.lock = threading.Lock()

    def flip(self, number: int) -> None:
        with self.lock:
            for volume in self.volumes:
                volume.write(0, number.to_bytes(8, "big"))

    def on_freeze(self, call: vss.WriterCall) -> None:
        self.lock.acquire()

    def on_thaw(self, call: vss.WriterCall) -> None:
        self.lock.release()

    def on_abort(self, call: vss.WriterCall) -> None:
        if self.lock.locked():
            self.lock.release()


def test_sets_are_consistent_and_persist(engine, volumes):
    writer, done = Marker(volumes), threading.Event()

    def work() -> None:
        number = 0
        while not done.is_set():
            number += 1
            writer.flip(number)

    thread = threading.Thread(target=work)
    with vss.Coordinator(engine=engine) as coordinator:
        (provider,) = coordinator.providers()
        assert provider.name == "exshadow mirror provider"
        coordinator.register_writer(writer)
        thread.start()
        try:
            for _ in range(3):
                report = coordinator.backup(request()).check()
                assert len(report.snapshots) == 2
                marks = {
                    bytes(Path(one.path).read_bytes()[:8])
                    for volume in volumes
                    for one in volume.snapshots.values()
                    if one.set_id == str(report.snapshot_set_id)
                }
                assert len(marks) == 1
                deleted = coordinator.delete(report.snapshot_set_id, vss.ObjectType.SNAPSHOT_SET)
                assert deleted.deleted == 2
                assert all(in_mirror_again(one) for one in volumes)
        finally:
            done.set()
            thread.join()
        kept = coordinator.backup(request()).check()
    with vss.Coordinator(engine=engine) as later:
        found = later.snapshots()
        assert {one.snapshot_id for one in found} == {one.snapshot_id for one in kept.snapshots}


def test_snapshots_of_a_session_end_with_it_and_revert_rolls_back(engine, volumes):
    with vss.Coordinator(engine=engine) as coordinator:
        seen = []
        coordinator.backup(
            request(vss.Context.BACKUP), lambda report: seen.append(len(report.snapshots))
        ).check()
        assert seen == [2]
        assert coordinator.snapshots() == []
        assert all(in_mirror_again(one) for one in volumes)
        before = volumes[0].read(0, 4096)
        report = coordinator.backup(request()).check()
        volumes[0].write(0, b"x" * 4096)
        (snapshot,) = [one for one in report.snapshots if one.original_volume == "db"]
        coordinator.revert(snapshot.snapshot_id)
        assert volumes[0].read(0, 4096) == before


def test_a_failing_writer_leaves_no_set(engine, volumes):
    class Refusing(Marker):
        def on_freeze(self, call: vss.WriterCall) -> None:
            raise vss.failure(vss.HResult.VSS_E_WRITERERROR_RETRYABLE, "not now")

    with vss.Coordinator(engine=engine) as coordinator:
        coordinator.register_writer(Refusing(volumes))
        outcome = coordinator.backup(request())
        assert isinstance(outcome.error, vss.WriterFailure)
        assert outcome.report.snapshot_set_id == vss.NIL
        assert outcome.report.snapshots == []
        assert coordinator.snapshots() == []
        assert all(in_mirror_again(one) for one in volumes)


def test_one_coordinator_at_a_time_and_the_engine_ends_it(engine, volumes):
    first = vss.Coordinator(engine=engine)
    with pytest.raises(exshadow.RefusedError, match="has a coordinator"):
        vss.Coordinator(engine=engine)
    first.close()
    second = vss.Coordinator(engine=engine)
    writer = Marker(volumes)
    second.register_writer(writer)
    frozen, released = threading.Event(), threading.Event()

    class Hanging(Marker):
        writer_id = UUID(int=0xD2)
        name = "Hanging"

        def on_freeze(self, call: vss.WriterCall) -> None:
            frozen.set()
            released.wait(20)

    second.register_writer(Hanging(volumes))
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(second.backup(request()).error))
    thread.start()
    assert frozen.wait(10)
    engine.close()  # while a writer is frozen
    thread.join(20)
    released.set()
    assert not thread.is_alive()
    assert outcome[0] is not None
    assert not writer.lock.locked()
    with pytest.raises(exshadow.ClosedError):
        second.snapshots()
    second.close()
    with pytest.raises(exshadow.ClosedError):
        vss.Coordinator(engine=engine)


def test_freeze_to_thaw_of_a_busy_engine(engine, volumes, capsys):
    done, count, beyond = threading.Event(), [0], []
    threads = [threading.Thread(target=write_on, args=(one, done, count)) for one in volumes]
    writer = Slow()
    with vss.Coordinator(engine=engine) as coordinator:
        coordinator.register_writer(writer)
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                report = coordinator.backup(request()).check()
                beyond.append(writer.thaw_began - writer.own_freeze)
                coordinator.delete(report.snapshot_set_id, vss.ObjectType.SNAPSHOT_SET)
                assert all(in_mirror_again(one) for one in volumes)
        finally:
            done.set()
            for thread in threads:
                thread.join()
    with capsys.disabled():
        shown = ", ".join(f"{one * 1000:.1f}" for one in beyond)
        sys.stdout.write(f"\n  beyond the writer's own time (ms): {shown}; {count[0]} writes\n")
    assert statistics.median(beyond) < BOUND
