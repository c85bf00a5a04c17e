"""A program as the caller's part of a backup or restore: what it is told, and how it answers.

It finds EXSHADOW_SET, EXSHADOW_SNAPSHOTS (how many), EXSHADOW_DEVICE_1, EXSHADOW_VOLUME_1,
EXSHADOW_SNAPSHOT_1 and so on, and EXSHADOW_REPORT, a JSON file. A status other than 0 says that
nothing succeeded; for single components it writes the writer's id, a tab and ``path\\name`` into
the file EXSHADOW_FAILED, a line each; a line that names none says that nothing succeeded. The
variables and files are those of ``exshadow-vss.exe --exec``.
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

from exshadow.errors import Error
from exshadow.vss.plain import to_json
from exshadow.vss.procedures import BackupReport, ComponentReport, Copied, RestoreReport
from exshadow.vss.values import ComponentKey


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
            lines = _lines(failed)
        keys, unknown = _failed_components(report.components, lines)
        self.failed = done.returncode != 0 or bool(lines)
        # Whatever an unknown line meant, it was a failure: then nobody hears of success.
        return Copied(all_succeeded=done.returncode == 0 and not unknown, failed=keys)

    def error(self) -> CommandError | None:
        """What to tell when the procedure itself went well."""
        if not self.failed:
            return None
        return CommandError(
            "the command failed, and the writers were told which components",
            hint="see what the command wrote, then repeat",
        )


def _lines(file: Path) -> list[str]:
    try:
        told = file.read_text(encoding="utf-8", errors="replace")
    except OSError as problem:  # it was moved away: nobody knows what it said
        return [str(problem)]
    return [line for line in told.splitlines() if line.strip()]


def _failed_components(
    components: list[ComponentReport], lines: list[str]
) -> tuple[list[ComponentKey], list[str]]:
    """Those that the lines name, and the lines that name none."""
    known: dict[tuple[UUID, str], list[ComponentKey]] = {}
    for one in components:
        path = f"{one.key.logical_path}\\{one.key.name}".strip("\\").casefold()
        known.setdefault((one.key.writer_id, path), []).append(one.key)
    keys: list[ComponentKey] = []
    unknown = []
    for line in lines:
        writer, _, name = line.partition("\t")
        try:
            found = known.get((UUID(writer.strip()), name.strip().strip("\\").casefold()), [])
        except ValueError:
            found = []
        keys += found
        if not found:
            unknown.append(line)
    return keys, unknown


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
