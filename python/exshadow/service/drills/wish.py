"""What a drill is to do, and what it found. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from exshadow.errors import InvalidError
from exshadow.model import Json, SetRecord, Verification
from exshadow.service.checks.wish import TIMEOUT, CheckWish

CHECK = "drill"
"""What the verdict of a drill is called in the catalog."""


@dataclass(frozen=True, slots=True)
class DrillWish:
    """`set`: else the newest that is ready. `checks`: else those the set was verified with, else
    bytes. `folder`: where the throw-away plexes go, else below the state folder; `views`: none,
    the checks look at views. The rest is as in a check's wish."""

    set: str | None = None
    checks: tuple[str, ...] = ()
    folder: str | None = None
    views: bool = False
    timeout: int = TIMEOUT
    folders: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    script: str | None = None

    def require_valid(self) -> None:
        """InvalidError for what makes no sense."""
        if self.views and self.folder is not None:
            raise InvalidError(
                "--views and --dir exclude each other", hint="with --views nothing is restored"
            )
        if self.checks:
            self.check_wish(self.checks).require_valid()
        elif self.script is not None:
            raise InvalidError("the check script and --script PATH go together")

    def check_wish(self, checks: tuple[str, ...]) -> CheckWish:
        """The wish of these checks."""
        return CheckWish(checks, self.timeout, self.folders, self.globs, self.script)


@dataclass(frozen=True, slots=True)
class DrillStep:
    """One step and how long it took. `volume` is empty for what is about all."""

    name: str
    volume: str
    seconds: float
    bytes: int = 0
    ok: bool = True
    detail: str = ""

    @property
    def counts(self) -> bool:
        """Whether its time is a part of the time to recover."""
        return self.name != "clean up"

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "volume": self.volume,
            "seconds": round(self.seconds, 3),
            "bytes": self.bytes,
            "ok": self.ok,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Drilled:
    """How a drill went. `place`: the folder it had, empty on views."""

    set: SetRecord
    place: str
    steps: tuple[DrillStep, ...]
    verdicts: tuple[Verification, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return all(step.ok for step in self.steps)

    @property
    def seconds(self) -> float:
        """The time to recover: from the first byte to the last verdict."""
        return sum(step.seconds for step in self.steps if step.counts)

    @property
    def detail(self) -> str:
        """One line: how it ended and how long it took."""
        if bad := [step for step in self.steps if not step.ok]:
            return f"{bad[0].name} failed: {bad[0].detail}"
        checks = ", ".join(verdict.check for verdict in self.verdicts)
        return f"recovered in {self.seconds:.1f} s; sound by {checks}"

    def to_json(self) -> Json:
        return {
            "set": self.set.id,
            "name": f"{self.set.group}@{self.set.label}",
            "ok": self.ok,
            "detail": self.detail,
            "place": self.place,
            "seconds_to_recover": round(self.seconds, 3),
            "steps": [step.to_json() for step in self.steps],
            "checks": [verdict.to_json(evidence=True) for verdict in self.verdicts],
        }

    @classmethod
    def from_json(cls, document: Json, one: SetRecord) -> Drilled:
        """The same of :meth:`to_json`."""
        steps = ({name: step[name] for name in DrillStep.__slots__} for step in document["steps"])
        verdicts = (
            {name: said[name] for name in ("check", "ok", "at", "detail", "seconds", "evidence")}
            for said in document["checks"]
        )
        return cls(
            one,
            document["place"],
            tuple(DrillStep(**step) for step in steps),
            tuple(Verification(**said) for said in verdicts),
        )
