"""How an action that a killed run left is settled, by its verb: in the room that it was begun in,
and by what the product says of it. What was done about it comes back as text."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

from exshadow.catalog.journal import Entry
from exshadow.errors import Error
from exshadow.names import is_pinned
from exshadow.providers.contract import Action, MirrorState, Stage, Verb
from exshadow.service.policy_run import making, replacing
from exshadow.service.policy_run.room import Room


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
    pin = pin_of(room, action)
    if pin and standing.stage is Stage.DONE:
        room.journal.end(action, "done", "kept: it is pinned")
        return f"set {action.label} is kept, as it is pinned, though its run did not end well"
    if pin:
        return f"set {action.label} is not undone: {_unpin(action, pin)}"
    making.undo(room, action)
    return f"set {action.label} is undone"


def _prepare(room: Room, entry: Entry) -> str:
    """One that failed is not tried again here: the run prepares the mirror as it stands."""
    if entry.state == "started":
        return _finish(room, entry)
    stage = room.provider.standing(entry.action).stage
    if stage in (Stage.ABSENT, Stage.DONE):
        done = stage is Stage.DONE
        room.journal.end(entry.action, "done" if done else "undone")
        return "it was done" if done else "nothing had been done"
    return "it failed; the mirror is prepared as it stands"


def _move(room: Room, entry: Entry) -> str:
    """Lend and recall are gone on with, never begun anew: since then somebody may want the set for
    a restore. They end no set: no pin is in their way. Of several only the last is meant."""
    action = entry.action
    same = [
        one
        for one in room.journal.unfinished(room.group)
        if one.action.set_id == action.set_id and one.action.verb in (Verb.LEND, Verb.RECALL)
    ]
    if later := [one for one in same if one.started > entry.started]:
        return f"{later[-1].action.verb} was asked for later"
    standing = room.provider.standing(action)
    if standing.stage in (Stage.ABSENT, Stage.FAILED):
        said = standing.detail or "nothing had been done"
        room.journal.end(action, "undone", said)
    else:
        said = _finish(room, entry)
    # Not before: while a recall has not ended the set counts as lent, by the lend before it.
    for one in same:
        if one.action.id != action.id:
            room.journal.end(one.action, "undone", f"{action.verb} was asked for later")
    return said


def _give_up(room: Room, entry: Entry) -> str:
    """What ends a set is gone on with, never begun anew: since then somebody may have pinned the
    set, or want it for a restore. A pin stops it while any copy of the set is still there; a resync
    goes on when the pin is lifted, for the set is not whole any more."""
    action = entry.action
    stage = room.provider.standing(action).stage
    if stage is Stage.ABSENT:
        room.journal.end(action, "undone", "nothing had been done")
        return "nothing had been done"
    pin = pin_of(room, action)
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


def pin_of(room: Room, action: Action) -> str | None:
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


def strange(entry: Entry) -> Way:
    """For what the policy does not have any more. Nothing is copied for it."""
    is_prepare = entry.action.verb is Verb.PREPARE
    return _leave if is_prepare else way_of(entry)


def _leave(room: Room, entry: Entry) -> str:
    """A preparation that nobody waits for, and that nobody said should go."""
    stage = room.provider.standing(entry.action).stage
    if stage in (Stage.ABSENT, Stage.DONE):
        done = stage is Stage.DONE
        room.journal.end(entry.action, "done" if done else "undone")
        return "it was done" if done else "nothing had been done"
    return f"the policy does not have it any more, it is left as it is; {settle_by(entry)}"


def drop(room: Room, entry: Entry) -> str:
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
    """To its end."""
    room.do(entry.action)
    return "finished"


def _derived(action: Action, what: str) -> Action:
    """Another action that has the same id whenever it is made of this one."""
    return replace(action, id=str(uuid.uuid5(uuid.UUID(action.id), what)))


Way = Callable[[Room, Entry], str]
_WAYS: dict[Verb, Way] = {
    Verb.PREPARE: _prepare,
    Verb.ABORT: _abort,
    Verb.SPLIT: _split,
    Verb.RESTORE: replacing.wait,
    Verb.RESYNC: _give_up,
    Verb.DISSOLVE: _give_up,
    Verb.PROMOTE: replacing.wait,
    Verb.LEND: _move,
    Verb.RECALL: _move,
    Verb.PRESENT: _present,
}


def way_of(entry: Entry) -> Way:
    """How it is settled in a run."""
    return _WAYS.get(entry.action.verb, _finish)


def settle_by(entry: Entry) -> str:
    """The command for people."""
    return f"to settle it: exshadow policy settle {entry.action.group}"
