"""exshadow drill"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from exshadow.cli import options, output
from exshadow.cli.opening import open_service
from exshadow.cli.options import Folder, Force, Glob, GroupName, Script, Timeout
from exshadow.names import format_size
from exshadow.service.drills.wish import Drilled, DrillWish


def drill(
    group: GroupName,
    /,
    *,
    set_: Annotated[
        str | None, Parameter(name="--set", help="This set; else the newest that is ready.")
    ] = None,
    check: Annotated[
        list[str] | None,
        Parameter(help=f"What to check: {options.CHECKS}; else as the set was verified."),
    ] = None,
    dir_: Annotated[
        str | None,
        Parameter(name="--dir", help="Folder for the throw-away plexes; else the state folder."),
    ] = None,
    views: Annotated[
        bool, Parameter(help="Restore nothing: run the checks on throw-away views.")
    ] = False,
    folder: Folder = None,
    glob: Glob = None,
    script: Script = None,
    timeout: Timeout = "1h",
    force: Force = False,
) -> int:
    """Restore a set into throw-away plexes, check what comes back, and time every step.

    Production and the copies are only read; the plexes go in the end, after a kill with the next
    command. The evidence is kept with the set. Exit 5: it did not come back sound.

    Example: exshadow drill shop --check filesystem --check postgresql --dir /scratch
    """
    from exshadow.names import parse_duration
    from exshadow.service.conflicts import absolute

    wish = DrillWish(
        set_,
        tuple(check or ()),
        absolute(dir_) if dir_ is not None else None,
        views,
        parse_duration(timeout, "time limit"),
        tuple(folder or ()),
        tuple(glob or ()),
        absolute(script) if script is not None else None,
    )
    wish.require_valid()
    with open_service(force=force) as service:
        found, error = service.drill(group, wish)
    return output.show({"drill": found.to_json()}, _text(found), error)


def _text(found: Drilled) -> str:
    rows = [
        (
            f"{step.name} {step.volume}".rstrip(),
            f"{step.seconds:.2f}",
            format_size(step.bytes) if step.bytes else "",
            ("" if step.ok else "FAILED: ") + step.detail,
        )
        for step in found.steps
    ]
    table = output.table(("STEP", "SECONDS", "BYTES", "RESULT"), rows, ("SECONDS", "BYTES"))
    return f"drill of {found.set.group}@{found.set.label}: {found.detail}\n\n{table}"
