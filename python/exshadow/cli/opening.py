"""What a command works with: the verbs or a desk of the chosen state folder, and a reporter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from exshadow.cli.context import context, state_folder

if TYPE_CHECKING:
    from exshadow.cli.progress import ScreenReporter
    from exshadow.service.contract import Service
    from exshadow.service.desk import Desk


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
