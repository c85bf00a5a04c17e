"""snapshot export and import: full images, or Ceph's diff format with changes only.

An exported folder has ``VOLUME.img`` or ``VOLUME.rbd-diff`` for each member and ``export.json``,
which says which set it is and the SHA-256 of each file, for the formats have no checksum.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from exshadow.errors import CancelledError, CorruptError, ExistsError, InvalidError, NotFoundError
from exshadow.model import JobRecord, Json, Member, SetRecord
from exshadow.names import now
from exshadow.service import conflicts, sets
from exshadow.service.desk import Desk, Session, StopRequested

if TYPE_CHECKING:
    from exshadow._core import Snapshot
    from exshadow.rbd_diff import Transfer

MANIFEST = "export.json"
_IMAGE, _DIFF = ".img", ".rbd-diff"
_DIGESTS = {True: "sha256", False: "sparse_sha256"}
"""Where the manifest has the digests of diffs, and of images: of those without their holes."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    job: JobRecord
    files: tuple[str, ...]


def export(
    desk: Desk,
    text: str,
    folder: str | None,
    *,
    since: str | None = None,
    stream: BinaryIO | None = None,
) -> Exported:
    """Write each member to `folder`, or the only one to `stream`. Existing files are refused."""
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    base = sets.find(desk, since, survey) if since is not None else None
    sets.require_readable(desk, one, survey, "export")
    if base is not None:
        check_base(one, base)
        sets.require_readable(desk, base, survey, "export from")
    if stream is not None and len(one.members) != 1:
        raise InvalidError("--stdout takes a set of one volume", hint="export into a folder")
    targets = _targets(one, folder, _DIFF if base else _IMAGE) if folder is not None else {}
    with desk.session([member.volume for member in one.members]) as session:
        clock = Clock(desk, "export", one.members)
        digests = {}
        for member in one.members:
            with clock.member(member, str(targets.get(member.volume, "stdout"))) as progress:
                source = _Source(session, one, base, member)
                target = targets.get(member.volume) or stream
                assert target is not None
                transfer = source.write(target, progress)
                clock.add(transfer)
                digests[member.volume] = transfer.sha256
    if folder is not None:
        _write_manifest(Path(folder), one, base, digests)
    return Exported(clock.job(), tuple(str(path) for path in targets.values()))


def check_base(one: SetRecord, base: SetRecord) -> None:
    """InvalidError for a base that no changes of the set's volumes could start from."""
    if base.id == one.id:
        raise InvalidError("a set has no changes since itself")
    lacking = {member.volume for member in one.members} - {m.volume for m in base.members}
    if lacking:
        raise InvalidError(f"set {base.label} has no copy of volume {', '.join(sorted(lacking))}")


def _targets(one: SetRecord, folder: str, suffix: str) -> dict[str, Path]:
    """A path for each member; none may exist."""
    from exshadow.rbd_diff import errors_as_io

    if Path(folder).exists() and not Path(folder).is_dir():
        raise ExistsError(f"{folder} is a file, not a folder", hint="export into a folder")
    with errors_as_io(f"making {folder}"):
        Path(folder).mkdir(parents=True, exist_ok=True)
    paths = {member.volume: Path(folder) / f"{member.volume}{suffix}" for member in one.members}
    for path in [*paths.values(), Path(folder) / MANIFEST]:
        if path.exists():
            raise ExistsError(f"{path} exists already", hint="export into another folder")
    return paths


@dataclass(frozen=True, slots=True)
class _Source:
    """One member that is being exported."""

    session: Session
    one: SetRecord
    base: SetRecord | None
    member: Member

    def snapshot(self, one: SetRecord) -> Snapshot:
        return self.session.volumes[self.member.volume].snapshots[one.label]

    def write(self, target: Path | BinaryIO, progress: Callable[[int, int], None]) -> Transfer:
        from exshadow import rbd_diff

        snapshot = self.snapshot(self.one)
        holds = rbd_diff.snapshot_id(self.one.id, self.member.volume)
        if self.base is None:
            from exshadow.sparse import data_extents

            with rbd_diff.errors_as_io(f"reading {snapshot.path}"):
                extents = data_extents(snapshot.path)
            return rbd_diff.export_full(
                snapshot.read, self.member.size, target, progress, holds=holds, extents=extents
            )
        changed = snapshot.changed(since=self.snapshot(self.base))
        since = rbd_diff.snapshot_id(self.base.id, self.member.volume)
        with _opened(target) as file:
            return rbd_diff.export_diff(
                snapshot.read, changed, self.member.size, since, holds, file, progress
            )


