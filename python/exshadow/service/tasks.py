"""Operations that take their time, under the roof of a daemon: each runs in a thread of its own,
is known by an id, tells how far it is, and can be stopped. Thread-safe.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from exshadow.errors import (
    BusyError,
    CancelledError,
    ClosedError,
    Error,
    NotFoundError,
    make,
)
from exshadow.model import JobRecord, Json, SetRecord
from exshadow.names import now
from exshadow.service.desk import StopRequested
from exshadow.service.house import House, HouseDesk
from exshadow.service.limits import Limits
from exshadow.wire import error_json

_TICK_SECONDS = 0.1
_COPYING = frozenset({"sync", "resync", "restore"})

KEPT = 1000
"""How many finished tasks are remembered."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a task is: the kind of its job, what people call it, the volumes it works on, and how
    many bytes a second it may copy."""

    kind: str
    what: str
    volumes: tuple[str, ...] = ()
    limit: int | None = None


@dataclass(eq=False)
class Task:
    """One running or finished operation. Its own reporter: notes and progress end up here."""

    order: Order
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started: str = field(default_factory=now)
    notes: list[str] = field(default_factory=list)
    what: str = ""
    record: JobRecord | None = None
    result: Json | None = None
    error: Error | None = None
    usable: bool = False
    kept: SetRecord | None = None
    finished: threading.Event = field(default_factory=threading.Event)
    desk: HouseDesk | None = None
    _listeners: list[Callable[[], None]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, text: str) -> None:
        self.notes.append(text)
        self._tell()

    def progress(self, what: str, job: JobRecord) -> None:
        self.what, self.record = what, job
        self._tell()

    def mark_usable(self, kept: SetRecord | None) -> None:
        """From now on nobody has to wait for the end."""
        self.kept, self.usable = kept, True
        self._tell()

    @property
    def state(self) -> str:
        if not self.finished.is_set():
            return "running"
        if isinstance(self.error, CancelledError):
            return "cancelled"
        return "failed" if self.error else "done"

    def to_json(self) -> Json:
        """The job's shape with id, what it is called, notes, and its end."""
        record = self.record or JobRecord(self.order.kind, 0, 0, 0, 0.0, "running")
        return {
            **record.to_json(),
            "state": self.state,
            "id": self.id,
            "what": self.what or self.order.what,
            "volumes": list(self.order.volumes),
            "started": self.started,
            "notes": list(self.notes),
            "error": error_json(self.error) if self.error else None,
        }

    def listen(self, heard: Callable[[], None]) -> Callable[[], None]:
        """Call `heard`, from any thread, whenever something is new; returns how to stop that."""
        with self._lock:
            self._listeners.append(heard)

        def leave() -> None:
            with self._lock:
                self._listeners.remove(heard)

        return leave

    def cancel(self) -> None:
        """Ask it to stop; what it did is kept. Quiet when it has ended."""
        if self.desk is not None:
            self.desk.stop()

    def end(self, result: Json | None, error: Error | None) -> None:
        self.result, self.error = result, error
        self.finished.set()
        self._tell()

    def _tell(self) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for heard in listeners:
            heard()


Work = Callable[[HouseDesk], tuple[Json, Error | None]]
"""What a task does: its result, and what is to be said of it beside (differences were found)."""


class Tasks:
    """All tasks of a daemon, oldest first."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.on_end: Callable[[Task], None] = lambda task: None
        self.limits = Limits(house.folder)
        self._tasks: dict[str, Task] = {}
        self._lock = threading.Lock()
        self._closed = False

    def start(self, order: Order, work: Work, *, force: bool = False) -> Task:
        """Run `work` at a desk of its own. ClosedError when the daemon is stopping."""
        task = Task(order)
        task.desk = HouseDesk(self.house, task, force=force)
        task.desk.on_usable = task.mark_usable
        with self._lock:
            if self._closed:
                raise ClosedError("the daemon is stopping", hint="start it again")
            self._tasks[task.id] = task
            self._drop_old()
        if order.limit is not None:
            self.limits.put(order.volumes, order.limit)
        else:
            self._forget_limits(task)
        thread = threading.Thread(
            target=self._run, args=(task, work), name=f"job {order.what}", daemon=True
        )
        thread.start()
        return task

    def _run(self, task: Task, work: Work) -> None:
        assert task.desk is not None
        result: Json | None = None
        error: Error | None = None
        try:
            result, error = work(task.desk)
        except Error as failure:
            error = failure
        except Exception as failure:  # a thread has nobody to raise to
            error = Error(f"unexpected {type(failure).__name__}: {failure}")
        if error is None:
            self._forget_limits(task)
        task.end(result, error)
        self.on_end(task)

    def _forget_limits(self, task: Task) -> None:
        """Of the volumes that nothing else copies within."""
        if task.order.kind in _COPYING:
            volumes = task.order.volumes
            self.limits.put([one for one in volumes if not self.copying(one, task.desk)], None)

    def _drop_old(self) -> None:
        ended = [task for task in self._tasks.values() if task.finished.is_set()]
        for task in ended[: max(0, len(self._tasks) - KEPT)]:
            del self._tasks[task.id]

    def all(self) -> list[Task]:
        with self._lock:
            return list(self._tasks.values())

    def running(self) -> list[Task]:
        return [task for task in self.all() if not task.finished.is_set()]

    def find(self, task_id: str) -> Task:
        with self._lock:
            task = self._tasks.get(task_id)
        if task is None:
            raise NotFoundError(f"no job {task_id!r}", hint="jobs of an earlier daemon are gone")
        return task

    def copying(self, volume: str, but: HouseDesk | None) -> Task | None:
        """The task that copies within the volume now, other than that of the desk `but`."""
        for task in self.running():
            ours = task.order.kind in _COPYING and volume in task.order.volumes
            if ours and task.desk is not but:
                return task
        return None

    def refuse_busy(self, volumes: Iterable[str], verb: str) -> None:
        """BusyError while a task works on one of the volumes."""
        wanted = set(volumes)
        for task in self.running():
            if wanted & set(task.order.volumes):
                raise BusyError(
                    f"cannot {verb}: {task.order.what} is running",
                    hint=f"wait for job {task.id}, or cancel it",
                )

    def close(self, seconds: float = 60.0) -> None:
        """Take no new task, stop all resumably, and wait for them."""
        with self._lock:
            self._closed = True
        running = self.running()
        for task in running:
            task.cancel()
        for task in running:
            task.finished.wait(seconds)


def instead(other: Task, desk: HouseDesk) -> Json:
    """The result of a task that does already what was wished for; its progress is told as ours.
    Stopped, only the waiting ends."""
    desk.reporter.note(f"{other.order.what} is running already, as job {other.id}: waiting for it")
    while not other.finished.wait(_TICK_SECONDS):
        if other.record is not None:
            desk.reporter.progress(other.what, other.record)
        try:
            desk.check_stop()
        except StopRequested:
            raise CancelledError(
                f"no longer waiting for job {other.id}, which goes on", hint="repeat the command"
            ) from None
    if (error := other.error) is not None:
        raise make(error.code, error.message, error.hint)
    return other.result or {}
