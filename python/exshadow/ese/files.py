"""The verdict on one file by its own bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exshadow._core import EseFile
from exshadow.errors import Error, IntegrityError
from exshadow.ese.file_names import NamedFile
from exshadow.ese.generations import in_hexadecimal, spelled
from exshadow.ese.reports import NOT_PROVEN, FileReport

if TYPE_CHECKING:
    from exshadow.ese.engine_types import EseDatabaseHeader, EsePageScan, EseTrailer

NEEDS_LOGS = {"DirtyShutdown", "DirtyAndPatchedShutdown"}
_UNFIT_STATES = {
    "None": "the header states no state at all",
    "JustCreated": "its creation was not finished",
    "BeingConverted": "a conversion was under way",
    "IncReseedInProgress": "a reseed was under way",
    "RevertInProgress": "a revert was under way",
    "unknown": "the header states a state that does not exist",
}
_STM_PAGE = 4096
_SMALLEST_PAGE = 2048  # possible by the format; no real file of it was ever seen
_SHOWN = 20  # bad pages named one by one in the findings


@dataclass(frozen=True, slots=True)
class ScanWish:
    """How to read: ``limit`` bytes a second, 0 for none; ``threads`` 0: as many as help."""

    threads: int = 0
    limit: int = 0
    progress: Callable[[int], bool] | None = None


def judge(path: str, file: EseFile, named: NamedFile, wish: ScanWish) -> FileReport:
    """Never raises for damage; IoError and CancelledError pass."""
    report = FileReport(path, "unknown")
    try:
        _judge_as_named(report, file, named, wish)
    except IntegrityError as damage:
        if file.size is not None and is_foreign(file, named):
            return foreign(report)
        report.fail(damage.message)
        if file.size and named.role == "database" and not has_magic(file.start(1 << 16)):
            report.findings.append(
                "it may be no ESE file at all: nothing where its headers belong looks like one"
            )
    return report


FOREIGN = "foreign"
_SQLITE = b"SQLite format 3\0"
_MAGIC = (0x89ABCDEF).to_bytes(4, "little")


def is_foreign(file: EseFile, named: NamedFile) -> bool:
    """Whether nothing says that it is an ESE file whose headers are lost: neither bytes of one nor
    a name that only such files have."""
    start = file.start(1 << 16)
    if has_magic(start):
        return False
    return named.role == "other" or start.startswith(_SQLITE)


def has_magic(start: bytes) -> bool:
    """Whether a copy of a database's header is among the first 64 KiB, sound or not."""
    sizes = (0, 2048, 4096, 8192, 16384, 32768)
    return any(start[size + 4 : size + 8] == _MAGIC for size in sizes)


def foreign(report: FileReport) -> FileReport:
    """The verdict on a file of something else."""
    report.kind, report.state = "unknown", FOREIGN
    report.fail("not an ESE file: it has no header of a database, log, checkpoint or flush map")
    return report


def _judge_as_named(report: FileReport, file: EseFile, named: NamedFile, wish: ScanWish) -> None:
    if named.role == "reserve":
        return _reserve(report)
    if named.role == "next_log":
        report.kind = "log"
        return _skip(report, "the log made in advance, never part of a sequence")
    by_role: dict[str, Callable[[], None]] = {
        "log": lambda: _log(report, file, named, wish),
        "checkpoint": lambda: _checkpoint(report, file),
        "flushmap": lambda: _flush_map(report, file, wish),
    }
    if named.role in by_role:
        return by_role[named.role]()
    if named.role == "other" and (kind := kind_by_content(file)) != "database":
        return by_role[kind]()
    return _database(report, file, named, wish)


def kind_by_content(file: EseFile) -> str:
    """For files whose name tells nothing: whichever header is sound."""
    attempts: tuple[tuple[str, Callable[[], object]], ...] = (
        ("database", file.database_header),
        ("flushmap", file.flush_map),
        ("log", file.log_header),
        ("checkpoint", file.checkpoint),
    )
    for kind, read in attempts:
        try:
            read()
        except IntegrityError:
            continue
        return kind
    return "database"  # whose complaint says best what is wrong


