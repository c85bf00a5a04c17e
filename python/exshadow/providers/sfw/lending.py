"""Lend: the set's disks leave in a disk group of their own, of which this host lets go. Recall: the
group is imported here again and joined with the one that its volumes come from.

Both go on from what the product shows, so they may be repeated after any crash. The import is
forced (the only spelling that is known), also away from a host that uses the disks, which then
loses data: a recall needs the word that the other host has let go.
"""

from __future__ import annotations

from dataclasses import replace

from exshadow.errors import InvalidError, RefusedError
from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.sfw import offhost, rules
from exshadow.providers.sfw.look import Copy, Ground, Look
from exshadow.providers.sfw.mounting import unassign
from exshadow.providers.sfw.naming import lent_group


def standing(ground: Ground, action: Action) -> Standing:
    """Done when this host has let go of the disk groups that the copies are in."""
    copies = _copies(ground, action)
    if not all(copy.exists for copy in copies):
        return Standing(Stage.FAILED, f"no set {action.label or action.set_id} is here")
    away = [copy for copy in copies if copy.away]
    if not away or _lent_to_another(ground, action):
        return Standing(Stage.ABSENT)
    if len(away) < len(copies) or _imported(ground, away):
        return Standing(Stage.HALF, "its disks have not left yet")
    return Standing(Stage.DONE, _what_next(ground, action, away))


def start(ground: Ground, action: Action) -> None:
    """Split the set's disks off, then let go of them."""
    record = ground.records.read(action.set_id)
    rules.same_host(ground, record)
    rules.no_other_work(record, action)
    host = _host(ground, action)
    copies = _copies(ground, action)
    if not any(copy.away for copy in copies):
        offhost.may_leave(ground, action, lent_group(action.set_id))
    elif another := _lent_to_another(ground, action):
        raise RefusedError(
            f"set {action.label or action.set_id} is lent to {another} already",
            hint="bring it back first: exshadow snapshot recall SET",
        )
    if record and record.lent != host:
        ground.records.write(replace(record, lent=host))
    if not all(copy.away for copy in copies):
        offhost.split_off(ground, action, lent_group(action.set_id))
    for group in _groups(_copies(ground, action)):
        offhost.release(ground, group)


def standing_of_recall(ground: Ground, action: Action) -> Standing:
    """Done when every copy is beside its original again."""
    record = ground.records.read(action.set_id)
    copies = _copies(ground, action)
    if not all(copy.exists for copy in copies):
        return Standing(Stage.FAILED, f"no set {action.label or action.set_id} is here")
    away = [copy for copy in copies if copy.away]
    if not away:
        lent = record is not None and record.lent
        return Standing(Stage.HALF, "the record has it lent") if lent else Standing(Stage.DONE)
    half = len(away) < len(copies) or _imported(ground, away)
    return Standing(Stage.HALF if half else Stage.ABSENT)


def recall(ground: Ground, action: Action) -> None:
    """Import what is away, take letters that it got away, join it."""
    record = ground.records.read(action.set_id)
    rules.same_host(ground, record)
    released = action.options.get("released") == "yes"
    copies = _copies(ground, action)
    for group in _groups(copies):
        offhost.take(ground, group, free_elsewhere=released)
        here = [copy for copy in _copies(ground, action) if copy.where == group]
        for copy in here:
            if copy.snapshot:
                unassign(ground, copy.snapshot)  # a letter that the import gave, nobody asked for
        for home in sorted({copy.home for copy in here}):
            offhost.bring_back(ground, group, home)
    if record and record.lent:
        ground.records.write(replace(record, lent=""))


def _copies(ground: Ground, action: Action) -> list[Copy]:
    return Look(ground).copies(action, ground.records.read(action.set_id))


def _groups(copies: list[Copy]) -> list[str]:
    return sorted({copy.where for copy in copies if copy.away})


def _imported(ground: Ground, away: list[Copy]) -> bool:
    known = ground.product.groups()
    return any(copy.where in known and known[copy.where].imported for copy in away)


def _host(ground: Ground, action: Action) -> str:
    host = action.options.get("host", "")
    if not host:
        raise InvalidError("nobody said which host gets the set", hint="lend SET --to HOST")
    if host.casefold() == ground.settings.host.casefold():
        raise InvalidError(f"{host} is this host", hint="name the one that is to read the set")
    return host


def _lent_to_another(ground: Ground, action: Action) -> str:
    """The host that has the set, when the action names another one. Empty where nobody wrote it
    down: a set that was lent by hand."""
    record = ground.records.read(action.set_id)
    lent, host = record.lent if record else "", action.options.get("host", "")
    return lent if host and lent.casefold() != host.casefold() else ""


def _what_next(ground: Ground, action: Action, away: list[Copy]) -> str:
    """What somebody does on the other host, in the product's own words."""
    host = action.options.get("host") or "the other host"
    groups = _groups(away)
    told = [ground.product.shown("rescan")]
    told += [ground.product.shown("group_import", group=group) for group in groups]
    back = [ground.product.shown("group_deport", group=group) for group in groups]
    return (
        f"disk group {', '.join(groups)} is free for {host}; there: {'; '.join(told)}; "
        f"when it is done, before the recall: {'; '.join(back)}"
    )
