"""Jobs: progress, waiting, cancelling, resuming; what changed() and inspect() say meanwhile."""

from __future__ import annotations

import fcntl
import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import MIB, make_image

import exshadow
from exshadow.errors import TimedOutError
from exshadow.service import jobs

KIB = 1 << 10
REGION = 64 * KIB
SLOW = 4 * MIB  # bytes a second


def spans(rows: np.ndarray) -> list[tuple[int, int]]:
    """(begin, end) pairs; checks that they are sorted, disjoint and merged."""
    assert rows.dtype == np.int64
    assert rows.ndim == 2
    assert rows.shape[1] == 2
    found = [(int(offset), int(offset + length)) for offset, length in rows]
    for (_, before), (begin, end) in itertools.pairwise(found):
        assert before < begin < end
    return found


def differences(one: bytes, other: bytes) -> set[int]:
    """Numbers of the regions that differ."""
    return {
        at // REGION
        for at in range(0, len(one), REGION)
        if one[at : at + REGION] != other[at : at + REGION]
    }


def covered(found: list[tuple[int, int]]) -> set[int]:
    return {region for begin, end in found for region in range(begin // REGION, -(-end // REGION))}


def test_a_job_tells_its_progress(engine, make, tmp_path: Path):
    volume = make(engine, size=16 * MIB, mirror=False)
    job = volume.add_plex(tmp_path / "slow.img", limit=16 * MIB)
    assert job.kind == "sync"
    seen = []
    while not job.done:
        seen.append(job.progress())
        time.sleep(0.05)
    last = job.wait()
    assert last["state"] == "done"
    assert (last["bytes_done"], last["bytes_total"]) == (16 * MIB, 16 * MIB)
    assert last["bytes_copied"] + last["bytes_zeroed"] == 16 * MIB
    done = [one["bytes_done"] for one in seen]
    assert done == sorted(done)
    assert len(set(done)) > 2
    assert all(
        one["state"] == "running" and one["bytes_done"] <= one["bytes_total"] for one in seen[:-1]
    )
    assert 0.5 < last["seconds"] < 10
    assert job.wait(0) == last
    assert job.differences().shape == (0, 2)


def test_a_wait_can_time_out_and_the_job_goes_on(engine, make, tmp_path: Path):
    volume = make(engine, mirror=False)
    job = volume.add_plex(tmp_path / "slow.img", limit=SLOW)
    start = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        job.wait(0.2)
    assert 0.15 < time.monotonic() - start < 3  # the job takes four
    assert isinstance(caught.value, exshadow.TimedOutError)
    assert caught.value.hint
    with pytest.raises(exshadow.TimedOutError):
        job.wait(timeout=-1)
    assert not job.done
    assert job.wait(60)["state"] == "done"


def test_a_cancelled_job_is_resumable(engine, make, tmp_path: Path):
    volume = make(engine, size=8 * MIB, mirror=False)
    job = volume.add_plex(tmp_path / "slow.img", label="m2", limit=SLOW)
    while job.progress()["bytes_done"] < 2 * MIB:
        time.sleep(0.01)
    job.cancel()
    with pytest.raises(exshadow.CancelledError):
        job.wait()
    kept = job.progress()
    assert kept["state"] == "cancelled"
    plex = next(plex for plex in volume.plexes if plex["label"] == "m2")
    assert plex["state"] == "stale"
    assert 0 < plex["bytes_to_sync"] <= 6 * MIB
    assert plex["note"]
    again = volume.sync("m2").wait()
    assert again["bytes_copied"] <= 6 * MIB
    volume.verify().wait()
    assert volume.sync().wait()["bytes_copied"] == 0


def test_other_threads_run_while_a_job_is_waited_for(engine, make, tmp_path: Path):
    volume = make(engine, mirror=False)
    job = volume.add_plex(tmp_path / "slow.img", limit=SLOW)
    turns = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += 1
            volume.read(0, 512)

    counter = threading.Thread(target=count)
    counter.start()
    job.wait()
    stop.set()
    counter.join()
    assert turns > 100


def test_ctrl_c_interrupts_the_wait_not_the_job(engine, make, tmp_path: Path):
    volume = make(engine, mirror=False)
    job = volume.add_plex(tmp_path / "slow.img", limit=SLOW)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        job.wait()
    assert time.monotonic() - start < 3  # the job takes four
    assert not job.done
    assert job.wait()["state"] == "done"


def test_ctrl_c_during_an_open_ends_it(engine, make):
    with exshadow.Engine() as owner:
        path = Path(make(owner).path)
    closed = path.stat().st_mtime_ns
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            engine.open(path, lock_wait=60)
        time.sleep(0.1)
    # What was given up does not take the lock that is free now: opening writes the metadata.
    time.sleep(0.3)
    assert path.stat().st_mtime_ns == closed
    assert engine.open(path, lock_wait=0).name == "db"
    assert path.stat().st_mtime_ns != closed


def test_closing_the_engine_pauses_jobs_resumably(make, tmp_path: Path):
    with exshadow.Engine() as engine:
        volume = make(engine, size=8 * MIB, mirror=False)
        job = volume.add_plex(tmp_path / "slow.img", limit=SLOW)
        while job.progress()["bytes_done"] < MIB:
            time.sleep(0.01)
        start = time.monotonic()
    assert time.monotonic() - start < 5
    assert job.progress()["state"] == "cancelled"
    with pytest.raises(exshadow.CancelledError):
        job.wait()
    found = exshadow.inspect(tmp_path / "db.exv")
    assert found["clean"]
    assert 0 < found["plexes"][1]["bytes_to_sync"] < 8 * MIB
    with exshadow.Engine() as engine:
        volume = engine.open(tmp_path / "db.exv")
        assert volume.sync().wait()["bytes_copied"] == found["plexes"][1]["bytes_to_sync"]
        assert {plex["state"] for plex in volume.plexes} == {"in_sync"}
    assert (tmp_path / "db.img").read_bytes() == (tmp_path / "slow.img").read_bytes()


def test_an_interrupted_restore_is_continued(make, tmp_path: Path):
    with exshadow.Engine() as engine:
        volume = make(engine, size=8 * MIB)
        before = (tmp_path / "db.img").read_bytes()
        snapshot = engine.split([volume], "noon")["db"]
        volume.write(0, bytes(random.Random(1).randbytes(8 * MIB)))
        job = volume.restore(snapshot, limit=SLOW)
        while job.progress()["bytes_done"] < MIB:
            time.sleep(0.01)
        assert volume.state == "restoring"
        with pytest.raises(exshadow.RefusedError):
            volume.read(0, 1)
        assert snapshot.read(0, 10) == before[:10]
    found = exshadow.inspect(tmp_path / "db.exv")
    assert found["state"] == "restoring"
    assert found["snapshots"][0]["state"] == "restoring"
    with exshadow.Engine() as engine:
        volume = engine.open(tmp_path / "db.exv")
        assert volume.state == "restoring"
        job = volume.sync()
        assert job.kind == "restore"
        assert 0 < job.wait()["bytes_copied"] < 8 * MIB
        assert volume.state == "ok"
        assert volume.read(0, 8 * MIB) == before
        assert volume.snapshots["noon"].changed().shape == (0, 2)


def test_verify_finds_and_repairs_differences(make, tmp_path: Path):
    with exshadow.Engine() as engine:
        volume = make(engine)
        with (tmp_path / "db-m2.img").open("r+b") as file:
            for at in (5000, 5 * REGION, 4 * MIB - 1):
                file.seek(at)
                wrong = bytes([file.read(1)[0] ^ 1])
                file.seek(at)
                file.write(wrong)
        job = volume.verify()
        with pytest.raises(exshadow.IntegrityError) as caught:
            job.wait()
        assert caught.value.code == "mismatch"
        assert job.progress()["state"] == "failed"
        assert len(spans(job.differences())) >= 2
        assert volume.verify(repair=True, source="p1").wait()["bytes_copied"] > 0
        assert volume.verify().wait()["state"] == "done"
        with pytest.raises(exshadow.NotFoundError):
            volume.verify(source="nobody").wait()


def test_a_snapshot_is_verified_promoted_and_deleted(engine, make):
    volume = make(engine, size=16 * MIB)
    before = volume.read(0, MIB)
    snapshot = engine.split([volume], "noon")["db"]
    volume.write(0, random.Random(2).randbytes(MIB))
    assert volume.verify_snapshot(snapshot).wait()["state"] == "done"
    volume.promote(snapshot)
    assert volume.read(0, MIB) == before
    assert {plex["label"]: plex["state"] for plex in volume.plexes} == {
        "p1": "stale",
        "m2": "in_sync",
    }
    assert MIB <= volume.sync().wait()["bytes_copied"] <= 4 * MIB  # the active extent counts too
    engine.split([volume], "later", plexes={"db": "p1"})
    volume.delete_snapshot("later")
    assert [plex["label"] for plex in volume.plexes] == ["m2"]
    with pytest.raises(exshadow.NotFoundError):
        volume.delete_snapshot("later")
    with pytest.raises(exshadow.RefusedError):
        volume.remove_plex("m2")


def test_an_old_handle_does_not_name_a_new_snapshot(engine, make):
    volume = make(engine)
    old = engine.split([volume], "noon")["db"]
    volume.resync(old).wait()
    new = engine.split([volume], "noon")["db"]
    for call in (lambda: volume.resync(old).wait(), old.changed, old.info, lambda: old.read(0, 1)):
        with pytest.raises(exshadow.NotFoundError):
            call()
    assert new.changed().shape == (0, 2)


# --- what changed ---


def test_changed_is_sorted_merged_clipped_and_a_superset(engine, make, tmp_path: Path):
    size = 4 * MIB + 5 * 512  # the last region is short
    volume = make(engine, size=size)
    volume.add_plex(tmp_path / "db-m3.img", label="m3").wait()
    snapshot = engine.split([volume], "first", plexes={"db": "m2"})["db"]
    source = random.Random(7)
    for _ in range(40):
        length = source.randrange(1, 3000)
        at = source.randrange(size - length)
        volume.write(at, source.randbytes(length))
    volume.write(size - 1, b"!")
    second = engine.split([volume], "second", plexes={"db": "m3"})["db"]
    volume.zero(MIB, 100_000)
    now, at_second = volume.read(0, size), second.read(0, size)
    at_first = snapshot.read(0, size)
    since_first = spans(snapshot.changed())
    assert since_first[-1][1] == size
    assert differences(at_first, now) <= covered(since_first)
    assert differences(at_first, at_second) == covered(spans(snapshot.changed(since=second)))
    assert spans(second.changed(snapshot)) == spans(snapshot.changed(second))
    assert covered(spans(second.changed())) == {16, 17}
    assert snapshot.info()["changed_bytes"] == sum(end - begin for begin, end in since_first)


WRITER = """
import os, random, sys, exshadow
source = random.Random(9)
with exshadow.Engine() as engine:
    volume = engine.open(sys.argv[1])
    print("open", flush=True)
    while sys.stdin.readline():
        for _ in range(20):
            at = source.randrange(volume.size - 4096)
            volume.write(at, source.randbytes(4096))
        print("written", flush=True)
"""


def test_inspect_beside_a_process_that_writes(make, tmp_path: Path):
    with exshadow.Engine() as engine:
        volume = make(engine, size=32 * MIB)
        engine.split([volume], "noon")
    file = tmp_path / "db.exv"
    before = exshadow.inspect(file)
    assert before["owner"] is None
    assert exshadow.inspect_changed(file, "noon").shape == (0, 2)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        for _ in range(10):
            writer.stdin.write("go\n")
            assert writer.stdout.readline() == "written\n"
            found = exshadow.inspect(file)
            assert found["owner"] == f"pid {writer.pid} on {os.uname().nodename}"
            assert not found["clean"]
            rows = spans(exshadow.inspect_changed(file, "noon"))
            production = (tmp_path / "db.img").read_bytes()
            copy = (tmp_path / "db-m2.img").read_bytes()
            assert differences(production, copy) <= covered(rows)
            assert found["snapshots"][0]["changed_bytes"] == sum(end - begin for begin, end in rows)
        writer.stdin.close()
        assert writer.wait() == 0
    rows = spans(exshadow.inspect_changed(file, "noon"))
    assert differences(production, copy) == covered(rows)
    with pytest.raises(exshadow.NotFoundError):
        exshadow.inspect_changed(file, "nobody")
    with exshadow.Engine() as engine:
        assert spans(engine.open(file).snapshots["noon"].changed()) == rows


def test_inspect_while_snapshots_come_and_go(engine, make):
    volume = make(engine)
    stop = threading.Event()
    failures: list[BaseException] = []

    def look() -> None:
        while not stop.is_set():
            try:
                found = exshadow.inspect(volume.path)
                assert found["name"] == "db"
                assert {plex["label"] for plex in found["plexes"]} == {"p1", "m2"}
            except exshadow.BusyError:
                continue
            except BaseException as error:
                failures.append(error)
                return

    looker = threading.Thread(target=look)
    looker.start()
    for number in range(15):
        snapshot = engine.split([volume], f"s{number}")["db"]
        volume.write(number * REGION, b"x" * 100)
        volume.resync(snapshot).wait()
    stop.set()
    looker.join()
    assert not failures


def test_the_metadata_copy_is_as_good(make, tmp_path: Path):
    plex = make_image(tmp_path / "safe.img")
    file, copy = tmp_path / "safe.exv", tmp_path / "copy" / "safe.exv"
    copy.parent.mkdir()
    with exshadow.Engine() as engine:
        engine.create(file, plex=plex, metadata_copy=copy).write(0, b"x")
    assert exshadow.inspect(file) | {"owner": ""} == exshadow.inspect(copy) | {"owner": ""}
    os.truncate(file, 1000)
    with pytest.raises(exshadow.CorruptError):
        exshadow.inspect(file)
    assert exshadow.inspect(file, metadata_copy=copy)["name"] == "safe"


def kill_while_writing(path: str) -> None:
    engine = exshadow.Engine()
    volume = engine.open(path)
    source = random.Random(3)
    while True:
        at = source.randrange(volume.size - 4096)
        volume.write(at, source.randbytes(4096))


def test_a_killed_owner_leaves_a_volume_that_opens(make, tmp_path: Path):
    with exshadow.Engine() as engine:
        volume = make(engine, size=32 * MIB)
        volume.add_plex(tmp_path / "db-m3.img", label="m3").wait()
        engine.split([volume], "noon")
    context = multiprocessing.get_context("spawn")
    for _ in range(3):
        process = context.Process(target=kill_while_writing, args=(str(tmp_path / "db.exv"),))
        process.start()
        while exshadow.inspect(tmp_path / "db.exv")["clean"]:
            time.sleep(0.01)
        time.sleep(0.3)
        process.kill()
        process.join()
        found = exshadow.inspect(tmp_path / "db.exv")
        assert found["owner"] is None
        assert found["active_extents"] > 0
        promised = spans(exshadow.inspect_changed(tmp_path / "db.exv", "noon"))
        with exshadow.Engine() as engine:
            volume = engine.open(tmp_path / "db.exv")
            assert any("reconciled" in text for text in volume.info()["events"])
            volume.verify().wait()
            snapshot = volume.snapshots["noon"]
            assert covered(spans(snapshot.changed())) <= covered(promised)
            assert differences(
                snapshot.read(0, volume.size), volume.read(0, volume.size)
            ) <= covered(spans(snapshot.changed()))


def test_ctrl_c_in_a_program_ends_it_cleanly(make, tmp_path: Path):
    with exshadow.Engine() as engine:
        make(engine, size=8 * MIB, mirror=False)
    program = textwrap.dedent(
        """
        import sys, exshadow
        with exshadow.Engine() as engine:
            job = engine.open(sys.argv[1]).add_plex(sys.argv[1] + ".m2", limit=1 << 20)
            print("started", flush=True)
            job.wait()
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "db.exv")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in err
    assert exshadow.inspect(tmp_path / "db.exv")["clean"]


class EndsAfterTheTimeOut:
    """A job that ends between the moment the wait gave up and the look whether it is done."""

    def __init__(self, failure: exshadow.Error | None) -> None:
        self.done = False
        self.failure = failure

    def wait(self, timeout: float | None = None) -> None:
        if timeout is not None:
            self.done = True
            raise TimedOutError("the sync is not done yet")
        if self.failure is not None:
            raise self.failure


def test_a_job_that_ends_as_the_wait_gives_up_is_done() -> None:
    assert jobs._ends_within(EndsAfterTheTimeOut(None), 0.1)  # type: ignore[arg-type]
    failure = TimedOutError("a device did not answer")
    with pytest.raises(TimedOutError, match="a device did not answer"):
        jobs._ends_within(EndsAfterTheTimeOut(failure), 0.1)  # type: ignore[arg-type]
