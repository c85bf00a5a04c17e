"""Split: one vxsnap for all volumes, at one instant, with the set's XML.

With ``writer`` and ``component`` vxsnap is the requestor itself: it asks the writer, so the set is
application-consistent and nobody may open a second VSS set beside it. Without them the set is
crash-consistent, unless somebody holds the application still meanwhile.

The volumes' state cannot show whether the writer agreed: only vxsnap's own status 0 does. A split
that asked a writer and ended otherwise, or whose end nobody heard, is undone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from exshadow.errors import Error, ExistsError, InvalidError, ProviderError, RefusedError
from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.sfw import rules
from exshadow.providers.sfw.giving import left
from exshadow.providers.sfw.look import Copy, Ground, Look, members
from exshadow.providers.sfw.mounting import unassign
from exshadow.providers.sfw.naming import device, is_letter, snapshot_volume
from exshadow.providers.sfw.product import Said, Volume
from exshadow.providers.sfw.records import Part, Record
from exshadow.providers.sfw.settling import effect, ensure, settled


def asks_writer(options: Mapping[str, str]) -> bool:
    """Whether vxsnap itself makes the set application-consistent. InvalidError for half of it."""
    if bool(options.get("writer")) != bool(options.get("component")):
        raise InvalidError("writer and component go together", hint="say both in provider.options")
    return bool(options.get("writer"))


def standing(ground: Ground, action: Action) -> Standing:
    """Done when every volume has its snapshot volume and the XML was kept."""
    record = ground.records.read(action.set_id)
    copies = Look(ground).copies(action, record)
    there = [copy for copy in copies if copy.exists]
    if not there:
        return Standing(Stage.ABSENT)
    if len(there) < len(copies) or (record and record.phase == "splitting"):
        return Standing(Stage.HALF, "the split was interrupted")
    asked = record.writer if record else ""  # split, not splitting: vxsnap ended with 0
    detail = f"vxsnap asked {asked}: application-consistent" if asked else ""
    consistency = "application" if asked else "crash"
    found = members(ground, action, copies)
    return Standing(Stage.DONE, detail, members=found, consistency=consistency)


def start(ground: Ground, action: Action) -> None:
    """Split, or finish what a crash left. When this returns the set is there."""
    record = ground.records.read(action.set_id)
    rules.same_host(ground, record)
    rules.no_other_work(record, action)
    outlived(ground, record)
    look = Look(ground)
    copies = look.copies(action, record)
    there = [copy for copy in copies if copy.exists]
    if record and there:
        if record.phase == "split":
            return
        _finish(ground, action, record, None)
        return
    if there:
        raise ExistsError(
            f"volume {there[0].name} exists, but nothing is recorded of set {action.set_id}",
            hint="take the set's record from the catalog's documents",
        )
    if record and record.phase == "split":
        raise RefusedError(f"set {action.label or action.set_id} was split and is gone")
    rules.mirror_is_free(ground, action)
    extras = _extras(action.options)
    planned = _planned(ground, action, copies)
    _clear_the_way(ground, action.set_id, begun=record is not None)
    _sweep(ground, look, action)
    ground.records.write(planned)
    said = _create(ground, planned, copies, ground.records.xml(action.set_id), extras)
    effect(ground, said, lambda: _is_split(ground, planned))
    _finish(ground, action, planned, said)


def outlived(ground: Ground, record: Record | None) -> None:
    """The record of a split is written just before vxsnap is asked. When it is found so later,
    whoever asked was killed or did not wait, and vxsnap may still be at it: it gets its time, but
    not once more when what it split is already asked back."""
    if record and record.phase == "splitting" and not record.asked:
        settled(ground, lambda: _is_split(ground, record))


def _is_split(ground: Ground, record: Record) -> bool:
    """Every snapshot volume is there, and the XML."""
    there = [ground.product.volume(part.snapshot, part.group) for part in record.parts]
    return None not in there and ground.records.xml(record.set_id).exists()


def _extras(options: Mapping[str, str]) -> dict[str, str]:
    """What vxsnap is told of the kind of backup. The three kinds that are known: full (Eseutil,
    then the writer truncates its logs), copy with Eseutil, copy without."""
    kind, eseutil = options.get("backup-type", ""), options.get("eseutil", "no")
    if kind not in ("", "FULL", "COPY"):
        raise InvalidError(f"backup-type {kind!r} is none of FULL, COPY")
    if eseutil not in ("yes", "no"):
        raise InvalidError(f"eseutil {eseutil!r} is none of yes, no")
    if (kind or eseutil == "yes") and not asks_writer(options):
        raise InvalidError(
            "backup-type and eseutil are the writer's, and nobody named one",
            hint="say writer and component in provider.options too",
        )
    if kind == "FULL" and eseutil == "no":
        raise RefusedError(
            "a FULL set truncates the logs, which nobody may do before the copy was checked",
            hint='say eseutil = "yes" as well, or leave backup-type out: it is COPY then',
        )
    return {"backuptype": kind, "eseutil": "-E" if eseutil == "yes" else ""}


def _planned(ground: Ground, action: Action, copies: list[Copy]) -> Record:
    """What will be made. RefusedError when a mirror is not ready."""
    asks = asks_writer(action.options)
    if asks and action.writers:
        raise RefusedError(
            "vxsnap asks the writer itself; no second set may be opened beside it",
            hint="leave the group's writers out, or provider.options writer and component",
        )
    parts = []
    for copy in copies:
        if copy.production is None or copy.plex is None:
            raise RefusedError(
                f"mirror {action.mirror} of {copy.source.name} is not prepared",
                hint="prepare it first",
            )
        if copy.plex.state != "ready":
            percent = "" if copy.plex.percent is None else f" ({copy.plex.percent} %)"
            raise RefusedError(
                f"mirror {action.mirror} of {copy.source.name} is not ready: "
                f"{copy.plex.shown}{percent}",
                hint="wait until it is in sync",
            )
        parts.append(
            Part(
                copy.source.name,
                copy.production.group,
                copy.production.name,
                snapshot_volume(action.set_id, copy.source.name),
                copy.plex.name,
                copy.production.places,
            )
        )
    return Record(
        set_id=action.set_id,
        policy_group=action.group,
        mirror=action.mirror,
        host=ground.settings.host,
        parts=tuple(parts),
        writer=action.options.get("writer", ""),
        component=action.options.get("component", ""),
    )


def _clear_the_way(ground: Ground, set_id: str, *, begun: bool) -> None:
    """vxsnap refuses an XML that is there. One of our own interrupted split may go."""
    path = ground.records.xml(set_id)
    if not path.exists():
        return
    if not begun:
        raise ExistsError(
            f"{path} is there already, and nothing is recorded of its set",
            hint="find out whose it is; it is the key to a set",
        )
    path.unlink()


def _sweep(ground: Ground, look: Look, action: Action) -> None:
    """Forget sets whose plexes are back in this mirror: it is about to become another one."""
    for record in list(ground.records.all()):
        mine = (record.policy_group, record.mirror) == (action.group, action.mirror)
        if not mine or record.set_id == action.set_id:
            continue
        if not any(
            look.volume(part.snapshot, part.group)
            or any(one.snapshot[1] == part.snapshot for one in look.pairs(part.group))
            for part in record.parts
        ):
            ground.records.forget(record.set_id)


def _create(
    ground: Ground, record: Record, copies: list[Copy], xml: Path, extras: Mapping[str, str]
) -> Said:
    sources = []
    for part, copy in zip(record.parts, copies, strict=True):
        if copy.production is None:
            raise Error(f"{part.volume} has no production volume")
        letters = [place for place in copy.production.places if is_letter(place)]
        ready = [plex for plex in copy.production.plexes if plex.state == "ready"]
        sources.append(
            {
                "path": letters[0] if letters else device(part.group, part.original),
                "newvol": part.snapshot,
                # The option is remembered, not read: given only where there is a choice.
                "plex": part.plex if len(ready) > 1 else "",
            }
        )
    return ground.product.do(
        "create",
        xml=str(xml),
        sources=sources,
        writer=record.writer,
        component=record.component,
        **extras,
    )


def split_again(ground: Ground, record: Record, copies: list[Copy]) -> Said:
    """The same volumes under the same names, nobody asked: production is not mounted."""
    xml = ground.records.xml(record.set_id, "new")
    xml.unlink(missing_ok=True)
    return _create(ground, replace(record, writer="", component=""), copies, xml, {})


def _finish(ground: Ground, action: Action, record: Record, said: Said | None) -> None:
    """Judge by the state what the command did; a set that is not right is undone. The record of a
    command that was not done in time stays: what it still does is this set's."""
    look = Look(ground)
    copies = look.copies(action, record)
    there = [copy for copy in copies if copy.snapshot]
    late = said is not None and said.status is None
    if not there:
        if not late:
            ground.records.forget(record.set_id)
        blame = said.error("no volume was split") if said else ProviderError("nothing was split")
        raise blame
    problem = ""
    if record.writer and (said is None or said.status != 0):
        problem = f"nobody knows whether the writer {record.writer} agreed"
    if len(there) < len(copies):
        problem = "only some of the volumes were split"
    for part, copy in zip(record.parts, copies, strict=True):
        if copy.snapshot and not _has_plex(copy.snapshot, part.plex):
            problem = f"another mirror of {part.volume} was split"
    kept = ground.records.take_xml(record)
    if not kept.xml:
        problem = problem or f"the set's XML {ground.records.xml(record.set_id)} is not there"
    if not problem:
        for copy in there:
            if copy.snapshot:
                unassign(ground, copy.snapshot)  # a letter that nobody asked for
        ground.records.write(replace(kept, phase="split"))
        return
    _undo(ground, there)
    if not late:
        ground.records.forget(record.set_id)
    if said:
        raise said.error(f"{problem}; what was split goes back")
    raise ProviderError(f"the split was not right: {problem}; what was split goes back")


def _has_plex(volume: Volume, plex: str) -> bool:
    return any(one.name == plex for one in volume.plexes)


def _is_back(ground: Ground, copy: Copy) -> bool:
    return not left(ground, [copy])


def _undo(ground: Ground, copies: list[Copy]) -> None:
    """By the spelling that is confirmed, which lasts as long as the copy of what changed since."""
    for copy in copies:
        if copy.snapshot:
            unassign(ground, copy.snapshot)
        said = ground.product.do("snapback_at_once", group=copy.where, volume=copy.name)
        found = f"{copy.name} could not be given back"
        ensure(ground, said, partial(_is_back, ground, copy), found)
