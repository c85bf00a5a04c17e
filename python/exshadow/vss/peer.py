"""Two processes that call each other over one socket: JSON, one message a line.

``{"id": 1, "op": "call", "args": [...]}`` asks; ``{"re": 1, "result": ...}`` or ``{"re": 1,
"error": {"code", "message", "hint", "hresult"}}`` answers. Every question has a thread of its own,
so that a step can be cancelled while another thread waits for it. When the other side dies, the
kernel closes its end: everything that waits for it fails at once.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

from exshadow.errors import ClosedError, Error
from exshadow.vss.errors import VssError, make
from exshadow.vss.plain import Plain
from exshadow.vss.writer import text_of

Handler = Callable[[str, list[Plain]], Plain]


class _Question:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.result: Plain = None
        self.error: Error | None = None


class Peer:
    """One end. `handle` answers the other side's questions, each on a thread of its own; `why`
    says what became of the other side when it is gone, None when that is not known."""

    def __init__(
        self, end: socket.socket, handle: Handler, why: Callable[[], Error | None] = lambda: None
    ) -> None:
        self._end = end
        self._handle = handle
        self._why = why
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._open: dict[int, _Question] | None = {}  # None: the other side is gone
        self._left = False  # in a child of fork(), which has no thread that reads
        self._ids = itertools.count(1)
        _peers.add(self)

    def call(self, op: str, *args: Plain) -> Plain:
        """Ask and wait for the answer; ClosedError when the other side is gone."""
        if self._left:
            raise ClosedError(
                "the coordinator belongs to the parent process", hint="make a new one after fork"
            )
        question = _Question()
        number = next(self._ids)
        asked = _line({"id": number, "op": op, "args": list(args)})
        with self._lock:
            here = self._open is not None
            if self._open is not None:
                self._open[number] = question
        if not here:
            raise self._gone()
        self._send(asked)
        while not question.done.wait(0.5):  # in slices, so that signals are heard
            pass
        if question.error is not None:
            raise question.error
        return question.result

    def serve(self) -> None:
        """Read until the other side is gone; then everything that waits fails."""
        try:
            with self._end.makefile("rb") as lines:
                for line in lines:
                    self._take(json.loads(line))
        except (OSError, ValueError):
            pass  # cut off in the middle: gone all the same
        with self._lock:
            waiting, self._open = self._open or {}, None
        for question in waiting.values():
            question.error = self._gone()
            question.done.set()

    def _gone(self) -> Error:
        return self._why() or ClosedError(
            "the process with the coordinator is gone: what it had begun is aborted",
            hint="begin again with a new coordinator",
        )

    @property
    def left_to_parent(self) -> bool:
        """Whether this is a child of fork(): the other side belongs to the parent."""
        return self._left

    def leave(self) -> None:
        """In a child of fork(): only the parent's end is to keep the other side alive."""
        self._left = True
        end = self._end.detach()
        if end >= 0:
            os.close(end)

    def close(self) -> None:
        """Hang up. May be repeated."""
        if self._left:
            return
        with suppress(OSError):  # the other side was faster
            self._end.shutdown(socket.SHUT_RDWR)

    def _take(self, message: dict[str, Plain]) -> None:
        if "op" in message:
            threading.Thread(target=self._answer, args=(message,), daemon=True).start()
            return
        with self._lock:
            question = (self._open or {}).pop(message["re"], None)
        if question is None:
            return
        if "error" in message:
            question.error = error_of(message["error"])
        else:
            question.result = message["result"]
        question.done.set()

    def _answer(self, message: dict[str, Plain]) -> None:
        try:
            result = self._handle(message["op"], message["args"])
            answer = _line({"re": message["id"], "result": result})  # what JSON cannot hold is told
        except BaseException as error:
            answer = _line({"re": message["id"], "error": plain_error(error)})
        self._send(answer)

    def _send(self, line: bytes) -> None:
        try:
            with self._sending:
                self._end.sendall(line)
        except OSError:
            self.close()  # serve() sees it and fails who waits


_peers: weakref.WeakSet[Peer] = weakref.WeakSet()


def _leave_all() -> None:
    for peer in list(_peers):
        peer.leave()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_leave_all)


def _line(message: dict[str, Plain]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def error_of(plain: dict[str, Plain] | None) -> Error | None:
    """The exception of what plain_error made; None for None."""
    return None if plain is None else make(**plain)


def plain_error(error: BaseException) -> dict[str, Plain]:
    """An exception as JSON can hold it."""
    if isinstance(error, Error):
        hresult = int(error.hresult) if isinstance(error, VssError) else 0
        return {
            "code": error.code, "message": error.message, "hint": error.hint, "hresult": hresult
        }  # fmt: skip
    return {"code": "internal", "message": text_of(error), "hint": "", "hresult": 0}
