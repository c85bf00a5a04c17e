"""Which service ``exshadow vss`` asks: Windows' own through exshadow-vss.exe, or this machine's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from exshadow.cli.context import state_folder
from exshadow.cli.opening import open_service
from exshadow.errors import InvalidError

if TYPE_CHECKING:
    from exshadow.vss.service import VssService


@Parameter(name="*")
@dataclass(frozen=True)
class Source:
    """Where the service is."""

    tool: Annotated[
        str | None,
        Parameter(help="Path of exshadow-vss.exe; else $EXSHADOW_VSS_TOOL, else this machine."),
    ] = None
    launcher: Annotated[
        str | None,
        Parameter(help="Program that runs the tool, such as wine; else $EXSHADOW_VSS_LAUNCHER."),
    ] = None
    writer: Annotated[
        list[str] | None,
        Parameter(help="Writer of this machine: module:Class?name=value, or its installed name."),
    ] = None


@contextmanager
def open_vss(
    source: Source, *, label: str | None = None, plex: str | None = None
) -> Iterator[VssService]:
    """The service that the options name. On this machine: a coordinator in a process of its own
    with the writers named, over the volumes of the state folder."""
    from exshadow.vss.tool import find_tool

    tool = find_tool(source.tool, source.launcher, os.environ)
    if tool is not None:
        if source.writer:
            raise InvalidError(
                "--writer is for this machine's own coordinator",
                hint="with the tool, Windows knows its writers; choose with --include",
            )
        yield tool
        return
    from exshadow.service.shadow import open_shadow

    state = state_folder().path
    with (
        open_service() as service,
        open_shadow(service, source.writer or (), state, label=label, plex=plex) as shadow,
    ):
        yield shadow
