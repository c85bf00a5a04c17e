"""exshadow vss writers | providers | snapshots | backup | restore | break | import | expose |
revert | resync"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from cyclopts import Parameter

from exshadow.cli import confirm, options, output, vss_views
from exshadow.cli.options import DryRun, Yes
from exshadow.cli.vss_source import Source, open_vss
from exshadow.errors import InvalidError, NotFoundError, from_system
from exshadow.model import Json, Plan, Step
from exshadow.vss.plain import to_json

app = options.group("vss")

HERE = Source()
Include = Annotated[
    list[str] | None,
    Parameter(help="Only this writer, or WRITER:PATH\\NAME one of its components; repeats."),
]
Exclude = Annotated[
    list[str] | None, Parameter(help="Leave this writer or component out; repeats.")
]
Exec = Annotated[
    str | None,
    Parameter(help="Program (with the shell) to run meanwhile; its failure fails the command."),
]
Document = Annotated[str, Parameter(help="File with the document that the backup saved.")]


@app.command
def writers(*, source: Source = HERE) -> int:
    """List the writers with their state and components.

    Example: exshadow vss writers --writer ledger
    """
    with open_vss(source) as vss:
        found = vss.writers()
    return output.show({"writers": to_json(found)}, vss_views.writers(found))


@app.command
def providers(*, source: Source = HERE) -> int:
    """List the providers that can make snapshots.

    Example: exshadow vss providers
    """
    with open_vss(source) as vss:
        found = vss.providers()
    return output.show({"providers": to_json(found)}, vss_views.providers(found))


@app.command
def snapshots(
    *,
    delete: Annotated[
        str | None, Parameter(help="Delete the snapshot, or set, with this id instead.")
    ] = None,
    force: Annotated[bool, Parameter(help="Delete also what is exposed or in use.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    source: Source = HERE,
) -> int:
    """List the snapshots that exist, or delete one or a set.

    Example: exshadow vss snapshots
    """
    from exshadow.vss.errors import failure
    from exshadow.vss.tables import ObjectType

    id = _id(delete) if delete is not None else None
    with open_vss(source) as vss:
        found = vss.snapshots()
        if id is None:
            return output.show({"snapshots": to_json(found)}, vss_views.snapshots(found))
        chosen = [one for one in found if id in (one.snapshot_id, one.set_id)]
        plan = _plan(
            "vss snapshots --delete",
            "delete snapshot of",
            [str(one.original_volume) for one in chosen],
        )
        _must_be_there(chosen, "snapshot or set", id)
        if dry_run:
            return confirm.only_planned(plan)
        confirm.confirm(plan, yes=yes)
        kind = ObjectType.SNAPSHOT_SET if chosen[0].set_id == id else ObjectType.SNAPSHOT
        outcome = vss.delete(id, kind, force=force)
    problem = None
    if outcome.failed_snapshot is not None:
        problem = failure(outcome.failure, f"snapshot {outcome.failed_snapshot}")
    document = {"deleted": outcome.deleted}
    return output.show(document, f"{outcome.deleted} deleted", problem)


@app.command(name="break")
def break_(
    set_: Annotated[str, Parameter(name="SET", help="Id of the snapshot set.")],
    /,
    *,
    flag: Annotated[
        list[str] | None,
        Parameter(help="mask_luns, make_read_write, revert_identity_all, revert_identity_none."),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    source: Source = HERE,
) -> int:
    """Let the service forget a set of a hardware provider; its disks stay.

    Example: exshadow vss break 6f4e1c9e-0000-4000-8000-000000000001 --flag make_read_write
    """
    from exshadow.vss.tables import BreakFlags
    from exshadow.vss.words import flags_from_words

    flags = flags_from_words(BreakFlags, "+".join(flag)) if flag else None
    id = _id(set_)
    with open_vss(source) as vss:
        found = [one for one in vss.snapshots() if one.set_id == id]
        _must_be_there(found, "snapshot set", id)
        plan = _plan(
            "vss break",
            f"forget set {id}, which holds the snapshot of",
            [str(one.original_volume) for one in found],
        )
        if dry_run:
            return confirm.only_planned(plan)
        confirm.confirm(plan, yes=yes)
        vss.break_set(id, flags)
    return output.show({"set": {"id": str(id), "state": "broken"}}, "broken off")


@app.command(name="import")
def import_(document: Document, /, *, source: Source = HERE) -> int:
    """Surface the transportable snapshots that a saved document describes.

    Example: exshadow vss import backup/components.xml
    """
    text = read_text(document)
    with open_vss(source) as vss:
        found = vss.import_set(text)
    shown = vss_views.snapshots(found.snapshots)
    if found.partly:
        shown += "\nsome snapshots of the set could not be surfaced"
    return output.show(to_json(found), shown)


@app.command
def expose(
    snapshot: Annotated[str, Parameter(help="Id of the snapshot.")],
    name: Annotated[str, Parameter(help="Drive letter, empty folder, or share.")] = "",
    /,
    *,
    remote: Annotated[bool, Parameter(help="As a share.")] = False,
    path: Annotated[str, Parameter(help="Only this folder of the snapshot (shares).")] = "",
    undo: Annotated[bool, Parameter(help="Hide it again.")] = False,
    source: Source = HERE,
) -> int:
    """Show a snapshot as drive letter, folder or share.

    Example: exshadow vss expose 6f4e1c9e-0000-4000-8000-000000000002 X:
    """
    from exshadow.vss.values import Exposure

    if undo and (name or remote or path):
        raise InvalidError(
            "--undo takes the snapshot only", hint="exshadow vss expose SNAPSHOT --undo"
        )
    how = Exposure.REMOTELY if remote else Exposure.LOCALLY
    id = _id(snapshot)
    with open_vss(source) as vss:
        if undo:
            vss.unexpose(id)
            return output.show({"exposed": None}, "hidden again")
        shown = vss.expose(id, name, path_from_root=path, how=how)
    return output.show({"exposed": shown}, f"exposed as {shown}")


@app.command
def revert(
    snapshot: Annotated[str, Parameter(help="Id of the snapshot.")],
    /,
    *,
    force: Annotated[bool, Parameter(help="Also while the volume is in use.")] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    source: Source = HERE,
) -> int:
    """Roll a volume back to a snapshot. Cannot be undone.

    Example: exshadow vss revert 6f4e1c9e-0000-4000-8000-000000000002 --dry-run
    """
    id = _id(snapshot)
    with open_vss(source) as vss:
        found = [one for one in vss.snapshots() if one.snapshot_id == id]
        _must_be_there(found, "snapshot", id)
        plan = _plan(
            "vss revert",
            f"roll back to snapshot {id} the volume",
            [str(one.original_volume) for one in found],
        )
        if dry_run:
            return confirm.only_planned(plan)
        confirm.confirm(plan, yes=yes)
        vss.revert(id, force_dismount=force)
    return output.show({"reverted": str(id)}, "rolled back")


@app.command
def resync(
    document: Document,
    pairs: Annotated[list[str], Parameter(help="SNAPSHOT, or SNAPSHOT=VOLUME to overwrite.")],
    /,
    *,
    flag: Annotated[
        list[str] | None, Parameter(help="revert_identity_all, no_volume_check.")
    ] = None,
    tell_writers: Annotated[
        bool, Parameter(help="The document's writers are told before and after, and may refuse.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    source: Source = HERE,
) -> int:
    """Overwrite volumes from snapshots of a hardware provider, whole disks at a time.

    Example: exshadow vss resync backup/components.xml 6f4e1c9e-0000-4000-8000-000000000002
    """
    from exshadow.vss.procedures import RecoveryPair
    from exshadow.vss.tables import RecoveryFlags
    from exshadow.vss.words import flags_from_words

    wanted = []
    for text in pairs:
        snapshot, _, volume = text.partition("=")
        wanted.append(RecoveryPair(_id(snapshot), volume))
    flags = flags_from_words(RecoveryFlags, "+".join(flag or ()))
    text = read_text(document)
    plan = _plan("vss resync", "overwrite from snapshot", pairs)
    if dry_run:
        return confirm.only_planned(plan)
    with open_vss(source) as vss:
        confirm.confirm(plan, yes=yes)
        vss.resync(text, wanted, flags, writers=tell_writers)
    return output.show({"resynced": pairs}, "resynchronised")


for _name in ("backup", "restore"):
    app.command(f"exshadow.cli.vss_{_name}:{_name}", name=_name)


MOST_BYTES = 128 << 20
"""Of a document's file: twice what its reader takes, since UTF-16 has two bytes a character."""


