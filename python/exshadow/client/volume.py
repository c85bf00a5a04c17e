"""A daemon's volumes and snapshots with the calls of :class:`exshadow.Volume` and ``Snapshot``."""

from __future__ import annotations

import os
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from exshadow.client.job import ServedJob, rows
from exshadow.client.line import Line, part
from exshadow.client.types import Limit, Number, Text, need
from exshadow.errors import InvalidError, NotFoundError
from exshadow.model import Json

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Buffer

    from exshadow.service.engine_types import PlexInfo, SnapshotInfo, VolumeInfo

_PIECE = 8 << 20


def _pieces(length: int) -> Iterator[tuple[int, int]]:
    """Start and length of the requests that make up `length` bytes; one even for none."""
    for start in range(0, max(length, 1), _PIECE):
        yield start, min(_PIECE, length - start)


def _flat(buffer: Buffer, *, writable: bool) -> memoryview:
    """The buffer's bytes. InvalidError unless C-contiguous, and writable where that is needed."""
    view = memoryview(buffer)
    if not view.c_contiguous:
        raise InvalidError("the buffer is not C-contiguous")
    if writable and view.readonly:
        raise InvalidError("the buffer is read-only")
    return view.cast("B")


def _checked(offset: int, length: int) -> None:
    need(Number, offset=offset, length=length)
    if offset < 0 or length < 0:
        raise InvalidError(f"offset {offset} and length {length} must not be negative")


class _Readable:
    """Reading by requests of some MiB each."""

    _line: Line

    def _data(self) -> str:
        raise NotImplementedError

    def read(self, offset: int, length: int) -> bytes:
        _checked(offset, length)
        parts = [
            self._line.read(self._data(), offset=offset + start, length=size)
            for start, size in _pieces(length)
        ]
        return b"".join(parts)

    def read_into(self, offset: int, buffer: Buffer) -> None:
        _checked(offset, 0)
        view = _flat(buffer, writable=True)
        for start, size in _pieces(len(view)):
            piece = self._line.read(self._data(), offset=offset + start, length=size)
            view[start : start + size] = piece


class ServedSnapshot(_Readable):
    """One volume's part of a set."""

    def __init__(self, volume: ServedVolume, facts: Json) -> None:
        self._line = volume._line
        self._volume = volume
        self._facts = facts

    @property
    def label(self) -> str:
        return str(self._facts["label"])

    @property
    def set_id(self) -> str:
        return str(self._facts["set"])

    @property
    def created(self) -> str:
        return str(self._facts["created"])

    @property
    def path(self) -> str:
        return str(self._facts["path"])

    @property
    def plex(self) -> str:
        return str(self._facts["plex"])

    @property
    def volume(self) -> ServedVolume:
        return self._volume

    @property
    def url(self) -> str:
        return f"{self._volume.url}/snapshots/{part(self.label)}"

    def _data(self) -> str:
        return f"{self.url}/data"

    def info(self) -> SnapshotInfo:
        for facts in self._volume.facts()["snapshots"]:
            if facts["set"] == self.set_id:
                return _snapshot_info(facts)
        raise NotFoundError(f"volume {self._volume.name} has no snapshot {self.label!r} any more")

    def check(self) -> None:
        """Raise what a restore from it would be refused with."""
        self._line.post(f"{self.url}/check")

    def changed(self, since: ServedSnapshot | None = None) -> npt.NDArray[np.int64]:
        """(n, 2) array of offset and length: where production (or `since`) may differ."""
        need(ServedSnapshot | None, since=since)
        other = since.label if since is not None else None
        return rows(self._line.get(f"{self.url}/changed", since=other)["changed"])


def _snapshot_info(facts: Json) -> SnapshotInfo:
    known = {name: value for name, value in facts.items() if name != "set"}
    return {**known, "set_id": facts["set"]}  # type: ignore[typeddict-item]


