"""Runners for tests on the simulated Storage Foundation: in this process, killed, counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exshadow.commands import CommandRunner, Ran
from exshadow.errors import TimedOutError
from simulators.sfw import program
from simulators.sfw.faults import Hang


class Killed(BaseException):
    """As kill -9 ends a process: nothing below catches it."""


@dataclass(slots=True)
class SimulatedRunner(CommandRunner):
    """The simulators called in this process: what `program.py` does as a command, but quick.

    ``kill_at``: the call, counted from 0, before which the caller dies. ``calls``: how many there
    were; ``seen``: what ``watch`` gave before each.
    """

    state: Path = Path()
    host: str = "HOST1"
    kill_at: int | None = None
    calls: int = 0
    given: list[list[str]] = field(default_factory=list)
    watch: Callable[[], str] | None = None
    seen: list[str] = field(default_factory=list)

    def run(
        self, program_name: str, arguments: Sequence[str], limit: float, *, cwd: str | None = None
    ) -> Ran:
        call = self.calls
        self.calls += 1
        if self.kill_at == call:
            raise Killed
        if self.watch:
            self.seen.append(self.watch())
        self.given.append([program_name, *arguments])
        try:
            status, text = program.call(self.state, program_name, list(arguments), self.host)
        except Hang:
            raise TimedOutError(f"{program_name} was not done after {limit:g} s") from None
        return Ran((program_name, *arguments), status, text, 0.0)

    def moments(self) -> list[int]:
        """Calls before which something on disk was new: a kill elsewhere leaves the same."""
        return [at for at, now in enumerate(self.seen) if at == 0 or now != self.seen[at - 1]]

    def changing(self) -> list[list[str]]:
        """Commands that were meant to change something, in order."""
        reading = {"volinfo", "snapprint", "list"}
        return [words for words in self.given if not reading & set(words)]
