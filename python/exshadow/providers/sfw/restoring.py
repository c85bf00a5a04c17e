"""Restore: production becomes the set again, and the set stays.

The product knows only how to give the plex back with its bytes winning (snapback -o
resyncfromreplica), which uses the set up. So production is unmounted before and stays so until the
same plexes were split again: nobody can write in between, the new snapshot volumes are the old set,
byte for byte and under the same names.

    begun    production's letters are written down, then taken away; plexes go back, copies win
    synced   all are in sync: split again
    ended    ``finished`` names the action; then production gets its letters back

``restore = "PIT"`` or ``"POF"`` leaves it to vxsnap and the writer (point in time, point of failure
with today's logs), by the XML that has the writer's metadata. What becomes the set again is
unmounted for it too: the sibling wants that of every reverse resync (V16c); whether vxsnap would
rather have it mounted is not known. Nor is whether the set survives: it needs ``keep-set = "no"``.

POF also needs ``log-volumes = "logs"``: they stay mounted, for the writer to replay them. What
vxsnap left of the set goes back, the logs with production's bytes winning, all else (an
interrupted restore) with the copy's.
"""

from __future__ import annotations

from dataclasses import replace

from exshadow.errors import Error, InvalidError, NotFoundError, RefusedError
from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.sfw import rules
from exshadow.providers.sfw.look import Copy, Ground, Look, members
from exshadow.providers.sfw.mounting import assign, unassign
from exshadow.providers.sfw.preparing import progress
from exshadow.providers.sfw.records import Part, Record
from exshadow.providers.sfw.splitting import split_again


def standing(ground: Ground, action: Action) -> Standing:
    """By the record, which says what was begun, and the product's state, which says how far."""
    record = ground.records.read(action.set_id)
    copies = Look(ground).copies(action, record)
    if record is None:
        if not rules.is_gone(copies):
            return Standing(Stage.ABSENT)  # start says why it cannot be restored
        return Standing(Stage.FAILED, f"no set {action.label or action.set_id} is here")
    if record.finished == action.id:
        away = [part for part in record.parts if not _mounted(ground, part)]
        if away:
            return Standing(Stage.HALF, f"production of {away[0].volume} is not mounted yet")
        if record.phase == "used":
            return Standing(Stage.DONE, "the set was used up by vxsnap restore")
        return Standing(Stage.DONE, members=members(ground, action, copies))
    if record.action != action.id or not record.step:
        gone = f"no set {action.label or action.set_id} is here"
        return Standing(Stage.FAILED, gone) if rules.is_gone(copies) else Standing(Stage.ABSENT)
    synced = progress(action.volumes, [copy.plex for copy in copies])
    if synced.stage in (Stage.RUNNING, Stage.FAILED):
        return synced
    return Standing(Stage.HALF, "the next step is due", synced.done, synced.total)


def _mounted(ground: Ground, part: Part) -> bool:
    now = ground.product.volume(part.original, part.group)
    return now is not None and set(part.places) <= set(now.places)


def start(ground: Ground, action: Action) -> None:
    """Begin, or do the step that is due."""
    record = ground.records.read(action.set_id)
    if record is None:
        raise NotFoundError(
            f"nothing is recorded of set {action.label or action.set_id}",
            hint="take the set's record from the catalog's documents",
        )
    rules.same_host(ground, record)
    rules.no_other_work(record, action)
    if record.finished == action.id:
        _mount(ground, record)
        return
    how = _how(action, record)
    copies = Look(ground).copies(action, record)
    if not record.step:
        record = _begin(ground, action, record, copies)
    copies = Look(ground).copies(action, record)
    if record.step == "begun":
        record = _give_back(ground, action, record, copies, how)
    if record.step == "synced":
        _end(ground, action, record, Look(ground).copies(action, record), how)


def _how(action: Action, record: Record) -> str:
    """volumes, PIT or POF."""
    how = action.options.get("restore", "volumes")
    if how not in ("volumes", "PIT", "POF"):
        raise InvalidError(f"restore {how!r} is none of volumes, PIT, POF")
    if how == "volumes":
        return how
    if not record.writer:
        raise RefusedError(
            f"restore {how} is done by the writer, and set {record.set_id} was made without one",
            hint="leave the option out: the volumes are restored as they were",
        )
    if action.options.get("keep-set") != "no":
        raise RefusedError(
            f"restore {how} by vxsnap uses the set up",
            hint='say keep-set = "no", or leave the option restore out',
        )
    if how == "POF":
        _checked_logs(action)
    return how


def _logs(action: Action, how: str) -> frozenset[str]:
    """Volumes whose bytes of today stay."""
    return frozenset(action.options.get("log-volumes", "").split() if how == "POF" else ())


