"""Who may use an engine, from where and how long: owners, threads, forks, the interpreter's end."""

from __future__ import annotations

import gc
import random
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from conftest import MIB

import exshadow

KIB = 1 << 10


def test_closed_volumes_and_engines_refuse(make):
    engine = exshadow.Engine()
    volume = make(engine)
    snapshot = engine.split([volume], "noon")["db"]
    volume.close()
    volume.close()
    assert (volume.name, volume.size, volume.state) == ("db", 4 * MIB, "closed")
    calls = [
        lambda: volume.read(0, 1),
        lambda: volume.write(0, b"x"),
        volume.flush,
        volume.info,
        lambda: volume.plexes,
        lambda: volume.snapshots,
        volume.sync,
        volume.verify,
        lambda: snapshot.read(0, 1),
        snapshot.changed,
        snapshot.info,
        lambda: engine.split([volume], "later"),
    ]
    for call in calls:
        with pytest.raises(exshadow.ClosedError):
            call()
    reopened = engine.open(volume.path)
    assert reopened is not volume
    assert reopened.snapshots["noon"].set_id == snapshot.set_id
    engine.close()
    engine.close()
    assert reopened.state == "closed"
    for call in (*calls, lambda: engine.open(volume.path), lambda: engine.volumes):
        with pytest.raises(exshadow.ClosedError):
            call()
    reopened.close()


def test_one_volume_has_one_owner(engine, make, tmp_path: Path):
    volume = make(engine)
    start = time.monotonic()
    with pytest.raises(exshadow.BusyError):
        engine.open(volume.path)
    with exshadow.Engine(loop="pool") as second:
        assert second.loop != ""
        with pytest.raises(exshadow.BusyError) as caught:
            second.open(volume.path, lock_wait=0)
        assert caught.value.code == "busy"
        with pytest.raises(exshadow.BusyError):
            second.create(tmp_path / "thief.exv", plex=tmp_path / "db.img")
        assert not (tmp_path / "thief.exv").exists()
        assert time.monotonic() - start < 4
        threading.Timer(0.3, volume.close).start()
        assert second.open(volume.path, lock_wait=20).name == "db"


# --- threads, processes, the interpreter ---


def run_python(program: str, *arguments: object) -> str:
    """A program of its own; must end with status 0."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_child_of_fork_is_refused(make, tmp_path: Path):
    with exshadow.Engine() as engine:
        make(engine)
    out = run_python(
        """
        import os, sys, exshadow
        engine = exshadow.Engine()
        volume = engine.open(sys.argv[1])
        job = volume.verify()
        for turn in range(3):
            child = os.fork()
            if child == 0:
                calls = [lambda: volume.read(0, 1), lambda: volume.write(0, b"x"), volume.info,
                         lambda: engine.volumes, lambda: engine.open(sys.argv[1])]
                for call in calls:
                    try:
                        call()
                    except exshadow.ClosedError as error:
                        assert "parent" in str(error)
                    else:
                        os._exit(3)
                engine.close()
                del volume, engine, job
                sys.exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        job.wait()
        volume.write(0, b"still here")
        assert volume.read(0, 10) == b"still here"
        engine.close()
        print("parent done")
        """,
        tmp_path / "db.exv",
    )
    assert out == "parent done\n"
    assert exshadow.inspect(tmp_path / "db.exv")["clean"]


@pytest.mark.parametrize("how", ["leaves it open", "drops it", "exits in the middle of a job"])
def test_the_interpreter_closes_what_is_left(make, tmp_path: Path, how: str):
    with exshadow.Engine() as engine:
        make(engine, size=16 * MIB)
    run_python(
        """
        import sys, exshadow
        volume = exshadow.Engine().open(sys.argv[1])
        volume.write(0, b"x")
        assert not volume.info()["clean"]
        if sys.argv[2] == "drops it":
            del volume
            assert exshadow.inspect(sys.argv[1])["clean"]
        elif "job" in sys.argv[2]:
            job = volume.add_plex(sys.argv[1] + ".m3", limit=1 << 20)
        """,
        tmp_path / "db.exv",
        how,
    )
    assert exshadow.inspect(tmp_path / "db.exv")["clean"]


def test_an_engine_lives_as_long_as_its_volumes(make):
    volume = make(exshadow.Engine())
    gc.collect()
    volume.write(0, b"alive")
    path = volume.path
    snapshot_of_nothing = volume.snapshots
    assert snapshot_of_nothing == {}
    del volume
    gc.collect()
    assert exshadow.inspect(path)["owner"] is None


def test_threads_share_a_volume(engine, make):
    volume = make(engine)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            source = random.Random(number)
            base = number * 512 * KIB
            for _ in range(50):
                data = source.randbytes(source.randrange(1, 20_000))
                at = base + source.randrange(512 * KIB - len(data))
                volume.write(at, data)
                assert volume.read(at, len(data)) == data
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    volume.verify().wait()


def test_sixteen_volumes_split_at_one_instant(engine, make):
    volumes = [make(engine, f"v{number}", MIB) for number in range(16)]
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        number = 0
        while not stop.is_set():
            number += 1
            for volume in volumes:  # in order: no volume may be ahead of the one before it
                volume.write(0, number.to_bytes(8, "little"))
            written = number

    volumes[0].write(0, bytes(8))
    writer = threading.Thread(target=write)
    writer.start()
    while written < 3:
        time.sleep(0.01)
    snapshots = engine.split(volumes, "now")
    stop.set()
    writer.join()
    values = [int.from_bytes(snapshots[volume.name].read(0, 8), "little") for volume in volumes]
    assert values == sorted(values, reverse=True)
    assert values[0] - values[-1] <= 1
    assert len({snapshot.set_id for snapshot in snapshots.values()}) == 1
    assert all(len(snapshot.info()["members"]) == 16 for snapshot in snapshots.values())


def test_a_pin_protects_from_what_ends_the_snapshot(engine, make):
    volume = make(engine)
    noon = engine.split([volume], "noon")["db"]
    volume.pin_snapshot("noon", "forever")
    with pytest.raises(exshadow.RefusedError, match="pinned"):
        volume.resync(noon)
    with pytest.raises(exshadow.RefusedError, match="pinned"):
        volume.delete_snapshot(noon)
    volume.pin_snapshot("noon", "2001-01-01T00:00:00Z")  # past
    volume.resync(noon).wait()
    assert list(volume.snapshots) == []


def test_check_judges_a_copy_as_a_restore_would(engine, make, tmp_path):
    volume = make(engine)
    noon = engine.split([volume], "noon")["db"]
    noon.check()
    with (tmp_path / "db-m2.img").open("r+b") as file:
        file.write(b"x")
    with pytest.raises(exshadow.IntegrityError, match="from outside"):
        noon.check()
    (tmp_path / "db-m2.img").unlink()
    with pytest.raises(exshadow.NotFoundError):
        noon.check()
