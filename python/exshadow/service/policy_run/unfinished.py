"""What a killed run left: finished where that is what was meant, undone where nobody can say any
more that it was good. By the journal and the product's own state."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from exshadow.catalog.journal import Entry
from exshadow.catalog.leases import LostLeaseError
from exshadow.errors import Error
from exshadow.names import is_pinned
from exshadow.providers.contract import Action, MirrorState, Stage, Verb
from exshadow.providers.registry import renewed
from exshadow.service import sets
from exshadow.service.policy_run import making
from exshadow.service.policy_run.room import Room

_GOING = (Stage.HALF, Stage.RUNNING)


def settle(room: Room, mirrors: Sequence[str] = ()) -> list[str]:
    """Everything of the group that has not ended; what was done about it, a line each. ``mirrors``:
    those that the policy has, none for any.

    A split that cannot be undone is raised: nothing new is begun beside it. What another provider
    than the room's holds, and cannot be settled, stays in the journal and is told; but a restore is
    raised, for production may be half of it.
    """
    told = []
    for entry in room.journal.unfinished(room.group):
        action = entry.action
        mine = entry.provider == room.provider.name
        wanted = mine and (not mirrors or action.mirror in mirrors)
        done = _settled(room, entry, _WAYS.get(action.verb, _finish) if wanted else _strange(entry))
        by = "" if mine else f" by {entry.provider}"
        told.append(f"{action.verb} of mirror {action.mirror}{by} was interrupted: {done}")
        room.note(told[-1])
    return told + _lost(room)


def settle_one(room: Room, entry: Entry) -> str:
    """One entry in its own room, where no policy is to go on: a preparation is undone. What was
    done about it; errors are raised."""
    if entry.action.id not in {one.action.id for one in room.journal.unfinished(room.group)}:
        return "it has ended"
    way = _drop if entry.action.verb is Verb.PREPARE else _WAYS.get(entry.action.verb, _finish)
    return way(room, entry)


def _settled(room: Room, entry: Entry, way: _Way) -> str:
    try:
        with _there(room, entry) as there:
            return way(there, entry)
    except Error as problem:
        mine = entry.provider == room.provider.name
        if mine or problem.exit_status == 130 or isinstance(problem, LostLeaseError):
            raise
        if entry.action.verb is Verb.RESTORE:
            problem.hint = f"production may be half of it; {_settle_by(entry)}"
            raise
        return f"it is left as it is ({problem.message}); {_settle_by(entry)}"


def _settle_by(entry: Entry) -> str:
    return f"to settle it: exshadow policy settle {entry.action.group}"


@contextmanager
def _there(room: Room, entry: Entry) -> Iterator[Room]:
    """The room that the entry was begun in: its volumes and its provider, which makes the copies of
    then and is reached as today's policy says, if it says anything of it."""
    there = room.at(entry, renewed(entry.provider, entry.settings, room.settings))
    try:
        with there.leased():
            yield there
    finally:
        close = getattr(there.provider, "close", None)
        if close is not None and there.provider is not room.provider:
            close()


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
        if not _is_there(room, entry.action):
            room.desk.catalog.change_set(one.id, state="failed")
            told.append(f"set {one.label} is gone: {one.provider} holds it no longer")
            room.note(told[-1])
    return told


def _is_there(room: Room, split: Action) -> bool:
    """Whether the product has every copy of the set, and if it is in the middle of letting go."""
    if room.provider.standing(split).stage in (Stage.DONE, Stage.RUNNING):
        return True
    return room.provider.standing(replace(split, verb=Verb.DISSOLVE)).stage is Stage.HALF


def _split(room: Room, entry: Entry) -> str:
    """A set that is there is kept when it needs no writer's word, or somebody pinned it; any other
    is undone."""
    action = entry.action
    standing = room.provider.standing(action)
    if entry.state == "started" and not action.writers and standing.stage is Stage.DONE:
        # Begun is the nearest that anybody knows to the point in time, and never too late.
        making.record(room, action, standing, 0, created=entry.started)
        room.journal.end(action, "done", "finished by a later run")
        return f"set {action.label} is whole and kept"
    pin = _pin_of(room, action)
    if pin and standing.stage is Stage.DONE:
        room.journal.end(action, "done", "kept: it is pinned")
        return f"set {action.label} is kept, as it is pinned, though its run did not end well"
    if pin:
        return f"set {action.label} is not undone: {_unpin(action, pin)}"
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


