"""/v1/volumes and their plexes."""

from __future__ import annotations

from fastapi import APIRouter

from exshadow import wire
from exshadow.api import bodies
from exshadow.api.daemon import Here, simple
from exshadow.errors import BusyError, Error, NotFoundError, RefusedError
from exshadow.model import UNFINISHED, JobRecord, Json, VolumeRecord
from exshadow.names import close_match
from exshadow.service.house import HouseDesk
from exshadow.service.local import LocalService
from exshadow.service.tasks import Order, instead
from exshadow.wire import error_json

router = APIRouter(prefix="/v1/volumes", tags=["volumes"])


@router.get("", response_model=bodies.VolumesAnswer)
def list_volumes(here: Here) -> Json:
    """All volumes; ``problems`` names those that could not be read."""
    survey = here.reader().list_volumes()
    return {
        "volumes": [one.to_json() for one in survey.volumes.values()],
        "problems": {name: error_json(one) for name, one in survey.problems.items()},
    }


@router.post("", status_code=201, response_model=bodies.VolumeAnswer)
def add_volume(here: Here, body: bodies.NewVolume) -> Json:
    """Adopt an image file or block device; its bytes are not touched."""
    with here.changing(force=body.force) as (service, notes):
        record = service.add_volume(
            body.name,
            body.path,
            group=body.group,
            region_size=body.region_size,
            metadata_copy=body.metadata_copy,
        )
        if here.house.wants(record):
            here.house.open(service.desk, record.name)
            record = service.show_volume(record.name)
    return {"volume": record.to_json(), "notes": notes.notes}


@router.get("/{name}", response_model=bodies.VolumeAnswer)
def show_volume(here: Here, name: str) -> Json:
    """One volume with plexes, snapshots and events."""
    return {"volume": here.reader().show_volume(name).to_json()}


@router.delete("/{name}")
def remove_volume(
    here: Here, name: str, force: bool = False, break_sets: bool = False, dry_run: bool = False
) -> Json:
    """Forget a volume; no plex byte is deleted. Refused while a client uses it, and while it is a
    member of a set with other volumes, unless `break_sets`."""
    with here.changing(force=force) as (service, notes):
        plan = service.volume_removal(name)
        if dry_run:
            return {"plan": plan.to_json()}
        _require_idle(here, name)
        service.remove_volume(name, break_sets=break_sets)
        here.house.forget(name)
    return {"removed": {"volume": name, "plan": plan.to_json()}, "notes": notes.notes}


def _require_idle(here: Here, name: str) -> None:
    here.tasks.refuse_busy([name], "remove it")
    if used := here.house.users(name):
        raise BusyError(f"clients use {', '.join(used)}", hint="disconnect them first")


@router.get("/{name}/events")
def list_events(here: Here, name: str) -> Json:
    """What was said aloud about the volume so far, oldest first, with times."""
    service = here.reader()
    service.show_volume(name)
    facts = service.desk.facts()
    events = facts.events(name) if facts else []
    return {"events": [{"at": one["at"], "text": one["text"]} for one in events]}


@router.get("/{name}/plexes")
def list_plexes(here: Here, name: str) -> Json:
    record = here.reader().show_volume(name)
    return {"plexes": [plex.to_json() for plex in record.plexes]}


@router.post("/{name}/plexes", status_code=202)
def add_plex(here: Here, name: str, body: bodies.NewPlex, dry_run: bool = False) -> Json:
    """Attach a plex and sync it, or continue its interrupted sync: a job."""
    if dry_run:
        reader = LocalService(HouseDesk(here.house, force=body.force))
        plan = reader.mirror_plan(name, body.path, body.label, overwrite=body.overwrite)
        return {"plan": plan.to_json()}
    here.reader().show_volume(name)

    def run(service: LocalService) -> Json:
        job = service.add_mirror(
            name, body.path, label=body.label, limit=body.limit, overwrite=body.overwrite
        )
        return {"job": job.to_json()}

    order = Order("sync", f"sync of {name}", (name,), body.limit)
    return here.start(order, simple(run), force=body.force)


@router.delete("/{name}/plexes/{label}")
def remove_plex(
    here: Here, name: str, label: str, force: bool = False, dry_run: bool = False
) -> Json:
    """Take a plex out of the mirror; its file stays."""
    with here.changing(force=force) as (service, notes):
        if dry_run:
            return {"plan": service.mirror_removal(name, label).to_json()}
        service.remove_mirror(name, label)
        record = service.show_volume(name)
    return {"volume": record.to_json(), "notes": notes.notes}


@router.get("/{name}/plexes/{label}")
def show_plex(here: Here, name: str, label: str) -> Json:
    return {"plex": _plex(here.reader().show_volume(name), label)}


def _plex(record: VolumeRecord, label: str) -> Json:
    plex = record.plex(label)
    if plex is None:
        known = [one.label for one in record.plexes]
        raise NotFoundError(
            f"volume {record.name} has no plex {label!r}",
            hint=f"{close_match(label, known)}plexes: {', '.join(known)}",
        )
    return plex.to_json()


@router.post("/{name}/sync", status_code=202)
def sync(here: Here, name: str, body: bodies.SyncWish, dry_run: bool = False) -> Json:
    """Continue any unfinished sync, resync or restore; bring a failed plex back: a job. When this
    daemon does it already, a job that waits for that one."""
    if dry_run:
        return {"plan": here.reader().sync_plan(name, body.label).to_json()}
    record = here.reader().show_volume(name)
    if body.label is not None:
        _plex(record, body.label)

    def work(desk: HouseDesk) -> tuple[Json, Error | None]:
        other = here.tasks.copying(name, but=desk) if _is_behind(record, body.label) else None
        done: list[JobRecord] = []
        try:
            done.append(LocalService(desk).sync_mirror(name, body.label, limit=body.limit))
        except (BusyError, RefusedError):
            if other is None:
                raise
        if other is not None and (body.label is None or not done):
            done = [job for job in done if job.bytes_total]  # what that one does is not begun here
            done.append(wire.job(instead(other, desk)["job"]))
        return {"job": JobRecord.total(done, "sync").to_json()}, None

    order = Order("sync", f"sync of {name}", (name,), body.limit)
    return here.start(order, work, force=body.force)


def _is_behind(record: VolumeRecord, label: str | None) -> bool:
    """Whether there is something to copy: to that plex, or at all."""
    plexes = [plex for plex in record.plexes if label in (None, plex.label)]
    return record.state in ("restoring", "moving") or any(p.state in UNFINISHED for p in plexes)


@router.post("/{name}/plexes/{label}/sync", status_code=202, response_model=bodies.JobAnswer)
def sync_plex(here: Here, name: str, label: str, body: bodies.ResyncWish) -> Json:
    """The same for one plex."""
    return sync(here, name, bodies.SyncWish(label=label, limit=body.limit, force=body.force))


@router.post("/{name}/verify", status_code=202)
def verify(here: Here, name: str, body: bodies.VerifyWish, dry_run: bool = False) -> Json:
    """Compare the in-sync plexes, with `repair` make them equal: a job."""
    if dry_run:
        return {"plan": here.reader().repair_plan(name, body.source).to_json()}
    here.reader().show_volume(name)

    def work(desk: HouseDesk) -> tuple[Json, Error | None]:
        found = LocalService(desk).verify_mirror(name, repair=body.repair, source=body.source)
        result = {
            "job": found.job.to_json(),
            "differences": [list(extent) for extent in found.differences],
            "repaired": body.repair,
        }
        return result, found.error

    return here.start(Order("verify", f"verify of {name}", (name,)), work, force=body.force)
