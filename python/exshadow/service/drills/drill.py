"""exshadow drill: restore a set into throw-away plexes, run the checks on them, time every step.

Production and the copies are only read. What is restored becomes a volume of an engine of its own,
so that the checks look at what a restore would leave, through the same server.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from exshadow.errors import (
    Error,
    IntegrityError,
    NoSpaceError,
    NotFoundError,
    RefusedError,
)
from exshadow.model import Member, SetRecord, Verification
from exshadow.names import format_size, now
from exshadow.service import copies, sets, transfer
from exshadow.service.checks import running, script
from exshadow.service.checks.evidence import bounded, clipped
from exshadow.service.checks.ground import Ground, OutOfTime
from exshadow.service.checks.wish import CHECKS, CheckWish
from exshadow.service.desk import Desk, Session
from exshadow.service.drills.place import clear, drill_place
from exshadow.service.drills.wish import CHECK, Drilled, DrillStep, DrillWish
from exshadow.service.members import naming
from exshadow.service.restore import KEPT_LABEL
from exshadow.service.state import Survey
from exshadow.sparse import data_extents

if TYPE_CHECKING:
    from exshadow._core import Snapshot

_PIECE = 4 << 20
_SPARE = 64 << 20
_DETAIL = 500


def drill(desk: Desk, group: str, wish: DrillWish) -> tuple[Drilled, Error | None]:
    """Restore, check, record, clean up. The error is IntegrityError when the set did not come
    back sound. UnsupportedError and its like when a check cannot run here and no other found
    anything: nothing is recorded, for the set was proved by less than was asked."""
    wish.require_valid()
    survey = desk.folder.survey()
    one = choose(desk, group, wish, survey)
    sets.require_readable(desk, one, survey, "drill")
    _require_clean(one, survey)
    checks = _checks(desk, one, wish)
    check_wish = wish.check_wish(checks)
    check_wish.require_valid()
    if check_wish.script is not None:
        script.require_safe(check_wish.script)
    for problem in clear(desk.folder):
        desk.reporter.note(f"left of an interrupted drill: {problem}")
    described = copies.describe(one.members)
    with desk.session([member.volume for member in one.members]) as session:
        desk.record(lambda catalog: catalog.record_set(one))
        drill = _Drill(desk, session, one, check_wish)
        done = drill.run(wish)
    if drill.unable is not None and done.ok:
        raise drill.unable
    verdict = _verdict(done, described)
    desk.record(lambda catalog: catalog.add_verification(one.id, verdict))
    if done.ok:
        return done, None
    hint = f"the evidence: exshadow --json snapshot show {one.group}@{one.label}"
    also = f"; {drill.unable.message}" if drill.unable is not None else ""
    return done, IntegrityError(f"drill of {one.group}@{one.label}: {done.detail}{also}", hint=hint)


def choose(desk: Desk, group: str, wish: DrillWish, survey: Survey) -> SetRecord:
    """The set of the wish, else the newest of the group that is ready. NotFoundError."""
    if wish.set is not None:
        one = sets.find(desk, wish.set, survey)
        if one.group != group:
            raise NotFoundError(
                f"set {one.group}@{one.label} is not of group {group}",
                hint=f"exshadow drill {one.group} --set {one.label}",
            )
        return one
    every = [one for one in sets.assemble(survey, desk.facts()) if one.group == group]
    if every and all(one.provider != sets.PROVIDER for one in every):
        sets.require_native(every[-1], "drill")
    desk.folder.group(group)  # NotFoundError that names the groups
    ready = [one for one in every if one.state == "ready"]
    # What a restore kept of production is no backup.
    made = [one for one in ready if not one.label.startswith(KEPT_LABEL)]
    whole = [one for one in made if not one.missing]
    if not ready:
        raise RefusedError(
            f"group {group} has no set that is ready", hint=f"exshadow snapshot create {group}"
        )
    return (whole or made or ready)[-1]


def _require_clean(one: SetRecord, survey: Survey) -> None:
    """RefusedError for a volume that a crash left: opening it makes its plexes equal again, which
    writes to production, and a drill only reads."""
    for member in one.members:
        volume = survey.volumes[member.volume]
        if not volume.clean and volume.owner is None:
            raise RefusedError(
                f"volume {volume.name} was not closed cleanly: opening it makes its plexes equal "
                "again, and a drill never writes to production",
                hint=f"bring it in order first: exshadow mirror sync {volume.name}",
            )


def _checks(desk: Desk, one: SetRecord, wish: DrillWish) -> tuple[str, ...]:
    if wish.checks:
        return wish.checks
    known = tuple(verdict.check for verdict in one.checks if verdict.check in CHECKS)
    repeatable = tuple(check for check in known if check != "script")
    if len(repeatable) < len(known):
        desk.reporter.note("the check script is not repeated: name it with --check script --script")
    if not repeatable:
        desk.reporter.note("the set was never verified: compared by bytes; name more with --check")
        return ("bytes",)
    return repeatable


def _verdict(done: Drilled, described: str) -> Verification:
    """What the catalog keeps: the steps, and what each check said."""
    evidence = bounded(done.to_json())
    seconds = sum(step.seconds for step in done.steps)
    detail = clipped(done.detail, _DETAIL)
    return Verification(CHECK, done.ok, now(), detail, seconds, evidence, described)


class RestoredGround(Ground):
    """A check of what a drill has restored: volumes of its own, written as a server would."""

    verb = "drill"

    def __init__(
        self, desk: Desk, session: Session, one: SetRecord, wish: CheckWish, origin: SetRecord
    ) -> None:
        super().__init__(desk, session, one, wish)
        self._origin = origin

    def export(self, volume: str) -> tuple[str, bool]:
        return volume, True

    def describe(self) -> str:
        return copies.describe(self._origin.members)

    def again(self, check: str) -> str:
        return f"exshadow drill {self.one.group} --set {self.one.label} --check {check}"


class ViewGround(Ground):
    """A check of a drill on views."""

    verb = "drill"

    def again(self, check: str) -> str:
        return f"exshadow drill {self.one.group} --set {self.one.label} --views --check {check}"


class _Drill:
    def __init__(self, desk: Desk, session: Session, one: SetRecord, wish: CheckWish) -> None:
        self._desk, self._session, self._one, self._wish = desk, session, one, wish
        self._steps: list[DrillStep] = []
        self._verdicts: list[Verification] = []
        self.unable: Error | None = None  # why a check could not run here, of the first such

    def run(self, wish: DrillWish) -> Drilled:
        if not self._takes_copies():
            return self._done("")
        if wish.views:
            for check in self._wish.checks:
                self._judge(check, ViewGround(self._desk, self._session, self._one, self._wish))
            return self._done("")
        with ExitStack() as stack:
            place = stack.enter_context(drill_place(self._desk.folder, wish.folder))
            self._require_room(place)
            restored = self._restore(place)
            if "bytes" in self._wish.checks:
                self._compare(restored)
            session = stack.enter_context(self._opened(place, restored))
            for check in self._wish.checks:
                if check != "bytes":
                    ground = RestoredGround(self._desk, session, restored, self._wish, self._one)
                    self._judge(check, ground)
            begin = time.monotonic()
            stack.close()
            self._add("clean up", "", begin)
        return self._done(str(place))

    def _done(self, place: str) -> Drilled:
        return Drilled(self._one, place, tuple(self._steps), tuple(self._verdicts))

    def _add(
        self,
        name: str,
        volume: str,
        begin: float,
        moved: int = 0,
        *,
        detail: str = "",
        ok: bool = True,
    ) -> None:
        seconds = time.monotonic() - begin
        self._steps.append(DrillStep(name, volume, seconds, moved, ok, detail))
        where = f" {volume}" if volume else ""
        how = "" if ok else "FAILED, "
        self._desk.reporter.note(f"drill: {name}{where}: {how}{seconds:.1f} s")

    def _takes_copies(self) -> bool:
        """A set that a restore would not take does not come back, whatever its checks say."""
        if self._desk.force and self._session.opens_with_force:
            return True
        for member in self._one.members:
            begin = time.monotonic()
            try:
                with naming(member.volume):
                    self._snapshot(member.volume).check()
            except IntegrityError as problem:
                self._add("take the copy", member.volume, begin, detail=problem.message, ok=False)
        return not self._steps

    def _snapshot(self, volume: str) -> Snapshot:
        return self._session.volumes[volume].snapshots[self._one.label]

    def _require_room(self, place: Path) -> None:
        needed = sum(
            length for one in self._one.members for _, length in data_extents(one.path)
        )  # block devices: all of it
        free = shutil.disk_usage(place).free
        if free < needed + _SPARE:
            raise NoSpaceError(
                f"{place.parent} has {format_size(free)} free; the drill needs up to "
                f"{format_size(needed + _SPARE)}",
                hint="name another folder with --dir, or check on views with --views",
            )

    def _restore(self, place: Path) -> SetRecord:
        """The copies' bytes in new sparse files: the set as it is there."""
        from exshadow import rbd_diff

        members = []
        clock = transfer.Clock(self._desk, CHECK, self._one.members)
        for member in self._one.members:
            begin = time.monotonic()
            target = place / f"{member.volume}.img"
            snapshot = self._snapshot(member.volume)
            with clock.member(member, str(target)) as progress:
                with rbd_diff.errors_as_io(f"reading {snapshot.path}"):
                    extents = data_extents(snapshot.path)
                moved = rbd_diff.export_full(
                    snapshot.read, member.size, target, progress,
                    holds=rbd_diff.snapshot_id(self._one.id, member.volume), extents=extents,
                )  # fmt: skip
                clock.add(moved)
            self._add("restore", member.volume, begin, moved.bytes_copied)
            members.append(Member(member.volume, "drill", str(target), member.size))
        return replace(self._one, members=tuple(members))

    def _compare(self, restored: SetRecord) -> None:
        """Check bytes: what was restored is the copy."""
        begin = time.monotonic()
        size = sum(member.size for member in restored.members)
        try:
            differing = [
                f"{member.volume} differs at byte {at}"
                for member in restored.members
                if (at := self._first_difference(member, begin)) is not None
            ]
        except OutOfTime as late:
            differing = [str(late)]
        detail = "; ".join(differing) or f"{format_size(size)} are the copy's"
        seconds = time.monotonic() - begin
        verdict = Verification("bytes", not differing, now(), detail, seconds, {"bytes": size})
        self._add_verdict(verdict, size)

    def _first_difference(self, member: Member, begin: float) -> int | None:
        snapshot = self._snapshot(member.volume)
        with Path(member.path).open("rb") as file:
            for at in range(0, member.size, _PIECE):
                self._desk.check_stop()
                if time.monotonic() - begin > self._wish.timeout:
                    raise OutOfTime(f"gave no verdict within {self._wish.timeout} s")
                length = min(_PIECE, member.size - at)
                if file.read(length) != snapshot.read(at, length):
                    return at
        return None

    @contextmanager
    def _opened(self, place: Path, restored: SetRecord) -> Iterator[Session]:
        """The restored plexes as volumes of their own engine."""
        from exshadow._core import Engine

        begin = time.monotonic()
        with Engine() as engine:
            session = Session(self._desk, engine)
            for member in restored.members:
                session.volumes[member.volume] = engine.create(
                    str(place / f"{member.volume}.exv"), plex=member.path
                )
            self._add("open", "", begin)
            yield session

    def _judge(self, check: str, ground: Ground) -> None:
        try:
            found = running.judge(ground, check)
        except Error as problem:
            if problem.exit_status == 130:
                raise
            self.unable = self.unable or problem
            self._desk.reporter.note(f"drill: check {check} cannot run here: {problem.message}")
            return
        self._add_verdict(found.verdict, found.bytes)

    def _add_verdict(self, verdict: Verification, moved: int) -> None:
        self._verdicts.append(verdict)
        self._steps.append(
            DrillStep(
                f"check {verdict.check}", "", verdict.seconds, moved, verdict.ok, verdict.detail
            )
        )
        how = "ok" if verdict.ok else "FAILED"
        self._desk.reporter.note(f"drill: check {verdict.check}: {how}, {verdict.seconds:.1f} s")
