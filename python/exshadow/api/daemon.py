"""What the routes work with: the house, its tasks, the instruments, and who may do what when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from exshadow.api.arms import Arms, Notes
from exshadow.errors import Error, NotFoundError, RefusedError
from exshadow.model import Json
from exshadow.names import close_match
from exshadow.service.house import House, HouseDesk
from exshadow.service.local import LocalService
from exshadow.service.tasks import Order, Task, Tasks, Work

if TYPE_CHECKING:
    from exshadow.api.instruments import Instruments
    from exshadow.service.engine_types import Snapshot, Volume


class Daemon:
    """One per process. Thread-safe: every request may run in a thread of its own."""

    def __init__(self, house: House, tasks: Tasks, instruments: Instruments) -> None:
        self.house = house
        self.tasks = tasks
        self.instruments = instruments
        self._one_by_one = threading.Lock()
        self.arms = Arms(self.changing)

    def reader(self) -> LocalService:
        """The verbs, for what changes nothing."""
        return LocalService(HouseDesk(self.house))

    def volume(self, name: str) -> Volume:
        """An open volume. RefusedError for one that this daemon does not serve."""
        volume = self.house.find(name)
        if volume is not None:
            return volume
        record = self.house.folder.inspect(name)
        if not self.house.wants(record):
            raise RefusedError(
                f"volume {name} is not served here", hint=f"exshadow serve {record.group}"
            )
        return self.house.open(HouseDesk(self.house), name)

    def snapshot(self, name: str, label: str) -> Snapshot:
        """A snapshot of an open volume. NotFoundError."""
        snapshots = self.volume(name).snapshots
        found = snapshots.get(label)
        if found is None:
            raise NotFoundError(
                f"volume {name} has no snapshot {label!r}",
                hint=f"{close_match(label, snapshots)}see: exshadow volume show {name}",
            )
        return found

    @contextmanager
    def changing(self, *, force: bool = False) -> Iterator[tuple[LocalService, Notes]]:
        """The verbs, for what changes something and is done soon: one after the other."""
        notes = Notes()
        with self._one_by_one:
            yield LocalService(HouseDesk(self.house, notes, force=force)), notes

    def start(self, order: Order, work: Work, *, force: bool = False) -> Json:
        """Start a task; the answer that tells its id."""
        return {"job": self.tasks.start(order, work, force=force).to_json()}

    def ended(self, task: Task) -> None:
        """Measure a finished task."""
        self.instruments.job_ended(task)


def simple(run: Callable[[LocalService], Json]) -> Work:
    """Work that has no verdict of its own beside its result."""

    def work(desk: HouseDesk) -> tuple[Json, Error | None]:
        return run(LocalService(desk)), None

    return work


def _daemon(request: Request) -> Daemon:
    found = request.app.state.daemon
    assert isinstance(found, Daemon)
    return found


Here = Annotated[Daemon, Depends(_daemon)]
