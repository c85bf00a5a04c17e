"""Runs programs of the system for a check: watched, stopped at the time limit, output bounded.

Every program is the head of a session of its own, which ends with it: nothing it started stays.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from exshadow.errors import UnsupportedError
from exshadow.model import Json
from exshadow.service.checks.evidence import clipped
from exshadow.service.checks.ground import Ground

_TICK_SECONDS = 0.1
_KEPT = 64 << 10  # bytes of output at either end
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

PACKAGES = {
    "blkid": "util-linux",
    "btrfs": "btrfs-progs",
    "e2fsck": "e2fsprogs",
    "fsck.fat": "dosfstools",
    "mount.ntfs-3g": "ntfs-3g",
    "ntfsfix": "ntfs-3g",
    "ntfsresize": "ntfs-3g",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "xfs_repair": "xfsprogs",
}
"""Debian's packages of the programs that checks need."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a program runs as."""

    user: int
    group: int


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended; a negative status is the signal that ended it."""

    command: tuple[str, ...]
    status: int
    output: str
    seconds: float

    def to_json(self) -> Json:
        return {
            "command": " ".join(self.command),
            "status": self.status,
            "output": self.output,
            "seconds": round(self.seconds, 3),
        }


def require(tool: str, package: str = "") -> str:
    """The path of a program. UnsupportedError naming the package that has it."""
    if found := shutil.which(tool, path=f"{os.environ.get('PATH', '')}:{_PATH}"):
        return found
    package = package or PACKAGES.get(tool, tool)
    raise UnsupportedError(f"{tool} is not installed", hint=f"apt-get install {package}")


def run(
    ground: Ground,
    command: Sequence[str | Path],
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    account: Account | None = None,
) -> Ran:
    """Run to the end. Raises what :meth:`Ground.tick` raises, the program killed before."""
    words = tuple(str(word) for word in command)
    begun = time.monotonic()
    with tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        try:
            process = start(words, stdin=given, environment=environment, account=account)
        except OSError as problem:  # it has said nothing of the copy
            raise UnsupportedError(
                f"{words[0]} cannot be started: {problem.strerror}",
                hint="a script begins with the program that runs it: #!/bin/sh",
            ) from None
    with process:
        ground.on_start(process.pid)
        assert process.stdout is not None
        output = _Output()
        try:
            _read(ground, process, process.stdout, output)
        finally:
            kill(process)
    return Ran(words, process.returncode, output.text(), time.monotonic() - begun)


def start(
    command: Sequence[str],
    *,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
    account: Account | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program whose output goes to `stdout`, else to a pipe."""
    return subprocess.Popen(
        command,
        stdin=stdin or subprocess.DEVNULL,
        stdout=stdout or subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": _PATH, "LC_ALL": "C.UTF-8", **(environment or {})},
        cwd="/",
        start_new_session=True,
        user=account.user if account else None,
        group=account.group if account else None,
        extra_groups=[] if account else None,
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it left in its session's group; quiet when they have ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(
    ground: Ground, process: subprocess.Popen[bytes], pipe: IO[bytes], output: _Output
) -> None:
    """Until the program ends; what its children still hold open is not waited for."""
    os.set_blocking(pipe.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        open_ = True
        while process.poll() is None:
            ground.tick()
            if not open_:
                time.sleep(_TICK_SECONDS / 10)
            elif selector.select(_TICK_SECONDS):
                open_ = _take(pipe, output)
        while open_ and selector.select(0):
            open_ = _take(pipe, output)


def _take(pipe: IO[bytes], output: _Output) -> bool:
    """One piece of output; False at its end."""
    piece = os.read(pipe.fileno(), 1 << 16)
    output.add(piece)
    return bool(piece)


class _Output:
    """The beginning and the end of what was said."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self._left_out = 0

    def add(self, piece: bytes) -> None:
        room = _KEPT - len(self._head)
        self._head += piece[:room]
        self._tail += piece[room:]
        if len(self._tail) > _KEPT:
            self._left_out += len(self._tail) - _KEPT
            self._tail = self._tail[-_KEPT:]

    def text(self) -> str:
        middle = b"\n... %d bytes left out ...\n" % self._left_out if self._left_out else b""
        whole = self._head + middle + self._tail
        return clipped(whole.decode("utf-8", "backslashreplace").strip(), _KEPT)
