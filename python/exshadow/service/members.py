"""What is asked of every member of a set before the first is touched, and what is said when a later
one fails all the same: which volumes were changed, which were not, and how to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from exshadow.errors import BusyError, Error, NotFoundError, RefusedError
from exshadow.image_files import opened
from exshadow.model import Member, SetRecord, VolumeRecord
from exshadow.service.desk import Session

if TYPE_CHECKING:
    from exshadow._core import Snapshot

_COPYING = frozenset({"syncing", "resyncing"})
_SECTOR = 512


def check(session: Session, one: SetRecord, members: Iterable[Member], verb: str) -> None:
    """Raise what any member would refuse `verb` (restore, resync or promote) with.

    Looks at the very copies: there, of the right size, as they were split off where that counts,
    and free to be written where they will be.
    """
    for member in members:
        with naming(member.volume):
            record = session.info(member.volume)
            _check_volume(record, verb)
            if record.snapshot(one.id) is not None:
                _check_copy(session, one, member, verb)


@contextmanager
def naming(volume: str) -> Iterator[None]:
    """Failures in here say which volume they are about."""
    try:
        yield
    except Error as error:
        if f"volume {volume}" not in error.message:
            error.message = f"volume {volume}: {error.message}"
        raise


def _check_volume(record: VolumeRecord, verb: str) -> None:
    if record.state in ("in_doubt", "read_only"):
        raise RefusedError(
            f"cannot {verb} volume {record.name} in state {record.state}",
            hint=f"see: exshadow volume show {record.name}",
        )
    if verb != "restore" and record.state in ("restoring", "moving"):
        if verb == "promote" and not _has_production(record):
            return  # the way out when production is gone
        raise RefusedError(
            f"volume {record.name} is being restored",
            hint=f"finish that first: exshadow mirror sync {record.name}",
        )
    if verb != "promote" and not _has_production(record):
        raise RefusedError(
            f"volume {record.name} has no production plex",
            hint="make the copy production: exshadow snapshot promote SET --force",
        )
    if verb != "resync" and (busy := [p.label for p in record.plexes if p.state in _COPYING]):
        raise BusyError(
            f"plex {busy[0]} of volume {record.name} is being copied to",
            hint="wait for the job or cancel it",
        )


def _has_production(record: VolumeRecord) -> bool:
    return any(plex.state == "in_sync" for plex in record.plexes)


def _check_copy(session: Session, one: SetRecord, member: Member, verb: str) -> None:
    snapshot = session.volumes[member.volume].snapshots.get(one.label)
    if snapshot is None:
        raise NotFoundError(
            f"volume {member.volume} has no snapshot {one.label!r} any more",
            hint="see what there is: exshadow snapshot list",
        )
    forced = session.desk.force and session.opens_with_force
    if verb == "restore" and not forced:
        _judge(snapshot, session)
        return
    snapshot.read(0, _SECTOR)
    if verb != "restore":  # the copy is written from here on
        with opened(Path(snapshot.path), writable=True):
            pass


def _judge(snapshot: Snapshot, session: Session) -> None:
    try:
        snapshot.check()
    except Error as error:
        if session.desk.force:  # asked for, and of no use here
            error.hint = "--force needs the volume closed: stop the daemon, then repeat the command"
        raise


def each(members: Sequence[str], act: Callable[[str], None], done: str, resume: str) -> None:
    """Do `act` to one volume after the other. A failure says what was `done` to which before."""
    finished: list[str] = []
    for name in members:
        try:
            with naming(name):
                act(name)
        except Error as error:
            tell(error, done, finished, [one for one in members if one not in finished], resume)
            raise
        finished.append(name)


def tell(error: Error, done: str, finished: list[str], rest: list[str], resume: str) -> None:
    """Add to `error` which volumes are `done` and which are not, unless nothing was."""
    if not finished:
        return
    error.message = f"{error.message}; {done}: {', '.join(finished)}; not: {', '.join(rest)}"
    way = f"when that is mended, repeat: {resume}"
    error.hint = f"{error.hint}; {way}" if error.hint else way