def _skip(report: FileReport, reason: str) -> None:
    report.state = "skipped"
    report.findings.append(f"skipped: {reason}")


def _reserve(report: FileReport) -> None:
    report.kind = "reserve"
    _skip(report, "space kept in reserve, holds nothing")


# --- databases ---


def _database(report: FileReport, file: EseFile, named: NamedFile, wish: ScanWish) -> None:
    report.kind = "database"
    header = file.database_header()
    report.facts.update(header)
    report.state = header["state"]
    if header["streaming"]:
        if named.role == "database":
            report.fail("a database by its name, a streaming file by its header: replaced")
        return _stm(report, file, header)
    if named.role == "stm":
        report.fail("a streaming file by its name, a database by its header: replaced")
    if header["temporary"]:
        return _skip(report, "a temporary database keeps no page checksums; never a backup")
    _header_copies(report, header)
    _state(report, header)
    scan = file.scan(threads=wish.threads, limit=wish.limit, progress=wish.progress)
    report.pages, report.bad, report.empty = scan["pages"], scan["bad"], scan["empty"]
    _pages(report, scan)
    if header["page_size"] == _SMALLEST_PAGE:
        report.findings.append(f"pages of {_SMALLEST_PAGE} bytes: {NOT_PROVEN}")
    _trailer(report, header, scan["trailer"])
    return None


def _trailer(report: FileReport, header: EseDatabaseHeader, trailer: EseTrailer | None) -> None:
    """What hard recovery takes the range of logs from."""
    if trailer is None:
        if header["streaming_image"]:
            report.fail("a streaming backup image without its trailer page: cut short (-535)")
        return
    report.findings.append(f"ends with the trailer of a streaming backup: {NOT_PROVEN}")
    if not header["streaming_image"]:
        return
    report.facts["trailer"] = dict(trailer)
    low, high = trailer["lowest_required"], trailer["highest_required"]
    report.findings.append(f"needs logs {spelled(low, high)} by its trailer")
    if not 0 < low <= high:
        report.fail(f"its trailer states an impossible range of logs: {spelled(low, high)} (-535)")
    if trailer["signature"] != header["signature"]:
        report.fail("its trailer is of another database: signatures (-535)")
    if trailer["log_signature"] != header["log_signature"]:
        report.fail("its trailer is of another log stream: signatures (-535)")


def _header_copies(report: FileReport, header: EseDatabaseHeader) -> None:
    if not header["first_good"]:
        report.fail("the first copy of the header is damaged; the second is sound")
    elif not header["second_good"] and header["shadow_kept"]:
        report.fail("the second copy of the header is damaged; the first is sound")
    elif not header["second_good"]:
        report.findings.append("no second copy of the header is kept")
    elif not header["equal"]:
        report.findings.append("the header copies differ: stopped between two writes of it")


def _state(report: FileReport, header: EseDatabaseHeader) -> None:
    if problem := _UNFIT_STATES.get(header["state"]):
        report.fail(f"state {header['state']}: {problem}")
    low, high = header["lowest_required"], header["highest_required"]
    if header["state"] in NEEDS_LOGS:
        report.findings.append(f"needs logs {low}-{high}")
        if names := in_hexadecimal(low, high):
            report.findings.append(f"in the names of these logs: {names}")
        if not 0 < low <= high:
            report.fail(f"states an impossible range of required logs: {spelled(low, high)}")
    elif (low, high) != (0, 0) and not problem:
        report.findings.append(
            f"states {header['state']}, and logs {spelled(low, high)} as required all the same"
        )
    if header["streaming_image"]:
        report.findings.append("a streaming backup image: needs hard recovery")
    if header["repair_count"]:
        report.findings.append(f"was repaired with loss {header['repair_count']} times")


