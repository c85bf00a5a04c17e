"""snapshot verify --check filesystem: sound copies pass, damaged ones do not, none is written."""

import os
import shutil
from pathlib import Path

import pytest
from checked import (
    MAKE,
    make_file_system,
    need_devices,
    need_tool,
    no_traces,
    put_live,
    split_off,
)
from conftest import MIB
from machine import run, sparse


@pytest.fixture(autouse=True)
def _devices():
    need_devices()


def some_files(place: Path) -> None:
    for number in range(40):
        (place / f"file{number}").write_bytes(os.urandom(20_000))
    (place / "folder").mkdir()
    for number in range(40):
        (place / "folder" / f"inner{number}").write_text("x" * 5000)


@pytest.fixture(params=["ext4", "xfs", "btrfs", "ntfs"])
def live(request, tmp_path):
    """An image with a file system that was in use when it was copied, and its kind."""
    image = make_file_system(request.param, tmp_path / "db.img")
    put_live(image, tmp_path / "made", some_files)
    return request.param


def smash(image: Path, kind: str) -> None:
    """Damage metadata: what is in it after a boot sector that stays recognised."""
    with image.open("r+b") as file:
        if kind == "ext4":
            file.seek(1024 + 4096)  # group descriptors
            file.write(os.urandom(2048))
        elif kind == "xfs":
            file.seek(512)  # headers of the first allocation group
            file.write(os.urandom(1536))
        elif kind == "btrfs":
            file.seek(0)
            content = file.read()
            place, tree = content.find(b"file3"), 0
            while place >= 0:  # every tree block that names a file
                tree += 1
                file.seek(place)
                file.write(b"eliF")
                place = content.find(b"file3", place + 1)
            assert tree
        else:
            content = image.read_bytes()
            first = content.find(b"FILE0")
            for number in range(6):  # $MFT and the records behind it: $Bitmap among them
                file.seek(first + number * 1024)
                file.write(os.urandom(1024))


def test_a_copy_of_a_file_system_in_use_passes(live, cli, tmp_path):
    checked = split_off(cli, tmp_path, "db")
    verdict = checked.verify("--check", "filesystem")
    (disk,) = verdict["evidence"]["disks"]
    assert disk["file_system"] == live
    assert disk["steps"][-1]["status"] == 0
    assert f"{live} of db" in verdict["detail"]


def test_a_damaged_copy_fails(live, cli, tmp_path):
    smash(tmp_path / "db.img", live)
    checked = split_off(cli, tmp_path, "db")
    verdict = checked.verify("--check", "filesystem", status=5)
    assert verdict["evidence"]["disks"][0]["problems"]
    document = cli.json("snapshot", "verify", "noon", "--check", "filesystem", status=5)
    assert "check filesystem failed" in document["error"]["message"]


@pytest.mark.parametrize("dirty", [False, True])
def test_fat(dirty, cli, tmp_path):
    need_tool("fsck.fat")
    image = make_file_system("vfat", tmp_path / "db.img")
    with image.open("r+b") as file:
        file.seek(0x25)
        file.write(bytes([dirty]))
    checked = split_off(cli, tmp_path, "db")
    verdict = checked.verify("--check", "filesystem")
    assert bool(verdict["evidence"]["disks"][0]["notes"]) is dirty


def test_fat_with_different_tables_fails(cli, tmp_path):
    need_tool("fsck.fat")
    image = make_file_system("vfat", tmp_path / "db.img")
    with image.open("r+b") as file:
        file.seek(4 * 512 + 512)
        file.write(os.urandom(2048))
    split_off(cli, tmp_path, "db").verify("--check", "filesystem", status=5)


def test_a_file_deleted_while_open_is_no_damage(cli, tmp_path):
    image = make_file_system("ext4", tmp_path / "db.img")
    held = []

    def fill(place):
        held.append((place / "gone").open("wb"))
        held[0].write(bytes(MIB))
        held[0].flush()
        (place / "gone").unlink()

    def fill_and_close(place):
        fill(place)
        run("sync", "--file-system", place)
        shutil.copyfile(image, tmp_path / "db.in-use")
        held[0].close()

    put_live(image, tmp_path / "made", fill_and_close)
    (tmp_path / "db.in-use").replace(image)
    split_off(cli, tmp_path, "db").verify("--check", "filesystem")