def _checked_logs(action: Action) -> None:
    logs, volumes = _logs(action, "POF"), {one.name for one in action.volumes}
    if unknown := sorted(logs - volumes):
        raise InvalidError(f"log-volumes: {unknown[0]} is no volume of the group")
    if not logs or logs == volumes:
        raise RefusedError(
            "restore POF replays today's logs, and nobody said on which volumes they lie alone",
            hint='name them: log-volumes = "logs"; or restore PIT',
        )


def _begin(ground: Ground, action: Action, record: Record, copies: list[Copy]) -> Record:
    """All is judged before anything is touched; then production is unmounted."""
    rules.production_is_free(ground, action)
    rules.whole(copies, action)
    rules.at_home(copies)
    rules.unmounted(copies)
    rules.is_production(copies)
    places = {copy.name: copy.production.places for copy in copies if copy.production}
    parts = tuple(replace(part, places=places[part.snapshot]) for part in record.parts)
    return ground.records.write(replace(record, parts=parts, action=action.id, step="begun"))


def _unmount(ground: Ground, record: Record, staying: frozenset[str]) -> None:
    """Production of all parts but those staying; when one stays mounted, nothing has happened."""
    for part in record.parts:
        if part.volume in staying:
            continue
        volume = ground.product.volume(part.original, part.group)
        if volume is None:
            raise NotFoundError(
                f"production {part.group}\\{part.original} is gone",
                hint="look at what is here: exshadow provider probe",
            )
        unassign(ground, volume)


def _give_back(
    ground: Ground, action: Action, record: Record, copies: list[Copy], how: str
) -> Record:
    there = [copy for copy in copies if copy.snapshot]
    if len(there) == len(copies):
        try:
            _unmount(ground, record, _logs(action, how))
        except Error:
            _mount(ground, record)
            ground.records.write(replace(record, action="", step=""))
            raise
        if how != "volumes":
            return _by_writer(ground, action, record, how)
    for copy in there:
        _reverse(ground, copy, logs=copy.source.name in _logs(action, how))
    now = [copy.plex for copy in Look(ground).copies(action, record)]
    if all(plex is not None and plex.state == "ready" for plex in now):
        return ground.records.write(replace(record, step="synced"))
    return record


def _reverse(ground: Ground, copy: Copy, *, logs: bool) -> None:
    """The copy's bytes win, but not over the logs that a writer rolls forward with."""
    command = "snapback" if logs else "snapback_reverse"
    said = ground.product.do(command, group=copy.where, volume=copy.name)
    if ground.product.volume(copy.name, copy.where) is not None:
        raise said.error(f"{copy.name} is still a snapshot volume")


def _by_writer(ground: Ground, action: Action, record: Record, how: str) -> Record:
    xml = ground.records.writers_xml(record)
    if xml is None:
        _mount(ground, record)
        ground.records.write(replace(record, action="", step=""))
        raise RefusedError(
            f"the XML of set {record.set_id} is lost, vxsnap cannot restore by it",
            hint="leave the option restore out: the volumes are restored without it",
        )
    said = ground.product.do(
        "restore",
        xml=str(xml),
        type=how,
        writer=record.writer,
        part=action.options.get("subcomponent", ""),
    )
    copies = Look(ground).copies(action, record)
    if all(copy.snapshot for copy in copies):
        _mount(ground, record)
        ground.records.write(replace(record, action="", step=""))
        raise said.error("no volume was given back")
    return record


def _end(ground: Ground, action: Action, record: Record, copies: list[Copy], how: str) -> None:
    """Split again, then say that it is done, then let the application in."""
    if how != "volumes":
        ended = replace(record, phase="used", finished=action.id, action="", step="")
        _mount(ground, ground.records.write(ended))
        return
    late = [copy for copy in copies if copy.snapshot is None]
    if late:
        ready = [copy for copy in late if copy.plex and copy.plex.state == "ready"]
        if len(ready) < len(late):
            raise RefusedError("the plexes are not in sync any more", hint="repeat later")
        mine = {copy.name for copy in late}
        parts = tuple(part for part in record.parts if part.snapshot in mine)
        said = split_again(ground, replace(record, parts=parts), late)
        lost = [one.name for one in late if not ground.product.volume(one.name, one.home)]
        if lost:
            raise said.error(f"{', '.join(lost)} was not split again; production is the set")
    kept = ground.records.renew_xml(record)
    _mount(ground, ground.records.write(replace(kept, finished=action.id, action="", step="")))


def _mount(ground: Ground, record: Record) -> None:
    """Production where it was before."""
    for part in record.parts:
        volume = ground.product.volume(part.original, part.group)
        for place in part.places:
            if volume is None or place not in volume.places:
                assign(ground, part.group, part.original, place)
