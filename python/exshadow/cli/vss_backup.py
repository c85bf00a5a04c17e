"""exshadow vss backup"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from exshadow.cli import output, vss_exchange, vss_views
from exshadow.cli.context import context
from exshadow.cli.options import Label
from exshadow.cli.vss import HERE, Exclude, Exec, Include, read_text, report_json, wishes
from exshadow.cli.vss_source import Source, open_vss
from exshadow.errors import InvalidError, from_system

if TYPE_CHECKING:
    from exshadow.vss.command import Command
    from exshadow.vss.procedures import BackupReport, BackupRequest
    from exshadow.vss.tables import BackupType


_MOST_TRIES = 1000
_LONGEST_WAIT = 7 * 86400


def backup(
    volumes: Annotated[
        list[str] | None,
        Parameter(help="Volumes; none: those that the writers' components lie on."),
    ] = None,
    /,
    *,
    type: Annotated[
        str | None,
        Parameter(
            help="full, copy, incremental, differential, log; else full with --exec, which proves "
            "the copy, and copy without."
        ),
    ] = None,
    keep: Annotated[
        bool, Parameter(help="Keep the snapshots when the command ends (context app_rollback).")
    ] = False,
    transportable: Annotated[
        bool, Parameter(help="For import on another machine; hardware providers.")
    ] = False,
    no_components: Annotated[
        bool, Parameter(help="Writers decide by volumes, nothing is chosen.")
    ] = False,
    include: Include = None,
    exclude: Exclude = None,
    provider: Annotated[str, Parameter(help="Id or name; else the service chooses.")] = "",
    base: Annotated[
        str | None, Parameter(help="Document of the backup that this one builds on.")
    ] = None,
    exec: Exec = None,
    save: Annotated[str | None, Parameter(help="Folder for the documents.")] = None,
    label: Label = None,
    plex: Annotated[str | None, Parameter(help="Plex to split off (this machine).")] = None,
    tries: Annotated[int, Parameter(help="Tries after transient failures.", show_default=True)] = 1,
    retry_wait: Annotated[
        float, Parameter(help="Seconds between two tries.", show_default=True)
    ] = 600.0,
    exchange: vss_exchange.Exchange = vss_exchange.NONE,
    source: Source = HERE,
) -> int:
    """Make a snapshot set with the writers frozen round it, run a program, complete.

    The program finds EXSHADOW_SET, EXSHADOW_SNAPSHOTS (how many), EXSHADOW_DEVICE_1,
    EXSHADOW_VOLUME_1 and so on, and the JSON file EXSHADOW_REPORT. For single components that
    failed it writes the writer's id, a tab and PATH\\NAME into the file EXSHADOW_FAILED.

    Where Microsoft's Exchange writer takes part --exchange says its version: what its rules forbid
    is refused, one backup is made at a time, and none before --settle after the last.

    Example: exshadow vss backup db logs --writer ledger --keep --save documents
    """
    from exshadow.vss.procedures import BackupRequest, RetryLimits
    from exshadow.vss.values import BackupState

    if not 1 <= tries <= _MOST_TRIES or not 0 <= retry_wait <= _LONGEST_WAIT:
        raise InvalidError(
            f"--tries is 1 to {_MOST_TRIES}, --retry-wait 0 to {_LONGEST_WAIT} seconds",
            hint="--tries 3 --retry-wait 600",
        )
    request = BackupRequest(
        volumes=list(volumes or ()),
        provider=provider,
        context=_context(keep, transportable),
        state=BackupState(not no_components, False, _kind(type, exec), False),
        included=wishes(include),
        excluded=wishes(exclude),
        base_document=read_text(base) if base is not None else "",
        retry=RetryLimits(tries=tries, wait=int(retry_wait * 1000)),
    )
    return _run_backup(request, source, exchange, exec, save, label, plex)


def _kind(type: str | None, exec: str | None) -> BackupType:
    """InvalidError for a backup that lets writers cut logs without a proof of the copy."""
    from exshadow.vss.tables import BackupType
    from exshadow.vss.words import from_word

    command_of(exec)
    kind = from_word(BackupType, type or ("full" if exec is not None else "copy"))
    if exec is None and kind in (BackupType.FULL, BackupType.INCREMENTAL, BackupType.LOG):
        raise InvalidError(
            f"a backup of the type {type} lets writers cut their logs: it needs --exec, whose "
            "status says whether the copy is good",
            hint="name a program that proves the copy, or use --type copy",
        )
    return kind


def _run_backup(
    request: BackupRequest,
    source: Source,
    exchange: vss_exchange.Exchange,
    exec: str | None,
    save: str | None,
    label: str | None,
    plex: str | None,
) -> int:
    program = command_of(exec)
    with (
        _folder(save) as folder,
        open_vss(source, label=label, plex=plex) as vss,
        vss_exchange.by_the_rules(vss, request, exchange, checked=program is not None) as ruled,
    ):
        request, notes = ruled
        outcome = vss.backup(request, program)
        outcome.report.notes.extend(notes)
        if folder is not None and outcome.report.document:
            _save(folder, outcome.report)
    error = outcome.error or (program.error() if program else None)
    return output.show(
        report_json("backup", outcome.report), vss_views.backup(outcome.report), error
    )


def _context(keep: bool, transportable: bool) -> int:
    from exshadow.vss.tables import SnapshotAttributes
    from exshadow.vss.values import Context

    context = int(Context.APP_ROLLBACK if keep else Context.BACKUP)
    return context | (SnapshotAttributes.TRANSPORTABLE if transportable else 0)


def command_of(line: str | None) -> Command | None:
    """The program; where stdout is for the document, its own goes to stderr."""
    from exshadow.vss.command import Command

    if line is None:
        return None
    if not line.strip():
        raise InvalidError(
            "--exec names no program: nothing would be done, and the writers would hear that it "
            "was done well",
            hint="name a program; is a variable of the shell empty?",
        )
    return Command(line, sys.stderr.fileno() if context.json else None)


@contextmanager
def _folder(save: str | None) -> Iterator[Path | None]:
    """The folder for documents, made before anything is frozen. What was made and holds nothing in
    the end, since the backup failed, goes again."""
    if save is None:
        yield None
        return
    if not save:
        raise InvalidError(
            "--save names no folder", hint="name one; is a variable of the shell empty?"
        )
    folder = Path(save)
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise from_system(problem, f"cannot make {save}") from None
    try:
        yield folder
    finally:
        with suppress(OSError):  # not empty: it was needed
            for one in made:
                one.rmdir()


def _save(folder: Path, report: BackupReport) -> None:
    try:
        (folder / "components.xml").write_text(report.document, encoding="utf-8")
        for one in report.writer_documents:
            (folder / f"writer-{one.instance_id}.xml").write_text(one.xml, encoding="utf-8")
    except OSError as problem:
        raise from_system(problem) from None
