"""What killed runs left in groups that no policy names any more: told, and settled by hand."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from exshadow.catalog.journal import CatalogJournal, Entry
from exshadow.catalog.leases import Lease, Leases, new_holder
from exshadow.errors import BusyError, Error
from exshadow.model import Json
from exshadow.providers.contract import Action
from exshadow.service.contract import Service
from exshadow.service.desk import Desk
from exshadow.service.policy_run import replacing, unfinished
from exshadow.service.policy_run.opening import room_of_entry
from exshadow.service.policy_run.room import group_lock


@dataclass(frozen=True, slots=True)
class Settled:
    """One action that had not ended. ``done``: what was done about it, empty with an ``error``."""

    entry: Entry
    done: str = ""
    error: Error | None = None

    def to_json(self) -> Json:
        """As ``policy settle --json`` has it."""
        entry, error = self.entry, self.error
        return {
            "group": entry.action.group,
            "verb": entry.action.verb.value,
            "mirror": entry.action.mirror,
            "set": entry.action.label or None,
            "provider": entry.provider,
            "begun": entry.started,
            "done": self.done or None,
            "error": error and {"code": error.code, "message": error.message, "hint": error.hint},
        }


def left(desk: Desk, groups: Collection[str] | None = None) -> list[Entry]:
    """What has not ended, of these groups or all; oldest first."""
    every = CatalogJournal(desk.catalog, "").unfinished()
    return [one for one in every if groups is None or one.action.group in groups]


def left_by_other_hosts(desk: Desk, groups: Collection[str]) -> list[Entry]:
    """Restores and promotions of other hosts that share the catalog, of groups of these names:
    while they have not ended, no host makes anything of their volumes."""
    return CatalogJournal(desk.catalog, "").replacing_elsewhere(groups)


def left_elsewhere(desk: Desk, groups: Collection[str]) -> list[Entry]:
    """What runs of other groups left, those that are under way now not counted: no run of a policy
    without the group settles it."""
    found = []
    for entry in left(desk):
        if entry.action.group in groups:
            continue
        try:
            with group_lock(desk, entry.action.group):
                found.append(entry)
        except BusyError:
            continue
    return found


def settle(service: Service, desk: Desk, entry: Entry, run_id: str) -> Settled:
    """Finish or undo it with the settings it was begun with; a preparation is undone. A failure is
    in the result; CancelledError comes through."""
    try:
        room = room_of_entry(service, desk, entry, run_id)
        try:
            with room.alone():
                return Settled(entry, unfinished.settle_one(room, entry))
        finally:
            close = getattr(room.provider, "close", None)
            if close is not None:
                close()
    except Error as problem:
        if problem.exit_status == 130:
            raise
        return Settled(entry, error=problem)


def forget(service: Service, desk: Desk, entry: Entry, reason: str) -> Settled:
    """Take it out of the way of later runs. Whatever the product holds of it stays there, but for
    a restore that stands in the way of others. It is not forgotten while somebody is at work on it:
    the BusyError is in the result."""
    said = "the product may hold something of it still"
    if replacing.is_replacing(entry):
        try:
            said = _abandoned(service, desk, entry) or said
        except BusyError as problem:
            return Settled(entry, error=problem)
        except Error as problem:  # the product may be gone for good
            if problem.exit_status == 130:
                raise
            said = f"{said} ({problem.message})"
    with group_lock(desk, entry.action.group):
        CatalogJournal(desk.catalog, "").end(entry.action, "undone", f"forgotten: {reason}")
    return Settled(entry, f"forgotten: {said}")


def forget_of_other_host(desk: Desk, entry: Entry, reason: str) -> Settled:
    """The same for what a host began that is gone for good: nothing but the catalog is changed.
    While that host holds the volumes it is alive: the BusyError is in the result."""
    leases = Leases(desk.catalog, new_holder())
    held: list[Lease] = []
    try:
        for volume in entry.identities:
            held.append(leases.acquire(volume, f"settling {entry.action.group}"))
        CatalogJournal(desk.catalog, "").end(entry.action, "undone", f"forgotten: {reason}")
    except BusyError as problem:
        return Settled(entry, error=problem)
    finally:
        leases.release(held)
    return Settled(entry, "forgotten: the host may go on with it if it comes back")


def _abandoned(service: Service, desk: Desk, entry: Entry) -> str:
    """What the provider did to go on with it no more; empty where it has no such step."""
    room = room_of_entry(service, desk, entry, "")
    try:
        abandon: Callable[[Action], str] | None = getattr(room.provider, "abandon", None)
        if abandon is None:
            return ""
        with room.alone():
            return abandon(entry.action)
    finally:
        close = getattr(room.provider, "close", None)
        if close is not None:
            close()
