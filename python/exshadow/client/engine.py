"""exshadow.connect: a running daemon with the calls of :class:`exshadow.Engine`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from exshadow.client.job import ServedJob
from exshadow.client.line import Line
from exshadow.client.types import Limit, Number, Text, need, need_texts
from exshadow.client.volume import ServedSnapshot, ServedVolume
from exshadow.errors import InvalidError
from exshadow.names import check_name

_SUFFIX = ".exv"


def connect(state: str | PathLike[str] | None = None) -> Served:
    """The daemon that serves the state folder; without `state` that of the command line.

    NotFoundError when none runs, PermissionRefusedError when it is another user's.
    """
    from exshadow.service.state import StateFolder, locate

    chosen = os.fspath(state) if state is not None else None
    folder = StateFolder(locate(chosen, os.environ, root=os.geteuid() == 0))
    return Served(Line(folder.control_socket))


class Served:
    """A running daemon. Thread-safe; leaving it lets go of the connection, nothing else."""

    def __init__(self, line: Line) -> None:
        self._line = line

    @property
    def loop(self) -> str:
        return str(self._line.get("/v1/status")["status"]["loop"])

    @property
    def volumes(self) -> dict[str, ServedVolume]:
        names = [one["name"] for one in self._line.get("/v1/volumes")["volumes"]]
        return {name: ServedVolume(self._line, name) for name in names}

    def create(
        self,
        path: str | PathLike[str],
        *,
        plex: str | PathLike[str],
        region_size: int = 65536,
        group: str | None = None,
        metadata_copy: str | PathLike[str] | None = None,
        force: bool = False,
    ) -> ServedVolume:
        """Adopt `plex` as a volume. `path`: its name, also as ``NAME.exv``."""
        need(Number, region_size=region_size)
        need(Text, group=group)
        need(bool, force=force)
        body = {
            "name": _name(path),
            "path": _absolute(plex),
            "group": group,
            "region_size": region_size,
            "metadata_copy": _absolute(metadata_copy) if metadata_copy is not None else None,
            "force": force,
        }
        self._line.post("/v1/volumes", body)
        return ServedVolume(self._line, _name(path))

    def open(self, path: str | PathLike[str]) -> ServedVolume:
        """A volume by its name, also as ``NAME.exv``. NotFoundError."""
        volume = ServedVolume(self._line, _name(path))
        volume.facts()
        return volume

    def split(
        self,
        volumes: Sequence[ServedVolume],
        label: str,
        *,
        plexes: Mapping[str, str] | None = None,
        set_id: str | None = None,
        consistency: str = "crash",
    ) -> dict[str, ServedSnapshot]:
        """Split one in-sync plex off every volume at one instant; all members or none."""
        need(str, label=label, consistency=consistency)
        need(Text, set_id=set_id)
        _need_volumes(volumes)
        if plexes is not None:
            need_texts("plexes", plexes)
        body = {
            "volumes": [volume.name for volume in volumes],
            "label": label,
            "plexes": dict(plexes) if plexes is not None else None,
            "set_id": set_id,
            "consistency": consistency,
        }
        self._line.post("/v1/split", body)
        return {volume.name: volume.snapshots[label] for volume in volumes}

    def restore(
        self,
        volumes: Sequence[ServedVolume],
        snapshots: str | Mapping[str, ServedSnapshot | str],
        *,
        mode: Literal["instant"] = "instant",
        limit: int | None = None,
        live: bool = False,
    ) -> dict[str, ServedJob]:
        """Make every volume what its snapshot is, at one instant; the jobs move the data.

        BusyError while an NBD client has one of them open for writing, unless `live`.
        """
        _need_volumes(volumes)
        need(str, mode=mode)
        need(Limit, limit=limit)
        need(bool, live=live)
        if mode != "instant":
            raise InvalidError("several volumes are restored at one instant with mode instant only")
        labels = {volume.name: _label(volume, snapshots) for volume in volumes}
        body = {"snapshots": labels, "limit": limit, "live": live}
        jobs = self._line.post("/v1/restore", body)["jobs"]
        return {name: ServedJob(self._line, {"job": job}) for name, job in jobs.items()}

    def close(self) -> None:
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _label(volume: ServedVolume, snapshots: str | Mapping[str, ServedSnapshot | str]) -> str:
    need(str | Mapping, snapshots=snapshots)
    chosen = snapshots if isinstance(snapshots, str) else snapshots.get(volume.name)
    if chosen is None:
        raise InvalidError(f"no snapshot is named for volume {volume.name}")
    need(ServedSnapshot | str, snapshot=chosen)
    return chosen if isinstance(chosen, str) else chosen.label


def _need_volumes(volumes: Sequence[ServedVolume]) -> None:
    need(Sequence, volumes=volumes)
    for volume in volumes:
        need(ServedVolume, volume=volume)


def _absolute(path: str | PathLike[str]) -> str:
    return os.path.abspath(os.fsdecode(path))  # noqa: PTH100  (links stay)


def _name(path: str | PathLike[str]) -> str:
    name = Path(os.fsdecode(path)).name.removesuffix(_SUFFIX)
    if not name:
        raise InvalidError(f"{path!r} names no volume")
    return check_name(name, "volume name")
