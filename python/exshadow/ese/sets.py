"""The verdict on a folder: do these databases recover with these logs? (fact sheet, 2.5, 8.5, 9)"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath

from exshadow.ese.file_names import from_name
from exshadow.ese.reports import FileReport, SetReport

_DIRTY = {"DirtyShutdown", "DirtyAndPatchedShutdown"}


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


def _generation(report: FileReport) -> int | None:
    number = report.facts.get("generation")
    return number if isinstance(number, int) else None


def _number(report: FileReport, name: str) -> int:
    number = report.facts.get(name)
    return number if isinstance(number, int) else 0


# --- which files belong together ---


def gather(reports: Iterable[FileReport]) -> list[LogSet]:
    """Sets by folder and base name; databases go to the stream whose signature they bear.

    A database whose stream is not there makes a set of its own, without logs.
    """
    sets: dict[tuple[str, str], LogSet] = {}
    databases: list[FileReport] = []
    streams: dict[str, FileReport] = {}
    for report in reports:
        if report.state == "skipped":
            continue
        folder = str(PurePath(report.path).parent)
        named = from_name(report.path)
        if from_name(report.path).role == "stm":
            streams[_stem(report)] = report
        elif report.kind == "database":
            databases.append(report)
        elif named.base and named.role in ("log", "checkpoint"):
            key = (folder, named.base.lower())
            _put(sets.setdefault(key, LogSet(named.base, folder)), report, named.generation)
    for database in databases:
        home = _home_of(database, list(sets.values()), sets)
        home.databases.append(database)
        if pair := streams.get(_stem(database)):
            home.streams[database.path] = pair
    return [sets[key] for key in sorted(sets)]


def _stem(report: FileReport) -> str:
    path = PurePath(report.path)
    return str(path.parent / path.stem.lower())


def _put(into: LogSet, report: FileReport, generation: int | None) -> None:
    if from_name(report.path).role == "checkpoint":
        into.checkpoint = report
    elif generation is None:
        into.current = report
    else:
        into.closed[generation] = report


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
    near = [one for one in sets if one.folder == folder]
    for candidates in (near, sets):
        for one in candidates:
            if wanted in _signatures(one):
                return one
    if len(near) == 1 and near[0].base != PurePath(database.path).stem:
        return near[0]  # its only stream: the signatures will be told apart there
    alone = LogSet(PurePath(database.path).name, folder)
    return by_key.setdefault((folder, f"\0{database.path}"), alone)


# --- the verdict ---


def judge_set(one: LogSet) -> tuple[SetReport, list[FileReport]]:
    """The verdict, and the damaged logs below what is required: they do not spoil it."""
    report = SetReport(one.base, folder=one.folder)
    _databases(report, one)
    logs = one.logs()
    report.required = _required(one, logs)
    _current(report, one)
    _range(report, one, logs)
    _signature(report, one, logs)
    _sequence(report, logs)
    first = report.required[0] if report.required else None
    excused = [
        log
        for number, log in logs.items()
        if not log.ok and log is not one.current and (first is None or number < first)
    ]
    for log in excused:
        report.findings.append(f"{PurePath(log.path).name} is damaged, but not required")
    return report, excused


def _databases(report: SetReport, one: LogSet) -> None:
    if not one.databases:
        report.findings.append("no database of this log stream is here")
    for database in one.databases:
        if not database.ok:
            report.fail(f"{PurePath(database.path).name} is damaged")
        _streaming_pair(report, database, one.streams.get(database.path))
    for name, fact in (("log signatures", "log_signature"), ("page sizes", "page_size")):
        if (
            len({database.facts.get(fact) for database in one.databases if fact in database.facts})
            > 1
        ):
            report.fail(f"the databases have different {name}")


def _streaming_pair(report: SetReport, database: FileReport, stream: FileReport | None) -> None:
    """A database of Exchange 2000 or 2003 is nothing without its streaming file."""
    name = PurePath(database.path).name
    if stream is None:
        if database.facts.get("has_stm"):
            report.fail(f"the streaming file (.stm) of {name} is missing")
        return
    streaming = PurePath(stream.path).name
    if not stream.ok:
        report.fail(f"{streaming} is damaged")
    elif stream.facts.get("signature") != database.facts.get("stm_signature", ""):
        report.fail(f"{name} and {streaming} do not belong together: signatures")


def _dirty(one: LogSet) -> list[FileReport]:
    return [database for database in one.databases if database.state in _DIRTY]


def _required(one: LogSet, logs: dict[int, FileReport]) -> tuple[int, int] | None:
    """From the checkpoint or the lowest required log to the highest that must be there."""
    dirty = _dirty(one)
    starts = [_number(database, "lowest_required") for database in dirty]
    ends = [_number(database, "highest_required") for database in dirty]
    if one.checkpoint and one.checkpoint.ok and (at := _number(one.checkpoint, "generation")) > 0:
        starts.append(at)
        ends.append(at)
    if not one.databases and not starts and logs:
        starts.append(min(logs))  # logs alone, as an incremental backup leaves them: all count
        ends.append(max(logs))
    starts = [start for start in starts if start > 0]
    if not starts:
        return None
    return min(starts), max(*ends, *logs, min(starts)) if logs else max(*ends, min(starts))


def _current(report: SetReport, one: LogSet) -> None:
    number = one.current_generation
    if one.current is None:
        if one.closed or one.checkpoint:
            _say(
                report,
                report.required is not None,
                f"the current log {one.base}.log is missing (-528)",
            )
        return
    if not one.current.ok:
        return report.fail(f"the current log {one.base}.log is damaged")
    if number is not None and one.closed and number <= max(one.closed):
        report.fail(
            f"the current log is generation {number}, a closed one is {max(one.closed)}: "
            "not the last of this stream"
        )
    return None


def _say(report: SetReport, fatal: bool, finding: str) -> None:
    if fatal:
        report.fail(finding)
    else:
        report.findings.append(finding)


def _range(report: SetReport, one: LogSet, logs: dict[int, FileReport]) -> None:
    if report.required is None:
        return
    first, last = report.required
    lacking = _runs(number for number in range(first, last + 1) if number not in logs)
    if lacking:
        report.fail(f"required logs are missing: {lacking} (-543)")
    damaged = [
        number for number in range(first, last + 1) if number in logs and not logs[number].ok
    ]
    if damaged:
        report.fail(f"required logs are damaged: {_runs(damaged)}")
    committed = max((_number(one_, "highest_committed") for one_ in _dirty(one)), default=0)
    if committed > last:
        report.findings.append(
            f"logs {last + 1}-{committed} were committed and are not here: "
            "recovery loses them (-582)"
        )


def _runs(numbers: Iterable[int]) -> str:
    """1, 2, 3, 7 as "1-3, 7"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] + 1 == number:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def _needed(report: SetReport, number: int) -> bool:
    return report.required is not None and number >= report.required[0]


