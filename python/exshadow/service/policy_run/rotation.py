"""Which mirror is split next, and which set gives its mirror up for it: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from exshadow.errors import RefusedError
from exshadow.model import SetRecord
from exshadow.policy.planning import moment_of
from exshadow.policy.retention import Fate
from exshadow.providers.contract import Mirror, MirrorState

TO_PREPARE = (MirrorState.NONE, MirrorState.SYNCING)


@dataclass(frozen=True, slots=True)
class Turn:
    """``mirror``: whose turn it is; ``gives_up``: the set that its copies are now, to be resynced
    first; ``prepare``: mirrors that are to be made before anything else."""

    mirror: str
    gives_up: SetRecord | None
    prepare: tuple[str, ...]


def turn(
    labels: Sequence[str],
    mirrors: Mapping[str, Mirror],
    held: Mapping[str, SetRecord],
    fates: Sequence[Fate],
) -> Turn:
    """``labels``: the policy's mirrors; ``held``: the set each mirror is, if any; ``fates``: of the
    group's sets, by retention.

    A ready mirror, one that is still to be made, else the mirror of the set that retention gives
    up, else of the oldest. Never of a pinned set, never of the newest verified one, never of one
    that is lent. RefusedError when none is left.
    """
    states = {label: _state(mirrors, label) for label in labels}
    missing = tuple(label for label in labels if states[label] in TO_PREPARE)
    ready = [label for label in labels if states[label] is MirrorState.READY]
    for label in (*ready, *missing):
        return Turn(label, None, missing)
    by_id = {fate.held.id: fate for fate in fates}
    free = [
        (by_id[one.id].kept, moment_of(one.created), label)
        for label, one in held.items()
        if label in states and one.id in by_id and not by_id[one.id].guarded
        and states[label] is MirrorState.SPLIT and not mirrors[label].lent
    ]  # fmt: skip
    if not free:
        raise RefusedError(
            "no mirror can be split: " + _reasons(labels, mirrors, held, by_id),
            hint=_hint(labels, mirrors, held),
        )
    label = min(free, key=_order)[2]
    return Turn(label, held[label], missing)


def _order(one: tuple[bool, datetime, str]) -> tuple[bool, datetime, str]:
    return one


def _state(mirrors: Mapping[str, Mirror], label: str) -> MirrorState:
    return mirrors[label].state if label in mirrors else MirrorState.NONE


def _hint(
    labels: Sequence[str], mirrors: Mapping[str, Mirror], held: Mapping[str, SetRecord]
) -> str:
    fresh = next(number for number in count(1) if f"m{number}" not in labels)
    names = ", ".join(f'"{label}"' for label in (*labels, f"m{fresh}"))
    another = f"name another mirror in the policy: mirrors = [{names}]"
    if any(_state(mirrors, one) is MirrorState.SPLIT and one not in held for one in labels):
        return f"bring the catalog back (exshadow catalog import FILE), or {another}"
    for label in labels:
        if label in held and _state(mirrors, label) is MirrorState.BROKEN:
            name = f"{held[label].group}@{held[label].label}"
            return f"{another}; or give its set up: exshadow snapshot delete {name}"
    return another


def _reasons(
    labels: Sequence[str],
    mirrors: Mapping[str, Mirror],
    held: Mapping[str, SetRecord],
    by_id: Mapping[str, Fate],
) -> str:
    said = []
    for label in labels:
        one = held.get(label)
        state = _state(mirrors, label)
        if one is None or one.id not in by_id or state is MirrorState.BROKEN:
            detail = mirrors[label].detail if state is MirrorState.BROKEN else ""
            if state is MirrorState.SPLIT and one is None:
                detail = "a set that the catalog does not know"
            broken = f" (set {one.label})" if one is not None and detail else ""
            said.append(f"{label} is {detail or state}{broken}")
            continue
        if label in mirrors and mirrors[label].lent:
            said.append(f"{label} is set {one.label} (lent to {mirrors[label].lent})")
            continue
        why = ", ".join(by_id[one.id].reasons)
        said.append(f"{label} is set {one.label} ({why})")
    return "; ".join(said) or "the policy names none"
