"""The programs of Storage Foundation: a command given, the state read back as values.

A command's status proves nothing: :meth:`Product.do` never fails by it. Whoever gave it reads the
state back and, when that is not what was wanted, raises :meth:`Said.error`.
"""

from __future__ import annotations

from dataclasses import dataclass

from exshadow.commands import CommandRunner
from exshadow.errors import Error, ProviderError, TimedOutError
from exshadow.providers.templates import Book, Sure, Value


@dataclass(frozen=True, slots=True)
class Plex:
    """``state``: active, syncing, ready, or "" for a word that nobody knows (``shown``)."""

    name: str
    disks: tuple[str, ...]
    state: str
    shown: str
    percent: int | None


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of an imported disk group. ``places``: letters and folders where it is mounted."""

    group: str
    name: str
    size: int
    layout: str
    places: tuple[str, ...]
    plexes: tuple[Plex, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """What one side knows of a snapshot: (group, volume) of both. ``dirty``: per cent changed."""

    original: tuple[str, str]
    snapshot: tuple[str, str]
    side: str
    dirty: int


@dataclass(frozen=True, slots=True)
class Group:
    """``kind``: sfw, ldm or "" for a word that nobody knows; ``imported``: on this host."""

    name: str
    kind: str
    imported: bool


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended; ``status`` None: it did not, and was ended."""

    command: str
    status: int | None
    output: str
    sure: Sure
    log: str = ""  # where all is that was said

    def error(self, found: str) -> Error:
        """For a state that is not what the command was for."""
        if self.status is None:
            return TimedOutError(
                f"{self.command} was not done in time, and {found}",
                hint=f"look at the product's own console, then repeat{self._where()}",
            )
        ended = f"'{self.command}' ended with {self.status}, but {found}"
        said = " ".join(self.output.split())[:400]
        unsure = (
            ""
            if self.sure is Sure.CONFIRMED
            else f" (the command's text is {self.sure}: correct it by the setting commands)"
        )
        return ProviderError(
            f"{ended}; it said: {said or 'nothing'}",
            hint=f"look at the product's own console{unsure}{self._where()}",
        )

    def _where(self) -> str:
        return f"; {self.log}" if self.log else ""


class Product:
    """Commands of one version, run by one runner."""

    def __init__(self, book: Book, commands: CommandRunner) -> None:
        self._book = book
        self._commands = commands

    def do(self, name: str, **values: Value) -> Said:
        """Give the command. UnsupportedError when the program is not here."""
        program, *words = self._book.words(name, values)
        shown = self._commands.masked(" ".join([program, *words]))
        sure = self._book.sure(name)
        try:
            ran = self._commands.run(program, words, self._book.limit(name))
        except TimedOutError:
            return Said(shown, None, "", sure, self._commands.hint())
        return Said(shown, ran.status, ran.output, sure, self._commands.hint())

    def shown(self, name: str, **values: Value) -> str:
        """The command as people are told it."""
        return self._book.line(name, values)

    def volume(self, name: str, group: str = "") -> Volume | None:
        """By letter, folder or device path, or by name with its group; None when it is not here."""
        said = self.do("volume", volume=name, group=group)
        output = said.output
        if said.status is not None and self._book.matches("no_volume", output):
            return None
        names = [found["name"] for found in self._book.find("volume", output)]
        groups = [found["group"] for found in self._book.find("volume_group", output)]
        sizes = [found["bytes"] for found in self._book.find("size", output)]
        layouts = [found["layout"] for found in self._book.find("layout", output)]
        if not (len(names) == len(groups) == len(sizes) == len(layouts) == 1):
            raise said.error("what it says of the volume is not understood")
        return Volume(
            groups[0],
            names[0],
            int(sizes[0]),
            self._book.mean("layout", layouts[0]),
            tuple(
                found["place"]
                for pattern in ("letter", "folder")
                for found in self._book.find(pattern, output)
            ),
            tuple(self._plexes(output)),
        )

    def _plexes(self, output: str) -> list[Plex]:
        return [
            Plex(
                found["name"],
                tuple(found["disk"].split(",")),
                self._book.mean("plex", found["state"]),
                found["state"],
                int(found["percent"]) if found["percent"] else None,
            )
            for found in self._book.find("plex", output)
        ]

    def pairs(self, group: str) -> tuple[Pair, ...]:
        """Every original and its snapshot of which this group has a side."""
        said = self.do("pairs", group=group)
        heads = [int(found["count"]) for found in self._book.find("pairs", said.output)]
        found = tuple(
            Pair(
                (one["original_group"], one["original"]),
                (one["snapshot_group"], one["snapshot"]),
                one["side"],
                int(one["percent"]),
            )
            for one in self._book.find("pair", said.output)
        )
        if heads != [len(found)]:
            raise said.error("its list of snapshots is not understood")
        return found

    def groups(self) -> dict[str, Group]:
        """All disk groups that the host sees, by name."""
        said = self.do("groups")
        heads = [int(found["count"]) for found in self._book.find("groups", said.output)]
        found = {
            one["name"]: Group(
                one["name"], self._book.mean("group", one["kind"]), one["state"] == "imported"
            )
            for one in self._book.find("group", said.output)
        }
        if heads != [len(found)]:
            raise said.error("its list of disk groups is not understood")
        return found
