"""Check `bytes`: every copy is read whole and compared with production where nothing changed."""

from __future__ import annotations

from exshadow.errors import IntegrityError
from exshadow.model import JobRecord
from exshadow.names import format_size
from exshadow.service import jobs
from exshadow.service.checks.ground import Ground, Outcome


def check(ground: Ground) -> Outcome:
    """The engine's own job for each member, side by side."""
    one, volumes = ground.one, ground.session.volumes
    started = {
        member.volume: volumes[member.volume].verify_snapshot(one.label) for member in one.members
    }
    resume = f"exshadow snapshot verify {one.id}"
    watch = jobs.Watch(f"verify of {ground.name}", one.label, resume, ground.tick)
    try:
        job = jobs.run(ground.desk, started, watch)
        return _outcome(True, f"{format_size(job.bytes_total)} read", job)
    except IntegrityError as found:
        return _outcome(False, found.message, jobs.progress(started, watch.what))


def _outcome(ok: bool, detail: str, job: JobRecord) -> Outcome:
    return Outcome(ok, detail, {"bytes": job.bytes_done}, job.bytes_total)
