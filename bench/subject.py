"""exshadow's side of the contests, and whether it is there at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench import images
from bench.images import Medium
from bench.peers import Copy

if TYPE_CHECKING:
    from exshadow import Engine, Snapshot, Volume


def why_absent() -> str | None:
    """None when the native engine can be loaded."""
    try:
        import exshadow._core  # noqa: F401
    except ImportError as problem:
        return f"exshadow is not built: {problem}"
    return None


@contextmanager
def opened(volume_file: Path, source: Path) -> Iterator[tuple[Engine, Volume]]:
    """An engine with one new volume over `source`."""
    from exshadow import Engine

    with Engine() as engine:
        yield engine, engine.create(str(volume_file), plex=str(source))


class InitialSync(Copy):
    """Volume.add_plex on a volume that stays open; call to done, flush inside."""

    def __init__(
        self, medium: Medium, source: Path, target: Path, rounds: int, volume: Volume
    ) -> None:
        super().__init__("exshadow add_plex", medium, source, target, rounds)
        self._volume = volume

    def run(self) -> None:
        self._volume.add_plex(str(self.target), label="target", overwrite=True).wait()
        images.flush(self.target)

    def check(self, number: int) -> None:
        super().check(number)
        self._volume.remove_plex("target")


class Resync:
    """Volume.resync of a snapshot after `dirty` regions of production were written."""

    def __init__(
        self,
        engine: Engine,
        volume: Volume,
        paths: tuple[Path, Path],
        dirty: list[list[int]],
        region: int,
    ) -> None:
        self.name = "exshadow resync"
        self._engine, self._volume = engine, volume
        self._source, self._target = paths
        self._dirty, self._region = dirty, region
        self._snapshot: Snapshot | None = None
        volume.add_plex(str(self._target), label="target", overwrite=True).wait()

    def prepare(self, number: int) -> None:
        volume = self._volume
        plexes = {volume.name: "target"}
        label = f"round-{number}"
        self._snapshot = self._engine.split([volume], label, plexes=plexes)[volume.name]
        data = bytes([1 + number % 255]) * self._region
        for offset in self._dirty[number]:
            volume.write(offset, data)
        volume.flush()

    def run(self) -> None:
        assert self._snapshot is not None
        self._volume.resync(self._snapshot).wait()
        images.flush(self._target)

    def server_pids(self) -> list[int]:
        return []

    def stop(self) -> None:
        """The engine is closed by who opened it."""

    def check(self, number: int) -> None:
        images.assert_equal(self._source, self._target, everything=True)
        last = self._dirty[number][-1]
        expected = bytes([1 + number % 255]) * self._region
        assert self._volume.read(last, self._region) == expected
