"""What a killed run left: finished where that is what was meant, undone where nobody can say any
more that it was good. By the journal and the product's own state."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

from exshadow.catalog.journal import Entry
from exshadow.errors import Error
from exshadow.names import is_pinned
from exshadow.providers.contract import Action, Stage, Verb
from exshadow.service import sets
from exshadow.service.policy_run import making
from exshadow.service.policy_run.room import Room

_GOING = (Stage.HALF, Stage.RUNNING)


def settle(room: Room) -> list[str]:
    """Everything of the group that has not ended; what was done about it, a line each.

    A split that cannot be undone is raised: nothing new is begun beside it.
    """
    told = []
    for entry in room.journal.unfinished(room.group):
        there = room
        if entry.provider != room.provider.name:
            there = room.at(room.build(entry.provider))
        done = _WAYS.get(entry.action.verb, _finish)(there, entry)
        told.append(f"{entry.action.verb} of mirror {entry.action.mirror} was interrupted: {done}")
        room.note(told[-1])
    return told + _lost(room)


def _lost(room: Room) -> list[str]:
    """Sets that only the catalog has: somebody removed them from the product. They fail, so that
    nobody counts on them."""
    told = []
    held = {one.set_id for one in room.provider.mirrors(room.group, room.sources)}
    for one in room.sets():
        if one.id in held:
            continue
        entry = room.journal.split_of(one.id)
        if one.state != "ready" or one.provider == sets.PROVIDER or entry is None:
            continue
        if room.provider.standing(entry.action).stage not in (Stage.DONE, Stage.RUNNING):
            room.desk.catalog.change_set(one.id, state="failed")
            told.append(f"set {one.label} is gone: {one.provider} holds it no longer")
            room.note(told[-1])
    return told


def _split(room: Room, entry: Entry) -> str:
    """A set that is there is kept when it needs no writer's word; any other is undone."""
    action = entry.action
    standing = room.provider.standing(action)
    if entry.state == "started" and not action.writers and standing.stage is Stage.DONE:
        # Begun is the nearest that anybody knows to the point in time, and never too late.
        making.record(room, action, standing, 0, created=entry.started)
        room.journal.end(action, "done", "finished by a later run")
        return f"set {action.label} is whole and kept"
    making.undo(room, action)
    return f"set {action.label} is undone"


def _restore(room: Room, entry: Entry) -> str:
    """Gone on with while production is half of each; never begun anew: since then production may
    have been written to."""
    standing = room.provider.standing(entry.action)
    if standing.stage in _GOING:
        return _finish(room, entry)
    if standing.stage is Stage.DONE:
        room.journal.end(entry.action, "done")
        return "it was done"
    room.journal.end(entry.action, "undone", standing.detail or standing.stage.value)
    if standing.stage is Stage.FAILED:
        return f"it is not gone on with: {standing.detail}"
    return "it is not repeated: restore the set again if production is not what it should be"


def _give_up(room: Room, entry: Entry) -> str:
    """What ends a set is gone on with, never begun anew: since then somebody may have pinned the
    set, or want it for a restore. A pin only lets a resync under way go on: nothing is left of the
    set then."""
    action = entry.action
    stage = room.provider.standing(action).stage
    if stage is Stage.ABSENT:
        room.journal.end(action, "undone", "nothing had been done")
        return "nothing had been done"
    if action.verb is Verb.DISSOLVE and stage is not Stage.DONE and _is_pinned(room, action):
        room.journal.end(action, "undone", "the set is pinned")
        return "it is not gone on with: the set is pinned"
    return _finish(room, entry)


def _is_pinned(room: Room, action: Action) -> bool:
    return any(one.id == action.set_id and is_pinned(one.pinned_until) for one in room.sets())


def _present(room: Room, entry: Entry) -> str:
    back = replace(_derived(entry.action, "unpresent"), verb=Verb.UNPRESENT)
    try:
        room.do(back)
    except Error as problem:
        if room.provider.standing(entry.action).stage is not Stage.FAILED:
            raise
        room.note(f"the set is not there any more: {problem}")
    room.journal.end(entry.action, "undone")
    return "taken back"


def _finish(room: Room, entry: Entry) -> str:
    """To its end; where that cannot be, the mirrors' states say how to go on."""
    try:
        room.do(entry.action)
    except Error as problem:
        if problem.exit_status == 130:
            raise
        return f"it cannot be finished: {problem}"
    return "finished"


def _derived(action: Action, what: str) -> Action:
    """Another action that has the same id whenever it is made of this one."""
    return replace(action, id=str(uuid.uuid5(uuid.UUID(action.id), what)))


_WAYS: dict[Verb, Callable[[Room, Entry], str]] = {
    Verb.SPLIT: _split,
    Verb.RESTORE: _restore,
    Verb.RESYNC: _give_up,
    Verb.DISSOLVE: _give_up,
    Verb.PROMOTE: _give_up,
    Verb.PRESENT: _present,
}
