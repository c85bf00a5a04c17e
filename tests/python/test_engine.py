"""The Python package as interface.md promises it: volumes, snapshots, buffers, errors, facts."""

from __future__ import annotations

import array
import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import MIB, make_image

import exshadow
from exshadow import _core

KIB = 1 << 10
REGION = 64 * KIB


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on the disk, and one in memory."""
    if request.param == "disk":
        yield tmp_path
        return
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK):
        pytest.skip("no /dev/shm")
    place = shm / f"exshadow-test-{os.getpid()}"
    place.mkdir()
    yield place
    for path in place.iterdir():
        path.unlink()
    place.rmdir()


def test_the_example_of_the_interface(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    make_image(folder / "db.img")
    logs_before = make_image(folder / "logs.img").read_bytes()
    with exshadow.Engine() as first:
        first.create("logs.exv", plex="logs.img").add_plex("logs-m2.img").wait()
    buffer = os.urandom(5000)
    with exshadow.Engine() as engine:
        data = engine.create("db.exv", plex="db.img", region_size=65536)
        logs = engine.open("logs.exv")
        job = data.add_plex("db-m2.img", label="m2", overwrite=False, limit=None)
        assert job.wait()["bytes_copied"] == 4 * MIB
        data.write(0, buffer)
        back = bytearray(5000)
        data.read_into(0, back)
        assert bytes(back) == buffer
        assert data.read(0, 4096) == buffer[:4096]
        data.flush()
        snapshots = engine.split([data, logs], label="noon")
        assert set(snapshots) == {"db", "logs"}
        assert snapshots["db"].changed().shape == (0, 2)
        data.write(100_000, b"after the split")
        assert snapshots["db"].changed().tolist() == [[65536, 65536]]
        assert snapshots["db"].read(0, 5000) == buffer
        assert data.resync(snapshots["db"]).wait()["bytes_copied"] == 65536
        logs.write(0, b"damage")
        moving = logs.restore(snapshots["logs"], mode="instant")
        assert logs.read(0, 6) == logs_before[:6]
        moving.wait()
        logs.write(0, b"damage")
        logs.restore(snapshots["logs"]).wait()
        data.close()
        assert data.state == "closed"
        assert list(engine.volumes) == ["logs"]
    assert (folder / "db.img").read_bytes() == (folder / "db-m2.img").read_bytes()
    assert (folder / "logs.img").read_bytes() == logs_before
    found = exshadow.inspect("db.exv")
    assert found["clean"]
    assert found["owner"] is None


def test_a_volume_tells_what_it_is(engine, make, tmp_path: Path):
    volume = make(engine)
    assert (volume.name, volume.group, volume.size) == ("db", "db", 4 * MIB)
    assert volume.region_size == REGION
    assert volume.path == str(tmp_path / "db.exv")
    assert volume.state == "ok"
    plexes = {plex["label"]: plex for plex in volume.plexes}
    assert set(plexes) == {"p1", "m2"}
    assert plexes["p1"]["authority"]
    assert plexes["m2"] | {"uuid": ""} == {
        "label": "m2",
        "uuid": "",
        "path": str(tmp_path / "db-m2.img"),
        "state": "in_sync",
        "size": 4 * MIB,
        "authority": False,
        "bytes_to_sync": 0,
        "note": "",
    }
    info = volume.info()
    assert info["uuid"] == volume.uuid
    assert info["owner"] == f"pid {os.getpid()} on {os.uname().nodename}"
    assert info["events"] == []
    assert engine.volumes["db"] is volume


def test_a_snapshot_tells_what_it_is(engine, make, tmp_path: Path):
    volume = make(engine)
    set_id = "0f8fad5b-d9cb-469f-a165-70867728950e"
    snapshot = engine.split([volume], "noon", set_id=set_id, consistency="filesystem")["db"]
    assert (snapshot.label, snapshot.plex, snapshot.set_id) == ("noon", "m2", set_id)
    assert snapshot.path == str(tmp_path / "db-m2.img")
    assert snapshot.created.endswith("Z")
    assert snapshot.volume is volume
    volume.pin_snapshot(snapshot, "2031-01-31T12:00:00+02:00")
    volume.set_consistency("noon", "application")
    volume.write(0, b"x")
    info = snapshot.info()
    assert info["state"] == "ready"
    assert info["members"] == ["db"]
    assert info["consistency"] == "application"
    assert info["pinned_until"] == "2031-01-31T10:00:00Z"
    assert info["changed_bytes"] == REGION
    volume.pin_snapshot("noon", "forever")
    assert snapshot.info()["pinned_until"] == "forever"
    volume.pin_snapshot("noon", None)
    assert snapshot.info()["pinned_until"] is None
    with pytest.raises(exshadow.InvalidError):
        volume.pin_snapshot("noon", "tomorrow")
    with pytest.raises(exshadow.InvalidError):
        volume.set_consistency("noon", "perfect")
    assert 0 < engine.split_turn_ns() < 1_000_000_000


BUFFERS = {
    "bytes": lambda data: data,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "slice of a memoryview": lambda data: memoryview(b"??" + data + b"??")[2:-2],
    "array": lambda data: array.array("B", data),
    "numpy of integers": lambda data: np.frombuffer(data, dtype="<u4"),
    "numpy in two dimensions": lambda data: np.frombuffer(data, dtype=np.uint8).reshape(8, -1),
}


@pytest.mark.parametrize("kind", BUFFERS)
@pytest.mark.parametrize("offset", [0, 1, 511, 4096, 65535, MIB - 17])
def test_any_contiguous_buffer_is_written(engine, make, kind: str, offset: int):
    volume = make(engine)
    data = random.Random(offset).randbytes(3000 * 8)
    volume.write(offset, BUFFERS[kind](data))
    assert volume.read(offset, len(data)) == data
    volume.verify().wait()


@pytest.mark.parametrize("offset", [0, 3, 4096, 4 * MIB - 24000])
def test_any_writable_buffer_is_read_into(engine, make, tmp_path: Path, offset: int):
    volume = make(engine, mirror=False)
    expected = (tmp_path / "db.img").read_bytes()[offset : offset + 24000]
    for target in (bytearray(24000), np.zeros(6000, dtype="<u4"), np.zeros((10, 2400), "u1")):
        volume.read_into(offset, target)
        assert bytes(memoryview(target).cast("B")) == expected
    part = memoryview(bytearray(30000))[100:24100]
    volume.read_into(offset, part)
    assert bytes(part) == expected


def test_the_callers_buffer_is_free_after_the_write(engine, make):
    volume = make(engine)
    buffer = bytearray(b"first" * 100)
    volume.write(0, buffer)
    buffer.extend(b"grows")  # would fail if the view were still held
    assert volume.read(0, 500) == b"first" * 100


def test_requests_of_length_zero_do_nothing(engine, make):
    volume = make(engine)
    for offset in (0, 77, volume.size):
        volume.write(offset, b"")
        assert volume.read(offset, 0) == b""
        volume.read_into(offset, bytearray())
        volume.zero(offset, 0)
    assert volume.info()["clean"] in (True, False)


@pytest.mark.parametrize(
    ("offset", "length"),
    [(4 * MIB, 1), (4 * MIB - 1, 2), (5 * MIB, 0), (2**63 - 1, 1), (0, 2**63 - 1)],
)
def test_requests_behind_the_end_are_invalid(engine, make, offset: int, length: int):
    volume = make(engine, mirror=False)
    with pytest.raises(exshadow.InvalidError, match="end"):
        volume.read(offset, length)
    with pytest.raises(ValueError, match="end"):
        volume.zero(offset, length)
    if length < MIB:
        with pytest.raises(exshadow.InvalidError):
            volume.write(offset, bytes(length))
        with pytest.raises(exshadow.InvalidError):
            volume.read_into(offset, bytearray(length))


@pytest.mark.parametrize("number", [-1, 2**63, 2**70, -(2**70)])
def test_numbers_outside_63_bits_are_invalid(engine, make, number: int):
    volume = make(engine, mirror=False)
    with pytest.raises(exshadow.InvalidError):
        volume.read(number, 1)
    with pytest.raises(exshadow.InvalidError):
        volume.write(number, b"x")
    with pytest.raises(exshadow.InvalidError):
        volume.zero(0, number)


def test_wrong_types_are_type_errors(engine, make):
    volume = make(engine, mirror=False)
    for call in (
        lambda: volume.read(1.5, 1),
        lambda: volume.read("0", 1),
        lambda: volume.write(0, "text"),
        lambda: volume.resync(7),
        lambda: engine.open(7),
        lambda: _core.Volume(),
        lambda: _core.Job(),
    ):
        with pytest.raises(TypeError):
            call()
    assert volume.read(np.int64(0), np.uint8(4)) == volume.read(False, 4)


def test_unusable_buffers_are_invalid(engine, make):
    volume = make(engine, mirror=False)
    with pytest.raises(exshadow.InvalidError):
        volume.read_into(0, b"read-only")
    with pytest.raises(exshadow.InvalidError):
        volume.write(0, memoryview(b"every second")[::2])
    with pytest.raises(exshadow.InvalidError):
        volume.write(0, np.zeros((10, 10), "u1").T[2:])


def test_zeroes_and_fua(engine, make, tmp_path: Path):
    volume = make(engine)
    volume.write(10, b"durable", fua=True)
    volume.zero(1000, 100_000)
    volume.zero(MIB, MIB, unmap=True)
    assert volume.read(1000, 100_000) == bytes(100_000)
    assert volume.read(MIB, MIB) == bytes(MIB)
    volume.close()
    assert (tmp_path / "db.img").read_bytes() == (tmp_path / "db-m2.img").read_bytes()


# --- errors ---


def test_errors_carry_code_hint_and_builtin_class(engine, make, tmp_path: Path):
    volume = make(engine)
    with pytest.raises(exshadow.NotFoundError) as missing:
        engine.open(tmp_path / "nothing.exv")
    assert isinstance(missing.value, LookupError)
    assert "nothing.exv" in missing.value.message
    with pytest.raises(exshadow.ExistsError) as there:
        engine.create(tmp_path / "db.exv", plex=make_image(tmp_path / "other.img"))
    assert there.value.code == "exists"
    with pytest.raises(exshadow.ExistsError) as holds:
        volume.add_plex(make_image(tmp_path / "full.img"))
    assert "--overwrite" in holds.value.hint
    with pytest.raises(exshadow.BusyError) as used:
        volume.add_plex(tmp_path / "db.img", overwrite=True)
    assert used.value.exit_status == 8
    with pytest.raises(exshadow.InvalidError):
        volume.add_plex(make_image(tmp_path / "short.img", MIB))
    with pytest.raises(exshadow.InvalidError):
        volume.add_plex(tmp_path / "x.img", label="not a label")
    with pytest.raises(exshadow.ExistsError):
        volume.add_plex(tmp_path / "x.img", label="m2")
    with pytest.raises(exshadow.NotFoundError):
        volume.sync("nobody")
    with pytest.raises(exshadow.NotFoundError):
        volume.resync("nobody").wait()
    with pytest.raises(exshadow.RefusedError):
        engine.split([make_alone(engine, tmp_path)], "noon")


def make_alone(engine: exshadow.Engine, folder: Path) -> exshadow.Volume:
    return engine.create(folder / "alone.exv", plex=make_image(folder / "alone.img", MIB))


def test_wrong_arguments_are_invalid(engine, make, tmp_path: Path):
    volume = make(engine)
    snapshot = engine.split([volume], "noon")["db"]
    other = make(engine, "other", MIB)
    for call in (
        lambda: exshadow.Engine(loop="best"),
        lambda: engine.create(tmp_path / "n.exv", plex=tmp_path / "n.img", region_size=3000),
        lambda: engine.create(tmp_path / "n.exv", plex=tmp_path / "n.img", region_size=2**40),
        lambda: engine.create(tmp_path / "a b.exv", plex=tmp_path / "n.img"),
        lambda: engine.open(volume.path, lock_wait=-1),
        lambda: engine.split([], "x"),
        lambda: engine.split([other, other], "x"),
        lambda: engine.split([other], "not a label"),
        lambda: engine.split([other], "x", plexes={"db": "m2"}),
        lambda: engine.split([other], "x", set_id="7"),
        lambda: engine.split([other], "x", consistency="perfect"),
        lambda: volume.restore(snapshot, mode="magic"),
        lambda: other.restore(snapshot),
        lambda: volume.sync(""),
        lambda: _core.change_map_benchmark(0, 65536, 1),
    ):
        with pytest.raises(exshadow.InvalidError) as caught:
            call()
        assert isinstance(caught.value, ValueError)


def test_a_plex_that_cannot_be_had_says_why(engine, make, tmp_path: Path):
    volume = make(engine, mirror=False)
    with pytest.raises(exshadow.Error) as caught:
        volume.add_plex(tmp_path / "no" / "such" / "folder.img")
    assert caught.value.code == "not_found"
    path = make_image(tmp_path / "guarded.img")
    path.chmod(0o444)
    with pytest.raises(exshadow.PermissionRefusedError) as refused:
        volume.add_plex(path, overwrite=True)
    assert isinstance(refused.value, PermissionError)


def test_damaged_volume_files_are_named(engine, make, tmp_path: Path):
    make(engine).close()
    file = tmp_path / "db.exv"
    good = file.read_bytes()[: 2 * MIB]
    size = file.stat().st_size

    def damaged(content: bytes, length: int) -> None:
        file.write_bytes(content)
        os.truncate(file, length)

    damaged(good[:1000], 1000)
    for call in (engine.open, exshadow.inspect):
        with pytest.raises(exshadow.CorruptError, match=r"db\.exv"):
            call(file)
    damaged(bytes(len(good)), size)
    for call in (engine.open, exshadow.inspect):
        with pytest.raises(exshadow.CorruptError, match=r"db\.exv"):
            call(file)
    newer = bytearray(good)
    for place in (64 * KIB, 576 * KIB):
        newer[place + 8] = 200
    damaged(bytes(newer), size)
    for call in (engine.open, exshadow.inspect):
        with pytest.raises(exshadow.NewerVersionError, match=r"db\.exv"):
            call(file)
    damaged(good, size)
    assert engine.open(file).state == "ok"


# --- facts ---


def test_facts_about_the_machine_and_files(tmp_path: Path):
    machine = _core.machine()
    assert isinstance(machine["io_uring"], bool)
    assert machine["loop"] in ("io_uring", "threads")
    path = make_image(tmp_path / "a.img")
    facts = _core.probe_file(path)
    assert facts["size"] == 4 * MIB
    assert facts["direct"] == (facts["backing"] == "direct")
    assert not facts["block_device"]
    with pytest.raises(exshadow.NotFoundError):
        _core.probe_file(tmp_path / "none")
    with pytest.raises(exshadow.InvalidError):
        _core.probe_file(tmp_path)


@pytest.mark.parametrize("direct", [True, False])
def test_the_copy_benchmark_copies(tmp_path: Path, direct: bool):
    source = make_image(tmp_path / "source.img")
    target = make_image(tmp_path / "target.img")
    before = source.read_bytes()
    for _ in range(2):
        done = _core.copy_benchmark(source, target, direct=direct)
        assert (done["state"], done["bytes_copied"]) == ("done", 4 * MIB)
        assert 0 < done["seconds"] < 30
    assert source.read_bytes() == target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.img", "target.img"]
    with pytest.raises(exshadow.InvalidError):
        _core.copy_benchmark(source, source)
    with pytest.raises(exshadow.InvalidError):
        _core.copy_benchmark(source, make_image(tmp_path / "small.img", MIB))


def test_the_change_map_benchmark_measures():
    figures = _core.change_map_benchmark(1 << 40, REGION, 100_000)
    assert set(figures) == {"mark_ns", "scan_ms"}
    assert 0 < figures["mark_ns"] < 100_000
    assert figures["scan_ms"] > 0


def test_paths_of_any_bytes(engine, tmp_path: Path):
    name = os.fsdecode(b"odd \xff name.img")
    image = make_image(tmp_path / name)
    volume = engine.create(tmp_path / "odd.exv", plex=image)
    assert volume.plexes[0]["path"] == str(image)
    with pytest.raises(exshadow.NotFoundError) as caught:
        engine.open(str(tmp_path / os.fsdecode(b"\xfe.exv")))
    assert os.fsdecode(b"\xfe.exv") in str(caught.value)


def test_an_io_error_is_an_os_error():
    from exshadow.errors import make

    error = make("io", "cannot write", "", errno.EIO)
    assert isinstance(error, OSError)
    assert error.errno == errno.EIO
