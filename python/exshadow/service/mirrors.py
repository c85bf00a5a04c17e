"""mirror add, sync, list, remove, verify."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from exshadow.errors import (
    ExistsError,
    IntegrityError,
    InvalidError,
    NotFoundError,
    RefusedError,
)
from exshadow.image_files import errors_as_io
from exshadow.model import UNFINISHED, JobRecord, Plan, PlexRecord, Step, VolumeRecord
from exshadow.names import check_name, close_match
from exshadow.service import conflicts, jobs
from exshadow.service.desk import Desk
from exshadow.service.records import extents
from exshadow.sparse import data_extents

_OUTSIDE = "from outside"  # in the engine's notes about a plex that somebody else wrote to
_DOUBTS = (
    _OUTSIDE,
    "its size changed",
    "it is another",
    "it does not carry",
    "it belongs to another",
    "it is an older copy",
)
"""In the engine's notes about a plex that is not what the volume left behind."""


def require_plex(record: VolumeRecord, label: str) -> PlexRecord:
    """The volume's plex of this label. NotFoundError."""
    plex = record.plex(label)
    if plex is None:
        known = [one.label for one in record.plexes]
        raise NotFoundError(
            f"volume {record.name} has no plex {label!r}",
            hint=f"{close_match(label, known)}plexes: {', '.join(known)}; "
            f"see: exshadow mirror list {record.name}",
        )
    return plex


def add_plan(
    desk: Desk, volume: str, path: str, label: str | None = None, *, overwrite: bool = False
) -> Plan:
    """What ``mirror add`` would write; refuses what it would refuse."""
    if label is not None:
        check_name(label, "label")
    record = desk.folder.inspect(volume)
    path = conflicts.absolute(path)
    if unfinished := _unfinished_here(desk, record, path, label):
        step = Step("continue the sync of", volume, unfinished.path, unfinished.bytes_to_sync)
    elif Path(path).exists():
        _check_target(record, path, overwrite=overwrite)
        step = Step("overwrite", volume, path, record.size)
    else:
        if not Path(path).parent.is_dir():
            raise NotFoundError(
                f"no folder {Path(path).parent}",
                hint="make it first, on the disk that is to hold the mirror: nothing is created "
                "but the file",
            )
        step = Step("create", volume, path, record.size)
    if not unfinished and label is not None and record.plex(label):
        raise ExistsError(f"volume {volume} has a plex {label!r} already", hint="choose another")
    return Plan(f"mirror add {volume} {path}", (step,))


def _check_target(record: VolumeRecord, path: str, *, overwrite: bool) -> None:
    """As the engine will: the size must be the volume's, and content is not replaced unasked."""
    place = Path(path)
    if not (place.is_file() or place.is_block_device()):
        raise InvalidError(f"{path} is neither a file nor a block device")
    with errors_as_io(f"opening {path}"), place.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
    if size != record.size:
        raise InvalidError(
            f"{path} has {size} bytes, the volume has {record.size}",
            hint="a plex must be exactly as large as its volume",
        )
    with errors_as_io(f"reading {path}"):
        holds = bool(data_extents(path))
    if holds and not overwrite:
        what = "is a block device and may hold data" if place.is_block_device() else "holds data"
        raise ExistsError(f"{path} {what}", hint="replace its content with --overwrite")


def add(
    desk: Desk,
    volume: str,
    path: str,
    *,
    label: str | None = None,
    limit: int | None = None,
    overwrite: bool = False,
) -> JobRecord:
    """Attach a plex and sync it. Repeated after an interruption, it goes on where it was.

    BusyError when `path` is in use by any volume here, ExistsError for existing content.
    """
    if label is not None:
        check_name(label, "label")
    record = desk.folder.inspect(volume)
    path = conflicts.absolute(path)
    if unfinished := _unfinished_here(desk, record, path, label):
        return sync(desk, volume, unfinished.label, limit=limit)
    with desk.session([volume]) as session:
        with desk.folder.changing():
            _refuse_target(desk, path)  # again: nobody else adds from here on
            job = session.volumes[volume].add_plex(
                path, label=label, overwrite=overwrite, limit=limit, force=desk.force
            )
        fresh = conflicts.find_plex(session.info(volume), path)
        name = fresh.label if fresh else (label or "")
        watch = jobs.Watch(
            f"sync of {volume} into {name or path}",
            path,
            f"exshadow mirror sync {volume} {name}".strip(),
        )
        result = jobs.run(desk, {volume: job}, watch)
        session.say(volume, session.volumes[volume].info()["events"], record.events)
    _record(desk, volume)
    return result


