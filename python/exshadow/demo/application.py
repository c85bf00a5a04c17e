"""The application: real SQLite transactions whose changed pages go through the volume.

SQLite works on a staged copy of the database file. After each commit the pages that differ from
what the volume has are written at the places where the file's blocks lie in the file system, and
flushed. The file keeps its size (free pages are made in advance, ``max_page_count`` holds it), so
the file system's own metadata never changes. Between two commits the volume holds a sound database:
:meth:`Application.frozen` keeps it there, as a VSS writer does round a split.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from exshadow.demo.ext4 import BLOCK
from exshadow.errors import IntegrityError

Pages = npt.NDArray[np.uint64]
_BODY = 850  # bytes: four rows a page, no overflow pages that an integrity check would not read
_SCHEMA = """
CREATE TABLE message (id INTEGER PRIMARY KEY, sender TEXT, subject TEXT, body BLOB);
CREATE INDEX message_sender ON message (sender);
"""


def build_database(path: Path, rows: int) -> None:
    """A database of about 1.1 KiB a row, a fifth of its pages free for later growth."""
    chooser = random.Random(rows)
    with closing(_connect(path)) as database:
        database.executescript(_SCHEMA)
        database.execute("BEGIN")
        database.executemany(_INSERT, (_message(chooser) for _ in range(rows)))
        database.execute("COMMIT")  # all pages are written before some are freed
        database.execute("DELETE FROM message WHERE id > ?", (rows * 4 // 5,))


_INSERT = "INSERT INTO message (sender, subject, body) VALUES (?, ?, ?)"


def _message(chooser: random.Random) -> tuple[str, str, bytes]:
    sender = f"user{chooser.randrange(1000)}@example.org"
    return sender, f"subject {chooser.randrange(1 << 30)}", chooser.randbytes(_BODY)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # secure_delete off: freed pages keep bytes, so mke2fs -d makes no holes of them
    for pragma in ("page_size=4096", "secure_delete=OFF", "journal_mode=MEMORY", "synchronous=OFF"):
        database.execute(f"PRAGMA {pragma}").fetchall()
    return database


def judge_database(path: Path) -> tuple[bool, str]:
    """Whether ``PRAGMA integrity_check`` finds nothing wrong, and what it says."""
    try:
        with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as database:
            found = [row[0] for row in database.execute("PRAGMA integrity_check(20)")]
    except sqlite3.DatabaseError as problem:
        return False, f"integrity_check: {problem}"
    if found == ["ok"]:
        return True, "integrity_check: ok"
    lines = [line for text in found for line in str(text).splitlines()]
    return False, f"integrity_check: {len(lines)} findings"


class Application:
    """Writes transactions, by hand or from a thread of its own while it is entered.

    `write_page(page number from 0, bytes)` and `flush()` reach the volume.
    """

    def __init__(
        self, database: Path, write_page: Callable[[int, bytes], None], flush: Callable[[], None]
    ) -> None:
        self._path = database
        self._write_page, self._flush = write_page, flush
        self._chooser = random.Random(1)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.transactions = 0
        self.pages_written = 0
        self._on_volume = _read_pages(database)
        self._database = _connect(database)
        self._database.execute(f"PRAGMA max_page_count={len(self._on_volume)}").fetchall()

    def transact(self) -> None:
        """One transaction, from BEGIN to the flush of the volume."""
        with self._lock:
            self._change()
            now = _read_pages(self._path)
            if len(now) != len(self._on_volume):
                raise IntegrityError(f"{self._path} changed its size")
            for page in np.flatnonzero((now != self._on_volume).any(axis=1)).tolist():
                self._write_page(page, now[page].tobytes())
                self.pages_written += 1
            self._flush()
            self._on_volume = now
            self.transactions += 1

    def _change(self) -> None:
        """Mostly updates in place, some new rows; as many go."""
        chooser, database = self._chooser, self._database
        (last,) = database.execute("SELECT max(id) FROM message").fetchone()
        database.execute("BEGIN IMMEDIATE")
        for _ in range(40):
            row = (chooser.randbytes(_BODY), chooser.randrange(last))
            database.execute("UPDATE message SET body = ? WHERE id = ?", row)
        database.executemany(_INSERT, [_message(chooser) for _ in range(10)])
        doomed = [(chooser.randrange(last),) for _ in range(10)]
        database.executemany("DELETE FROM message WHERE id = ?", doomed)
        database.execute("COMMIT")

    @contextmanager
    def frozen(self) -> Iterator[Callable[[], str]]:
        """No transaction is under way inside. Yields what tells the file's SHA-256 at that time."""
        with self._lock:
            moment = self._on_volume
            yield lambda: hashlib.sha256(moment.tobytes()).hexdigest()

    def wait_for(self, transactions: int) -> None:
        """Until the thread has made that many in all, or has failed."""
        while self.transactions < transactions and self._failure is None:
            time.sleep(0.002)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="demo application")
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.transact()
                self._stop.wait(0.005)
        except BaseException as problem:  # handed to who leaves the context
            self._failure = problem

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        failure, self._failure = self._failure, None
        if failure is not None and exc is None:
            raise failure


def _read_pages(path: Path) -> Pages:
    """The file as one row of 64-bit words a page."""
    return np.fromfile(path, dtype=np.uint64).reshape(-1, BLOCK // 8)
