"""What the global options say, for the one command that runs in this process."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exshadow.service.state import StateFolder


@dataclass(slots=True)
class Context:
    """Global options."""

    state: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    events: list[str] = field(default_factory=list)  # what volumes said while the command ran
    heard: set[str] = field(default_factory=set)  # notes that people have read meanwhile


context = Context()


def state_folder() -> StateFolder:
    """The chosen state folder."""
    from exshadow.service.state import StateFolder, locate

    path = locate(context.state, os.environ, root=os.geteuid() == 0)
    return StateFolder(path, os.environ.get("EXSHADOW_CATALOG"))
