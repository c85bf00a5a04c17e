"""How fast a daemon may copy within a volume, kept in STATE/limits.json for as long as the copy is
not finished, so that the next daemon continues it no faster.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from contextlib import suppress

from exshadow.service.state import StateFolder


class Limits:
    """Bytes a second by volume. Thread-safe; one process has it, the daemon."""

    def __init__(self, folder: StateFolder) -> None:
        self._file = folder.path / "limits.json"
        self._lock = threading.Lock()
        self._known: dict[str, int] = {}
        with suppress(OSError, ValueError, AttributeError):  # lost, a copy is only faster
            found = json.loads(self._file.read_bytes()).items()
            self._known = {name: one for name, one in found if isinstance(one, int) and one > 0}

    def of(self, volume: str) -> int | None:
        with self._lock:
            return self._known.get(volume)

    def put(self, volumes: Iterable[str], limit: int | None) -> None:
        """Remember the limit of the copy within these volumes; None for no limit, or its end."""
        names = set(volumes)
        with self._lock:
            fresh = {name: one for name, one in self._known.items() if name not in names}
            if limit:
                fresh |= dict.fromkeys(names, limit)
            if fresh == self._known:
                return
            self._known = fresh
            with suppress(OSError):
                part = self._file.with_suffix(".new")
                part.write_text(json.dumps(fresh), encoding="utf-8")
                part.replace(self._file)
