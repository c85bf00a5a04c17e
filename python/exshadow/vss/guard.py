"""The guard of an isolated coordinator, started with its end of the socket (launch.py).

It starts the host (host.py) and hears from it which writers are frozen and how long they may be.
It does nothing else, so that nothing else can make it fail. When the host is gone and left writers
frozen, however it went, or when a writer stands frozen longer than its limit and a second (the
host hangs: it is killed), the guard makes those writers anew and calls their ``rescue()``. An Abort
begun has the writer's ``abort_limit`` from then on.

What remains if processes are killed with SIGKILL at the same instant:

* requestor: the host thaws at once. Host, or requestor and host: the guard rescues. * guard, or
requestor and guard: the host thaws at once. * host and guard: nobody is left who knows. Locks of
the host are released by the kernel; what outlives a process (a
  stopped process, a backup mode) stays. The same when the machine's service manager kills all
  processes of a service.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from exshadow.vss.launch import command

NEVER = math.inf
MARGIN = 1.0
"""Seconds beyond its limit that a writer may stand frozen before the host is killed."""
RESCUE_TIME = 30.0
"""Seconds that rescues may take before the guard ends."""
BLAMED = 100
"""The guard's own status, and twice the writer's number more, when it killed the host for that
writer; odd when the writer's rescue failed."""
_MOST = (255 - BLAMED) // 2


@dataclass(slots=True)
class _Known:
    place: str
    arguments: dict[str, Any]
    path: list[str]
    number: int
    deadline: float | None = None  # of the freeze; None: not frozen

    def past(self, now: float) -> bool:
        return self.deadline is not None and self.deadline < now


class Guard:
    """Follows one host."""

    def __init__(self, line: socket.socket, host: subprocess.Popen[bytes]) -> None:
        self._line = line
        self._host = host
        self._writers: dict[int, _Known] = {}
        self._rest = b""
        self.hung: int | None = None
        """Number of the writer that the host was killed for."""
        self._left: list[int] = []  # numbers of those who are still to be rescued

    def run(self) -> None:
        """Until the host is gone; then rescue who was left frozen."""
        while self._hear():
            late = [one.number for one in self._frozen() if one.past(time.monotonic())]
            if late:
                self.hung = late[0]
                self._host.send_signal(signal.SIGKILL)
        self._host.kill()  # it hung up: it must not go on beside the rescue
        self._host.wait()
        self._left = [one.number for one in self._frozen()]
        rescues = [
            threading.Thread(target=self._rescue, args=(one,), daemon=True)
            for one in self._frozen()
        ]
        for thread in rescues:
            thread.start()
        end = time.monotonic() + RESCUE_TIME
        for thread in rescues:
            thread.join(max(0.0, end - time.monotonic()))

    def _frozen(self) -> list[_Known]:
        return [one for one in self._writers.values() if one.deadline is not None]

    def _hear(self) -> bool:
        """Wait for the next word of the host or the next deadline; False when it is gone."""
        deadlines = [one.deadline for one in self._frozen() if one.deadline not in (None, NEVER)]
        wait = max(0.0, min(deadlines) - time.monotonic()) + 0.01 if deadlines else None
        ready, _, _ = select.select([self._line], [], [], wait)
        if not ready:
            return True
        try:
            data = self._line.recv(65536)
        except OSError:
            data = b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return bool(data)

    def _take(self, fact: dict[str, Any]) -> None:
        if "writer" in fact:
            number = fact["writer"]
            known = _Known(fact["place"], fact["arguments"], fact["path"], number)
            self._writers[number] = known
        elif "frozen" in fact:
            known = self._writers[fact["frozen"]]
            known.deadline = time.monotonic() + fact["limit"] + MARGIN
        elif "aborting" in fact:
            known = self._writers[fact["aborting"]]
            until = time.monotonic() + fact["limit"] + MARGIN
            known.deadline = max(known.deadline or until, until)
        elif "aborted" in fact:  # beside a freeze that hangs and may take effect yet
            self._writers[fact["aborted"]].deadline = NEVER
        elif "thawed" in fact:
            self._writers[fact["thawed"]].deadline = None

    def _rescue(self, known: _Known) -> None:
        from exshadow.vss.registry import WriterSpec, make_writer

        sys.path[:] = known.path
        with suppress(Exception):
            make_writer(WriterSpec(known.place, known.arguments)).rescue()
            self._left.remove(known.number)

    def status(self) -> int:
        """What the guard ends with: whom the client is to name, and whether he was rescued."""
        number = next(iter(self._left), None) if self.hung is None else self.hung
        if number is None:
            return 0
        return BLAMED + 2 * min(number, _MOST) + (number in self._left)


def main() -> None:
    client = int(sys.argv[1])
    mine, hosts = socket.socketpair()
    with hosts:
        host = subprocess.Popen(
            command("host", client, hosts.fileno()),
            pass_fds=[client, hosts.fileno()],
        )
    os.close(client)  # the host's alone: the client sees at once when the host is gone
    guard = Guard(mine, host)
    guard.run()
    os._exit(guard.status())
