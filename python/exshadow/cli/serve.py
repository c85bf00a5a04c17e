"""exshadow serve"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from exshadow.cli import output
from exshadow.cli.context import state_folder
from exshadow.cli.opening import make_reporter
from exshadow.model import Json


def serve(
    *groups: Annotated[str, Parameter(help="Groups to serve; all when none is named.")],
    tcp: Annotated[
        str | None, Parameter(help="NBD on this loopback address and port as well.")
    ] = None,
    view_limit: Annotated[
        str,
        Parameter(show_default=True, help="Most that one writable view may hold (K, M, G, T)."),
    ] = "1G",
    latency_limit: Annotated[
        str,
        Parameter(
            show_default=True,
            help="A plex that does not answer for so long leaves its mirror (s, m, h).",
        ),
    ] = "30s",
) -> int:
    """Serve volumes over NBD and answer the control API, in the foreground; SIGTERM ends it.

    Example: exshadow serve --tcp 127.0.0.1:10809
    """
    from exshadow.api import runner
    from exshadow.names import parse_duration, parse_size
    from exshadow.service.house import Offer

    address = runner.loopback(tcp) if tcp is not None else None
    offer = Offer(address, parse_size(view_limit, "view limit"))
    limit = parse_duration(latency_limit, "latency limit")
    reporter = make_reporter()
    try:
        runner.run(state_folder(), groups, offer, reporter, _ready, latency_limit=limit)
    finally:
        reporter.close()
    return 0


def _ready(status: Json) -> None:
    names = ", ".join(status["volumes"]) or "no volumes yet"
    text = f"serving {names}\nNBD: {', '.join(status['nbd'])}\ncontrol: {status['control']}"
    output.show({"serving": status}, text)