@pytest.fixture(params=["dos", "gpt"])
def partitioned(request, tmp_path):
    """A disk with an ext4 and a FAT partition; the offset of the first."""
    need_tool("sfdisk")
    disk = sparse(tmp_path / "db.img", 160 * MIB)
    layout = f"label: {request.param}\nstart=2048, size=131072\nstart=133120, size=131072\n"
    (tmp_path / "layout").write_text(layout)
    with (tmp_path / "layout").open() as given:
        import subprocess

        subprocess.run(["sfdisk", "-q", disk], stdin=given, check=True, capture_output=True)
    for kind, start in (("ext4", 2048), ("vfat", 133120)):
        part = make_file_system(kind, tmp_path / kind)
        run("dd", f"if={part}", f"of={disk}", "bs=512", f"seek={start}", "conv=notrunc")
    return tmp_path


def test_each_partition_of_a_disk(partitioned, cli):
    checked = split_off(cli, partitioned, "db")
    disks = checked.verify("--check", "filesystem")["evidence"]["disks"]
    assert [(one["disk"], one["file_system"]) for one in disks] == [
        ("db/1", "ext4"),
        ("db/2", "vfat"),
    ]


def test_a_damaged_partition_fails(partitioned, cli):
    with (partitioned / "db.img").open("r+b") as file:
        file.seek(2048 * 512 + 1024 + 4096)
        file.write(os.urandom(4096))
    verdict = split_off(cli, partitioned, "db").verify("--check", "filesystem", status=5)
    assert verdict["detail"].startswith("db/1: ")


def test_a_copy_without_a_file_system_proves_nothing(shop):
    shop.cli("snapshot", "create", "shop", "--label", "noon")
    document = shop.cli.json("snapshot", "verify", "noon", "--check", "filesystem", status=5)
    assert "no file system" in document["set"]["verified"]["detail"]


def test_a_file_system_nobody_here_can_check_is_refused(cli, tmp_path):
    sparse(tmp_path / "db.img", 64 * MIB)
    with (tmp_path / "db.img").open("r+b") as file:
        file.write(b"hsqs" + bytes(24) + (4).to_bytes(2, "little") + bytes(2))
    split_off(cli, tmp_path, "db")
    error = cli.error(4, "snapshot", "verify", "noon", "--check", "filesystem")
    assert "squashfs" in error["message"]
    assert cli.json("snapshot", "show", "noon")["set"]["verified"] is None
    assert no_traces(cli.state) == []


def test_what_a_missing_tool_leaves(cli, tmp_path, monkeypatch):
    """Refused by naming the package; the set stays."""
    from exshadow.service.checks import programs

    monkeypatch.setattr(programs.shutil, "which", lambda *_, **__: None)
    with pytest.raises(programs.UnsupportedError) as caught:
        programs.require("fsck.fat")
    assert "dosfstools" in caught.value.hint
    assert caught.value.exit_status == 4


def test_create_with_checks(cli, tmp_path):
    make_file_system("ext4", tmp_path / "db.img", MAKE["ext4"][1])
    cli("volume", "add", "db", tmp_path / "db.img")
    cli("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    wish = ("--verify", "bytes", "--verify", "filesystem", "--verify", "sqlite")
    document = cli.json("snapshot", "create", "db", "--label", "noon", *wish, status=5)
    checks = document["set"]["checks"]
    assert [(one["check"], one["ok"]) for one in checks] == [
        ("bytes", True),
        ("filesystem", True),
        ("sqlite", False),
    ]
    assert document["set"]["verified"]["check"] == "sqlite"
    assert cli.json("snapshot", "list")["sets"][0]["verified"]["ok"] is False
    assert "no SQLite database" in document["error"]["message"]


def test_one_that_has_no_checker_hides_no_damage(tmp_path, cli):
    need_tool("mkfs.minix")
    run("mkfs.minix", sparse(tmp_path / "a.img", 16 * MIB))
    make_file_system("ext4", tmp_path / "db.img")
    put_live(tmp_path / "db.img", tmp_path / "made", some_files)
    checked = split_off(cli, tmp_path, "a", "db")
    error = cli.error(4, "snapshot", "verify", "noon", "--check", "filesystem")
    assert "minix, which exshadow has no checker for" in error["message"]
    smash(checked.copy("db"), "ext4")
    found = checked.verify("--check", "filesystem", status=5)
    assert found["detail"].startswith("db: e2fsck found damage")
    notes = {one["disk"]: one["notes"] for one in found["evidence"]["disks"]}
    assert "not checked: " in notes["a"][0]
