"""Runs one check and times it: whatever it meets becomes a verdict, or is raised because the check
cannot run here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exshadow.errors import CancelledError, Error
from exshadow.model import Verification
from exshadow.names import now
from exshadow.service.checks import (
    content,
    ese,
    file_systems,
    postgresql,
    script,
    sqlite,
)
from exshadow.service.checks.evidence import bounded, clipped
from exshadow.service.checks.ground import Ground, Outcome, OutOfTime, Unsound
from exshadow.service.desk import StopRequested

_DETAIL = 500

_CHECKS: dict[str, Callable[[Ground], Outcome]] = {
    "bytes": content.check,
    "filesystem": file_systems.check,
    "ese": ese.check,
    "postgresql": postgresql.check,
    "sqlite": sqlite.check,
    "script": script.check,
}


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and how many bytes were read for it."""

    verdict: Verification
    bytes: int


def judge(ground: Ground, check: str) -> Judged:
    """The verdict of one check. UnsupportedError and its like when it cannot run here;
    CancelledError when it was stopped: then there is no verdict."""
    before = ground.describe()
    try:
        outcome = _CHECKS[check](ground)
    except Unsound as unsound:
        outcome = unsound.outcome
    except OutOfTime as late:
        outcome = Outcome(False, str(late))
    except Error:
        raise
    except OSError as problem:  # of a file in the copy; the machine's own failures are Errors
        outcome = Outcome(False, f"cannot be read: {problem}")
    except (KeyboardInterrupt, StopRequested):
        raise CancelledError(
            f"interrupted: check {check} of {ground.name} stopped; it changed nothing",
            hint=f"begin again: {ground.again(check)}",
        ) from None
    if outcome.ok and ground.describe() != before:
        outcome = Outcome(False, "a copy was written while it was checked", outcome.evidence)
    detail = clipped(outcome.detail, _DETAIL)
    if ground.one.missing:
        detail += f", without {', '.join(ground.one.missing)}"
    evidence = bounded(outcome.evidence)
    verdict = Verification(check, outcome.ok, now(), detail, ground.seconds, evidence, before)
    return Judged(verdict, outcome.bytes)
