"""One run of exshadow-vss.exe: its output to the end, and interrupts passed on to it.

Whoever is interrupted while snapshots are being made must not leave the service in the middle of
it: the tool is told, aborts the backup and ends by itself; only one that does not is killed.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from exshadow.errors import from_system

GRACE = 20.0
"""Seconds that an interrupted tool has beyond its own: five for its command, some for the abort."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended."""

    status: int
    out: bytes
    err: bytes


def run(command: Sequence[str], environment: Mapping[str, str], *, grace: float) -> Ended:
    """Run it to its end. An interrupt is raised when the tool has ended too, `grace` seconds (how
    long a step of the service may take to be cut off) and GRACE later at the latest."""
    # Files, not pipes: what the tool leaves running (Wine's services) would keep pipes open.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                # A terminal's Ctrl-C would reach it a second time. On Windows it shares our
                # console, which is the only way to interrupt it, and hears Ctrl-C by itself.
                start_new_session=os.name != "nt",
            )
        except OSError as problem:
            foreign = "a program of another system: name what runs it, such as --launcher wine"
            hint = foreign if problem.errno == errno.ENOEXEC else ""
            raise from_system(problem, " ".join(command), hint) from None
        with process:
            _wait(process, grace + GRACE)
        return Ended(process.returncode, _read(out), _read(err))


def _wait(process: subprocess.Popen[bytes], patience: float) -> None:
    deadline: float | None = None
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            process.wait(left)
            break
        except subprocess.TimeoutExpired:
            process.kill()
        except KeyboardInterrupt:
            if deadline is None:
                deadline = time.monotonic() + patience
            if os.name != "nt" and process.poll() is None:
                process.send_signal(signal.SIGINT)
        except BaseException:  # nobody waits for it any more
            process.kill()
            raise
    if deadline is not None:
        raise KeyboardInterrupt


def commands_output(err: bytes) -> bytes:
    """What the tool's command wrote: all of its stderr but the tool's own lines of progress."""
    return b"".join(line for line in err.splitlines(keepends=True) if not _is_progress(line))


def _is_progress(line: bytes) -> bool:
    try:
        found = json.loads(line)
    except ValueError:
        return False
    return isinstance(found, dict) and set(found) == {"progress"}


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
