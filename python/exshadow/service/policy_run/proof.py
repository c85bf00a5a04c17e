"""The policy's checks on a new set: by the volumes themselves for the native engine, else on what
the provider presents.

Copies of other products are never written: what mounts or recovers works on a throw-away copy of
their bytes, made and removed like a drill's.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from exshadow.errors import Error, IntegrityError
from exshadow.image_files import errors_as_io
from exshadow.model import Member, SetRecord, Verification
from exshadow.names import format_size, now
from exshadow.service import sets
from exshadow.service.checks import running
from exshadow.service.checks.wish import CheckWish
from exshadow.service.desk import Session
from exshadow.service.drills.drill import RestoredGround
from exshadow.service.drills.place import drill_place
from exshadow.service.policy_run.room import Room
from exshadow.sparse import data_extents

_PIECE = 4 << 20


def prove(room: Room, one: SetRecord, wish: CheckWish) -> Error | None:
    """Run the checks and record the verdicts; what is wrong, None when all is well."""
    wish.require_valid()
    if one.provider == sets.PROVIDER:
        return room.service.verify_set(one.id, wish).error
    with room.presented(one) as members:
        verdicts = _verdicts(room, replace(one, members=members), wish)
    for verdict in verdicts:
        room.desk.catalog.add_verification(one.id, verdict)
    bad = [verdict for verdict in verdicts if not verdict.ok]
    if not bad:
        return None
    said = "; ".join(f"check {verdict.check} failed: {verdict.detail}" for verdict in bad)
    return IntegrityError(said, hint=f"the evidence: exshadow --json snapshot show {one.id}")


def _verdicts(room: Room, one: SetRecord, wish: CheckWish) -> list[Verification]:
    found = []
    deeper = tuple(check for check in wish.checks if check != "bytes")
    if "bytes" in wish.checks:
        found.append(_bytes(room, one))
    if deeper:
        with _throw_away(room, one) as (copied, session):
            for check in deeper:
                ground = PresentedGround(room.desk, session, copied, wish, one)
                # Its copies are gone when it is presented no more: the verdict is the set's.
                found.append(replace(running.judge(ground, check).verdict, copies=""))
    return found


class PresentedGround(RestoredGround):
    """A check of a throw-away copy of what a provider presented."""

    verb = "verify"

    def again(self, check: str) -> str:
        return f"exshadow snapshot verify {self.one.group}@{self.one.label} --check {check}"


def _bytes(room: Room, one: SetRecord) -> Verification:
    """Every copy is read whole: it can be read, and has the size of its volume. Its digest is kept
    as evidence; production goes on meanwhile and is not compared."""
    begun = time.monotonic()
    sizes = {source.name: source.size for source in room.sources}
    digests: dict[str, str] = {}
    wrong = [] if one.members else ["the provider presented no copy at all"]
    for member in one.members:
        digest, length = hashlib.sha256(), 0
        try:
            for _, piece in _pieces(room, member):
                digest.update(piece)
                length += len(piece)
        except OSError as problem:
            wrong.append(f"{member.volume}: {problem.strerror} after {length} bytes")
            continue
        digests[member.volume] = digest.hexdigest()
        expected = member.size or sizes.get(member.volume, 0)
        if expected and length != expected:
            wrong.append(f"{member.volume} has {length} bytes, {expected} are expected")
    total = sum(member.size for member in one.members)
    detail = "; ".join(wrong) or f"{format_size(total)} read; production was not compared"
    evidence = {"bytes": total, "sha256": digests}
    seconds = time.monotonic() - begun
    return Verification("bytes", not wrong, now(), detail, seconds, evidence)


def _pieces(
    room: Room, member: Member, extents: Sequence[tuple[int, int]] | None = None
) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of the copy, all or where data is."""
    with Path(member.path).open("rb", buffering=0) as file:
        whole = [(0, file.seek(0, 2))]
        for offset, length in whole if extents is None else extents:
            for at in range(offset, offset + length, _PIECE):
                room.desk.check_stop()
                file.seek(at)
                yield at, file.read(min(_PIECE, offset + length - at))


@contextmanager
def _throw_away(room: Room, one: SetRecord) -> Iterator[tuple[SetRecord, Session]]:
    """The copies' bytes as volumes of an engine of their own, in a folder that goes."""
    from exshadow._core import Engine

    with drill_place(room.desk.folder, None) as place:
        members = tuple(_copied(room, member, place) for member in one.members)
        with Engine() as engine:
            session = Session(room.desk, engine)
            for member in members:
                session.volumes[member.volume] = engine.create(
                    str(place / f"{member.volume}.exv"), plex=member.path
                )
            yield replace(one, members=members), session


def _copied(room: Room, member: Member, place: Path) -> Member:
    target = place / f"{member.volume}.img"
    room.note(f"copying {member.volume} for its checks")
    with errors_as_io(f"copying {member.path}"), target.open("wb") as file:
        for at, piece in _pieces(room, member, data_extents(member.path)):
            file.seek(at)
            file.write(piece)
        with Path(member.path).open("rb") as source:
            file.truncate(source.seek(0, 2))
    return Member(member.volume, "verify", str(target), member.size)