def _move(room: Room, entry: Entry) -> str:
    """Lend and recall are gone on with, never begun anew: since then somebody may want the set for
    a restore. They end no set: no pin is in their way. Of several only the last is meant."""
    action = entry.action
    later = [
        one
        for one in room.journal.unfinished(room.group)
        if one.action.set_id == action.set_id
        and one.action.verb in (Verb.LEND, Verb.RECALL)
        and one.started > entry.started
    ]
    standing = room.provider.standing(action)
    if not later and standing.stage not in (Stage.ABSENT, Stage.FAILED):
        return _finish(room, entry)
    said = f"{later[-1].action.verb} was asked for later" if later else standing.detail
    room.journal.end(action, "undone", said or "nothing had been done")
    return said or "nothing had been done"


def _give_up(room: Room, entry: Entry) -> str:
    """What ends a set is gone on with, never begun anew: since then somebody may have pinned the
    set, or want it for a restore. A pin stops it while any copy of
    the set is still there; a resync goes on when the pin is lifted, for the set is not whole any
    more."""
    action = entry.action
    stage = room.provider.standing(action).stage
    if stage is Stage.ABSENT:
        room.journal.end(action, "undone", "nothing had been done")
        return "nothing had been done"
    pin = _pin_of(room, action) if action.verb is not Verb.PROMOTE else None
    if pin and stage is not Stage.DONE and _some_left(room, action):
        if action.verb is Verb.DISSOLVE:  # every copy is as it was: whoever wants it asks again
            room.journal.end(action, "undone", "the set is pinned")
            return f"it is not gone on with: the set is pinned until {pin}"
        room.desk.catalog.change_set(action.set_id, state="resyncing")
        return f"it is not gone on with: {_unpin(action, pin)}"
    return _finish(room, entry)


def _abort(room: Room, entry: Entry) -> str:
    """Of a split: as what ends a set. Of a preparation: to its end."""
    return _give_up(room, entry) if entry.action.set_id else _finish(room, entry)


def _pin_of(room: Room, action: Action) -> str | None:
    """Until when the action's set is pinned, None when it is not."""
    pins = [one.pinned_until for one in room.sets() if one.id == action.set_id]
    return next((pin for pin in pins if is_pinned(pin)), None)


def _some_left(room: Room, action: Action) -> bool:
    """Whether a copy of the set may still be there: not when all went back into the mirror."""
    mirrors = room.provider.mirrors(room.group, room.sources)
    state = next((one.state for one in mirrors if one.label == action.mirror), MirrorState.NONE)
    return state not in (MirrorState.READY, MirrorState.SYNCING)


def _unpin(action: Action, pin: str) -> str:
    return (
        f"the set is pinned until {pin}; when the pin is lifted, the next run goes on: "
        f"exshadow snapshot pin {action.group}@{action.label} --clear --reason TEXT"
    )


def _strange(entry: Entry) -> _Way:
    """For what the policy does not have any more. Nothing is copied for it."""
    is_prepare = entry.action.verb is Verb.PREPARE
    return _leave if is_prepare else _WAYS.get(entry.action.verb, _finish)


def _leave(room: Room, entry: Entry) -> str:
    """A preparation that nobody waits for, and that nobody said should go."""
    stage = room.provider.standing(entry.action).stage
    if stage in (Stage.ABSENT, Stage.DONE):
        done = stage is Stage.DONE
        room.journal.end(entry.action, "done" if done else "undone")
        return "it was done" if done else "nothing had been done"
    return f"the policy does not have it any more, it is left as it is; {_settle_by(entry)}"


def _drop(room: Room, entry: Entry) -> str:
    """What a preparation made, unless it is done."""
    if room.provider.standing(entry.action).stage is Stage.DONE:
        room.journal.end(entry.action, "done")
        return "it was done"
    room.do(replace(_derived(entry.action, "abort"), verb=Verb.ABORT))
    room.journal.end(entry.action, "undone")
    return "what it made is removed"


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
        return f"it cannot be finished: {problem}{_again(entry.action)}"
    return "finished"


def _again(action: Action) -> str:
    """The command that does it, for what was done to a set."""
    commands = {
        Verb.RESTORE: "restore",
        Verb.RESYNC: "snapshot resync",
        Verb.PROMOTE: "snapshot promote",
        Verb.DISSOLVE: "snapshot delete",
    }
    command = commands.get(action.verb)
    return f"; repeat: exshadow {command} {action.group}@{action.label}" if command else ""


def _derived(action: Action, what: str) -> Action:
    """Another action that has the same id whenever it is made of this one."""
    return replace(action, id=str(uuid.uuid5(uuid.UUID(action.id), what)))


_Way = Callable[[Room, Entry], str]
_WAYS: dict[Verb, _Way] = {
    Verb.ABORT: _abort,
    Verb.SPLIT: _split,
    Verb.RESTORE: _restore,
    Verb.RESYNC: _give_up,
    Verb.DISSOLVE: _give_up,
    Verb.PROMOTE: _give_up,
    Verb.LEND: _move,
    Verb.RECALL: _move,
    Verb.PRESENT: _present,
}
