"""What products were told and said, word for word, in a file that stays: an administrator reads it
after a failure, when the process is long gone.

``commands.log`` of the provider's state folder, for its owner only. At 4 MiB it becomes
``commands.log.1``, of which three are kept. An answer that is the same as the last one to the same
command is not written again: progress is asked for every few seconds. Secrets are masked by whoever
writes. A log that cannot be written stops nothing: the command has been given.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from datetime import UTC, datetime
from pathlib import Path

NAME = "commands.log"
LIMIT = 4 << 20
KEPT = 3

_REMEMBERED = 64  # commands whose last answer is known
_O_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


class CommandLog:
    """One file; several processes may append to it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._last: dict[tuple[str, ...], int] = {}

    def write(self, command: tuple[str, ...], status: int, output: str, seconds: float) -> None:
        """Append one command and its answer, masked."""
        same = self._last.get(command) == hash((status, output))
        if len(self._last) >= _REMEMBERED:
            self._last.clear()
        self._last[command] = hash((status, output))
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        said = "(the same as before)" if same else output.rstrip("\n")
        entry = f"--- {at} {shlex.join(command)}\n{said}\n--- status {status}, {seconds:.3f} s\n"
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._append(entry.encode(errors="replace"))

    def _append(self, entry: bytes) -> None:
        if self.path.exists() and self.path.stat().st_size + len(entry) > LIMIT:
            self._rotate()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _O_NOFOLLOW
        file = os.open(self.path, flags, 0o600)
        try:
            os.write(file, entry)
        finally:
            os.close(file)

    def _rotate(self) -> None:
        """The oldest goes. If another process does the same just now, one more of them goes."""
        for number in range(KEPT, 0, -1):
            older = self.path.with_name(f"{NAME}.{number}")
            newer = self.path.with_name(f"{NAME}.{number - 1}") if number > 1 else self.path
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
