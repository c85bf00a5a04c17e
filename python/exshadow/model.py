"""What exists, as frozen values, and their JSON shapes: the one place where those are spelled.

Sizes, offsets and byte counts are bytes; times are RFC 3339 UTC text. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from exshadow.errors import Error

Json = dict[str, Any]

UNFINISHED = frozenset({"stale", "syncing", "resyncing", "failed", "detached"})
"""Plex states from which ``mirror sync`` leads back to in sync."""


@dataclass(frozen=True, slots=True)
class PlexRecord:
    """One copy of a volume's bytes. `bytes_to_sync` is 0 when in sync or split."""

    label: str
    path: str
    state: str
    size: int
    uuid: str = ""
    authority: bool = False
    bytes_to_sync: int = 0
    note: str = ""

    def to_json(self) -> Json:
        return {
            "label": self.label,
            "path": self.path,
            "state": self.state,
            "size": self.size,
            "authority": self.authority,
            "bytes_to_sync": self.bytes_to_sync,
            "note": self.note,
            "uuid": self.uuid,
        }


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """One volume's part of a set. `changed_bytes` is an upper bound against production now."""

    label: str
    set_id: str
    created: str
    plex: str
    path: str
    state: str
    members: tuple[str, ...]
    consistency: str
    pinned_until: str | None
    changed_bytes: int

    def to_json(self) -> Json:
        return {
            "label": self.label,
            "set": self.set_id,
            "created": self.created,
            "plex": self.plex,
            "path": self.path,
            "state": self.state,
            "members": list(self.members),
            "consistency": self.consistency,
            "pinned_until": self.pinned_until,
            "changed_bytes": self.changed_bytes,
        }


@dataclass(frozen=True, slots=True)
class VolumeRecord:
    """A volume as its volume file tells it."""

    name: str
    uuid: str
    group: str
    size: int
    region_size: int
    state: str
    clean: bool
    generation: int
    plexes: tuple[PlexRecord, ...]
    snapshots: tuple[SnapshotRecord, ...]
    owner: str | None = None
    active_extents: int = 0
    bytes_to_move: int = 0
    events: tuple[str, ...] = ()

    def plex(self, label: str) -> PlexRecord | None:
        return next((plex for plex in self.plexes if plex.label == label), None)

    def snapshot(self, set_id: str) -> SnapshotRecord | None:
        return next((one for one in self.snapshots if one.set_id == set_id), None)

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "uuid": self.uuid,
            "group": self.group,
            "size": self.size,
            "region_size": self.region_size,
            "plexes": [plex.to_json() for plex in self.plexes],
            "snapshots": [snapshot.to_json() for snapshot in self.snapshots],
            "state": self.state,
            "clean": self.clean,
            "generation": self.generation,
            "active_extents": self.active_extents,
            "bytes_to_move": self.bytes_to_move,
            "owner": self.owner,
            "events": list(self.events),
        }


@dataclass(frozen=True, slots=True)
class Member:
    """A set's copy of one volume."""

    volume: str
    plex: str
    path: str
    size: int

    def to_json(self) -> Json:
        return {
            "volume": self.volume,
            "plex": self.plex,
            "path": self.path,
            "size": self.size,
        }


@dataclass(frozen=True, slots=True)
class Verification:
    """A recorded verdict about the very copy. `evidence`: what the check saw, bounded; `copies`:
    what the copies' files were then, so that a good verdict ends when one is written."""

    check: str
    ok: bool
    at: str
    detail: str
    seconds: float = 0.0
    evidence: Json = field(default_factory=dict)
    copies: str = ""

    def to_json(self, *, evidence: bool = False) -> Json:
        shown = {
            "check": self.check,
            "ok": self.ok,
            "at": self.at,
            "detail": self.detail,
            "seconds": round(self.seconds, 3),
        }
        return {**shown, "evidence": self.evidence} if evidence else shown


ROLL_FORWARD = "roll-forward"
"""The verdict on a set's databases with the logs of a later day."""


def summary(checks: Sequence[Verification]) -> Verification | None:
    """The one verdict that speaks for all: the newest bad one, else the newest. A roll-forward's
    is about production's logs as well, so it says nothing of the copies alone."""
    about = [one for one in checks if one.check != ROLL_FORWARD]
    found = [one for one in about if not one.ok] or about
    return found[-1] if found else None


