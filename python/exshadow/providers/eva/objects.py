"""What the array holds, as values made from its records. Sizes are bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from xml.etree.ElementTree import Element

from exshadow.providers.eva import names
from exshadow.providers.eva.parsing import gigabytes, moment, value, whole
from exshadow.providers.facts import normal_id
from exshadow.providers.templates import Book

BLOCK = 512
_WHOLE = ("none", "source")


class Form(StrEnum):
    """What a vdisk is."""

    ORIGINAL = "original"  # also: a detached mirrorclone, a normalised snapclone
    DEMAND = "demand"
    FULLY = "fully"
    SNAPCLONE = "snapclone"
    MIRRORCLONE = "mirrorclone"
    CONTAINER = "container"
    UNKNOWN = "unknown"


class MirrorPhase(StrEnum):
    """Where a mirrorclone stands."""

    SYNCING = "syncing"
    SYNCHRONISED = "synchronised"
    FRACTURED = "fractured"
    RESTORING = "restoring"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Presentation:
    """A LUN: the vdisk is ``number`` on ``host`` (full path)."""

    host: str
    number: int


@dataclass(frozen=True, slots=True)
class Vdisk:
    """Any vdisk, snapshot or container. ``path``: its full name; ``wwn``: page-83 id in normal
    form; ``parent``: path of what it is a copy of; ``dirty``: unflushed blocks, None where the
    array does not tell; ``cache``: write-cache mode asked for and actual; ``percent``: of copying
    from its source, ``restored``: of a restore."""

    id: str
    path: str
    form: Form
    state: str
    good: bool
    busy: bool
    size: int
    allocated: int
    wwn: str
    family: str
    parent: str
    disk_group: str
    redundancy: str
    cache: tuple[str, str]
    dirty: int | None
    copying: bool
    phase: MirrorPhase
    percent: int | None
    restored: int | None
    presentations: tuple[Presentation, ...]
    created: datetime | None

    @property
    def name(self) -> str:
        """The short name: last part of the path, or the part before ``ACTIVE``."""
        return short_name(self.path)

    @property
    def is_snapshot(self) -> bool:
        return self.form in (Form.DEMAND, Form.FULLY)


@dataclass(frozen=True, slots=True)
class DiskGroup:
    """``free``: what a vdisk of that Vraid level can still get, where the array tells."""

    path: str
    total: int
    used: int
    alarm_percent: int
    free_by_level: dict[str, int]

    def free(self, redundancy: str) -> int:
        known = self.free_by_level.get(redundancy.lower())
        return max(0, self.total - self.used) if known is None else known


@dataclass(frozen=True, slots=True)
class System:
    """The array."""

    name: str
    licensed: bool | None  # None: the record does not say
    state: str
    good: bool
    manager: str
    firmware: str
    model: str


def short_name(path: str) -> str:
    """``DB`` of ``\\Virtual Disks\\Mail\\DB\\ACTIVE``, ``s`` of ``...\\DB\\s``."""
    parts = [part for part in path.split("\\") if part]
    if len(parts) > 1 and parts[-1] == "ACTIVE":
        return parts[-2]
    return parts[-1] if parts else ""


def vdisk(record: Element, book: Book, *, clones: bool = False) -> Vdisk:
    """From an ``<object>`` of any of the three listings. ``clones``: the copies that we make are
    snapclones."""
    state = value(record, "operationalstate")
    means = mean(book, "state", state, "bad")
    unsure = _unsure(record, book)
    blocks = whole(value(record, "allocatedcapacityblocks"))
    asked = whole(value(record, "requestedcapacityblocks"))
    form = Form(mean(book, "type", value(record, "virtualdisktype"), "unknown"))
    path = value(record, "objectname")
    return Vdisk(
        id=value(record, "objectid"),
        path=path,
        form=form,
        state=state,
        good=means == "good",
        busy=means == "busy",
        size=_size(asked, value(record, "requestedcapacity")) or _size(blocks, ""),
        allocated=_size(blocks, value(record, "allocatedcapacity")),
        wwn=normal_id(value(record, "wwlunid")),
        family=value(record, "objectparenthexuid"),
        parent=value(record, "sharinginformation/parentvdiskname"),
        disk_group=value(record, "diskgroupname"),
        redundancy=value(record, "redundancy").lower(),
        cache=(_cache(record, book, "writecache"), _cache(record, book, "writecacheactual")),
        dirty=whole(value(record, "dirtyblockcount")),
        copying=_copying(record, book, form, clones and _is_our_copy(path)),
        phase=MirrorPhase(mean(book, "mirror_state", unsure.get("mirror_state", ""), "unknown")),
        percent=_percent(unsure, "percent"),
        restored=_percent(unsure, "restored"),
        presentations=_presentations(record),
        created=moment(value(record, "creationdatetime")),
    )


def mean(book: Book, idea: str, word: str, otherwise: str) -> str:
    """Our word for the array's: what was read in a source first, then what is guessed."""
    for name in (idea, f"{idea}_guessed"):
        if name in book.meaning and (found := book.mean(name, word)):
            return found
    return otherwise