@contextlib.contextmanager
def _opened(target: Path | BinaryIO) -> Iterator[BinaryIO]:
    """A stream as it is; a path by way of a part file that gets its name when it is durable."""
    import os

    from exshadow.rbd_diff import errors_as_io

    if not isinstance(target, Path):
        yield target
        return
    part = target.with_name(f"{target.name}.part")
    try:
        with errors_as_io(f"writing {target}"):
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def _write_manifest(
    folder: Path, one: SetRecord, base: SetRecord | None, digests: dict[str, str | None]
) -> None:
    from exshadow.rbd_diff import errors_as_io

    document = {
        "format": 1,
        "exported": now(),
        "set": one.to_json(),
        "since": base.to_json() if base else None,
        _DIGESTS[base is not None]: {name: one for name, one in digests.items() if one},
    }
    with errors_as_io(f"writing {folder / MANIFEST}"):
        (folder / MANIFEST).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in an exported folder for one volume."""

    volume: str
    path: Path
    is_diff: bool
    digest: str | None


def find_export(folder: str, volume: str | None = None) -> Found:
    """The one file of `folder` that an import takes. NotFoundError, InvalidError if ambiguous."""
    place = Path(folder)
    if not place.exists():
        raise NotFoundError(
            f"no folder {folder}", hint="name one that was written by: exshadow snapshot export"
        )
    if not place.is_dir():
        raise InvalidError(
            f"{folder} is not a folder", hint="name the folder that the export was written into"
        )
    files = [
        path
        for path in sorted(place.iterdir())
        if path.suffix in (_IMAGE, _DIFF) and volume in (None, path.stem)
    ]
    if not files:
        wanted = f"{volume}.img or {volume}.rbd-diff" if volume else "*.img or *.rbd-diff"
        raise NotFoundError(
            f"no {wanted} in {folder}",
            hint="name a folder that was written by: exshadow snapshot export SET DIR",
        )
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise InvalidError(f"{folder} has several: {names}", hint="choose one with --volume NAME")
    is_diff = files[0].suffix == _DIFF
    digest = _manifest(place).get(_DIGESTS[is_diff], {}).get(files[0].stem)
    return Found(files[0].stem, files[0], is_diff, digest)


def _manifest(folder: Path) -> Json:
    try:
        document = json.loads((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptError(f"{folder / MANIFEST} cannot be read: {error}") from error
    if not isinstance(document, dict) or not all(
        isinstance(document.get(key, {}), dict) for key in _DIGESTS.values()
    ):
        raise CorruptError(f"{folder / MANIFEST} is no description of an export")
    return document


def import_onto(desk: Desk, found: Found, image: str) -> JobRecord:
    """Bring `image` to the exported snapshot. IntegrityError when the base differs.

    BusyError when `image` is a plex: plexes are changed by restore and resync only.
    """
    from exshadow import rbd_diff

    def refuse() -> None:
        conflicts.refuse_used(desk.folder, desk.folder.survey(), image)

    refuse()
    conflicts.refuse_read_only(image)
    if not desk.force:
        conflicts.refuse_mounted(image)
    member = Member(found.volume, "", str(found.path), found.path.stat().st_size)
    clock = Clock(desk, "import", (member,))
    with clock.member(member, image) as progress:
        if found.is_diff:
            with rbd_diff.errors_as_io(f"opening {found.path}"):
                file = found.path.open("rb")
            with file:
                transfer = rbd_diff.import_diff(
                    file, image, progress, sha256=found.digest, force=desk.force, locked=refuse
                )
        else:
            transfer = rbd_diff.import_full(
                found.path, image, progress, digest=found.digest, locked=refuse
            )
        clock.add(transfer)
    return clock.job()


class Clock:
    """Adds up what is moved by hand, member by member, and tells it like an engine's job."""

    def __init__(self, desk: Desk, kind: str, members: tuple[Member, ...]) -> None:
        self._desk = desk
        self._kind = kind
        self._total = sum(member.size for member in members)
        self._started = now()
        self._begin = time.monotonic()
        self._told = 0.0
        self._copied = self._zeroed = self._done = 0

    def job(self, state: str = "done", done: int | None = None) -> JobRecord:
        seconds = time.monotonic() - self._begin
        done = self._done if done is None else done
        return JobRecord(
            self._kind, self._copied, self._zeroed, self._total, seconds, state, bytes_done=done
        )

    def add(self, transfer: Transfer) -> None:
        self._copied += transfer.bytes_copied
        self._zeroed += transfer.bytes_zeroed

    @contextlib.contextmanager
    def member(self, member: Member, target: str) -> Iterator[Callable[[int, int], None]]:
        """Progress callback for one member; its end is recorded, also a bad one."""
        what = f"{self._kind} of {member.volume}"

        def progress(done: int, total: int) -> None:
            self._desk.check_stop()
            moment = time.monotonic()
            if moment - self._told >= 0.1:
                self._told = moment
                share = member.size * done // total if total else 0
                self._desk.reporter.progress(what, self.job("running", self._done + share))

        state, text = "done", ""
        before = self.job()
        try:
            yield progress
            self._done += member.size
        except (KeyboardInterrupt, StopRequested):
            state = "cancelled"
            hint = "repeat the same command"
            raise CancelledError(f"interrupted: {what} stopped", hint=hint) from None
        except Exception as error:
            state, text = "failed", str(error)
            raise
        finally:
            whole = self.job(state)
            self._desk.reporter.progress(what, whole)
            record = replace(
                whole,
                bytes_copied=whole.bytes_copied - before.bytes_copied,
                bytes_zeroed=whole.bytes_zeroed - before.bytes_zeroed,
                bytes_total=member.size,
                seconds=whole.seconds - before.seconds,
            )
            self._desk.record(
                lambda catalog: catalog.add_job(
                    record, volume=member.volume, target=target, started=self._started, error=text
                )
            )
