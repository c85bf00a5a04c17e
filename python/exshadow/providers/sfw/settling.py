"""The wait after a command: what it began is looked for, its return ends nothing.

A command with ``-b`` works in the background: for a while the state is as if nobody had given it.
Whoever takes that for a failure undoes, or gives again, what is under way. So the state is read
until it shows what was begun, or ``settle_seconds`` are over.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from exshadow.providers.sfw.look import Ground
from exshadow.providers.sfw.product import Said

_FIRST = 0.02
_LONGEST = 5.0

Shows = Callable[[], bool]
"""Whether what was begun is there; reads the state anew at every call."""


def settled(ground: Ground, shows: Shows) -> bool:
    """Look until it shows; False after ``settle_seconds`` without it."""
    deadline = time.monotonic() + ground.settings.settle_seconds
    pause = _FIRST
    while not shows():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(pause * 1.7, _LONGEST)
    return True


def effect(ground: Ground, said: Said, shows: Shows, *, background: bool = False) -> bool:
    """Whether the command's effect shows in time. One that ended and said no is not waited for,
    but for one look; in the background it is: an earlier one, whose giver was killed, may be what
    it refuses for, and nobody knows what its status tells there."""
    if said.status and not background:
        return shows()
    return settled(ground, shows)


def ensure(
    ground: Ground, said: Said, shows: Shows, found: str, *, background: bool = False
) -> None:
    """The command's error, with ``found`` and how long it was looked for, when nothing shows."""
    if effect(ground, said, shows, background=background):
        return
    waited = background or not said.status
    raise said.error(f"{found}{lookout(ground) if waited else ''}")


def lookout(ground: Ground) -> str:
    """How long was looked, for people."""
    return f" after {ground.settings.settle_seconds:g} s"
