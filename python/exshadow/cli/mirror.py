"""exshadow mirror add | sync | list | remove | verify"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from exshadow.cli import confirm, options, output, views
from exshadow.cli.opening import open_service
from exshadow.cli.options import DryRun, Force, Label, Limit, VolumeName, Yes
from exshadow.names import format_size

app = options.group("mirror")

PlexLabel = Annotated[str, Parameter(help="Label of the plex.")]


@app.command
def add(
    volume: VolumeName,
    path: Annotated[str, Parameter(help="File (made when missing) or block device.")],
    /,
    *,
    label: Label = None,
    limit: Limit = None,
    overwrite: Annotated[bool, Parameter(help="Replace what PATH holds now.")] = False,
    force: Force = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Attach a plex and sync it. Repeat the command to continue an interrupted one.

    Example: exshadow mirror add db /mirror/db.img --label m2 --limit 100M
    """
    rate = options.rate(limit)
    with open_service(force=force) as service:
        plan = service.mirror_plan(volume, path, label, overwrite=overwrite)
        if dry_run:
            return confirm.only_planned(plan)
        if overwrite:
            confirm.confirm(plan, yes=yes)
        job = service.add_mirror(volume, path, label=label, limit=rate, overwrite=overwrite)
    return output.show({"job": job.to_json()}, views.job(job))


@app.command
def sync(
    volume: VolumeName,
    label: Annotated[str | None, Parameter(help="Only this plex.")] = None,
    /,
    *,
    limit: Limit = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    force: Force = False,
) -> int:
    """Continue any unfinished sync, resync or restore; bring a failed plex back by its map.

    Asks before it writes over a plex that somebody wrote to from outside.

    Example: exshadow mirror sync db m2
    """
    rate = options.rate(limit)
    with open_service(force=force) as service:
        plan = service.sync_plan(volume, label)
        if dry_run:
            return confirm.only_planned(plan)
        if plan.warnings:
            confirm.confirm(plan, yes=yes)
        job = service.sync_mirror(volume, label, limit=rate)
    return output.show({"job": job.to_json()}, views.job(job))


@app.command(name="list")
def list_(volume: VolumeName, /) -> int:
    """List the plexes of a volume; takes no lock.

    Example: exshadow mirror list db
    """
    with open_service() as service:
        record = service.show_volume(volume)
    plexes = [plex.to_json() for plex in record.plexes]
    return output.show({"volume": record.to_json(), "plexes": plexes}, views.plexes(record.plexes))


@app.command
def remove(
    volume: VolumeName,
    label: PlexLabel,
    /,
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    force: Force = False,
) -> int:
    """Take a plex out of the mirror; its file is kept.

    Example: exshadow mirror remove db m2
    """
    with open_service(force=force) as service:
        plan = service.mirror_removal(volume, label)
        if dry_run:
            return confirm.only_planned(plan)
        confirm.confirm(plan, yes=yes)
        service.remove_mirror(volume, label)
        record = service.show_volume(volume)
    return output.show({"volume": record.to_json()}, f"plex {label} removed; its file is kept")


@app.command
def verify(
    volume: VolumeName,
    /,
    *,
    repair: Annotated[bool, Parameter(help="Make the plexes equal again.")] = False,
    from_: Annotated[
        str | None, Parameter(name="--from", help="Copy from this plex, else the authority.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    force: Force = False,
) -> int:
    """Compare the in-sync plexes, also under writes; differences give exit status 5.

    Example: exshadow mirror verify db --repair --from m2
    """
    from exshadow.errors import InvalidError

    if from_ is not None and not repair:
        raise InvalidError("--from needs --repair")
    with open_service(force=force) as service:
        if repair or dry_run:
            plan = service.repair_plan(volume, from_)
            if dry_run:
                return confirm.only_planned(plan)
            confirm.confirm(plan, yes=yes)
        found = service.verify_mirror(volume, repair=repair, source=from_)
    document = {
        "job": found.job.to_json(),
        "differences": [list(extent) for extent in found.differences],
        "repaired": repair,
    }
    return output.show(document, _verdict(found, repair=repair), found.error)


def _verdict(found: object, *, repair: bool) -> str:
    from exshadow.service.mirrors import Compared

    assert isinstance(found, Compared)
    if not found.differences:
        return f"plexes are equal; {views.job(found.job)}"
    size = format_size(sum(length for _, length in found.differences))
    first = ", ".join(f"{offset}+{length}" for offset, length in found.differences[:5])
    more = " ..." if len(found.differences) > 5 else ""
    return f"{'repaired' if repair else 'plexes differ in'} {size} at {first}{more}"
