"""/v1/sets and /v1/groups."""

from __future__ import annotations

import time
import uuid

from fastapi import APIRouter

from exshadow.api import bodies
from exshadow.api.daemon import Here, simple
from exshadow.errors import Error
from exshadow.model import Json, SetRecord
from exshadow.service.checks.wish import CheckWish
from exshadow.service.drills import drill
from exshadow.service.drills.wish import DrillWish
from exshadow.service.export_onto import OntoWish
from exshadow.service.house import HouseDesk
from exshadow.service.local import LocalService
from exshadow.service.restore import RestoreWish
from exshadow.service.snapshots import Listing
from exshadow.service.tasks import Order
from exshadow.wire import error_json

router = APIRouter(prefix="/v1", tags=["sets"])


def _listing(found: Listing) -> Json:
    problems = found.survey.problems.items()
    return {
        "sets": [one.to_json() for one in found.sets],
        "problems": {name: error_json(one) for name, one in problems},
    }


def _order(kind: str, verb: str, one: SetRecord, limit: int | None = None) -> Order:
    volumes = tuple(member.volume for member in one.members)
    return Order(kind, f"{verb} of {one.group}@{one.label}", volumes, limit)


@router.get("/groups")
def list_groups(here: Here) -> Json:
    """Groups with the names of their volumes."""
    groups: dict[str, list[str]] = {}
    for volume in here.reader().list_volumes().volumes.values():
        groups.setdefault(volume.group, []).append(volume.name)
    return {"groups": [{"name": name, "volumes": found} for name, found in sorted(groups.items())]}


@router.get("/groups/{group}/sets", response_model=bodies.SetsAnswer)
def list_sets_of_group(here: Here, group: str, everything: bool = False) -> Json:
    return _listing(here.reader().list_sets(group, everything=everything))


@router.post("/groups/{group}/sets", status_code=201, response_model=bodies.SetAnswer)
def create_set(here: Here, group: str, body: bodies.NewSet) -> Json:
    """Split every volume of the group at one instant."""
    with here.changing(force=body.force) as (service, notes):
        begin = time.monotonic()
        with service.armed_split(group, label=body.label, plex=body.plex) as split:
            made = split(body.set_id or str(uuid.uuid4()), body.consistency)
        here.instruments.split_done(group, time.monotonic() - begin)
    return {"set": made.to_json(), "notes": notes.notes}


@router.post("/groups/{group}/arm", status_code=201)
def arm_group(here: Here, group: str, body: bodies.ArmWish) -> Json:
    """Do what a split takes beforehand, and keep other changes out until it is done, called off,
    its client is gone, or `seconds` have passed."""
    arm = here.arms.add(group, body.label, body.plex, body.seconds, body.pid, force=body.force)
    return {"arm": arm.id, "notes": arm.notes}


@router.post("/arms/{id}", status_code=201, response_model=bodies.SetAnswer)
def split_armed(here: Here, id: str, body: bodies.ArmedSplit) -> Json:
    """Split: what is left to do after arming. Refused after `until`."""
    begin = time.monotonic()
    made, notes = here.arms.find(id).split(body.set_id, body.consistency, body.until)
    here.instruments.split_done(made.group, time.monotonic() - begin)
    return {"set": made.to_json(), "notes": notes}


@router.delete("/arms/{id}", status_code=204)
def disarm(here: Here, id: str) -> None:
    """Let other changes in again. Quiet when it has ended."""
    here.arms.end(id)


@router.post("/groups/{group}/drill", status_code=202)
def drill_group(here: Here, group: str, body: bodies.DrillBody) -> Json:
    """Restore a set into throw-away plexes and check what comes back: a job."""
    wish = DrillWish(
        body.set,
        tuple(body.checks),
        body.folder,
        body.views,
        body.timeout,
        tuple(body.folders),
        tuple(body.globs),
        body.script,
    )
    wish.require_valid()
    desk = here.reader().desk
    one = drill.choose(desk, group, wish, desk.folder.survey())

    def work(desk: HouseDesk) -> tuple[Json, Error | None]:
        found, error = LocalService(desk).drill(group, wish)
        return {"drill": found.to_json(), "set": found.set.to_json(evidence=True)}, error

    return here.start(_order("drill", "drill", one), work, force=body.force)


@router.get("/sets", response_model=bodies.SetsAnswer)
def list_sets(here: Here, everything: bool = False) -> Json:
    """All sets, oldest first; with `everything` dissolved ones too."""
    return _listing(here.reader().list_sets(everything=everything))


@router.get("/sets/{id}", response_model=bodies.SetAnswer)
def show_set(here: Here, id: str) -> Json:
    """One set. `id`: its id, GROUP@LABEL, or a label that is unambiguous; the same below."""
    return {"set": here.reader().show_set(id).to_json(evidence=True)}


