"""Promote: production's letters and folders go to the copies, then the relation is forgotten.

The old volume, where it still exists, stays without a letter: nothing is deleted. A group whose
policy names volumes by device path cannot be promoted, as that path stays with the old volume.
"""

from __future__ import annotations

from dataclasses import replace

from exshadow.errors import Error, RefusedError
from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.sfw import rules
from exshadow.providers.sfw.dropping import clear
from exshadow.providers.sfw.look import Copy, Ground, Look, members
from exshadow.providers.sfw.mounting import assign, unassign
from exshadow.providers.sfw.naming import device_parts
from exshadow.providers.sfw.records import Part, Record


def standing(ground: Ground, action: Action) -> Standing:
    """Done when production's paths lead to the copies and nothing relates them to the old ones."""
    record = ground.records.read(action.set_id)
    look = Look(ground)
    copies = look.copies(action, record)
    if rules.is_gone(copies):
        return Standing(Stage.FAILED, f"no set {action.label or action.set_id} is here")
    if record and record.action == action.id and record.step:
        return Standing(Stage.HALF, "the copies are being put in production's place")
    moved = [_is_production(look, copy) and not copy.clear for copy in copies]
    if all(moved) and record is None:
        kept = ", ".join(copy.original for copy in copies if copy.original != copy.name)
        detail = f"the old volumes stay: {kept}" if kept else ""
        return Standing(Stage.DONE, detail, members=members(ground, action, copies))
    return Standing(Stage.HALF if any(moved) else Stage.ABSENT)


def _is_production(look: Look, copy: Copy) -> bool:
    now = look.by_path(copy.source)
    return now is not None and (now.group, now.name) == (copy.where, copy.name)


def start(ground: Ground, action: Action) -> None:
    """Begin or go on."""
    record = ground.records.read(action.set_id)
    rules.same_host(ground, record)
    rules.no_other_work(record, action)
    copies = Look(ground).copies(action, record)
    rules.whole(copies, action)
    if record is None:
        record = _remembered(ground, action, copies)
    if not record.step:
        record = _begin(ground, action, record, copies)
    _swap(ground, record)
    for copy in Look(ground).copies(action, record):
        clear(ground, copy)
    ground.records.forget(action.set_id)


def _remembered(ground: Ground, action: Action, copies: list[Copy]) -> Record:
    """A record for a set whose own was lost: what is known from the product."""
    parts = tuple(
        Part(copy.source.name, copy.home, copy.original, copy.name, "",
             copy.production.places if copy.production else ())
        for copy in copies
    )  # fmt: skip
    host = ground.settings.host
    return Record(action.set_id, action.group, action.mirror, host, parts, phase="split")


def _begin(ground: Ground, action: Action, record: Record, copies: list[Copy]) -> Record:
    """All is judged before anything is touched. Where production was mounted is written down."""
    rules.production_is_free(ground, action)
    rules.at_home(copies)
    rules.unmounted(copies)
    if any(copy.production for copy in copies):
        rules.is_production([copy for copy in copies if copy.production])
    parts = []
    for part, copy in zip(record.parts, copies, strict=True):
        if device_parts(copy.source.path):
            raise RefusedError(
                f"{copy.source.path} names the old volume for ever, the copy cannot take its name",
                hint="name production by its letter or folder in the policy, then promote",
            )
        places = copy.production.places if copy.production else part.places
        if not places:
            raise RefusedError(
                f"nobody knows which letter {copy.source.name} had",
                hint="assign it by hand: vxassist -f assign ... DriveLetter=",
            )
        parts.append(replace(part, places=places))
    begun = replace(record, parts=tuple(parts), action=action.id, step="begun")
    return ground.records.write(begun)


def _swap(ground: Ground, record: Record) -> None:
    """Every old volume loses its places before any copy gets one: all, or none."""
    try:
        for part in record.parts:
            old = ground.product.volume(part.original, part.group)
            if old is not None:
                unassign(ground, old)
    except Error:
        _undo(ground, record)
        raise
    for part in record.parts:
        copy = ground.product.volume(part.snapshot, part.group)
        for place in part.places:
            if copy is None or place not in copy.places:
                assign(ground, part.group, part.snapshot, place)


def _undo(ground: Ground, record: Record) -> None:
    """Production where it was; nothing was promoted."""
    for part in record.parts:
        old = ground.product.volume(part.original, part.group)
        new = ground.product.volume(part.snapshot, part.group)
        if new is not None and set(new.places) & set(part.places):
            return  # an earlier try got further: it can only go on
        for place in part.places:
            if old is not None and place not in old.places:
                assign(ground, part.group, part.original, place)
    ground.records.write(replace(record, action="", step=""))
