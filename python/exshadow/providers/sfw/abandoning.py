"""A restore or promotion that nobody goes on with: its record is cleared, so that another set, or
production as somebody found it, can take its place.

Only one that is not at work any more: no plex of it copies, and what was asked for last has had its
time to show. That a command shows nothing for longer and still comes is not ruled out (unsure): a
restore by another set then writes over it or fails visibly, and over production that is mounted the
product refuses a reverse resync.
"""

from __future__ import annotations

from dataclasses import replace

from exshadow.errors import BusyError, InvalidError
from exshadow.providers.contract import Action
from exshadow.providers.sfw.look import Ground, all_at
from exshadow.providers.sfw.mounting import mount
from exshadow.providers.sfw.records import Part, Record
from exshadow.providers.sfw.settling import settled


def is_at_work(ground: Ground, record: Record) -> bool:
    """Whether the product shows a copy of it; what was asked for is waited for first."""
    asked = [one for one in record.parts if one.snapshot in record.asked]
    settled(ground, lambda: all(not _is_split(ground, one) for one in asked))
    return any(_copies(ground, record, one) for one in record.parts)


def _is_split(ground: Ground, part: Part) -> bool:
    return ground.product.volume(part.snapshot, part.group) is not None


def _copies(ground: Ground, record: Record, part: Part) -> bool:
    volume = ground.product.volume(part.original, part.group)
    if volume is None:
        return False
    try:
        plexes = all_at(volume.plexes, ground.settings.place(record.mirror, part.volume))
    except InvalidError:  # the settings have no such mirror any more: any of them may be it
        plexes = list(volume.plexes)
    return any(plex.state == "syncing" for plex in plexes)


def clear(ground: Ground, record: Record) -> Record:
    """It is under way no more. Nothing is mounted."""
    return ground.records.write(replace(record, action="", step="", asked=()))


def let_go(ground: Ground, record: Record) -> None:
    """Production where it was, and the record cleared: only where nothing is under way."""
    mount(ground, record)
    clear(ground, record)


def abandon(ground: Ground, action: Action) -> str:
    """What was done about it, empty when nothing of the action was under way. BusyError while the
    product is at work on it: nothing was changed."""
    record = ground.records.read(action.set_id)
    if record is None or not record.step or record.action != action.id:
        return ""
    if is_at_work(ground, record):
        raise BusyError(
            f"the product is still at work on the {action.verb} of set {record.set_id}",
            hint="wait for its end, then repeat",
        )
    if _has_moved(ground, record):  # a promotion: the copies are production, as they were found
        clear(ground, record)
        return "it is under way no more, and the copies keep production's letters"
    let_go(ground, record)
    return "it is under way no more, and production is mounted as it was"


def _has_moved(ground: Ground, record: Record) -> bool:
    """Whether a copy has letters or folders of production."""
    copies = [(one, ground.product.volume(one.snapshot, one.group)) for one in record.parts]
    return any(copy and set(copy.places) & set(one.places) for one, copy in copies)
