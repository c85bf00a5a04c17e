"""How long copying and reading will take, by how long it took: the rates of recorded jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from exshadow.model import Json, Plan, Step
from exshadow.names import format_size
from exshadow.service.desk import Desk

PROMOTE = "for all volumes of the set: exshadow snapshot promote {set}"
_COPYING = ("resync", "sync", "drill")
_NEWEST = 5
_NOT_MEASURED = "no time is estimated: nothing was copied and measured yet"


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes a second, of how many jobs of which kind."""

    bytes_per_second: float
    jobs: int
    kind: str


def measured(jobs: Sequence[Json], volume: str) -> Rate | None:
    """The newest restores of the volume count; else those of any; else other copying likewise."""
    useful = [job for job in jobs if job["state"] == "done" and job["seconds"] > 0 and _moved(job)]
    for kinds in (("restore",), _COPYING):
        of_kind = [job for job in useful if job["kind"] in kinds]
        own = [job for job in of_kind if job["volume"] == volume]
        if chosen := (own or of_kind)[-_NEWEST:]:
            total = sum(_moved(job) for job in chosen)
            seconds = sum(job["seconds"] for job in chosen)
            return Rate(total / seconds, len(chosen), chosen[-1]["kind"])
    return None


def reading(jobs: Sequence[Json], volume: str) -> Rate | None:
    """The newest verifications of the volume, else of any; else copying, which reads as well."""
    useful = [job for job in jobs if job["state"] == "done" and job["seconds"] > 0
              and job["kind"] == "verify" and job["bytes_total"]]  # fmt: skip
    chosen = ([job for job in useful if job["volume"] == volume] or useful)[-_NEWEST:]
    if not chosen:
        return measured(jobs, volume)
    total = sum(int(job["bytes_total"]) for job in chosen)
    return Rate(total / sum(job["seconds"] for job in chosen), len(chosen), "verify")


def read(desk: Desk, steps: Sequence[Step]) -> tuple[Step, ...]:
    """Steps that read their bytes, with the time of each."""
    catalog = desk.facts()
    jobs = catalog.jobs() if catalog else []
    return tuple(_timed(step, reading(jobs, step.volume)) for step in steps)


def _moved(job: Json) -> int:
    return int(job["bytes_copied"]) + int(job["bytes_zeroed"])


def estimated(desk: Desk, plan: Plan) -> Plan:
    """The plan with the time of each step that copies, and of all: volumes are side by side, and
    the plexes of one are written in one go."""
    if not any(step.bytes for step in plan.steps):
        return plan
    catalog = desk.facts()
    jobs = catalog.jobs() if catalog else []
    rates = {step.volume: measured(jobs, step.volume) for step in plan.steps if step.bytes}
    steps = tuple(_timed(step, rates.get(step.volume)) for step in plan.steps)
    known = [step.seconds for step in steps if step.seconds is not None]
    if len(known) < sum(1 for step in steps if step.bytes):
        return replace(plan, steps=steps, estimate=_NOT_MEASURED)
    said = [
        f"{volume} by {rate.jobs} {rate.kind} job{'s' * (rate.jobs > 1)} at "
        f"{format_size(int(rate.bytes_per_second))}/s"
        for volume, rate in rates.items()
        if rate is not None
    ]
    return replace(plan, steps=steps, seconds=max(known), estimate="; ".join(said))


def _timed(step: Step, rate: Rate | None) -> Step:
    if not step.bytes or rate is None:
        return step
    return replace(step, seconds=step.bytes / rate.bytes_per_second)
