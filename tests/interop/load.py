"""Clients that commit all the time and note, outside the server, what was asked and answered when.

A transaction adds the client's next number to two tables and counts it in a third. A copy is right
when each client's numbers go from 1 to some last one in all three, when everything answered before
the snapshot is there, and when the last ones of all clients can have been the last at one instant.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

Commit = Callable[[int, int], None]
"""One transaction of a client, by number; returns when the server has answered."""
Connect = Callable[[], AbstractContextManager[Commit]]

TABLES = (
    "CREATE TABLE alpha (client INT, number INT, filler TEXT, PRIMARY KEY (client, number))",
    "CREATE TABLE omega (client INT, number INT, filler TEXT, PRIMARY KEY (client, number))",
    "CREATE TABLE total (client INT PRIMARY KEY, number INT)",
)
FILLER = "x" * 300


def transaction(client: int, number: int) -> list[str]:
    """Its statements."""
    return [
        f"INSERT INTO alpha VALUES ({client}, {number}, '{FILLER}')",
        f"UPDATE total SET number = number + 1 WHERE client = {client}",
        f"INSERT INTO omega VALUES ({client}, {number}, '{FILLER}')",
    ]


LAST = (
    "SELECT client, MAX(number), COUNT(*) FROM alpha GROUP BY client",
    "SELECT client, MAX(number), COUNT(*) FROM omega GROUP BY client",
    "SELECT client, number, number FROM total",
)


@dataclass
class Book:
    """One client's transactions, the first has number 1: when each was begun and answered."""

    begun: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    error: Exception | None = None


class Load:
    """The clients; their books are kept over restarts of the server. `pause`: seconds between two
    transactions of one."""

    def __init__(self, clients: int = 3, pause: float = 0.0) -> None:
        self.pause = pause
        self.books = [Book() for _ in range(clients)]

    @contextmanager
    def running(self, connect: Connect, *, may_fail: bool = False) -> Iterator[None]:
        """All of them commit until the block is left. `may_fail`: the server is going to die."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=self._run, args=(number, connect, stop))
            for number in range(len(self.books))
        ]
        for thread in threads:
            thread.start()
        try:
            yield
            failed = [book.error for book in self.books if book.error]
            assert may_fail or not failed, failed
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
        assert not any(thread.is_alive() for thread in threads)

    def _run(self, client: int, connect: Connect, stop: threading.Event) -> None:
        book = self.books[client]
        del book.begun[len(book.answered) :]
        book.error = None
        try:
            with connect() as commit:
                while not stop.is_set():
                    book.begun.append(time.monotonic())
                    commit(client, len(book.begun))
                    book.answered.append(time.monotonic())
                    time.sleep(self.pause)
        except Exception as error:
            book.error = error

    def answered(self) -> list[int]:
        return [len(book.answered) for book in self.books]

    def begun(self) -> list[int]:
        return [len(book.begun) for book in self.books]

    def longest(self, begin: float, end: float) -> float:
        """Seconds of the slowest transaction that was under way in that time."""
        return max(
            (
                (answered - begun)
                for book in self.books
                for begun, answered in zip(book.begun, book.answered, strict=False)
                if answered >= begin and begun <= end
            ),
            default=0.0,
        )

    def check(
        self, ask: Callable[[str], Sequence[Sequence[int]]], before: list[int], after: list[int]
    ) -> list[int]:
        """`ask` queries the copy; `before` was answered before the snapshot, `after` begun after
        it. Gives the last number of each client."""
        states = [{row[0]: tuple(row[1:]) for row in ask(query)} for query in LAST]
        last = []
        for client in range(len(self.books)):
            found = {state.get(client, (0, 0)) for state in states}
            (one,) = found  # all tables agree, or a transaction is there in part
            assert one[0] == one[1], f"client {client}: {one[1]} of {one[0]} are there"
            last.append(one[0])
            assert before[client] <= one[0] <= after[client], (before, last, after)
        self._is_one_instant(last)
        return last

    def _is_one_instant(self, last: list[int]) -> None:
        begun = max(
            book.begun[number - 1] for book, number in zip(self.books, last, strict=True) if number
        )
        for book, number in zip(self.books, last, strict=True):
            missing = book.answered[number : number + 1]
            assert not missing or missing[0] >= begun, "a later one is there, an earlier is not"


def prepare(do: Callable[[str], object], clients: int = 3) -> None:
    """The tables."""
    for statement in TABLES:
        do(statement)
    for client in range(clients):
        do(f"INSERT INTO total VALUES ({client}, 0)")
