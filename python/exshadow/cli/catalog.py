"""exshadow catalog rebuild | export | import"""

from __future__ import annotations

import json
from typing import Annotated

from cyclopts import Parameter

from exshadow.cli import confirm, options, output
from exshadow.cli.opening import open_desk
from exshadow.cli.options import DryRun, Yes

app = options.group("catalog")


@app.command
def rebuild() -> int:
    """Make the catalog anew from the volume files; verdicts and job history are kept where sound.

    Example: exshadow catalog rebuild
    """
    from exshadow.service import rebuild as catalogs

    with open_desk() as desk:
        counts, survey = catalogs.rebuild(desk)
    text = f"catalog has {counts['volumes']} volumes and {counts['sets']} sets"
    return output.show({"catalog": counts}, text, survey.problem)


@app.command
def export(
    file: Annotated[str | None, Parameter(help="File to write; stdout otherwise.")] = None, /
) -> int:
    """Write the whole catalog as one JSON document.

    Example: exshadow catalog export catalog.json
    """
    from exshadow.service import rebuild as catalogs

    with open_desk() as desk:
        document = catalogs.export_to(desk, file)
    if file is None:
        return output.show(document, json.dumps(document, indent=1))
    return output.show({"exported": {"file": file}}, f"catalog written to {file}")


@app.command(name="import")
def import_(
    file: Annotated[str, Parameter(help="A document written by catalog export.")],
    /,
    *,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Replace the catalog by an exported document, whole or not at all.

    Example: exshadow catalog import catalog.json --yes
    """
    from exshadow.service import rebuild as catalogs

    plan = catalogs.import_plan(file)
    if dry_run:
        return confirm.only_planned(plan)
    with open_desk() as desk:
        confirm.confirm(plan, yes=yes)
        rows = catalogs.import_from(desk, file)
    return output.show({"imported": rows}, f"{sum(rows.values())} facts imported from {file}")
