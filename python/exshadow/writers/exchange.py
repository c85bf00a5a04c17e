"""Exchange: what a backup may ask of Microsoft's writer, and when.

:func:`select` has which of its components a backup may name and which kinds of backup are allowed:
it refuses what the rules forbid and names the rule. :func:`take_turn` lets one backup in at a time,
and none before the writer has settled after the last. Elsewhere than on Windows a folder of ESE
files is described by the writer in ese_folder.py. Facts: the fact sheet on ESE files and Exchange
under VSS, sections 10 to 13; what is unsure there is marked here in ``UNSURE``.
"""

from __future__ import annotations

import enum
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from exshadow.errors import BusyError, InvalidError, NotFoundError, RefusedError
from exshadow.vss import BackupType, ComponentMetadata, WriterMetadata

EXCHANGE_WRITER = UUID("76fe1ac4-15f7-4bcd-987e-8e1acb462fb7")
FREEZE_LIMIT = 20.0
"""Seconds: Exchange 2003 thaws by itself then (event 2004) and the set is void."""
SETTLE_SECONDS = 600.0
"""Wait after each Exchange backup for the writer to settle (HP's advice, tunable)."""
UNSURE = {
    "increments of 2003 RTM": "one vendor guide says SP1 brought them",
    "component names": "2003: by name or GUID; below a 2010+ database: 'File' and 'Logs'",
    "replica writer": "same class id, told apart by name and instance",
}


class Server(enum.Enum):
    """Exchange as far as its backup rules differ."""

    EXCHANGE_2003_RTM = "2003-rtm"
    EXCHANGE_2003 = "2003"
    EXCHANGE_2007 = "2007"
    EXCHANGE_2010 = "2010"  # and later

    @property
    def unit(self) -> str:
        """What is backed up whole."""
        return "database" if self is Server.EXCHANGE_2010 else "storage group"


@dataclass(frozen=True, slots=True)
class Wish:
    """``names``: storage groups (2003, 2007) or databases (2010+), as the writer names them."""

    server: Server
    names: tuple[str, ...]
    type: BackupType
    circular_logging: bool = False
    had_full_backup: bool = True


@dataclass(frozen=True, slots=True)
class Selection:
    """What the requestor adds: pairs of logical path and name. ``truncates_logs``: success at the
    end cuts them, so that it may be told only of a copy that was proved."""

    components: tuple[tuple[str, str], ...]
    truncates_logs: bool
    notes: tuple[str, ...] = ()


def select(wish: Wish, writer: WriterMetadata) -> Selection:
    """The components of ``writer`` for this wish. RefusedError names the rule that forbids it."""
    _require_allowed(wish)
    if not wish.names:
        raise InvalidError(f"name at least one {wish.server.unit}")
    offered = {one.name.lower(): one for one in writer.components if one.selectable}
    chosen = []
    for name in wish.names:
        found = offered.get(name.lower()) or _by_other_name(offered.values(), name)
        if found is None:
            known = ", ".join(sorted(one.name for one in offered.values())) or "none"
            raise NotFoundError(
                f"the Exchange writer has no {wish.server.unit} '{name}'",
                hint=f"it offers: {known}; what is not mounted is not listed "
                f"({UNSURE['component names']})",
            )
        chosen.append((found.logical_path, found.name))
    truncates = wish.type in (BackupType.FULL, BackupType.INCREMENTAL) and not wish.circular_logging
    return Selection(
        tuple(chosen),
        truncates_logs=truncates,
        notes=_notes(wish, len(chosen)),
    )


def _by_other_name(offered: Iterable[ComponentMetadata], name: str) -> ComponentMetadata | None:
    """By caption, or by the whole ``path\\name``."""
    for one in offered:
        if name.lower() in (one.caption.lower(), f"{one.logical_path}\\{one.name}".lower()):
            return one
    return None


def _require_allowed(wish: Wish) -> None:
    increments = (BackupType.INCREMENTAL, BackupType.DIFFERENTIAL)
    if wish.type not in (BackupType.FULL, BackupType.COPY, *increments):
        raise RefusedError(
            f"the Exchange writer knows no {wish.type.name.lower()} backup",
            hint="use full, copy, incremental or differential",
        )
    if wish.type not in increments:
        return
    if wish.server is Server.EXCHANGE_2003_RTM:
        raise RefusedError(
            "rule: Exchange 2003 RTM has full and copy only (SP1 brought increments)",
            hint="install a service pack, or make a full backup "
            f"(unsure: {UNSURE['increments of 2003 RTM']})",
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
    if wish.server in (Server.EXCHANGE_2003, Server.EXCHANGE_2003_RTM):
        notes.append("one VSS backup of the server at a time")
        notes.append(
            "a storage group is backed up whole; one database is restored with the group offline"
        )
    if count > 1 and wish.server is not Server.EXCHANGE_2010:
        notes.append("one storage group per job, one after the other, is the safer order")
    return tuple(notes)


@contextmanager
def take_turn(place: Path, settle: float = SETTLE_SECONDS) -> Iterator[None]:
    """One Exchange backup at a time (2003 takes no second one, later versions none before
    PostSnapshot), and none before `settle` seconds after the last, good or not. BusyError says how
    long to wait. ``place``: the file that keeps both."""
    import fcntl

    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                "rule: one VSS backup of Exchange at a time: another one is under way",
                hint="wait for its end",
            ) from None
        _require_settled(descriptor, settle)
        try:
            yield
        finally:
            os.pwrite(descriptor, f"{time.time():020.3f}".encode(), 0)
    finally:
        os.close(descriptor)


def _require_settled(descriptor: int, settle: float) -> None:
    try:
        stamp = float(os.pread(descriptor, 64, 0))
    except ValueError:
        return  # none yet, or lost in a power cut
    since = max(0.0, time.time() - stamp)
    if since < settle:
        raise BusyError(
            f"the last backup of Exchange ended {since:.0f} s ago and its writer is settling",
            hint=f"wait {settle - since:.0f} s more, or give a shorter --settle",
        )
