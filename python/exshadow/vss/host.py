"""The process of an isolated coordinator, started with two sockets, CLIENT and GUARD (launch.py).

It holds the coordinator and the writers. The requestor and its providers are in the client's
process, at the other end of the socket CLIENT; the guard (guard.py), which started this process,
is at the end of GUARD. When either end closes, whatever the reason, every session is aborted, so
that all writers are thawed, and the process ends. A writer is frozen only after the guard has been
told.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from uuid import UUID

from exshadow.errors import Error, NotFoundError
from exshadow.vss.coordinator import Coordinator, Limits
from exshadow.vss.documents import ComponentMetadata, WriterMetadata
from exshadow.vss.errors import failure
from exshadow.vss.peer import Peer, plain_error
from exshadow.vss.places import Places
from exshadow.vss.plain import Plain, from_plain, to_plain
from exshadow.vss.registry import WriterSpec, make_writer
from exshadow.vss.requestor import Session, StepSession
from exshadow.vss.tables import HResult, WriterState
from exshadow.vss.values import NIL
from exshadow.vss.writer import CONSISTENCIES, Writer, WriterCall, failure_of
from exshadow.vss.xml import serialise


class GuardLine:
    """Tells the guard which writers are frozen."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()

    def tell(self, **fact: Plain) -> None:
        """OSError when the guard is gone."""
        with self._lock:
            self._end.sendall(json.dumps(fact).encode() + b"\n")

    def wait_for_end(self) -> None:
        """Returns when the guard is gone; it never says anything."""
        try:
            while self._end.recv(1):
                pass
        except OSError:
            pass


_PATIENCE = 0.8
"""Of the coordinator's limit for Identify: it drops, without a word, who does not answer it."""


class _Asking:
    """Asks a writer what it has, on a thread, as it may never answer."""

    def __init__(self, writer: Writer, seconds: float) -> None:
        self._writer = writer
        self._seconds = seconds
        self._began = 0.0
        self._answer: Future[WriterMetadata] | None = None

    def answer(self) -> WriterMetadata:
        """TimeoutError when it hangs; a question still open is not asked a second time."""
        if self._answer is None:
            self._answer, self._began = Future(), time.monotonic()
            threading.Thread(target=self._ask, args=(self._answer,), daemon=True).start()
        asked = self._answer
        wait_for([asked], max(0.0, self._began + self._seconds - time.monotonic()))
        if not asked.done():
            raise TimeoutError(f"it did not say within {self._seconds:g} s what it has")
        self._answer = None
        return asked.result()

    def _ask(self, answer: Future[WriterMetadata]) -> None:
        try:
            answer.set_result(self._writer.identify())
        except BaseException as problem:
            answer.set_exception(problem)


class Guarded(Writer):
    """A writer whose freezing is known to the guard."""

    def __init__(self, writer: Writer, number: int, limits: Limits, line: GuardLine) -> None:
        self._writer = writer
        self._number = number
        self._limit = min(writer.freeze_limit, limits.freeze)
        self._asking = _Asking(writer, _PATIENCE * limits.identify)
        self._line = line
        self.froze_for: set[UUID] = set()  # sets, in its way
        self.registered = NIL
        self._freezing = False
        self._stands = False  # the guard was told of a freeze and of no end
        for name in (
            "writer_id", "name", "instance_id", "instance_name", "usage", "source", "level",
            "freeze_limit", "abort_limit", "subscribe", "consistency",
        ):  # fmt: skip
            setattr(self, name, getattr(writer, name))
        for event in (
            "prepare_snapshot", "post_snapshot", "backup_complete", "pre_restore", "post_restore",
        ):  # fmt: skip
            setattr(self, f"on_{event}", getattr(writer, f"on_{event}"))
        self.unidentified: BaseException | None = None

    def identify(self) -> WriterMetadata:
        """A writer that was asked for and cannot say what it has is not left out: it says so in
        PrepareForBackup, as one with a component that every backup includes."""
        self.unidentified = None
        try:
            said = self._asking.answer()
            serialise(said)  # what no document can hold is no answer
            return said
        except Exception as problem:
            self.unidentified = problem
            unknown = ComponentMetadata("unknown", caption="the writer cannot say what it has")
            return WriterMetadata(self.writer_id, self.name, components=[unknown])

    def on_prepare_backup(self, call: WriterCall) -> None:
        if self.unidentified is not None:
            raise self.unidentified
        self._writer.on_prepare_backup(call)

    def on_freeze(self, call: WriterCall) -> None:
        try:
            self._line.tell(frozen=self._number, limit=self._limit)
        except OSError:
            raise failure(
                HResult.VSS_E_WRITERERROR_RETRYABLE, "the guard of this process is gone"
            ) from None
        self._stands = self._freezing = True
        try:
            self._writer.on_freeze(call)
        finally:
            self._freezing = False
        self.froze_for.add(call.facts().set_id)

    def on_thaw(self, call: WriterCall) -> None:
        self._writer.on_thaw(call)
        self._thawed()

    def on_abort(self, call: WriterCall) -> None:
        """While the freeze still runs the guard goes on minding the writer: the freeze may take
        effect yet. When it returns, this is called once more (answer_writer)."""
        if self._stands and self.abort_limit > 0:
            with suppress(OSError):  # the guard is gone, and nobody else would let go
                self._line.tell(aborting=self._number, limit=self.abort_limit)
        self._writer.on_abort(call)
        if self._freezing:
            self._line.tell(aborted=self._number)
        else:
            self._thawed()

    def on_backup_shutdown(self, call: WriterCall) -> None:
        """An abort that failed is tried again."""
        self._writer.on_backup_shutdown(call)
        if self._stands and not self._freezing:
            self.on_abort(call)

    def _thawed(self) -> None:
        self._stands = False
        self._line.tell(thawed=self._number)


