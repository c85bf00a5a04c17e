"""A program as the caller's part of a backup or restore: what it is told, and how it answers.

It finds EXSHADOW_SET, EXSHADOW_SNAPSHOTS (how many), EXSHADOW_DEVICE_1, EXSHADOW_VOLUME_1,
EXSHADOW_SNAPSHOT_1 and so on, and EXSHADOW_REPORT, a JSON file. A status other than 0 says that
nothing succeeded; for single components it writes the writer's id, a tab and ``path\\name`` into
the file EXSHADOW_FAILED, a line each. The same as ``exshadow-vss.exe --exec`` does. A list that
is gone, cannot be read, or names what is not there, aborts a backup: no writer is told of a success
that was none.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import UUID

from exshadow.errors import Error, InvalidError, from_system
from exshadow.vss.plain import to_json
from exshadow.vss.procedures import BackupReport, ComponentReport, Copied, RestoreReport
from exshadow.vss.values import ComponentKey

STDOUT = 1  # the file descriptor of this process


class CommandError(Error):
    """The program failed; the writers were told."""


@dataclass(slots=True)
class Command:
    """A line for the shell, run where the service is. `output`: where its stdout goes."""

    line: str
    output: IO[bytes] | int | None = None
    failed: bool = False

    def __call__(self, report: BackupReport | RestoreReport) -> Copied:
        """Run it."""
        with tempfile.TemporaryDirectory(prefix="exshadow-vss-") as folder:
            described, failed = Path(folder) / "report.json", Path(folder) / "failed"
            described.write_text(json.dumps(to_json(report)), encoding="utf-8")
            failed.touch()
            environment = os.environ | {
                "EXSHADOW_REPORT": str(described),
                "EXSHADOW_FAILED": str(failed),
                **_variables(report),
            }
            done = subprocess.run(
                self.line, shell=True, env=environment, stdout=self.output, check=False
            )
            keys = _failed(failed, report.components)
        self.failed = done.returncode != 0 or bool(keys)
        return Copied(all_succeeded=done.returncode == 0, failed=keys)

    def write(self, text: bytes) -> None:
        """Put what the program wrote elsewhere where its output is to go."""
        if not text or (isinstance(self.output, int) and self.output < 0):  # subprocess.DEVNULL
            return
        target = (
            STDOUT if self.output is None else self.output
        )  # where the program itself would write
        if isinstance(target, int):
            with open(target, "wb", closefd=False) as file:
                file.write(text)
        else:
            target.write(text)
            target.flush()

    def error(self) -> CommandError | None:
        """What to tell when the procedure itself went well."""
        if not self.failed:
            return None
        return CommandError(
            "the command failed, and the writers were told which components",
            hint="see what the command wrote, then repeat",
        )


def _failed(path: Path, components: list[ComponentReport]) -> list[ComponentKey]:
    """The components that the program named."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise from_system(problem, "the list of failed components") from None
    except UnicodeDecodeError as problem:
        raise InvalidError(f"the list of failed components is not UTF-8: {problem}") from None
    known: dict[tuple[UUID, str], list[ComponentKey]] = {}
    for one in components:
        name = f"{one.key.logical_path}\\{one.key.name}".strip("\\").casefold()
        known.setdefault((one.key.writer_id, name), []).append(one.key)
    keys: list[ComponentKey] = []
    for line in filter(str.strip, text.splitlines()):
        found = known.get(_named(line), [])
        if not found:
            raise InvalidError(
                f"the command names a component that is not in the backup: {line}",
                hint="write the writer's id, a tab, and path\\name into $EXSHADOW_FAILED",
            )
        keys += found
    return keys


def _named(line: str) -> tuple[UUID, str]:
    """Writer and component, however they are spelt; the nil id for what is no id."""
    writer, _, name = line.partition("\t")
    try:
        return UUID(writer.strip()), name.strip().strip("\\").casefold()
    except ValueError:
        return UUID(int=0), ""


def _variables(report: BackupReport | RestoreReport) -> dict[str, str]:
    if isinstance(report, RestoreReport):
        return {}
    found = {
        "EXSHADOW_SET": str(report.snapshot_set_id),
        "EXSHADOW_SNAPSHOTS": str(len(report.snapshots)),
    }
    for number, one in enumerate(report.snapshots, 1):
        found[f"EXSHADOW_DEVICE_{number}"] = one.device
        found[f"EXSHADOW_VOLUME_{number}"] = one.original_volume
        found[f"EXSHADOW_SNAPSHOT_{number}"] = str(one.snapshot_id)
    return found
