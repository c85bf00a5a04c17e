"""Check files and folders: find them, read each once, judge files and then sets."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from exshadow._core import EseFile
from exshadow.errors import (
    CancelledError,
    Error,
    IntegrityError,
    InvalidError,
    NotFoundError,
    RefusedError,
    from_system,
)
from exshadow.ese.file_names import NamedFile, from_name
from exshadow.ese.files import (
    NEEDS_LOGS,
    ScanWish,
    has_magic,
    is_foreign,
    judge,
    kind_by_content,
    unreadable,
)
from exshadow.ese.gathering import gather
from exshadow.ese.reports import EseReport, FileReport
from exshadow.ese.sets import judge_set

Progress = Callable[[str, int, int | None], bool]
STREAM = "-"
_NAMES = "name a database, a log, or the folder that holds them"
ALONE = (
    "judged alone: whether the logs that it needs are there and sound was not looked at; "
    "name the folder that holds both"
)


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    in_folder: bool
    problem: Error | None = None  # a folder that cannot be looked into


def check(
    paths: Iterable[str | os.PathLike[str]],
    *,
    threads: int = 0,
    limit: int = 0,
    progress: Progress | None = None,
    within: Iterable[Path] = (),
) -> EseReport:
    """Judge files, and folders as sets as well. ``-`` is standard input (a database).

    ``threads`` 0: as many as help; ``limit``: bytes a second, 0 for none. ``within``: a file of a
    folder that is a link out of all of these is damage: what it leads to is something else's.
    ``progress(path, done, size)`` is called on this thread; False stops (CancelledError).
    Raises NotFoundError, InvalidError, CancelledError; damage and unreadable files are verdicts.
    """
    found = _distinct(_find(paths, tuple(within)))
    reports = [_check_one(one, threads, limit, progress) for one in found]
    folders = {one.path for one in found if one.in_folder}
    for one in reports:
        if one.path not in folders and one.kind == "database" and one.state in NEEDS_LOGS:
            one.findings.append(ALONE)
    sets = []
    # The engine rebuilds a flush map: it is no part of what must come back.
    excused = [one.path for one in reports if one.kind == "flushmap" and one.path in folders]
    for group in gather(one for one in reports if one.path in folders):
        verdict, spared = judge_set(group)
        sets.append(verdict)
        excused += [one.path for one in spared]
    return EseReport(reports, sets, frozenset(excused))


def info(path: str | os.PathLike[str]) -> FileReport:
    """The header facts of one file, its pages not read."""
    name = os.fspath(path)
    if name != STREAM and not Path(name).exists():
        raise NotFoundError(f"{name} does not exist", hint=_NAMES)
    if name != STREAM and Path(name).is_dir():
        raise InvalidError(
            f"{name} is a folder",
            hint="name one of its files; a folder is judged by: exshadow ese check",
        )
    file, named = _open(name), from_name(name)
    try:
        return judge_header(name, file, named)
    except IntegrityError:
        if file.size is None or not is_foreign(file, named):
            raise
    raise IntegrityError(
        f"{name} is not an ESE file: it has no header of a database, log, checkpoint or flush map",
        hint="name a database (.edb), a log, a checkpoint or a flush map",
    )


def judge_header(name: str, file: EseFile, named: NamedFile) -> FileReport:
    """Kind and header facts; CorruptError when no header is sound."""
    report = FileReport(name, "unknown")
    readers: dict[str, Callable[[], object]] = {
        "database": file.database_header,
        "log": file.log_header,
        "checkpoint": file.checkpoint,
        "flushmap": file.flush_map,
    }
    kind = {"next_log": "log", "stm": "database"}.get(named.role, named.role)
    if kind == "other":
        kind = kind_by_content(file)
    if kind == "reserve":
        report.kind = kind
        return report
    facts = readers[kind]()
    assert isinstance(facts, dict)
    report.facts.update(facts)
    report.kind = "stm" if facts.get("streaming") else kind
    report.state = str(facts.get("state", ""))
    return report


# --- finding ---


def _find(paths: Iterable[str | os.PathLike[str]], within: tuple[Path, ...]) -> Iterator[_Found]:
    names = [os.fspath(path) for path in paths]
    if not names:
        raise InvalidError(
            "nothing to check", hint="name files or folders, or - for standard input"
        )
    for name in names:
        if name == STREAM:
            yield _Found(name, in_folder=False)
            continue
        if not name:
            raise InvalidError("a path is empty", hint=_NAMES)
        path = Path(name)
        try:
            if path.is_dir():
                yield from _in_folder(path, within)
            elif path.exists():
                yield _Found(name, in_folder=False)
            else:
                raise NotFoundError(f"{name} does not exist", hint=_NAMES)
        except OSError as problem:
            raise from_system(problem, f"cannot look at {name}") from None


def _distinct(found: Iterable[_Found]) -> list[_Found]:
    """What is named twice is one file; it belongs to a set when its folder was named at all."""
    kept: dict[str, _Found] = {}
    for one in found:
        key = one.path if one.path == STREAM else str(Path(one.path).absolute())
        if key not in kept or one.in_folder:
            kept[key] = one
    return list(kept.values())


def _in_folder(folder: Path, within: tuple[Path, ...]) -> Iterator[_Found]:
    """All ESE files below; what is something else by its content is left out."""
    found = 0
    closed: list[OSError] = []
    for root, folders, files in os.walk(folder, onerror=closed.append):
        folders.sort()
        for name in sorted(files):
            path = Path(root) / name
            if _is_looked_at(path) and _belongs(path):
                found += 1
                yield _Found(str(path), in_folder=True, problem=_leads_out(path, within))
    for problem in closed:
        path = os.fspath(problem.filename)
        yield _Found(path, in_folder=True, problem=from_system(problem, f"cannot look into {path}"))
    if not found and not closed:
        raise NotFoundError(
            f"no ESE file in {folder}", hint="name the folder that holds the databases and logs"
        )


def _leads_out(path: Path, within: tuple[Path, ...]) -> Error | None:
    """Of a link to what lies in none of these folders."""
    if not within or not path.is_symlink():
        return None
    target = Path(os.path.realpath(path))
    if any(target.is_relative_to(top) for top in within):
        return None
    return RefusedError(f"a link to {path.readlink()}, which is no part of what is checked")


def _is_looked_at(path: Path) -> bool:
    """A database that is a broken link, or no file at all, is one that cannot be read."""
    return path.is_file() or path.suffix.lower() == ".edb"


_ALWAYS = {"next_log", "reserve", "flushmap", "stm"}
_SQLITE = b"SQLite format 3\0"
_OF_EXCHANGE = re.compile(r"[er][0-9a-f]{2}|edb|res", re.IGNORECASE)


def _belongs(path: Path) -> bool:
    named = from_name(str(path))
    if named.role in _ALWAYS or path.suffix.lower() == ".edb":
        return True
    if named.role in ("log", "checkpoint"):
        return _belongs_to_a_stream(path, named)
    try:
        start = EseFile.open(path).start(1 << 16)
    except Error:
        return named.role == "database"  # the verdict says that it cannot be read
    if has_magic(start):
        return True
    # Both headers may be lost: beside logs a database is told by its name.
    named_so = named.role == "database" and not start.startswith(_SQLITE)
    return named_so and _beside_logs(path)


def _belongs_to_a_stream(path: Path, named: NamedFile) -> bool:
    """Other programs have app.log and FILE0000.CHK, too: the header tells, or when that is lost
    what lies beside it."""
    try:
        file = EseFile.open(path)
        file.log_header() if named.role == "log" else file.checkpoint()
    except IntegrityError:
        return bool(named.base) and _has_kin(path, named)
    except Error:
        return bool(named.base)  # the verdict says that it cannot be read
    return True


def _has_kin(path: Path, named: NamedFile) -> bool:
    """A base name of Exchange or Active Directory, a numbered log of the same base, or a database
    named after it."""
    if _OF_EXCHANGE.fullmatch(named.base):
        return True
    base = named.base.lower()
    for other in path.parent.iterdir():
        kin = from_name(other.name)
        if kin.role == "log" and kin.generation is not None and kin.base.lower() == base:
            return True
        named_so = kin.role == "database" and other.name.lower().startswith(base)
        if named_so and has_magic(_start_of(other)):
            return True
    return False


def _start_of(path: Path) -> bytes:
    try:
        return EseFile.open(path).start(1 << 16)
    except Error:
        return b""


def _beside_logs(path: Path) -> bool:
    neighbours = (other for other in path.parent.iterdir() if other != path)
    return any(
        one.base and one.role in ("log", "checkpoint") and _belongs(other)
        for other in neighbours
        if (one := from_name(other.name))
    )


# --- reading ---


def _open(name: str) -> EseFile:
    if name != STREAM:
        return EseFile.open(name)
    if sys.stdin is None:
        raise InvalidError("there is no standard input: it is closed", hint=_NAMES)
    return EseFile.stream(sys.stdin.fileno())


def _check_one(one: _Found, threads: int, limit: int, progress: Progress | None) -> FileReport:
    try:
        if one.problem:
            raise one.problem
        file = _open(one.path)
        size = file.size

        def tell(done: int) -> bool:
            return progress is None or progress(one.path, done, size)

        if not tell(0):
            raise CancelledError("the check was stopped", hint="run it again: it changes nothing")
        return judge(one.path, file, from_name(one.path), ScanWish(threads, limit, tell))
    except CancelledError:
        raise
    except Error as problem:
        if one.path == STREAM or not one.in_folder:
            raise
        return unreadable(one.path, problem)
