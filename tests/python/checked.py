"""Volumes with real file systems and a set noon of them, for the tests of snapshot verify."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import MIB, Cli
from machine import need_root, run, sparse

MAKE = {
    "ext4": (["mkfs.ext4", "-q", "-F"], 64 * MIB),
    "xfs": (["mkfs.xfs", "-q", "-f"], 320 * MIB),
    "btrfs": (["mkfs.btrfs", "-q", "-f"], 128 * MIB),
    "ntfs": (["mkntfs", "-q", "-F", "-Q"], 64 * MIB),
    "vfat": (["mkfs.fat"], 64 * MIB),
}


def need_devices() -> None:
    need_root()
    if not shutil.which("nbd-client") and not shutil.which("nbdfuse"):
        pytest.skip("needs nbdfuse, or the kernel's NBD client")
    if not Path("/dev/fuse").exists() or not Path("/dev/loop-control").exists():
        pytest.skip("needs FUSE and loop devices")


def need_tool(name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}: run scripts/packages.sh")


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_file_system(kind: str, image: Path, size: int | None = None) -> Path:
    command, usual = MAKE[kind]
    need_tool(command[0])
    run(*command, sparse(image, size or usual))
    return image


def put_live(image: Path, place: Path, fill: Callable[[Path], None], *options: str) -> None:
    """Fill the file system in `image` and leave the image as a crash would: not unmounted."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-o", ",".join(("loop", *options)), image, place],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        pytest.skip(f"this kernel cannot mount it: {done.stderr.strip()}")
    live = image.with_suffix(".live")
    try:
        fill(place)
        run("sync", "--file-system", place)
        shutil.copyfile(image, live)
    finally:
        run("umount", place)
    live.replace(image)


@dataclass(frozen=True)
class Checked:
    """A state folder with volumes of group g, each split off into a copy."""

    cli: Cli
    folder: Path
    volumes: tuple[str, ...]

    def copy(self, volume: str) -> Path:
        return self.folder / f"{volume}-m2.img"

    def digests(self) -> list[str]:
        return [digest(self.copy(volume)) for volume in self.volumes]

    def verify(self, *arguments: str | Path, status: int = 0) -> dict[str, Any]:
        """The newest verdict of a run, which has to leave no trace."""
        before = self.digests()
        document = self.cli.json("snapshot", "verify", "noon", *arguments, status=status)
        assert self.digests() == before
        assert no_traces(self.cli.state) == []
        verdict = document["set"]["checks"][-1]
        assert verdict["ok"] is (status == 0)
        assert verdict["seconds"] > 0
        shown = self.cli.json("snapshot", "show", "noon")["set"]["checks"]
        assert verdict in shown
        return verdict


def split_off(cli: Cli, folder: Path, *volumes: str) -> Checked:
    """The images NAME.img of `folder` as volumes with a mirror, and the set noon of all."""
    for name in volumes:
        cli("volume", "add", name, folder / f"{name}.img", "--group", "g")
        cli("mirror", "add", name, folder / f"{name}-m2.img", "--label", "m2")
    cli("snapshot", "create", "g", "--label", "noon")
    return Checked(cli, folder, volumes)


def traces(state: Path) -> list[str]:
    """What a check of this state folder still has on this machine."""
    found = [f"record {one.name}" for one in (state / "checks").glob("*")]
    names = {one.name for one in (state / "checks").glob("*")}
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        file = entry.read_text()
        found += [f"{entry} {file}" for name in names if name in file]
    mounts = Path("/proc/self/mountinfo").read_text()
    found += [f"mount of {name}" for name in names if f"exshadow-{name}" in mounts]
    return found


def no_traces(state: Path) -> list[str]:
    """The same after a little while: the kernel frees devices when it pleases."""
    end = time.monotonic() + 10
    while (found := traces(state)) and time.monotonic() < end:
        time.sleep(0.05)
    return found
