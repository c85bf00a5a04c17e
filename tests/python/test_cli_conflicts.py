"""Files that something else uses: mounted through loop devices, added twice at once, read-only."""

import json
import os
import shutil
import subprocess

import pytest

MIB = 1 << 20


@pytest.fixture
def mounted(tmp_path):
    """An image whose file system is mounted through a loop device."""
    if os.geteuid() != 0 or not shutil.which("losetup") or not shutil.which("mkfs.ext4"):
        pytest.skip("needs root and loop devices")
    path = tmp_path / "mounted.img"
    path.write_bytes(bytes(4 * MIB))
    subprocess.run(["mkfs.ext4", "-q", path], check=True)
    done = subprocess.run(
        ["losetup", "-f", "--show", path], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no loop device: {done.stderr}")
    device, place = done.stdout.strip(), tmp_path / "place"
    place.mkdir()
    try:
        if subprocess.run(["mount", device, place], check=False).returncode != 0:
            pytest.skip("cannot mount")
        yield path
        subprocess.run(["umount", place], check=True)
    finally:
        subprocess.run(["losetup", "-d", device], check=False)


def test_a_file_mounted_through_a_loop_device_is_busy(cli, image, mounted, tmp_path):
    cli("volume", "add", "a", image("a.img", 4 * MIB))
    cli.error(8, "mirror", "add", "a", mounted, "--overwrite")
    cli.error(8, "volume", "add", "b", mounted)
    link = tmp_path / "hard.img"
    os.link(mounted, link)
    cli.error(8, "volume", "add", "b", link)
    (tmp_path / "e").mkdir()
    image("e/a.img", 4 * MIB)
    cli.error(8, "snapshot", "import", tmp_path / "e", "--onto", mounted)


def test_one_plex_is_added_once(cli, image):
    path = image("b.img")
    running = [cli.start("--json", "volume", "add", f"r{number}", path) for number in range(4)]
    codes = []
    for process in running:
        out, _ = process.communicate(timeout=60)
        codes.append(process.returncode)
        json.loads(out)
    assert sorted(codes) == [0, 8, 8, 8]
    assert len(cli.json("volume", "list")["volumes"]) == 1


def test_one_mirror_is_added_once(cli, image, tmp_path):
    for name in ("a", "b", "c"):
        cli("volume", "add", name, image(f"{name}.img"))
    running = [
        cli.start("--json", "mirror", "add", name, tmp_path / "m.img", "--overwrite")
        for name in ("a", "b", "c")
    ]
    codes = []
    for process in running:
        process.communicate(timeout=60)
        codes.append(process.returncode)
    assert sorted(codes) == [0, 8, 8]


def test_a_read_only_file_is_not_imported_onto(cli, image, tmp_path):
    (tmp_path / "e").mkdir()
    image("e/a.img")
    target = image("target.img")
    target.chmod(0o444)
    before = target.read_bytes()
    cli.error(4, "snapshot", "import", tmp_path / "e", "--onto", target)
    assert target.read_bytes() == before


def test_a_damaged_full_image_is_not_imported(cli, image, tmp_path):
    cli("volume", "add", "a", image("a.img"))
    cli("mirror", "add", "a", tmp_path / "m2.img")
    cli("snapshot", "create", "a", "--label", "noon")
    cli("snapshot", "export", "noon", tmp_path / "e")
    assert json.loads((tmp_path / "e" / "export.json").read_bytes())["sparse_sha256"]["a"]
    cli("snapshot", "import", tmp_path / "e", "--onto", tmp_path / "good.img")
    assert (tmp_path / "good.img").read_bytes() == (tmp_path / "a.img").read_bytes()
    with (tmp_path / "e" / "a.img").open("r+b") as file:
        file.seek(70000)
        file.write(b"rotten")
    cli.error(5, "snapshot", "import", tmp_path / "e", "--onto", tmp_path / "new.img")
    assert not (tmp_path / "new.img").exists()
    target = image("target.img")
    before = target.read_bytes()
    cli.error(5, "snapshot", "import", tmp_path / "e", "--onto", target)
    assert target.read_bytes() == before


def test_a_link_to_nothing_is_no_new_plex(cli, image, tmp_path):
    cli("volume", "add", "a", image("a.img"))
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert "link" in cli.error(3, "mirror", "add", "a", tmp_path / "link")["message"]
    assert not (tmp_path / "nothing").exists()


def test_a_metadata_copy_is_no_volume_of_its_own(cli, image):
    cli("volume", "list")
    path = image("a.img")
    cli.error(2, "volume", "add", "a", path, "--metadata-copy", cli.state / "copy.exv")
    assert cli.json("volume", "list")["volumes"] == []
