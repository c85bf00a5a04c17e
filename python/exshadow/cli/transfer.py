"""exshadow snapshot export | import"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from exshadow.cli import confirm, output, views
from exshadow.cli.context import context
from exshadow.cli.opening import open_desk, open_service
from exshadow.cli.options import DryRun, SetName, Yes
from exshadow.errors import InvalidError
from exshadow.model import Plan, Step

if TYPE_CHECKING:
    from exshadow.service.contract import Service


def export(
    set_: SetName,
    folder: Annotated[str | None, Parameter(name="DIR", help="Folder to write into.")] = None,
    /,
    *,
    since: Annotated[
        str | None, Parameter(help="Only what changed since this set, as VOLUME.rbd-diff.")
    ] = None,
    stdout: Annotated[bool, Parameter(help="Write the only volume to stdout.")] = False,
    to: Annotated[
        str | None, Parameter(help="Write one volume onto this image file or block device.")
    ] = None,
    volume: Annotated[
        str | None, Parameter(help="Which volume goes there, of a set of several.")
    ] = None,
    force: Annotated[
        bool, Parameter(help="Replace the file that is there, or what is on the device.")
    ] = False,
) -> int:
    """Write the copies as VOLUME.img, or with changes only as VOLUME.rbd-diff (Ceph's format).

    With --to one copy is written onto an image file or a block device. A file appears when it is
    complete; one that is there, and a device, need --force. With --since an image that holds that
    set is brought to this one by what changed; another one is refused (5). Interrupted, the same
    command goes on.

    Example: exshadow snapshot export shop@noon /backup/noon --since shop@morning

    Example: exshadow snapshot export shop@noon --to /standby/db.img --volume db
    """
    if (folder is not None) + stdout + (to is not None) != 1:
        raise InvalidError("name either a folder, or --to FILE, or --stdout")
    if to is None and (volume is not None or force):
        raise InvalidError("--volume and --force go with --to")
    if stdout and context.json:
        raise InvalidError("--stdout and --json both want stdout")
    if stdout and sys.stdout is None:
        raise InvalidError("stdout is closed", hint="redirect it or name a folder")
    if stdout and sys.stdout.isatty():
        raise InvalidError("an image would go to the terminal", hint="redirect it or name a folder")
    with open_service() as service:
        if to is not None:
            return _onto(service, set_, to, since, volume, force=force)
        done = service.export_set(
            set_, folder, since=since, stream=sys.stdout.buffer if stdout else None
        )
    if stdout:
        return 0
    document = {"job": done.job.to_json(), "files": list(done.files)}
    return output.show(document, "\n".join([views.job(done.job), *done.files]))


def _onto(
    service: Service, set_: str, to: str, since: str | None, volume: str | None, *, force: bool
) -> int:
    from exshadow.service.conflicts import absolute
    from exshadow.service.export_onto import OntoWish

    done = service.export_onto(set_, OntoWish(absolute(to), since, volume, force))
    digest = f"sha256 {done.sha256}" if done.sha256 else f"{done.path} holds that set already"
    text = "\n".join([views.job(done.job), done.path, digest])
    return output.show({"job": done.job.to_json(), "target": done.to_json()}, text)


def import_(
    folder: Annotated[str, Parameter(name="DIR", help="Folder that an export wrote.")],
    /,
    *,
    onto: Annotated[str, Parameter(help="Image file or block device to bring to the snapshot.")],
    volume: Annotated[
        str | None, Parameter(help="Which volume's file, where the folder has several.")
    ] = None,
    force: Annotated[
        bool, Parameter(help="Vouch for the base of an image that has no record of it.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Bring an image outside the mirror to an exported snapshot; refused when the base differs.

    Example: exshadow snapshot import /backup/noon --onto /standby/db.img
    """
    from exshadow.service import transfer

    with open_desk(force=force) as desk:
        found = transfer.find_export(folder, volume)
        step = Step(f"write {found.path} onto", found.volume, onto, found.path.stat().st_size)
        plan = Plan(f"snapshot import {folder} --onto {onto}", (step,))
        if dry_run:
            return confirm.only_planned(plan)
        confirm.confirm(plan, yes=yes)
        job = transfer.import_onto(desk, found, onto)
    return output.show({"job": job.to_json()}, views.job(job))
