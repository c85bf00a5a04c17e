"""/v1/volumes/{name}/snapshots: one volume's part of a set, as the Python package speaks of it,
and the split of chosen volumes. People use sets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import APIRouter

from exshadow.api import bodies
from exshadow.api.daemon import Here
from exshadow.model import Json
from exshadow.service import attached, jobs
from exshadow.service.house import HouseDesk
from exshadow.service.tasks import Order, Work

if TYPE_CHECKING:
    from exshadow.service.engine_types import Job, Volume

router = APIRouter(prefix="/v1", tags=["members"])


@router.post("/split", status_code=201)
def split(here: Here, body: bodies.SplitWish) -> Json:
    """Split the named volumes at one instant; ``set_id`` of what was made."""
    with here.changing() as (service, _notes):
        volumes = [here.volume(name) for name in body.volumes]
        begin = time.monotonic()
        made = here.house.engine.split(
            volumes,
            body.label,
            plexes=body.plexes,
            set_id=body.set_id,
            consistency=body.consistency,
        )
        group = service.show_volume(body.volumes[0]).group if made else ""
        here.instruments.split_done(group, time.monotonic() - begin)
    return {"set_id": next(iter(made.values())).set_id if made else ""}


def _start(here: Here, order: Order, begin: Callable[[Volume], Job]) -> Json:
    """A job of one member. What the engine refuses at once is refused at once here."""
    (name,) = order.volumes
    job = begin(here.volume(name))
    attached.refresh(HouseDesk(here.house), [name])
    watch = jobs.Watch(order.what, order.what.partition("@")[2], f"exshadow mirror sync {name}")
    return here.start(order, _wait(name, job, watch))


def _order(kind: str, name: str, label: str, limit: int | None = None) -> Order:
    return Order(kind, f"{kind} of {name}@{label}", (name,), limit)


@router.post("/restore", status_code=202)
def restore_instantly(here: Here, body: bodies.GroupRestore) -> Json:
    """Make every volume named what its snapshot is, at one instant; a job for each moves data."""
    names = list(body.snapshots)
    desk = _prepare(here, names, "restore", live=body.live)
    with here.changing():
        volumes = [here.volume(name) for name in names]
        moving = here.house.engine.restore(volumes, body.snapshots, limit=body.limit)
        attached.refresh(desk, names)
    started = {}
    for name, job in moving.items():
        watch = jobs.Watch(f"restore of {name}", "", f"exshadow mirror sync {name}")
        work = _wait(name, job, watch)
        started[name] = here.start(Order("restore", watch.what, (name,), body.limit), work)["job"]
    return {"jobs": started}


def _wait(name: str, job: Job, watch: jobs.Watch) -> Work:
    return lambda desk: (_run(desk, name, job, watch), None)


def _run(desk: HouseDesk, name: str, job: Job, watch: jobs.Watch) -> Json:
    """Wait for the job; block devices of the volume then read what it brought."""
    try:
        return {"job": jobs.run(desk, {name: job}, watch).to_json()}
    finally:
        attached.refresh(desk, [name])


def _prepare(here: Here, names: list[str], verb: str, *, live: bool) -> HouseDesk:
    """BusyError while somebody's work would be in the way of replacing the volumes' bytes."""
    desk = HouseDesk(here.house)
    if not live:
        desk.require_no_writer(names)
    attached.prepare(desk, names, verb)
    return desk


_SNAPSHOT = "/volumes/{name}/snapshots/{label}"


@router.post(_SNAPSHOT + "/resync", status_code=202, response_model=bodies.JobAnswer)
def resync(here: Here, name: str, label: str, body: bodies.ResyncWish) -> Json:
    order = _order("resync", name, label, body.limit)
    return _start(here, order, lambda v: v.resync(label, limit=body.limit))


@router.post(_SNAPSHOT + "/restore", status_code=202, response_model=bodies.JobAnswer)
def restore(here: Here, name: str, label: str, body: bodies.RestoreBody) -> Json:
    _prepare(here, [name], "restore", live=body.live)
    mode, limit = body.mode, body.limit
    order = _order("restore", name, label, limit)
    return _start(here, order, lambda v: v.restore(label, mode=mode, limit=limit))


@router.post(_SNAPSHOT + "/verify", status_code=202, response_model=bodies.JobAnswer)
def verify(here: Here, name: str, label: str) -> Json:
    return _start(here, _order("verify", name, label), lambda v: v.verify_snapshot(label))


@router.post(_SNAPSHOT + "/check", status_code=204)
def check(here: Here, name: str, label: str) -> None:
    """Fails as a restore from it would: the copy is gone, or not as it was split off."""
    here.snapshot(name, label).check()


@router.post(_SNAPSHOT + "/promote", status_code=204)
def promote(here: Here, name: str, label: str, live: bool = False) -> None:
    desk = _prepare(here, [name], "promote", live=live)
    with here.changing():
        here.volume(name).promote(label)
        attached.refresh(desk, [name])


@router.delete(_SNAPSHOT, status_code=204)
def delete(here: Here, name: str, label: str) -> None:
    with here.changing():
        here.volume(name).delete_snapshot(label)


@router.post(_SNAPSHOT + "/pin", status_code=204)
def pin(here: Here, name: str, label: str, body: bodies.PinWish) -> None:
    with here.changing():
        here.volume(name).pin_snapshot(label, body.until)


@router.post(_SNAPSHOT + "/consistency", status_code=204)
def set_consistency(here: Here, name: str, label: str, body: bodies.ConsistencyWish) -> None:
    with here.changing():
        here.volume(name).set_consistency(label, body.consistency)