@router.delete("/sets/{id}")
def delete_set(here: Here, id: str, force: bool = False, dry_run: bool = False) -> Json:
    """Drop the relation of the copies to their volumes; the files stay."""
    with here.changing(force=force) as (service, notes):
        if dry_run:
            return {"plan": service.set_plan(id, "delete").to_json()}
        one = service.delete_set(id)
    return {"set": one.to_json(), "notes": notes.notes}


@router.get("/sets/{id}/diff")
def diff_set(here: Here, id: str, since: str | None = None) -> Json:
    """Where each volume may differ between production now, or set `since`, and the set."""
    return {"members": [one.to_json() for one in here.reader().diff_set(id, since)]}


@router.post("/sets/{id}/resync", status_code=202)
def resync_set(here: Here, id: str, body: bodies.ResyncWish, dry_run: bool = False) -> Json:
    """Bring the copies back into the mirror: a job."""
    plan = here.reader().set_plan(id, "resync")
    if dry_run:
        return {"plan": plan.to_json()}
    order = _order("resync", "resync", here.reader().show_set(id), body.limit)

    def run(service: LocalService) -> Json:
        return {"job": service.resync_set(id, limit=body.limit).to_json()}

    return here.start(order, simple(run), force=body.force)


@router.post("/sets/{id}/restore", status_code=202)
def restore_set(here: Here, id: str, body: bodies.RestoreBody, dry_run: bool = False) -> Json:
    """Production becomes the set again: a job. The set is kept."""
    wish = RestoreWish(
        tuple(body.volumes), body.mode, body.keep_current, body.live, body.limit, body.roll_forward
    )
    if dry_run or not wish.roll_forward:  # which looks itself, and that takes a while
        plan = here.reader().restore_plan(id, wish)
        if dry_run:
            return {"plan": plan.to_json()}

    def work(desk: HouseDesk) -> tuple[Json, Error | None]:
        done = LocalService(desk).restore_set(id, wish)
        verdict = done.verdict.to_json(evidence=True) if done.verdict else None
        kept = done.kept.to_json() if done.kept else None
        return {"job": done.job.to_json(), "kept": kept, "verdict": verdict}, done.error

    order = _order("restore", "restore", here.reader().show_set(id), body.limit)
    return here.start(order, work, force=body.force)


@router.post("/sets/{id}/promote")
def promote_set(
    here: Here, id: str, force: bool = False, live: bool = False, dry_run: bool = False
) -> Json:
    """Make the copies production. Refused while a client has a volume open for writing, unless
    `live`."""
    with here.changing(force=force) as (service, notes):
        if dry_run:
            return {"plan": service.set_plan(id, "promote").to_json()}
        one = service.promote_set(id, live=live)
    return {"set": one.to_json(), "notes": notes.notes}


@router.post("/sets/{id}/verify", status_code=202)
def verify_set(here: Here, id: str, body: bodies.CheckBody) -> Json:
    """Check the copies themselves; the verdicts are recorded: a job."""
    wish = CheckWish(
        tuple(body.checks) or (body.check,),
        body.timeout,
        tuple(body.folders),
        tuple(body.globs),
        body.script,
    )
    wish.require_valid()

    def work(desk: HouseDesk) -> tuple[Json, Error | None]:
        found = LocalService(desk).verify_set(id, wish)
        result = {"set": found.set.to_json(evidence=True), "job": found.job.to_json()}
        return result, found.error

    order = _order("verify", "verify", here.reader().show_set(id))
    return here.start(order, work, force=body.force)


@router.post("/sets/{id}/pin", response_model=bodies.SetAnswer)
def pin_set(here: Here, id: str, body: bodies.PinWish) -> Json:
    """Protect a set until a time or for ever; null lifts the pin. Less than was promised needs a
    reason."""
    with here.changing() as (service, notes):
        one = service.pin_set(id, body.until, reason=body.reason)
    return {"set": one.to_json(), "notes": notes.notes}


@router.post("/sets/{id}/consistency", response_model=bodies.SetAnswer)
def mark_set(here: Here, id: str, body: bodies.ConsistencyWish) -> Json:
    """Say what the copies are: application, filesystem, crash."""
    with here.changing() as (service, notes):
        one = service.mark_set(id, body.consistency)
    return {"set": one.to_json(), "notes": notes.notes}


@router.post("/sets/{id}/export", status_code=202)
def export_set(here: Here, id: str, body: bodies.ExportWish) -> Json:
    """Write the copies into a folder of this machine, or one onto a file or device: a job."""

    def run(service: LocalService) -> Json:
        if body.to is not None:
            onto = service.export_onto(id, OntoWish(body.to, body.since, body.volume, body.force))
            return {"job": onto.job.to_json(), "target": onto.to_json()}
        done = service.export_set(id, body.folder, since=body.since)
        return {"job": done.job.to_json(), "files": list(done.files)}

    return here.start(_order("export", "export", here.reader().show_set(id)), simple(run))
