"""A program as the caller's part of a backup or restore: what it is told, and how it answers.

It finds EXSHADOW_SET, EXSHADOW_SNAPSHOTS (how many), EXSHADOW_DEVICE_1, EXSHADOW_VOLUME_1,
EXSHADOW_SNAPSHOT_1 and so on, and EXSHADOW_REPORT, a JSON file. A status other than 0 says that
nothing succeeded; for single components it writes the writer's id, a tab and ``path\\name`` into
the file EXSHADOW_FAILED, a line each. The same as ``exshadow-vss.exe --exec`` does.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from exshadow.errors import Error
from exshadow.vss.plain import to_json
from exshadow.vss.procedures import BackupReport, ComponentReport, Copied, RestoreReport


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
            named = set(failed.read_text(encoding="utf-8").splitlines())
        keys = [one.key for one in report.components if _name(one) in named]
        self.failed = done.returncode != 0 or bool(named)
        return Copied(all_succeeded=done.returncode == 0, failed=keys)

    def error(self) -> CommandError | None:
        """What to tell when the procedure itself went well."""
        if not self.failed:
            return None
        return CommandError(
            "the command failed, and the writers were told which components",
            hint="see what the command wrote, then repeat",
        )


def _name(one: ComponentReport) -> str:
    path = one.key.logical_path
    return (
        f"{one.key.writer_id}\t{path}\\{one.key.name}"
        if path
        else (f"{one.key.writer_id}\t{one.key.name}")
    )


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
