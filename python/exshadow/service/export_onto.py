"""snapshot export --to: one copy straight onto an image file or a block device of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exshadow.errors import BusyError, IntegrityError, InvalidError, NotFoundError
from exshadow.model import JobRecord, Json, Member, SetRecord
from exshadow.service import conflicts, sets
from exshadow.service.attachments import Attachments
from exshadow.service.desk import Desk, Session
from exshadow.service.state import Survey
from exshadow.service.transfer import Clock, check_base
from exshadow.service.whole_file import is_nameless

if TYPE_CHECKING:
    from exshadow._core import Snapshot
    from exshadow.rbd_diff import Transfer


@dataclass(frozen=True, slots=True)
class OntoWish:
    """Where to. ``path``: of a file or block device, from the root on; ``since``: the set that the
    image there holds; ``volume``: which of several; ``force``: replace what is there."""

    path: str
    since: str | None = None
    volume: str | None = None
    force: bool = False

    def to_json(self) -> Json:
        """As the daemon is told."""
        return {
            "to": self.path,
            "since": self.since,
            "volume": self.volume,
            "force": self.force,
        }


@dataclass(frozen=True, slots=True)
class Onto:
    """What was written. ``bytes``: the image's length; ``sha256``: of the whole image, of changes
    that of the same as VOLUME.rbd-diff; None when the image held the set already."""

    job: JobRecord
    path: str
    volume: str
    bytes: int
    sha256: str | None

    def to_json(self) -> Json:
        """``target`` of the command's document."""
        return {
            "path": self.path,
            "volume": self.volume,
            "bytes": self.bytes,
            "sha256": self.sha256,
        }


def export_onto(desk: Desk, text: str, wish: OntoWish) -> Onto:
    """Write one member of the set. BusyError for what is used here: plexes, metadata, attached,
    mounted, copies and production of other products; ExistsError for what would be lost without
    ``force``; IntegrityError when the image does not hold ``since``."""
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    base = sets.find(desk, wish.since, survey) if wish.since is not None else None
    sets.require_readable(desk, one, survey, "export")
    if base is not None:
        check_base(one, base)
        sets.require_readable(desk, base, survey, "export from")
    member = _member(one, wish.volume)
    if Path(wish.path).is_dir():
        raise InvalidError(f"{wish.path} is a folder", hint="name a file or a block device")
    if is_nameless(Path(wish.path)):
        raise InvalidError(f"{wish.path} has no name any more", hint="name a file, or use --stdout")
    _refuse(desk, survey, wish.path)
    # A link stays: what it leads to is replaced.
    image = Path(wish.path).resolve()
    if base is None:
        from exshadow.image_export import require_replaceable

        require_replaceable(image, replace=wish.force)
    with desk.session([member.volume]) as session:
        clock = Clock(desk, "export", (member,))
        with clock.member(member, wish.path) as progress:
            transfer = _Writing(session, one, base, member, wish.force).onto(image, progress)
            clock.add(transfer)
    return Onto(clock.job(), wish.path, member.volume, member.size, transfer.sha256)


def _member(one: SetRecord, volume: str | None) -> Member:
    names = [member.volume for member in one.members]
    if volume is None and len(names) > 1:
        raise InvalidError(
            f"set {one.label} has several volumes: {', '.join(names)}",
            hint="choose one: --volume NAME; or export all into a folder",
        )
    for member in one.members:
        if volume in (None, member.volume):
            return member
    there = f"it has: {', '.join(names)}"
    raise NotFoundError(f"set {one.label} has no volume {volume}", hint=there)


@dataclass(frozen=True, slots=True)
class _Writing:
    session: Session
    one: SetRecord
    base: SetRecord | None
    member: Member
    force: bool

    def onto(self, image: Path, progress: Callable[[int, int], None]) -> Transfer:
        from exshadow import image_export
        from exshadow.rbd_diff import errors_as_io, snapshot_id
        from exshadow.sparse import data_extents

        desk = self.session.desk
        snapshot = self._snapshot(self.one)
        holds = snapshot_id(self.one.id, self.member.volume)

        def locked() -> None:  # somebody may have taken it since
            _refuse(desk, desk.folder.survey(), str(image), ours=True)

        if self.base is None:
            with errors_as_io(f"reading {snapshot.path}"):
                extents = data_extents(snapshot.path)
            return image_export.export_image(
                snapshot.read, extents, self.member.size, image, progress,
                holds=holds, replace=self.force, locked=locked,
            )  # fmt: skip
        changed = snapshot.changed(since=self._snapshot(self.base))
        try:
            return image_export.export_changes(
                snapshot.read, changed, self.member.size, image, progress,
                since=snapshot_id(self.base.id, self.member.volume), holds=holds, locked=locked,
            )  # fmt: skip
        except IntegrityError as problem:  # its hint is of imports
            problem.hint = (
                f"write it whole: exshadow snapshot export {self.one.group}@{self.one.label} "
                f"--to {image} --force"
            )
            raise

    def _snapshot(self, one: SetRecord) -> Snapshot:
        return self.session.volumes[self.member.volume].snapshots[one.label]


def _refuse(desk: Desk, survey: Survey, path: str, *, ours: bool = False) -> None:
    """BusyError when somebody needs what is at `path`. `ours`: it is open already; a device is
    claimed then, which nobody else could have done."""
    conflicts.refuse_used(desk.folder, survey, path)
    for one in Attachments(desk.folder).read().attachments:
        if conflicts.same(one.device, path):
            raise BusyError(
                f"{path} is {one.export}, attached", hint=f"exshadow detach {one.export}"
            )
    for used, what in _foreign(desk):
        if conflicts.same(used, path):
            raise BusyError(f"{path} is {what}", hint="name another file or device")
    conflicts.refuse_read_only(path)
    if ours and Path(path).is_block_device():
        return
    try:
        conflicts.refuse_mounted(path)
    except BusyError as problem:
        problem.hint = "unmount it first"
        raise


def _foreign(desk: Desk) -> Iterator[tuple[str, str]]:
    """Paths of copies that other products hold for us, and of the volumes they are of."""
    catalog = desk.facts()
    if catalog is None:
        return
    from exshadow.catalog.journal import CatalogJournal

    journal = CatalogJournal(catalog, "")
    for one in catalog.sets():
        if one.state == "dissolved" or one.provider == sets.PROVIDER:
            continue
        for member in one.members:
            yield member.path, f"a copy of {member.volume}, of set {one.group}@{one.label}"
        entry = journal.split_of(one.id)
        for source in entry.action.volumes if entry is not None else ():
            yield source.path, f"production of {one.group}: volume {source.name}"