def read_text(path: str) -> str:
    """A document's text; NotFoundError and the like when it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            document = file.read(MOST_BYTES + 1)
        if len(document) > MOST_BYTES:
            raise InvalidError(
                f"{path} is too large for a document: more than {MOST_BYTES >> 20} MiB",
                hint="name components.xml, as exshadow vss backup --save DIR wrote it",
            )
        found = _decoded(document)
    except OSError as problem:
        error = from_system(problem)
        if isinstance(error, InvalidError | NotFoundError):
            error.hint = "name components.xml, as exshadow vss backup --save DIR wrote it"
        raise error from None
    except UnicodeDecodeError as problem:
        raise InvalidError(
            f"{path} is no text in {problem.encoding.upper()}: its byte {problem.start} cannot be",
            hint="name components.xml, as exshadow vss backup --save DIR wrote it",
        ) from None
    if not found.strip():
        raise InvalidError(
            f"{path} is empty",
            hint="name components.xml, as exshadow vss backup --save DIR wrote it",
        )
    return found


def _decoded(document: bytes) -> str:
    """UTF-8, or UTF-16 as other requestors save it: with a mark, or by its first character."""
    if document.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return document.decode("utf-16")
    for first, encoding in ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be")):
        if document.startswith(first):
            return document.decode(encoding)
    return document.decode("utf-8-sig")


def wishes(texts: list[str] | None) -> list[Any]:
    """ComponentWish of each ``WRITER`` or ``WRITER:PATH\\NAME``."""
    from exshadow.vss.procedures import ComponentWish

    found = []
    for text in texts or ():
        writer, _, component = text.partition(":")
        if not writer:
            raise InvalidError(f"'{text}' names no writer", hint="WRITER or WRITER:PATH\\NAME")
        found.append(ComponentWish(writer, component))
    return found


def _must_be_there(found: list[Any], what: str, id: UUID) -> None:
    from exshadow.vss.errors import failure
    from exshadow.vss.tables import HResult

    if not found:
        raise failure(HResult.VSS_E_OBJECT_NOT_FOUND, f"{what} {id}")


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidError(f"'{text}' is no id", hint="see: exshadow vss snapshots") from None


def _plan(command: str, action: str, targets: list[str]) -> Plan:
    return Plan(command, tuple(Step(action, "vss", target) for target in targets))


def report_json(kind: str, report: object) -> Json:
    """The document of a procedure: its report, without the documents it holds."""
    plain = to_json(report)
    for name in ("document", "writer_documents"):
        plain.pop(name, None)
    return {kind: plain}
