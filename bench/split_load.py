"""Writers that load volumes while they are split, and note how long each write took."""

from __future__ import annotations

import random
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from exshadow import Volume

BLOCK = 4096


class WriteLoad:
    """Threads that write random 4 KiB blocks to all `volumes` in turn, until left.

    Latencies hold the interpreter's own waits for its lock; its switch interval is shortened
    meanwhile, and the quiet time before the split is reported beside it for comparison.
    """

    def __init__(self, volumes: list[Volume], threads: int = 2) -> None:
        self._volumes = volumes
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._taken: list[list[tuple[float, float]]] = [[] for _ in range(threads)]
        self._threads = [
            threading.Thread(target=self._write, args=(number,)) for number in range(threads)
        ]
        self._interval = sys.getswitchinterval()

    def _write(self, number: int) -> None:
        chooser = random.Random(number)
        mine, data = self._taken[number], chooser.randbytes(BLOCK)
        volumes = self._volumes[number :: len(self._taken)]
        try:
            while not self._stop.is_set():
                for volume in volumes:
                    offset = chooser.randrange(volume.size // BLOCK) * BLOCK
                    start = time.perf_counter()
                    volume.write(offset, data)
                    mine.append((start, time.perf_counter() - start))
        except BaseException as problem:  # handed to who waits
            self._failure = problem

    def worst(self, start: float, end: float) -> float:
        """The longest write, in seconds, that overlapped this span of perf_counter times."""
        spans = [
            taken
            for series in self._taken
            for begun, taken in list(series)
            if begun <= end and begun + taken >= start
        ]
        return max(spans, default=0.0)

    @property
    def writes(self) -> int:
        return sum(len(series) for series in self._taken)

    def __enter__(self) -> Self:
        sys.setswitchinterval(0.0002)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        sys.setswitchinterval(self._interval)
        if self._failure is not None and exc is None:
            raise self._failure
