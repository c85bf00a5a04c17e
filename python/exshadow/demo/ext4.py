"""An ext4 file system in an image file, through e2fsprogs alone: no mount, no root.

mke2fs(8) ``-d`` fills it from a folder; debugfs(8) tells where a file's blocks lie and reads files
out; e2fsck(8) ``-fn`` judges it without changing anything.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt

from exshadow.errors import IntegrityError, IoError, NotFoundError

BLOCK = 4096
_TOOLS = ("mke2fs", "debugfs", "e2fsck")
_SBIN = "/usr/sbin:/sbin"  # not in everybody's PATH
# a leaf line of dump_extents: level, entry of entries, first - last logical, first - last physical
_EXTENT = re.compile(r"^ *(\d+)/ *(\d+) +\d+/ *\d+ +(\d+) *- *(\d+) +(\d+) *- *(\d+)", re.MULTILINE)
_IN_BLOCK = re.compile(r"located at block (\d+)")


def find_tools() -> dict[str, str]:
    """Where the tools are; NotFoundError naming those that are missing."""
    path = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{_SBIN}"
    found = {tool: shutil.which(tool, path=path) for tool in _TOOLS}
    if missing := [tool for tool, place in found.items() if place is None]:
        raise NotFoundError(
            f"the demo needs {', '.join(missing)}", hint="apt-get install e2fsprogs"
        )
    return {tool: place for tool, place in found.items() if place is not None}


class Ext4Image:
    """One image file. All paths inside start with "/"."""

    def __init__(self, path: Path, tools: dict[str, str]) -> None:
        self.path = path
        self._tools = tools

    def build(self, folder: Path, size: int) -> None:
        """Make the image, `size` bytes, filled from `folder`. IoError when it does not fit."""
        options = "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"
        command = [self._tools["mke2fs"], "-q", "-F", "-t", "ext4", "-b", str(BLOCK)]
        command += ["-E", options, "-d", str(folder), str(self.path), f"{size // 1024}k"]
        done = self._run(command)
        if done.returncode != 0:
            raise IoError(f"mke2fs failed: {done.stdout.strip()}")

    def at(self, path: Path) -> Ext4Image:
        """Another image, looked at with the same tools."""
        return Ext4Image(path, self._tools)

    def blocks_of(self, name: str) -> npt.NDArray[np.int64]:
        """Physical block of each logical block of a file; IntegrityError when it has holes."""
        text = self._ask(f"dump_extents -l {name}")
        rows = [tuple(map(int, found)) for found in _EXTENT.findall(text)]
        parts: list[npt.NDArray[np.int64]] = []
        expected = 0
        for level, depth, first, last, start, end in rows:
            if level != depth or first != expected or last - first != end - start:
                raise IntegrityError(f"{name} in {self.path} has holes at block {expected}")
            parts.append(np.arange(start, end + 1, dtype=np.int64))
            expected = last + 1
        if not parts:
            raise IntegrityError(f"debugfs shows no blocks of {name} in {self.path}")
        return np.concatenate(parts)

    def inode_block(self, name: str) -> int:
        """The block of the inode table that holds the inode of `name`."""
        found = _IN_BLOCK.search(self._ask(f"imap {name}"))
        if found is None:
            raise IntegrityError(f"debugfs does not find {name} in {self.path}")
        return int(found.group(1))

    def extract(self, name: str, target: Path) -> bool:
        """Read a file out of the image; False when the file system no longer gives it."""
        target.unlink(missing_ok=True)
        self._ask(f"dump {name} {target}")
        return target.exists() and target.stat().st_size > 0

    def fsck(self) -> tuple[bool, str]:
        """Whether `e2fsck -fn` finds nothing wrong, and its exit status in words."""
        done = self._run([self._tools["e2fsck"], "-fn", str(self.path)])
        lines = [line for line in done.stdout.splitlines() if line and not line.startswith("Pass")]
        problems = sum("?" in line for line in lines)
        if done.returncode == 0:
            return True, "e2fsck -fn: clean"
        return False, f"e2fsck -fn: exit status {done.returncode}, {problems} questions"

    def _ask(self, request: str) -> str:
        return self._run([self._tools["debugfs"], "-R", request, str(self.path)]).stdout

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
