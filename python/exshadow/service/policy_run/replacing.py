"""Restores and promotions that did not come to their end: production may be half of a set, half of
what it was. Nothing is made of such production, and no good set is given up for it, until a restore
ends well or somebody says that production is as it should be."""

from __future__ import annotations

from exshadow.catalog.journal import Entry
from exshadow.errors import Error, RefusedError
from exshadow.providers.contract import REPLACES_PRODUCTION, Stage, Standing, Verb
from exshadow.service.policy_run.room import Room

HALF = "production may be half of it"


def is_replacing(entry: Entry) -> bool:
    """Whether it is a restore or a promotion."""
    return entry.action.verb in REPLACES_PRODUCTION


def first(entries: list[Entry]) -> list[Entry]:
    """Those that replace production before all others."""
    return sorted(entries, key=lambda one: not is_replacing(one))


def wait(room: Room, entry: Entry) -> str:
    """In a run: its end is waited for while the product works on it, and it is never begun anew, as
    production may have been written to since. RefusedError for one that is half done."""
    return _settle(room, entry, (Stage.DONE, Stage.RUNNING))


def go_on(room: Room, entry: Entry) -> str:
    """Asked for by hand: one that is half done goes on."""
    return _settle(room, entry, (Stage.DONE, Stage.RUNNING, Stage.HALF))


def _settle(room: Room, entry: Entry, going: tuple[Stage, ...]) -> str:
    standing = room.provider.standing(entry.action)
    if standing.stage in going:
        room.do(entry.action)
        return "it was done" if standing.stage is Stage.DONE else "finished"
    if standing.stage is Stage.ABSENT:
        room.journal.end(entry.action, "undone", standing.detail or "nothing had been done")
        if entry.action.verb is Verb.PROMOTE:
            return "nothing had been done"
        return "it is not repeated: restore the set again if production is not what it should be"
    raise refusal(entry, standing)


def refusal(entry: Entry, standing: Standing) -> RefusedError:
    """Says what production may be, and the ways out."""
    action = entry.action
    set_ = f"{action.group}@{action.label}"
    found = f" ({standing.detail})" if standing.detail else ""
    return RefusedError(
        f"{action.verb} of set {set_} was begun at {entry.started} and did not come to its end: "
        f"{HALF}{found}",
        hint=f"to go on with it: {_again(entry)}; or restore another set; "
        f"if production is as it should be: exshadow policy settle {action.group} --forget REASON",
    )


def _again(entry: Entry) -> str:
    command = "restore" if entry.action.verb is Verb.RESTORE else "snapshot promote"
    return f"exshadow {command} {entry.action.group}@{entry.action.label}"


def hinted(entry: Entry, problem: Error) -> None:
    """To an error that kept anybody from looking."""
    if not isinstance(problem, RefusedError) or HALF not in problem.message:
        settle = f"exshadow policy settle {entry.action.group}"
        problem.hint = f"{HALF}; to settle it: {settle}; or restore a set: {_again(entry)}"


def require_whole(room: Room, entry: Entry) -> None:
    """What a run would refuse. Nothing is changed."""
    standing = room.provider.standing(entry.action)
    if standing.stage not in (Stage.DONE, Stage.RUNNING, Stage.ABSENT):
        raise refusal(entry, standing)


def refuse_others(room: Room) -> None:
    """RefusedError while another group, or another host that shares the catalog, has left
    production of one of our volumes half restored."""
    mine = room.identities(room.sources)
    for entry in room.journal.replacing(mine, room.group):
        action = entry.action
        here = entry.owner == room.desk.catalog.owner
        settle = f"exshadow policy settle {action.group}"
        gone = f"; if it is gone for good, here: {settle} --elsewhere --forget REASON"
        raise RefusedError(
            f"{action.verb} of set {action.group}@{action.label} of "
            f"{'this' if here else 'another'} host, begun at {entry.started}, did not come to its "
            f"end, and it has volumes of group {room.group}: {HALF}",
            hint=f"there: {_again(entry)}, or {settle}{'' if here else gone}",
        )
