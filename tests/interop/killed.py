"""kill -9 of exshadow's processes while a writer holds its application frozen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from vss_writers import children_of

CHILD = Path(__file__).with_name("frozen_child.py")
WHO = pytest.mark.parametrize(
    "who",
    [("requestor",), ("host",), ("requestor", "host"), ("guard", "requestor")],
    ids="+".join,
)


@contextmanager
def frozen_by(writer: str) -> Iterator[dict[str, int]]:
    """The process ids of exshadow, which has frozen the writer's application."""
    # Writers and providers of the tests are found by the child, its host and its guard.
    places = [str(CHILD.parents[1] / "python"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    with subprocess.Popen(
        [sys.executable, str(CHILD), writer], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            guard = process.stdout.readline().strip()
            assert guard.isdigit(), guard
            (host,) = children_of(int(guard))
            yield {"requestor": process.pid, "guard": int(guard), "host": host}
        finally:
            process.kill()


def seconds_until_it_writes(
    writer: str, who: tuple[str, ...], write: Callable[[], None], *, stands: bool = True
) -> float:
    """From the kill until `write`, which was begun while the application was frozen, is done."""
    done: list[float] = []

    def run() -> None:
        write()
        done.append(time.monotonic())

    with frozen_by(writer) as pids:
        writing = threading.Thread(target=run)
        writing.start()
        writing.join(0.5)
        assert bool(done) is not stands
        killed = time.monotonic()
        for one in who:
            with suppress(ProcessLookupError):  # it ends by itself when its peer is gone
                os.kill(pids[one], signal.SIGKILL)
        writing.join(60)
        assert done, "it does not write again within a minute"
    seconds = max(0.0, done[0] - killed)
    print(
        f"{writer.partition('?')[0]}, killed {'+'.join(who)}: writes after {seconds * 1000:.0f} ms"
    )
    return seconds
