"""Resync: the set's plexes back into production, only changed regions copied. The set is gone then.

With the set's XML as it was written, vxsnap reattaches all volumes by one command; what that leaves
over, and every set whose XML is lost, goes back volume by volume (vxassist snapback): only when
vxsnap, which works in the background, has had its time.
"""

from __future__ import annotations

from exshadow.errors import RefusedError
from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.sfw import giving, rules
from exshadow.providers.sfw.look import Copy, Ground, Look, lies_at
from exshadow.providers.sfw.preparing import progress
from exshadow.providers.sfw.records import Record
from exshadow.providers.sfw.settling import effect


def standing(ground: Ground, action: Action) -> Standing:
    """Done when no snapshot volume is left, the plexes are in sync and nothing is kept."""
    record = ground.records.read(action.set_id)
    look = Look(ground)
    copies = look.copies(action, record)
    there = [copy for copy in copies if copy.exists]
    if there:
        if record and not record.step and any(copy.name in record.asked for copy in there):
            return Standing(Stage.HALF, "it was asked for and does not show yet")
        return Standing(Stage.ABSENT if len(there) == len(copies) else Stage.HALF)
    synced = progress(action.volumes, [copy.plex for copy in copies])
    if synced.stage in (Stage.RUNNING, Stage.FAILED):
        return synced
    if record:
        return Standing(Stage.HALF, "the set's files are still kept")
    if synced.stage is Stage.DONE or all(_taken(look, action, copy) for copy in copies):
        return Standing(Stage.DONE)
    return Standing(Stage.FAILED, f"mirror {action.mirror} has no plex any more")


def _taken(look: Look, action: Action, copy: Copy) -> bool:
    """The mirror was split again, as another set."""
    place = look.ground.settings.place(action.mirror, copy.source.name)
    snapshots = [look.volume(one.snapshot[1], one.snapshot[0]) for one in look.pairs(copy.home)]
    return any(one is not None and lies_at(one, place) for one in snapshots)


def start(ground: Ground, action: Action) -> None:
    """Give back what is still split; forget the set when all of it is in sync."""
    record = ground.records.read(action.set_id)
    rules.same_host(ground, record)
    rules.no_other_work(record, action)
    copies = Look(ground).copies(action, record)
    there = [copy for copy in copies if copy.exists]
    if there:
        rules.at_home(there)
        rules.unmounted(there)
        rules.is_production(there)
        give_back(ground, action, record, there, whole=len(there) == len(copies))
    elif record is None and all(copy.plex is None for copy in copies):
        raise RefusedError(
            f"mirror {action.mirror} has neither a set {action.set_id} nor a plex to refresh",
            hint="prepare it",
        )
    elif all(copy.plex is not None and copy.plex.state == "ready" for copy in copies):
        ground.records.forget(action.set_id)


def give_back(
    ground: Ground, action: Action, record: Record | None, copies: list[Copy], *, whole: bool
) -> None:
    """Every one of these snapshot volumes becomes a plex again, in the background."""
    due = giving.still_due(ground, record, copies)
    whole = whole and len(due) == len(copies)
    if whole and record and ground.records.usable_xml(record):
        record = giving.note(ground, record, due)
        said = ground.product.do(
            "reattach",
            xml=str(ground.records.xml(action.set_id)),
            writer="" if ground.records.split_again(record) else record.writer,
        )
        effect(ground, said, lambda: not giving.left(ground, due), background=True)
        due = giving.left(ground, due)
    for copy in due:
        record = giving.give_one(ground, record, copy, "snapback")
