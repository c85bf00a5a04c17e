"""Runs the programs that drive a product (vxassist, sssu ...): found, watched, kept word for word.

The one place where provider code starts processes. Words that must not be shown are masked in what
is kept and shown. The last few commands are kept in memory, all of them in a file (command_log.py).
"""

from __future__ import annotations

import contextlib
import ntpath
import os
import selectors
import shlex
import shutil
import signal
import stat
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from exshadow.command_log import CommandLog
from exshadow.errors import (
    InvalidError,
    NotFoundError,
    RefusedError,
    TimedOutError,
    UnsupportedError,
    from_system,
)

_KEPT = 1 << 20  # characters of output that are kept
_RECENT = 50  # commands in memory, and of each ...
_TAIL = 4096  # ... the last characters
_BLOCK = 1 << 16  # bytes read at once


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended. ``output``: stdout and stderr as they came, secrets masked."""

    command: tuple[str, ...]
    status: int
    output: str
    seconds: float


@dataclass(slots=True)
class CommandRunner:
    """``programs``: where named ones are, instead of on PATH; ``secrets`` are masked; ``file`` gets
    every command that ran and what it said; ``log`` has the last few, in order, with the ends of
    what they said."""

    programs: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    file: CommandLog | None = None
    log: deque[Ran] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def find(self, program: str) -> list[str] | None:
        """The command line that starts it, None when it is not here; a setting may add words."""
        named = self.programs.get(program)
        words = split_words(named) if named else [program]
        found = shutil.which(words[0]) if words else None
        return [found, *words[1:]] if found else None

    def check(self, program: str) -> None:
        """RefusedError when a setting names it and others than root and we could change it."""
        if self.programs.get(program) and (found := self.find(program)):
            require_private(found)

    def require(self, program: str) -> list[str]:
        """The same. UnsupportedError when it is not here; RefusedError as :meth:`check` says."""
        self.check(program)
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
            output = _said(process, limit)
        except BaseException as problem:
            _end(process)
            if isinstance(problem, subprocess.TimeoutExpired):
                self.keep(
                    [program, *arguments], -1, _text(problem.output), time.monotonic() - begun
                )
                said = self.masked(" ".join([program, *arguments]))
                raise TimedOutError(
                    f"{said} was not done after {limit:g} s",
                    hint=self.hint("its effect is read back before it is repeated"),
                ) from None
            raise
        took = time.monotonic() - begun
        return self.keep([program, *arguments], process.returncode, _text(output), took)

    def keep(self, command: Sequence[str], status: int, output: str, seconds: float) -> Ran:
        """A command that ran, masked: in memory and in the file. ``status`` -1: it did not end."""
        words = tuple(self.masked(word) for word in command)
        ran = Ran(words, status, self.masked(output)[-_KEPT:], seconds)
        self.log.append(replace(ran, output=ran.output[-_TAIL:]))
        if self.file is not None:
            self.file.write(ran.command, ran.status, ran.output, ran.seconds)
        return ran

    def hint(self, text: str = "") -> str:
        """The hint of an error, with where all is that was said."""
        where = f"what was said is in {self.file.path}" if self.file is not None else ""
        return "; ".join(part for part in (text, where) if part)

    def masked(self, text: str) -> str:
        """Without the secrets."""
        for secret in self.secrets:
            if secret:
                text = text.replace(secret, "****")
        return text


def _said(process: subprocess.Popen[bytes], limit: float) -> bytes:
    """As communicate() tells it, of much only the end: a program that writes without end takes no
    memory without end."""
    if os.name == "nt" or process.stdout is None:
        return process.communicate(timeout=limit)[0] or b""
    end = time.monotonic() + limit
    said = bytearray()
    with process.stdout as pipe, selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            left = end - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise subprocess.TimeoutExpired(process.args, limit, bytes(said))
            block = os.read(pipe.fileno(), _BLOCK)
            if not block:
                break
            said += block
            if len(said) > 8 * _KEPT:  # UTF-8 has up to four bytes a character
                del said[: -4 * _KEPT]
    process.wait(max(0.0, end - time.monotonic()))
    return bytes(said)


def _text(output: bytes | None) -> str:
    return (output or b"").decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """The program and what it started: gone."""
    end_group(process)
    process.wait()
    if process.stdout:
        process.stdout.close()


def end_group(process: subprocess.Popen[bytes], *, softly: bool = False) -> None:
    """Kill a process that leads a session, and what it started; ``softly``: ask them to end. On
    Windows, where it has not been tried, taskkill does it."""
    if os.name == "nt":
        words = ["taskkill", "/T", *([] if softly else ["/F"]), "/PID", str(process.pid)]
        with contextlib.suppress(OSError):
            subprocess.run(words, capture_output=True, check=False)
        if not softly:
            process.kill()
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM if softly else signal.SIGKILL)


def how_ended(status: int) -> str:
    """For people: a status, or the signal."""
    return f"ended with {status}" if status >= 0 else f"was killed by signal {-status}"


def split_words(text: str) -> list[str]:
    """A command line's words: as a shell has them; on Windows ``"`` quotes and nothing else does,
    so that ``"C:\\Program Files\\x.exe" -q`` are two. InvalidError for a quote left open."""
    reader = shlex.shlex(text, posix=True, punctuation_chars=False)
    reader.whitespace_split, reader.commenters = True, ""
    if os.name == "nt":
        reader.escape, reader.quotes = "", '"'
    try:
        return list(reader)
    except ValueError as problem:
        raise InvalidError(f"command {text!r}: {problem}") from problem


def private_command(text: str) -> list[str]:
    """The words of a command that somebody else's file names, its program by full path. No shell.

    RefusedError when others than root and we could change what runs: the program, a file that is an
    argument (an interpreter's script), or a folder on the way to them (a folder with the sticky bit
    protects what is in it). On Windows the program must be named by its full path, and who may
    change it is not looked at: its access list is the administrator's to keep.
    """
    words = split_words(text)
    if not words:
        raise InvalidError("a command is empty", hint="name a program and its arguments")
    if os.name == "nt" and not ntpath.splitdrive(words[0])[0]:
        raise InvalidError(
            f"{words[0]} is no full path", hint='write it with its drive: "C:\\hooks\\a.bat"'
        )
    program = shutil.which(words[0])
    if program is None:
        raise NotFoundError(
            f"{words[0]} is not there or cannot be executed",
            hint="name a program by its full path, or one on PATH; chmod u+x makes a file one",
        )
    if os.name == "nt":
        return [program, *words[1:]]
    found = [os.path.realpath(program), *words[1:]]
    require_private(found)
    return found


def require_private(words: Sequence[str]) -> None:
    """RefusedError when others than root and we could change what these words start: the program
    by its path, a file that is an argument, or a folder on the way to them. Not looked at on
    Windows."""
    for file in (words[0], *(word for word in words[1:] if _is_file(word))):
        require_private_file(file)


def require_private_file(file: str | os.PathLike[str]) -> None:
    """The same for a file that says what runs. NotFoundError when it is not there."""
    if os.name != "nt":
        try:
            _require_private_way(os.fspath(file))
        except OSError as problem:
            raise from_system(problem, f"cannot read {file}") from problem


def _is_file(word: str) -> bool:
    try:
        return Path(word).is_file()
    except (OSError, ValueError):  # too long, not ours to see
        return False


def _require_private_way(file: str) -> None:
    """The file, and the folders to it: by the name given, and without symbolic links."""
    named, real = Path(file).absolute(), Path(file).resolve()
    for place in dict.fromkeys([named, real, *named.parents, *real.parents]):
        _require_private(place, is_file=place in (named, real))


def _require_private(place: Path, *, is_file: bool) -> None:
    facts = place.stat()
    if facts.st_uid not in (0, os.geteuid()):
        raise RefusedError(
            f"{place} belongs to another user, who may change what runs",
            hint=f"chown root {place}, then repeat",
        )
    if facts.st_mode & stat.S_ISVTX and not is_file:
        return
    if facts.st_mode & stat.S_IWOTH:
        raise RefusedError(
            f"{place} may be changed by anybody", hint=f"chmod o-w {place}, then repeat"
        )
    if facts.st_mode & stat.S_IWGRP and not _is_ours(facts.st_gid):
        raise RefusedError(
            f"{place} may be changed by its group {facts.st_gid}",
            hint=f"chmod g-w {place}, then repeat",
        )


def _is_ours(group: int) -> bool:
    """Root's group, or the one that many systems make for each user alone, of the same name."""
    if group == 0:
        return True
    import grp
    import pwd

    try:
        me, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    alone = set(found.gr_mem) <= {me.pw_name}
    return alone and (found.gr_name, group) == (me.pw_name, me.pw_gid)
