"""The journal of sets in the making: a file for each in STATE/making, named by the set's id and
locked by the process that makes it.

A set exists from its split on; whether it stays is known only when its writers, its program and
its checks have had their say. The kernel lifts the lock of a process that was killed: what it left
is found by that.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from exshadow.errors import from_system
from exshadow.service.snapshots import LATEST_SPLIT


class Entry:
    """One set. Locked until :meth:`end` or :meth:`leave`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @property
    def set_id(self) -> str:
        return self.path.name

    def may_still_split(self) -> bool:
        """Whether a split that the killed process asked a daemon for may be on its way."""
        return time.time() - os.fstat(self._descriptor).st_mtime < LATEST_SPLIT

    def end(self) -> None:
        """The set stays, or is gone. May be repeated."""
        if self._descriptor >= 0:
            self.path.unlink(missing_ok=True)
            self.leave()

    def leave(self) -> None:
        """Let somebody else see to it later."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Journal:
    """The entries of one state folder."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "making"

    def begin(self, set_id: UUID) -> Entry:
        """Durable before it returns. IoError, NoSpaceError, PermissionRefusedError."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked() as folder:
                path = self._folder / str(set_id)
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.fsync(folder)
        except OSError as problem:
            raise from_system(problem) from problem
        return Entry(path, descriptor)

    def left(self) -> Iterator[Entry]:
        """Entries whose makers are gone, each locked for the caller."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.iterdir()):
            with suppress(OSError), self._locked():  # made with its lock, or not there at all
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                    continue
                entry = Entry(path, descriptor)
            if os.path.lexists(path):
                yield entry
            else:
                entry.leave()

    @contextmanager
    def _locked(self) -> Iterator[int]:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)
