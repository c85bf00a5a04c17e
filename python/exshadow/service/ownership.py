"""One daemon a state folder: a lock on ``serve.lock``, which names its owner."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from exshadow.errors import BusyError, make
from exshadow.service.state import StateFolder


@contextmanager
def own(folder: StateFolder) -> Iterator[None]:
    """Hold the folder. BusyError naming the daemon that holds it already.

    The kernel lets go of the lock when the process ends, however that happens.
    """
    path = folder.path / "serve.lock"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise make("permission", f"cannot open {path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(lock, 200, 0).decode(errors="replace").strip() or "another process"
            raise BusyError(
                f"{folder.path} is served already ({owner})", hint="one daemon a state folder"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)
