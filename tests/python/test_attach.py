"""attach, detach, snapshot mount and unmount on this machine's real devices."""

import hashlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import MIB
from daemons import served
from machine import need_root, run

import exshadow
from exshadow.service import devices

SIZE = 8 * MIB
SIZES = {"ext4": 64 * MIB, "xfs": 320 * MIB, "btrfs": 128 * MIB, "ntfs": 64 * MIB}
"""About the smallest of each file system."""


@pytest.fixture(autouse=True)
def _devices():
    need_root()
    if not shutil.which("nbd-client") and not shutil.which("nbdfuse"):
        pytest.skip("needs nbdfuse, or the kernel's NBD client")
    if not Path("/dev/fuse").exists() or not Path("/dev/loop-control").exists():
        pytest.skip("needs FUSE and loop devices")


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.fixture(params=["ext4", "xfs", "btrfs", "ntfs"])
def formatted(request, cli, tmp_path):
    """A volume with that file system, a file in it, a mirror, and a set noon of it."""
    make = {
        "ext4": ["mkfs.ext4", "-q", "-F"],
        "xfs": ["mkfs.xfs", "-q", "-f"],
        "btrfs": ["mkfs.btrfs", "-q", "-f"],
        "ntfs": ["mkntfs", "-q", "-F", "-Q"],
    }[request.param]
    if shutil.which(make[0]) is None:
        pytest.skip(f"needs {make[0]}")
    image = tmp_path / "db.img"
    with image.open("wb") as file:
        file.truncate(SIZES[request.param])
    run(*make, image)
    place = tmp_path / "made"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-o", "loop", image, place], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"this kernel cannot mount {request.param}: {done.stderr.strip()}")
    (place / "hello").write_text("hello")
    run("umount", place)
    cli("volume", "add", "db", image)
    cli("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    cli("snapshot", "create", "db", "--label", "noon")
    return cli


def test_a_mounted_copy_is_read_only_and_keeps_every_byte(formatted, tmp_path):
    cli, place = formatted, tmp_path / "mnt"
    before = digest(tmp_path / "m2.img")
    with served(cli, tmp_path):
        cli("snapshot", "mount", "noon", place)
        assert (place / "hello").read_text() == "hello"
        with pytest.raises(OSError, match="Read-only"):
            (place / "more").write_text("x")
        assert cli.error(8, "snapshot", "mount", "noon", tmp_path / "elsewhere")
        assert cli.error(8, "snapshot", "resync", "noon")["code"] == "busy"
        cli("snapshot", "unmount", "noon")
        assert not list(place.iterdir())
        cli("snapshot", "mount", "noon", place, "--writable")
        (place / "more").write_text("thrown away")
        cli("snapshot", "unmount", "noon")
        cli.error(3, "snapshot", "unmount", "noon")
        cli("snapshot", "mount", "noon", place)
        assert not (place / "more").exists()
        cli("snapshot", "unmount", "noon")
    assert digest(tmp_path / "m2.img") == before


@pytest.fixture
def volume(cli, image, tmp_path):
    cli("volume", "add", "db", image("db.img", SIZE))
    cli("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    cli("snapshot", "create", "db", "--label", "noon")
    return cli


def test_a_volume_is_attached_read_only_or_for_writing(volume, tmp_path):
    with served(volume, tmp_path):
        made = volume.json("attach", "db")["attached"]
        assert run("blockdev", "--getsize64", made["device"]) == str(SIZE)
        assert run("blockdev", "--getro", made["device"]) == "1"
        assert volume.error(8, "attach", "db")["code"] == "busy"
        volume("detach", made["device"])
        device = volume("attach", "db", "--writable").out.strip()
        run("dd", "if=/dev/zero", f"of={device}", "bs=1M", "count=2", "conv=fsync", "status=none")
        with exshadow.connect(volume.state) as daemon:
            assert daemon.open("db").read(0, 2 * MIB) == bytes(2 * MIB)
        assert volume.error(8, "restore", "noon")["code"] == "busy"
        volume("detach", "db")
        volume.error(3, "detach", "db")
    assert (tmp_path / "db.img").read_bytes()[: 2 * MIB] == bytes(2 * MIB)


def test_unknown_names(volume):
    volume.error(3, "attach", "nobody")
    assert "db@noon" in volume.error(3, "attach", "db@never")["hint"]
    volume.error(3, "detach", "db")


def test_without_a_daemon_one_is_started_and_ends_with_the_last_detach(volume, tmp_path):
    one = volume.json("attach", "db@noon")["attached"]
    assert (volume.state / "control.sock").exists()
    two = volume.json("attach", "db")["attached"]
    assert digest(one["device"]) == digest(tmp_path / "m2.img")
    volume("detach", "db@noon")
    assert (volume.state / "control.sock").exists()
    volume("detach", two["device"])
    assert not (volume.state / "control.sock").exists()
    assert volume.json("volume", "show", "db")["volume"]["clean"] is True


def test_a_view_is_detached_by_the_snapshots_name(volume, tmp_path):
    before = digest(tmp_path / "m2.img")
    with served(volume, tmp_path):
        made = volume.json("attach", "db@noon", "--writable")["attached"]
        assert made["export"] == "db@noon+view"
        run("dd", "if=/dev/zero", f"of={made['device']}", "bs=1M", "count=1", "conv=fsync")
        volume("detach", "db@noon")
    assert digest(tmp_path / "m2.img") == before


def test_detach_works_after_everything_was_killed(volume, tmp_path):
    with served(volume, tmp_path) as daemon:
        made = volume.json("attach", "db@noon")["attached"]
        daemon.stop(signal.SIGKILL)
        if made["process"]:
            os.kill(made["process"], signal.SIGKILL)
    volume("detach", "db@noon")
    deadline = time.monotonic() + 20
    while str(volume.state) in run("losetup", "--list", "--noheadings"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert str(volume.state) not in Path("/proc/self/mountinfo").read_text()


def test_a_mounted_device_is_not_detached(cli, tmp_path):
    image = tmp_path / "db.img"
    with image.open("wb") as file:
        file.truncate(SIZE)
    run("mkfs.ext4", "-q", "-F", image)
    cli("volume", "add", "db", image)
    place = tmp_path / "mnt"
    place.mkdir()
    with served(cli, tmp_path):
        device = cli("attach", "db", "--writable").out.strip()
        run("mount", device, place)
        assert str(place) in cli.error(8, "detach", "db")["message"]
        (place / "file").write_bytes(b"x" * MIB)
        run("umount", place)
        cli("detach", "db")
    run("e2fsck", "-fn", image)


def content(device):
    """What somebody reads there who takes no pains to go past caches."""
    return subprocess.run(
        ["dd", f"if={device}", "bs=1M", "status=none"], check=True, capture_output=True
    ).stdout


@pytest.mark.parametrize("size", [8 * MIB, 8 * MIB + 512])
@pytest.mark.parametrize(
    "way",
    [
        ("restore", "noon", "--live"),
        ("restore", "noon", "--live", "--mode", "instant"),
        ("snapshot", "promote", "noon", "--live"),
    ],
    ids=["copy", "instant", "promote"],
)
def test_a_device_shows_what_was_restored_under_it(way, size, cli, image, tmp_path):
    before = image("db.img", size).read_bytes()
    cli("volume", "add", "db", tmp_path / "db.img")
    cli("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    cli("snapshot", "create", "db", "--label", "noon")
    after = os.urandom(size)
    with served(cli, tmp_path):
        device = cli("attach", "db", "--writable").out.strip()
        if Path(f"/sys/block/{Path(device).name}/loop").exists():
            assert Path(f"/sys/block/{Path(device).name}/loop/dio").read_text() == "1\n"
        with Path(device).open("rb"):  # caches live as long as anybody has the device open
            Path(device).write_bytes(after)
            assert content(device) == after
            cli(*way)
            assert content(device) == before
        cli("detach", "db")


def test_nothing_is_restored_under_a_mounted_device(cli, tmp_path):
    image = tmp_path / "db.img"
    with image.open("wb") as file:
        file.truncate(SIZE)
    run("mkfs.ext4", "-q", "-F", image)
    cli("volume", "add", "db", image)
    cli("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    cli("snapshot", "create", "db", "--label", "noon")
    place = tmp_path / "mnt"
    place.mkdir()
    ways = [
        ("restore", "noon", "--live"),
        ("restore", "noon", "--live", "--mode", "instant"),
        ("snapshot", "promote", "noon", "--live"),
    ]
    with served(cli, tmp_path):
        device = cli("attach", "db", "--writable").out.strip()
        run("mount", device, place)
        for way in ways:
            error = cli.error(8, *way)
            assert str(place) in error["message"]
            assert "unmount it first" in error["hint"]
        with exshadow.connect(cli.state) as daemon:
            volume = daemon.open("db")
            with pytest.raises(exshadow.BusyError, match="mounted"):
                volume.promote("noon", live=True)
            with pytest.raises(exshadow.BusyError, match="mounted"):
                volume.restore("noon", live=True)
            with pytest.raises(exshadow.BusyError, match="mounted"):
                daemon.restore([volume], "noon", live=True)
        run("umount", place)
        for way in ways:
            cli(*way)
        cli("detach", "db")


def test_a_loop_device_without_direct_io_says_so(tmp_path, monkeypatch):
    def fail_direct(*command):
        if "--direct-io=on" in command:
            raise exshadow.IoError("set direct io failed")
        return run(*command)

    monkeypatch.setattr(devices, "run", fail_direct)
    image = tmp_path / "db.img"
    image.write_bytes(bytes(MIB))
    device, note = devices._loop(image, writable=True)
    try:
        assert device in note
        assert "no direct I/O" in note
    finally:
        run("losetup", "--detach", device)


def test_a_failed_mount_leaves_no_folder(shop, tmp_path):
    shop.cli("snapshot", "create", "shop", "--label", "noon")
    place = tmp_path / "mnt"
    with served(shop.cli, tmp_path):
        error = shop.cli.error(4, "snapshot", "mount", "noon", place / "deep")
        assert "no file system" in error["message"]
        assert not place.exists()
        place.mkdir()
        shop.cli.error(4, "snapshot", "mount", "noon", place)
        assert not list(place.iterdir())
