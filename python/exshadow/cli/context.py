"""What the global options say, for the one command that runs in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exshadow.cli.progress import ScreenReporter
    from exshadow.service.desk import Desk


@dataclass(slots=True)
class Context:
    """Global options."""

    state: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False


context = Context()


@contextmanager
def open_desk(*, force: bool = False) -> Iterator[Desk]:
    """The desk of the chosen state folder; what it reports goes to the screen."""
    from exshadow.service.desk import Desk
    from exshadow.service.state import StateFolder, locate

    path = locate(context.state, os.environ, root=os.geteuid() == 0)
    folder = StateFolder(path, os.environ.get("EXSHADOW_CATALOG"))
    reporter = make_reporter()
    desk = Desk(folder, reporter, force=force)
    try:
        yield desk
    finally:
        reporter.close()
        desk.close()


def make_reporter() -> ScreenReporter:
    """The reporter that fits the options and the terminal."""
    from exshadow.cli import progress

    return progress.choose(json=context.json, quiet=context.quiet)
