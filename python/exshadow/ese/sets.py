"""The verdict on a folder: do these databases recover with these logs? (fact sheet, 2.5, 8.5, 9)"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import PurePath

from exshadow.ese.gathering import LogSet
from exshadow.ese.generations import LogNames, spelled
from exshadow.ese.reports import FileReport, SetReport

_DIRTY = {"DirtyShutdown", "DirtyAndPatchedShutdown"}


def judge_set(one: LogSet) -> tuple[SetReport, list[FileReport]]:
    """The verdict, and the damaged logs below what is required: they do not spoil it."""
    report = SetReport(one.base, folder=one.folder, databases=len(one.databases))
    _databases(report, one)
    logs = one.logs()
    report.required = _required(one, logs)
    _current(report, one)
    _range(report, one, logs)
    _signature(report, one, logs)
    _page_size(report, one, logs)
    _sequence(report, one, logs)
    _doubles(report, one)
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
        told = {
            PurePath(database.path).name: database.facts[fact]
            for database in one.databases
            if fact in database.facts
        }
        if len(set(told.values())) > 1:
            each = ", ".join(f"{file} has {value}" for file, value in sorted(told.items()))
            report.fail(f"the databases have different {name}: {each}")


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


def _needs(one: LogSet) -> list[tuple[int, int]]:
    """Lowest and highest generation that each database requires: a streaming backup image by its
    trailer, a dirty one by its header."""
    found = []
    for database in one.databases:
        trailer = database.facts.get("trailer")
        if isinstance(trailer, dict):
            found.append((trailer["lowest_required"], trailer["highest_required"]))
        elif database.state in _DIRTY:
            found.append(
                (_number(database, "lowest_required"), _number(database, "highest_required"))
            )
    return found


def _hard(one: LogSet) -> bool:
    """Whether it recovers by hard recovery, up to the trailers' end and without a current log."""
    return bool(one.databases) and all(
        isinstance(database.facts.get("trailer"), dict) for database in one.databases
    )


def _number(report: FileReport, name: str) -> int:
    number = report.facts.get(name)
    return number if isinstance(number, int) else 0


def _required(one: LogSet, logs: dict[int, FileReport]) -> tuple[int, int] | None:
    """From the checkpoint or the lowest required log to the highest that must be there."""
    needs = _needs(one)
    starts = [low for low, _ in needs]
    ends = [high for _, high in needs]
    if one.checkpoint and one.checkpoint.ok and (at := _number(one.checkpoint, "generation")) > 0:
        starts.append(at)
        ends.append(at)
    if not one.databases and logs:
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
                report.required is not None and not _hard(one),
                f"the current log {one.base}.log is missing (-528)",
            )
        return
    if not one.current.ok:
        return report.fail(f"the current log {one.base}.log is damaged")
    if number is not None and one.closed and number <= max(one.closed):
        report.fail(
            f"the current log is generation {spelled(number, number)}, a closed one is "
            f"{_names(one).spelled([(max(one.closed), max(one.closed))])}: "
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
    there = [number for number in sorted(logs) if first <= number <= last]
    if lacking := _gaps([first - 1, *there, last + 1]):
        report.fail(f"required logs are missing: {_names(one).spelled(lacking)} (-543)")
    if damaged := [number for number in there if not logs[number].ok]:
        report.fail(f"required logs are damaged: {_names(one).spelled(_runs(damaged))}")
    committed = max(
        (
            _number(database, "highest_committed")
            for database in one.databases
            if database.state in _DIRTY
        ),
        default=0,
    )
    if committed > last:
        report.findings.append(
            f"logs {_names(one).spelled([(last + 1, committed)])} were committed and are not "
            "here: recovery loses them (-582)"
        )


def _gaps(numbers: list[int]) -> list[tuple[int, int]]:
    """First and last of each run that sorted numbers leave out. One file's name may claim any
    generation up to 2^32: what lies between is never counted one by one."""
    return [(before + 1, number - 1) for before, number in pairwise(numbers) if number - before > 1]


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """1, 2, 3, 7 as (1, 3), (7, 7)."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] + 1 == number:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _names(one: LogSet) -> LogNames:
    base = one.base if one.is_stream else ""  # a database alone does not tell its stream's
    return LogNames(base, (log.path for log in one.closed.values()))


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


def _page_size(report: SetReport, one: LogSet, logs: dict[int, FileReport]) -> None:
    """A log tells the size of the pages that it changes."""
    known = {file.facts["page_size"] for file in one.databases if "page_size" in file.facts}
    if len(known) != 1:
        return  # told by _databases
    (size,) = known
    for number in sorted(logs):
        found = logs[number].facts.get("page_size", size)
        if found != size:
            name = PurePath(logs[number].path).name
            text = f"{name} is for pages of {found} bytes, the databases' have {size} (-1213)"
            _say(report, _needed(report, number), text)


def _sequence(report: SetReport, one: LogSet, logs: dict[int, FileReport]) -> None:
    """Neighbours must chain: time of creation, accumulated checksum."""
    numbers = sorted(logs)
    for low, high in _gaps(numbers):
        text = f"gap in the logs: {_names(one).spelled([(low, high)])} (-528)"
        _say(report, _needed(report, low - 1), text)
    for number in numbers:
        if number - 1 in logs:
            _chain(report, logs[number - 1], logs[number], _needed(report, number - 1))


def _doubles(report: SetReport, one: LogSet) -> None:
    """Nothing tells which of two different files the engine would take."""
    for taken, other in one.doubles:
        names = f"{PurePath(taken.path).name} and {PurePath(other.path).name}"
        same = all(taken.facts.get(name) == other.facts.get(name) for name in _TELLING)
        needed = taken.kind == "checkpoint" or _needed(report, _number(taken, "generation"))
        if same:
            report.findings.append(f"{names} are the same file twice")
        else:
            _say(report, needed, f"{names} stand for one file of the stream, and differ")


_TELLING = ("generation", "signature", "created", "body", "log_signature")


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