def disk_group(record: Element) -> DiskGroup:
    """From ``LS DISK_GROUP``."""
    levels: dict[str, int] = {}
    for child in record:
        if child.tag.startswith("vraid") and child.tag.endswith("storagespacegb"):
            free = gigabytes((child.text or "").strip())
            if free is not None:
                levels[child.tag.removesuffix("storagespacegb")] = free
    return DiskGroup(
        path=value(record, "objectname"),
        total=gigabytes(value(record, "totalstoragespacegb")) or 0,
        used=gigabytes(value(record, "usedstoragespacegb")) or 0,
        alarm_percent=whole(value(record, "occupancyalarmlevel")) or 100,
        free_by_level=levels,
    )


def system(record: Element, book: Book) -> System:
    """From ``LS SYSTEM``."""
    licensed = value(record, "snaplicensed")
    state = value(record, "operationalstate")
    told = mean(book, "licensed", licensed, "no")
    return System(
        name=short_name(value(record, "objectname")),
        licensed=told == "yes" if licensed else None,
        state=state,
        good=not state or mean(book, "state", state, "bad") == "good",
        manager=value(record, "managementhostname"),
        firmware=value(record, "firmwareversion"),
        model=value(record, "systemtype"),
    )


def _copying(record: Element, book: Book, form: Form, ours: bool) -> bool:
    """Whether it is a snapclone that is not whole, or the source of one. How both are spelled is
    guessed, its type too: of a snapclone a word that nobody knows counts as copying; a vdisk that
    is ``ours`` by its name is one, and whole only with a word that is known to say so."""
    word = value(record, "sharingrelationship")
    told = mean(book, "sharing", word, "unknown") if word else "none"
    if ours and form in (Form.SNAPCLONE, Form.ORIGINAL, Form.UNKNOWN):
        return told not in _WHOLE
    return told == "copying" or (told == "unknown" and form is Form.SNAPCLONE)


def _is_our_copy(path: str) -> bool:
    name = names.parse(short_name(path))
    return name is not None and name.role is names.Role.SET


def _percent(unsure: dict[str, str], ours: str) -> int | None:
    found = whole(unsure.get(ours, "").rstrip("%"))
    return found if found is not None and found <= 100 else None


def _unsure(record: Element, book: Book) -> dict[str, str]:
    """Values of fields whose names are guessed, by our names."""
    found: dict[str, str] = {}
    for child in record:
        ours = book.mean("field", child.tag)
        if ours and (child.text or "").strip():
            found.setdefault(ours, (child.text or "").strip())
    return found


def _cache(record: Element, book: Book, field: str) -> str:
    told = value(record, field)
    return mean(book, "cache", told, told)


def _size(blocks: int | None, in_gigabytes: str) -> int:
    if blocks is not None:
        return blocks * BLOCK
    return gigabytes(in_gigabytes) or 0


def _presentations(record: Element) -> tuple[Presentation, ...]:
    found = []
    for one in record.iterfind("presentations/presentation"):
        number = whole(value(one, "lunnumber"))
        if number is not None:
            found.append(Presentation(value(one, "hostname"), number))
    return tuple(found)
