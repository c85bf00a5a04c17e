"""What a daemon continues when it starts: syncs, resyncs and restores that were interrupted.

A plex that failed, or that was written to from outside, is not touched: that is for people to
decide (``mirror sync``).
"""

from __future__ import annotations

from exshadow.errors import Error
from exshadow.model import Json, VolumeRecord
from exshadow.service import mirrors
from exshadow.service.house import HouseDesk
from exshadow.service.tasks import Order, Task, Tasks, Work

_UNDER_WAY = frozenset({"stale", "syncing", "resyncing"})
_INTERRUPTED = ("interrupted", "not finished")  # in the notes the engine leaves at a plex


def is_unfinished(volume: VolumeRecord) -> bool:
    """Whether a copy of the volume was interrupted."""
    return volume.state in ("restoring", "moving") or any(
        plex.state in _UNDER_WAY and any(word in plex.note for word in _INTERRUPTED)
        for plex in volume.plexes
    )


def resume(tasks: Tasks) -> list[Task]:
    """Start a task for each volume with something unfinished, as fast as it was allowed before."""
    house = tasks.house
    limit = tasks.limits.of
    return [
        tasks.start(
            Order("sync", f"sync of {name}", (name,), limit(name)), _sync(name, limit(name))
        )
        for name in house.names()
        if is_unfinished(house.folder.inspect(name))
    ]


def _sync(name: str, limit: int | None) -> Work:
    def work(desk: HouseDesk) -> tuple[Json, Error | None]:
        return {"job": mirrors.sync(desk, name, limit=limit).to_json()}, None

    return work