def _pages(report: FileReport, scan: EsePageScan) -> None:
    for page in scan["list"][:_SHOWN]:
        where = f"page {page['page']}"
        if page["state"] == "correctable":
            report.fail(
                f"{where}: one flipped bit ({page['bit']}), correctable; the medium lies (-1018)"
            )
        elif page["state"] == "wrong_place":
            report.fail(f"{where}: belongs at {page['belongs_at']} (-1018)")
        elif page["state"] == "wrong_number":
            report.fail(f"{where}: names itself {page['belongs_at']} (-1118)")
        else:
            report.fail(f"{where}: checksum does not fit (-1018)")
    if scan["bad"] > _SHOWN:
        report.findings.append(f"and {scan['bad'] - _SHOWN} more bad pages")
    if scan["odd_bytes"]:
        report.fail(f"{scan['odd_bytes']} bytes behind the last whole page: cut short or grown")
    if scan["pages"] == 0:
        report.fail("holds no pages behind its header: cut short")
    if scan["legacy"]:
        report.findings.append(f"{scan['legacy']} pages in the form of before 2004: {NOT_PROVEN}")
    if scan["empty_inside"]:
        report.findings.append(f"{scan['empty_inside']} empty pages below the last used one")


def _stm(report: FileReport, file: EseFile, header: EseDatabaseHeader) -> None:
    report.kind = "stm"
    _header_copies(report, header)
    _state(report, header)
    size = file.size
    if size is not None:
        report.pages = max(0, size // _STM_PAGE - 2)
        if size % _STM_PAGE:
            report.fail("its size is no multiple of 4096 bytes: cut short or grown")
    report.findings.append(f"not checkable: data of a streaming file, header only; {NOT_PROVEN}")


# --- logs and their companions ---


def _log(report: FileReport, file: EseFile, named: NamedFile, wish: ScanWish) -> None:
    report.kind = "log"
    header = file.log_header()
    report.facts.update(header)
    current = named.generation is None
    report.state = "current" if current else "closed"
    if header["reserve"]:
        return _skip(report, "marked as a reserve log")
    if named.generation is not None and named.generation != header["generation"]:
        report.fail(
            f"is generation {spelled(header['generation'], header['generation'])} by its header, "
            f"{spelled(named.generation, named.generation)} by its name"
        )
    if file.size is not None and file.size != header["size"]:
        report.fail(f"has {file.size} bytes where its header states {header['size']} (-541)")
    body = file.log_body(current, limit=wish.limit, progress=wish.progress)
    report.facts["body"] = body
    report.pages, report.bad, report.empty = body["segments"], body["bad"], body["empty"]
    if not body["sound"]:
        report.fail(f"{body['trouble']} (-501)")
    elif body["torn_end"]:
        report.findings.append("the last write was cut, its shadow is whole: recovery repairs it")
    elif not current and not body["full"]:
        report.findings.append(
            f"ends after {body['valid']} of {body['segments']} segments: "
            "only the log after it can confirm that"
        )
    if header["version"][0] < 8:
        report.findings.append(f"log format {header['version'][0]}: {NOT_PROVEN}")
    return None


def _checkpoint(report: FileReport, file: EseFile) -> None:
    report.kind = "checkpoint"
    found = file.checkpoint()
    report.facts.update(found)
    report.pages = 2
    report.bad = 2 - found["first_good"] - found["second_good"]
    if report.bad:
        report.findings.append("one of the two copies is damaged; the other serves")
    elif not found["equal"]:
        report.findings.append("the copies differ: stopped between two writes of it")


def _flush_map(report: FileReport, file: EseFile, wish: ScanWish) -> None:
    report.kind = "flushmap"
    try:
        header = file.flush_map()
    except IntegrityError as damage:
        # Rebuilt by the engine: no reason to fail a backup, but the bytes are not sound.
        report.fail(f"{damage.message}; the engine rebuilds it")
        return
    report.facts.update(header)
    report.state = "clean" if header["clean"] else "dirty"
    scan = file.flush_map_pages(limit=wish.limit, progress=wish.progress)
    report.pages, report.bad, report.empty = scan["pages"], scan["bad"], scan["empty"]
    if scan["bad"]:
        report.fail(f"{scan['bad']} pages of the map are damaged; the engine rebuilds it")
    if scan["odd_bytes"]:
        report.fail(f"{scan['odd_bytes']} bytes behind the last whole page: cut short or grown")


def unreadable(path: str, problem: Error) -> FileReport:
    """The report of a file that could not be read at all."""
    report = FileReport(path, "unknown")
    report.fail(problem.message)
    return report
