"""exshadow ese check | info"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from exshadow.cli import options, output
from exshadow.cli.opening import make_reporter
from exshadow.errors import IntegrityError
from exshadow.model import JobRecord

if TYPE_CHECKING:
    from exshadow.cli.progress import ScreenReporter
    from exshadow.ese import EseReport, FileReport

app = options.group("ese")

_WIDEST = 3  # damaged files named in the verdict


@app.command
def check(
    *paths: Annotated[
        str,
        Parameter(
            name="PATH",
            help="File, folder, or - for a database on standard input.",
        ),
    ],
    threads: Annotated[int, Parameter(help="Reading threads; as many as help.")] = 0,
    limit: options.Limit = None,
) -> int:
    """Prove ESE databases and logs offline; a folder is judged as a set as well.

    Reads only, also inside a mounted snapshot. Exit 5 when something is damaged or a required log
    is missing, or what was named is not an ESE file. What the format itself cannot show:
    exshadow help ese. Generations of logs are told in decimal, and as the names have them.

    Example: exshadow ese check /mnt/snapshot/mdbdata
    """
    from exshadow import ese
    from exshadow.errors import InvalidError

    if threads < 0:
        raise InvalidError(
            "--threads is a number of threads, 0 for as many as help", hint="leave it out"
        )
    reporter = make_reporter()
    try:
        report = ese.check(
            [_stream(path) for path in paths],
            threads=threads,
            limit=options.rate(limit) or 0,
            progress=_Progress(reporter).tell,
        )
    finally:
        reporter.close()
    error = None if report.ok else IntegrityError(_verdict(report), hint=_hint(report))
    return output.show(report.to_json(), _text(report), error)


@app.command
def info(
    path: Annotated[str, Parameter(name="PATH", help="Database, log, checkpoint or flush map.")],
    /,
) -> int:
    """Show what the header of an ESE file says; its pages are not read.

    Example: exshadow ese info priv1.edb
    """
    from exshadow import ese

    found = ese.info(_stream(path))
    width = max((len(name) for name in found.facts), default=0)
    lines = [f"{path}: {found.kind} {found.state}".rstrip()]
    lines += [f"  {name:<{width}}  {_spelled(value, name)}" for name, value in found.facts.items()]
    document = {"file": {"path": path, "kind": found.kind, "header": found.facts}}
    return output.show(document, "\n".join(lines))


def _stream(path: str) -> str:
    from exshadow.cli.main import STDIN
    from exshadow.ese.checking import STREAM

    return STREAM if path == STDIN else path


class _Progress:
    """Bytes of one file after the other, as the reporters show jobs."""

    def __init__(self, reporter: ScreenReporter) -> None:
        self._reporter = reporter
        self._path = ""
        self._started = 0.0

    def tell(self, path: str, done: int, size: int | None) -> bool:
        """Called by the check; never stops it: Ctrl-C raises by itself."""
        if path != self._path:
            self._path, self._started = path, time.monotonic()
        seconds = time.monotonic() - self._started
        total = size if size is not None else done
        job = JobRecord("ese check", 0, 0, total, seconds, "running", bytes_done=min(done, total))
        self._reporter.progress(f"check {path}", job)
        return True


# --- text ---


def _spelled(value: object, name: str = "") -> str:
    from exshadow.ese.generations import is_generation, spelled

    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_spelled(part, key)}" for key, part in value.items())
    if isinstance(value, tuple):
        return ".".join(str(part) for part in value)
    if isinstance(value, int) and is_generation(name):
        return spelled(value, value)
    return str(value)


def _text(report: EseReport) -> str:
    from exshadow.ese.files import FOREIGN
    from exshadow.ese.generations import spelled

    rows = [
        (
            "ok" if one.ok else "NOT ESE" if one.state == FOREIGN else "DAMAGED",
            one.kind,
            "-" if one.state in ("", FOREIGN) else one.state,
            one.pages,
            one.bad,
            one.empty,
            one.path,
        )
        for one in report.files
    ]
    lines = [
        output.table(
            ("verdict", "kind", "state", "pages", "bad", "empty", "path"),
            rows,
            numbers=("pages", "bad", "empty"),
        )
    ]
    for one in report.files:
        lines += [f"  {one.path}: {text}" for text in one.findings]
    for group in report.sets:
        span = f"logs {spelled(*group.required)}" if group.required else "no logs"
        if group.databases:
            verdict = f"{'recovers' if group.ok else 'DOES NOT RECOVER'}; needs {span}"
        else:
            verdict = f"no database; {'logs sound' if group.ok else 'LOGS NOT SOUND'}; {span}"
        lines.append(f"set {group.base} in {group.folder}: {verdict}")
        lines += [f"  {text}" for text in group.findings]
    return "\n".join(lines)


def _damaged(report: EseReport) -> list[FileReport]:
    return [one for one in report.files if not one.ok and one.path not in report.excused]


def _verdict(report: EseReport) -> str:
    from exshadow.ese.files import FOREIGN

    parts = []
    damaged = _damaged(report)
    for what, files in (
        ("not an ESE file", [one for one in damaged if one.state == FOREIGN]),
        ("damaged", [one for one in damaged if one.state != FOREIGN]),
    ):
        names = ", ".join(one.path for one in files[:_WIDEST])
        more = f" and {len(files) - _WIDEST} more" if len(files) > _WIDEST else ""
        if files:
            parts.append(f"{what}: {names}{more}")
    if groups := [one.base for one in report.sets if not one.ok]:
        parts.append(f"cannot be recovered as it is: {', '.join(groups)}")
    return "; ".join(parts)


def _hint(report: EseReport) -> str:
    from exshadow.ese.files import FOREIGN

    damaged = _damaged(report)
    if damaged and all(one.state == FOREIGN for one in damaged):
        return "name databases, logs, or the folder that holds them"
    if damaged:
        return "take these files from another copy; the page numbers above say where they are bad"
    return "bring the logs named above into the folder"