def _unfinished_here(
    desk: Desk, record: VolumeRecord, path: str, label: str | None
) -> PlexRecord | None:
    """The plex of an interrupted earlier try; BusyError when `path` is in use otherwise."""
    mine = conflicts.find_plex(record, path)
    if mine and mine.state in UNFINISHED and label in (None, mine.label):
        return mine
    for problem in desk.folder.survey().problems.values():
        desk.reporter.note(f"not checked for the same file: {problem}")
    _refuse_target(desk, path)
    return None


def _refuse_target(desk: Desk, path: str) -> None:
    """Refuse a path for a new plex that is in use, mounted or read-only."""
    conflicts.refuse_used(desk.folder, desk.folder.survey(), path)
    conflicts.refuse_read_only(path)
    if os.path.islink(path) and not Path(path).exists():  # noqa: PTH114
        raise NotFoundError(
            f"{path} is a link to nothing", hint="make what it leads to, or name that itself"
        )
    if not desk.force:
        conflicts.refuse_mounted(path)


def sync(
    desk: Desk, volume: str, label: str | None = None, *, limit: int | None = None
) -> JobRecord:
    """Continue any unfinished sync, resync or restore; bring a failed plex back by its map."""
    record = desk.folder.inspect(volume)
    if label is not None:
        require_plex(record, label)
    with desk.session([volume]) as session:
        job = session.volumes[volume].sync(label, limit=limit)
        resume = f"exshadow mirror sync {volume} {label or ''}".strip()
        into = f" into {label}" if label else ""
        watch = jobs.Watch(f"sync of {volume}{into}", label or "", resume)
        try:
            result = jobs.run(desk, {volume: job}, watch)
        except NotFoundError as gone:
            lost = [one for one in record.plexes if one.path in gone.message]
            if lost:
                gone.hint = (
                    "mount or bring back the disk it was on, or give it up: "
                    f"exshadow mirror remove {volume} {lost[0].label}"
                )
            raise
        session.say(volume, session.volumes[volume].info()["events"], record.events)
    _record(desk, volume)
    return result


def sync_plan(desk: Desk, volume: str, label: str | None = None) -> Plan:
    """What ``mirror sync`` writes over, as far as the volume file knows before it is opened."""
    record = desk.folder.inspect(volume)
    if label is not None:
        require_plex(record, label)
    behind = [
        plex for plex in record.plexes if plex.state in UNFINISHED and label in (None, plex.label)
    ]
    steps = [
        Step("bring up to date", volume, plex.path, plex.bytes_to_sync or record.size)
        for plex in behind
    ]
    warnings = [
        f"plex {plex.label} ({plex.path}): {plex.note}; what was written there is lost"
        for plex in behind
        if _OUTSIDE in plex.note
    ]
    return Plan(f"mirror sync {volume} {label or ''}".rstrip(), tuple(steps), tuple(warnings))


def listing(desk: Desk, volume: str) -> VolumeRecord:
    """The volume with its plexes; takes no lock."""
    return desk.folder.inspect(volume)


def removal_plan(desk: Desk, volume: str, label: str) -> Plan:
    """What ``mirror remove`` forgets."""
    record = desk.folder.inspect(volume)
    plex = require_plex(record, label)
    step = Step("forget plex, keep its bytes", volume, plex.path)
    warnings: tuple[str, ...] = ()
    if plex.authority and any(one.state == "in_sync" for one in record.plexes if one != plex):
        warnings = (f"{plex.path} is production: another plex takes its place",)
    return Plan(f"mirror remove {volume} {label}", (step,), warnings)


