"""What the kernel still keeps in memory of a file system, brought to its disk: a copy of blocks has
only that."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

from exshadow.vss import HResult, failure


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[int]:
    """A descriptor of a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync(descriptor: int, folder: Path) -> None:
    """All of the file system that `folder` lies on; a retryable WriterFailure when it cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise failure(
            HResult.VSS_E_WRITERERROR_RETRYABLE, f"cannot sync {folder}: {os.strerror(number)}"
        )
