"""Waits for the engine's jobs, tells progress, stops them on Ctrl-C, records what they did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from exshadow.errors import CancelledError, Error, IoError, NoSpaceError, TimedOutError
from exshadow.model import JobRecord
from exshadow.names import now
from exshadow.service import members
from exshadow.service.desk import Desk, StopRequested
from exshadow.service.records import job_record

if TYPE_CHECKING:
    from exshadow._core import Job

_TICK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Watch:
    """What a group of jobs is called and how it is continued when it is interrupted. ``look`` is
    called now and then; what it raises stops the jobs, and is raised when they have ended."""

    what: str
    target: str
    resume: str
    look: Callable[[], None] = lambda: None


def begin(
    names: Iterable[str], start: Callable[[str], Job | None], watch: Watch
) -> Mapping[str, Job]:
    """Start the job of each volume. When one cannot start, those before are stopped resumably."""
    wanted = list(names)
    started: dict[str, Job] = {}
    try:
        for name in wanted:
            with members.naming(name):
                job = start(name)
            if job is not None:
                started[name] = job
    except Error as error:
        _stop(started, {})
        rest = [name for name in wanted if name not in started]
        members.tell(error, "begun and stopped", list(started), rest, watch.resume)
        raise
    return started


def run(desk: Desk, jobs: Mapping[str, Job], watch: Watch) -> JobRecord:
    """Wait for the jobs of several volumes, which run side by side, and record each.

    Raises what the first failed one failed with, after all have ended. Ctrl-C cancels all, waits
    for them and raises CancelledError saying how to continue.
    """
    started = now()
    errors: dict[str, Error] = {}
    said: set[str] = set()
    interrupted = False
    given_up: Exception | None = None
    try:
        _wait(desk, jobs, watch, errors, said)
    except (KeyboardInterrupt, StopRequested):
        interrupted = True
        _stop(jobs, errors)
    except Exception as problem:
        given_up = problem
        _stop(jobs, errors)
    records = {name: _settled(job, errors.get(name)) for name, job in jobs.items()}
    total = JobRecord.total(records.values(), watch.what)
    desk.reporter.progress(watch.what, total)
    if total.note and total.note not in said:
        desk.reporter.note(total.note)
    for name, record in records.items():
        _record(desk, Outcome(name, record, watch.target, started, errors.get(name)))
    if given_up is not None:
        raise given_up
    if interrupted and total.state != "done":
        raise CancelledError(
            f"interrupted: {watch.what} stopped; what it did is kept",
            hint=f"continue with: {watch.resume}",
        )
    for name, error in errors.items():
        if isinstance(error, NoSpaceError) or not error.hint:
            error.hint = _way_on(error, watch)
        if len(jobs) > 1:
            _tell_members(error, name, records, watch)
        raise error
    return total


def _tell_members(error: Error, name: str, records: Mapping[str, JobRecord], watch: Watch) -> None:
    """Name the volume that failed, those that are done and those that are not."""
    if f"volume {name}" not in error.message:
        error.message = f"volume {name}: {error.message}"
    done = [other for other, record in records.items() if record.state == "done"]
    rest = [other for other in records if other not in done]
    if done and watch.resume in error.hint:
        error.message = f"{error.message}; done: {', '.join(done)}; not: {', '.join(rest)}"
    else:
        members.tell(error, "done", done, rest, watch.resume)


def _way_on(error: Error, watch: Watch) -> str:
    """What to do about a copy that stopped: what it did is kept."""
    if isinstance(error, NoSpaceError):
        return f"make room, then continue with: {watch.resume}"
    if isinstance(error, IoError):
        return f"when that is mended, continue with: {watch.resume}"
    return ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One volume's job at its end."""

    volume: str
    job: JobRecord
    target: str
    started: str
    error: Error | None


def _record(desk: Desk, end: Outcome) -> None:
    text = end.error.message if end.error and end.job.state == "failed" else ""
    desk.record(
        lambda catalog: catalog.add_job(
            end.job, volume=end.volume, target=end.target, started=end.started, error=text
        )
    )


def progress(jobs: Mapping[str, Job], what: str) -> JobRecord:
    """All jobs as one, now."""
    return JobRecord.total([job_record(job.progress()) for job in jobs.values()], what)


def _ends_within(job: Job, seconds: float) -> bool:
    """False when it goes on; raises what the job failed with, which may be a time-out as well."""
    try:
        job.wait(seconds)
    except TimedOutError:
        if not job.done:
            return False
        job.wait()  # it ended meanwhile: its own answer
    return True


def _wait(
    desk: Desk, jobs: Mapping[str, Job], watch: Watch, errors: dict[str, Error], said: set[str]
) -> None:
    for name, job in jobs.items():
        while True:
            try:
                if _ends_within(job, _TICK_SECONDS):
                    break
            except Error as error:
                errors[name] = error
                break
            desk.check_stop()
            watch.look()
            total = progress(jobs, watch.what)
            if total.note and total.note not in said:
                said.add(total.note)
                desk.reporter.note(total.note)
            desk.reporter.progress(watch.what, total)


def _stop(jobs: Mapping[str, Job], errors: dict[str, Error]) -> None:
    """Cancel all and wait: the engine keeps what was done. Further signals do not hurry it."""
    for job in jobs.values():
        job.cancel()
    for name, job in jobs.items():
        while not job.done:
            try:
                time.sleep(0.01)
            except KeyboardInterrupt:
                continue
        try:
            job.wait()
        except Error as error:
            errors[name] = error


def _settled(job: Job, error: Error | None) -> JobRecord:
    record = job_record(job.progress())
    if error is not None and record.state == "running":
        return replace(record, state="failed")
    return record
