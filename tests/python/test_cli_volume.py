"""exshadow volume, and every way a file may be unfit to be a plex."""

import fcntl
import hashlib
import os

import pytest
from conftest import MIB
from machine import sparse


def test_add_leaves_every_byte_and_show_tells(cli, image, tmp_path):
    path = image("db.img")
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    added = cli.json("volume", "add", "db", path, "--group", "shop", "--region", "128K")["volume"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert (added["name"], added["group"], added["size"]) == ("db", "shop", MIB)
    assert added["region_size"] == 131072
    (plex,) = added["plexes"]
    assert (plex["path"], plex["state"], plex["size"]) == (str(path), "in_sync", MIB)
    assert cli.json("volume", "show", "db")["volume"]["uuid"] == added["uuid"]
    assert [one["name"] for one in cli.json("volume", "list")["volumes"]] == ["db"]
    assert cli.state.stat().st_mode & 0o777 == 0o700
    assert "shop" in cli("volume", "list").out
    assert str(path) in cli("volume", "show", "db").out


def test_a_volume_is_a_group_of_its_own_name(cli, image):
    assert cli.json("volume", "add", "db", image("db.img"))["volume"]["group"] == "db"


def test_list_of_nothing_creates_nothing(cli):
    assert cli.json("volume", "list") == {"volumes": []}
    assert cli.left_no_state()


def test_relative_paths_are_kept_absolute(cli, image, tmp_path):
    image("db.img")
    with cli.start("volume", "add", "db", "db.img", cwd=tmp_path) as process:
        assert process.wait(60) == 0
    (plex,) = cli.json("volume", "show", "db")["volume"]["plexes"]
    assert plex["path"] == str(tmp_path / "db.img")


def test_a_metadata_copy_is_remembered_and_removed_with_the_volume(cli, image, tmp_path):
    copy = tmp_path / "elsewhere.exv"
    cli("volume", "add", "db", image("db.img"), "--metadata-copy", copy)
    assert copy.exists()
    cli("mirror", "sync", "db")
    cli("volume", "remove", "db", "--yes")
    assert not copy.exists()
    assert list(cli.state.glob("db*")) == []


def test_remove_forgets_and_keeps_the_bytes(cli, image):
    path = image("db.img")
    before = path.read_bytes()
    cli("volume", "add", "db", path)
    plan = cli.json("volume", "remove", "db", "--dry-run")["plan"]
    assert [step["target"] for step in plan["steps"]] == [str(path)]
    assert cli.json("volume", "list")["volumes"]
    cli("volume", "remove", "db")
    assert path.read_bytes() == before
    assert cli.json("volume", "list")["volumes"] == []
    cli("volume", "add", "again", path)


def test_a_volume_whose_plex_is_gone_is_forgotten_with_force_only(cli, image):
    path = image("db.img")
    cli("volume", "add", "db", path)
    path.unlink()
    assert cli.error(3, "volume", "remove", "db")["hint"]
    cli("volume", "remove", "db", "--force")
    assert cli.json("volume", "list")["volumes"] == []


def refuse(cli, status, *arguments):
    """The command fails so, and leaves no volume and no state folder behind."""
    error = cli.error(status, "volume", "add", "db", *arguments)
    assert cli.left_no_state()
    return error


def test_missing_path(cli, tmp_path):
    refuse(cli, 3, tmp_path / "none.img")


def test_directory(cli, tmp_path):
    refuse(cli, 2, tmp_path)


def test_empty_file(cli, image):
    refuse(cli, 2, image("empty.img", 0))


def test_size_not_a_multiple_of_512(cli, image):
    refuse(cli, 2, image("odd.img", 1000))


def test_larger_than_change_maps_can_be(cli, memory):
    path = sparse(memory / "huge.img", 5 << 60)
    error = refuse(cli, 2, path)
    assert "too large" in error["message"]
    assert "--region" in error["hint"]
    assert list(memory.iterdir()) == [path]
    assert path.stat().st_blocks == 0
    assert os.listxattr(path) == []


def test_character_device(cli):
    refuse(cli, 2, "/dev/zero")


def test_read_only_file(cli, image):
    path = image("db.img")
    path.chmod(0o444)
    assert refuse(cli, 4, path)["code"] == "permission"


@pytest.mark.parametrize("region", ["3000", "0", "96K", "1", "12x", "-4096", "512"])
def test_bad_region_sizes(cli, image, region):
    refuse(cli, 2, image("db.img"), f"--region={region}")


@pytest.mark.parametrize("name", ["../x", ".x", "a b", "", "x" * 65])
def test_bad_names(cli, image, name):
    cli.error(2, "volume", "add", "--", name, image("db.img"))
    cli.error(2, "volume", "show", "--", name)
    assert cli.left_no_state()


def test_bad_group_name(cli, image):
    refuse(cli, 2, image("db.img"), "--group", "a/b")


def test_the_same_name_twice(cli, image):
    cli("volume", "add", "db", image("db.img"))
    assert cli.error(4, "volume", "add", "db", image("other.img"))["code"] == "exists"


def test_the_same_bytes_twice_by_any_name(cli, image, tmp_path):
    path = image("db.img")
    cli("volume", "add", "db", path)
    (tmp_path / "symbolic.img").symlink_to(path)
    os.link(path, tmp_path / "hard.img")
    for name in ("db.img", "symbolic.img", "hard.img"):
        for volume in ("db", "other"):
            error = cli.error(8, "volume", "add", volume, tmp_path / name)
            assert "db" in error["message"]
    assert len(cli.json("volume", "list")["volumes"]) == 1


def test_a_plex_in_use_by_a_process(cli, image):
    path = image("db.img")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        refuse(cli, 8, path)
    cli("volume", "add", "db", path)


def test_a_volume_file_is_no_plex(cli, image):
    cli("volume", "add", "db", image("db.img"))
    cli.error(8, "volume", "add", "loop", cli.state / "db.exv")


def test_unknown_names(cli, image):
    for arguments in (
        ("volume", "show", "no"),
        ("volume", "remove", "no"),
        ("mirror", "list", "no"),
        ("mirror", "add", "no", "x.img"),
        ("mirror", "sync", "no"),
        ("mirror", "verify", "no"),
        ("mirror", "remove", "no", "m2"),
        ("snapshot", "create", "no"),
        ("snapshot", "list", "no"),
        ("snapshot", "show", "no"),
        ("restore", "no"),
    ):
        assert cli.error(3, *arguments)["code"] == "not_found"
    assert not (cli.state / "no.exv").exists()