def _signature(report: SetReport, one: LogSet, logs: dict[int, FileReport]) -> None:
    wanted = {
        database.facts["log_signature"]
        for database in one.databases
        if "log_signature" in database.facts
    }
    if len(wanted) != 1:
        # Without a database the stream's own logs must agree.
        wanted = {log.facts["signature"] for log in logs.values() if "signature" in log.facts}
        if len(wanted) > 1:
            report.fail("the logs are of different streams (-530)")
        return
    (signature,) = wanted
    for number in sorted(logs):
        found = logs[number].facts.get("signature")
        if found is not None and found != signature:
            name = PurePath(logs[number].path).name
            _say(report, _needed(report, number), f"{name} is of another log stream (-530)")
    if one.checkpoint and one.checkpoint.facts.get("log_signature", signature) != signature:
        report.fail("the checkpoint is of another log stream (-532)")


def _sequence(report: SetReport, logs: dict[int, FileReport]) -> None:
    """Neighbours must chain: time of creation, accumulated checksum."""
    numbers = sorted(logs)
    gaps = [number for number in numbers[1:] if number - 1 not in logs]
    for number in gaps:
        before = max(other for other in numbers if other < number)
        _say(report, _needed(report, before), f"gap in the logs: {before + 1}-{number - 1} (-528)")
    for number in numbers:
        if number - 1 in logs:
            _chain(report, logs[number - 1], logs[number], _needed(report, number - 1))


def _chain(report: SetReport, before: FileReport, log: FileReport, needed: bool) -> None:
    if "created" not in before.facts or "created" not in log.facts:
        return
    names = f"{PurePath(before.path).name} and {PurePath(log.path).name}"
    if log.facts["previous_created"] != before.facts["created"]:
        _say(report, needed, f"{names} do not chain: times of creation (-515)")
    body = before.facts.get("body")
    expected = log.facts.get("previous_sum")
    if (
        isinstance(body, dict)
        and expected is not None
        and body["sound"]
        and body["sum"] != expected
    ):
        _say(report, needed, f"{names} do not chain: accumulated checksum (-590)")
    version, later = before.facts["version"], log.facts["version"]
    if isinstance(version, tuple) and isinstance(later, tuple) and later < version:
        report.findings.append(f"{names}: the log format goes down")
