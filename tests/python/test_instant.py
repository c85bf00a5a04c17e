"""Instant restore (E25-E28) on real files: right at once, writes win, kill -9, a set, the CLI."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import MIB

import exshadow

SIZE = 8 * MIB
SLOW = 2 * MIB  # bytes a second
TIB = 1 << 40


def fill(path: Path, seed: int, size: int = SIZE) -> bytes:
    content = random.Random(seed).randbytes(size)
    path.write_bytes(content)
    return content


def ruined(engine: exshadow.Engine, folder: Path, *names: str) -> dict[str, bytes]:
    """Volumes with a mirror split off as noon and production overwritten; what noon holds."""
    volumes, before = [], {}
    for number, name in enumerate(names):
        before[name] = fill(folder / f"{name}.img", number)
        volume = engine.create(folder / f"{name}.exv", plex=folder / f"{name}.img")
        volume.add_plex(folder / f"{name}-m2.img", label="m2").wait()
        volumes.append(volume)
    engine.split(volumes, "noon")
    for number, volume in enumerate(volumes):
        volume.write(0, random.Random(100 + number).randbytes(SIZE))
        volume.flush()
    return before


def test_content_is_right_at_once_and_writes_win(tmp_path: Path):
    with exshadow.Engine() as engine:
        before = ruined(engine, tmp_path, "db")["db"]
        volume = engine.volumes["db"]
        job = volume.restore("noon", mode="instant", limit=SLOW)
        assert volume.read(0, SIZE) == before
        assert volume.state == "moving"
        assert volume.info()["bytes_to_move"] > 0
        assert volume.snapshots["noon"].info()["state"] == "restoring"
        volume.write(SIZE - 5000, b"mine")
        with pytest.raises(exshadow.RefusedError, match="noon"):
            volume.promote("noon")
        job.cancel()
        with pytest.raises(exshadow.CancelledError):
            job.wait()
        assert volume.state == "moving"  # only paused
        assert volume.sync().wait()["kind"] == "restore"
        assert volume.state == "ok"
        expected = bytearray(before)
        expected[SIZE - 5000 : SIZE - 4996] = b"mine"
        assert volume.read(0, SIZE) == bytes(expected)
        assert volume.snapshots["noon"].changed().tolist() == [[SIZE - 65536, 65536]]
        assert volume.verify_snapshot("noon").wait()["state"] == "done"
    assert (tmp_path / "db-m2.img").read_bytes() == before
    assert (tmp_path / "db.img").read_bytes() == bytes(expected)


def test_several_volumes_are_restored_at_one_instant(tmp_path: Path):
    with exshadow.Engine() as engine:
        before = ruined(engine, tmp_path, "db", "logs")
        volumes = list(engine.volumes.values())
        jobs = engine.restore(volumes, "noon")
        assert set(jobs) == {"db", "logs"}
        for volume in volumes:
            assert volume.read(0, SIZE) == before[volume.name]
        for job in jobs.values():
            job.wait()
        named = {volume.name: volume.snapshots["noon"] for volume in volumes}
        for job in engine.restore(volumes, named, mode="instant").values():
            job.wait()
        with pytest.raises(exshadow.InvalidError):
            engine.restore(volumes, {"db": "noon"})
        with pytest.raises(exshadow.NotFoundError):
            engine.restore(volumes, "never")
        assert {volume.state for volume in volumes} == {"ok"}


CHILD = """
import sys, time, exshadow
folder = sys.argv[1]
engine = exshadow.Engine()
volume = engine.open(folder + "/db.exv")
volume.restore("noon", mode="instant", limit=1 << 20)
volume.write(70_000, b"flushed")
volume.flush()
volume.write(3_000_000, b"not flushed")
print("ready", flush=True)
time.sleep(60)
"""


def test_kill_in_the_middle(tmp_path: Path):
    with exshadow.Engine() as engine:
        before = bytearray(ruined(engine, tmp_path, "db")["db"])
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.7)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert exshadow.inspect(tmp_path / "db.exv")["state"] == "moving"
    before[70_000:70_007] = b"flushed"
    late = slice(3_000_000, 3_000_011)
    with exshadow.Engine() as engine:
        volume = engine.open(tmp_path / "db.exv")
        content = bytearray(volume.read(0, SIZE))  # right before anybody goes on moving
        assert bytes(content[late]) in (b"not flushed", bytes(before[late]))
        before[late] = content[late]
        assert content == before
        volume.sync().wait()
        assert volume.read(0, SIZE) == bytes(before)
    assert (tmp_path / "db.img").read_bytes() == bytes(before)


@pytest.mark.parametrize("size", [1 << 30, TIB])
def test_time_to_the_first_read_does_not_depend_on_the_size(tmp_path: Path, size: int):
    with (tmp_path / "big.img").open("wb") as file:
        file.truncate(size)
    with exshadow.Engine() as engine:
        volume = engine.create(tmp_path / "big.exv", plex=tmp_path / "big.img")
        volume.write(size // 2, b"good")
        volume.add_plex(tmp_path / "m2.img", label="m2").wait()
        engine.split([volume], "noon")
        for number in range(64):
            volume.write(number * (size // 64), b"bad")
        volume.flush()
        seconds = []
        for _ in range(3):
            begin = time.monotonic()
            job = volume.restore("noon", mode="instant")
            assert volume.read(size // 2, 4) == b"good"
            seconds.append(time.monotonic() - begin)
            job.wait()
            volume.write(size // 2, b"bad")
        print(f"first correct read after {[round(one * 1000, 1) for one in seconds]} ms")
        assert min(seconds) < 0.1


def test_restore_command(cli, image, tmp_path: Path):
    cli("volume", "add", "db", image("db.img", SIZE))
    cli("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    cli("snapshot", "create", "db", "--label", "noon")
    good = (tmp_path / "m2.img").read_bytes()
    with exshadow.Engine() as engine:
        engine.open(cli.state / "db.exv").write(0, random.Random(7).randbytes(SIZE))
    job = cli.json("restore", "noon", "--mode", "instant")["job"]
    assert (job["kind"], job["state"]) == ("restore", "done")
    assert (tmp_path / "db.img").read_bytes() == good == (tmp_path / "m2.img").read_bytes()
    assert cli.json("volume", "show", "db")["volume"]["state"] == "ok"


def test_interrupted_restore_command_stays_usable(cli, image, tmp_path: Path):
    cli("volume", "add", "db", image("db.img", SIZE))
    cli("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    cli("snapshot", "create", "db", "--label", "noon")
    good = (tmp_path / "m2.img").read_bytes()
    with exshadow.Engine() as engine:
        engine.open(cli.state / "db.exv").write(0, random.Random(7).randbytes(SIZE))
    process = cli.start("--json", "restore", "noon", "--mode", "instant", "--limit", "2M")
    for line in process.stderr:
        if '"bytes_copied"' in line and '"bytes_copied": 0,' not in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "exshadow mirror sync db" in out
    assert cli.json("volume", "show", "db")["volume"]["state"] == "moving"
    with exshadow.Engine() as engine:
        assert engine.open(cli.state / "db.exv").read(0, SIZE) == good
    assert cli.json("mirror", "sync", "db")["job"]["kind"] == "restore"
    assert (tmp_path / "db.img").read_bytes() == good
