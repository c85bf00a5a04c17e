"""exshadow volume add | list | show | remove"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from exshadow.cli import confirm, options, output, views
from exshadow.cli.opening import open_service
from exshadow.cli.options import DryRun, Force, VolumeName, Yes

app = options.group("volume")


@app.command
def add(
    name: VolumeName,
    path: Annotated[str, Parameter(help="Image file or block device; becomes the first plex.")],
    /,
    *,
    group: Annotated[
        str | None, Parameter(help="Group to be split together with; its own name otherwise.")
    ] = None,
    region: Annotated[
        str,
        Parameter(show_default=True, help="Unit of change tracking, a power of two (K, M, G, T)."),
    ] = "64K",
    metadata_copy: Annotated[
        str | None, Parameter(help="Keep a second copy of the volume file here.")
    ] = None,
    force: Force = False,
) -> int:
    """Adopt an image file or block device as a volume; its bytes are not touched.

    Example: exshadow volume add db /srv/db.img --group shop
    """
    from exshadow.names import parse_size

    region_size = parse_size(region, "region size")
    with open_service(force=force) as service:
        record = service.add_volume(
            name, path, group=group, region_size=region_size, metadata_copy=metadata_copy
        )
    return output.show({"volume": record.to_json()}, views.volume(record))


@app.command(name="list")
def list_() -> int:
    """List all volumes; takes no lock and names who has them open.

    Example: exshadow volume list
    """
    with open_service() as service:
        survey = service.list_volumes()
    found = survey.volumes.values()
    document = {"volumes": [record.to_json() for record in found]}
    return output.show(document, views.volumes(found), survey.problem)


@app.command
def show(name: VolumeName, /) -> int:
    """Show a volume with its plexes and snapshots; takes no lock.

    Example: exshadow volume show db
    """
    with open_service() as service:
        record = service.show_volume(name)
    return output.show({"volume": record.to_json()}, views.volume(record))


@app.command
def remove(
    name: VolumeName,
    /,
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
    force: Annotated[
        bool, Parameter(help="Also when it cannot be opened, or a snapshot is pinned.")
    ] = False,
) -> int:
    """Forget a volume with its mirrors and snapshots; never deletes plex bytes.

    Example: exshadow volume remove db --yes
    """
    with open_service(force=force) as service:
        plan = service.volume_removal(name)
        if dry_run:
            return confirm.only_planned(plan)
        agreed = confirm.confirm(plan, yes=yes)
        service.remove_volume(name, break_sets=agreed)
    document = {"removed": {"volume": name, "plan": plan.to_json()}}
    return output.show(document, f"volume {name} forgotten; its plexes keep their bytes")
