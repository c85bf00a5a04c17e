"""restore, resync, promote, delete, lend, recall and verify of a set that another provider holds:
through its contract, journalled like a run."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import replace

from exshadow.catalog.journal import CatalogJournal
from exshadow.errors import RefusedError
from exshadow.model import JobRecord, Plan, SetRecord, Step
from exshadow.providers.contract import Stage, Standing, Verb
from exshadow.service import sets
from exshadow.service.checks.wish import CheckWish
from exshadow.service.contract import Service
from exshadow.service.desk import Desk
from exshadow.service.policy_run import unfinished
from exshadow.service.policy_run.opening import room_of_set
from exshadow.service.verify import Verified

VERBS = {
    "restore": Verb.RESTORE,
    "resync": Verb.RESYNC,
    "promote": Verb.PROMOTE,
    "delete": Verb.DISSOLVE,
    "lend": Verb.LEND,
    "recall": Verb.RECALL,
}
_ENDS = ("resync", "promote", "delete")  # nothing is left of the set: not while it is pinned
_URGENT = frozenset({"restore", "promote", "recall"})
"""Do not wait for what was left of other mirrors: production may be waiting."""
_LOOKED_FOR = frozenset({"restore", "promote", "delete"})
"""Also of sets that had failed because their copies were not found."""
_SAYS = {
    "restore": "make production the copy again",
    "resync": "bring back into the mirror",
    "promote": "make it production",
    "delete": "drop the relation, keep the copy",
    "lend": "give to another host",
    "recall": "take back from the other host",
}
_WARNS = {
    "lend": "another host may write to the copies: what was found good of them counts no more, "
    "and they cannot be restored or resynced until they are recalled",
    "recall": "the other host loses the disks: it must have let go of them (unmounted, deported)",
}


def is_elsewhere(one: SetRecord) -> bool:
    """Whether another provider than the native engine holds the set."""
    return one.provider != sets.PROVIDER


def plan(one: SetRecord, verb: str) -> Plan:
    """What it would do to each member. RefusedError for a set that may not be touched."""
    _require(one, verb)
    steps = tuple(Step(_SAYS[verb], member.volume, member.plex) for member in one.members)
    command = "restore" if verb == "restore" else f"snapshot {verb}"
    warnings = (_WARNS[verb],) if verb in _WARNS else ()
    return Plan(f"{command} {one.group}@{one.label}", steps, warnings)


def carry_out(
    service: Service,
    desk: Desk,
    one: SetRecord,
    verb: str,
    options: Mapping[str, str] | None = None,
) -> JobRecord:
    """Do it to its end. What an earlier command or run left of the group comes first, for a restore
    only what is in its way: when that is this very command, interrupted, going on with it was all.
    ``options``: of the action, beside those of the group."""
    _require(one, verb)
    room = room_of_set(service, desk, one, str(uuid.uuid4()))
    with room.alone():
        begun = _is_begun(room.journal, one, verb)
        if verb in _URGENT:
            unfinished.make_way(room, one, room.mirror_of(one), VERBS[verb])
        else:
            unfinished.settle(room)
        one = service.show_set(one.id)  # as it is now: what was settled may have ended it
        if begun and one.state == "dissolved":
            return _job(verb, Standing(Stage.DONE, "an interrupted one, gone on with"))
        _require(one, verb, looked=True)
        action = room.action(VERBS[verb], room.mirror_of(one), one.id, one.label)
        action = replace(action, options={**action.options, **(options or {})})
        standing = room.do(action, unpinned=verb in _ENDS)
    return _job(verb, standing)


def verify(service: Service, desk: Desk, one: SetRecord, wish: CheckWish) -> Verified:
    """Check the copies as a policy run does: presented on this host, read or copied, taken back;
    verdicts are recorded. ``error``: what a check found."""
    from exshadow.service.checks import script
    from exshadow.service.policy_run import proof

    wish.require_valid()
    if wish.script is not None:
        script.require_safe(wish.script)
    _require(one, "verify")
    room = room_of_set(service, desk, one, str(uuid.uuid4()))
    begun = time.monotonic()
    with room.alone():
        unfinished.make_way(room, one, room.mirror_of(one))
        one = service.show_set(one.id)
        _require(one, "verify")
        error = proof.prove(room, one, wish)
    total = sum(member.size for member in one.members)
    seconds = time.monotonic() - begun
    job = JobRecord("verify", 0, 0, total, seconds, "done", bytes_done=total)
    return Verified(service.show_set(one.id), job, error)


def _is_begun(journal: CatalogJournal, one: SetRecord, verb: str) -> bool:
    """Whether an earlier command was interrupted in the same."""
    return any(
        (entry.action.verb, entry.action.set_id) == (VERBS[verb], one.id)
        for entry in journal.unfinished(one.group)
    )


def _require(one: SetRecord, verb: str, *, looked: bool = False) -> None:
    """``looked``: whether copies of a failed set have been looked for again."""
    if verb in _ENDS:
        sets.require_unpinned(one, verb)
    failed = one.state == "failed" and verb in _LOOKED_FOR and not (looked and verb != "delete")
    if one.state != "ready" and not failed:
        raise RefusedError(
            f"cannot {verb} set {one.group}@{one.label} in state {one.state}",
            hint="see: exshadow snapshot list --all",
        )


def _job(verb: str, standing: Standing) -> JobRecord:
    total = standing.total
    return JobRecord(verb, standing.done, 0, total, 0.0, "done", standing.done, standing.detail)
