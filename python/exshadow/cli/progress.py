"""Progress and notes on stderr: JSON lines, a live bar on a terminal, or a line now and then."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Protocol

from exshadow.cli.context import context
from exshadow.cli.output import flow, say
from exshadow.model import JobRecord
from exshadow.names import format_size
from exshadow.service.reporter import Reporter, is_event

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class ScreenReporter(Reporter, Protocol):
    """A reporter that holds the terminal until it is closed."""

    def close(self) -> None: ...


def choose(*, json: bool, quiet: bool) -> ScreenReporter:
    """The reporter for these options and this terminal."""
    if quiet:
        return QuietReporter()
    if json:
        return JsonReporter()
    return BarReporter() if sys.stderr.isatty() else LineReporter()


def _rate(job: JobRecord) -> float:
    """Bytes settled a second."""
    return job.bytes_done / job.seconds if job.seconds > 0 else 0.0


class _Hearing:
    """Keeps what volumes say aloud for the JSON document."""

    def note(self, text: str) -> None:
        if is_event(text):
            context.events.append(text)
        self._show(text)

    def _show(self, text: str) -> None:
        raise NotImplementedError


class QuietReporter(_Hearing):
    """Errors, which are not said here, and what volumes say about their data."""

    def _show(self, text: str) -> None:
        if is_event(text):
            say(json.dumps({"note": text}) if context.json else text)

    def progress(self, what: str, job: JobRecord) -> None:
        pass

    def close(self) -> None:
        pass


class _Pace:
    """Lets one call through every so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def due(self) -> bool:
        moment = time.monotonic()
        if moment - self._last < self._seconds:
            return False
        self._last = moment
        return True


class JsonReporter(_Hearing):
    """One JSON document a line: ``{"progress":{...}}`` and ``{"note":...}``."""

    def __init__(self) -> None:
        self._pace = _Pace(0.25)

    def _show(self, text: str) -> None:
        say(json.dumps({"note": text}))

    def progress(self, what: str, job: JobRecord) -> None:
        if self._pace.due() or job.state != "running":
            say(json.dumps({"progress": {"what": what, **job.to_json()}}))

    def close(self) -> None:
        pass


class LineReporter(_Hearing):
    """For logs: a line every few seconds, none for what ends sooner."""

    def __init__(self) -> None:
        self._pace = _Pace(5.0)

    def _show(self, text: str) -> None:
        context.heard.add(text)
        say(text)

    def progress(self, what: str, job: JobRecord) -> None:
        if job.state == "running" and self._pace.due():
            rate = _rate(job)
            left = (job.bytes_total - job.bytes_done) / rate if rate else 0.0
            share = 100 * job.bytes_done // max(job.bytes_total, 1)
            say(
                f"{what}: {share} % of {format_size(job.bytes_total)}, "
                f"{format_size(int(rate))}/s, {left:.0f} s left"
            )

    def close(self) -> None:
        pass


class BarReporter(_Hearing):
    """A live bar with rate and time left; made when the first progress comes."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def _show(self, text: str) -> None:
        context.heard.add(text)
        if self._bar is not None:
            text = flow(text, sys.stderr)
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            say(flow(text, sys.stderr))

    def progress(self, what: str, job: JobRecord) -> None:
        bar = self._bar or self._start()
        if what not in self._tasks:
            self._tasks[what] = bar.add_task(what, total=job.bytes_total or None, rate="")
        bar.update(
            self._tasks[what],
            total=job.bytes_total,
            completed=job.bytes_done,
            rate=f"{format_size(int(_rate(job)))}/s",
        )
        if job.state != "running":
            self.close()

    def _start(self) -> Progress:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._bar.start()
        return self._bar

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._tasks = {}
