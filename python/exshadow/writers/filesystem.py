"""``filesystem``: a mounted Linux file system, frozen by FIFREEZE or only synced.

While it is frozen every write to it waits in the kernel, whoever writes: exshadow's own files must
lie elsewhere, which is checked. A freeze outlives the process that made it; ``rescue()`` lifts it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from exshadow.errors import InvalidError, RefusedError
from exshadow.vss import (
    ComponentMetadata,
    FileSet,
    HResult,
    SourceType,
    UsageType,
    Writer,
    WriterCall,
    WriterMetadata,
    failure,
)
from exshadow.writers.arguments import choice, seconds

# linux/fs.h: _IOWR('X', 119, int), _IOWR('X', 120, int)
FIFREEZE = 0xC0045877
FITHAW = 0xC0045878
_MODES = ("freeze", "sync")


class FilesystemWriter(Writer):
    """``mount``: where it is mounted. ``mode``: ``freeze``, or ``sync`` where a freeze is not
    wanted: then the copy is what a power cut would leave, with everything written before it.
    ``limit``: longest freeze (10 s; at most 60)."""

    writer_id = UUID("6d4f6f0e-8a51-4b8d-9f53-2c7b3f1e6a01")
    name = "filesystem"
    usage = UsageType.USER_DATA
    source = SourceType.OTHER

    def __init__(self, mount: str, mode: str = "freeze", limit: str | float = 10) -> None:
        self.mount = Path(mount).resolve()
        self.instance_name = str(self.mount)
        self.mode = choice("mode", mode, _MODES)
        self.consistency = "filesystem" if self.mode == "freeze" else "crash"
        self.freeze_limit = seconds("limit", limit, most=60)
        self._lock = threading.Lock()
        self._frozen = False
        if not self.mount.is_mount():
            raise InvalidError(
                f"{mount} is not where a file system is mounted", hint="name its mount point"
            )
        if self.mode == "freeze":
            _refuse_own_ground(self.mount)

    def identify(self) -> WriterMetadata:
        files = [FileSet(str(self.mount), "*", recursive=True)]
        component = ComponentMetadata("files", str(self.mount), files=files)
        return WriterMetadata(self.writer_id, self.name, components=[component])

    def on_prepare_snapshot(self, call: WriterCall) -> None:
        """Most of what is dirty goes out here, so that the freeze is short."""
        with _opened(self.mount) as descriptor:
            _sync(descriptor, self.mount)

    def on_freeze(self, call: WriterCall) -> None:
        if self.mode == "sync":
            with _opened(self.mount) as descriptor:
                _sync(descriptor, self.mount)
            return
        with self._lock, _opened(self.mount) as descriptor:
            if call.abandoned():
                return  # the thaw has been already
            _freeze(descriptor, self.mount)
            self._frozen = True

    def on_thaw(self, call: WriterCall) -> None:
        # A freeze still under way holds the lock: the thaw comes right behind it.
        with self._lock:
            if self._frozen:
                self._frozen = False
                _thaw(self.mount)

    def rescue(self) -> None:
        if self.mode == "freeze":
            _thaw(self.mount)


def _refuse_own_ground(mount: Path) -> None:
    device = mount.stat().st_dev
    own = {
        "/": "the system",
        tempfile.gettempdir(): "temporary files",
        str(Path.cwd()): "this process",
    }
    if state := os.environ.get("EXSHADOW_STATE"):
        own[state] = "the state folder"
    for place, what in own.items():
        with contextlib.suppress(OSError):
            if Path(place).stat().st_dev == device:
                raise RefusedError(
                    f"freezing {mount} would freeze {what} ({place}), and exshadow with it",
                    hint=f"use filesystem?mount={mount}&mode=sync",
                )


@contextlib.contextmanager
def _opened(mount: Path) -> Iterator[int]:
    descriptor = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sync(descriptor: int, mount: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise failure(
            HResult.VSS_E_WRITERERROR_RETRYABLE, f"cannot sync {mount}: {os.strerror(number)}"
        )


def _freeze(descriptor: int, mount: Path) -> None:
    try:
        fcntl.ioctl(descriptor, FIFREEZE, 0)
    except OSError as problem:
        raise failure(_code(problem), f"cannot freeze {mount}: {problem.strerror}") from problem


def _code(problem: OSError) -> HResult:
    """Frozen by somebody else passes; a file system without freezing, or no right to, does not."""
    if problem.errno == errno.EBUSY:
        return HResult.VSS_E_WRITERERROR_RETRYABLE
    return HResult.VSS_E_WRITERERROR_NONRETRYABLE


def _thaw(mount: Path) -> None:
    """Nothing frozen is no error."""
    with _opened(mount) as descriptor:
        try:
            fcntl.ioctl(descriptor, FITHAW, 0)
        except OSError as problem:
            if problem.errno != errno.EINVAL:
                raise
