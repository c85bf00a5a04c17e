"""doctor: what this machine, the state folder and each plex offer."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import tempfile
from pathlib import Path

from exshadow.errors import Error
from exshadow.model import Json, VolumeRecord
from exshadow.service.desk import Desk

TOOLS = {
    "qemu-img": "the peer of exshadow bench",
    "qemu-nbd": "serving images to other programs",
    "nbdfuse": "attaching without root",
    "nbd-client": "attaching through the kernel",
    "e2fsck": "checking ext2, ext3 and ext4 copies",
    "xfs_repair": "checking XFS copies",
    "btrfs": "checking btrfs copies",
    "ntfsresize": "checking NTFS copies",
    "fsck.fat": "checking FAT copies",
    "losetup": "mounting a copy as a device",
    "pg_lsclusters": "checking PostgreSQL (Debian's server beside it)",
}


def examine(desk: Desk) -> Json:
    """Facts, and ``problems``: what keeps exshadow from working well here."""
    from exshadow import _core

    problems: list[str] = []
    survey = desk.folder.survey()
    problems += [str(problem) for problem in survey.problems.values()]
    plexes = [
        _plex(volume, plex.label, plex.path)
        for volume in survey.volumes.values()
        for plex in volume.plexes
    ]
    problems += [f"plex {one['path']}: {one['error']}" for one in plexes if "error" in one]
    state = _state(desk.folder.path)
    if state["exists"] and not state["writable"]:
        problems.append(f"the state folder {state['path']} is not writable")
    return {
        "doctor": {
            "exshadow": _core.__version__,
            "system": {
                "kernel": platform.release(),
                "machine": platform.machine(),
                "processors": os.cpu_count() or 0,
                "python": platform.python_version(),
            },
            "engine": dict(_core.machine()),
            "state": state,
            "plexes": plexes,
            "tools": [_tool(name, use) for name, use in TOOLS.items()],
            "problems": problems,
        }
    }


def _plex(volume: VolumeRecord, label: str, path: str) -> Json:
    """How the engine drives one plex: O_DIRECT or page cache, alignment, attributes."""
    from exshadow import _core

    facts: Json = {"volume": volume.name, "label": label, "path": path}
    try:
        facts.update(_core.probe_file(path))
    except Error as error:
        return {**facts, "error": error.message}
    if facts["size"] != volume.size:
        facts["error"] = f"has {facts['size']} bytes, volume {volume.name} has {volume.size}"
    return {**facts, "xattr": has_attributes(path), "file_system": file_system(path)}


def _state(path: Path) -> Json:
    exists = path.is_dir()
    nearest = next(place for place in (path, *path.parents) if place.exists())
    facts: Json = {
        "path": str(path),
        "exists": exists,
        "file_system": file_system(str(nearest)),
        "free": shutil.disk_usage(nearest).free,
        "writable": os.access(nearest, os.W_OK | os.X_OK),
    }
    if exists:
        facts["mode"] = f"{path.stat().st_mode & 0o7777:04o}"
        facts["xattr"] = _new_files_have_attributes(path)
    return facts


def has_attributes(path: str) -> bool:
    """Whether user attributes can be read at `path`: a plex's identity is kept in one."""
    try:
        os.getxattr(path, "user.exshadow")
    except OSError as error:
        import errno

        return error.errno == errno.ENODATA
    return True


def _new_files_have_attributes(folder: Path) -> bool:
    with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(dir=folder) as file:
        os.setxattr(file.name, "user.exshadow.probe", b"1")
        return True
    return False


def file_system(path: str) -> str:
    """Type of the file system `path` lies on, by the longest mount point that leads to it."""
    best, kind = "", "unknown"
    real = os.path.realpath(path)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
            _, mount, found, *_ = line.split(" ")
            mount = mount.replace("\\040", " ")
            inside = real == mount or real.startswith(mount.rstrip("/") + "/")
            if inside and len(mount) >= len(best):
                best, kind = mount, found
    return kind


def _tool(name: str, use: str) -> Json:
    return {"name": name, "path": shutil.which(name), "use": use}
