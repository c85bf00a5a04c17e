"""Keeps the leases of the volumes that this process has open, and stops it when one is lost.

Only where hosts share a catalog: a catalog in the state folder is this machine's alone, and the
locks on volume files and plexes are enough.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from sqlalchemy import Connection

from exshadow.catalog.leases import SECONDS, Lease, Leases, LostLeaseError, new_holder
from exshadow.catalog.store import Catalog
from exshadow.errors import Error

T = TypeVar("T")
_MARGIN = 0.25  # part of a lease's time that is left for stopping


class Keeper:
    """Renews in a thread of its own, three times in a lease's length. When a lease is lost, or
    could not be renewed until a quarter of its time is left, ``on_lost`` is called in that thread,
    once: it must stop everything that writes. Thread-safe."""

    def __init__(
        self,
        catalog: Catalog,
        on_lost: Callable[[Error], None] = lambda problem: None,
        *,
        seconds: float = SECONDS,
    ) -> None:
        self._leases = Leases(catalog, new_holder(), seconds)
        self._on_lost = on_lost
        self._held: dict[str, Lease] = {}
        self._good_until = time.monotonic() + seconds  # by our clock, never later than the truth
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="leases", daemon=True)
        self.lost: Error | None = None

    @property
    def holder(self) -> str:
        """Who we are to the others."""
        return self._leases.holder

    def hold(self, volume: str, purpose: str = "") -> Lease:
        """Take the lease of a volume. BusyError while another holder has it."""
        self.check()
        with self._lock:
            if volume in self._held:
                return self._held[volume]
            begun = time.monotonic()
            lease = self._leases.acquire(volume, purpose)
            if not self._held:
                self._good_until = begun + self._leases.seconds
            self._held[volume] = lease
        if self._thread.ident is None:
            self._thread.start()
        return lease

    def holds(self, volume: str) -> bool:
        """Whether its lease was taken here and not given back."""
        with self._lock:
            return volume in self._held

    def let_go(self, volume: str) -> None:
        """Give one back; quiet when it is not held."""
        with self._lock:
            lease = self._held.pop(volume, None)
        if lease is not None:
            with suppress(Error):  # it ends by itself
                self._leases.release([lease])

    def check(self) -> None:
        """LostLeaseError when one was lost, or nobody renewed it: a process that was stopped for
        long learns it here first."""
        if self.lost is not None:
            raise LostLeaseError(str(self.lost), hint=self.lost.hint) from self.lost
        if self._held and time.monotonic() > self._good_until:
            raise LostLeaseError(
                f"the lease of volume {next(iter(self._held), '')} was not renewed in time",
                hint="nothing more was changed; repeat the command",
            )

    def fence(self, connection: Connection) -> None:
        """For :attr:`Catalog.fence`."""
        self.check()
        self._with_held(lambda held: self._leases.fence(connection, held))

    def close(self) -> None:
        """Give all back."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        with self._lock:
            held = list(self._held.values())
            self._held.clear()
        if held:
            with suppress(Error):  # they end by themselves
                self._leases.release(held)

    def _keep(self) -> None:
        seconds = self._leases.seconds
        while not self._ended.wait(seconds / 3 if self._renewed() else seconds / 30):
            if self.lost is not None:
                return

    def _with_held(self, act: Callable[[list[Lease]], T]) -> T:
        """Do it with all that is held, not under the lock: the database may make it wait. Again
        when what it found lost was given back meanwhile."""
        while True:
            with self._lock:
                held = list(self._held.values())
            try:
                return act(held)
            except LostLeaseError:
                with self._lock:
                    if all(self._has(one) for one in held):
                        raise

    def _has(self, lease: Lease) -> bool:
        now = self._held.get(lease.volume)
        return now is not None and now.token == lease.token

    def _renewed(self) -> bool:
        begun = time.monotonic()
        try:
            fresh = self._with_held(self._leases.renew)
        except LostLeaseError as problem:
            self._lose(problem)
            return False
        except Error as problem:  # the database may be back in a moment
            if time.monotonic() > self._good_until - self._leases.seconds * _MARGIN:
                self._lose(problem)
            return False
        with self._lock:
            self._held.update({one.volume: one for one in fresh if self._has(one)})
            self._good_until = begun + self._leases.seconds
        return True

    def _lose(self, problem: Error) -> None:
        if self.lost is None and not self._ended.is_set():
            self.lost = problem
            self._on_lost(problem)


@contextmanager
def holding(keeper: Keeper, catalog: Catalog) -> Iterator[Keeper]:
    """Changes of this catalog only under the keeper's leases, and those of whoever holds it around
    this. What fails because a lease was lost fails with that."""
    before = catalog.fence

    def fence(connection: Connection) -> None:
        if before is not None:
            before(connection)
        keeper.fence(connection)

    catalog.fence = fence
    try:
        yield keeper
        keeper.check()
    except Error:
        keeper.check()
        raise
    finally:
        catalog.fence = before
        keeper.close()
