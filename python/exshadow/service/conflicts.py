"""Refuses a file or device that a volume of this state folder uses already, or that is mounted.

Two names are the same bytes when their real paths agree, when device and inode agree (hard links),
when both are the same block device, or when one is a loop device on the other.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from exshadow.errors import BusyError, InvalidError, PermissionRefusedError
from exshadow.model import PlexRecord, VolumeRecord
from exshadow.service.state import StateFolder, Survey

Identity = tuple[str, int, int]


def absolute(path: str) -> str:
    """`path` from the root on. Links stay: /dev/disk/by-id names a disk, /dev/sdb does not.

    InvalidError for a path that is not UTF-8: neither JSON nor the catalog could keep it.
    """
    path = os.path.abspath(path)  # noqa: PTH100  (Path.resolve would follow them)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise InvalidError(
            f"{path!a} is not UTF-8", hint="rename it, or use a symbolic link with another name"
        ) from None
    return path


def identity(path: str | Path) -> Identity | None:
    """What `path` really is, None when it does not exist or cannot be looked at."""
    try:
        status = Path(path).stat()
        while stat.S_ISBLK(status.st_mode):
            backing = _backing_file(status.st_rdev)
            if backing is None:
                return ("block", status.st_rdev, 0)
            status = backing.stat()
    except OSError:
        return None
    return ("file", status.st_dev, status.st_ino)


def _backing_file(device: int) -> Path | None:
    """The file or device behind a loop device; None for a device of its own."""
    entry = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/loop/backing_file")
    try:
        return Path(entry.read_text().removesuffix("\n"))
    except OSError:
        return None


def same(left: str | Path, right: str | Path) -> bool:
    """Whether two paths lead to the same bytes, now or once they exist."""
    if os.path.realpath(left) == os.path.realpath(right):
        return True
    mine = identity(left)
    return mine is not None and mine == identity(right)


def find_plex(volume: VolumeRecord, path: str) -> PlexRecord | None:
    """The plex of `volume` whose bytes lie at `path`."""
    return next((plex for plex in volume.plexes if same(plex.path, path)), None)


def refuse_used(folder: StateFolder, survey: Survey, path: str) -> None:
    """BusyError when `path` is a plex of any volume here, or metadata of one."""
    for volume in survey.volumes.values():
        if plex := find_plex(volume, path):
            raise BusyError(
                f"{path} is plex {plex.label} of volume {volume.name} already",
                hint="every plex needs a file of its own",
            )
    for name in folder.names():
        copy = folder.metadata_copy(name)
        if same(folder.volume_file(name), path) or (copy and same(copy, path)):
            raise BusyError(f"{path} is metadata of volume {name}")
    if same(folder.catalog_file, path):
        raise BusyError(f"{path} is the catalog")


def refuse_mounted(path: str) -> None:
    """BusyError for a file whose bytes are mounted through a loop device: the mount would write
    over what is put there. Devices themselves are the engine's to judge."""
    mine = identity(path)
    if mine is None or mine[0] != "file":
        return
    for device in _loops_on(mine):
        if _is_claimed(device):
            raise BusyError(
                f"{path} is in use through /dev/{device}",
                hint=f"unmount /dev/{device}, or take it as it is with --force",
            )


def _loops_on(file: Identity) -> Iterator[str]:
    """Names of the loop devices over `file`."""
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            if identity(entry.read_text().removesuffix("\n")) == file:
                yield entry.parts[3]


def _is_claimed(device: str) -> bool:
    """Whether a block device or a partition of it is mounted, here or in another namespace."""
    with suppress(OSError):
        numbers = {
            entry.read_text().strip() for entry in Path(f"/sys/block/{device}").glob("**/dev")
        }
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        if any(line.split(" ")[2] in numbers for line in mounts.splitlines()):
            return True
    try:
        os.close(os.open(f"/dev/{device}", os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def refuse_read_only(path: str) -> None:
    """PermissionRefusedError for a file that nobody may write: root could, but was not meant to."""
    try:
        status = Path(path).stat()
    except OSError:
        return  # the engine says what is wrong with it
    if stat.S_ISREG(status.st_mode) and not status.st_mode & 0o222:
        raise PermissionRefusedError(f"{path} is read-only", hint=f"chmod u+w {path}")
