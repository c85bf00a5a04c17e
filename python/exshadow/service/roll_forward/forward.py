"""The steps of a roll-forward: look, keep, prove, copy the databases back, prove again, record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from exshadow.errors import (
    CancelledError,
    IntegrityError,
    InvalidError,
    NotFoundError,
    RefusedError,
)
from exshadow.model import Member, Plan, SetRecord, Step, Verification
from exshadow.names import now
from exshadow.service import attached, jobs, mirrors, restore, sets
from exshadow.service.checks import ese as ese_check
from exshadow.service.checks.bench import Bench, open_bench
from exshadow.service.checks.evidence import bounded, clipped
from exshadow.service.checks.ground import Ground, Outcome, Unsound
from exshadow.service.desk import Desk, Session, StopRequested
from exshadow.service.restore import Restored, RestoreWish
from exshadow.service.roll_forward import ese_logs, layout, postgresql_logs
from exshadow.service.roll_forward.grounds import VERB, ForwardGround
from exshadow.service.state import Survey

_DETAIL = 500


@dataclass(frozen=True, slots=True)
class _Found:
    """What a roll-forward is about: volumes restored, volumes whose logs stay."""

    one: SetRecord
    layout: layout.Layout
    databases: tuple[str, ...]
    logs: tuple[str, ...]

    @property
    def volumes(self) -> tuple[str, ...]:
        return tuple(sorted({*self.databases, *self.logs}))

    @property
    def members(self) -> list[Member]:
        return [member for member in self.one.members if member.volume in self.volumes]


def plan(desk: Desk, text: str, wish: RestoreWish) -> Plan:
    """Every step. RefusedError, the rule named, for what can be told without today's logs."""
    survey = desk.folder.survey()
    one = _set(desk, text, wish, survey)
    with desk.session(_names(one)) as session:
        found = _look(desk, session, one, wish)
    copying = restore.plan(desk, text, replace(wish, roll_forward=False, keep_current=False,
                                               volumes=found.databases))  # fmt: skip
    keep = [
        Step(f"split a spare plex as {restore.KEPT_LABEL}", volume, "")
        for volume in found.volumes
        if wish.keep_current
    ]
    prove = [Step("prove the set's databases with the current logs of", name, "")
             for name in found.logs]  # fmt: skip
    again = [Step("prove the restored databases with the current logs of", name, "")
             for name in found.logs]  # fmt: skip
    steps = (*keep, *prove, *copying.steps, *again)
    return replace(copying, command=f"{copying.command} --roll-forward", steps=steps)


def _names(one: SetRecord) -> list[str]:
    return [member.volume for member in one.members]


def _set(desk: Desk, text: str, wish: RestoreWish, survey: Survey) -> SetRecord:
    if wish.mode != "copy":
        raise InvalidError("--roll-forward goes with --mode copy")
    one = sets.find(desk, text, survey)
    if one.state != "restoring":  # an interrupted one is continued by repeating it
        sets.require_whole(one, survey, "roll forward")
    unknown = sorted(set(wish.volumes) - set(_names(one)))
    if unknown:
        raise NotFoundError(
            f"set {one.group}@{one.label} has no volume {', '.join(unknown)}",
            hint=f"it has: {', '.join(_names(one))}",
        )
    return one


def _look(desk: Desk, session: Session, one: SetRecord, wish: RestoreWish) -> _Found:
    """Which volumes hold what, by views of the set's copies."""
    sources = {member.volume: one for member in one.members}
    ground = ForwardGround(desk, session, one, sources)
    with _readable(ground), open_bench(ground) as bench:
        found = layout.find(bench, bench.mount_all(writable=False))
    databases = found.chosen(wish.volumes)
    systems = {place.system for place in found.places if place.volume in databases}
    logs = {place.volume for place in found.places
            if place.role == layout.LOG and place.system in systems}  # fmt: skip
    if not logs:
        raise RefusedError(
            "rule: a roll-forward replays the current logs: no volume of the set holds logs of "
            f"{' or '.join(sorted(systems))}",
            hint=layout.WAY_OUT,
        )
    return _Found(one, found, databases, tuple(sorted(logs)))


@contextmanager
def _readable(ground: Ground) -> Iterator[None]:
    """What cannot be mounted, and stops, become errors of a command."""
    try:
        yield
    except Unsound as problem:
        why = problem.outcome.evidence.get("mount", "")
        raise RefusedError(
            f"roll-forward of {ground.name}: {problem}: {why}", hint=layout.WAY_OUT
        ) from None
    except (KeyboardInterrupt, StopRequested):
        raise CancelledError(
            f"interrupted: roll-forward of {ground.name} stopped while it looked; "
            "nothing was changed",
            hint="repeat the command",
        ) from None


