"""Where a runbook's commands run: on this machine, or on a Windows server by remoting."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Thread
from typing import Protocol

from exshadow.commands import end_group
from exshadow.errors import Error, InvalidError, TimedOutError, UnsupportedError
from exshadow.program_output import ProgramOutput
from exshadow.recovery.runbook import RunbookStep

_KEPT = 20_000  # characters of output that are recorded
_GRACE = 10.0  # seconds between asking a command to end and killing it


@dataclass(frozen=True, slots=True)
class Outcome:
    """``status`` 0 is success; ``output``: what the command said, bounded."""

    status: int
    output: str


class CommandRunner(Protocol):
    """Runs one step to its end. Raises TimedOutError past ``limit`` seconds, Error when it cannot
    be run at all; a command that fails is an Outcome."""

    def run(self, step: RunbookStep, limit: float) -> Outcome: ...


class LocalRunner:
    """On this machine: PowerShell and cmd.exe where they are, exshadow by this very program."""

    def run(self, step: RunbookStep, limit: float) -> Outcome:
        return _run(_local_command(step), limit)


def _local_command(step: RunbookStep, *, windows: bool = os.name == "nt") -> list[str] | str:
    if step.runner == "exshadow":
        words = shlex.split(step.command)
        return [sys.executable, "-m", "exshadow", *words[1:]]
    if step.runner == "powershell":
        program = shutil.which("powershell.exe") or shutil.which("pwsh")
        if program is None:
            raise UnsupportedError(
                f"step '{step.id}' needs PowerShell, which is not here",
                hint="run it on the server, or name the server: --on HOST",
            )
        return [program, "-NoProfile", "-NonInteractive", "-Command", _strict(step)]
    if step.runner == "cmd":
        program = shutil.which("cmd.exe")
        if program is None:
            raise UnsupportedError(
                f"step '{step.id}' needs cmd.exe, which is not here",
                hint="run it on the server, or name the server: --on HOST",
            )
        if windows:  # cmd reads its line itself: quotes must not be escaped as for other programs
            return f'"{program}" /d /s /c "{step.command}"'
        return [program, "/d", "/c", step.command]
    raise InvalidError(f"step '{step.id}' is done by hand")


def _strict(step: RunbookStep) -> str:
    """An error of a cmdlet ends the script, so that the status tells of it."""
    return "\n".join(filter(None, ("$ErrorActionPreference = 'Stop'", step.before, step.command)))


def _run(command: list[str] | str, limit: float) -> Outcome:
    name = command if isinstance(command, str) else command[0]
    with ProgramOutput() as said:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said.file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as problem:
            raise Error(
                f"{name} cannot be started: {problem.strerror}",
                hint="see that it is a program that runs here; the same command goes on with this "
                "step",
            ) from problem
        try:
            said.wait(process, limit)
        except BaseException as problem:  # Ctrl-C as well: it goes to this process alone
            _end(process)
            if not isinstance(problem, subprocess.TimeoutExpired):
                raise
            raise TimedOutError(
                f"{name} was not done after {limit:g} s",
                hint="look at what it did on the server before repeating the step",
            ) from None
        return Outcome(process.returncode, said.last(_KEPT))


def _end(process: subprocess.Popen[bytes]) -> None:
    """The command and what it started: asked to end, which exshadow's own do resumably; then
    killed."""
    end_group(process, softly=True)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    end_group(process)
    process.wait()


class RemoteRunner:
    """PowerShell remoting (WinRM over HTTPS) to the server; exshadow's own steps run here.

    Kerberos or NTLM by the caller's credentials; a password is read from a file, never an argument.
    """

    def __init__(self, host: str, *, user: str | None = None, password: str | None = None) -> None:
        try:
            from pypsrp.client import Client
        except ImportError as problem:
            raise UnsupportedError(
                "PowerShell remoting needs pypsrp", hint="pip install 'exshadow[winrm]'"
            ) from problem
        self._host = host
        self._client = Client(host, username=user, password=password, ssl=True)
        self._local = LocalRunner()

    def run(self, step: RunbookStep, limit: float) -> Outcome:
        if step.runner == "exshadow":
            return self._local.run(step, limit)
        answers: Queue[Outcome | Exception] = Queue()
        # The library waits as long as the command takes; what it waits for cannot be stopped there.
        Thread(target=lambda: answers.put(self._outcome(step)), daemon=True).start()
        try:
            answer = answers.get(timeout=limit)
        except Empty:
            raise TimedOutError(
                f"{self._host}: step '{step.id}' was not done after {limit:g} s",
                hint="it may still be at work there: look before repeating the step",
            ) from None
        if isinstance(answer, Exception):
            raise Error(f"{self._host}: {answer}", hint="see that WinRM answers there") from answer
        return answer

    def _outcome(self, step: RunbookStep) -> Outcome | Exception:
        try:
            return self._do(step)
        except Exception as problem:  # the library's own, requests' and the network's
            return problem

    def _do(self, step: RunbookStep) -> Outcome:
        if step.runner == "cmd":
            output, errors, status = self._client.execute_cmd(step.command)
            return Outcome(int(status), (output + errors)[-_KEPT:])
        output, streams, failed = self._client.execute_ps(_strict(step))
        said = "\n".join([output, *(str(one) for one in streams.error)])
        return Outcome(int(bool(failed)), said[-_KEPT:])
