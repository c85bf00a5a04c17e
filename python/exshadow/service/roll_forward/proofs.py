"""What a roll-forward proves: before the restore, whether it may be; after it, whether it is well.

Before, whatever is found refuses the command: nothing was changed. Afterwards production has been
written, so that the same findings are a verdict, and what kept the proof from ending says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from exshadow.errors import CancelledError, Error, IntegrityError, NotFoundError, RefusedError
from exshadow.model import Member, SetRecord
from exshadow.service import jobs
from exshadow.service.checks import ese as ese_check
from exshadow.service.checks.bench import Bench, open_bench
from exshadow.service.checks.ground import Outcome, Unsound
from exshadow.service.desk import Desk, Session, StopRequested
from exshadow.service.roll_forward import ese_logs, layout, postgresql_logs
from exshadow.service.roll_forward.grounds import ForwardGround


@dataclass(frozen=True, slots=True)
class Found:
    """What a roll-forward is about: volumes restored, volumes whose logs stay. `ends`: what the
    logs have to reach, where production could tell."""

    one: SetRecord
    layout: layout.Layout
    databases: tuple[str, ...]
    logs: tuple[str, ...]
    ends: tuple[postgresql_logs.End, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.one.group}@{self.one.label}"

    @property
    def volumes(self) -> tuple[str, ...]:
        return tuple(sorted({*self.databases, *self.logs}))

    @property
    def members(self) -> list[Member]:
        return [member for member in self.one.members if member.volume in self.volumes]


@contextmanager
def before(name: str) -> Iterator[None]:
    """What cannot be mounted, and stops, become errors of a command that has changed nothing."""
    try:
        yield
    except Unsound as problem:
        why = problem.outcome.evidence.get("mount", "")
        raise RefusedError(
            f"roll-forward of {name}: {problem}: {why}", hint=layout.WAY_OUT
        ) from None
    except (KeyboardInterrupt, StopRequested):
        raise CancelledError(
            f"interrupted: roll-forward of {name} stopped while it looked; nothing was changed",
            hint="repeat the command",
        ) from None


@contextmanager
def _after(found: Found) -> Iterator[None]:
    """The databases are restored: whatever keeps the proof from ending must say that."""
    text = f"the databases of {found.name} are restored, and not proved"
    hint = f"repeat: exshadow restore {found.one.id} --roll-forward"
    try:
        yield
    except (KeyboardInterrupt, StopRequested, CancelledError):
        raise CancelledError(f"interrupted: {text}", hint=hint) from None
    except Error as problem:
        problem.message = f"{text}: {problem.message}"
        problem.hint = f"{problem.hint}; then {hint}" if problem.hint else hint
        raise


def ends(
    desk: Desk, session: Session, found: Found, kept: SetRecord | None
) -> tuple[postgresql_logs.End, ...]:
    """How far production's servers of PostgreSQL have written, before their data is overwritten;
    without those that cannot be read: a lost volume is what a roll-forward is for."""
    places = found.layout.of(layout.POSTGRESQL, layout.DATABASE, found.databases)
    volumes = {place.volume for place in places}
    if not volumes:
        return ()
    ground = ForwardGround(desk, session, found.one, dict.fromkeys(volumes, kept))
    known = []
    with open_bench(ground) as bench:
        for disk in bench.disks():
            folders = [place.folder for place in places if place.disk == disk.name]
            with suppress(Unsound):
                top = bench.mount(disk, writable=False) if folders and disk.kind else None
                known += [postgresql_logs.end_of(bench, top / one) for one in folders if top]
    return tuple(one for one in known if one is not None)


def again(desk: Desk, found: Found, kept: SetRecord | None) -> Outcome:
    """The verdict on what the restore left: the copies' bytes, which recover with today's logs."""
    with _after(found), desk.session([member.volume for member in found.one.members]) as session:
        try:
            same = _compare(desk, session, found)
            return prove(desk, session, found, kept) if same.ok else same
        except Unsound as unsound:
            why = unsound.outcome.evidence.get("mount", "")
            detail = f"{unsound}: {why}" if why else str(unsound)
            return Outcome(False, detail, unsound.outcome.evidence)
        except Error:
            raise
        except OSError as problem:  # of a file in there; the machine's own failures are Errors
            return Outcome(False, f"cannot be read: {problem}")


def prove(desk: Desk, session: Session, found: Found, kept: SetRecord | None) -> Outcome:
    """The set's databases with today's logs."""
    sources: dict[str, SetRecord | None] = dict.fromkeys(found.logs, kept)
    sources |= dict.fromkeys(found.databases, found.one)
    ground = ForwardGround(desk, session, found.one, sources)
    outcomes = []
    with open_bench(ground) as bench:
        mounted = bench.mount_all(writable=False)
        for system, prove in ((layout.ESE, _prove_ese), (layout.POSTGRESQL, _prove_postgresql)):
            if found.layout.of(system, layout.DATABASE, found.databases):
                outcomes.append(prove(bench, found, mounted))
    detail = "; ".join(one.detail for one in outcomes if one.ok == all(o.ok for o in outcomes))
    evidence = {key: value for one in outcomes for key, value in one.evidence.items()}
    if kept is None:
        evidence["unreplayed"] = sorted(
            disk.name for disk in bench.disks() if disk.volume in found.logs
            and disk.kind in ("ext3", "ext4", "xfs", "btrfs")
        )  # fmt: skip
    return Outcome(all(one.ok for one in outcomes), detail, evidence)


def _tops(found: Found, mounted: dict[str, Path], system: str) -> list[Path]:
    """The folders of the databases, and those of the logs. NotFoundError for one that is gone."""
    places = [
        *found.layout.of(system, layout.DATABASE, found.databases),
        *found.layout.of(system, layout.LOG, found.logs),
    ]
    tops = [mounted[place.disk] / place.folder for place in places if place.disk in mounted]
    for place in places:
        if place.disk not in mounted or not (mounted[place.disk] / place.folder).is_dir():
            raise NotFoundError(
                f"{place.disk} has no folder {place.folder} any more",
                hint="bring the logs back to where they were, or restore without --roll-forward",
            )
    return [top for top in dict.fromkeys(tops)
            if not any(top != one and top.is_relative_to(one) for one in tops)]  # fmt: skip


def _prove_ese(bench: Bench, found: Found, mounted: dict[str, Path]) -> Outcome:
    from exshadow import ese

    bench.ground.say("databases of the set with the current logs")
    watch = ese_check.Watch(bench.ground, lambda path: path.removeprefix(f"{bench.tree}/"))
    try:
        report = ese.check(
            _tops(found, mounted, layout.ESE), progress=watch.tell, within=[bench.tree.resolve()]
        )
    except NotFoundError as problem:
        return ese_logs.missing(problem)
    except CancelledError:
        watch.reraise()
        raise
    return ese_logs.judge(report, bench.tree)


def _prove_postgresql(bench: Bench, found: Found, mounted: dict[str, Path]) -> Outcome:
    def at(role: str, volumes: Iterable[str]) -> list[Path]:
        places = found.layout.of(layout.POSTGRESQL, role, volumes)
        return [mounted[place.disk] / place.folder for place in places if place.disk in mounted]

    bench.ground.say("the data folder of the set with the current WAL")
    wal = at(layout.LOG, found.logs)
    if gone := [top for top in wal if not top.is_dir()]:
        folder = gone[0].relative_to(bench.tree)
        return ese_logs.missing(NotFoundError(f"there is no folder {folder} any more"))
    data = [top for top in at(layout.DATABASE, found.databases) if (top / "PG_VERSION").is_file()]
    return postgresql_logs.judge(bench, data, wal, found.ends)


def _compare(desk: Desk, session: Session, found: Found) -> Outcome:
    """Whether what was restored is the copy, byte by byte: then what the copy's databases prove
    holds for production's."""
    label = found.one.label
    started = {name: session.volumes[name].verify_snapshot(label) for name in found.databases}
    name = f"{found.one.group}@{label}"
    resume = f"exshadow restore {found.one.id} --roll-forward"
    watch = jobs.Watch(f"compare of {name}", label, resume)
    try:
        jobs.run(desk, started, watch)
    except IntegrityError as problem:
        return Outcome(False, f"production differs from the set: {problem.message}")
    return Outcome(True, "")
