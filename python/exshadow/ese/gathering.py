"""Which files of a folder belong together: logs by base name, databases by signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import PurePath

from exshadow.ese.file_names import from_name
from exshadow.ese.reports import FileReport


@dataclass(slots=True)
class LogSet:
    """The files of one base name in one folder, and the databases of its stream."""

    base: str
    folder: str
    closed: dict[int, FileReport] = field(default_factory=dict)  # by the generation of the name
    current: FileReport | None = None
    checkpoint: FileReport | None = None
    databases: list[FileReport] = field(default_factory=list)
    streams: dict[str, FileReport] = field(default_factory=dict)  # .stm by the path of its database
    doubles: list[tuple[FileReport, FileReport]] = field(default_factory=list)
    """Files for one place in the stream, by names that differ in case, digits or ending; the first
    of each pair is the one that was taken."""

    @property
    def current_generation(self) -> int | None:
        """By the header of the current log."""
        return _generation(self.current) if self.current else None

    def logs(self) -> dict[int, FileReport]:
        """All logs by generation; the current one by its header."""
        found = dict(self.closed)
        number = self.current_generation
        if self.current is not None and number is not None and number not in found:
            found[number] = self.current
        return found

    @property
    def is_stream(self) -> bool:
        """Whether it has logs or a checkpoint; else it is a database alone."""
        return bool(self.closed or self.current or self.checkpoint)


def _generation(report: FileReport) -> int | None:
    number = report.facts.get("generation")
    return number if isinstance(number, int) else None


def gather(reports: Iterable[FileReport]) -> list[LogSet]:
    """Sets by folder and base name; databases go to the stream whose signature they bear.

    A database whose stream is not there makes a set of its own, without logs.
    """
    sets: dict[tuple[str, str], LogSet] = {}
    databases: list[FileReport] = []
    streams: list[FileReport] = []
    for report in reports:
        if report.state == "skipped":
            continue
        folder = str(PurePath(report.path).parent)
        named = from_name(report.path)
        if named.role == "stm":
            streams.append(report)
        elif report.kind == "database":
            databases.append(report)
        elif named.base and named.role in ("log", "checkpoint"):
            key = (folder, named.base.lower())
            _put(sets.setdefault(key, LogSet(named.base, folder)), report, named.generation)
    _bring_home_checkpoints(sets)
    pairs = _pairs(databases, streams)
    for database in databases:
        home = _home_of(database, list(sets.values()), sets)
        home.databases.append(database)
        if pair := pairs.get(database.path):
            home.streams[database.path] = pair
    return [sets[key] for key in sorted(sets)]


def _pairs(databases: list[FileReport], streams: list[FileReport]) -> dict[str, FileReport]:
    """Streaming files by the path of their database: the one with the signature that it names,
    wherever it lies (the name counts only among several); else the one beside it, whose verdict
    says what is wrong. Each has one database."""
    pairs: dict[str, FileReport] = {}
    left = list(streams)

    def match(rule: Callable[[FileReport, FileReport], bool]) -> None:
        for database in databases:
            found = next((one for one in left if rule(database, one)), None)
            if found is not None and database.path not in pairs:
                pairs[database.path] = found
                left.remove(found)

    match(lambda database, one: _named_by(database, one) and _stem(one) == _stem(database))
    match(lambda database, one: _named_by(database, one) and _name(one) == _name(database))
    match(_named_by)
    match(lambda database, one: _stem(one) == _stem(database))
    return pairs


def _named_by(database: FileReport, stream: FileReport) -> bool:
    wanted = database.facts.get("stm_signature")
    return bool(wanted) and stream.facts.get("signature") == wanted


def _name(report: FileReport) -> str:
    return PurePath(report.path).stem.lower()


def _stem(report: FileReport) -> str:
    path = PurePath(report.path)
    return str(path.parent / path.stem.lower())


def _put(into: LogSet, report: FileReport, generation: int | None) -> None:
    if from_name(report.path).role == "checkpoint":
        into.checkpoint = _one_of(into, into.checkpoint, report)
    elif generation is None:
        into.current = _one_of(into, into.current, report)
    else:
        into.closed[generation] = _one_of(into, into.closed.get(generation), report)


def _one_of(into: LogSet, there: FileReport | None, report: FileReport) -> FileReport:
    if there is None:
        return report
    taken, other = (there, report) if there.ok or not report.ok else (report, there)
    into.doubles.append((taken, other))
    return taken


def _bring_home_checkpoints(sets: dict[tuple[str, str], LogSet]) -> None:
    """Exchange keeps its checkpoint in the system path, which need not be that of the logs."""
    for key, alone in list(sets.items()):
        if alone.closed or alone.current or alone.checkpoint is None:
            continue
        signature = alone.checkpoint.facts.get("log_signature")
        homes = [
            one
            for (_, base), one in sets.items()
            if base == key[1] and one.checkpoint is None and signature in (None, *_signatures(one))
        ]
        if len(homes) == 1:
            homes[0].checkpoint = alone.checkpoint
            del sets[key]


def _signatures(one: LogSet) -> list[object]:
    logs = [one.current, *(one.closed[number] for number in sorted(one.closed))]
    found = [log.facts["signature"] for log in logs if log and "signature" in log.facts]
    if one.checkpoint and "log_signature" in one.checkpoint.facts:
        found.append(one.checkpoint.facts["log_signature"])
    return found


def _home_of(
    database: FileReport, sets: list[LogSet], by_key: dict[tuple[str, str], LogSet]
) -> LogSet:
    folder = str(PurePath(database.path).parent)
    wanted = database.facts.get("log_signature")
    near = [one for one in sets if one.folder == folder and one.is_stream]
    for candidates in (near, sets):
        for one in candidates:
            if wanted in _signatures(one):
                return one
    if len(near) == 1 and near[0].base != PurePath(database.path).stem:
        return near[0]  # its only stream: the signatures will be told apart there
    alone = LogSet(PurePath(database.path).name, folder)
    return by_key.setdefault((folder, f"\0{database.path}"), alone)
