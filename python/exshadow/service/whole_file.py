"""A text into a file that somebody names: whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Durable. Who reads the old one reads it to its end; a link stays, and what it leads to is
    replaced. A device, a pipe or an open file without a name is no file to be replaced: it is
    written to. OSError."""
    if _is_special(path):  # as it is named: what /dev/stdout leads to has no path
        with path.open("w", encoding="utf-8") as file:
            file.write(text)
        return
    target = path.resolve()
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _is_special(path: Path) -> bool:
    try:
        kind = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)) or is_nameless(path)


def is_nameless(path: Path) -> bool:
    """Whether it is an open file that has no name any more: ``/dev/fd/3`` of a deleted one."""
    return path.exists() and not path.resolve().exists()
