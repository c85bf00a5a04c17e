"""What the administrator says about Storage Foundation on this host: ``[provider.sfw]``.

    mirrors = "m1=Harddisk3 m2=Harddisk4 m2/logs=plex:logs-02"
    letters = "P: Q: R:"
    sets = 'D:\\exshadow\\sets'
    sets_copy = '\\\\server\\share\\sets'

A mirror of the policy is a place: one or several disks (``m2=Harddisk4,Harddisk5``), for all
volumes or for one (``m2/logs=...``), or an existing mirror to be converted (``plex:NAME``, always
for one volume). The place tells which snap plex, and which snapshot volume, is whose: two mirrors
never share one.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from exshadow.errors import InvalidError
from exshadow.names import check_name
from exshadow.providers.facts import SFW_MIRRORS

PROGRAMS = ("vxassist", "vxsnap", "vxdg", "vxvol")
KNOWN = {*PROGRAMS, "mirrors", "letters", "folders", "sets", "sets_copy", "devices", "hosts",
         "host", "version", "commands"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mirror's plex of one volume lies: on disks, or a plex by its name. ``others``:
    plexes that may lie there and are another mirror's by name."""

    disks: tuple[str, ...] = ()
    plex: str = ""
    others: frozenset[str] = frozenset()

    def holds(self, name: str, disks: Iterable[str]) -> bool:
        """Whether the plex of this name on these disks is at the place."""
        if self.plex:
            return name == self.plex
        return name not in self.others and not set(disks).isdisjoint(self.disks)


@dataclass(frozen=True, slots=True)
class Settings:
    """Read and checked. ``letters``: those that copies may be given; ``folders``: empty NTFS
    folders for the same; ``hosts``: nodes of the cluster that share the sets; ``devices``: where
    device names are opened."""

    places: Mapping[tuple[str, str], Place]  # (mirror, volume); volume "" for all
    letters: tuple[str, ...]
    folders: tuple[str, ...]
    sets: Path
    sets_copy: Path
    devices: str
    host: str
    hosts: frozenset[str]
    version: str
    commands: Path | None

    def place(self, mirror: str, volume: str) -> Place:
        """InvalidError when nobody said where the mirror lies."""
        found = self.places.get((mirror, volume)) or self.places.get((mirror, ""))
        if found is None:
            raise InvalidError(
                f"nobody said where mirror {mirror} of {volume} lies",
                hint=f"say its disk in [provider.sfw]: mirrors = '{mirror}=Harddisk3'",
            )
        return found

    @property
    def labels(self) -> tuple[str, ...]:
        """All mirrors that have a place, sorted."""
        return tuple(sorted({mirror for mirror, _ in self.places}))


def read(plain: Mapping[str, str]) -> Settings:
    """InvalidError with what is wrong."""
    if unknown := sorted(plain.keys() - KNOWN):
        raise InvalidError(
            f"[provider.sfw] has no setting {unknown[0]!r}",
            hint=f"there are {', '.join(sorted(KNOWN))}",
        )
    host = plain.get("host") or platform.node()
    sets = Path(plain.get("sets") or _default_sets())
    return Settings(
        places=_places(plain.get("mirrors", "")),
        letters=_letters(plain.get("letters", "")),
        folders=tuple(plain.get("folders", "").split(";")) if plain.get("folders") else (),
        sets=sets,
        sets_copy=Path(plain.get("sets_copy") or sets / "copy"),
        devices=plain.get("devices") or "\\\\.\\",
        host=host,
        hosts=frozenset([host, *plain.get("hosts", "").split()]),
        version=plain.get("version") or "7.3",
        commands=Path(plain["commands"]) if plain.get("commands") else None,
    )


def _default_sets() -> Path:
    root = os.environ.get("PROGRAMDATA") if os.name == "nt" else "/var/lib"
    return Path(root or "C:\\ProgramData") / "exshadow" / "sfw"


def _letters(text: str) -> tuple[str, ...]:
    found = text.replace(",", " ").upper().split()
    for letter in found:
        if not re.fullmatch(r"[D-Z]:", letter):
            raise InvalidError(f"letters: {letter!r} is no drive letter", hint="write P: Q: R:")
    return tuple(found)


def _places(text: str) -> Mapping[tuple[str, str], Place]:
    found: dict[tuple[str, str], Place] = {}
    for word in text.split():
        who, equals, where = word.partition("=")
        mirror, slash, volume = who.partition("/")
        if not equals or not where or (slash and not volume):
            raise InvalidError(
                f"mirrors: {word!r} says no place",
                hint="write m1=Harddisk3 or m1/logs=plex:logs-02",
            )
        check_name(mirror, "mirror")
        if where.startswith("plex:"):
            if not volume:
                raise InvalidError(
                    f"mirrors: {word!r}: a plex belongs to one volume",
                    hint=f"write {mirror}/VOLUME={where}",
                )
            place = Place(plex=where.removeprefix("plex:"))
        else:
            place = Place(disks=tuple(where.split(",")))
        if (mirror, volume) in found:
            raise InvalidError(f"mirrors: {who} has two places")
        found[mirror, volume] = place
    if len({mirror for mirror, _ in found}) >= SFW_MIRRORS:
        raise InvalidError(f"a volume can have {SFW_MIRRORS} mirrors at most")
    for volume in {volume for _, volume in found}:
        _apart(volume, {mirror: place for (mirror, of), place in found.items() if of == volume} | {
            mirror: place for (mirror, of), place in found.items()
            if of == "" and (mirror, volume) not in found
        })  # fmt: skip
    named = frozenset(place.plex for place in found.values() if place.plex)
    return {key: replace(place, others=named - {place.plex}) for key, place in found.items()}


def _apart(volume: str, places: Mapping[str, Place]) -> None:
    """InvalidError when two mirrors of the volume ("": of any) share a disk or a plex."""
    for one, other in combinations(sorted(places), 2):
        shared = {*places[one].disks, places[one].plex} & {*places[other].disks, places[other].plex}
        if shared := shared - {""}:
            raise InvalidError(
                f"mirrors: {one} and {other}{f' of {volume}' if volume else ''} share "
                f"{', '.join(sorted(shared))}: nobody could tell whose plex lies there",
                hint="give every mirror of a volume disks of its own",
            )
