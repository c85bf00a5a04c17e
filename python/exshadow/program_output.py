"""What a program says, in a nameless file that stays small however much it says.

No pipe: a child that a program leaves behind would keep one open, and its end be waited for.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from types import TracebackType
from typing import IO

from exshadow import sparse

_LOOK = 0.2  # seconds between two looks at what a program writes
_WRITTEN = 1 << 20  # bytes that it may have written then, else only ...
_END = 1 << 17  # ... the last of them stay


class ProgramOutput:
    """A context; its ``file`` is the program's stdout, stderr or both. One thread."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (__exit__ closes it)
        self._kept = 0  # the offset from which all is still there
        if os.name != "nt":
            import fcntl

            flags = fcntl.fcntl(self.file, fcntl.F_GETFL)
            fcntl.fcntl(self.file, fcntl.F_SETFL, flags | os.O_APPEND)

    def __enter__(self) -> ProgramOutput:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.file.close()

    def wait(self, process: subprocess.Popen[bytes], limit: float) -> None:
        """Wait for the program's end. Of much that it says only the last stays (all on Windows).
        subprocess.TimeoutExpired past ``limit`` seconds."""
        end = time.monotonic() + limit
        while True:
            left = max(0.0, end - time.monotonic())
            try:
                process.wait(min(left, _LOOK))
                return
            except subprocess.TimeoutExpired:
                if left <= _LOOK:
                    raise subprocess.TimeoutExpired(process.args, limit) from None
            if os.name != "nt":
                self._let_go()

    def last(self, characters: int) -> str:
        """The end of what was said, as UTF-8, which has up to four bytes a character."""
        size = self.file.seek(0, os.SEEK_END)
        self.file.seek(max(self._kept, size - 4 * characters))
        return self.file.read().decode(errors="replace")[-characters:]

    def _let_go(self) -> None:
        """A hole takes the place of what is old: the program may be writing just now, and its new
        words must not be lost. Where the file system has no holes, those of that moment are."""
        descriptor = self.file.fileno()
        size = os.fstat(descriptor).st_size
        if size - self._kept <= _WRITTEN:
            return
        if sparse.punch(descriptor, self._kept, size - _END - self._kept):
            self._kept = size - _END
        else:
            os.ftruncate(descriptor, 0)