class Host:
    """What the client asks for."""

    def __init__(self, client: socket.socket, guard: socket.socket) -> None:
        self._peer = Peer(client, self._handle)
        self._line = GuardLine(guard)
        self._lock = threading.Lock()
        self._coordinator: Coordinator | None = None
        self._limits = Limits()
        self._sessions: list[Session | None] = []
        self._steps: list[StepSession] = []
        self._writers: list[Guarded] = []
        self._stopped: set[int] = set()
        self._ended = threading.Event()

    def run(self) -> None:
        """Until either end closes; then everything is aborted."""
        for wait in (self._peer.serve, self._line.wait_for_end):
            threading.Thread(target=self._end_after, args=(wait,), daemon=True).start()
        self._ended.wait()
        self._peer.close()
        with self._lock:
            sessions, self._sessions = self._sessions, []
        for session in sessions:
            if session is not None:
                session.close()  # cancels its steps, aborts, thaws
        if self._coordinator is not None:
            # Callbacks that never return would keep it for ever; nothing is frozen any more.
            closing = threading.Thread(target=self._coordinator.close, daemon=True)
            closing.start()
            closing.join(self._limits.abort + 1)

    def _end_after(self, wait: Callable[[], None]) -> None:
        wait()
        self._ended.set()

    def _handle(self, op: str, args: list[Plain]) -> Plain:
        return getattr(self, f"_op_{op}")(*args)

    def _op_begin(
        self,
        path: list[str],
        limits: Plain,
        slot: str,
        machine: str | None,
        mounts: dict[str, list[str]] | None,
    ) -> None:
        sys.path[:] = path  # what the client can import, this process can
        self._limits = from_plain(Limits, limits)
        places = None if mounts is None else Places(mounts)
        self._coordinator = Coordinator(
            limits=self._limits, slot=slot, machine=machine, places=places
        )

    def _op_writer(self, place: str, arguments: dict[str, Plain]) -> list[Plain]:
        writer = make_writer(WriterSpec(place, arguments))
        with self._lock:
            number = len(self._writers)
            guarded = Guarded(writer, number, self._limits, self._line)
            self._writers.append(guarded)
        self._line.tell(writer=number, place=place, arguments=arguments, path=sys.path)
        guarded.registered = self._open().register_writer(guarded)
        return [str(guarded.registered), number]

    def _op_unregister_writer(self, instance: str) -> None:
        self._open().unregister_writer(UUID(instance))

    def _op_provider(self, facts: Plain) -> None:
        provider_id = facts["properties"]["provider_id"]

        def answer(_: object, method: str, arguments: tuple[Plain, ...]) -> tuple[int, str, Plain]:
            try:
                given = self._peer.call("provider", provider_id, method, list(arguments))
            except Error as error:
                return int(HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR), error.message, None
            return given[0], given[1], given[2]

        self._open().register_provider_by_facts(facts, self, answer)

    def _op_unregister_provider(self, provider_id: str) -> None:
        self._open().unregister_provider(UUID(provider_id))

    def _op_session(self) -> int:
        session = self._open().new_session()
        with self._lock:
            self._sessions.append(session)
            return len(self._sessions) - 1

    def _op_call(self, number: int, method: str, arguments: list[Plain]) -> Plain:
        given = getattr(self._session(number), method)(*arguments)
        if not hasattr(given, "finish"):
            return given
        with self._lock:
            self._steps.append(given)
            return {"step": len(self._steps) - 1}

    def _op_step(self, number: int, method: str, arguments: list[Plain]) -> Plain:
        return getattr(self._steps[number], method)(*arguments)

    def _op_close(self, number: int) -> None:
        session = self._session(number)
        session.close()
        with self._lock:
            self._sessions[number] = None

    def _op_consistency(self, set_id: str) -> str:
        with self._lock:
            found = {one.consistency for one in self._writers if UUID(set_id) in one.froze_for}
        return next((one for one in CONSISTENCIES if one in found), "crash")

    def _op_callbacks(self) -> Plain:
        return to_plain(self._open().callbacks())

    def _op_troubles(self) -> Plain:
        return list(self._open().troubles())

    def _op_run(self, procedure: str, arguments: list[Plain]) -> Plain:
        found = self._open().run_plain(procedure, *arguments)
        if procedure == "list_writers":
            for entry in found:
                self._mark_unidentified(entry["status"])
        return found

    def _mark_unidentified(self, status: Plain) -> None:
        """Such a writer takes part, to refuse: but it must not look well to who only looks."""
        with self._lock:
            writers = list(self._writers)
        for one in writers:
            if one.unidentified is None or status["instance_id"] != str(one.registered):
                continue
            code, text = failure_of(one.unidentified)
            status["state"] = int(WriterState.FAILED_AT_IDENTIFY)
            status["failure"], status["application_message"] = int(code), text

    def _op_run_asking(self, procedure: str, request: Plain, part: int) -> Plain:
        def stopped() -> bool:
            return self._ended.is_set() or part in self._stopped

        error, report = self._open().run_plain(
            procedure, request, lambda so_far: self._peer.call("part", part, so_far), stopped
        )
        return {"error": None if error is None else plain_error(error), "report": report}

    def _op_stop(self, part: int) -> None:
        self._stopped.add(part)

    def _session(self, number: int) -> Session:
        session = self._sessions[number] if number < len(self._sessions) else None
        if session is None:
            raise NotFoundError("there is no such session")
        return session

    def _open(self) -> Coordinator:
        if self._coordinator is None:
            raise NotFoundError("the coordinator was not begun")
        return self._coordinator


def main() -> None:
    client, guard = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    Host(client, guard).run()
    os._exit(0)  # a callback that hangs in a thread does not keep the process
