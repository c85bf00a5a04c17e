"""From the engine's dictionaries to our records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from exshadow.model import JobRecord, PlexRecord, SnapshotRecord, VolumeRecord

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from exshadow._core import JobProgress, PlexInfo, SnapshotInfo, VolumeInfo


def volume_record(info: VolumeInfo) -> VolumeRecord:
    """A volume as the engine tells it, open or not."""
    return VolumeRecord(
        name=info["name"],
        uuid=info["uuid"],
        group=info["group"],
        size=info["size"],
        region_size=info["region_size"],
        state=info["state"],
        clean=info["clean"],
        generation=info["generation"],
        plexes=tuple(_plex(plex) for plex in info["plexes"]),
        snapshots=tuple(_snapshot(snapshot) for snapshot in info["snapshots"]),
        owner=info["owner"] or None,
        active_extents=info["active_extents"],
        bytes_to_move=info["bytes_to_move"],
        events=tuple(info["events"]),
    )


def _plex(info: PlexInfo) -> PlexRecord:
    return PlexRecord(
        label=info["label"],
        path=info["path"],
        state=info["state"],
        size=info["size"],
        uuid=info["uuid"],
        authority=info["authority"],
        bytes_to_sync=info["bytes_to_sync"],
        note=info["note"],
    )


def _snapshot(info: SnapshotInfo) -> SnapshotRecord:
    return SnapshotRecord(
        label=info["label"],
        set_id=info["set_id"],
        created=info["created"],
        plex=info["plex"],
        path=info["path"],
        state=info["state"],
        members=tuple(info["members"]),
        consistency=info["consistency"],
        pinned_until=info["pinned_until"] or None,
        changed_bytes=info["changed_bytes"],
    )


def job_record(progress: JobProgress) -> JobRecord:
    """A job as it stands."""
    return JobRecord(
        kind=progress["kind"],
        bytes_copied=progress["bytes_copied"],
        bytes_zeroed=progress["bytes_zeroed"],
        bytes_total=progress["bytes_total"],
        seconds=progress["seconds"],
        state=progress["state"],
        bytes_done=progress["bytes_done"],
        note=progress["note"],
    )


def extents(rows: npt.NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """(offset, length) pairs of plain integers."""
    return tuple((int(offset), int(length)) for offset, length in rows.tolist())


def by_name(volumes: Iterable[VolumeRecord]) -> Mapping[str, VolumeRecord]:
    return {volume.name: volume for volume in volumes}
