"""Who hears what an operation says while it runs. The command line brings the real one."""

from __future__ import annotations

import re
from typing import Protocol

from exshadow.model import JobRecord

_EVENT = re.compile(r"volume [^ ]+: ")


def event_note(volume: str, text: str) -> str:
    """What a volume said aloud, as a note."""
    return f"volume {volume}: {text}"


def is_event(note: str) -> bool:
    """Whether a note is what a volume said aloud: people must hear it even if they want quiet."""
    return _EVENT.match(note) is not None


class Reporter(Protocol):
    """Called from the thread that runs the operation."""

    def note(self, text: str) -> None:
        """Something people should know: a full compare, a repaired catalog."""

    def progress(self, what: str, job: JobRecord) -> None:
        """How far the running job is; a few times a second, and once at its end."""


class Silent:
    """Drops everything."""

    def note(self, text: str) -> None:
        pass

    def progress(self, what: str, job: JobRecord) -> None:
        pass
