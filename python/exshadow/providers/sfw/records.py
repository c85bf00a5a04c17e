"""What exshadow keeps of a set beside the product: a record and the set's XML, each in two folders.

    SETS/ID.json         which volumes, under which names, on which host; what is under way
    SETS/ID.xml          what vxsnap wrote at the split; opaque, never edited
    SETS/ID.first.xml    the same from before a restore, after which the set was split again

The record is written before the product is asked for anything and names what a crash would lose:
the letters of production while a restore has it unmounted, the action that is under way.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from exshadow.errors import CorruptError, from_system

_SET_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class Part:
    """One volume of the set. ``volume``: the policy's name; ``original`` and ``snapshot``: the
    product's names in ``group``; ``places``: where production was mounted before it was taken."""

    volume: str
    group: str
    original: str
    snapshot: str
    plex: str
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """``phase``: splitting, then split; ``action`` and ``step``: a restore or promotion that is
    under way (step ``begun`` or ``synced``); ``asked``: snapshot volumes that a command was to give
    back, written before it was given; ``finished``: the last restore that ended; ``xml``:
    SHA-256 of the set's XML, "" when there is none to drive the set with; ``lent``: the host that
    the set was given to, from before it leaves until it is back."""

    set_id: str
    policy_group: str
    mirror: str
    host: str
    parts: tuple[Part, ...]
    phase: str = "splitting"
    writer: str = ""
    component: str = ""
    xml: str = ""
    action: str = ""
    step: str = ""
    finished: str = ""
    lent: str = ""
    asked: tuple[str, ...] = ()

    def part(self, volume: str) -> Part | None:
        """Of the policy's volume."""
        return next((one for one in self.parts if one.volume == volume), None)


@dataclass(slots=True)
class Records:
    """The two folders. ``folder`` is the one that the product is shown."""

    folder: Path
    second: Path

    def xml(self, set_id: str, kind: str = "") -> Path:
        """Where vxsnap writes the set's XML; ``kind``: first, new."""
        return self.folder / f"{set_id}.{kind}.xml" if kind else self.folder / f"{set_id}.xml"

    def read(self, set_id: str) -> Record | None:
        """From the first folder that has a good one. CorruptError when there are bad ones only."""
        if not _SET_ID.fullmatch(set_id):
            return None
        problem: CorruptError | None = None
        for folder in (self.folder, self.second):
            try:
                return _record((folder / f"{set_id}.json").read_bytes(), set_id)
            except CorruptError as found:
                problem = found
            except OSError:
                continue
        if problem:
            raise problem
        return None

    def all(self) -> Iterator[Record]:
        """Every set that is known, by id; those that cannot be read are left out."""
        names: set[str] = set()
        for folder in (self.folder, self.second):
            with contextlib.suppress(OSError):
                names |= {path.stem for path in folder.glob("*.json")}
        for name in sorted(names):
            with contextlib.suppress(CorruptError):
                if found := self.read(name):
                    yield found

    def write(self, record: Record) -> Record:
        """In both folders, durable when it returns."""
        content = json.dumps(asdict(record), indent=1).encode()
        self._keep(f"{record.set_id}.json", content)
        return record

    def take_xml(self, record: Record) -> Record:
        """What vxsnap just wrote: hashed and kept twice. The record without a hash when it is not
        there."""
        try:
            content = self.xml(record.set_id).read_bytes()
        except FileNotFoundError:
            return self.write(replace(record, xml=""))
        except OSError as problem:
            raise from_system(problem, "cannot read the set's XML") from problem
        self._keep(f"{record.set_id}.xml", content)
        return self.write(replace(record, xml=hashlib.sha256(content).hexdigest()))

    def renew_xml(self, record: Record) -> Record:
        """After a second split of the same set: the new XML drives it, the first one is kept. May
        be repeated after a crash."""
        new = self.xml(record.set_id, "new")
        if new.exists():
            first = self._either(f"{record.set_id}.first.xml")
            old = first or self._either(f"{record.set_id}.xml")
            if old is not None:
                self._keep(f"{record.set_id}.first.xml", old)
            new.replace(self.xml(record.set_id))
        return self.take_xml(record)

    def usable_xml(self, record: Record) -> bool:
        """The XML as it was hashed stands where the product looks; put back from the second folder
        when it was lost or changed."""
        if not record.xml:
            return False
        name = f"{record.set_id}.xml"
        for folder in (self.folder, self.second):
            with contextlib.suppress(OSError):
                content = (folder / name).read_bytes()
                if hashlib.sha256(content).hexdigest() == record.xml:
                    if folder is self.second:
                        self._keep(name, content)
                    return True
        return False

    def writers_xml(self, record: Record) -> Path | None:
        """The XML that has the writer's metadata: of the first split, as the second, after a
        restore, asked nobody. None when it is lost. Both name the same volumes."""
        name = f"{record.set_id}.first.xml"
        content = self._either(name)
        if content is None:
            return self.xml(record.set_id) if self.usable_xml(record) else None
        self._keep(name, content)
        return self.xml(record.set_id, "first")

    def split_again(self, record: Record) -> bool:
        """Whether the XML that drives the set is of a split that asked no writer."""
        return self._either(f"{record.set_id}.first.xml") is not None

    def documents(self, set_id: str) -> dict[str, bytes]:
        """Everything kept of the set, by name."""
        found = {}
        for name, kind in (("record.json", "json"), ("set.xml", "xml"), ("first.xml", "first.xml")):
            content = self._either(f"{set_id}.{kind}")
            if content:
                found[name] = content
        return found

    def forget(self, set_id: str) -> None:
        """Remove all of it; the record last, so that a repeated call finds the rest."""
        for kind in ("new.xml", "first.xml", "xml", "json"):
            for folder in (self.second, self.folder):
                _remove(folder / f"{set_id}.{kind}")

    def _either(self, name: str) -> bytes | None:
        for folder in (self.folder, self.second):
            with contextlib.suppress(OSError):
                return (folder / name).read_bytes()
        return None

    def _keep(self, name: str, content: bytes) -> None:
        try:
            for folder in (self.folder, self.second):
                folder.mkdir(parents=True, exist_ok=True)
                _durable(folder / name, content)
        except OSError as problem:
            raise from_system(problem, "cannot keep the set's files") from problem


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def _durable(path: Path, content: bytes) -> None:
    """Whole or not at all, also after a power failure."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    if os.name != "nt":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _record(content: bytes, set_id: str) -> Record:
    try:
        plain = json.loads(content)
        parts = tuple(Part(**{**one, "places": tuple(one["places"])}) for one in plain["parts"])
        return Record(**{**plain, "parts": parts, "asked": tuple(plain.get("asked", ()))})
    except (ValueError, KeyError, TypeError) as problem:
        raise CorruptError(
            f"the record of set {set_id} cannot be read: {problem}",
            hint="take it from the catalog's documents of the set",
        ) from None
