"""The rules of Exchange for `exshadow vss backup`, where Microsoft's Exchange writer takes part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from exshadow.cli.context import state_folder
from exshadow.errors import InvalidError, NotFoundError, RefusedError
from exshadow.names import parse_duration

if TYPE_CHECKING:
    from exshadow.vss.documents import WriterMetadata
    from exshadow.vss.procedures import BackupRequest, ComponentWish
    from exshadow.vss.service import VssService
    from exshadow.writers.exchange import Wish


@Parameter(name="*")
@dataclass(frozen=True)
class Exchange:
    """What the metadata of the writer do not say."""

    exchange: Annotated[
        Literal["2003-rtm", "2003", "2007", "2010"] | None,
        Parameter(help="Exchange server whose writer takes part; 2010 stands for all later ones."),
    ] = None
    circular_logging: Annotated[
        bool, Parameter(help="Exchange overwrites its logs.", negative=())
    ] = False
    settle: Annotated[
        str, Parameter(help="Between two backups of Exchange.", show_default=True)
    ] = "10m"


NONE = Exchange()


@contextmanager
def by_the_rules(
    vss: VssService, request: BackupRequest, wish: Exchange, *, checked: bool
) -> Iterator[tuple[BackupRequest, tuple[str, ...]]]:
    """The request with its components named exactly, and notes; what Exchange's rules forbid is
    refused. `checked`: a program looks at the copy before the backup is completed."""
    writers = _taking_part(vss, request)
    writer = next(iter(writers), None)
    if writer is None:
        if wish.exchange is not None:
            raise NotFoundError(
                "no Exchange writer takes part",
                hint="see: exshadow vss writers; the information store must run",
            )
        yield request, ()
        return
    from exshadow.writers.exchange import UNSURE, select, take_turn

    if wish.exchange is None:
        raise InvalidError(
            f"'{writer.name}' takes part, and its rules differ by version",
            hint="say --exchange 2003-rtm, 2003, 2007 or 2010 (and later), or leave it out: "
            f"--exclude '{writer.name}'",
        )
    theirs = [one for one in request.included if _names(one, writer)]
    chosen = select(_wish(request, writer, theirs, wish), writer)
    if chosen.truncates_logs and not checked:
        raise RefusedError(
            "rule: Exchange cuts its logs at the end of this backup, and nothing checks the copy",
            hint="--exec a program that does, such as exshadow ese check; or --type copy",
        )
    if theirs:
        others = [one for one in request.included if one not in theirs]
        exact = [
            replace(theirs[0], component=f"{path}\\{name}" if path else name)
            for path, name in chosen.components
        ]
        request = replace(request, included=[*others, *exact])
    settle = 0.0 if wish.settle == "0" else float(parse_duration(wish.settle, "--settle"))
    with take_turn(state_folder().path / "exchange.turn", settle):
        several = (f"{len(writers)} Exchange writers: {UNSURE['replica writer']}",)
        yield request, chosen.notes + several * (len(writers) > 1)


def _taking_part(vss: VssService, request: BackupRequest) -> list[WriterMetadata]:
    """Microsoft's writers, unless they are left out or have nothing mounted."""
    from exshadow.writers.exchange import EXCHANGE_WRITER

    found = []
    for writer in (entry.metadata for entry in vss.writers()):
        out = any(_names(one, writer) and not one.component for one in request.excluded)
        wanted = not request.included or any(_names(one, writer) for one in request.included)
        offers = any(one.selectable for one in writer.components)
        if writer.writer_id == EXCHANGE_WRITER and wanted and not out and offers:
            found.append(writer)
    return found


def _names(wish: ComponentWish, writer: WriterMetadata) -> bool:
    return wish.writer.strip("{}").lower() in (str(writer.writer_id), writer.name.lower())


def _wish(
    request: BackupRequest,
    writer: WriterMetadata,
    theirs: list[ComponentWish],
    wish: Exchange,
) -> Wish:
    """Without components the backup counts as a copy, whatever its type."""
    from exshadow.vss.tables import BackupType
    from exshadow.writers.exchange import Server, Wish

    named = tuple(one.component for one in theirs if one.component)
    everything = tuple(one.name for one in writer.components if one.selectable)
    return Wish(
        Server(wish.exchange),
        named or everything,
        request.state.type if request.state.select_components else BackupType.COPY,
        circular_logging=wish.circular_logging,
        had_full_backup=bool(request.base_document),
    )
