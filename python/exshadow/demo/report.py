"""What the demo did, how long it took and what the witnesses said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from exshadow.errors import IntegrityError
from exshadow.service.reporter import Reporter


@dataclass(slots=True)
class Step:
    """One step. `moved` is what the engine copied, in bytes; None where it copies nothing."""

    name: str
    seconds: float = 0.0
    moved: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One claim and what was seen."""

    name: str
    ok: bool
    detail: str


@dataclass(slots=True)
class Report:
    """Collects steps and checks and tells them as they come."""

    size: str
    reporter: Reporter
    steps: list[Step] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    kept_in: str | None = None
    skipped: list[str] = field(default_factory=list)

    def skip(self, why: str) -> None:
        """A part that cannot be shown here, in a sentence."""
        self.skipped.append(why)
        self.reporter.note(why)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Times its body; told when it is done, with what the body noted in it."""
        step = Step(name)
        start = time.perf_counter()
        yield step
        step.seconds = time.perf_counter() - start
        self.steps.append(step)
        self.reporter.note(f"{name}: {step.detail}" if step.detail else name)

    def check(self, name: str, ok: bool, detail: str) -> None:
        """Record a claim; IntegrityError when it does not hold."""
        self.checks.append(Check(name, ok, detail))
        self.reporter.note(f"  {'ok' if ok else 'FAILED'}: {name} ({detail})")
        if not ok:
            raise IntegrityError(
                f"the demo expected: {name}; found: {detail}",
                hint="run it with --keep --dir DIR and look at the files",
            )

    def to_json(self) -> dict[str, Any]:
        return {
            "demo": {
                "size": self.size,
                "ok": all(check.ok for check in self.checks),
                "seconds": sum(step.seconds for step in self.steps),
                "kept_in": self.kept_in,
                "skipped": self.skipped,
                "steps": [
                    {
                        "name": step.name,
                        "seconds": step.seconds,
                        "bytes": step.moved,
                        "detail": step.detail,
                    }
                    for step in self.steps
                ],
                "checks": [
                    {"name": check.name, "ok": check.ok, "detail": check.detail}
                    for check in self.checks
                ],
            }
        }
