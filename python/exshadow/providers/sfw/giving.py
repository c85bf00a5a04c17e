"""Snapshot volumes given back to production as plexes, in the background.

Before a command is given, the record names the volumes that it is to give back. Whoever comes after
a kill waits for those first: the command that is still at work is neither raced nor given twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from exshadow.providers.sfw.look import Copy, Ground
from exshadow.providers.sfw.records import Record
from exshadow.providers.sfw.settling import ensure, settled


def left(ground: Ground, copies: Sequence[Copy]) -> list[Copy]:
    """Those that are snapshot volumes now."""
    return [one for one in copies if ground.product.volume(one.name, one.where) is not None]


def still_due(ground: Ground, record: Record | None, copies: Sequence[Copy]) -> list[Copy]:
    """Those that are to be given back, once what an earlier try asked for has had its time."""
    asked = [one for one in copies if record and one.name in record.asked]
    settled(ground, lambda: not left(ground, asked))
    return left(ground, copies)


def note(ground: Ground, record: Record, copies: Sequence[Copy]) -> Record:
    """Durable before the command is given."""
    return ground.records.write(replace(record, asked=tuple(one.name for one in copies)))


def give_one(ground: Ground, record: Record | None, copy: Copy, command: str) -> Record | None:
    """By one snapback of either direction. ProviderError when it stays a snapshot volume."""
    if record:
        record = note(ground, record, [copy])
    said = ground.product.do(command, group=copy.where, volume=copy.name)
    found = f"{copy.name} is still a snapshot volume"
    ensure(ground, said, lambda: not left(ground, [copy]), found, background=True)
    return record
