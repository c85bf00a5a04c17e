"""fio writing over NBD to many exports, with the time and length of every write."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

START_S = 1.5
LOG = ("--log_unix_epoch=1", "--log_avg_msec=0", "--disable_slat=1", "--disable_clat=1")


class FioLoad:
    """Random 4 KiB writes, one under way on each of `uris`, until left. Logs go to `folder`."""

    def __init__(self, uris: list[str], folder: Path) -> None:
        self._prefix = folder / "load"
        for old in folder.glob("load_*.log"):
            old.unlink()
        command = ["fio", "--output=/dev/null", "--thread", "--ioengine=nbd", "--rw=randwrite"]
        command += ["--bs=4k", "--iodepth=1", "--time_based", "--runtime=3600", "--norandommap"]
        command += [f"--write_lat_log={self._prefix}", *LOG]
        for number, uri in enumerate(uris):
            command += [f"--name=v{number}", f"--uri={uri}"]
        self._command = command
        self._writes: npt.NDArray[np.float64] | None = None

    @property
    def writes(self) -> npt.NDArray[np.float64]:
        """One row a write: when it was answered (time.time()), how long it took, in seconds."""
        assert self._writes is not None, "fio still runs"
        return self._writes

    def worst(self, start: float, end: float) -> float:
        """The longest write, in seconds, that overlapped this span of time.time() times."""
        answered, took = self.writes[:, 0], self.writes[:, 1]
        inside = took[(answered >= start) & (answered - took <= end)]
        return float(inside.max(initial=0.0))

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command)
        time.sleep(START_S)
        assert self._process.poll() is None, "fio ended"
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(timeout=60)
        finally:
            self._process.kill()
            self._process.wait()
        logs = sorted(self._prefix.parent.glob(f"{self._prefix.name}_lat*.log"))
        rows = [np.loadtxt(log, delimiter=",", usecols=(0, 1), ndmin=2) for log in logs]
        self._writes = np.concatenate(rows) * (1e-3, 1e-9)
