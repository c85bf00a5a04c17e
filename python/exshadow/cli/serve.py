"""exshadow serve"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from exshadow.cli import output
from exshadow.cli.context import make_reporter, state_folder
from exshadow.model import Json


def serve(
    *groups: Annotated[str, Parameter(help="Groups to serve; all when none is named.")],
    tcp: Annotated[
        str | None, Parameter(help="NBD on this loopback address and port as well.")
    ] = None,
) -> int:
    """Serve volumes over NBD and answer the control API, in the foreground; SIGTERM ends it.

    Example: exshadow serve --tcp 127.0.0.1:10809
    """
    from exshadow.api import runner

    address = runner.loopback(tcp) if tcp is not None else None
    reporter = make_reporter()
    try:
        runner.run(state_folder(), groups, address, reporter, _ready)
    finally:
        reporter.close()
    return 0


def _ready(status: Json) -> None:
    names = ", ".join(status["volumes"]) or "no volumes yet"
    text = f"serving {names}\nNBD: {', '.join(status['nbd'])}\ncontrol: {status['control']}"
    output.show({"serving": status}, text)
