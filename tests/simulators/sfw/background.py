"""Commands with ``-b`` that really work in the background, when the world's ``background_seconds``
is above 0: they end with 0 at once, and for so long nothing shows. So do those with a word of the
world's ``late``, whatever their options: a list that is behind. What they are refused for then,
nobody hears (it is in ``unheard``). *Imagined*: how long, and that they judge nothing before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from simulators.sfw.words import Line
from simulators.sfw.world import Refused, World

Program = Callable[[World, Line, str], str]


def put_off(world: World, program: str, words: list[str], fault: str) -> bool:
    """Whether the command is one that works later."""
    lasting = world.state.get("background_seconds", 0.0)
    behind = set(words) & {"-b", *world.state.get("late", [])}
    if not behind or not lasting:
        return False
    one = {"at": time.time() + lasting, "program": program, "words": words, "fault": fault,
           "host": world.host}  # fmt: skip
    world.state.setdefault("pending", []).append(one)
    return True


def work(world: World, programs: Mapping[str, Program]) -> None:
    """What is due, in the order in which it was asked for."""
    pending = world.state.get("pending", [])
    for one in [one for one in pending if one["at"] <= time.time()]:
        pending.remove(one)
        host, world.host = world.host, one["host"]
        try:
            programs[one["program"]](world, Line(one["program"], one["words"]), one["fault"])
        except Refused as refusal:
            world.state.setdefault("unheard", []).append(refusal.text)
        finally:
            world.host = host
