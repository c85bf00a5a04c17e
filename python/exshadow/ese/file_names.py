"""What the name of an ESE file says: role, base name and generation (fact sheet, 1 and 8.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

Role = Literal["log", "next_log", "reserve", "checkpoint", "flushmap", "stm", "database", "other"]

_LOG = re.compile(r"^(?P<base>[a-z0-9_]{3})(?P<digits>[0-9a-f]{5}|[0-9a-f]{8})?\.(log|jtx)$", re.I)
_NEXT = re.compile(r"^[a-z0-9_]{3}tmp\.(log|jtx)$", re.I)
_RESERVE = re.compile(r"^(res[12]\.log|[a-z0-9_]{3}res\d{5}\.jrs)$", re.I)
_CHECKPOINT = re.compile(r"^(?P<base>[a-z0-9_]{3})\.(chk|jcp)$", re.I)
_DATABASES = {".edb", ".dat", ".db", ".mdb", ".sdb", ".dit", ".pat"}


@dataclass(frozen=True, slots=True)
class NamedFile:
    """``generation`` None in a log: the current one."""

    role: Role
    base: str = ""
    generation: int | None = None


def from_name(path: str) -> NamedFile:
    """What the name alone says; the content decides in the end."""
    name = PurePath(path).name
    if _NEXT.match(name):
        return NamedFile("next_log")
    if _RESERVE.match(name):
        return NamedFile("reserve")
    if found := _LOG.match(name):
        digits = found["digits"]
        return NamedFile("log", found["base"], int(digits, 16) if digits else None)
    if found := _CHECKPOINT.match(name):
        return NamedFile("checkpoint", found["base"])
    suffix = PurePath(name).suffix.lower()
    if suffix in (".jrs",):
        return NamedFile("reserve")
    if suffix in (".log", ".jtx"):
        return NamedFile("log")
    if suffix in (".chk", ".jcp"):
        return NamedFile("checkpoint")
    if suffix == ".jfm":
        return NamedFile("flushmap")
    if suffix == ".stm":
        return NamedFile("stm")
    return NamedFile("database" if suffix in _DATABASES else "other")
