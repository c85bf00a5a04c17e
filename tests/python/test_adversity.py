"""Full disks, lost disks, odd and huge sizes, all there may be of something."""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import MIB
from machine import mounted, run, sparse

import exshadow

# --- full disks ---


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request, tmp_path):
    """A file system with 6 to 8 MiB of room."""
    place = tmp_path / "small"
    if request.param == "tmpfs":
        with mounted("none", place, "-t", "tmpfs", "-o", "size=8M"):
            yield place
        return
    path = sparse(tmp_path / "small.img", 12 * MIB)
    run("mkfs.ext4", "-q", "-F", "-m", "0", path)
    with mounted(path, place, "-o", "loop"):
        yield place


def test_disk_full_in_the_middle_of_a_sync(cli, image, small_disk, tmp_path):
    path = image("db.img", 6 * MIB)
    cli("volume", "add", "db", path)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 4 * MIB)
    add = ("mirror", "add", "db", small_disk / "m2.img", "--label", "m2")
    for _ in range(2):  # room is not made by trying again
        error = cli.error(7, *add)
        assert error["code"] == "no_space"
        assert str(small_disk / "m2.img") in error["message"]
        assert "mirror sync db m2" in error["hint"]
    first, second = cli.json("mirror", "list", "db")["plexes"]
    assert (first["state"], second["state"]) == ("in_sync", "stale")
    assert "No space left" in second["note"]
    with exshadow.Engine() as engine:  # production is served as ever
        volume = engine.open(cli.state / "db.exv")
        job = volume.sync("m2")
        volume.write(5 * MIB, b"y" * 4096)
        with pytest.raises(OSError, match="No space left"):
            job.wait()
        volume.write(0, b"z" * 4096)
        volume.flush()
        assert volume.read(5 * MIB, 4096) == b"y" * 4096
    ballast.unlink()
    assert cli.json("mirror", "sync", "db")["job"]["state"] == "done"
    assert (small_disk / "m2.img").read_bytes() == path.read_bytes()


def test_no_room_for_a_volume_file(cli, image, tmp_path):
    with mounted("none", tmp_path / "small", "-t", "tmpfs", "-o", "size=1M") as place:
        error = cli.error(7, "--state", place / "state", "volume", "add", "db", image("db.img"))
        assert error["code"] == "no_space"
        assert list(place.iterdir()) == []


def test_E20_a_split_without_room_fails_and_nothing_is_split(cli, image, tmp_path):
    with mounted("none", tmp_path / "small", "-t", "tmpfs", "-o", "size=8M") as place:
        file = place / "db.exv"
        with exshadow.Engine() as engine:
            volume = engine.create(file, plex=image("db.img", 4 * MIB), region_size=4096)
            for label in ("m2", "m3", "m4", "m5"):
                volume.add_plex(tmp_path / f"{label}.img", label=label).wait()
            (place / "ballast").write_bytes(b"x")
            with (place / "ballast").open("ab", buffering=0) as ballast:
                fill(ballast)
            made = split_until_full(engine, volume)
            assert len(volume.snapshots) == made < 4
            volume.write(0, b"y" * 4096)
            (place / "ballast").unlink()
            volume.flush()


def split_until_full(engine, volume):
    """How many splits there was room for; the one after it says what is missing."""
    made = []
    with pytest.raises(OSError, match="No space left"):  # noqa: PT012
        for label in ("s0", "s1", "s2", "s3"):
            made += engine.split([volume], label)
    return len(made)