def remove(desk: Desk, volume: str, label: str) -> None:
    """Take a plex out of the mirror; its file stays. A snapshot's plex is refused."""
    record = desk.folder.inspect(volume)
    plex = require_plex(record, label)
    for snapshot in record.snapshots:
        if snapshot.plex == label:
            raise RefusedError(
                f"plex {label} is snapshot {snapshot.label} of volume {volume}",
                hint=f"exshadow snapshot delete {record.group}@{snapshot.label}",
            )
    with desk.session([volume]) as session:
        session.volumes[volume].remove_plex(plex.label)
        heir = next((one for one in session.info(volume).plexes if one.authority), None)
    if plex.authority and heir is not None:
        desk.reporter.note(
            f"volume {volume}: production is plex {heir.label} at {heir.path} from now on"
        )
    _record(desk, volume)


@dataclass(frozen=True, slots=True)
class Compared:
    """What ``mirror verify`` found; `error` when plexes differ and were not repaired."""

    job: JobRecord
    differences: tuple[tuple[int, int], ...]
    error: IntegrityError | None


def verify_plan(desk: Desk, volume: str, source: str | None) -> Plan:
    """What ``mirror verify --repair`` may write."""
    record = desk.folder.inspect(volume)
    winner = _source(record, source)
    steps = tuple(
        Step(f"copy differing regions from {winner.label} to", volume, plex.path, plex.size)
        for plex in record.plexes
        if plex.state == "in_sync" and plex.label != winner.label
    )
    return Plan(f"mirror verify {volume} --repair", steps)


def _source(record: VolumeRecord, label: str | None) -> PlexRecord:
    if label is not None:
        return require_plex(record, label)
    winner = next((plex for plex in record.plexes if plex.authority), None)
    if winner is None:
        raise RefusedError(f"volume {record.name} has no plex to go by")
    return winner


def verify(desk: Desk, volume: str, *, repair: bool = False, source: str | None = None) -> Compared:
    """Compare the in-sync plexes; with `repair` copy from `source` or else the authority."""
    record = desk.folder.inspect(volume)
    if source is not None:
        require_plex(record, source)
    error: IntegrityError | None = None
    with desk.session([volume]) as session:
        _require_two(session.info(volume))
        job = session.volumes[volume].verify(repair=repair, source=source)
        watch = jobs.Watch(f"verify of {volume}", "", f"exshadow mirror verify {volume}")
        try:
            result = jobs.run(desk, {volume: job}, watch)
        except IntegrityError as found:
            error = found
            result = jobs.progress({volume: job}, watch.what)
            error.hint = error.hint or f"exshadow mirror verify {volume} --repair"
        differences = extents(job.differences())
    _record(desk, volume)
    return Compared(result, differences, error)


def _require_two(record: VolumeRecord) -> None:
    """RefusedError when there is nothing to compare: one plex is equal to nobody."""
    present = [plex for plex in record.plexes if plex.state == "in_sync" or _is_doubted(plex)]
    if len(present) > 1:
        return
    others = [
        f"{plex.label} is {plex.state}" + (f" ({plex.note})" if plex.note else "")
        for plex in record.plexes
        if plex not in present
    ]
    only = f"only plex {present[0].label}" if present else "no plex"
    raise RefusedError(
        f"nothing to compare: {only} of volume {record.name} is in sync",
        hint="; ".join(others) or f"exshadow mirror add {record.name} PATH",
    )


def _is_doubted(plex: PlexRecord) -> bool:
    """Whether it left the mirror because somebody else changed it: it is compared all the same.
    Any other note says why it lags behind, and the engine leaves such a plex out."""
    return plex.state == "stale" and any(words in plex.note for words in _DOUBTS)


def require_spare(record: VolumeRecord) -> None:
    """RefusedError unless a plex can be split off and one stays."""
    spare = [plex for plex in record.plexes if plex.state == "in_sync"]
    if len(spare) < 2:
        raise RefusedError(
            f"volume {record.name} has no spare plex in sync",
            hint=f"exshadow mirror add {record.name} PATH",
        )


def _record(desk: Desk, volume: str) -> None:
    desk.record_volumes(desk.folder.inspect(volume))