class ServedVolume(_Readable):
    """A volume that the daemon holds open. Thread-safe."""

    def __init__(self, line: Line, name: str) -> None:
        self._line = line
        self._name = name

    @property
    def url(self) -> str:
        return f"/v1/volumes/{part(self._name)}"

    def _data(self) -> str:
        return f"{self.url}/data"

    def facts(self) -> Json:
        """The volume's JSON as it is now."""
        found: Json = self._line.get(self.url)["volume"]
        return found

    @property
    def name(self) -> str:
        return self._name

    @property
    def path(self) -> str:
        """The volume file; it is the daemon's."""
        return str(self._line.path.absolute().parent / f"{self._name}.exv")

    @property
    def uuid(self) -> str:
        return str(self.facts()["uuid"])

    @property
    def group(self) -> str:
        return str(self.facts()["group"])

    @property
    def size(self) -> int:
        return int(self.facts()["size"])

    @property
    def region_size(self) -> int:
        return int(self.facts()["region_size"])

    @property
    def state(self) -> str:
        return str(self.facts()["state"])

    @property
    def plexes(self) -> list[PlexInfo]:
        found: list[PlexInfo] = self.facts()["plexes"]
        return found

    @property
    def snapshots(self) -> dict[str, ServedSnapshot]:
        return {one["label"]: ServedSnapshot(self, one) for one in self.facts()["snapshots"]}

    def info(self) -> VolumeInfo:
        facts = self.facts()
        snapshots = [_snapshot_info(one) for one in facts["snapshots"]]
        return {**facts, "snapshots": snapshots}  # type: ignore[typeddict-item]

    def write(self, offset: int, buffer: Buffer, *, fua: bool = False) -> None:
        """Answers when every in-sync plex has the bytes; durable after flush, or with `fua`."""
        _checked(offset, 0)
        need(bool, fua=fua)
        view = _flat(buffer, writable=False)
        for start, size in _pieces(len(view)):
            piece = bytes(view[start : start + size])
            self._line.write(self._data(), piece, offset=offset + start, fua=fua)

    def zero(self, offset: int, length: int, *, unmap: bool = False) -> None:
        _checked(offset, length)
        need(bool, unmap=unmap)
        self._line.post(f"{self.url}/zero", offset=offset, length=length, unmap=unmap)

    def flush(self) -> None:
        self._line.post(f"{self.url}/flush")

    def _job(self, url: str, **body: Any) -> ServedJob:
        return ServedJob(self._line, self._line.post(url, body))

    def add_plex(
        self,
        path: str | PathLike[str],
        *,
        label: str | None = None,
        overwrite: bool = False,
        limit: int | None = None,
        force: bool = False,
    ) -> ServedJob:
        need(Text, label=label)
        need(bool, overwrite=overwrite, force=force)
        need(Limit, limit=limit)
        body = {
            "path": os.path.abspath(os.fsdecode(path)),  # noqa: PTH100  (links stay)
            "label": label,
            "overwrite": overwrite,
            "limit": limit,
            "force": force,
        }
        return ServedJob(self._line, self._line.post(f"{self.url}/plexes", body))

    def sync(self, label: str | None = None, *, limit: int | None = None) -> ServedJob:
        need(Text, label=label)
        need(Limit, limit=limit)
        return self._job(f"{self.url}/sync", label=label, limit=limit)

    def remove_plex(self, label: str) -> None:
        need(str, label=label)
        self._line.delete(f"{self.url}/plexes/{part(label)}")

    def verify(self, *, repair: bool = False, source: str | None = None) -> ServedJob:
        need(bool, repair=repair)
        need(Text, source=source)
        return self._job(f"{self.url}/verify", repair=repair, source=source)

    def _snapshot(self, snapshot: ServedSnapshot | str) -> str:
        need(ServedSnapshot | str, snapshot=snapshot)
        label = snapshot if isinstance(snapshot, str) else snapshot.label
        return f"{self.url}/snapshots/{part(label)}"

    def verify_snapshot(self, snapshot: ServedSnapshot | str) -> ServedJob:
        return self._job(f"{self._snapshot(snapshot)}/verify")

    def resync(self, snapshot: ServedSnapshot | str, *, limit: int | None = None) -> ServedJob:
        need(Limit, limit=limit)
        return self._job(f"{self._snapshot(snapshot)}/resync", limit=limit)

    def restore(
        self,
        snapshot: ServedSnapshot | str,
        *,
        mode: Literal["copy", "instant"] = "copy",
        limit: int | None = None,
        live: bool = False,
    ) -> ServedJob:
        """BusyError while an NBD client has the volume open for writing, unless `live`."""
        need(str, mode=mode)
        need(Limit, limit=limit)
        need(bool, live=live)
        return self._job(f"{self._snapshot(snapshot)}/restore", mode=mode, limit=limit, live=live)

    def promote(self, snapshot: ServedSnapshot | str, *, live: bool = False) -> None:
        """BusyError while an NBD client has the volume open for writing, unless `live`."""
        need(bool, live=live)
        self._line.post(f"{self._snapshot(snapshot)}/promote", live=live)

    def delete_snapshot(self, snapshot: ServedSnapshot | str) -> None:
        self._line.delete(self._snapshot(snapshot))

    def pin_snapshot(self, snapshot: ServedSnapshot | str, until: str | None) -> None:
        need(Text, until=until)
        self._line.post(f"{self._snapshot(snapshot)}/pin", {"until": until})

    def set_consistency(self, snapshot: ServedSnapshot | str, consistency: str) -> None:
        need(str, consistency=consistency)
        body = {"consistency": consistency}
        self._line.post(f"{self._snapshot(snapshot)}/consistency", body)

    def close(self) -> None:
        """Nothing to do: the volume is the daemon's, and stays open there."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
