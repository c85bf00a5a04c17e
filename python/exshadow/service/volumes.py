"""volume add, list, show, remove."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from exshadow.errors import BusyError, Error, ExistsError, InvalidError, RefusedError
from exshadow.model import Plan, Step, VolumeRecord
from exshadow.names import check_name, is_pinned
from exshadow.service import conflicts
from exshadow.service.desk import Desk
from exshadow.service.records import volume_record
from exshadow.service.state import COPY_SUFFIX, SUFFIX, Survey


def add(
    desk: Desk,
    name: str,
    path: str,
    *,
    group: str | None = None,
    region_size: int = 65536,
    metadata_copy: str | None = None,
) -> VolumeRecord:
    """Adopt an image file or block device; its bytes are not touched."""
    from exshadow._core import Engine

    check_name(name, "volume name")
    if group is not None:
        check_name(group, "group name")
    path = conflicts.absolute(path)
    copy = conflicts.absolute(metadata_copy) if metadata_copy else None
    created = not desk.folder.path.exists()
    _check_new(desk, name, path, copy)
    _ = desk.catalog
    try:
        with desk.folder.changing(), Engine() as engine:
            _check_new(desk, name, path, copy)  # again: nobody else adds from here on
            volume = engine.create(
                str(desk.folder.volume_file(name)),
                plex=path,
                region_size=region_size,
                group=group,
                metadata_copy=copy,
                force=desk.force,
            )
            desk.folder.remember_metadata_copy(name, copy)
            record = volume_record(volume.info())
    except Error:
        if created:
            _drop_empty_folder(desk)
        raise
    record = desk.folder.inspect(name)
    desk.record_volumes(record)
    return record


def _check_new(desk: Desk, name: str, path: str, copy: str | None) -> None:
    """Refuse a name, a plex or a metadata copy that is taken."""
    survey = desk.folder.survey()
    for problem in survey.problems.values():
        desk.reporter.note(f"not checked for the same file: {problem}")
    conflicts.refuse_used(desk.folder, survey, path)
    conflicts.refuse_read_only(path)
    if not desk.force:
        conflicts.refuse_mounted(path)
    if desk.folder.exists(name):
        raise ExistsError(f"volume {name} exists already", hint="choose another name")
    if copy is not None:
        _check_copy(desk, survey, path, copy)


def _check_copy(desk: Desk, survey: Survey, path: str, copy: str) -> None:
    conflicts.refuse_used(desk.folder, survey, copy)
    inside = Path(copy).parent.resolve() == desk.folder.path.resolve()
    if inside and copy.endswith((SUFFIX, COPY_SUFFIX)):
        raise InvalidError(
            f"{copy} would look like a volume of its own",
            hint="keep the metadata copy elsewhere, best on another disk",
        )
    if conflicts.same(copy, path):
        raise BusyError(f"{copy} is the volume's own plex", hint="choose another metadata copy")
    if os.path.lexists(copy):
        raise ExistsError(f"{copy} exists already", hint="the metadata copy must be a new file")


def _drop_empty_folder(desk: Desk) -> None:
    """A refused first add leaves no state folder behind; nothing but an empty catalog goes."""
    if desk.folder.names():
        return
    desk.close()
    for suffix in ("", "-wal", "-shm", ".lock"):
        with contextlib.suppress(OSError):
            Path(f"{desk.folder.catalog_file}{suffix}").unlink()
    with contextlib.suppress(OSError):
        desk.folder.path.rmdir()


def listing(desk: Desk) -> Survey:
    """All volumes; takes no lock."""
    return desk.folder.survey()


def show(desk: Desk, name: str) -> VolumeRecord:
    """One volume; takes no lock."""
    return desk.folder.inspect(name)


def removal_plan(desk: Desk, name: str) -> Plan:
    """What ``volume remove`` forgets."""
    try:
        record = desk.folder.inspect(name)
    except Error as error:
        if not (desk.force and desk.folder.exists(name)):
            raise
        return Plan(f"volume remove {name}", (Step("forget", name, ""),), (str(error),))
    steps = [Step("forget plex, keep its bytes", name, plex.path) for plex in record.plexes]
    steps += [Step("forget snapshot, keep its bytes", name, one.label) for one in record.snapshots]
    return Plan(f"volume remove {name}", tuple(steps), _broken_sets(record))


def _broken_sets(record: VolumeRecord) -> tuple[str, ...]:
    """What forgetting the volume does to sets that other volumes belong to."""
    return tuple(
        f"set {record.group}@{one.label} of {', '.join(one.members)} loses {record.name}"
        for one in record.snapshots
        if len(one.members) > 1
    )


def remove(desk: Desk, name: str, *, break_sets: bool = False) -> None:
    """Forget a volume; no plex byte is deleted. Pinned snapshots refuse it, and sets of several
    volumes unless `break_sets`.

    A volume that cannot be opened (damaged, plex missing) goes only with force: its plexes may then
    differ, since nobody reconciled them.
    """
    if not desk.force:
        record = desk.folder.inspect(name)
        for snapshot in record.snapshots:
            if is_pinned(snapshot.pinned_until):
                raise RefusedError(
                    f"snapshot {snapshot.label} of volume {name} is pinned",
                    hint=f"exshadow snapshot pin {snapshot.set_id} --clear --reason TEXT",
                )
        if (broken := _broken_sets(record)) and not break_sets:
            raise RefusedError(
                f"cannot remove volume {name}: {'; '.join(broken)}",
                hint="delete or resync the set first, or do it all the same with --yes",
            )
    try:
        with desk.session([name]):
            # While it is locked: nobody can open it between the end of the engine and the unlink.
            _unlink(desk, name)
    except BusyError:
        raise
    except Error as error:
        if not desk.force or not desk.folder.exists(name):
            if desk.folder.exists(name) and not error.hint:
                error.hint = "--force forgets it as it is"
            raise
        desk.reporter.note(f"forgotten without reconciling its plexes: {error}")
        _unlink(desk, name)
    desk.record(lambda catalog: catalog.forget_volume(name))


def _unlink(desk: Desk, name: str) -> None:
    copy = desk.folder.metadata_copy(name)
    desk.folder.volume_file(name).unlink(missing_ok=True)
    if copy is not None:
        with contextlib.suppress(OSError):
            Path(copy).unlink()
    desk.folder.remember_metadata_copy(name, None)
