"""What every provider does, in one vocabulary: native, sfw, eva, vss.

A copy belongs to one *mirror* of the policy: a place that takes turns at being a set (a plex of the
native engine, a snap plex of Storage Foundation, a vdisk beside its source on an EVA). One action
concerns the same mirror of all volumes of a group; a split is one instant for all of them.

Every action is *start, then look*: :meth:`Provider.start` gives the product its commands and comes
back, :meth:`Provider.standing` reads the product's own state. The state read back ends an action,
never a command's status or wording. :mod:`exshadow.providers.steps` carries actions out with time
limits and a journal.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from exshadow.model import ChangedMember, Json, Member
from exshadow.providers.facts import Capability


class Verb(enum.StrEnum):
    """What can be asked of a provider."""

    PREPARE = "prepare"  # make the copy relation and copy everything: the mirror becomes ready
    SPLIT = "split"  # the point in time: a ready mirror becomes a set
    RESYNC = "resync"  # the set's mirror becomes ready again, by changes where the product can
    RESTORE = "restore"  # production becomes the set again; the set stays
    PROMOTE = "promote"  # the set's copies become production themselves
    DISSOLVE = "dissolve"  # forget the relation; the copies stay as they are
    ABORT = "abort"  # drop what prepare or an unfinished split made
    PRESENT = "present"  # the set's copies can be read on this host: members get paths
    UNPRESENT = "unpresent"  # undo that
    LEND = "lend"  # the set's copies can be read on another host: option ``host``
    RECALL = "recall"  # undo that; option ``released`` (yes): the other host has let go of them


ENDS_A_SET = frozenset({Verb.RESYNC, Verb.PROMOTE, Verb.DISSOLVE, Verb.ABORT})
"""What there is no set after."""

REPLACES_PRODUCTION = frozenset({Verb.RESTORE, Verb.PROMOTE})
"""What leaves production half of a set when it stops between two volumes."""


@dataclass(frozen=True, slots=True)
class Source:
    """A production volume. ``path``: as its host names it: an image, ``/dev/sdb``, ``W:``,
    ``\\Device\\HarddiskDmVolumes\\GROUP\\VOLUME``. ``size``: bytes."""

    name: str
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Action:
    """One verb on one mirror. ``id``: stays the same when the action is repeated after a crash;
    ``set_id`` and ``label``: of the set concerned, empty for prepare and its abort. ``writers``:
    somebody holds the application still round the split (consistency ``application``)."""

    id: str
    verb: Verb
    group: str
    mirror: str
    volumes: tuple[Source, ...]
    set_id: str = ""
    label: str = ""
    writers: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> Json:
        """As the journal keeps it."""
        return {
            "id": self.id,
            "verb": self.verb.value,
            "group": self.group,
            "mirror": self.mirror,
            "volumes": [[one.name, one.path, one.size] for one in self.volumes],
            "set_id": self.set_id,
            "label": self.label,
            "writers": self.writers,
            "options": dict(self.options),
        }

    @classmethod
    def from_json(cls, plain: Json) -> Action:
        """The same back."""
        return cls(
            id=plain["id"],
            verb=Verb(plain["verb"]),
            group=plain["group"],
            mirror=plain["mirror"],
            volumes=tuple(Source(*one) for one in plain["volumes"]),
            set_id=plain["set_id"],
            label=plain["label"],
            writers=plain["writers"],
            options=plain["options"],
        )


class Stage(enum.StrEnum):
    """How far an action is, by the product's own state."""

    ABSENT = "absent"  # nothing of it is there: start it
    HALF = "half"  # interrupted while being made: start() goes on with it
    RUNNING = "running"  # the product works on it: look again later
    DONE = "done"
    FAILED = "failed"  # cannot become done any more: ``detail`` says why


@dataclass(frozen=True, slots=True)
class Standing:
    """What was read back. ``done`` and ``total``: bytes, 0 where the product does not tell;
    ``members``: the set's copies, known once a split, a present or a promotion is done, ``path``
    empty while a copy is not presented; ``consistency``: ``application`` where the product itself
    asked the application's writers for a split, else ``crash``."""

    stage: Stage
    detail: str = ""
    done: int = 0
    total: int = 0
    members: tuple[Member, ...] = ()
    consistency: str = "crash"


class MirrorState(enum.StrEnum):
    """A mirror of a group, over all volumes: the least advanced of them counts."""

    NONE = "none"
    SYNCING = "syncing"
    READY = "ready"  # in sync: may split
    SPLIT = "split"  # is a set
    RESTORING = "restoring"
    BROKEN = "broken"  # needs a human, or abort


@dataclass(frozen=True, slots=True)
class Mirror:
    """One mirror of a group. ``percent``: of a sync under way; ``set_id``: whose copies it
    holds, as far as the product tells; ``presented``: where the copies can be read; ``lent``: the
    other host that has them, or what is known of where they are."""

    label: str
    state: MirrorState
    percent: int | None = None
    set_id: str = ""
    presented: tuple[str, ...] = ()
    detail: str = ""
    lent: str = ""


class Provider(Protocol):
    """One product. Every call comes from one thread. One that is a requestor of VSS by itself has
    ``asks_writers``: nobody else may freeze them round its split.

    Failures: RefusedError where the state forbids it (says which state was found and what to do),
    ProviderError where the product refused or said what nobody understands, TimedOutError,
    UnsupportedError where it cannot do the verb at all.
    """

    name: str

    def capability(self, volumes: Sequence[Source]) -> Capability:
        """What it can with these volumes, its limits included."""
        ...

    def identity(self, volume: Source) -> str:
        """What the volume is, whatever path names it: the same text to every host that reaches it,
        another for any other volume. Empty where nothing is known but its path on this host.
        NotFoundError when there is no such volume."""
        ...

    def start(self, action: Action) -> None:
        """Begin or go on. May be called again after any crash and finds by the product's state what
        is left; never makes the same copy twice. A split is done when this returns, or failed."""
        ...

    def standing(self, action: Action) -> Standing:
        """Read back how far the action is. Changes nothing."""
        ...

    def mirrors(self, group: str, volumes: Sequence[Source]) -> tuple[Mirror, ...]:
        """All mirrors that this provider knows of the group, by label. Changes nothing."""
        ...

    def changed(self, action: Action) -> tuple[ChangedMember, ...] | None:
        """Where production may differ from the set; None where the product has no such map."""
        ...

    def documents(self, action: Action) -> Mapping[str, bytes]:
        """Files of the product that a later restore needs, by name (vxsnap's XML)."""
        ...
