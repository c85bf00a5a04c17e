"""What a check stands on, and what it says in the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from exshadow.model import JobRecord, Json, SetRecord
from exshadow.service import copies, mounts
from exshadow.service.checks.wish import CheckWish
from exshadow.service.desk import Desk, Session


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict of one check. `bytes`: how much it read, where that is known."""

    ok: bool
    detail: str
    evidence: Json = field(default_factory=dict)
    bytes: int = 0


class Unsound(Exception):
    """Raised by a check that need not look further: the copy is not what it should be."""

    def __init__(self, detail: str, evidence: Json | None = None) -> None:
        super().__init__(detail)
        self.outcome = Outcome(False, detail, evidence or {})


class OutOfTime(Exception):
    """The check's time limit has passed: it proves nothing."""


class Ground:
    """One check of one set: its desk with the volumes open, its wish and its time."""

    def __init__(self, desk: Desk, session: Session, one: SetRecord, wish: CheckWish) -> None:
        self.desk = desk
        self.session = session
        self.one = one
        self.wish = wish
        self.on_start: Callable[[int], None] = lambda process: None  # a program's process id
        self._begun = time.monotonic()

    verb = "verify"
    """What is said to be done."""

    @property
    def name(self) -> str:
        return f"{self.one.group}@{self.one.label}"

    def export(self, volume: str) -> tuple[str, bool]:
        """What of the server is looked at for a volume, and whether it may be written: the
        throw-away view of its copy."""
        return mounts.export_of(volume, self.one.label, writable=True), True

    def again(self, check: str) -> str:
        """The command that begins an interrupted check anew."""
        return f"exshadow snapshot verify {self.name} --check {check}"

    def describe(self) -> str:
        """What the copies are now: a good verdict needs that they stay so."""
        return copies.describe(self.one.members)

    @property
    def seconds(self) -> float:
        """Since the check began."""
        return time.monotonic() - self._begun

    def tick(self) -> None:
        """Called often: StopRequested when somebody asked for it, OutOfTime at the time limit."""
        self.desk.check_stop()
        if self.seconds > self.wish.timeout:
            raise OutOfTime(f"gave no verdict within {self.wish.timeout} s")

    def say(self, text: str) -> None:
        """What the check does now."""
        self.desk.reporter.note(f"{self.verb} of {self.name}: {text}")

    def progress(self, what: str, done: int, total: int) -> None:
        """Bytes read so far."""
        job = JobRecord(self.verb, 0, 0, total, self.seconds, "running", bytes_done=done)
        self.desk.reporter.progress(f"{self.verb} of {self.name}: {what}", job)
