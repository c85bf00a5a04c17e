"""The verdicts: plain records, and their JSON as the command line prints it."""

from __future__ import annotations

from dataclasses import dataclass, field

# Damage that an ESE file's own bytes cannot show to a reader that does not replay logs.
BLIND_SPOTS = (
    "a page replaced by an older version of itself",
    "a page that was zeroed: it looks as if it had never been used",
    "a database cut short at the end of a page",
    "two sectors of one page exchanged (its checksums see half of such cases), and any other "
    "change that cancels out in them",
    "a header (or page of before 2004) with an even number of flips at one bit of its words",
    "segments at the end of a log zeroed, or older than it (its successor's header tells, when "
    "that is there)",
    "data of a streaming file (.stm): its checksums lie in the database",
    "bytes behind the last record of a log of Exchange 2000 to 2010",
)
NOT_PROVEN = "not proven on real files"


@dataclass(slots=True)
class FileReport:
    """One file. ``pages``: data pages, or segments of a log; ``findings``: sentences for people."""

    path: str
    kind: str  # database stm log checkpoint flushmap reserve unknown
    pages: int = 0
    bad: int = 0
    empty: int = 0
    state: str = ""
    ok: bool = True
    findings: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)  # header fields, as `ese info` shows

    def fail(self, finding: str) -> None:
        """Not ok, and why."""
        self.ok = False
        self.findings.append(finding)

    def to_json(self) -> dict[str, object]:
        """Without the header facts."""
        return {
            "path": self.path,
            "kind": self.kind,
            "pages": self.pages,
            "bad": self.bad,
            "empty": self.empty,
            "state": self.state,
            "ok": self.ok,
            "findings": self.findings,
        }


@dataclass(slots=True)
class SetReport:
    """One log stream with its databases. ``required``: first and last generation, None for none."""

    base: str
    required: tuple[int, int] | None = None
    ok: bool = True
    findings: list[str] = field(default_factory=list)
    folder: str = ""
    databases: int = 0  # without one "ok" says no more than that the logs are sound

    def fail(self, finding: str) -> None:
        """Not ok, and why."""
        self.ok = False
        self.findings.append(finding)

    def to_json(self) -> dict[str, object]:
        """As the interface has it."""
        return {
            "base": self.base,
            "folder": self.folder,
            "required": list(self.required) if self.required else None,
            "ok": self.ok,
            "findings": self.findings,
        }


@dataclass(slots=True)
class EseReport:
    """Everything that was checked. A damaged log below the required range is only a finding."""

    files: list[FileReport]
    sets: list[SetReport]
    excused: frozenset[str] = frozenset()  # paths of damaged files that no set needs

    @property
    def ok(self) -> bool:
        """Every set recovers and no file that is needed is damaged."""
        files = all(one.ok or one.path in self.excused for one in self.files)
        return files and all(one.ok for one in self.sets)

    def to_json(self) -> dict[str, object]:
        """As the interface has it."""
        return {
            "files": [one.to_json() for one in self.files],
            "sets": [one.to_json() for one in self.sets],
            "ok": self.ok,
        }
