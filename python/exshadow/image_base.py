"""Which snapshot an image outside the mirror holds: the record beside it.

Ceph's diff format v1 carries no checksum and names its base only by text, and a raw image has no
header. So what an image holds is kept in ``IMAGE.exshadow-base``, a JSON object written by rename:

    {"format": 1, "holds": ID|null, "importing": ID|null, "size": BYTES, "mtime_ns": NS|null}

* ``holds`` names the snapshot, ``null`` stands for nothing but zeroes.
* ``importing`` is set before the first byte of a diff is applied and cleared after the last one is
  durable. In between the image holds neither snapshot; only the same diff may be applied (again).
* ``size`` and ``mtime_ns`` are the image's when ``holds`` was true. Another size or time of a
  regular file means that somebody wrote to it since, or put another file there: it is not
  believed (fails closed; ``cp --preserve=timestamps`` and ``rsync -t`` keep the time). Devices have
  no such time.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from exshadow import errors

SUFFIX = ".exshadow-base"
_FORMAT = 1
_RECORD_LIMIT = 65536


@dataclass(frozen=True, slots=True)
class Base:
    """The record of one image; see the head of this file."""

    holds: str | None
    size: int
    mtime_ns: int | None
    importing: str | None = None


def record_path(image: Path) -> Path:
    """Where the record of `image` lies."""
    return image.with_name(image.name + SUFFIX)


def load(image: Path) -> Base | None:
    """The record, None when there is none. CorruptError when it cannot be understood."""
    path = record_path(image)
    try:
        with path.open("rb") as file:
            text = file.read(_RECORD_LIMIT + 1)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise errors.IoError(f"cannot read {path}: {problem.strerror}") from problem
    try:
        if len(text) > _RECORD_LIMIT:
            raise ValueError("too long")
        return _parse(json.loads(text))
    except (ValueError, KeyError, TypeError) as problem:
        raise errors.CorruptError(
            f"{path} is damaged: {problem}",
            hint="import a full VOLUME.img onto the image; that writes the record anew",
        ) from problem


def _parse(fields: dict[str, object]) -> Base:
    if fields["format"] != _FORMAT:
        raise ValueError(f"format {fields['format']} is not known")
    names = [fields["holds"], fields["importing"]]
    numbers = [fields["size"], 0 if fields["mtime_ns"] is None else fields["mtime_ns"]]
    if not all(name is None or isinstance(name, str) for name in names):
        raise ValueError("a name is not text")
    if not all(type(number) is int for number in numbers):
        raise ValueError("a size or time is not a number")
    return Base(
        holds=fields["holds"],  # type: ignore[arg-type]  # checked above
        size=fields["size"],  # type: ignore[arg-type]
        mtime_ns=fields["mtime_ns"],  # type: ignore[arg-type]
        importing=fields["importing"],  # type: ignore[arg-type]
    )


def store(image: Path, base: Base) -> None:
    """Replace the record; durable on return. IoError when that fails, the old one is kept then."""
    path = record_path(image)
    fresh = path.with_name(path.name + ".new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            json.dump({"format": _FORMAT, **asdict(base)}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        sync_folder(path.parent)
    except OSError as problem:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise errors.IoError(f"cannot write {path}: {problem.strerror}") from problem


def forget(image: Path) -> None:
    """Drop the record before the image is overwritten as a whole; durable on return."""
    try:
        record_path(image).unlink(missing_ok=True)
        sync_folder(image.parent)
    except OSError as problem:
        message = f"cannot remove {record_path(image)}: {problem.strerror}"
        raise errors.IoError(message) from problem


def describe(descriptor: int, holds: str | None) -> Base:
    """The record that is true for an open, flushed image which holds `holds` now."""
    state = os.fstat(descriptor)
    size = os.lseek(descriptor, 0, os.SEEK_END)
    return Base(holds, size, state.st_mtime_ns if stat.S_ISREG(state.st_mode) else None)


def begin(image: Path, descriptor: int, holds: str | None, importing: str) -> None:
    """Say durably that a diff is being applied from now on."""
    store(image, replace(describe(descriptor, holds), importing=importing))


def unchanged(base: Base, descriptor: int) -> bool:
    """Whether the open image is still the one the record was written for."""
    now = describe(descriptor, base.holds)
    return (now.size, now.mtime_ns) == (base.size, base.mtime_ns)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
