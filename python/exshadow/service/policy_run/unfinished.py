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
from exshadow.model import SetRecord
from exshadow.names import is_pinned
from exshadow.providers.contract import REPLACES_PRODUCTION, Action, MirrorState, Stage, Verb
from exshadow.providers.registry import renewed
from exshadow.service import sets
from exshadow.service.policy_run import making, replacing
from exshadow.service.policy_run.room import Room

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
            done = _settled(room, entry, _way(entry) if wanted else _strange(entry))
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
            done = _settled(room, entry, replacing.go_on if again else _way(entry))
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
    return (_drop if entry.action.verb is Verb.PREPARE else _way(entry))(room, entry)


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


def _settled(room: Room, entry: Entry, way: _Way) -> str:
    with there(room, entry) as then:
        return way(then, entry)


def _left_as_it_is(entry: Entry, problem: Error) -> str:
    again = _again(entry.action)
    return f"it is left as it is ({problem.message}); {again}{_settle_by(entry)}"


def _settle_by(entry: Entry) -> str:
    return f"to settle it: exshadow policy settle {entry.action.group}"


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
        and not _pin_of(room, one.action)
    }


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
    pin = _pin_of(room, action)
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
    return _leave if is_prepare else _way(entry)


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
    """To its end."""
    room.do(entry.action)
    return "finished"


def _again(action: Action) -> str:
    """The command that does it, for what was done to a set."""
    commands = {
        Verb.RESYNC: "snapshot resync",
        Verb.DISSOLVE: "snapshot delete",
    }
    command = commands.get(action.verb)
    return f"repeat: exshadow {command} {action.group}@{action.label}; " if command else ""


def _derived(action: Action, what: str) -> Action:
    """Another action that has the same id whenever it is made of this one."""
    return replace(action, id=str(uuid.uuid5(uuid.UUID(action.id), what)))


_Way = Callable[[Room, Entry], str]
_WAYS: dict[Verb, _Way] = {
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


def _way(entry: Entry) -> _Way:
    """How it is settled in a run."""
    return _WAYS.get(entry.action.verb, _finish)
