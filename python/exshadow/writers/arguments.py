"""Arguments of writers: text, as the command line and a guard give them."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from exshadow.errors import InvalidError, NotFoundError
from exshadow.names import parse_duration
from exshadow.vss import HResult, WriterCall, failure


def seconds(name: str, text: str | float, *, most: float) -> float:
    """A time such as ``20``, ``0.5`` or ``2m``; InvalidError above what the event can have."""
    try:
        value = float(text)
    except ValueError:
        value = float(parse_duration(str(text), name))
    if not 0 < value <= most:
        raise InvalidError(
            f"{name} of {text} is not between 0 and {most:g} s",
            hint=f"write seconds, or a time such as 20s: {name}=20",
        )
    return value


def choice(name: str, text: str, known: tuple[str, ...]) -> str:
    """One of the words; InvalidError names them."""
    if text not in known:
        raise InvalidError(f"{name}={text!r} is not known", hint=f"use one of: {', '.join(known)}")
    return text


def checked_port(text: str | int) -> int:
    """A TCP port; InvalidError for what is none."""
    words = str(text).strip()
    if not (words.isascii() and words.isdecimal() and 0 < int(words) < 1 << 16):
        raise InvalidError(f"port={str(text)!r} is no port", hint="write a number from 1 to 65535")
    return int(words)


PLACES = ("look", "trust")
"""Of ``places``: look where the data lies, or trust that it lies in the set."""


def require_inside(call: WriterCall, paths: Iterable[str]) -> None:
    """The writer's failure when data lies outside the set: nothing of it would be copied."""
    if outside := [one for one in paths if call.is_path_outside(one)]:
        raise failure(
            HResult.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT,
            f"not in the set, which would copy nothing of it: {', '.join(outside)}; where exshadow "
            "cannot see that it is, say places=trust",
        )


def existing(pattern: str) -> list[Path]:
    """The files that a path or glob pattern names, at least one. A file of that very name counts
    first: ``orders[1].db`` is a name as well."""
    if Path(pattern).is_file():
        return [Path(pattern)]
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 (absolute patterns)
    found = sorted(path for path in map(Path, names) if not path.is_dir())
    if not found:
        raise NotFoundError(
            f"{pattern} names no file",
            hint="write its full path, or a pattern that some file matches: path=/srv/*.db",
        )
    return found
