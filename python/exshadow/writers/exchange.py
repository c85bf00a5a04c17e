"""Exchange: a component selection for the requestor on Windows; elsewhere a described ESE folder.

On Windows the Exchange writer is Microsoft's. What this module has is which of its components a
backup may name and which kinds of backup are allowed: :func:`select` refuses what the rules forbid
and names the rule. Facts: the fact sheet on ESE files and Exchange under VSS, sections 10 to 13;
what is unsure there is marked here in ``UNSURE``.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from exshadow.errors import InvalidError, NotFoundError, RefusedError
from exshadow.vss import (
    BackupType,
    ComponentMetadata,
    ComponentType,
    FileSet,
    SourceType,
    Writer,
    WriterMetadata,
)

EXCHANGE_WRITER = UUID("76fe1ac4-15f7-4bcd-987e-8e1acb462fb7")
FREEZE_LIMIT = 20.0
"""Seconds: Exchange 2003 thaws by itself then (event 2004) and the set is void."""
SETTLE_SECONDS = 600.0
"""Wait after each Exchange backup for the writer to settle (HP's advice, tunable)."""
SESSIONS_AT_ONCE = 1
"""2003: one VSS backup per server at a time; later ones are exclusive until PostSnapshot."""
UNSURE = {
    "increments of 2003 RTM": "one vendor guide says SP1 brought them",
    "component names": "2003: by name or GUID; below a 2010+ database: 'File' and 'Logs'",
    "replica writer": "same class id, told apart by name and instance",
}


class Generation(enum.Enum):
    """Exchange as far as its backup rules differ."""

    EXCHANGE_2003_RTM = "2003-rtm"
    EXCHANGE_2003 = "2003"
    EXCHANGE_2007 = "2007"
    EXCHANGE_2010 = "2010"  # and later

    @property
    def unit(self) -> str:
        """What is backed up whole."""
        return "database" if self is Generation.EXCHANGE_2010 else "storage group"


@dataclass(frozen=True, slots=True)
class Wish:
    """``names``: storage groups (2003, 2007) or databases (2010+), as the writer names them."""

    generation: Generation
    names: tuple[str, ...]
    type: BackupType
    circular_logging: bool = False
    had_full_backup: bool = True


@dataclass(frozen=True, slots=True)
class Selection:
    """What the requestor adds: pairs of logical path and name; and what it must respect."""

    components: tuple[tuple[str, str], ...]
    truncates_logs: bool
    verify_before_complete: bool
    notes: tuple[str, ...] = ()


def select(wish: Wish, writer: WriterMetadata) -> Selection:
    """The components of ``writer`` for this wish. RefusedError names the rule that forbids it."""
    _require_allowed(wish)
    if not wish.names:
        raise InvalidError(f"name at least one {wish.generation.unit}")
    offered = {one.name.lower(): one for one in writer.components if one.selectable}
    chosen = []
    for name in wish.names:
        found = offered.get(name.lower()) or _by_caption(offered.values(), name)
        if found is None:
            known = ", ".join(sorted(one.name for one in offered.values())) or "none"
            raise NotFoundError(
                f"the Exchange writer has no {wish.generation.unit} '{name}'",
                hint=f"it offers: {known}; what is not mounted is not listed",
            )
        chosen.append((found.logical_path, found.name))
    truncates = wish.type in (BackupType.FULL, BackupType.INCREMENTAL) and not wish.circular_logging
    return Selection(
        tuple(chosen),
        truncates_logs=truncates,
        verify_before_complete=True,
        notes=_notes(wish, len(chosen)),
    )


def _by_caption(offered: Iterable[ComponentMetadata], name: str) -> ComponentMetadata | None:
    return next((one for one in offered if one.caption.lower() == name.lower()), None)


def _require_allowed(wish: Wish) -> None:
    increments = (BackupType.INCREMENTAL, BackupType.DIFFERENTIAL)
    if wish.type not in (BackupType.FULL, BackupType.COPY, *increments):
        raise RefusedError(
            f"the Exchange writer knows no {wish.type.name.lower()} backup",
            hint="use full, copy, incremental or differential",
        )
    if wish.type not in increments:
        return
    if wish.generation is Generation.EXCHANGE_2003_RTM:
        raise RefusedError(
            "rule: Exchange 2003 RTM has full and copy only (SP1 brought increments)",
            hint="install a service pack, or make a full backup",
        )
    if wish.circular_logging:
        raise RefusedError(
            "rule: no incremental or differential backup under circular logging (-526)",
            hint="turn circular logging off and make a full backup first",
        )
    if not wish.had_full_backup:
        raise RefusedError(
            "rule: an increment needs an earlier full backup by VSS (-560)",
            hint="make a full backup first",
        )


def _notes(wish: Wish, count: int) -> tuple[str, ...]:
    notes = [f"freeze to thaw must stay below {FREEZE_LIMIT:g} s"]
    if wish.circular_logging:
        notes.append("circular logging: restorable to this point in time only")
    if wish.generation in (Generation.EXCHANGE_2003, Generation.EXCHANGE_2003_RTM):
        notes.append("one VSS backup of the server at a time")
        notes.append(
            "a storage group is backed up whole; one database is restored with the group offline"
        )
    if count > 1 and wish.generation is not Generation.EXCHANGE_2010:
        notes.append("one storage group per job, one after the other, is the safer order")
    notes.append(f"wait {SETTLE_SECONDS / 60:g} minutes before the next backup of this server")
    return tuple(notes)


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
                raise NotFoundError(f"{folder} is no folder")

    def identify(self) -> WriterMetadata:
        databases = sorted(self.folder.glob("*.edb")) or sorted(self.folder.glob("*.dat"))
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
