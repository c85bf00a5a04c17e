"""Present: a free letter or folder for every copy of the set. Unpresent: taken away again."""

from __future__ import annotations

from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.sfw import rules
from exshadow.providers.sfw.look import Ground, Look, members
from exshadow.providers.sfw.mounting import assign, free_places, unassign


def standing(ground: Ground, action: Action) -> Standing:
    """Done when every copy is mounted somewhere."""
    copies = Look(ground).copies(action, ground.records.read(action.set_id))
    if rules.is_gone(copies):
        return Standing(Stage.FAILED, f"no set {action.label or action.set_id} is here")
    at = [bool(copy.snapshot and copy.snapshot.places) for copy in copies]
    if all(at):
        return Standing(Stage.DONE, members=members(ground, action, copies))
    return Standing(Stage.HALF if any(at) else Stage.ABSENT)


def start(ground: Ground, action: Action) -> None:
    """Mount what is not mounted yet."""
    copies = Look(ground).copies(action, ground.records.read(action.set_id))
    rules.whole(copies, action)
    wanted = [copy for copy in copies if copy.snapshot and not copy.snapshot.places]
    for copy, place in zip(wanted, free_places(ground, len(wanted)), strict=True):
        assign(ground, copy.where, copy.name, place)


def standing_of_unpresent(ground: Ground, action: Action) -> Standing:
    """Done when no copy is mounted."""
    copies = Look(ground).copies(action, ground.records.read(action.set_id))
    mounted = [copy for copy in copies if copy.snapshot and copy.snapshot.places]
    return Standing(Stage.ABSENT if mounted else Stage.DONE)


def unpresent(ground: Ground, action: Action) -> None:
    """Take every letter and folder away; refused while files are open."""
    for copy in Look(ground).copies(action, ground.records.read(action.set_id)):
        if copy.snapshot:
            unassign(ground, copy.snapshot)
