"""What the global options say, for the one command that runs in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exshadow.cli.progress import ScreenReporter
    from exshadow.service.contract import Service
    from exshadow.service.desk import Desk
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


@contextmanager
def open_service(*, force: bool = False) -> Iterator[Service]:
    """The verbs of the chosen state folder: of its daemon when one runs, else of this process."""
    folder = state_folder()
    if os.path.lexists(folder.control_socket):  # False too where the folder may not be read
        from exshadow.client.service import connect_service

        reporter = make_reporter()
        try:
            remote = connect_service(folder.control_socket, reporter, force=force)
            if remote is not None:
                with remote:
                    yield remote
                return
        finally:
            reporter.close()
    from exshadow.service.local import LocalService

    with open_desk(force=force) as desk:
        yield LocalService(desk)


@contextmanager
def open_desk(*, force: bool = False) -> Iterator[Desk]:
    """The desk of the chosen state folder; what it reports goes to the screen."""
    from exshadow.service.desk import Desk

    reporter = make_reporter()
    desk = Desk(state_folder(), reporter, force=force)
    try:
        yield desk
    finally:
        reporter.close()
        desk.close()


def make_reporter() -> ScreenReporter:
    """The reporter that fits the options and the terminal."""
    from exshadow.cli import progress

    return progress.choose(json=context.json, quiet=context.quiet)
