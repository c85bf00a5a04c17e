"""The folder of a drill, and how it goes whatever happens.

The record ``STATE/drills/ID`` names the folder, and by device and inode which one it is; whoever
holds the record's lock is alive. The folder is made by the drill alone, so all in it may go;
unless a volume has taken a file of it as a plex meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exshadow.errors import Error, InvalidError, NotFoundError, from_system
from exshadow.service import conflicts
from exshadow.service.state import StateFolder

PREFIX = "exshadow-drill-"
RECORDS = "drills"


@contextmanager
def drill_place(folder: StateFolder, wanted: str | None) -> Iterator[Path]:
    """A new folder below `wanted`, else below the state folder; gone in the end.

    BusyError, InvalidError for what is a plex, metadata or no folder; NotFoundError when more than
    the last folder is missing.
    """
    top = Path(wanted) if wanted is not None else folder.path / RECORDS
    conflicts.refuse_used(folder, folder.survey(), str(top))
    records = folder.path / RECORDS
    try:
        records.mkdir(mode=0o700, exist_ok=True)
        top.mkdir(exist_ok=True)
    except FileNotFoundError as problem:
        raise NotFoundError(
            f"there is no folder {top.parent} to make {top.name} in",
            hint="--dir makes its last folder only, so that a disk that is not mounted is noticed: "
            "mount it, or make the others first",
        ) from problem
    except (FileExistsError, NotADirectoryError) as problem:
        raise InvalidError(f"{top} is not a folder", hint="name one with --dir") from problem
    except OSError as problem:
        raise from_system(problem, f"cannot make {top}") from problem
    name = secrets.token_hex(4)
    record = _Record(records / f"{name}.json", top / f"{PREFIX}{name}")
    try:
        yield record.begin()
    finally:
        record.end(folder)


def clear(folder: StateFolder) -> list[str]:
    """Remove what drills left that were killed; what could not be removed."""
    problems: list[str] = []
    with suppress(FileNotFoundError):
        for file in sorted((folder.path / RECORDS).glob("*.json")):
            problems += _clear(folder, file)
    return problems


def _clear(folder: StateFolder, file: Path) -> list[str]:
    try:
        lock = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    except OSError as problem:
        return [f"{file}: {problem.strerror}"]
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            document = json.loads(os.pread(lock, 1 << 16, 0))
            place, which = Path(document["place"]), document["which"]
        except (ValueError, KeyError, TypeError):
            file.unlink(missing_ok=True)  # killed before it had made anything
            return []
        problems = _remove(folder, place, which)
        if not problems:
            file.unlink(missing_ok=True)
        return problems
    except BlockingIOError:
        return []  # at work
    finally:
        os.close(lock)


def _remove(folder: StateFolder, place: Path, which: list[int] | None) -> list[str]:
    """The folder with all that is in it, when it is the very one that the drill made."""
    try:
        status = place.lstat()
    except FileNotFoundError:
        return []
    if which is None:  # killed between making and noting it: then it is empty
        with suppress(OSError):
            place.rmdir()
        return []
    if [status.st_dev, status.st_ino] != which or not place.name.startswith(PREFIX):
        return []  # somebody else's by now
    try:
        for file in place.iterdir():
            conflicts.refuse_used(folder, folder.survey(), str(file))
        shutil.rmtree(place)
    except Error as problem:
        return [f"{place} stays: {problem.message}"]
    except OSError as problem:
        return [f"{place} stays: {problem.strerror}"]
    return []


class _Record:
    def __init__(self, file: Path, place: Path) -> None:
        self._file, self._place = file, place
        self._lock = -1
        self._which: list[int] | None = None

    def begin(self) -> Path:
        # Under the lock from its first moment: another command clears what nobody holds.
        part = self._file.with_suffix(".new")
        self._lock = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._write()
        part.rename(self._file)
        try:
            self._place.mkdir(mode=0o700)
        except OSError as problem:
            raise from_system(problem, f"cannot make {self._place}") from problem
        status = self._place.lstat()
        self._which = [status.st_dev, status.st_ino]
        self._write()
        return self._place

    def _write(self) -> None:
        document = {"place": str(self._place), "which": self._which}
        os.pwrite(self._lock, json.dumps(document).encode(), 0)
        os.fsync(self._lock)

    def end(self, folder: StateFolder) -> None:
        if self._lock < 0:
            return
        try:
            if not _remove(folder, self._place, self._which):
                self._file.unlink(missing_ok=True)
        finally:
            os.close(self._lock)
            self._lock = -1