def roll_forward(desk: Desk, text: str, wish: RestoreWish) -> Restored:
    """Databases as in the set, logs as they are now, and the verdict on both together.

    RefusedError, the rule named, before anything is changed; IntegrityError when what is there in
    the end does not recover. Repeating the command continues it.
    """
    survey = desk.folder.survey()
    one = _set(desk, text, wish, survey)
    with desk.session(_names(one)) as session:
        found = _look(desk, session, one, wish)
        kept = _keep(desk, session, found, survey) if wish.keep_current else None
        _require_quiet(desk, found, kept, wish)
        outcome = _prove(desk, session, found, kept)
    if not outcome.ok:
        raise _refusal(found, outcome, kept)
    desk.reporter.note(f"before the restore: {outcome.detail}")
    wanted = replace(wish, volumes=found.databases, keep_current=False)
    done = restore.copy_back(desk, one.id, wanted)
    with desk.session(_names(one)) as session:
        same = _compare(desk, session, found)
        outcome = _prove(desk, session, found, kept) if same.ok else same
    verdict = _verdict(outcome)
    desk.record(lambda catalog: catalog.record_set(one))
    desk.record(lambda catalog: catalog.add_verification(one.id, verdict))
    error = None
    if not outcome.ok:
        error = IntegrityError(
            f"restored, but databases and logs do not recover together: {outcome.detail}",
            hint=f"the evidence: exshadow --json snapshot show {one.group}@{one.label}",
        )
    return Restored(done.job, kept, verdict, error)


def _keep(desk: Desk, session: Session, found: _Found, survey: Survey) -> SetRecord:
    """Production's databases and logs of today as a set; the one of an interrupted try."""
    kept = restore.kept_already(desk, found.one, found.members, survey)
    if kept is not None:
        desk.reporter.note(f"production is kept already, as set {kept.group}@{kept.label}")
        return kept
    for name in found.volumes:
        mirrors.require_spare(session.info(name))
    return restore.keep(session, found.members)


def _require_quiet(desk: Desk, found: _Found, kept: SetRecord | None, wish: RestoreWish) -> None:
    """Logs are read where they lie only while nobody writes them."""
    if kept is None:
        desk.require_no_writer(found.volumes)
        attached.prepare(desk, list(found.volumes), "restore")
    elif not wish.live:
        desk.require_no_writer(found.databases)


def _refusal(found: _Found, outcome: Outcome, kept: SetRecord | None) -> RefusedError:
    name = f"{found.one.group}@{found.one.label}"
    text = f"roll-forward of {name} refused: {outcome.detail}"
    hint = f"nothing was restored; bring the logs in order, or {layout.WAY_OUT}"
    if kept is not None:
        hint += f"; production is kept as set {kept.group}@{kept.label}"
    elif outcome.evidence.get("unreplayed"):
        hint += "; logs of a crashed file system are read by a view: --keep-current"
    return RefusedError(text, hint=hint)


# --- proofs ---


def _prove(desk: Desk, session: Session, found: _Found, kept: SetRecord | None) -> Outcome:
    """The set's databases with today's logs."""
    sources: dict[str, SetRecord | None] = dict.fromkeys(found.logs, kept)
    sources |= dict.fromkeys(found.databases, found.one)
    ground = ForwardGround(desk, session, found.one, sources)
    outcomes = []
    with _readable(ground), open_bench(ground) as bench:
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


def _tops(found: _Found, mounted: dict[str, Path], system: str) -> list[Path]:
    """The folders of the databases, and those of the logs. NotFoundError for one that is gone."""
    places = [
        *found.layout.of(system, layout.DATABASE, found.databases),
        *found.layout.of(system, layout.LOG, found.logs),
    ]
    tops = [mounted[place.disk] / place.folder for place in places if place.disk in mounted]
    for place in places:
        if place.disk not in mounted or not (mounted[place.disk] / place.folder).is_dir():
            raise NotFoundError(f"{place.disk} has no folder {place.folder} any more")
    return [top for top in dict.fromkeys(tops)
            if not any(top != one and top.is_relative_to(one) for one in tops)]  # fmt: skip


def _prove_ese(bench: Bench, found: _Found, mounted: dict[str, Path]) -> Outcome:
    from exshadow import ese

    bench.ground.say("databases of the set with the current logs")
    watch = ese_check.Watch(bench.ground, lambda path: path.removeprefix(f"{bench.tree}/"))
    try:
        report = ese.check(_tops(found, mounted, layout.ESE), progress=watch.tell)
    except NotFoundError as problem:
        return ese_logs.missing(problem)
    except CancelledError:
        watch.reraise()
        raise
    return ese_logs.judge(report, bench.tree)


def _prove_postgresql(bench: Bench, found: _Found, mounted: dict[str, Path]) -> Outcome:
    def at(role: str, volumes: Iterable[str]) -> list[Path]:
        places = found.layout.of(layout.POSTGRESQL, role, volumes)
        return [mounted[place.disk] / place.folder for place in places if place.disk in mounted]

    bench.ground.say("the data folder of the set with the current WAL")
    wal = at(layout.LOG, found.logs)
    data = [top for top in at(layout.DATABASE, found.databases) if (top / "PG_VERSION").is_file()]
    return postgresql_logs.judge(bench, data, wal)


def _compare(desk: Desk, session: Session, found: _Found) -> Outcome:
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


def _verdict(outcome: Outcome) -> Verification:
    detail = clipped(outcome.detail, _DETAIL)
    return Verification(VERB, outcome.ok, now(), detail, 0.0, bounded(outcome.evidence))
