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

Every such command works in the background: production is never mounted, nor the record cleared,
while what was asked for may still come. Of vxsnap restore only the volumes given back can be seen,
and their copying; when the writer's own part ends is not known to show anywhere.

POF also needs ``log-volumes = "logs"``: they stay mounted, for the writer to replay them. What
vxsnap left of the set goes back, the logs with production's bytes winning, all else (an
interrupted restore) with the copy's.
"""

from __future__ import annotations

from dataclasses import replace

from exshadow.errors import Error, InvalidError, NotFoundError, RefusedError
from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.sfw import abandoning, giving, rules
from exshadow.providers.sfw.look import Copy, Ground, Look, members
from exshadow.providers.sfw.mounting import mount, unassign
from exshadow.providers.sfw.preparing import progress
from exshadow.providers.sfw.records import Part, Record
from exshadow.providers.sfw.settling import effect, lookout
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
    waiting = any(copy.snapshot and copy.name in record.asked for copy in copies)
    detail = "it was asked for and does not show yet" if waiting else "the next step is due"
    return Standing(Stage.HALF, detail, synced.done, synced.total)


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
    if record.step and record.asked and record.action != action.id:
        # A restore that ended past its time: whoever asks for the same set again goes on with it.
        record = ground.records.write(replace(record, action=action.id))
    rules.no_other_work(record, action)
    if record.finished == action.id:
        mount(ground, record)
        return
    how = _how(action, record)
    copies = Look(ground).copies(action, record)
    others = rules.others_that_ended(ground, action)
    if not record.step:
        record = _begin(ground, action, record, copies, others)
    for other in others:  # only now: their letters of production are in this record as well
        abandoning.clear(ground, other)
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


def _begin(
    ground: Ground, action: Action, record: Record, copies: list[Copy], others: list[Record]
) -> Record:
    """All is judged before anything is touched; then production is unmounted. ``others``: sets
    whose restore is given up for this one, and may have unmounted production already."""
    rules.whole(copies, action)
    rules.at_home(copies)
    rules.unmounted(copies)
    rules.is_production(copies)
    places = {copy.name: copy.production.places for copy in copies if copy.production}
    parts = tuple(
        replace(part, places=places[part.snapshot] or _places_before(part, others))
        for part in record.parts
    )
    begun = replace(record, parts=parts, action=action.id, step="begun", asked=())
    return ground.records.write(begun)


def _places_before(part: Part, others: list[Record]) -> tuple[str, ...]:
    """Where production was mounted when one of the others began."""
    same = (part.group, part.original)
    found = (each for one in others for each in one.parts if (each.group, each.original) == same)
    return next((each.places for each in found if each.places), ())


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
    logs = _logs(action, how)
    there = giving.still_due(ground, record, [copy for copy in copies if copy.snapshot])
    if len(there) == len(copies):
        try:
            _unmount(ground, record, logs)
        except Error:
            if not record.asked:  # nothing was asked of the product: it is as if nobody had begun
                abandoning.let_go(ground, record)
            raise
        if how != "volumes":
            return _by_writer(ground, action, record, how, there)
    for copy in there:  # the copy's bytes win, but not over logs that a writer rolls forward with
        command = "snapback" if copy.source.name in logs else "snapback_reverse"
        record = giving.give_one(ground, record, copy, command) or record
    now = [copy.plex for copy in Look(ground).copies(action, record)]
    if all(plex is not None and plex.state == "ready" for plex in now):
        return ground.records.write(replace(record, step="synced"))
    return record


def _by_writer(
    ground: Ground, action: Action, record: Record, how: str, copies: list[Copy]
) -> Record:
    """ProviderError when nothing was given back in time. Production then stays unmounted, as
    vxsnap may still be at it, unless it also said no by its status."""
    xml = ground.records.writers_xml(record)
    if xml is None:
        if not record.asked:
            abandoning.let_go(ground, record)
        raise RefusedError(
            f"the XML of set {record.set_id} is lost, vxsnap cannot restore by it",
            hint="leave the option restore out: the volumes are restored without it",
        )
    due = [copy for copy in copies if copy.source.name not in _logs(action, how)]
    record = giving.note(ground, record, due)
    said = ground.product.do(
        "restore",
        xml=str(xml),
        type=how,
        writer=record.writer,
        part=action.options.get("subcomponent", ""),
    )
    effect(ground, said, lambda: not giving.left(ground, due), background=True)
    if len(giving.left(ground, due)) < len(due):
        return record  # what it left over, if anything, is the next step's
    found = f"no volume was given back{lookout(ground)}"
    if said.status:
        abandoning.let_go(ground, record)
        raise said.error(found)
    raise said.error(f"{found}; production stays unmounted, repeat the restore")


def _end(ground: Ground, action: Action, record: Record, copies: list[Copy], how: str) -> None:
    """Split again, then say that it is done, then let the application in."""
    if how != "volumes":
        ended = replace(record, phase="used", finished=action.id, action="", step="", asked=())
        mount(ground, ground.records.write(ended))
        return
    late = [copy for copy in copies if copy.snapshot is None]
    if late:
        ready = [copy for copy in late if copy.plex and copy.plex.state == "ready"]
        if len(ready) < len(late):
            raise RefusedError("the plexes are not in sync any more", hint="repeat later")
        mine = {copy.name for copy in late}
        parts = tuple(part for part in record.parts if part.snapshot in mine)
        said = split_again(ground, replace(record, parts=parts), late)
        effect(ground, said, lambda: len(giving.left(ground, late)) == len(late))
        here = giving.left(ground, late)
        if lost := [one.name for one in late if one not in here]:
            raise said.error(f"{', '.join(lost)} was not split again; production is the set")
    kept = ground.records.renew_xml(record)
    ended = replace(kept, finished=action.id, action="", step="", asked=())
    mount(ground, ground.records.write(ended))
