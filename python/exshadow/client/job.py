"""A daemon's job with the calls of :class:`exshadow.Job`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from exshadow import wire
from exshadow.client.line import Line, part
from exshadow.errors import TimedOutError
from exshadow.model import Json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from exshadow.service.engine_types import JobProgress

_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.5


class ServedJob:
    """Thread-safe; the job goes on when nobody asks any more."""

    def __init__(self, line: Line, answer: Json) -> None:
        self._line = line
        self._id = str(answer["job"]["id"])
        self._kind = str(answer["job"]["kind"])

    @property
    def id(self) -> str:
        return self._id

    @property
    def kind(self) -> str:
        return self._kind

    @property
    def done(self) -> bool:
        return bool(self._ask()["job"]["state"] != "running")

    def _ask(self) -> Json:
        return self._line.get(f"/v1/jobs/{part(self._id)}")

    def progress(self) -> JobProgress:
        return _progress(self._ask()["job"])

    def wait(self, timeout: float | None = None) -> JobProgress:
        """Wait for the end; raises what the job failed with, TimedOutError after `timeout`
        seconds (the job goes on)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while (job := self._ask()["job"])["state"] == "running":
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimedOutError(f"{job['what']} is still running after {timeout} s")
            time.sleep(pause if left is None else min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)
        if job["error"]:
            raise wire.error(job["error"])
        return _progress(job)

    def cancel(self) -> None:
        """Ask the job to stop; what it did is kept and the state is resumable."""
        self._line.delete(f"/v1/jobs/{part(self._id)}")

    def differences(self) -> npt.NDArray[np.int64]:
        """verify jobs: (n, 2) array of offset and length where in-sync plexes differed."""
        result = self._ask()["result"] or {}
        return rows(result.get("differences", []))


def rows(pairs: list[list[int]]) -> npt.NDArray[np.int64]:
    """(n, 2) array of offsets and lengths."""
    import numpy as np

    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _progress(job: Json) -> JobProgress:
    return {
        "kind": job["kind"],
        "state": job["state"],
        "bytes_copied": job["bytes_copied"],
        "bytes_zeroed": job["bytes_zeroed"],
        "bytes_done": job["bytes_done"],
        "bytes_total": job["bytes_total"],
        "seconds": job["seconds"],
        "note": job["note"],
    }
