"""The steps of a roll-forward: look, keep, prove, copy the databases back, prove again, record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from exshadow.errors import (
    BusyError,
    Error,
    IntegrityError,
    InvalidError,
    NotFoundError,
    RefusedError,
)
from exshadow.model import ROLL_FORWARD, Plan, SetRecord, Step, Verification
from exshadow.names import now
from exshadow.service import attached, copies, mirrors, rates, restore, sets
from exshadow.service.checks.bench import open_bench
from exshadow.service.checks.evidence import bounded, clipped
from exshadow.service.checks.ground import Outcome
from exshadow.service.desk import Desk, Session
from exshadow.service.members import naming
from exshadow.service.restore import Restored, RestoreWish
from exshadow.service.roll_forward import layout, proofs
from exshadow.service.roll_forward.grounds import ForwardGround
from exshadow.service.roll_forward.proofs import Found
from exshadow.service.state import Survey

_DETAIL = 500
_SECTOR = 512
Steps = Sequence[Step]


def plan(desk: Desk, text: str, wish: RestoreWish) -> Plan:
    """Every step. RefusedError, the rule named, for what can be told without today's logs."""
    survey = desk.folder.survey()
    one = _set(desk, text, wish, survey)
    with desk.session(_names(one)) as session:
        found = _look(desk, session, one, wish)
    alone = replace(wish, roll_forward=False, keep_current=False, volumes=found.databases)
    copying = restore.plan(desk, text, alone)
    keep = restore.kept_steps(desk, one, found.members, survey) if wish.keep_current else []
    prove = rates.read(desk, _reads(found, "prove the set's databases with the current logs"))
    compare = rates.read(desk, [Step("compare with its copy", member.volume, "", member.size)
                                for member in found.members
                                if member.volume in found.databases])  # fmt: skip
    again = rates.read(desk, _reads(found, "prove the restored databases with the current logs"))
    seconds = _seconds(copying, prove, compare, again)
    return replace(
        copying,
        command=f"{copying.command} --roll-forward",
        steps=(*keep, *prove, *copying.steps, *compare, *again),
        seconds=seconds,
        refusal=_in_the_way(desk, found, wish) or copying.refusal,
        estimate=copying.estimate if seconds is None else _estimate(copying),
    )


def _in_the_way(desk: Desk, found: Found, wish: RestoreWish) -> Error | None:
    """What _require_quiet would say; a set that keeps production is made for the wish."""
    names = found.databases if wish.keep_current else found.volumes
    try:
        if not (wish.keep_current and wish.live):
            desk.require_no_writer(names)
        attached.require_unmounted(desk, names, "restore")
    except BusyError as problem:
        return problem
    return None


def _reads(found: Found, what: str) -> list[Step]:
    """A proof reads one file after the other: what each volume has of them."""
    return [Step(what, name, "", size) for name, size in found.layout.bytes(found.volumes).items()]


def _estimate(copying: Plan) -> str:
    reading = "reading by verifications, else by copying"
    return f"{copying.estimate}; {reading}" if copying.estimate else reading


def _seconds(copying: Plan, prove: Steps, compare: Steps, again: Steps) -> float | None:
    """Copies and comparisons are side by side, the rest is one after the other."""
    side = max((step.seconds or 0.0 for step in compare), default=0.0)
    if any(step.bytes and step.seconds is None for step in (*prove, *copying.steps, *compare)):
        return None
    return side + (copying.seconds or 0.0) + sum(step.seconds or 0.0 for step in (*prove, *again))


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


def _look(desk: Desk, session: Session, one: SetRecord, wish: RestoreWish) -> Found:
    """Which volumes hold what, by views of the set's copies."""
    for member in one.members:  # else a copy that is gone would look like one without databases
        with naming(member.volume):
            session.volumes[member.volume].snapshots[one.label].read(0, _SECTOR)
    sources = {member.volume: one for member in one.members}
    ground = ForwardGround(desk, session, one, sources)
    with proofs.before(ground.name), open_bench(ground) as bench:
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
    return Found(one, found, databases, tuple(sorted(logs)))


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
        with proofs.before(found.name):
            found = replace(found, ends=proofs.ends(desk, session, found, kept))
            outcome = proofs.prove(desk, session, found, kept)
    if not outcome.ok:
        raise _refusal(found, outcome, kept)
    desk.reporter.note(f"before the restore: {outcome.detail}")
    wanted = replace(wish, volumes=found.databases, keep_current=False)
    done = restore.copy_back(desk, one.id, wanted)
    begun = time.monotonic()
    outcome = proofs.again(desk, found, kept)
    verdict = _verdict(found, outcome, time.monotonic() - begun)
    desk.record(lambda catalog: catalog.record_set(one))
    desk.record(lambda catalog: catalog.add_verification(one.id, verdict))
    error = None
    if not outcome.ok:
        error = IntegrityError(
            f"restored, but databases and logs do not recover together: {outcome.detail}",
            hint=f"the evidence: exshadow --json snapshot show {one.group}@{one.label}",
        )
    return Restored(done.job, kept, verdict, error)


def _keep(desk: Desk, session: Session, found: Found, survey: Survey) -> SetRecord:
    """Production's databases and logs of today as a set; the one of an interrupted try."""
    kept = restore.kept_already(desk, found.one, found.members, survey)
    if kept is not None:
        desk.reporter.note(f"production is kept already, as set {kept.group}@{kept.label}")
        return kept
    for name in found.volumes:
        mirrors.require_spare(session.info(name))
    return restore.keep(session, found.members)


def _require_quiet(desk: Desk, found: Found, kept: SetRecord | None, wish: RestoreWish) -> None:
    """Logs are read where they lie only while nobody writes them."""
    if kept is None:
        desk.require_no_writer(found.volumes)
        attached.prepare(desk, list(found.volumes), "restore")
    elif not wish.live:
        desk.require_no_writer(found.databases)


def _refusal(found: Found, outcome: Outcome, kept: SetRecord | None) -> RefusedError:
    text = f"roll-forward of {found.name} refused: {outcome.detail}"
    hint = f"nothing was restored; bring the logs in order, or {layout.WAY_OUT}"
    if kept is not None:
        hint += f"; production is kept as set {kept.group}@{kept.label}"
    elif outcome.evidence.get("unreplayed"):
        hint += "; logs of a crashed file system are read by a view: --keep-current"
    return RefusedError(text, hint=hint)


def _verdict(found: Found, outcome: Outcome, seconds: float) -> Verification:
    detail = clipped(outcome.detail, _DETAIL)
    evidence, described = bounded(outcome.evidence), copies.describe(found.one.members)
    return Verification(ROLL_FORWARD, outcome.ok, now(), detail, seconds, evidence, described)
