"""Carries one action out: journalled, started, watched by the state read back, ended.

A crash at any point leaves a row in the journal that says what was asked. Whoever comes next
carries the same action out again: it is looked at first, so nothing is done twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from exshadow.errors import CancelledError, Error, ProviderError, TimedOutError
from exshadow.providers.contract import Action, Provider, Stage, Standing, Verb

_DAY = 86_400.0
_FIRST_LOOK = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds an action may take, and between two looks at most."""

    seconds: Mapping[Verb, float] = field(
        default_factory=lambda: {
            Verb.PREPARE: 7 * _DAY,
            Verb.SPLIT: 600.0,
            Verb.RESYNC: 7 * _DAY,
            Verb.RESTORE: 7 * _DAY,
            Verb.PROMOTE: 3600.0,
            Verb.DISSOLVE: 3600.0,
            Verb.ABORT: 3600.0,
            Verb.PRESENT: 600.0,
            Verb.UNPRESENT: 600.0,
            Verb.LEND: 3600.0,
            Verb.RECALL: 3600.0,
        }
    )
    between: float = 5.0


class Journal(Protocol):
    """Where actions are written down before they start; every call is durable when it returns."""

    def begin(self, provider: str, action: Action) -> None:
        """Record it as started; the same id again changes nothing."""
        ...

    def end(self, action: Action, state: str, detail: str = "") -> None:
        """``done``, ``failed`` or ``undone``."""
        ...


Report = Callable[[Action, Standing], None]
"""Hears of every look."""


def carry_out(
    provider: Provider,
    action: Action,
    journal: Journal,
    *,
    limits: Limits | None = None,
    report: Report = lambda action, standing: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Standing:
    """Do it, or what is left of it. The standing with stage DONE.

    ProviderError when it failed, TimedOutError past its limit: the journal then has it as failed.
    CancelledError when ``stopped`` says so, KeyboardInterrupt and a kill leave it started, to be
    repeated or undone.
    """
    limits = limits or Limits()
    journal.begin(provider.name, action)
    try:
        standing = _done(provider, action, limits, report, stopped)
    except CancelledError:
        raise
    except Error as problem:
        journal.end(action, "failed", problem.message)
        raise
    journal.end(action, "done", standing.detail)
    return standing


def _done(
    provider: Provider,
    action: Action,
    limits: Limits,
    report: Report,
    stopped: Callable[[], bool],
) -> Standing:
    standing = provider.standing(action)
    report(action, standing)
    if standing.stage in (Stage.ABSENT, Stage.HALF):
        provider.start(action)
        standing = provider.standing(action)
    allowed = limits.seconds[action.verb]
    deadline = time.monotonic() + allowed
    pause = _FIRST_LOOK
    while standing.stage is not Stage.DONE:
        report(action, standing)
        if standing.stage is Stage.FAILED:
            raise ProviderError(f"{_what(provider, action)} failed: {standing.detail}")
        if stopped():
            raise CancelledError(f"{_what(provider, action)} was left", hint="run it again")
        if time.monotonic() > deadline:
            raise TimedOutError(
                f"{_what(provider, action)} was not done after {allowed:g} s: "
                f"{standing.detail or standing.stage}",
                hint="see how it stands with: exshadow provider probe",
            )
        time.sleep(min(pause, max(0.0, deadline - time.monotonic()) + 0.01))
        pause = min(pause * 2, limits.between)
        if standing.stage is Stage.HALF:  # a step ended in the background, the next one is due
            provider.start(action)
        standing = provider.standing(action)
    report(action, standing)
    return standing


def _what(provider: Provider, action: Action) -> str:
    of = f" of {action.label}" if action.label else ""
    return f"{provider.name}: {action.verb}{of} (mirror {action.mirror} of {action.group})"
