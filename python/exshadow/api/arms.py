"""Splits in two steps: arming does everything that takes long or may be refused, and keeps other
changes out; the split itself comes while somebody holds writers still, and is refused when it
comes too late for them.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from queue import Empty, SimpleQueue

from exshadow.errors import Error, NotFoundError, TimedOutError
from exshadow.model import JobRecord, SetRecord
from exshadow.service.local import LocalService
from exshadow.service.snapshots import Split

_LOOK_SECONDS = 0.25


class Notes:
    """Collects what an operation says, for the answer's ``notes``."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, what: str, job: JobRecord) -> None:
        pass


class _Order:
    """One split that is asked for, and what came of it."""

    def __init__(self, set_id: str, consistency: str, until: float) -> None:
        self.set_id = set_id
        self.consistency = consistency
        self.until = until
        self.done = threading.Event()
        self.made: SetRecord | None = None
        self.error: BaseException | None = None

    def fill(self, split: Split) -> None:
        try:
            if time.monotonic() > self.until:
                raise TimedOutError(
                    "the split came too late: the writers are not held any more",
                    hint="repeat the command when the machine is less busy",
                )
            self.made = split(self.set_id, self.consistency)
        except BaseException as error:
            self.error = error
        self.done.set()

    def refuse(self) -> None:
        self.error = _not_armed()
        self.done.set()


Changing = Callable[..., AbstractContextManager[tuple[LocalService, Notes]]]


class Arm:
    """A group that is ready to be split, on a thread of its own, which holds what that takes."""

    def __init__(self, seconds: float, pid: int) -> None:
        self.id = str(uuid.uuid4())
        self.notes: list[str] = []
        self._seconds = seconds
        # Of a client in a container we may not see the process: then only the time ends it.
        self._process = Path(f"/proc/{pid}") if Path(f"/proc/{pid}").exists() else None
        self._orders: SimpleQueue[_Order | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._over = False
        self._ready = threading.Event()
        self._error: BaseException | None = None

    def start(self, changing: Changing, group: str, label: str | None, plex: str | None) -> None:
        """Comes back when it is armed, or raises what speaks against it."""
        arguments = (changing, group, label, plex)
        threading.Thread(target=self._hold, args=arguments, daemon=True).start()
        self._ready.wait()
        if self._error is not None:
            raise self._error

    def split(self, set_id: str, consistency: str, until: float) -> tuple[SetRecord, list[str]]:
        """NotFoundError when it is not armed any more, TimedOutError after `until`."""
        order = _Order(set_id, consistency, until)
        with self._lock:
            if self._over:
                raise _not_armed()
            self._orders.put(order)
        order.done.wait()
        if order.error is not None:
            raise order.error
        assert order.made is not None
        return order.made, self.notes

    def end(self) -> None:
        self._orders.put(None)

    @property
    def over(self) -> bool:
        return self._over

    def _hold(self, changing: Changing, group: str, label: str | None, plex: str | None) -> None:
        try:
            with (
                changing() as (service, notes),
                service.armed_split(group, label=label, plex=plex) as split,
            ):
                self.notes = notes.notes
                self._ready.set()
                self._serve(split)
        except BaseException as error:
            self._error = error
        finally:
            self._close()
            self._ready.set()

    def _serve(self, split: Split) -> None:
        """One split, or none."""
        end = time.monotonic() + self._seconds
        while time.monotonic() < end and (self._process is None or self._process.exists()):
            try:
                order = self._orders.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            if order is not None:
                order.fill(split)
            return

    def _close(self) -> None:
        with self._lock:
            self._over = True
        while not self._orders.empty():
            if (order := self._orders.get()) is not None:
                order.refuse()


class Arms:
    """Those of a daemon, by id. `changing` keeps other changes out (Daemon.changing)."""

    def __init__(self, changing: Changing) -> None:
        self._changing = changing
        self._lock = threading.Lock()
        self._arms: dict[str, Arm] = {}

    def add(
        self,
        group: str,
        label: str | None,
        plex: str | None,
        seconds: float,
        pid: int,
        *,
        force: bool = False,
    ) -> Arm:
        """Arm a group; raises what speaks against splitting it."""
        arm = Arm(seconds, pid)
        arm.start(lambda: self._changing(force=force), group, label, plex)
        with self._lock:
            self._arms = {id: one for id, one in self._arms.items() if not one.over}
            self._arms[arm.id] = arm
        return arm

    def find(self, id: str) -> Arm:
        """NotFoundError when there is none."""
        with self._lock:
            found = self._arms.get(id)
        if found is None:
            raise _not_armed()
        return found

    def end(self, id: str) -> None:
        with self._lock:
            found = self._arms.pop(id, None)
        if found is not None:
            found.end()


def _not_armed() -> Error:
    return NotFoundError(
        "the group is not armed any more", hint="the split was not asked for in time: repeat"
    )
