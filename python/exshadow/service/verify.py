"""snapshot verify: check the very copy and record the verdict. The checks are in checks/."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from exshadow.errors import Error, IntegrityError
from exshadow.model import JobRecord, SetRecord, Verification, summary
from exshadow.service import sets
from exshadow.service.checks.wish import CheckWish
from exshadow.service.desk import Desk

if TYPE_CHECKING:
    from exshadow.catalog import Catalog

BYTES = CheckWish()


@dataclass(frozen=True, slots=True)
class Verified:
    """The set with its verdicts, the newest last; `error` when a check failed, or could not run
    here: then what the others found is recorded all the same."""

    set: SetRecord
    job: JobRecord
    error: Error | None


def verify(desk: Desk, text: str, wish: CheckWish = BYTES) -> Verified:
    """Run the checks one after the other. CancelledError when it was stopped: verdicts of checks
    that had ended are recorded."""
    from exshadow.service.checks import running, script
    from exshadow.service.checks.ground import Ground

    wish.require_valid()
    if wish.script is not None:
        script.require_safe(wish.script)
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    sets.require_readable(desk, one, survey, "verify")
    judged: list[running.Judged] = []
    unable: Error | None = None
    with desk.session([member.volume for member in one.members]) as session:
        desk.record(lambda catalog: catalog.record_set(one))
        for check in wish.checks:
            try:
                judged.append(running.judge(Ground(desk, session, one, wish), check))
            except Error as problem:
                if len(wish.checks) == 1 or problem.exit_status == 130:
                    raise
                unable = unable or problem
                continue
            desk.record(partial(_record, one.id, judged[-1].verdict))
    verdicts = tuple(found.verdict for found in judged)
    seconds = sum(verdict.seconds for verdict in verdicts)
    total = sum(found.bytes for found in judged)
    job = JobRecord("verify", 0, 0, total, seconds, "done", bytes_done=total)
    return Verified(
        _with(one, verdicts), job, _failure(verdicts, f"{one.group}@{one.label}") or unable
    )


def _record(set_id: str, verdict: Verification, catalog: Catalog) -> None:
    catalog.add_verification(set_id, verdict)


def _with(one: SetRecord, verdicts: tuple[Verification, ...]) -> SetRecord:
    """The set with these verdicts in place of older ones of the same checks."""
    fresh = {verdict.check for verdict in verdicts}
    checks = (*(old for old in one.checks if old.check not in fresh), *verdicts)
    return replace(one, checks=checks, verified=summary(checks))


def _failure(verdicts: tuple[Verification, ...], name: str) -> IntegrityError | None:
    bad = [verdict for verdict in verdicts if not verdict.ok]
    if not bad:
        return None
    if len(bad) == 1 and bad[0].check == "bytes":
        hint = f"do not restore from {name}; what else there is: exshadow snapshot list"
        return IntegrityError(bad[0].detail, hint=hint)
    said = "; ".join(f"check {verdict.check} failed: {verdict.detail}" for verdict in bad)
    return IntegrityError(said, hint=f"the evidence: exshadow --json snapshot show {name}")
