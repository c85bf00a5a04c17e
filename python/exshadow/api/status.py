"""/v1/status: who serves what, and the clients."""

from __future__ import annotations

import os

from fastapi import APIRouter

from exshadow import __version__
from exshadow.api.daemon import Daemon, Here
from exshadow.model import Json

router = APIRouter(prefix="/v1", tags=["status"])


def describe(daemon: Daemon) -> Json:
    """The daemon as it is now."""
    house = daemon.house
    return {
        "exshadow": __version__,
        "pid": os.getpid(),
        "state": str(house.folder.path),
        "control": str(house.folder.control_socket),
        "nbd": list(house.server.addresses) if house.server else [],
        "groups": sorted(house.groups),
        "volumes": house.names(),
        "loop": house.engine.loop,
        "jobs_running": len(daemon.tasks.running()),
    }


@router.get("/status")
def status(here: Here) -> Json:
    """Version, process, addresses, volumes held open."""
    return {"status": describe(here)}


@router.get("/connections")
def connections(here: Here) -> Json:
    """NBD clients now, and what was done with each export so far."""
    return {"connections": here.house.connections(), "exports": here.house.exports()}
