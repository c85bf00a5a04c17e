"""exshadow policy timers"""

from __future__ import annotations

import codecs
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from exshadow.cli import output
from exshadow.cli.context import state_folder
from exshadow.cli.options import DryRun, PolicyFile
from exshadow.errors import InvalidError, NotFoundError, RefusedError, from_system

if TYPE_CHECKING:
    from exshadow.policy.timers import Unit

_TASK = ".xml"


def timers(
    file: PolicyFile,
    /,
    *,
    into: Annotated[
        Path | None,
        Parameter(
            name="--into",
            help="Folder to write to, /etc/systemd/system say; they are printed otherwise.",
        ),
    ] = None,
    kind: Annotated[
        Literal["systemd", "windows"], Parameter(help="Whose timers.", show_default=True)
    ] = "systemd",
    dry_run: DryRun = False,
) -> int:
    """Write the timers that run what is due: units of systemd, or a task of Windows (XML).

    Timers of groups that the policy has no more are removed from the folder; a folder with those of
    another policy is refused. Then: systemctl daemon-reload, systemctl enable --now
    'exshadow-policy@GROUP.timer'; on Windows: schtasks /create /tn exshadow /xml
    exshadow-policy.xml

    EXSHADOW_CATALOG goes into the units as it is now, unless it holds a password. On Windows it is
    to be a variable of the system: a task has none of its own.

    Example: exshadow policy timers /etc/exshadow/policy.toml --into /etc/systemd/system
    """
    from exshadow.cli.policy import loaded
    from exshadow.policy.timers import systemd_units, windows_task

    policy = loaded(file, None)
    place = str(file.absolute())
    state = str(state_folder().path.absolute())
    if kind == "windows":
        units = [windows_task(policy.group, _command(), place, state)]
    else:
        catalog = os.environ.get("EXSHADOW_CATALOG")
        units = systemd_units(policy.group, _command(), place, state, catalog)
    if not any(group.schedule for group in policy.group.values()):
        raise InvalidError(
            f"no group of {file} has a schedule", hint='give one: schedule = "0 * * * *"'
        )
    if into is not None:
        _require_own(into / units[0].name, place, state)
    gone = _gone(into, units) if into is not None and kind == "systemd" else []
    if into is not None and not dry_run:
        _write(into, units, gone)
    document = {
        "units": [{"name": one.name, "text": one.text} for one in units],
        "removed": [path.name for path in gone],
        "written": str(into) if into is not None and not dry_run else None,
    }
    return output.show(document, _text(into, units, gone, written=not dry_run))


def _command() -> list[str]:
    """What starts this very program."""
    found = shutil.which("exshadow", path=str(Path(sys.executable).parent))
    found = found or shutil.which("exshadow")
    return [found] if found else [sys.executable, "-m", "exshadow"]


def _require_own(shared: Path, policy: str, state: str) -> None:
    """RefusedError when the folder has the service or task of another policy or state folder: all
    timers share it."""
    from exshadow.policy.timers import runs_another, task_runs_another

    is_task = shared.suffix == _TASK
    try:
        raw = shared.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as problem:
        raise from_system(problem, f"cannot read {shared}") from problem
    marked = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # editors may drop it
    text = raw.decode("utf-16" if marked else "utf-8", "replace")
    if (task_runs_another if is_task else runs_another)(text, policy, state):
        raise RefusedError(
            f"{shared} runs another policy or state folder: its timers would be gone",
            hint="put all groups into one policy; if this one takes its place: "
            f"{'delete' if is_task else 'rm'} {shared}, then repeat",
        )


def _gone(into: Path, units: list[Unit]) -> list[Path]:
    """Timers of ours in the folder that the policy does not have."""
    names = {one.name for one in units}
    return sorted(path for path in into.glob("exshadow-policy@*.timer") if path.name not in names)


def _write(into: Path, units: list[Unit], gone: list[Path]) -> None:
    if not into.is_dir():
        raise NotFoundError(
            f"there is no folder {into}", hint=f"make it with: mkdir -p {into}; or name another"
        )
    try:
        for one in units:
            encoding = "utf-16" if one.name.endswith(_TASK) else "utf-8"
            fresh = into / f".{one.name}.new"
            try:
                fresh.write_text(one.text, encoding=encoding)
                fresh.replace(into / one.name)
            finally:
                fresh.unlink(missing_ok=True)  # a full disk leaves no part of it
        for path in gone:
            path.unlink()
    except OSError as problem:
        raise from_system(problem, f"cannot write to {into}") from problem


def _text(into: Path | None, units: list[Unit], gone: list[Path], *, written: bool) -> str:
    if into is None:
        return "\n".join(f"# {one.name}\n{one.text}" for one in units).rstrip()
    verb = ("written", "removed") if written else ("would write", "would remove")
    lines = [f"{verb[0]} {into / one.name}" for one in units]
    return "\n".join(lines + [f"{verb[1]} {path}" for path in gone])