@dataclass(frozen=True, slots=True)
class SetRecord:
    """A snapshot set: what one split of a group made. `note` says why it is not simply ready,
    `missing` names volumes of the set that are not here, `lent_to` the host that has its copies.
    `checks`: the newest verdict of each check, oldest first; `verified`: the newest bad one of
    them, else the newest."""

    id: str
    label: str
    group: str
    created: str
    provider: str
    consistency: str
    state: str
    members: tuple[Member, ...]
    verified: Verification | None = None
    pinned_until: str | None = None
    hold_us: int = 0
    note: str = ""
    missing: tuple[str, ...] = ()
    checks: tuple[Verification, ...] = ()
    lent_to: str = ""

    def to_json(self, *, evidence: bool = False) -> Json:
        return {
            "id": self.id,
            "label": self.label,
            "group": self.group,
            "created": self.created,
            "provider": self.provider,
            "consistency": self.consistency,
            "state": self.state,
            "members": [member.to_json() for member in self.members],
            "verified": self.verified.to_json() if self.verified else None,
            "checks": [one.to_json(evidence=evidence) for one in self.checks],
            "pinned_until": self.pinned_until,
            "hold_us": self.hold_us,
            "note": self.note,
            "missing": list(self.missing),
            "lent_to": self.lent_to,
        }


@dataclass(frozen=True, slots=True)
class ChangedMember:
    """Where one volume of a set may differ: sorted, disjoint (offset, length) pairs."""

    volume: str
    region_size: int
    changed: tuple[tuple[int, int], ...]

    @property
    def bytes(self) -> int:
        return sum(length for _, length in self.changed)

    def to_json(self) -> Json:
        return {
            "volume": self.volume,
            "region_size": self.region_size,
            "changed": [list(extent) for extent in self.changed],
            "bytes": self.bytes,
        }


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A finished or stopped job. `bytes_copied` is data written to the target."""

    kind: str
    bytes_copied: int
    bytes_zeroed: int
    bytes_total: int
    seconds: float
    state: str
    bytes_done: int = 0
    note: str = ""

    def to_json(self) -> Json:
        return {
            "kind": self.kind,
            "bytes_copied": self.bytes_copied,
            "bytes_zeroed": self.bytes_zeroed,
            "bytes_total": self.bytes_total,
            "seconds": round(self.seconds, 6),
            "state": self.state,
            "bytes_done": self.bytes_done,
            "note": self.note,
        }

    @classmethod
    def total(cls, parts: Iterable[JobRecord], kind: str) -> JobRecord:
        """Members' jobs, run side by side, as one: bytes add up, the longest time counts."""
        jobs = list(parts)
        worst = max((job.state for job in jobs), key=_SEVERITY.index, default="done")
        return cls(
            kind=jobs[0].kind if jobs else kind,
            bytes_copied=sum(job.bytes_copied for job in jobs),
            bytes_zeroed=sum(job.bytes_zeroed for job in jobs),
            bytes_total=sum(job.bytes_total for job in jobs),
            seconds=max((job.seconds for job in jobs), default=0.0),
            state=worst,
            bytes_done=sum(job.bytes_done for job in jobs),
            note="; ".join(dict.fromkeys(job.note for job in jobs if job.note)),
        )


_SEVERITY = ["done", "running", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a command would do. `bytes`: at most what it would move or read, `seconds`: how
    long that takes by measured rates; None where nothing was measured."""

    action: str
    volume: str
    target: str
    bytes: int = 0
    seconds: float | None = None

    def to_json(self) -> Json:
        return {
            "action": self.action,
            "volume": self.volume,
            "target": self.target,
            "bytes": self.bytes,
            "seconds": _rounded(self.seconds),
        }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command would do, for ``--dry-run`` and for the question before it. `seconds`: of all
    steps; `estimate`: what that stands on, or why there is none; `refusal`: what the command would
    end with now, as somebody uses what it replaces."""

    command: str
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = field(default=())
    seconds: float | None = None
    estimate: str = ""
    refusal: Error | None = None

    def to_json(self) -> Json:
        found = self.refusal
        return {
            "command": self.command,
            "steps": [step.to_json() for step in self.steps],
            "warnings": list(self.warnings),
            "seconds": _rounded(self.seconds),
            "estimate": self.estimate,
            "refused": found and {"code": found.code, "message": found.message, "hint": found.hint},
        }
