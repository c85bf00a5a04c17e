"""What the files of a set's copies are now: a good verdict is about the very bytes it saw, so it
ends when one of them is written, replaced or gone."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable
from pathlib import Path

from exshadow.model import Member, SetRecord, Verification

_AS_THEY_WERE = ("ready", "restoring")  # states in which nothing has written to the copies


def describe(members: Iterable[Member]) -> str:
    """Inode, size and time of the last write of each copy, as text; empty when one is not there.

    A block device has no time of its last write: of one only the path and size are known.
    """
    found: dict[str, list[int | str]] = {}
    for member in members:
        try:
            status = Path(member.path).stat()
        except OSError:
            return ""
        if stat.S_ISREG(status.st_mode):
            found[member.volume] = [status.st_ino, status.st_size, status.st_mtime_ns]
        else:
            found[member.volume] = [member.path, member.size]
    return json.dumps(found, sort_keys=True)


def standing(one: SetRecord) -> tuple[Verification, ...]:
    """The verdicts of `one` that still hold: bad ones do; good ones while the copies are those
    they were given for. Verdicts of before copies were described hold while the set is ready."""
    if all(not verdict.ok for verdict in one.checks):
        return one.checks
    now = describe(one.members)
    untouched = one.state in _AS_THEY_WERE
    return tuple(
        verdict
        for verdict in one.checks
        if not verdict.ok or (untouched and verdict.copies in ("", now))
    )
