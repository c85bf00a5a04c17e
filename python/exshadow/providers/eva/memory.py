"""What this host remembers beside the array, in the work folder: what no record of the array tells.

One small file for each thing, replaced as a whole, so that sessions need no lock between them. A
file that cannot be understood counts as not there: nothing is deleted on the word of a damaged one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from exshadow.errors import from_system
from exshadow.providers.eva import names
from exshadow.providers.eva.settings import EvaSettings


class Memory:
    """Of one array. The folder is made when it is first needed."""

    def __init__(self, settings: EvaSettings) -> None:
        self._settings = settings

    def sources(self, group: str, volume: str) -> set[str]:
        """Page-83 ids of all vdisks that this volume was when copies of it were made."""
        plain = read(self._sources(group, volume))
        return {str(one) for one in plain} if isinstance(plain, list) else set()

    def remember_source(self, group: str, volume: str, wwn: str) -> None:
        """Durable when it returns."""
        known = self.sources(group, volume)
        if wwn not in known:
            write(self._sources(group, volume), sorted({*known, wwn}))

    def cache(self, vdisk: str) -> str:
        """The write-cache mode that a vdisk (by object id) must have again after a split that was
        begun, empty when none was."""
        plain = read(self._file("cache", vdisk))
        return plain if isinstance(plain, str) else ""

    def remember_cache(self, vdisk: str, mode: str) -> None:
        """Durable when it returns: the array itself does not remember it."""
        write(self._file("cache", vdisk), mode)

    def forget_cache(self, vdisk: str) -> None:
        """It is as it was."""
        self._file("cache", vdisk).unlink(missing_ok=True)

    def _sources(self, group: str, volume: str) -> Path:
        return self._file("sources", f"{group}\n{volume}")

    def _file(self, what: str, of: str) -> Path:
        tag = names.digest(f"{self._settings.system}\n{of}", 26)
        return self._settings.work_folder() / f"{what}-{tag}.json"


def read(path: Path) -> object:
    """None where there is no such file, or nothing that can be understood."""
    try:
        plain: object = json.loads(path.read_text(encoding="utf-8"))
        return plain
    except (FileNotFoundError, ValueError):
        return None
    except OSError as problem:
        raise from_system(problem, f"cannot read {path}") from problem


def write(path: Path, plain: object) -> None:
    """Durable when it returns."""
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(plain, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        if os.name != "nt":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as problem:
        raise from_system(problem, f"cannot write {path}") from problem