def fill(file):
    piece = b"x" * 65536
    while piece:
        try:
            file.write(piece)
        except OSError:
            piece = piece[: len(piece) // 2]


# --- lost files ---


def lose(path: Path) -> Path:
    """Move a file away, as a disk that is gone."""
    return path.rename(path.with_suffix(".lost"))


def test_a_missing_mirror_is_said_and_comes_back(shop, tmp_path):
    lost = lose(tmp_path / "db-m2.img")
    result = shop.cli("mirror", "verify", "db", status=4)
    assert "plex m2 is not there" in result.err
    assert shop.cli.json("mirror", "list", "db")["plexes"][1]["state"] == "detached"
    shop.write("db", 0, b"meanwhile" * 100)
    shop.cli.error(4, "snapshot", "create", "shop")
    lost.rename(tmp_path / "db-m2.img")
    job = shop.cli.json("mirror", "sync", "db")["job"]
    assert job["bytes_copied"] <= 4 * MIB
    assert shop.bytes("db-m2") == shop.bytes("db")


def test_E3_the_mirror_serves_when_the_source_is_gone(shop, tmp_path):
    before = shop.bytes("db")
    lose(tmp_path / "db.img")
    shop.write("db", 4096, b"after" * 100)
    authority = [plex["label"] for plex in inspected(shop, "db")["plexes"] if plex["authority"]]
    assert authority == ["m2"]
    assert shop.bytes("db-m2")[:4096] == before[:4096]
    assert shop.bytes("db-m2")[4096:4596] == b"after" * 100


def inspected(shop, name):
    from exshadow import _core

    return _core.inspect(shop.cli.state / f"{name}.exv")


def test_the_source_is_gone_and_a_snapshot_becomes_production(shop, tmp_path):
    shop.cli("snapshot", "create", "shop", "--label", "noon")
    copy = shop.bytes("db-m2")
    shop.write("db", 0, b"lost")
    lost = lose(tmp_path / "db.img")
    error = shop.cli.error(3, "mirror", "sync", "db")
    assert "snapshot promote" in error["hint"]
    assert "--force" in error["hint"]
    shop.cli.error(3, "snapshot", "promote", "noon", "--yes")
    shop.cli("snapshot", "promote", "noon", "--yes", "--force")
    with exshadow.Engine() as engine:
        assert engine.open(shop.cli.state / "db.exv").read(0, 4096) == copy[:4096]
    lost.rename(tmp_path / "db.img")
    shop.cli("mirror", "sync", "db")  # the old production is a mirror of the new one
    assert shop.bytes("db") == copy == shop.bytes("db-m2")


@pytest.mark.parametrize("damage", ["lost", "superblocks"])
def test_the_metadata_copy_takes_over(cli, image, tmp_path, damage):
    copy = tmp_path / "copy.exv"
    cli("volume", "add", "db", image("db.img"), "--metadata-copy", copy)
    cli("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    cli("snapshot", "create", "db", "--label", "noon")
    file = cli.state / "db.exv"
    if damage == "lost":
        file.unlink()
    else:
        with file.open("r+b") as opened:
            opened.write(bytes(2 * MIB))
    assert cli.json("volume", "show", "db")["volume"]["name"] == "db"
    assert [one["label"] for one in cli.json("snapshot", "list")["sets"]] == ["noon"]
    said = cli("snapshot", "resync", "noon").err
    if damage == "lost":
        assert "made anew from its copy" in said
    copy.unlink()  # and the other way round
    result = cli("mirror", "verify", "db")
    assert "going on without the metadata copy" in result.err
    assert cli.json("mirror", "list", "db")["plexes"][1]["state"] == "in_sync"


def test_a_truncated_volume_file_says_how_its_copy_is_used(cli, image, tmp_path):
    copy = tmp_path / "copy.exv"
    cli("volume", "add", "db", image("db.img"), "--metadata-copy", copy)
    os.truncate(cli.state / "db.exv", 100_000)
    error = cli.error(5, "mirror", "sync", "db")
    assert str(copy) in error["hint"]
    lose(cli.state / "db.exv")
    cli("mirror", "sync", "db")


# --- sizes and numbers ---


@pytest.mark.parametrize("size", [512, 4096, 65536 - 512, 65536 + 512, MIB + 1536])
def test_odd_sizes(tmp_path, image, size):
    path = image("db.img", size)
    with exshadow.Engine() as engine:
        volume = engine.create(tmp_path / "db.exv", plex=path)
        volume.add_plex(tmp_path / "m2.img", label="m2").wait()
        copy = engine.split([volume], "noon")["db"]
        assert Path(copy.path).read_bytes() == path.read_bytes()
        volume.write(size - 3, b"end")
        (changed,) = copy.changed().tolist()
        assert changed[0] <= size - 3
        assert sum(changed) == size
        assert volume.restore(copy).wait()["bytes_copied"] == changed[1]
        volume.write(size - 1, b"!")
        volume.resync(copy).wait()
        volume.verify().wait()
        with pytest.raises(ValueError, match="end"):
            volume.write(size, b"x")
    assert (tmp_path / "m2.img").read_bytes() == path.read_bytes()
    assert path.read_bytes().endswith(b"!")


def test_32_snapshots_and_no_more(tmp_path, image):
    with exshadow.Engine() as engine:
        volume = engine.create(tmp_path / "db.exv", plex=image("db.img"))
        for number in range(32):
            volume.add_plex(tmp_path / f"m{number}.img").wait()
            engine.split([volume], f"s{number}")
            volume.write(number * 4096, b"x" * 4096)
        volume.add_plex(tmp_path / "m32.img").wait()
        with pytest.raises(exshadow.Error, match="32") as caught:
            engine.split([volume], "s32")
        assert caught.value.code == "refused"
        assert len(volume.snapshots) == 32
        assert len(volume.snapshots["s31"].changed()) == 1
        volume.delete_snapshot("s7")
        engine.split([volume], "s32")
    with exshadow.Engine() as engine:
        volume = engine.open(tmp_path / "db.exv")
        assert len(volume.snapshots) == 32
        volume.resync("s0").wait()
        volume.verify().wait()


def test_a_group_of_three(cli, image, tmp_path):
    names = ("db", "logs", "queue")
    for name in names:
        cli("volume", "add", name, image(f"{name}.img"), "--group", "shop")
        cli("mirror", "add", name, tmp_path / f"{name}-m2.img", "--label", "m2")
    made = cli.json("snapshot", "create", "shop", "--label", "noon")["set"]
    assert [member["volume"] for member in made["members"]] == list(names)
    good = {name: (tmp_path / f"{name}.img").read_bytes() for name in names}
    with exshadow.Engine() as engine:
        for name in names:
            engine.open(cli.state / f"{name}.exv").write(0, name.encode() * 1000)
    assert len(cli.json("snapshot", "diff", "noon")["members"]) == 3
    cli("restore", "noon")
    assert good == {name: (tmp_path / f"{name}.img").read_bytes() for name in names}
    cli("snapshot", "resync", "noon")


HUGE = """
import sys
from pathlib import Path
import exshadow
folder, size = Path(sys.argv[1]), 16 << 40
with (folder / "db.img").open("wb") as file:
    file.truncate(size)
with exshadow.Engine() as engine:
    volume = engine.create(folder / "db.exv", plex=folder / "db.img")
    for number in range(4):
        done = volume.add_plex(folder / f"m{number}.img").wait()
        assert done["bytes_total"] == size
        assert done["bytes_copied"] <= number * 100 * 65536
        for place in range(100):
            volume.write((place * 7919 + number << 30) % size, b"x" * 4096)
        engine.split([volume], f"s{number}")
    volume.write(size - 512, b"x" * 512)
    counts = [len(copy.changed()) for copy in volume.snapshots.values()]
with exshadow.Engine() as engine:
    volume = engine.open(folder / "db.exv")
    assert counts == [len(copy.changed()) for copy in volume.snapshots.values()]
    assert volume.restore("s2").wait()["bytes_total"] == counts[2] * 65536
    volume.resync("s1").wait()
# Not ru_maxrss: that one begins with what the process had that started this one.
status = open("/proc/self/status").read()
print(*counts, int(status.split("VmHWM:")[1].split()[0]) >> 10)
"""


def test_16_TiB_with_four_snapshots():
    """Sparse: memory under 256 MiB, and quick (tmpfs, since ext4 ends just below 16 TiB)."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        command = [sys.executable, "-c", HUGE, folder]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    *counts, memory = map(int, done.stdout.split())
    assert counts == [301, 201, 101, 1]
    assert memory < 256
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 20
