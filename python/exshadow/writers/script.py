"""``script``: a command of the administrator, run once for every event with JSON on its input.

``{"event": "freeze", "set_id": ..., "volumes": [...], "type": "full", "limit": 20.0}``; the events
are prepare_backup, prepare_snapshot, freeze, thaw, abort, post_snapshot, backup_complete,
backup_shutdown. backup_complete has ``"succeeded"`` as well: true only when the copy was proved,
so that logs may be cut. Status 0 is success, 75 (EX_TEMPFAIL) a failure worth a retry, anything
else one that is not; what it wrote last to stderr is the reason. Past its time limit it and its
children are killed. ``abort`` must undo ``freeze``, has eight seconds, also when the freeze used up
its limit, and may come more than once.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from tempfile import TemporaryFile
from uuid import UUID

from exshadow.commands import end_group, how_ended, private_command
from exshadow.program_output import ProgramOutput
from exshadow.vss import (
    ComponentMetadata,
    FileSet,
    HResult,
    Writer,
    WriterCall,
    WriterMetadata,
    failure,
)
from exshadow.writers.arguments import seconds

_TEMPORARY_FAILURE = 75  # EX_TEMPFAIL of sysexits.h
_SAID = 2000  # characters of stderr that are kept
_GRACE = 2.0  # seconds between SIGTERM and SIGKILL
_FROZEN_GRACE = 0.3  # the same while the guard waits
_FROZEN = ("freeze", "thaw", "abort")
_ABORT = 8.0  # seconds that the command has for it: fewer than the coordinator waits


class ScriptWriter(Writer):
    """``command``: program and arguments, as a shell would split them (no shell is used).
    ``limit``: longest freeze (20 s); ``timeout``: of every other event (300 s); ``path``: folder
    that the metadata names."""

    writer_id = UUID("6d4f6f0e-8a51-4b8d-9f53-2c7b3f1e6a03")
    name = "script"
    abort_limit = _ABORT + 2 * _FROZEN_GRACE  # with the ends of a freeze and an abort that hang

    def __init__(
        self, command: str, limit: str | float = 20, timeout: str | float = 300, path: str = ""
    ) -> None:
        self.command = private_command(command)
        self.instance_name = command
        self.freeze_limit = seconds("limit", limit, most=60)
        self.timeout = seconds("timeout", timeout, most=86_400)
        self.path = path
        self._lock = threading.Lock()
        self._running: subprocess.Popen[bytes] | None = None

    def identify(self) -> WriterMetadata:
        files = [FileSet(self.path, "*", recursive=True)] if self.path else []
        component = ComponentMetadata("script", "", files=files)
        return WriterMetadata(self.writer_id, self.name, components=[component])

    def on_prepare_backup(self, call: WriterCall) -> None:
        self._run("prepare_backup", call, self.timeout)

    def on_prepare_snapshot(self, call: WriterCall) -> None:
        self._run("prepare_snapshot", call, self.timeout)

    def on_freeze(self, call: WriterCall) -> None:
        self._run("freeze", call, self.freeze_limit)

    def on_thaw(self, call: WriterCall) -> None:
        self._run("thaw", call, self.freeze_limit)

    def on_abort(self, call: WriterCall) -> None:
        if (running := self._running) is not None:
            _kill(running, _FROZEN_GRACE)  # a freeze that hangs ends first
        self._run("abort", call, _ABORT)

    def on_post_snapshot(self, call: WriterCall) -> None:
        self._run("post_snapshot", call, self.timeout)

    def on_backup_complete(self, call: WriterCall) -> None:
        # A backup without components tells nobody: then nothing may be cut either.
        parts = call.components().components
        proved = bool(parts) and all(one.succeeded for one in parts)
        self._run("backup_complete", call, self.timeout, succeeded=proved)

    def on_backup_shutdown(self, call: WriterCall) -> None:
        self._run("backup_shutdown", call, self.timeout)

    def rescue(self) -> None:
        self._execute({"event": "abort", "limit": _ABORT}, _ABORT)

    def _run(self, event: str, call: WriterCall, limit: float, **more: bool) -> None:
        facts = call.facts()
        document = {
            "event": event,
            "set_id": str(facts.set_id),
            "volumes": facts.volumes,
            "type": facts.state.type.name.lower(),
            "limit": limit,
            **more,
        }
        self._execute(document, limit)

    def _execute(self, document: dict[str, object], limit: float) -> None:
        event = document["event"]
        # Files, not pipes: a child in the background keeps a pipe open when the command has ended.
        with self._lock, TemporaryFile() as told, ProgramOutput() as errors:
            told.write(json.dumps(document).encode())
            told.seek(0)
            try:
                process = subprocess.Popen(
                    self.command,
                    stdin=told,
                    stdout=subprocess.DEVNULL,
                    stderr=errors.file,
                    start_new_session=True,
                )
            except OSError as problem:
                raise failure(
                    HResult.VSS_E_WRITERERROR_NONRETRYABLE,
                    f"{self.command[0]} cannot be started: {problem.strerror}",
                ) from problem
            self._running = process
            try:
                errors.wait(process, limit)
            except subprocess.TimeoutExpired:
                _kill(process, _FROZEN_GRACE if event in _FROZEN else _GRACE)
                raise failure(
                    HResult.VSS_E_WRITERERROR_TIMEOUT,
                    f"{self.command[0]} took longer than {limit:g} s at {event}",
                ) from None
            finally:
                self._running = None
            said = errors.last(_SAID).strip() or "it said nothing"
        if process.returncode != 0:
            temporary = process.returncode == _TEMPORARY_FAILURE
            code = (
                HResult.VSS_E_WRITERERROR_RETRYABLE
                if temporary
                else HResult.VSS_E_WRITERERROR_NONRETRYABLE
            )
            raise failure(
                code, f"{self.command[0]} {how_ended(process.returncode)} at {event}: {said}"
            )


def _kill(process: subprocess.Popen[bytes], grace: float) -> None:
    """The whole process group: first asked, then killed after so many seconds."""
    end_group(process, softly=True)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    end_group(process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
