"""snapshot verify: check the very copy and record the verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace

from exshadow.errors import IntegrityError, InvalidError
from exshadow.model import JobRecord, SetRecord, Verification
from exshadow.names import format_size, now
from exshadow.service import jobs, sets
from exshadow.service.desk import Desk

CHECKS = ("bytes",)


def require_check(check: str) -> None:
    """InvalidError for a check that this version does not have."""
    if check not in CHECKS:
        raise InvalidError(
            f"check {check!r} is not available", hint=f"available: {', '.join(CHECKS)}"
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """The set with its new verdict; `error` when the check failed."""

    set: SetRecord
    job: JobRecord
    error: IntegrityError | None


def verify(desk: Desk, text: str, check: str = "bytes") -> Verified:
    """Read every copy whole and compare it with production wherever nothing changed since."""
    require_check(check)
    survey = desk.folder.survey()
    one = sets.find(desk, text, survey)
    sets.require_readable(desk, one, survey, "verify")
    error: IntegrityError | None = None
    with desk.session([member.volume for member in one.members]) as session:
        started = {
            member.volume: session.volumes[member.volume].verify_snapshot(one.label)
            for member in one.members
        }
        resume = f"exshadow snapshot verify {one.id}"
        watch = jobs.Watch(f"verify of {one.group}@{one.label}", one.label, resume)
        try:
            job = jobs.run(desk, started, watch)
            detail = f"{format_size(job.bytes_total)} read"
            if one.missing:
                detail += f", without {', '.join(one.missing)}"
        except IntegrityError as found:
            error = found
            job = jobs.progress(started, watch.what)
            detail = found.message
    verdict = Verification(check, error is None, now(), detail)
    desk.record(lambda catalog: catalog.record_set(one))
    desk.record(lambda catalog: catalog.add_verification(one.id, verdict))
    return Verified(replace(one, verified=verdict), job, error)
