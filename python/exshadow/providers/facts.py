"""What is known of volumes and providers before one is chosen. Values; gathered elsewhere.

Sources of the facts and rules: the fact sheet on providers, sections 1.1, 2.1, 3.2 and 4.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

SFW_MIRRORS = 32
"""Plexes a volume of Storage Foundation can have."""


class StackKind(enum.Enum):
    """What a volume is made of, from above."""

    EXSHADOW = "exshadow"  # a volume of this state folder
    BASIC = "basic"  # a partition of one disk
    SFW = "sfw"  # a volume of a Veritas dynamic disk group
    LDM = "ldm"  # of a Microsoft dynamic disk group
    OTHER = "other"  # LVM, md and what else there is


class CopyKind(enum.Enum):
    """How a copy depends on its source."""

    PLEX = "plex"  # a full mirror, split off
    SNAPCLONE = "snapclone"  # a full copy, independent when it is normalised
    MIRRORCLONE = "mirrorclone"  # a full mirror in the array
    DIFFERENTIAL = "differential"  # lives on the source's blocks


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk as the host sees it. ``page83``: 32 hexadecimal digits, no dashes, lower case."""

    vendor: str = ""
    product: str = ""
    page83: str = ""


def normal_id(text: str) -> str:
    """Page-83 ids compare without dashes, in lower case, without the 3 that Linux puts before."""
    digits = text.replace("-", "").strip().lower()
    return digits[1:] if len(digits) == 33 and digits[0] == "3" else digits


@dataclass(frozen=True, slots=True)
class VolumeStack:
    """One volume of the group. ``group``: its dynamic disk group; ``plexes``: mirrors it has, those
    that are split off as sets included."""

    name: str
    kind: StackKind
    size: int
    group: str = ""
    raid5: bool = False
    plexes: int = 1
    spare_in_group: int | None = 0  # bytes free there on other disks; None: nobody tells
    disks: tuple[Disk, ...] = ()


@dataclass(frozen=True, slots=True)
class Room:
    """A disk group as a place for copies of one Vraid level. ``free``: bytes of that level."""

    group: str
    level: str = ""
    free: int = 0
    used_percent: int = 0
    alarm_percent: int = 90


@dataclass(frozen=True, slots=True)
class ArrayVolume:
    """What the array says of the vdisk behind a volume. ``ours``: what normalises is a copy of
    ours, which a run waits for; ``copies_limit``: None: not known, the array refuses by itself;
    ``room``: where its copies go, None where the array has no such disk group."""

    state: str = "good"
    normalising: bool = False
    ours: bool = False
    copies_limit: int | None = None
    copies: tuple[CopyKind, ...] = ()
    room: Room | None = None


@dataclass(frozen=True, slots=True)
class ArrayFacts:
    """An EVA as its manager shows it. ``kind``: of the copies that the settings ask for; ``rooms``:
    its disk groups; ``volumes`` by normal page-83 id."""

    name: str
    kind: CopyKind = CopyKind.MIRRORCLONE
    licensed: bool = True
    managed_by_other: str = ""
    rooms: tuple[Room, ...] = ()
    volumes: dict[str, ArrayVolume] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VssProviderFacts:
    """A VSS provider that is registered on this Windows host."""

    id: str
    name: str
    kind: CopyKind
    transportable: bool = False
    supported: frozenset[str] = frozenset()  # volumes it says it takes


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the choice needs. An absent product is None or empty. ``made``: by provider, how
    many of the group's mirrors are there already: they need no room any more."""

    volumes: tuple[VolumeStack, ...]
    native: bool = True
    sfw_tools: bool = False
    arrays: tuple[ArrayFacts, ...] = ()
    sssu: bool = False
    vss: tuple[VssProviderFacts, ...] = ()
    made: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the policy wants. ``prefer``: provider names, best first; those not named come after;
    ``copies``: mirrors of the group, those that are there included."""

    prefer: tuple[str, ...] = ()
    forbid: frozenset[str] = frozenset()
    survive_source_loss: bool = False
    delta_resync: bool = False
    off_host: bool = False
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Capability:
    """What a provider can with these volumes."""

    kind: CopyKind
    survives_source_loss: bool
    delta_resync: bool
    instant_restore: bool
    atomic_set: bool
    off_host: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a provider cannot, or may not, be taken: the first reason found."""

    provider: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """``provider`` None: nobody can; every other provider is in ``refused`` or ``passed_over``."""

    provider: str | None
    capability: Capability | None
    why: str
    refused: tuple[Refusal, ...]
    passed_over: tuple[Refusal, ...] = ()

    def to_json(self) -> dict[str, object]:
        """As ``provider choose --json`` prints it."""
        return {
            "provider": self.provider,
            "kind": self.capability.kind.value if self.capability else None,
            "why": self.why,
            "refused": [{"provider": one.provider, "reason": one.reason} for one in self.refused],
            "passed_over": [
                {"provider": one.provider, "reason": one.reason} for one in self.passed_over
            ],
        }
