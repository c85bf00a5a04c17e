"""What came of a run of one group."""

from __future__ import annotations

from dataclasses import dataclass, field

from exshadow.errors import Error
from exshadow.model import Json, SetRecord
from exshadow.policy.retention import Fate


@dataclass(slots=True)
class GroupRun:
    """What came of it. ``made``: the new set; ``error``: why the run did not end well, when
    ``made`` is there all the same its checks are not good; ``fates``: of all sets then;
    ``given_up``: ids of sets whose mirror was taken for the new one; ``warnings``: what is no
    failure and should be looked at."""

    group: str
    provider: str
    run_id: str
    mirror: str = ""
    made: SetRecord | None = None
    settled: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    fates: tuple[Fate, ...] = ()
    given_up: list[str] = field(default_factory=list)
    error: Error | None = None

    def to_json(self) -> Json:
        """As ``policy run --json`` has it."""
        error = self.error
        return {
            "group": self.group,
            "provider": self.provider,
            "run": self.run_id,
            "mirror": self.mirror,
            "set": self.made.to_json(evidence=True) if self.made else None,
            "settled": self.settled,
            "notes": self.notes,
            "warnings": self.warnings,
            "given_up": self.given_up,
            "error": error and {"code": error.code, "message": error.message, "hint": error.hint},
        }
