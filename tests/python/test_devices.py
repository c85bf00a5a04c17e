"""Block devices as plexes, by loop devices of 512 and 4096 byte sectors; plexes mounted."""

from contextlib import ExitStack

import pytest
from conftest import MIB
from machine import loop_device, mounted, own_loop_name, run, sparse

SIZE = 8 * MIB
MAKE_EXT4 = ("mkfs.ext4", "-q", "-F", "-b", "4096")


@pytest.fixture
def devices(tmp_path):
    """Makes loop devices: ``devices("a.img", 4096)``; they go away with the test."""
    with ExitStack() as stack:

        def make(name, sector=512):
            path = tmp_path / name
            if not path.exists():
                sparse(path, SIZE)
            return stack.enter_context(loop_device(path, sector))

        yield make


@pytest.mark.parametrize("sectors", [(512, 4096), (4096, 512)])
def test_device_to_device_and_file(cli, devices, tmp_path, sectors):
    source = sparse(tmp_path / "a.img", SIZE)
    run(*MAKE_EXT4, source)
    before = source.read_bytes()
    cli("volume", "add", "disk", devices("a.img", sectors[0]))
    target = devices("b.img", sectors[1])
    assert "may hold data" in cli.error(4, "mirror", "add", "disk", target)["message"]
    cli("mirror", "add", "disk", target, "--overwrite", "--label", "b")
    cli("mirror", "add", "disk", tmp_path / "c.img", "--label", "c")
    assert source.read_bytes() == before
    for name in ("b", "c"):
        assert (tmp_path / f"{name}.img").read_bytes() == before
        cli("snapshot", "create", "disk", "--label", name, "--plex", name)
    # A split plex is a plain image: it mounts as it is, and mounting read-only changes nothing.
    with mounted(target, tmp_path / "place", "-o", "ro,noload") as place:
        assert (place / "lost+found").is_dir()
    with mounted(tmp_path / "c.img", tmp_path / "place", "-o", "loop,ro,noload") as place:
        assert (place / "lost+found").is_dir()
    for name in ("b", "c"):
        job = cli.json("snapshot", "resync", name)["job"]
        assert (job["bytes_copied"], job["note"]) == (0, "")
    cli("mirror", "verify", "disk")


def test_a_device_whose_last_sector_is_cut_short_is_refused(cli, devices, image, tmp_path):
    odd = SIZE + 512
    cli("volume", "add", "db", image("db.img", odd))
    sparse(tmp_path / "m2.img", odd)
    device = devices("m2.img", 4096)
    message = cli.error(2, "mirror", "add", "db", device, "--overwrite")["message"]
    assert "not a multiple of its 4096-byte sectors" in message or "a plex must be" in message
    assert [plex["label"] for plex in cli.json("mirror", "list", "db")["plexes"]] == ["p1"]


def test_a_read_only_device_is_refused(cli, image, tmp_path):
    sparse(tmp_path / "m2.img", SIZE)
    with loop_device(tmp_path / "m2.img", read_only=True) as device:
        error = cli.error(4, "volume", "add", "disk", device)
        assert error["code"] == "permission"
        assert "read-only device" in error["message"]
        assert cli.left_no_state()
        cli("volume", "add", "db", image("db.img", SIZE))
        assert cli.error(4, "mirror", "add", "db", device, "--overwrite") == error
        assert [plex["label"] for plex in cli.json("mirror", "list", "db")["plexes"]] == ["p1"]


def test_file_to_device(cli, devices, image, tmp_path):
    path = image("db.img", SIZE)
    cli("volume", "add", "db", path)
    cli("mirror", "add", "db", devices("m2.img", 4096), "--overwrite", "--label", "m2")
    assert (tmp_path / "m2.img").read_bytes() == path.read_bytes()
    cli("snapshot", "create", "db", "--label", "noon")
    cli("restore", "noon")
    cli("snapshot", "promote", "noon", "--yes")
    assert cli.json("mirror", "sync", "db")["job"]["state"] == "done"
    cli("mirror", "verify", "db")


def test_E7_a_copy_mounted_read_write_is_compared_and_ends_equal(cli, devices, tmp_path):
    source = sparse(tmp_path / "a.img", SIZE)
    run(*MAKE_EXT4, source)
    cli("volume", "add", "disk", source)
    device = devices("b.img")
    cli("mirror", "add", "disk", device, "--overwrite", "--label", "b")
    cli("mirror", "add", "disk", tmp_path / "c.img", "--label", "c")
    for name, path in (("b", device), ("c", tmp_path / "c.img")):
        cli("snapshot", "create", "disk", "--label", name, "--plex", name)
        options = () if path == device else ("-o", "loop")
        with mounted(path, tmp_path / "place", *options) as place:
            (place / "written").write_bytes(b"from outside" * 1000)
        assert "not as it was split off" in cli.error(5, "restore", name)["message"]
        done = cli("snapshot", "resync", name)
        assert "everything is compared" in done.err
        assert (tmp_path / f"{name}.img").read_bytes() == source.read_bytes()
    cli("mirror", "verify", "disk")


def test_a_mounted_block_device_needs_force(cli, devices, tmp_path, image):
    run(*MAKE_EXT4, sparse(tmp_path / "a.img", SIZE))
    device = devices("a.img")
    cli("volume", "add", "db", image("db.img", SIZE))
    with mounted(device, tmp_path / "place"):
        error = cli.error(8, "volume", "add", "disk", device)
        assert "--force" in error["hint"] + error["message"]
        cli.error(8, "mirror", "add", "db", device, "--overwrite")
    cli("volume", "add", "disk", device)
    assert cli.json("volume", "show", "disk")["volume"]["size"] == SIZE


def test_a_loop_device_on_a_plex_is_that_plex(cli, devices, image, tmp_path):
    cli("volume", "add", "db", image("db.img", SIZE))
    device = devices("db.img")
    assert "plex p1 of volume db" in cli.error(8, "volume", "add", "again", device)["message"]
    cli.error(8, "mirror", "add", "db", device, "--overwrite")
    cli("volume", "add", "disk", devices("b.img"))
    cli.error(8, "volume", "add", "again", tmp_path / "b.img")


def test_a_device_that_went_away_and_came_back(cli, image, tmp_path):
    cli("volume", "add", "db", image("db.img", SIZE))
    sparse(tmp_path / "m2.img", SIZE)
    with own_loop_name() as name:
        with loop_device(tmp_path / "m2.img", name=name):
            cli("mirror", "add", "db", name, "--overwrite", "--label", "m2")
        assert "m2 is not there" in cli("mirror", "verify", "db", status=4).err
        cli.error(3, "mirror", "sync", "db")
        with loop_device(tmp_path / "m2.img", name=name):
            cli("mirror", "sync", "db")
            cli("mirror", "verify", "db")
