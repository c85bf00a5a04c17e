"""Two processes over one socket: every question is answered, whatever came of it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from exshadow.errors import ClosedError, Error
from exshadow.vss.peer import Handler, Peer


@contextmanager
def asking(handle: Handler) -> Iterator[Peer]:
    here, there = socket.socketpair()
    with here, there:
        mine, theirs = Peer(here, lambda op, args: None), Peer(there, handle)
        threads = [threading.Thread(target=one.serve) for one in (mine, theirs)]
        for one in threads:
            one.start()
        yield mine
        mine.close()
        for one in threads:
            one.join(10)


@pytest.mark.parametrize("answer", [object(), {1, 2}, b"bytes", {"deep": [object()]}])
@pytest.mark.timeout(20)
def test_an_answer_that_json_cannot_hold_is_an_error_and_no_silence(answer):
    with asking(lambda op, args: answer) as peer, pytest.raises(Error, match="TypeError"):
        peer.call("what")


def test_a_question_that_json_cannot_hold_is_not_asked():
    with asking(lambda op, args: len(args)) as peer:
        with pytest.raises(TypeError):
            peer.call("what", object())
        assert peer.call("count", 1, 2) == 2


def test_who_waits_hears_that_the_other_side_is_gone():
    closing = threading.Event()

    def handle(op: str, args: list[object]) -> None:
        closing.wait(10)

    with asking(handle) as peer:
        threading.Timer(0.2, peer.close).start()
        with pytest.raises(ClosedError):
            peer.call("what")
        closing.set()
