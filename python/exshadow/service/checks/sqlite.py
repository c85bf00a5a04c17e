"""Check `sqlite`: SQLite's own integrity_check and foreign_key_check of every database found, on
the view, where a hot journal is rolled back and a write-ahead log is read as after a crash."""

from __future__ import annotations

import fnmatch
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from exshadow.model import Json
from exshadow.service.checks import folders
from exshadow.service.checks.bench import Bench, open_bench
from exshadow.service.checks.ground import Ground, Outcome

_HEADER = b"SQLite format 3\0"
_HEADER_SIZE = 100
_SUFFIXES = {".db", ".db3", ".sqlite", ".sqlite3"}
_COMPANIONS = ("-journal", "-wal", "-shm")
_STEPS = 20_000  # of SQLite's virtual machine between two looks at the time
_SHOWN = 20


def check(ground: Ground) -> Outcome:
    """A copy in which no database is found is not proven: it fails."""
    with open_bench(ground) as bench:
        found = bench.mount_all()
        databases = _find(bench, folders.chosen(bench, found))
        seen = []
        for path in databases:
            name = folders.shown(bench, path)
            ground.say(f"SQLite database {name}")
            seen.append(_look(ground, path, name))
        total = sum(one["size"] for one in seen)
    if not seen:
        where = f" matching {', '.join(ground.wish.globs)}" if ground.wish.globs else ""
        return Outcome(False, f"no SQLite database{where} was found")
    bad = [f"{one['database']}: {one['problems'][0]}" for one in seen if one["problems"]]
    count = f"{len(seen)} database{'s' if len(seen) > 1 else ''}"
    evidence = {"databases": sorted(seen, key=lambda one: not one["problems"])}
    return Outcome(not bad, "; ".join(bad[:3]) or f"{count} sound", evidence, total)


def _find(bench: Bench, tops: tuple[Path, ...]) -> list[Path]:
    """By the globs of the wish (of a path from the volume on, or of a name), else by content."""
    globs = bench.ground.wish.globs
    found = []
    for folder, _, files in folders.walk(bench, tops):
        for name in files:
            path = folder / name
            if name.endswith(_COMPANIONS) or path.is_symlink() or not path.is_file():
                continue
            if globs:
                fits = _matches(folders.shown(bench, path), globs) and _holds_anything(path)
            else:
                fits = _is_database(path)
            if fits:
                found.append(path)
    return found


def _matches(path: str, globs: tuple[str, ...]) -> bool:
    name = path.rpartition("/")[2]
    return any(fnmatch.fnmatch(name, one) or fnmatch.fnmatch(path, one) for one in globs)


def _is_database(path: Path) -> bool:
    """By its first bytes; one whose first page is still in a write-ahead log is empty itself. One
    that is called so and begins with zeros has lost its header."""
    with path.open("rb") as file:
        start = file.read(_HEADER_SIZE)
    if not start:
        return _holds_anything(path)
    lost = start == bytes(_HEADER_SIZE) and path.suffix.lower() in _SUFFIXES
    return start.startswith(_HEADER) or lost


def _holds_anything(path: Path) -> bool:
    """SQLite takes a file of no bytes for a sound database; it proves nothing of what was in it."""
    log = Path(f"{path}-wal")
    return path.stat().st_size > 0 or (log.is_file() and log.stat().st_size > 0)


def _look(ground: Ground, path: Path, name: str) -> Json:
    left = [one for one in _COMPANIONS[:2] if Path(f"{path}{one}").exists()]
    seen: Json = {"database": name, "size": path.stat().st_size, "left": left, "problems": []}
    stopped: list[BaseException] = []

    def look_at_time() -> int:
        try:
            ground.tick()
        except BaseException as problem:  # SQLite is asked to end; what was raised is raised then
            stopped.append(problem)
            return 1
        return 0

    try:
        uri = f"file:{quote(str(path))}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
            database.set_progress_handler(look_at_time, _STEPS)
            database.execute("PRAGMA trusted_schema=OFF")
            _ask(database, seen)
    except (sqlite3.Error, OSError) as problem:
        if stopped:
            raise stopped[0] from None
        if getattr(problem, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from None  # came before the look began: SQLite swallows it
        seen["problems"].append(str(problem))
    return seen


def _ask(database: sqlite3.Connection, seen: Json) -> None:
    said = [str(row[0]) for row in database.execute(f"PRAGMA integrity_check({_SHOWN})")]
    if said != ["ok"]:
        seen["problems"] += said or ["integrity_check said nothing"]
    orphans = database.execute("PRAGMA foreign_key_check").fetchmany(_SHOWN)
    seen["problems"] += [
        f"table {table}, row {row}: the row of {parent} that it refers to is missing"
        for table, row, parent, _ in orphans
    ]
    (seen["tables"],) = database.execute(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table'"
    ).fetchone()
