"""Opening images and devices outside the engine: checked, locked, errors translated."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from exshadow import errors


@contextlib.contextmanager
def opened(path: Path, *, writable: bool, create_size: int | None = None) -> Iterator[int]:
    """Open an image or device, locked against the engine and other imports (as engine.md E8).

    With `create_size` a missing or empty file becomes one of that many zeroes.
    """
    flags = os.O_CLOEXEC | (os.O_RDWR if writable else os.O_RDONLY)
    with errors_as_io(f"opening {path}"):
        if path.is_dir() or (path.exists() and not (path.is_file() or path.is_block_device())):
            raise errors.InvalidError(f"{path} is neither a file nor a block device")
        if create_size is not None and not path.exists():
            flags |= os.O_CREAT
        if writable and path.is_block_device():
            flags |= os.O_EXCL
        descriptor = os.open(path, flags, 0o600)
    try:
        with errors_as_io(f"locking {path}"):
            fcntl.flock(descriptor, (fcntl.LOCK_EX if writable else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        if create_size is not None and stat.S_ISREG(os.fstat(descriptor).st_mode):
            with errors_as_io(f"growing {path}"):
                if os.fstat(descriptor).st_size == 0:
                    os.ftruncate(descriptor, create_size)
        yield descriptor
    finally:
        os.close(descriptor)


def check_size(image: Path, descriptor: int, size: int) -> None:
    """A file must have exactly `size` bytes, a device at least as many."""
    actual = os.lseek(descriptor, 0, os.SEEK_END)
    regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    if actual < size or (regular and actual != size):
        raise errors.InvalidError(
            f"{image} has {actual} bytes, what is imported has {size}",
            hint="name the image of that volume, or a new file",
        )


@contextlib.contextmanager
def errors_as_io(doing: str) -> Iterator[None]:
    """Turn the system's errors into exshadow's; IoError where no other class fits."""
    try:
        yield
    except errors.Error:
        raise
    except OSError as problem:
        raise errors.from_system(problem, doing) from problem
