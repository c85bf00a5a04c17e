"""Running a runbook: one step after the other, each recorded before and after, resumable.

The journal says of every step that it began and how it ended. After an interruption the steps that
are done are not repeated; the one that began and did not end is asked about: only a person can see
on the server how far it went. A runbook whose steps are all done is closed: its journal is put
aside under the time, and the next run of the same runbook begins anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from exshadow.errors import CorruptError, RefusedError, WriterError, from_system
from exshadow.names import now
from exshadow.recovery.runbook import Runbook, RunbookStep
from exshadow.recovery.runners import CommandRunner, Outcome

State = Literal["began", "done", "failed"]
Ask = Callable[[RunbookStep, str], bool]
"""May this step be done, or: was it done? The text says which. False stops the run; after "was it
done?" it is asked whether to do it again."""
STEP_LIMIT = 4 * 3600.0


@dataclass(slots=True)
class Journal:
    """What was done of one runbook; a JSON file, replaced whole after every change."""

    path: Path
    digest: str
    states: dict[str, State] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, runbook: Runbook) -> Journal:
        """The journal of this very runbook, a fresh one where it is done. RefusedError: it belongs
        to another one."""
        digest = digest_of(runbook)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return cls(path, digest)
        except OSError as problem:
            raise from_system(problem, f"cannot read {path}") from problem
        try:
            raw = json.loads(content)
            journal = cls(path, raw["runbook"], dict(raw["states"]), dict(raw["outputs"]))
        except (ValueError, KeyError, TypeError) as problem:
            raise CorruptError(
                f"{path} is no journal of a runbook", hint="move it away to begin anew"
            ) from problem
        if journal.digest != digest:
            raise RefusedError(
                f"{path} belongs to another runbook, or the facts have changed since",
                hint="finish that one with the same arguments, or move the journal away",
            )
        if all(journal.states.get(key) == "done" for key in keys(runbook)):
            journal.close()  # killed between the last step and its end
            return cls(path, digest)
        return journal

    def close(self) -> Path:
        """Put the journal of a runbook that is done aside. Where it is now."""
        time = now().replace(":", "").replace("-", "")
        aside, number = self.path.with_suffix(f".{time}.json"), 1
        while aside.exists():
            number += 1
            aside = self.path.with_suffix(f".{time}-{number}.json")
        try:
            self.path.rename(aside)
            _sync_folder(self.path.parent)
        except OSError as problem:
            raise from_system(problem, f"cannot put {self.path} aside") from problem
        return aside

    def record(self, key: str, state: State, output: str = "") -> None:
        """Durable when it returns."""
        self.states[key] = state
        self.outputs[key] = output
        document = {"runbook": self.digest, "states": self.states, "outputs": self.outputs}
        fresh = self.path.with_suffix(".new")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
            _sync_folder(self.path.parent)
        except OSError as problem:
            raise from_system(problem, f"cannot write {self.path}") from problem


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest_of(runbook: Runbook) -> str:
    """Tells one filled runbook from another."""
    return hashlib.sha256(json.dumps(runbook.to_json(), sort_keys=True).encode()).hexdigest()


def keys(runbook: Runbook) -> list[str]:
    """One key a step: its id, numbered where a step is repeated."""
    seen: dict[str, int] = {}
    found = []
    for step in runbook.steps:
        seen[step.id] = seen.get(step.id, 0) + 1
        found.append(step.id if seen[step.id] == 1 else f"{step.id}#{seen[step.id]}")
    return found


def execute(
    runbook: Runbook,
    runner: CommandRunner,
    journal: Journal,
    *,
    ask: Ask,
    tell: Callable[[RunbookStep, str], None],
    limits: Mapping[str, float] | None = None,
) -> None:
    """Do what is not done yet. Stops at the first step that fails, with how to go on.

    ``ask`` is called for steps by hand, for steps whose facts are not confirmed, and for a step
    that began earlier and did not end; ``tell(step, what)`` shows progress.
    Raises WriterError: a step failed; RefusedError: ``ask`` said no.
    """
    for key, step in zip(keys(runbook), runbook.steps, strict=True):
        state = journal.states.get(key)
        if state == "done":
            tell(step, "done before")
            continue
        if state == "began" and ask(step, "It began and was interrupted. Is it done?"):
            journal.record(key, "done", "said to be done after an interruption")
            continue
        question = _question(step, again=state == "began")
        if question and not ask(step, question):
            raise RefusedError(
                f"stopped before step '{key}'", hint="the same command goes on from here"
            )
        journal.record(key, "began")
        outcome = _do(step, runner, (limits or {}).get(step.id, STEP_LIMIT))
        _end(journal, key, step, outcome)
        tell(step, "done")


def _question(step: RunbookStep, *, again: bool) -> str:
    """What a person must agree to first; empty when the step may simply be done."""
    if step.runner == "hand":
        return "Do it, then say so."
    if not step.certain:
        return "Not confirmed. Run it?"
    return "Run it again?" if again else ""


def _do(step: RunbookStep, runner: CommandRunner, limit: float) -> Outcome:
    if step.runner == "hand":
        return Outcome(0, "done by hand")
    return runner.run(step, limit)


def _end(journal: Journal, key: str, step: RunbookStep, outcome: Outcome) -> None:
    if outcome.status in step.success:
        journal.record(key, "done", outcome.output)
        return
    journal.record(key, "failed", outcome.output)
    lines = [line for line in outcome.output.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("  hint: ")]  # exshadow's own
    last = (said or ["it said nothing"])[-1].strip()
    raise WriterError(
        f"step '{key}' ({step.title}) ended with {outcome.status}: {last}",
        hint="mend what it names; the same command goes on with this step",
    )


def states(runbook: Runbook, journal: Journal) -> list[tuple[RunbookStep, str]]:
    """Every step with ``done``, ``failed``, ``began`` or ``open``."""
    return [
        (step, journal.states.get(key, "open"))
        for key, step in zip(keys(runbook), runbook.steps, strict=True)
    ]
