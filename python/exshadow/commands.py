"""Runs the programs that drive a product (vxassist, sssu ...): found, watched, kept word for word.

The one place where provider code starts processes. Words that must not be shown are masked in what
is kept and shown.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exshadow.errors import (
    InvalidError,
    NotFoundError,
    RefusedError,
    TimedOutError,
    UnsupportedError,
    from_system,
)

_KEPT = 1 << 20  # characters of output that are kept


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended. ``output``: stdout and stderr as they came, secrets masked."""

    command: tuple[str, ...]
    status: int
    output: str
    seconds: float


@dataclass(slots=True)
class CommandRunner:
    """``programs``: where named ones are, instead of on PATH; ``secrets`` are masked; ``log`` has
    every command that ran, in order."""

    programs: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    log: list[Ran] = field(default_factory=list)

    def find(self, program: str) -> list[str] | None:
        """The command line that starts it, None when it is not here; a setting may add words."""
        named = self.programs.get(program)
        words = shlex.split(named, posix=os.name != "nt") if named else [program]
        found = shutil.which(words[0]) if words else None
        return [found, *words[1:]] if found else None

    def require(self, program: str) -> list[str]:
        """The same. UnsupportedError when it is not here."""
        found = self.find(program)
        if found is None:
            named = self.programs.get(program)
            raise UnsupportedError(
                f"{named or program} is not here",
                hint=f"install it, or say where it is: {program} = ... in the provider's settings",
            )
        return found

    def run(
        self, program: str, arguments: Sequence[str], limit: float, *, cwd: str | None = None
    ) -> Ran:
        """Run it to its end. TimedOutError past ``limit`` seconds, with it and its children gone; a
        program that fails is a :class:`Ran` with its status."""
        command = [*self.require(program), *arguments]
        begun = time.monotonic()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as problem:
            raise from_system(problem, f"cannot start {command[0]}") from problem
        try:
            output, _ = process.communicate(timeout=limit)
        except BaseException as problem:
            _end(process)
            if isinstance(problem, subprocess.TimeoutExpired):
                said = self.masked(" ".join([program, *arguments]))
                raise TimedOutError(
                    f"{said} was not done after {limit:g} s",
                    hint="its effect is read back before it is repeated",
                ) from None
            raise
        ran = Ran(
            tuple(self.masked(word) for word in [program, *arguments]),
            process.returncode,
            self.masked(output.decode(errors="replace"))[-_KEPT:],
            time.monotonic() - begun,
        )
        self.log.append(ran)
        return ran

    def masked(self, text: str) -> str:
        """Without the secrets."""
        for secret in self.secrets:
            if secret:
                text = text.replace(secret, "****")
        return text


def _end(process: subprocess.Popen[bytes]) -> None:
    """The program and what it started: gone."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def private_command(text: str) -> list[str]:
    """The words of a command that somebody else's file names, its program by full path. No shell.

    RefusedError when others than root and we could change what runs: the program, or a folder on
    the way to it (a folder with the sticky bit protects what is in it).
    """
    try:
        words = shlex.split(text)
    except ValueError as problem:
        raise InvalidError(f"command {text!r}: {problem}") from problem
    if not words:
        raise InvalidError("a command is empty", hint="name a program and its arguments")
    program = shutil.which(words[0])
    if program is None:
        raise NotFoundError(f"{words[0]} is not there or cannot be executed")
    found = Path(program).resolve()
    for place in (found, *found.parents):
        _require_private(place, is_program=place == found)
    return [str(found), *words[1:]]


def _require_private(place: Path, *, is_program: bool) -> None:
    facts = place.stat()
    if facts.st_uid not in (0, os.geteuid()):
        raise RefusedError(
            f"{place} belongs to another user, who may change what runs",
            hint=f"chown root {place}, then repeat",
        )
    sticky = not is_program and facts.st_mode & stat.S_ISVTX
    if facts.st_mode & stat.S_IWOTH and not sticky:
        raise RefusedError(
            f"{place} may be changed by anybody", hint=f"chmod o-w {place}, then repeat"
        )
