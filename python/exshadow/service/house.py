"""The house: every volume that a daemon holds open, in one engine, served over NBD.

One engine, hence one loop, for all groups: one NBD socket has all exports, and any group can be
split at one instant. Operations work at desks of the house (:class:`HouseDesk`), which hand out
the open volumes instead of opening them anew. Thread-safe; the engine's calls release the GIL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from exshadow.errors import BusyError, Error
from exshadow.model import SetRecord, VolumeRecord
from exshadow.service.desk import Desk, Session
from exshadow.service.records import volume_record
from exshadow.service.reporter import Reporter, event_note
from exshadow.service.state import StateFolder, Survey, no_group

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from exshadow._core import ConnectionInfo, ExportStatistics, Server, Volume
    from exshadow.catalog import Catalog
    from exshadow.service.keeper import Keeper


LATENCY_LIMIT = 30
"""Seconds: the engine's own default."""


@dataclass(frozen=True, slots=True)
class Offer:
    """How NBD is offered: also on a loopback address, and with views of so many bytes each."""

    tcp: tuple[str, int] | None = None
    view_limit: int = 1 << 30


class LiveFolder(StateFolder):
    """The state folder of a daemon: an open volume tells what it knows, not what its file says."""

    def __init__(self, folder: StateFolder, house: House) -> None:
        super().__init__(folder.path, folder.catalog_url)
        self._house = house

    def inspect(self, name: str) -> VolumeRecord:
        volume = self._house.find(name)
        if volume is not None:
            with suppress(Error):  # closed meanwhile: its file tells
                return volume_record(volume.info())
        return super().inspect(name)

    def changed(self, name: str, label: str, since: str | None) -> npt.NDArray[np.int64]:
        volume = self._house.find(name)
        if volume is not None:
            with suppress(Error, KeyError):
                snapshots = volume.snapshots
                return snapshots[label].changed(snapshots[since] if since is not None else None)
        return super().changed(name, label, since)


class House:
    """`groups` limits what is held open and served; all groups when it is empty.

    A plex that does not answer for `latency_limit` seconds leaves its mirror.
    """

    def __init__(
        self,
        folder: StateFolder,
        groups: Iterable[str] = (),
        latency_limit: float = LATENCY_LIMIT,
    ) -> None:
        from exshadow._core import Engine

        self.groups = frozenset(groups)
        self.folder = LiveFolder(folder, self)
        self.server: Server | None = None
        self._volumes: dict[str, Volume] = {}
        self._heard: dict[str, int] = {}
        self._own_use: list[Server] = []
        self._lock = RLock()  # guards _volumes; never held while a volume opens
        self._opening = RLock()
        self._desk = Desk(folder)  # a newer catalog refuses the daemon as it would any command
        self.engine = Engine(latency_limit=latency_limit)
        self.keeper = self._new_keeper(self._desk.catalog)

    def _new_keeper(self, catalog: Catalog) -> Keeper | None:
        """Of the leases, where hosts share a catalog. When one is lost the engine goes at once, and
        the daemon after it (:meth:`check_leases`)."""
        from exshadow.service.keeper import Keeper

        if not self.folder.catalog_url:
            return None
        return Keeper(catalog, lambda problem: self.engine.close())

    def check_leases(self) -> None:
        """LostLeaseError when the daemon must end."""
        if self.keeper is not None:
            self.keeper.check()

    # --- what is open ---

    def wants(self, record: VolumeRecord) -> bool:
        """Whether the volume belongs to what this house serves."""
        return not self.groups or record.group in self.groups

    def find(self, name: str) -> Volume | None:
        """The open volume of that name."""
        with self._lock:
            return self._volumes.get(name)

    def names(self) -> list[str]:
        with self._lock:
            return sorted(self._volumes)

    def open(self, desk: Desk, name: str) -> Volume:
        """The volume, opened when it is not. BusyError names an owner elsewhere."""
        with self._opening:
            volume = self.find(name)
            if volume is None:
                volume = Session(desk, self.engine, self.keeper).open(name)
                with self._lock:
                    self._volumes[name] = volume
                    self._heard[name] = len(volume.info()["events"])
            return volume

    def fresh_events(self) -> dict[str, list[str]]:
        """What the volumes said aloud since they were opened or this was last called."""
        found: dict[str, list[str]] = {}
        for name in self.names():
            volume = self.find(name)
            with suppress(Error):
                events = volume.info()["events"] if volume else []
                with self._lock:
                    if fresh := events[self._heard.get(name, 0) :]:
                        found[name] = fresh
                        self._heard[name] = len(events)
        return found

    def open_all(self, desk: Desk) -> dict[str, Error]:
        """Open everything that is to be served; what could not be, and why.

        With groups named, what cannot be served is raised. NotFoundError for a group without
        volumes.
        """
        survey = desk.folder.survey()
        self._check_groups(survey)
        problems = dict(survey.problems)
        for record in survey.volumes.values():
            if not self.wants(record):
                continue
            try:
                self.open(desk, record.name)
            except Error as error:
                if self.groups:
                    raise
                problems[record.name] = error
        return problems

    def _check_groups(self, survey: Survey) -> None:
        known = {volume.group for volume in survey.volumes.values()}
        for group in sorted(self.groups - known):
            if survey.problem is not None:
                raise survey.problem
            raise no_group(group, survey)

    def forget(self, name: str) -> None:
        """Close a volume and let its clients go; quiet when it is not open."""
        with self._lock:
            volume = self._volumes.pop(name, None)
        if volume is not None:
            uuid = volume.uuid
            volume.close()
            if self.keeper is not None:
                self.keeper.let_go(uuid)

    # --- NBD ---

    def serve(self, offer: Offer) -> None:
        """Offer all volumes on STATE/nbd.sock, and as `offer` says."""
        views = self.folder.path / "views"
        views.mkdir(mode=0o700, exist_ok=True)
        self.server = self.engine.serve(
            self.folder.nbd_socket, tcp=offer.tcp, views=views, view_limit=offer.view_limit
        )

    def connections(self) -> list[ConnectionInfo]:
        """Of clients, and of checks at work."""
        with self._lock:
            servers = [*([self.server] if self.server else []), *self._own_use]
        return [one for server in servers for one in server.connections]

    @contextmanager
    def using(self, server: Server) -> Iterator[None]:
        """Count the clients of another server of the engine as clients, as long as it is open."""
        with server:
            with self._lock:
                self._own_use.append(server)
            try:
                yield
            finally:
                with self._lock:
                    self._own_use.remove(server)

    def exports(self) -> dict[str, ExportStatistics]:
        return self.server.exports() if self.server else {}

    def writers(self, names: Iterable[str]) -> list[str]:
        """Which of the volumes some client has open for writing."""
        wanted = set(names)
        return sorted({one["export"] for one in self.connections() if one["writable"]} & wanted)

    def used(self, exports: Iterable[str]) -> list[str]:
        """Which of the exports, or views of them, some client has open."""
        wanted = set(exports)
        names = {one["export"] for one in self.connections()}
        return sorted(name for name in names if name.removesuffix("+view") in wanted)

    def users(self, name: str) -> list[str]:
        """Exports of the volume, its snapshots' too, that some client has open."""
        return sorted(
            {
                one["export"]
                for one in self.connections()
                if one["export"] == name or one["export"].startswith(f"{name}@")
            }
        )

    def close(self) -> None:
        """Drain and flush NBD, pause jobs resumably, mark every volume clean."""
        try:
            if self.server is not None:
                self.server.close()
        finally:
            self.engine.close()
            if self.keeper is not None:
                self.keeper.close()
            self._desk.close()


