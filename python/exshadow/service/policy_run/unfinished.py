"""What a killed run left: finished where that is what was meant, undone where nobody can say any
more that it was good. By the journal and the product's own state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from exshadow.catalog.journal import Entry
from exshadow.catalog.leases import LostLeaseError
from exshadow.errors import Error
from exshadow.model import SetRecord
from exshadow.providers.contract import REPLACES_PRODUCTION, Action, Stage, Verb
from exshadow.providers.registry import renewed
from exshadow.service import sets
from exshadow.service.policy_run import replacing
from exshadow.service.policy_run.room import Room
from exshadow.service.policy_run.ways import Way, drop, pin_of, settle_by, strange, way_of

_RAISED = frozenset({Verb.SPLIT, Verb.PRESENT})
"""Beside which nothing new is begun while they cannot be undone."""


def settle(room: Room, mirrors: Sequence[str] = ()) -> list[str]:
    """Everything of the group that has not ended; what was done about it, a line each. ``mirrors``:
    those that the policy has, none for any.

    Raised, so that nothing new is begun: a split of the room's provider that cannot be undone, and
    a restore or promotion, of whatever group and provider, that production may be half of. What
    else cannot be settled stays in the journal and is told.
    """
    replacing.refuse_others(room)
    told = []
    for entry in replacing.first(room.journal.unfinished(room.group)):
        if not room.journal.is_left(entry):  # what was undone before was its consequence
            continue
        wanted = _is_mine(room, entry) and (not mirrors or entry.action.mirror in mirrors)
        try:
            done = _settled(room, entry, way_of(entry) if wanted else strange(entry))
        except Error as problem:
            if replacing.is_replacing(entry):
                replacing.hinted(entry, problem)
                raise
            raised = entry.action.verb in _RAISED and _is_mine(room, entry)
            if raised or _stops(problem):
                raise
            done = _left_as_it_is(entry, problem)
        told.append(_told(room, entry, done))
    return told + _lost(room)


def require_whole(room: Room, left: Sequence[Entry]) -> None:
    """RefusedError for what a run would refuse because of half restores. Nothing is changed."""
    replacing.refuse_others(room)
    for entry in left:
        if replacing.is_replacing(entry):
            with there(room, entry) as then:
                replacing.require_whole(then, entry)


def make_way(room: Room, one: SetRecord, mirror: str, asked: Verb | None = None) -> list[str]:
    """For a command that production waits for, ``asked``, None for one that only reads: only what
    was left of this set's mirror is settled, and of that only what is of this very set may stop it.
    A half restore goes on when the same was asked for; nothing else may write to production, which
    may have been written to since."""
    told = []
    for entry in replacing.first(room.journal.unfinished(room.group)):
        action = entry.action
        replaces = replacing.is_replacing(entry)
        same = _is_mine(room, entry) and action.mirror == mirror
        again = replaces and asked is action.verb and action.set_id == one.id
        if replaces and asked not in REPLACES_PRODUCTION:
            told.append(_told(room, entry, f"it is left as it is: {replacing.HALF}"))
            continue
        if not replaces and (not same or action.verb is Verb.PREPARE):
            told.append(_told(room, entry, "it is left to the next run"))
            continue
        try:
            done = _settled(room, entry, replacing.go_on if again else way_of(entry))
        except Error as problem:
            needed = action.set_id == one.id and not replaces
            if needed or _stops(problem):
                raise
            done = f"it is left as it is ({problem.message})"
        told.append(_told(room, entry, done))
    if one.state == "failed":
        told += _lost(room)
    return told


def settle_one(room: Room, entry: Entry) -> str:
    """One entry in its own room, where no policy is to go on: a preparation is undone. What was
    done about it; errors are raised."""
    if not room.journal.is_left(entry):
        return "it has ended"
    if replacing.is_replacing(entry):
        return replacing.go_on(room, entry)
    return (drop if entry.action.verb is Verb.PREPARE else way_of(entry))(room, entry)


def _is_mine(room: Room, entry: Entry) -> bool:
    return entry.provider == room.provider.name


def _stops(problem: Error) -> bool:
    """Whether it ends all work here, not only this entry's."""
    return problem.exit_status == 130 or isinstance(problem, LostLeaseError)


def _told(room: Room, entry: Entry, done: str) -> str:
    by = "" if _is_mine(room, entry) else f" by {entry.provider}"
    action = entry.action
    text = f"{action.verb} of mirror {action.mirror}{by} was interrupted: {done}"
    room.note(text)
    return text


def _settled(room: Room, entry: Entry, way: Way) -> str:
    with there(room, entry) as then:
        return way(then, entry)


def _left_as_it_is(entry: Entry, problem: Error) -> str:
    again = _again(entry.action)
    return f"it is left as it is ({problem.message}); {again}{settle_by(entry)}"


@contextmanager
def there(room: Room, entry: Entry) -> Iterator[Room]:
    """The room that the entry was begun in: its volumes and its provider, which makes the copies of
    then and is reached as today's policy says, if it says anything of it."""
    then = room.at(entry, renewed(entry.provider, entry.settings, room.settings))
    try:
        with then.leased():
            yield then
    finally:
        close = getattr(then.provider, "close", None)
        if close is not None and then.provider is not room.provider:
            close()


def _lost(room: Room) -> list[str]:
    """Sets that only the catalog has: somebody removed them from the product. They fail, so that
    nobody counts on them; one that is found again is ready again. Each is looked for where it was
    made, whatever the policy says of new ones."""
    told = []
    held = {one.set_id for one in room.provider.mirrors(room.group, room.sources)}
    for one in room.sets():
        if one.provider == sets.PROVIDER or one.state not in ("ready", "failed"):
            continue
        entry = room.journal.split_of(one.id)
        if entry is None or (one.state == "ready" and one.id in held):
            continue
        try:
            text = _looked_for(room, one, entry)
        except Error as problem:
            if _stops(problem):
                raise
            text = f"set {one.label} could not be looked for ({problem.message})"
        if text:
            told.append(text)
            room.note(text)
    return told


def _looked_for(room: Room, one: SetRecord, entry: Entry) -> str:
    """What is new about it, empty for nothing."""
    with there(room, entry) as then:
        if one.state == "ready" and not _is_there(then, entry.action):
            room.desk.catalog.change_set(one.id, state="failed")
            return f"set {one.label} is gone: {one.provider} holds it no longer"
        if one.state == "failed" and then.provider.standing(entry.action).stage is Stage.DONE:
            room.desk.catalog.change_set(one.id, state="ready")
            return f"set {one.label} is found again: it is ready"
    return ""


def _is_there(room: Room, split: Action) -> bool:
    """Whether the product has every copy of the set, and if it is in the middle of letting go."""
    if room.provider.standing(split).stage in (Stage.DONE, Stage.RUNNING):
        return True
    return room.provider.standing(replace(split, verb=Verb.DISSOLVE)).stage is Stage.HALF


def to_be_undone(room: Room, left: Sequence[Entry]) -> dict[str, str]:
    """Of what is left the sets that :func:`settle` will undo, each with its mirror."""
    return {
        one.action.set_id: one.action.mirror
        for one in left
        if one.action.verb is Verb.SPLIT
        and (one.state == "failed" or one.action.writers)
        and not pin_of(room, one.action)
    }


def _again(action: Action) -> str:
    """The command that does it, for what was done to a set."""
    commands = {
        Verb.RESYNC: "snapshot resync",
        Verb.DISSOLVE: "snapshot delete",
    }
    command = commands.get(action.verb)
    return f"repeat: exshadow {command} {action.group}@{action.label}; " if command else ""
