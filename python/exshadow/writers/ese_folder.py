"""``ese-folder``: databases and logs of ESE in a folder, described as components."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from exshadow.errors import NotFoundError
from exshadow.vss import (
    ComponentMetadata,
    ComponentType,
    FileSet,
    SourceType,
    Writer,
    WriterMetadata,
)
from exshadow.writers.exchange import FREEZE_LIMIT


class EseFolderWriter(Writer):
    """``path``: a folder with databases and logs of ESE, described as components. Nothing is held:
    the files must be closed (dismounted), or the set is what a power cut would leave, which ESE
    recovers from its logs. ``logs``: their folder when it is another."""

    writer_id = UUID("6d4f6f0e-8a51-4b8d-9f53-2c7b3f1e6a07")
    name = "ese-folder"
    source = SourceType.TRANSACTED_DB
    freeze_limit = FREEZE_LIMIT
    consistency = "crash"

    def __init__(self, path: str, logs: str = "") -> None:
        self.folder = Path(path)
        self.logs = Path(logs or path)
        self.instance_name = path
        for folder in (self.folder, self.logs):
            if not folder.is_dir():
                raise NotFoundError(
                    f"{folder} is no folder",
                    hint="name the folder of the databases as path=, that of their logs as logs=",
                )

    def identify(self) -> WriterMetadata:
        databases = self._databases(".edb") or self._databases(".dat")
        components = [
            ComponentMetadata(
                database.name,
                str(self.folder),
                type=ComponentType.DATABASE,
                database_files=[FileSet(str(self.folder), f"{database.stem}.*")],
                database_logs=[FileSet(str(self.logs), mask) for mask in ("*.log", "*.chk")],
            )
            for database in databases
        ]
        excluded = [FileSet(str(self.folder), mask) for mask in ("tmp.edb", "temp.edb")]
        excluded += [FileSet(str(self.logs), mask) for mask in ("*tmp.log", "res?.log", "*.jrs")]
        return WriterMetadata(self.writer_id, self.name, components=components, excluded=excluded)

    def _databases(self, suffix: str) -> list[Path]:
        """By suffix in any case: the names are those of Windows, PRIV1.EDB as well."""
        return sorted(one for one in self.folder.iterdir() if one.suffix.lower() == suffix)
