"""Work in another thread that has this one make some of its calls.

Ctrl-C is heard by the main thread alone. What it must be able to stop, a check that takes an hour
say, has to run there, though it is asked for in the middle of something else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

from exshadow.errors import CancelledError

T = TypeVar("T")
_SLICE = 0.5  # seconds, so that signals are heard
_LEAVE = 60.0  # seconds that the work has to end when it was told to

Ask = Callable[[Callable[[], bool]], bool]
"""Has the thread that waits make the call; from the work's own threads."""
_Turn = tuple[Callable[[], bool], Future[bool]]


def take_turns(work: Callable[[Ask], T], leave: Callable[[], None]) -> T:
    """What `work` gives, its calls by Ask made here meanwhile. When this thread is interrupted
    `leave` must make the work end; then it is waited for."""
    turns: SimpleQueue[_Turn | None] = SimpleQueue()
    end: Future[T] = Future()
    asked: list[Future[bool]] = []

    def ask(call: Callable[[], bool]) -> bool:
        answer: Future[bool] = Future()
        asked.append(answer)
        turns.put((call, answer))
        return answer.result()

    def at_work() -> None:
        try:
            end.set_result(work(ask))
        except BaseException as problem:
            end.set_exception(problem)
        turns.put(None)

    thread = threading.Thread(target=at_work, daemon=True)
    thread.start()
    try:
        while not end.done():
            _make_next(turns)
    except BaseException:
        leave()
        for answer in asked:  # nobody makes these calls any more
            if not answer.done():
                answer.set_exception(CancelledError("interrupted"))
        thread.join(_LEAVE)
        raise
    return end.result()


def _make_next(turns: SimpleQueue[_Turn | None]) -> None:
    """None says that there is nothing to make any more."""
    try:
        turn = turns.get(timeout=_SLICE)
    except Empty:
        return
    if turn is None:
        return
    call, answer = turn
    try:
        answer.set_result(call())
    except Exception as problem:
        answer.set_exception(problem)
