"""exshadow demo"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from exshadow.cli import output
from exshadow.cli.context import context
from exshadow.cli.opening import make_reporter
from exshadow.names import format_size

if TYPE_CHECKING:
    from exshadow.demo import Report


def demo(
    *,
    size: Annotated[
        Literal["small", "full"], Parameter(help="A database of some 3 or 100 MB.")
    ] = "full",
    folder: Annotated[
        Path | None, Parameter(name="--dir", help="Where the files go; the temporary folder.")
    ] = None,
    keep: Annotated[bool, Parameter(help="Leave the files for a look.")] = False,
) -> int:
    """The main job on a made-up server: mirror, split, damage, restore, mirror again.

    A second act, for root with ntfs-3g: a mail server's database and log volumes, rolled forward.
    Every claim is checked by e2fsck, SQLite and ese check; the exit status is 5 when one does not
    hold, also when the damage does not show.

    Example: exshadow demo --dir /mnt/fast --keep
    """
    from exshadow.demo import run

    reporter = make_reporter()
    try:
        report = run(size, reporter, folder=folder, keep=keep)
    finally:
        reporter.close()
    return output.show(report.to_json(), "" if context.json else _text(report))


def _text(report: Report) -> str:
    """A table of times and bytes, and what it adds up to."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="exshadow demo", title_justify="left")
    table.add_column("step", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("copied", justify="right", no_wrap=True)
    table.add_column("what")
    for step in report.steps:
        moved = "" if step.moved is None else format_size(step.moved)
        table.add_row(step.name, f"{1000 * step.seconds:.1f}", moved, step.detail)
    console = Console()
    with console.capture() as capture:
        console.print(table)
    lines = [capture.get(), f"{len(report.checks)} checks, all as they must be"]
    lines += report.skipped
    if report.kept_in is not None:
        lines.append(f"the files are in {report.kept_in}")
    return "\n".join(lines)
