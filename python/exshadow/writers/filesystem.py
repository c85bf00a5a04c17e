"""``filesystem``: a mounted Linux file system, frozen by FIFREEZE or only synced.

While it is frozen every write to it waits in the kernel, whoever writes: exshadow's own files must
lie elsewhere, which is checked. A freeze outlives the process that made it; ``rescue()`` lifts it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from exshadow.errors import InvalidError, RefusedError
from exshadow.vss import (
    ApplicationLevel,
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
from exshadow.vss.places import superblock_of
from exshadow.writers.arguments import PLACES, choice, require_inside, seconds
from exshadow.writers.flush import opened, sync

# linux/fs.h: _IOWR('X', 119, int), _IOWR('X', 120, int)
FIFREEZE = 0xC0045877
FITHAW = 0xC0045878
_MODES = ("freeze", "sync")
_USUAL_STATE = "/var/lib/exshadow"


class FilesystemWriter(Writer):
    """``mount``: where it is mounted. ``mode``: ``freeze``, or ``sync`` where a freeze is not
    wanted: then the copy is what a power cut would leave, with everything written before it.
    ``limit``: longest freeze (10 s; at most 60). ``keep``: a folder that must not stand still,
    beside exshadow's own. ``places``: ``look`` whether it is of the set, or ``trust`` it."""

    writer_id = UUID("6d4f6f0e-8a51-4b8d-9f53-2c7b3f1e6a01")
    name = "filesystem"
    usage = UsageType.USER_DATA
    source = SourceType.OTHER
    level = ApplicationLevel.SYSTEM  # frozen behind applications, whose last writes go to it

    def __init__(
        self,
        mount: str,
        mode: str = "freeze",
        limit: str | float = 10,
        keep: str | Sequence[str] = (),
        places: str = "look",
    ) -> None:
        self.mount = Path(mount).resolve()
        self.instance_name = str(self.mount)
        self.mode = choice("mode", mode, _MODES)
        self.places = choice("places", places, PLACES)
        self.consistency = "filesystem" if self.mode == "freeze" else "crash"
        self.freeze_limit = seconds("limit", limit, most=60)
        self._lock = threading.Lock()
        self._frozen = False
        if not self.mount.is_mount():
            raise InvalidError(
                f"{mount} is not where a file system is mounted", hint="name its mount point"
            )
        if self.mode == "freeze":
            _refuse_own_ground(self.mount, [keep] if isinstance(keep, str) else keep)

    def identify(self) -> WriterMetadata:
        files = [FileSet(str(self.mount), "*", recursive=True)]
        component = ComponentMetadata("files", str(self.mount), files=files)
        return WriterMetadata(self.writer_id, self.name, components=[component])

    def on_prepare_snapshot(self, call: WriterCall) -> None:
        """Most of what is dirty goes out here, so that the freeze is short. A set without it is
        refused: it would be called consistent for a freeze of something else."""
        if self.places == "look":
            require_inside(call, [str(self.mount)])
        with opened(self.mount) as descriptor:
            sync(descriptor, self.mount)

    def on_freeze(self, call: WriterCall) -> None:
        if self.mode == "sync":
            with opened(self.mount) as descriptor:
                sync(descriptor, self.mount)
            return
        with self._lock, opened(self.mount) as descriptor:
            if call.abandoned():
                return  # the thaw has been already
            _freeze(descriptor, self.mount)
            self._frozen = True

    def on_thaw(self, call: WriterCall) -> None:
        # A freeze still under way holds the lock: the thaw comes right behind it.
        with self._lock:
            if not self._frozen:
                return
            self._frozen = False
            if not _thaw(self.mount) and not call.abandoned():
                raise failure(
                    HResult.VSS_E_WRITERERROR_RETRYABLE,
                    f"{self.mount} was thawed by somebody else: what was written since may be "
                    "half in the snapshot",
                )

    def on_abort(self, call: WriterCall) -> None:
        with self._lock:
            if self._frozen:
                self._frozen = False
                _thaw(self.mount)

    def rescue(self) -> None:
        if self.mode == "freeze":
            _thaw(self.mount)


def _refuse_own_ground(mount: Path, keep: Sequence[str]) -> None:
    """Where exshadow would wait for itself. Told by the superblock: that is what is frozen."""
    frozen = superblock_of(mount)
    own = {
        "/": "the system",
        tempfile.gettempdir(): "temporary files",
        str(Path.cwd()): "this process",
        os.environ.get("EXSHADOW_STATE", _USUAL_STATE): "the state folder",
    }
    for place, what in {**dict.fromkeys(filter(None, keep), "what a set needs"), **own}.items():
        if superblock_of(Path(place)) == frozen:
            raise RefusedError(
                f"freezing {mount} would freeze {what} ({place}), and exshadow with it",
                hint=f"use filesystem?mount={mount}&mode=sync",
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


def _thaw(mount: Path) -> bool:
    """Whether it was frozen."""
    with opened(mount) as descriptor:
        try:
            fcntl.ioctl(descriptor, FITHAW, 0)
        except OSError as problem:
            if problem.errno != errno.EINVAL:
                raise
            return False
    return True
