"""What a mirrorclone permits in which state: the guide's table, as data.

A vdisk that is no mirrorclone (a snapshot, a snapclone, one that was detached) is not judged here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from exshadow.errors import RefusedError
from exshadow.providers.eva.objects import Form, MirrorPhase, Vdisk


class Operation(StrEnum):
    """On a mirrorclone."""

    FRACTURE = "fracture"
    RESYNC = "resync"
    RESTORE = "restore to its source"
    DETACH = "detach"
    DELETE = "delete"
    PRESENT = "present to a host"
    MIGRATE = "migrate"
    SNAPSHOT = "make a snapshot of"
    SNAPCLONE = "make a snapclone of"


@dataclass(frozen=True, slots=True)
class Rule:
    """``first``: what to do before; ``unpresented``: only while no host sees it."""

    allowed: bool
    first: str = ""
    unpresented: bool = False


_YES = Rule(True)
_UNPRESENTED = Rule(True, unpresented=True)
_NEVER = Rule(False)
_FRACTURE = Rule(False, first="fracture it first")
_DETACH = Rule(False, first="detach it first")
_BOTH = Rule(False, first="fracture and detach it first")
_WAIT = Rule(False, first="wait until that is done")

# operation: synchronised, fractured
_TABLE: dict[Operation, tuple[Rule, Rule]] = {
    Operation.FRACTURE: (_YES, _NEVER),
    Operation.RESYNC: (_NEVER, _UNPRESENTED),
    Operation.RESTORE: (_FRACTURE, _UNPRESENTED),
    Operation.DETACH: (_FRACTURE, _YES),
    Operation.DELETE: (_BOTH, _DETACH),
    Operation.PRESENT: (_FRACTURE, _YES),
    Operation.MIGRATE: (_YES, _NEVER),
    Operation.SNAPSHOT: (_FRACTURE, _YES),
    Operation.SNAPCLONE: (_NEVER, _NEVER),
}


def rule(operation: Operation, phase: MirrorPhase) -> Rule:
    """The table's answer. States that it does not have permit nothing."""
    synchronised, fractured = _TABLE[operation]
    if phase is MirrorPhase.SYNCHRONISED:
        return synchronised
    return fractured if phase is MirrorPhase.FRACTURED else _WAIT


def permit(operation: Operation, copy: Vdisk, here: str = "") -> None:
    """RefusedError that names the state found. ``here``: this host; to others a set is lent."""
    found = rule(operation, copy.phase) if copy.form is Form.MIRRORCLONE else _UNJUDGED[operation]
    state = f"{copy.phase} " if copy.form is Form.MIRRORCLONE else ""
    if not found.allowed:
        raise RefusedError(
            f"cannot {operation} the {state}{copy.form} {copy.name}", hint=found.first
        )
    if found.unpresented and copy.presentations:
        hosts = ", ".join(f"{one.host} as LUN {one.number}" for one in copy.presentations)
        lent = any(one.host != here for one in copy.presentations)
        raise RefusedError(
            f"cannot {operation}: {copy.name} is presented to {hosts}",
            hint="bring it back first: exshadow snapshot recall SET"
            if lent
            else "unpresent it first",
        )


# What the other rules of the fact sheet say of a vdisk that is no mirrorclone.
_UNJUDGED: dict[Operation, Rule] = {
    Operation.FRACTURE: _NEVER,
    Operation.RESYNC: _NEVER,
    Operation.RESTORE: _UNPRESENTED,
    Operation.DETACH: _NEVER,
    Operation.DELETE: _UNPRESENTED,
    Operation.PRESENT: _YES,
    Operation.MIGRATE: _YES,
    Operation.SNAPSHOT: _YES,
    Operation.SNAPCLONE: _YES,
}
