"""Volume files that are cut short, flipped, or newer; volumes held by somebody else."""

import json
import os
import struct
from pathlib import Path

import pytest
from conftest import MIB

import exshadow

# cpp/volume/format.h: places of the two superblocks, and their header's magic, version, crc.
SUPERBLOCKS = (64 << 10, 576 << 10)
LENGTH_OFFSET = 24
# The header of a change map's block: magic, crc, index, volume, map, sequence, place.
MAP_BLOCK = struct.Struct("<8sII16sQQI")
MAP_MAGIC = b"EXHSMAP1"


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.fixture
def volume_file(cli, image) -> Path:
    cli("volume", "add", "db", image("db.img"))
    cli("volume", "add", "sound", image("sound.img"))
    return cli.state / "db.exv"


def assert_refused(cli, status, code):
    """Everything about the damaged volume fails so; the other one is served."""
    for command in (("volume", "show"), ("mirror", "sync"), ("mirror", "list")):
        assert cli.error(status, *command, "db")["code"] == code
    listing = cli.json("volume", "list", status=status)
    assert [one["name"] for one in listing["volumes"]] == ["sound"]
    assert listing["error"]["code"] == code
    assert "db" in listing["error"]["message"]
    assert cli.json("volume", "show", "sound")["volume"]["name"] == "sound"
    cli.error(status, "snapshot", "create", "db")


@pytest.mark.parametrize("size", [0, 1, 4096, 100_000])
def test_truncated_volume_file(cli, volume_file, size):
    os.truncate(volume_file, size)
    before = volume_file.read_bytes()
    assert_refused(cli, 5, "corrupt")
    assert volume_file.read_bytes() == before


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 4]))


@pytest.mark.parametrize("offset", [0, 40, 64, 140, 600])
def test_a_bit_flipped_in_both_superblocks(cli, volume_file, offset):
    for place in SUPERBLOCKS:
        flip(volume_file, place + offset)
    assert_refused(cli, 5, "corrupt")


@pytest.mark.parametrize("place", SUPERBLOCKS)
def test_a_bit_flipped_in_one_superblock_is_survived(cli, volume_file, place):
    flip(volume_file, place + 70)
    assert cli.json("volume", "show", "db")["volume"]["name"] == "db"
    cli("mirror", "sync", "db")


def test_a_newer_version(cli, volume_file):
    with volume_file.open("r+b") as file:
        for place in SUPERBLOCKS:
            file.seek(place)
            block = bytearray(file.read(4096))
            (length,) = struct.unpack_from("<I", block, LENGTH_OFFSET)
            if block[:8] == bytes(8):
                continue  # this place was never written
            file.seek(place)
            block = bytearray(file.read(length))
            struct.pack_into("<II", block, 8, 99, 0)
            struct.pack_into("<I", block, 12, crc32c(bytes(block)))
            file.seek(place)
            file.write(block)
    assert_refused(cli, 4, "newer_version")


def test_two_processes_on_one_volume(cli, volume_file):
    with exshadow.Engine() as engine:
        engine.open(str(volume_file))
        # Each waits a while for the lock: side by side.
        commands = (("mirror", "sync", "db"), ("volume", "remove", "db"))
        refused = [cli.start("--json", *command) for command in commands]
        for process in refused:
            out, _ = process.communicate(timeout=60)
            error = json.loads(out)["error"]
            assert (process.returncode, error["code"]) == (8, "busy")
            assert f"pid {os.getpid()}" in error["message"]
        # list, show and diff take no lock and name the owner
        assert str(os.getpid()) in cli.json("volume", "show", "db")["volume"]["owner"]
        assert cli.json("volume", "list")["volumes"][0]["owner"]
    assert cli.json("volume", "show", "db")["volume"]["owner"] is None


def map_blocks(path: Path) -> list[int]:
    """Where the blocks of a volume file's change maps are, the newest first."""
    found = []
    with path.open("rb") as file:
        for offset in range(0, path.stat().st_size, 4096):
            header = os.pread(file.fileno(), MAP_BLOCK.size, offset)
            if header[:8] == MAP_MAGIC:
                found.append((MAP_BLOCK.unpack(header)[5], offset))
    return [offset for _, offset in sorted(found, reverse=True)]


@pytest.fixture(params=[40, 64, 100, 4095])
def rotten(request, cli, image, tmp_path):
    """A bit is flipped in the newest block; the older one is sound and knows only of one write."""
    cli("volume", "add", "db", image("db.img", 4 * MIB))
    cli("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    cli("snapshot", "create", "db", "--label", "noon")
    for offset in (0, MIB):  # each opens the volume and closes it
        cli.write("db", offset, os.urandom(4096))
    assert cli.json("snapshot", "diff", "noon")["members"][0]["bytes"] == 2 << 16
    newest, older = map_blocks(cli.state / "db.exv")
    assert abs(newest - older) == 4096
    flip(cli.state / "db.exv", newest + request.param)
    return cli


def test_a_rotten_change_map_is_not_taken_for_an_older_one(rotten):
    assert "maps are not as they were closed" in rotten("volume", "show", "db").out
    (member,) = rotten.json("snapshot", "diff", "noon")["members"]
    assert member["changed"] == [[0, 4 * MIB]]
    with rotten.opened("db") as volume:
        assert volume.snapshots["noon"].changed().tolist() == [[0, 4 * MIB]]
    (member,) = rotten.json("snapshot", "diff", "noon")["members"]
    assert member["changed"] == [[0, 4 * MIB]]


def test_a_restore_by_a_rotten_change_map_is_whole(rotten, tmp_path):
    rotten("restore", "noon")
    assert (tmp_path / "db.img").read_bytes() == (tmp_path / "m2.img").read_bytes()
    assert rotten.json("snapshot", "verify", "noon")["set"]["verified"]["ok"] is True
