"""Ctrl-C and SIGTERM: the first stops the work and leaves a state that can be continued."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_HEARD = (signal.SIGINT, signal.SIGTERM)
_count = 0


def install() -> None:
    """Make both signals raise KeyboardInterrupt once; a third one leaves at once.

    Leaving at once is safe, if less tidy: the engine survives a kill at any moment. A shell script
    starts its background jobs with SIGINT ignored; one sent on purpose is obeyed all the same.
    """
    global _count
    _count = 0
    for number in _HEARD:
        signal.signal(number, _interrupt)


@contextmanager
def installed() -> Iterator[None]:
    """The same while one command runs: who called it in his process has his handlers back."""
    before = {number: signal.getsignal(number) for number in _HEARD}
    install()
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that C code installed
                signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    global _count
    _count += 1
    if _count == 1:
        raise KeyboardInterrupt
    if _count == 2:
        os.write(2, b"exshadow: stopping; once more leaves at once\n")
    else:
        os._exit(130)