class HouseSession(Session):
    """Events are recorded by the daemon's watch, so that each is recorded once."""

    opens_with_force = False

    def __init__(self, desk: Desk, house: House) -> None:
        super().__init__(desk, house.engine)
        self._house = house

    @contextmanager
    def serving(self, socket: Path, view_limit: int) -> Iterator[None]:
        with self._house.using(self._server(socket, view_limit)):
            yield

    def say(self, name: str, events: Iterable[str], known: Iterable[str] = ()) -> None:
        before = set(known)
        for text in events:
            if text not in before:
                self.desk.reporter.note(event_note(name, text))


class HouseDesk(Desk):
    """A desk in the house: volumes of the house are open already and stay so."""

    def __init__(
        self, house: House, reporter: Reporter | None = None, *, force: bool = False
    ) -> None:
        super().__init__(house.folder, reporter, force=force)
        self.house = house
        self.on_usable: Callable[[SetRecord | None], None] = lambda kept: None

    def _open_catalog(self) -> Catalog:
        catalog = super()._open_catalog()
        if self.house.keeper is not None:
            catalog.fence = self.house.keeper.fence
        return catalog

    @contextmanager
    def session(self, names: Iterable[str] = ()) -> Iterator[Session]:
        """The house's engine with the named volumes; another engine for what it does not serve."""
        wanted = list(names)
        if not all(self.house.wants(self.folder.inspect(name)) for name in wanted):
            with super().session(wanted) as session:
                yield session
            return
        session = HouseSession(self, self.house)
        session.volumes = {name: self.house.open(self, name) for name in wanted}
        yield session

    def usable(self, text: str, kept: SetRecord | None) -> None:
        super().usable(text, kept)
        self.on_usable(kept)

    def require_no_writer(self, volumes: Iterable[str]) -> None:
        if writers := self.house.writers(volumes):
            raise BusyError(
                f"a client has {', '.join(writers)} open for writing",
                hint="disconnect it, or add --live when it can bear that",
            )

    def require_unheld(self, records: Iterable[VolumeRecord]) -> None:
        super().require_unheld(one for one in records if not self.house.wants(one))

    def require_unused(self, exports: Iterable[str]) -> None:
        if used := self.house.used(exports):
            raise BusyError(
                f"a client has {', '.join(used)} open",
                hint="disconnect it: exshadow snapshot unmount SET, exshadow detach NAME",
            )
