"""Which volumes of a set hold databases and which hold their logs, by what lies on the copies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from exshadow.errors import Error, RefusedError
from exshadow.ese.file_names import from_name
from exshadow.service.checks import folders
from exshadow.service.checks.bench import Bench
from exshadow.service.checks.cluster import is_segment
from exshadow.service.checks.ese import begins_as_database

DATABASE, LOG = "database", "log"
ESE, POSTGRESQL = "ese", "postgresql"
_TABLESPACE = re.compile(r"^PG_\d+(\.\d+)?_\d{9}$")
WAY_OUT = "restore without --roll-forward: everything as it was at the set's time"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with databases or logs. `disk`: volume, or volume/partition; `folder`: within it.
    `bytes`: of the files that a proof reads."""

    system: str
    role: str
    disk: str
    folder: str
    bytes: int = 0

    @property
    def volume(self) -> str:
        return self.disk.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Layout:
    """All places of a set's copies."""

    places: tuple[Place, ...]

    def volumes(self, role: str) -> tuple[str, ...]:
        return tuple(sorted({place.volume for place in self.places if place.role == role}))

    def of(self, system: str, role: str, volumes: Iterable[str]) -> tuple[Place, ...]:
        wanted = set(volumes)
        return tuple(
            place
            for place in self.places
            if (place.system, place.role) == (system, role) and place.volume in wanted
        )

    def bytes(self, volumes: Iterable[str]) -> dict[str, int]:
        """What a proof reads of each of these volumes."""
        return {
            volume: sum(place.bytes for place in self.places if place.volume == volume)
            for volume in volumes
        }

    def chosen(self, named: Sequence[str]) -> tuple[str, ...]:
        """The database volumes to be restored. RefusedError, the rule named, where a roll-forward
        cannot be."""
        databases, logs = self.volumes(DATABASE), self.volumes(LOG)
        if not databases:
            raise RefusedError(
                "rule: a roll-forward needs databases it knows: neither ESE databases nor a data "
                "folder of PostgreSQL were found on the copies",
                hint=WAY_OUT,
            )
        wanted = tuple(named) or databases
        if other := sorted(set(wanted) - set(databases)):
            raise RefusedError(
                f"rule: a roll-forward restores database volumes only: "
                f"{', '.join(other)} holds no database",
                hint=f"database volumes: {', '.join(databases)}",
            )
        self._require_whole_clusters(set(wanted))
        if shared := sorted(set(wanted) & set(logs)):
            raise RefusedError(
                f"rule: logs and databases share a volume ({', '.join(shared)}): "
                "restoring it would overwrite the logs that are to be replayed",
                hint=WAY_OUT,
            )
        if not logs:
            raise RefusedError(
                "rule: a roll-forward replays the current logs: no volume of the set holds logs",
                hint=WAY_OUT,
            )
        return tuple(sorted(wanted))

    def _require_whole_clusters(self, wanted: set[str]) -> None:
        """A data folder and its tablespaces are of one instant."""
        theirs = {place.volume for place in self.of(POSTGRESQL, DATABASE, self.volumes(DATABASE))}
        if theirs & wanted and (rest := sorted(theirs - wanted)):
            raise RefusedError(
                "rule: a data folder of PostgreSQL and its tablespaces are restored together: "
                f"also {', '.join(rest)}",
                hint="leave --volume out, or name them all",
            )


def find(bench: Bench, found: dict[str, Path]) -> Layout:
    """Look at every file of the mounted copies: names first, headers where a name fits."""
    places: dict[tuple[str, str, str, str], int] = {}
    for disk, top in found.items():
        for folder, _, files in folders.walk(bench, (top,)):
            within = str(folder.relative_to(top))
            for system, role, size in _roles(folder, files):
                place = (system, role, disk, within)
                places[place] = places.get(place, 0) + size
    return Layout(tuple(Place(*place, size) for place, size in places.items()))


def _roles(folder: Path, files: list[str]) -> Iterable[tuple[str, str, int]]:
    """System, role, and bytes that the proof reads of it: of a data folder next to nothing."""
    if "PG_VERSION" in files and (folder / "global" / "pg_control").is_file():
        yield POSTGRESQL, DATABASE, 0
    if _TABLESPACE.match(folder.name):
        yield POSTGRESQL, DATABASE, 0
    for name in files:
        path = folder / name
        if is_segment(name) and path.is_file():
            yield POSTGRESQL, LOG, path.stat().st_size
        if role := _ese_role(path):
            yield ESE, role, path.stat().st_size


def _ese_role(path: Path) -> str:
    from exshadow import ese

    named = from_name(str(path))
    if named.role not in ("log", "database", "other") or not path.is_file():
        return ""
    if named.role == "log" and not named.base:
        return ""
    if named.role != "log" and not _is_database(path):
        return ""
    try:
        report = ese.info(path)
    except Error:  # damaged: by its name it counts all the same
        return LOG if named.role == "log" else DATABASE if path.suffix.lower() == ".edb" else ""
    if report.facts.get("temporary"):
        return ""
    return {"log": LOG, "database": DATABASE, "stm": DATABASE}.get(report.kind, "")


def _is_database(path: Path) -> bool:
    if path.suffix.lower() == ".edb":
        return True
    try:
        return begins_as_database(path)
    except OSError:
        return False
