"""Bytes from a copy back to its volume, where the provider cannot revert."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from exshadow.errors import BusyError, from_system

_PIECE = 1 << 20
_FSCTL_LOCK_VOLUME = 0x00090018
_FSCTL_DISMOUNT_VOLUME = 0x00090020


def place(devices: str, name: str) -> str:
    """Where a device is opened: below ``devices``, or by its own name."""
    if not devices:
        return name
    return str(Path(devices) / name.replace("\\", "/").strip("/").replace("/", "_"))


def copy_back(source: str, target: str) -> int:
    """Write what differs and make it durable; bytes written. The volume is locked and dismounted:
    BusyError while somebody has files open on it."""
    written = 0
    try:
        with Path(source).open("rb", buffering=0) as copy, _locked(target) as volume:
            offset = 0
            while piece := copy.read(_PIECE):
                volume.seek(offset)
                if volume.read(len(piece)) != piece:
                    volume.seek(offset)
                    _write(volume, piece)
                    written += len(piece)
                offset += len(piece)
            os.fsync(volume.fileno())
    except OSError as problem:
        raise from_system(problem, f"cannot copy {source} to {target}") from problem
    return written


def _write(volume: BinaryIO, piece: bytes) -> None:
    """All of it: a file without a buffer may take less than it is given."""
    left = memoryview(piece)
    while left:
        left = left[volume.write(left) :]


@contextlib.contextmanager
def _locked(target: str) -> Iterator[BinaryIO]:
    with Path(target).open("r+b", buffering=0) as volume:
        if os.name == "nt":
            _lock_volume(volume, target)
        yield volume


def _lock_volume(volume: BinaryIO, target: str) -> None:
    """Not tried on a real Windows yet: the calls are those of its documentation."""
    import ctypes
    import msvcrt

    handle = msvcrt.get_osfhandle(volume.fileno())  # type: ignore[attr-defined]
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    done = ctypes.c_ulong()
    for code in (_FSCTL_LOCK_VOLUME, _FSCTL_DISMOUNT_VOLUME):
        if not kernel.DeviceIoControl(
            ctypes.c_void_p(handle), code, None, 0, None, 0, ctypes.byref(done), None
        ):
            raise BusyError(
                f"{target} cannot be locked: something has files open on it",
                hint="stop the application, then repeat",
            )
