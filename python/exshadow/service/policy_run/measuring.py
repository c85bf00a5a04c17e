"""What a run measures of its new set, so that later ones can be seen to be unusual: how much
changed since the set before, and how much of that does not compress: encrypted, perhaps."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from pathlib import Path

from exshadow.errors import Error
from exshadow.model import ChangedMember, Member, SetRecord
from exshadow.providers.contract import Verb
from exshadow.service.policy_run.room import Room
from exshadow.service.sets import PROVIDER as NATIVE

_SAMPLES = 256  # places looked at in each volume
_PIECE = 16 << 10
_TIGHT = 0.95  # of its length: what zlib cannot make smaller than that does not compress


def measure(room: Room, one: SetRecord, before: SetRecord | None) -> dict[str, float]:
    """Values for the catalog, as far as the provider can tell; said aloud when it fails."""
    try:
        changed = _changed(room, one, before)
        if changed is None:
            return {}
        found = {"changed_bytes": float(sum(member.bytes for member in changed))}
        with room.presented(one) as members:
            share = incompressible(members, changed, seed=one.id)
        return found if share is None else {**found, "incompressible": share}
    except (Error, OSError) as problem:
        room.note(f"set {one.label} was not measured: {problem}")
        return {}


def _changed(
    room: Room, one: SetRecord, before: SetRecord | None
) -> Sequence[ChangedMember] | None:
    """Since the set before; None where the product has no such map or there was none."""
    if before is None:
        return None
    if one.provider == NATIVE:
        return room.service.diff_set(one.id, before.id)
    mirror = room.mirror_of(before)
    return room.provider.changed(room.action(Verb.SPLIT, mirror, before.id, before.label))


def incompressible(
    members: Sequence[Member], changed: Sequence[ChangedMember], *, seed: str
) -> float | None:
    """Share of sampled changed pieces that do not compress; None when nothing changed. The same
    seed looks at the same places."""
    dice = random.Random(seed)
    paths = {member.volume: member.path for member in members}
    looked = tight = 0
    for one in changed:
        path = paths.get(one.volume)
        if not path or not one.changed:
            continue
        with Path(path).open("rb", buffering=0) as file:
            for offset in _places(one, dice):
                file.seek(offset)
                piece = file.read(_PIECE)
                if not piece:
                    continue
                looked += 1
                tight += len(zlib.compress(piece, 1)) >= _TIGHT * len(piece)
    return tight / looked if looked else None


def _places(one: ChangedMember, dice: random.Random) -> list[int]:
    """Offsets within what changed, each byte as likely as any other."""
    total = one.bytes
    chosen = sorted(dice.randrange(total) for _ in range(min(_SAMPLES, -(-total // _PIECE))))
    found, begun, extents = [], 0, iter(one.changed)
    offset, length = next(extents)
    for place in chosen:
        while place >= begun + length:
            begun += length
            offset, length = next(extents)
        found.append((offset + place - begun) // _PIECE * _PIECE)
    return found
