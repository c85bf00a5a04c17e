"""The desk an operation works at: state folder, catalog, reporter, and open volumes.

The catalog opens on first use, before anything is changed, so that one of a newer version refuses
the operation as a whole. A fact that cannot be written afterwards is said, never fails the
operation: the volume files are the truth and the catalog can be rebuilt from them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from exshadow.errors import BusyError, Error
from exshadow.model import SetRecord, VolumeRecord
from exshadow.service.records import volume_record
from exshadow.service.reporter import Reporter, Silent, event_note
from exshadow.service.state import StateFolder

if TYPE_CHECKING:
    from exshadow._core import Engine, Server, Volume
    from exshadow.catalog import Catalog
    from exshadow.service.keeper import Keeper


class StopRequested(Exception):
    """Somebody asked the operation to stop: no failure, but what Ctrl-C is to a terminal."""


class Desk:
    """Used by one thread, for one command. Any thread may call :meth:`stop`."""

    def __init__(
        self, folder: StateFolder, reporter: Reporter | None = None, *, force: bool = False
    ) -> None:
        self._stopping = Event()
        self.folder = folder
        self.reporter: Reporter = reporter or Silent()
        self.force = force
        self._catalog: Catalog | None = None
        self._facts: Catalog | None = None
        self.unreadable: Exception | None = None
        """Why the catalog could not be read when it was asked last."""

    def close(self) -> None:
        for catalog in (self._catalog, self._facts):
            if catalog is not None:
                catalog.close()
        self._catalog = self._facts = None

    def stop(self) -> None:
        """Ask what runs at this desk to stop as Ctrl-C would: soon, resumably."""
        self._stopping.set()

    @property
    def stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopping.is_set()

    def check_stop(self) -> None:
        """StopRequested when :meth:`stop` was called."""
        if self._stopping.is_set():
            raise StopRequested

    def usable(self, text: str, kept: SetRecord | None) -> None:
        """What was wished for is there; what remains to be done goes on behind. `kept`: the set
        that an operation made on its way."""
        self.reporter.note(text)

    def require_no_writer(self, volumes: Iterable[str]) -> None:
        """BusyError while a client of this process has a volume open for writing: nobody has."""

    def require_unheld(self, records: Iterable[VolumeRecord]) -> None:
        """BusyError while another process has one of the volumes open, as :meth:`session` says."""
        for one in records:
            if one.owner:
                raise BusyError(
                    f"{self.folder.volume_file(one.name)} is locked ({one.owner})",
                    hint="another exshadow process has this volume open",
                )

    def require_unused(self, exports: Iterable[str]) -> None:
        """BusyError while a client of this process has one of the exports open: nobody has."""

    @property
    def catalog(self) -> Catalog:
        """The catalog, opened for writing. NewerVersionError, BusyError, IoError."""
        if self._catalog is None:
            self._catalog = self._open_catalog()
        return self._catalog

    def _open_catalog(self) -> Catalog:
        from exshadow.catalog import open_catalog
        from exshadow.service.rebuild import fill

        self.folder.create()
        place = self.folder.catalog_file, self.folder.catalog_url
        opened = open_catalog(*place, owner=self.folder.owner)
        if opened.state == "replaced":
            self.reporter.note(
                f"the catalog was damaged; it was moved to {opened.aside} "
                "and a new one made from the volume files"
            )
        if opened.state != "existing":
            fill(opened.catalog, self.folder.survey())
        return opened.catalog

    def facts(self) -> Catalog | None:
        """The catalog for reading only: None when there is none, or said aloud why not.

        Takes no lock and creates nothing, unless it is of an older version and is upgraded.
        """
        from exshadow.errors import NewerVersionError

        if self._catalog is not None:
            return self._catalog
        if self._facts is not None:
            return self._facts
        if not self.folder.catalog_url and not self.folder.catalog_file.exists():
            return None
        from exshadow.catalog import open_catalog, open_for_reading

        place = self.folder.catalog_file, self.folder.catalog_url
        try:
            owner = self.folder.owner
            self._facts = open_for_reading(*place, owner=owner)
            if self._facts is None:
                self._catalog = open_catalog(*place, owner=owner, repair=False).catalog
        except NewerVersionError:
            raise
        except (Error, OSError) as error:
            if self.unreadable is None:  # said once
                self.reporter.note(f"shown without the catalog: {error}")
            self.unreadable = error
            return None
        self.unreadable = None
        return self._facts or self._catalog

    def record(self, write: Callable[[Catalog], None]) -> None:
        """Write facts about what has been done; a failure is said aloud."""
        try:
            write(self.catalog)
        except Error as error:
            self.reporter.note(
                f"done, but not recorded in the catalog: {error}; run: exshadow catalog rebuild"
            )

    def record_volumes(self, *volumes: VolumeRecord) -> None:
        """Write what is known about volumes now."""
        for volume in volumes:
            self.record(partial(_record_volume, volume=volume))

    @contextmanager
    def session(self, names: Iterable[str] = ()) -> Iterator[Session]:
        """An engine with the named volumes open; closed cleanly on the way out."""
        from exshadow._core import Engine
        from exshadow.service.checks.record import clear
        from exshadow.service.drills.place import clear as clear_drills
        from exshadow.service.keeper import Keeper, holding

        for problem in clear(self.folder):
            self.reporter.note(f"left of an interrupted check: {problem}")
        for problem in clear_drills(self.folder):
            self.reporter.note(f"left of an interrupted drill: {problem}")
        catalog = self.catalog  # refuse a newer one before a volume is opened
        with ExitStack() as stack:
            engine = Engine()
            keeper = None
            if self.folder.catalog_url:
                # When a lease is lost nothing may be written any more: the engine goes.
                keeper = Keeper(catalog, lambda problem: engine.close())
                stack.enter_context(holding(keeper, catalog))
            session = Session(self, stack.enter_context(engine), keeper)
            for name in names:
                session.open(name)
            yield session


def _record_volume(catalog: Catalog, volume: VolumeRecord) -> None:
    catalog.record_volume(volume)


class Session:
    """One engine: its volumes can be split together."""

    opens_with_force = True
    """Whether the desk's `force` reached the volumes: they take it when they are opened."""

    def __init__(self, desk: Desk, engine: Engine, keeper: Keeper | None = None) -> None:
        self.desk = desk
        self.engine = engine
        self._keeper = keeper
        self.volumes: dict[str, Volume] = {}

    def open(self, name: str) -> Volume:
        """Open a volume of the state folder; what it says at open is passed on.

        BusyError names the owner.
        """
        folder = self.desk.folder
        before = folder.inspect(name)
        if self._keeper is not None:
            self._keeper.hold(before.uuid, f"{name} on {socket.gethostname()}")
        try:
            volume = self.engine.open(
                str(folder.volume_file(name)),
                metadata_copy=folder.usable_metadata_copy(name),
                force=self.desk.force,
            )
        except BusyError as error:
            if before.owner and before.owner not in error.message:
                error.message = f"{error.message} ({before.owner})"
            raise
        self.volumes[name] = volume
        self.say(name, volume.info()["events"], before.events)
        return volume

    def say(self, name: str, events: Iterable[str], known: Iterable[str] = ()) -> None:
        """Pass on and record events that were not known before."""
        fresh = [text for text in events if text not in set(known)]
        for text in fresh:
            self.desk.reporter.note(event_note(name, text))
        if fresh:
            self.desk.record(lambda catalog: catalog.add_events(name, fresh))

    @contextmanager
    def serving(self, socket: Path, view_limit: int) -> Iterator[None]:
        """Offer the open volumes and their snapshots over NBD there, to ourselves alone, with views
        of so many bytes each."""
        with self._server(socket, view_limit):
            yield

    def _server(self, socket: Path, view_limit: int) -> Server:
        views = self.desk.folder.path / "views"
        views.mkdir(mode=0o700, exist_ok=True)
        return self.engine.serve(str(socket), views=str(views), view_limit=view_limit)

    def info(self, name: str) -> VolumeRecord:
        """The open volume as it is now."""
        return volume_record(self.volumes[name].info())
