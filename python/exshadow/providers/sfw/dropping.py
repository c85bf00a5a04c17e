"""Dissolve: the relation is forgotten, the copies stay. Abort: what was begun is dropped."""

from __future__ import annotations

from exshadow.errors import ProviderError
from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.sfw import resyncing, rules, splitting
from exshadow.providers.sfw.look import Copy, Ground, Look, members
from exshadow.providers.sfw.mounting import unassign
from exshadow.providers.sfw.product import Plex, Volume
from exshadow.providers.sfw.settling import ensure

# --- dissolve ---


def standing(ground: Ground, action: Action) -> Standing:
    """Done when the copies are volumes like any other, on both sides."""
    record = ground.records.read(action.set_id)
    copies = Look(ground).copies(action, record)
    if not all(copy.exists for copy in copies):
        return Standing(Stage.FAILED, f"no set {action.label or action.set_id} is here")
    related = [copy for copy in copies if copy.clear]
    if related:
        return Standing(Stage.ABSENT if len(related) == len(copies) else Stage.HALF)
    if record:
        return Standing(Stage.HALF, "the set's files are still kept")
    return Standing(Stage.DONE, members=members(ground, action, copies))


def start(ground: Ground, action: Action) -> None:
    """Clear every relation, also on the other side of a disk-group move."""
    record = ground.records.read(action.set_id)
    rules.no_other_work(record, action)
    copies = Look(ground).copies(action, record)
    rules.whole(copies, action)
    for copy in copies:
        clear(ground, copy)
    ground.records.forget(action.set_id)


def clear(ground: Ground, copy: Copy) -> None:
    """Forget the relation on each side that knows it."""
    for group in copy.clear:
        said = ground.product.do("snapclear", group=group, volume=copy.name)

        def forgotten(group: str = group) -> bool:
            return all(one.snapshot[1] != copy.name for one in ground.product.pairs(group))

        found = f"disk group {group} still knows {copy.name} as a snapshot"
        ensure(ground, said, forgotten, found)


# --- abort ---


def standing_of_abort(ground: Ground, action: Action) -> Standing:
    """Of a set: done when it is none and the plexes are in sync again. Of a mirror: done when it
    has no plex that waits or synchronises."""
    if action.set_id:
        record = ground.records.read(action.set_id)
        copies = Look(ground).copies(action, record)
        if record is None and not any(copy.exists for copy in copies):
            return Standing(Stage.DONE)
        found = resyncing.standing(ground, action)
        # A plex that is gone as well is no failure here.
        gone = found.stage is Stage.FAILED
        return Standing(Stage.HALF, found.detail) if gone and record else found
    look = Look(ground)
    plexes = [look.plex(source, action.group, action.mirror) for source in action.volumes]
    return Standing(Stage.ABSENT if any(plexes) else Stage.DONE)


def abort(ground: Ground, action: Action) -> None:
    """Drop it."""
    if not action.set_id:
        _abort_mirror(ground, action)
        return
    record = ground.records.read(action.set_id)
    rules.same_host(ground, record)
    rules.no_other_work(record, action)
    splitting.outlived(ground, record)
    copies = Look(ground).copies(action, record)
    there = [copy for copy in copies if copy.exists]
    rules.at_home(there)
    if record and record.phase == "splitting":  # letters that nobody asked for, as in the split
        for copy in there:
            if copy.snapshot:
                unassign(ground, copy.snapshot)
    else:
        rules.unmounted(there)
    resyncing.give_back(ground, action, record, there, whole=len(there) == len(copies))
    if not there and all(copy.plex is None or copy.plex.state == "ready" for copy in copies):
        ground.records.forget(action.set_id)


def _abort_mirror(ground: Ground, action: Action) -> None:
    rules.mirror_is_free(ground, action)
    look = Look(ground)
    for source in action.volumes:
        volume = look.production(source, action.group)
        if volume is not None:
            for plex in look.plexes(source, action.group, action.mirror):
                _drop(ground, volume, plex)


def _drop(ground: Ground, volume: Volume, plex: Plex) -> None:
    said = ground.product.do("snapabort", group=volume.group, volume=volume.name, plex=plex.name)

    def gone() -> bool:
        now = ground.product.volume(volume.name, volume.group)
        if now is None:
            raise ProviderError(f"{volume.name} is not here any more")
        return all(one.name != plex.name for one in now.plexes)

    found = f"{volume.name} still has the plex {plex.name}"
    ensure(ground, said, gone, found, background=True)
