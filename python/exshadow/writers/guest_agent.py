"""``guest-agent``: a virtual machine, frozen by the QEMU guest agent inside it.

Linux guests freeze their file systems (and run the agent's fsfreeze hooks); Windows guests run VSS,
with all their writers, under the agent's own provider. There the agent, not exshadow, ends the
backup: **log truncation cannot be withheld**, so a check of the copy cannot come before it.
Windows thaws by itself after about ten seconds.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from exshadow.vss import (
    ComponentMetadata,
    HResult,
    SourceType,
    Writer,
    WriterCall,
    WriterMetadata,
    failure,
)
from exshadow.writers.arguments import seconds

_SENTINEL = b"\xff"  # the agent drops what it has half read
_LONGEST_ANSWER = 1 << 20
_ABORT = 8.0  # seconds to thaw in: fewer than the coordinator waits


class AgentError(Exception):
    """The agent refused a command."""


class GuestAgentWriter(Writer):
    """``socket``: the Unix socket of the guest's agent channel (libvirt:
    ``.../channel/target/.../org.qemu.guest_agent.0``). ``limit``: longest freeze (10 s);
    ``timeout``: of one command (30 s; the thaw behind a freeze that failed has eight)."""

    writer_id = UUID("6d4f6f0e-8a51-4b8d-9f53-2c7b3f1e6a04")
    name = "guest-agent"
    consistency = "filesystem"
    abort_limit = _ABORT
    source = SourceType.OTHER
    remark = "log truncation inside a Windows guest cannot be withheld: it comes before any check"

    def __init__(self, socket: str, limit: str | float = 10, timeout: str | float = 30) -> None:
        self.path = socket
        self.instance_name = socket
        self.freeze_limit = seconds("limit", limit, most=60)
        self.timeout = seconds("timeout", timeout, most=600)
        self._lock = threading.Lock()
        self._frozen = False

    def identify(self) -> WriterMetadata:
        guest = ComponentMetadata("guest", caption=self.remark)
        return WriterMetadata(self.writer_id, self.name, components=[guest])

    def on_prepare_snapshot(self, call: WriterCall) -> None:
        """Is there an agent, and does it freeze at all?"""
        with self._lock, self._agent() as agent:
            state = self._ask(agent, "guest-fsfreeze-status")
        if state != "thawed":
            why = "is frozen already: somebody else froze it"
            if state != "frozen":
                why = f"does not say whether it is frozen, but {state!r}"
            raise failure(HResult.VSS_E_WRITERERROR_RETRYABLE, f"the guest at {self.path} {why}")

    def on_freeze(self, call: WriterCall) -> None:
        with self._lock, self._agent() as agent:
            if call.abandoned():
                return
            self._frozen = True  # also when the answer never comes
            # Not longer than the freeze may last: Abort waits for the lock, and thaws.
            count = self._ask(agent, "guest-fsfreeze-freeze", self.freeze_limit)
        if not isinstance(count, int) or count <= 0:
            raise failure(
                HResult.VSS_E_WRITERERROR_NONRETRYABLE,
                f"the guest at {self.path} froze no file system",
            )

    def on_thaw(self, call: WriterCall) -> None:
        with self._lock:
            if not self._frozen:
                return
            with self._agent() as agent:
                frozen = self._ask(agent, "guest-fsfreeze-status") == "frozen"
                self._ask(agent, "guest-fsfreeze-thaw")
            self._frozen = False
        if not frozen and not call.abandoned():
            raise failure(
                HResult.VSS_E_WRITERERROR_TIMEOUT,
                f"the guest at {self.path} thawed by itself: the copy is not one instant",
            )

    def on_abort(self, call: WriterCall) -> None:
        self._end_freeze()

    def on_backup_shutdown(self, call: WriterCall) -> None:
        self._end_freeze()  # the agent may be there again

    def _end_freeze(self) -> None:
        """Of ours only: somebody else's freeze is not lifted. What the agent refuses is raised: who
        minds this writer must not take the guest for thawed."""
        with self._lock:
            if self._frozen:
                self._thaw()
                self._frozen = False

    def rescue(self) -> None:
        self._thaw()

    def _thaw(self) -> None:
        with self._agent() as agent:
            self._ask(agent, "guest-fsfreeze-thaw", _ABORT)

    # --- the agent's protocol: one JSON document a line ---

    @contextlib.contextmanager
    def _agent(self) -> Iterator[socket.socket]:
        try:
            with socket.socket(socket.AF_UNIX) as agent:
                agent.settimeout(self.timeout)
                agent.connect(self.path)
                _synchronise(agent, self.timeout)
                yield agent
        except TimeoutError as problem:
            raise failure(
                HResult.VSS_E_WRITERERROR_TIMEOUT,
                f"the guest agent at {self.path} does not answer in time",
            ) from problem
        except OSError as problem:
            raise failure(
                HResult.VSS_E_WRITERERROR_NONRETRYABLE,
                f"the guest agent at {self.path} cannot be reached: {problem.strerror or problem}",
            ) from problem

    def _ask(self, agent: socket.socket, command: str, most: float | None = None) -> Any:
        """`most`: seconds that it may take when that is less than ``timeout``."""
        try:
            return _execute(agent, command, {}, min(self.timeout, most or self.timeout))
        except AgentError as refusal:
            raise failure(
                HResult.VSS_E_WRITERERROR_NONRETRYABLE,
                f"the guest at {self.path} refused {command}: {refusal}",
            ) from refusal


def _synchronise(agent: socket.socket, timeout: float) -> None:
    """Whatever an earlier client left half said or half answered is dropped."""
    number = secrets.randbelow(1 << 31)
    agent.sendall(_SENTINEL)
    agent.sendall(_line("guest-sync-delimited", {"id": number}))
    deadline = time.monotonic() + timeout
    while True:
        answer = _receive(agent, deadline)
        with contextlib.suppress(AgentError):
            if _parsed(answer.rpartition(_SENTINEL)[2]).get("return") == number:
                return


def _execute(agent: socket.socket, command: str, arguments: dict[str, Any], timeout: float) -> Any:
    agent.sendall(_line(command, arguments))
    answer = _parsed(_receive(agent, time.monotonic() + timeout))
    if "error" in answer:
        error = answer["error"]
        said = error.get("desc") if isinstance(error, dict) else error
        raise AgentError(str(said or "it did not say why"))
    return answer.get("return")


def _parsed(line: bytes) -> dict[str, Any]:
    """AgentError for what is no answer of an agent: something else listens there."""
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise AgentError(f"its answer is none of a guest agent: {line[:60]!r}")
    return answer


def _line(command: str, arguments: dict[str, Any]) -> bytes:
    return json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"


def _receive(agent: socket.socket, deadline: float) -> bytes:
    """One line, without its end."""
    line = bytearray()
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        agent.settimeout(left)
        byte = agent.recv(1)
        if not byte:
            raise ConnectionResetError("it hung up")
        line += byte
        if len(line) > _LONGEST_ANSWER:
            raise ConnectionError("its answer has no end")
    return bytes(line[:-1])
