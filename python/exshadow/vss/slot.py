"""The creation slot: a file that all coordinators of a machine lock, so that one snapshot set is
made at a time. The kernel lifts the lock of a process that is killed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path

from exshadow.errors import InvalidError, NotFoundError, PermissionRefusedError, from_system

VARIABLE = "EXSHADOW_VSS_SLOT"


def slot_file(named: str | PathLike[str] | None, environment: Mapping[str, str]) -> str:
    """The one named, else ``$EXSHADOW_VSS_SLOT``, else the machine's: ``/run/exshadow/vss.lock``
    for root; every other user has one of his own in ``$XDG_RUNTIME_DIR`` or the folder for
    temporary files, since a lock that anybody may hold lets anybody stop root's backups. Its
    folder is made. PermissionRefusedError, IoError; InvalidError and NotFoundError for one named
    that can be no file."""
    chosen = fspath(named) if named is not None else environment.get(VARIABLE)
    if chosen:
        _check(chosen)
        return chosen
    folder = _folder(environment)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.lstat().st_uid
    except OSError as problem:
        raise from_system(problem, hint=f"name another file by {VARIABLE}") from problem
    if folder.is_symlink() or owner != os.geteuid():
        raise PermissionRefusedError(
            f"{folder} is not ours", hint=f"remove it, or name another file by {VARIABLE}"
        )
    return str(folder / "vss.lock")


def _check(named: str) -> None:
    hint = f"name a file by {VARIABLE}, in a folder that is there"
    if "\0" in named or named.encode(errors="ignore").decode() != named or Path(named).is_dir():
        raise InvalidError(f"{named!r} is no name of a file for the lock of vss", hint=hint)
    if not Path(named).absolute().parent.is_dir():
        raise NotFoundError(f"{Path(named).parent}: there is no such folder", hint=hint)


def _folder(environment: Mapping[str, str]) -> Path:
    if os.geteuid() == 0:
        return Path("/run/exshadow")
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "exshadow"
    return Path(tempfile.gettempdir()) / f"exshadow-{os.geteuid()}"
