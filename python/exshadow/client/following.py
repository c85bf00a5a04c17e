"""Waits for a daemon's job: notes and progress go to a reporter, Ctrl-C stops the job resumably."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from exshadow import wire
from exshadow.client.line import Line, part, went_away
from exshadow.errors import CancelledElsewhereError, CancelledError, Error
from exshadow.model import Json
from exshadow.service.reporter import Reporter


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended: a result, an error, or both (differences were found)."""

    result: Json | None
    error: Error | None

    def value(self) -> Json:
        """The result; raises the error."""
        if self.error is not None:
            raise self.error
        return self.result or {}


def follow(line: Line, answer: Json, reporter: Reporter) -> Ended:
    """Wait for the job that `answer` tells of, or until its outcome is usable.

    On KeyboardInterrupt it is cancelled and waited for; further ones do not hurry it.
    """
    job_id = str(answer["job"]["id"])
    told = _Told(reporter)
    try:
        ended = _listen(line, job_id, told)
        error = ended.error
        if isinstance(error, CancelledError):
            there = CancelledElsewhereError(error.message, hint=error.hint)
            return Ended(ended.result, there)
        return ended
    except KeyboardInterrupt:
        line.delete(f"/v1/jobs/{part(job_id)}")
    while True:
        try:
            return _listen(line, job_id, told)
        except KeyboardInterrupt:
            continue


class _Told:
    """Passes on what was not passed on before: a second listening starts from the beginning."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self._notes = 0

    def notes(self, index: int, text: str) -> None:
        if index >= self._notes:
            self._notes = index + 1
            self.reporter.note(text)


def _listen(line: Line, job_id: str, told: _Told) -> Ended:
    notes = 0
    for kind, content in line.events(job_id):
        if kind == "note":
            told.notes(notes, content["note"])
            notes += 1
        elif kind == "progress":
            told.reporter.progress(content["what"], wire.job(content))
        elif kind == "usable":
            return Ended(content, None)
        elif kind == "end":
            return _end(content, told)
    raise went_away("it stopped telling about the job")


def _end(content: dict[str, Any], told: _Told) -> Ended:
    job = content["job"]
    told.reporter.progress(job["what"], wire.job(job))
    error = wire.error(content["error"]) if content["error"] else None
    return Ended(content["result"], error)
