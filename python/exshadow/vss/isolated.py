"""A coordinator in a process of its own, so that nobody stays frozen when the requestor is killed.

Writers live in the host process and are named by class and arguments; providers and the requestor
stay here: the host calls providers over the same socket. guard.py tells what is promised when
which process is killed.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from os import PathLike
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from exshadow.errors import CancelledError, ClosedError, Error, NotFoundError
from exshadow.vss.command import Command
from exshadow.vss.coordinator import Callback, Limits, asked, backup_outcome
from exshadow.vss.errors import writer_failure
from exshadow.vss.guard import BLAMED, RESCUE_TIME
from exshadow.vss.launch import command
from exshadow.vss.peer import Peer, error_of
from exshadow.vss.places import Places
from exshadow.vss.plain import Plain, from_plain, to_plain
from exshadow.vss.procedures import (
    BackupOutcome,
    BackupReport,
    BackupRequest,
    Between,
    PutBack,
    RestoreOutcome,
    RestoreReport,
    RestoreRequest,
)
from exshadow.vss.provider import Provider, answer_provider
from exshadow.vss.provider import facts_of as provider_facts
from exshadow.vss.registry import place_of
from exshadow.vss.requestor import Session
from exshadow.vss.service import OverSessions
from exshadow.vss.slot import slot_file
from exshadow.vss.tables import HResult, WriterState
from exshadow.vss.writer import Writer

_SLICE = 0.5
"""Seconds."""

_UNDOING = 60.0
"""Seconds that an interrupted procedure has to undo what it made."""


def in_thread(function: Callable[..., Plain], *arguments: Any) -> Future[Plain]:
    """Call it on a thread that nobody has to wait for."""
    answer: Future[Plain] = Future()

    def call() -> None:
        try:
            answer.set_result(function(*arguments))
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return answer


class _RemoteStep:
    def __init__(self, peer: Peer, number: int) -> None:
        self._peer = peer
        self._number = number

    def wait(self, milliseconds: int) -> bool:
        return bool(self._peer.call("step", self._number, "wait", [milliseconds]))

    def status(self) -> Plain:
        return self._peer.call("step", self._number, "status", [])

    def cancel(self) -> int:
        return int(self._peer.call("step", self._number, "cancel", []))

    def finish(self, what: str, limit: int, grace: int) -> int:
        try:
            return int(self._peer.call("step", self._number, "finish", [what, limit, grace]))
        except KeyboardInterrupt:
            self.cancel()
            raise


class _RemoteSession:
    def __init__(self, peer: Peer, number: int) -> None:
        self._peer = peer
        self._number: int | None = number

    def close(self) -> None:
        number, self._number = self._number, None
        if number is not None and not self._peer.left_to_parent:
            self._peer.call("close", number)

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_"):
            raise AttributeError(method)

        def call(*arguments: Plain) -> Plain:
            if self._number is None:
                raise ClosedError(
                    "the session has ended",
                    hint="one object is one backup, one restore or one query",
                )
            given = self._peer.call("call", self._number, method, list(arguments))
            if isinstance(given, dict) and given.keys() == {"step"}:
                return _RemoteStep(self._peer, given["step"])
            return given

        return call


class IsolatedCoordinator(OverSessions):
    """The same as Coordinator, in a process of its own. ``with IsolatedCoordinator() as
    coordinator:``"""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        slot: str | PathLike[str] | None = None,
        machine: str | None = None,
        places: Places | None = None,
    ) -> None:
        slot = slot_file(slot, os.environ)
        mine, theirs = socket.socketpair()
        with theirs:
            # In a session of its own: what ends the terminal or our process group does not end it.
            self._guard = subprocess.Popen(
                command("guard", theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._providers: dict[str, Provider] = {}
        self._parts: dict[int, Callable[[Plain], Plain]] = {}
        self._numbers = itertools.count()
        self._writers: dict[int, str] = {}  # where they are found, by the host's numbers
        self._peer = Peer(mine, self._handle, self._why_gone)
        self._reader = threading.Thread(target=self._peer.serve, daemon=True)
        self._reader.start()
        self._finalizer = weakref.finalize(self, _end, self._peer, self._guard, self._reader, mine)
        path = [one for one in sys.path if one] + [""] * ("" in sys.path)
        self._peer.call(
            "begin",
            path,
            to_plain(limits or Limits()),
            slot,
            machine,
            None if places is None else {name: list(on) for name, on in places.mounts.items()},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up: the host aborts what is open and ends. May be repeated."""
        self._finalizer()

    @property
    def guard_pid(self) -> int:
        """Process id of the guard, the parent of the host."""
        return self._guard.pid

    def register_writer(
        self, writer: type[Writer] | str, arguments: Mapping[str, Any] | None = None
    ) -> UUID:
        """Let a writer take part: a class of an importable module, or ``module:Class``, or the
        name of an entry point, with arguments that JSON can hold. Gives its instance id."""
        place = writer if isinstance(writer, str) else place_of(writer)
        instance, number = self._peer.call("writer", place, dict(arguments or {}))
        self._writers[number] = place
        return UUID(instance)

    def unregister_writer(self, instance: UUID) -> None:
        """Sessions that are open keep it."""
        self._peer.call("unregister_writer", str(instance))

    def register_provider(self, provider: Provider) -> None:
        """Let a provider of this process make snapshots; its steps run on threads of this
        process."""
        facts = provider_facts(provider)
        self._providers[str(facts.properties.provider_id)] = provider
        self._peer.call("provider", to_plain(facts))

    def unregister_provider(self, provider_id: UUID) -> None:
        """Forget a provider."""
        self._peer.call("unregister_provider", str(provider_id))

    def new_session(self) -> Session:
        """The untyped session of a BackupComponents."""
        return _RemoteSession(self._peer, int(self._peer.call("session")))

    def callbacks(self) -> list[Callback]:
        """The calls of writers and providers as they were made, the last ten thousand."""
        return from_plain(list[Callback], self._peer.call("callbacks"))

    def troubles(self) -> list[str]:
        """See Coordinator.troubles."""
        return [str(one) for one in self._peer.call("troubles")]

    def consistency_of(self, set_id: UUID) -> str:
        """What a set is by the writers that were frozen for it: ``application``, ``filesystem``
        when these froze file systems only, ``crash`` without any."""
        return str(self._peer.call("consistency", str(set_id)))

    # --- the procedures, which run in the host

    def backup(
        self, request: BackupRequest, between: Between | Command | None = None
    ) -> BackupOutcome:
        given = self._run_asking("backup", request, asked(BackupReport, between))
        return backup_outcome(given["report"], error_of(given["error"]))

    def restore(
        self, request: RestoreRequest, put_back: PutBack | Command | None = None
    ) -> RestoreOutcome:
        given = self._run_asking("restore", request, asked(RestoreReport, put_back))
        return RestoreOutcome(from_plain(RestoreReport, given["report"]), error_of(given["error"]))

    def run_plain(self, procedure: str, *arguments: Plain) -> Plain:
        return self._peer.call("run", procedure, list(arguments))

    def _run_asking(
        self,
        procedure: str,
        request: BackupRequest | RestoreRequest,
        part: Callable[[Plain], Plain] | None,
    ) -> Plain:
        """The caller's part is called on a thread of this process while this one waits; what it
        raises ends the procedure and is raised here. Ctrl-C is not waited out by that part: the
        procedure is told that it failed, and has undone what it made when this returns."""
        answers: list[Future[Plain]] = []
        stopped = threading.Event()

        def guarded(report: Plain) -> Plain:
            if part is None:
                return None
            answers.append(in_thread(part, report))
            answers[0].add_done_callback(lambda _: ended.set())
            ended.wait()
            if stopped.is_set():
                raise CancelledError("interrupted")
            return answers[0].result()

        ended = threading.Event()
        number = next(self._numbers)
        self._parts[number] = guarded
        running: Future[Plain] | None = None
        try:
            running = in_thread(self._peer.call, "run_asking", procedure, to_plain(request), number)
            while not wait([running], timeout=_SLICE).done:
                pass  # a signal that came just before a wait without end would not be heard
            return running.result()
        except KeyboardInterrupt:
            stopped.set()
            ended.set()
            if running is not None:
                self._peer.call("stop", number)
                wait([running], timeout=_UNDOING)
            raise
        except Error:
            raised = answers[0].exception() if answers else None
            if raised is not None:
                raise raised from None
            raise
        finally:
            del self._parts[number]

    def _why_gone(self) -> Error | None:
        """The writer that the guard killed the host for, or could not rescue: that is waited
        for."""
        try:
            number, failed = divmod(self._guard.wait(RESCUE_TIME + 1) - BLAMED, 2)
        except subprocess.TimeoutExpired:
            return None
        if number not in self._writers:
            return None
        message = "it did not let go in time: its process was ended, its rescue done"
        if failed:
            message = "its process ended while it was frozen, its rescue failed: let go by hand"
        return writer_failure(
            self._writers[number],
            HResult.VSS_E_WRITERERROR_TIMEOUT,
            WriterState.FAILED_AT_FREEZE,
            application_message=message,
        )

    def _handle(self, op: str, args: list[Plain]) -> Plain:
        if op == "part":
            number, report = args
            return self._parts[number](report)
        if op != "provider":
            raise NotFoundError(f"there is no '{op}' here")
        provider_id, method, arguments = args
        return list(answer_provider(self._providers[provider_id], method, tuple(arguments)))


def _end(
    peer: Peer, guard: subprocess.Popen[bytes], reader: threading.Thread, end: socket.socket
) -> None:
    if peer.left_to_parent:
        return
    peer.close()
    guard.wait()
    reader.join()
    end.close()
