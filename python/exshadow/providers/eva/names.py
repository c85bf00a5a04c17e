"""How copies are found again: their names on the array, and the small things made from names.

``db-k3f9wxyz-m1-sQQQQQQQQRRRRR``: volume (as much as fits), digests of group and volume (4) and of
the source vdisk's page-83 id (4), the mirror's label, a role, a digest of the set, a digest of a
restore. All of it is recomputed from an action and its devices, so nothing that a crash can lose is
needed to find a copy. Hosts whose groups and volumes have the same names on one array differ in
their source vdisks: without those, one would find, and delete, the copies of the other.

Vdisk names are taken to hold 32 characters (unconfirmed); that bounds labels to 8 characters.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, replace
from enum import StrEnum

from exshadow.errors import InvalidError

LONGEST = 32
_FIXED = 24  # everything but the volume, its dash, and the mirror
_MARK = 5
_NAME = re.compile(
    r"(?:(?P<volume>[a-z0-9]+)-)?(?P<place>[a-z2-7]{4})(?P<source>[a-z2-7]{4})"
    r"-(?P<mirror>[A-Za-z0-9._-]{1,8})"
    r"-(?P<role>[cmsdpx])(?P<set>[a-z2-7]{8})?(?P<mark>[a-z2-7]{5})?"
)


class Role(StrEnum):
    """What a copy is for."""

    CONTAINER = "c"  # reserved space for the next set
    MIRROR = "m"  # a mirrorclone that was never split
    SET = "s"
    DISSOLVED = "d"  # the relation is forgotten, the copy stays
    PROMOTED = "p"  # is production itself
    DROPPED = "x"  # is being removed


@dataclass(frozen=True, slots=True)
class CopyName:
    """A name taken apart. ``place`` (of group and volume), ``source`` (of the vdisk that was
    copied), ``set``, ``mark``: digests; the last two are empty where there is none."""

    volume: str
    place: str
    source: str
    mirror: str
    role: Role
    set: str = ""
    mark: str = ""

    def __str__(self) -> str:
        head = f"{self.volume}-" if self.volume else ""
        return f"{head}{self.place}{self.source}-{self.mirror}-{self.role}{self.set}{self.mark}"

    def marked(self, action_id: str) -> CopyName:
        """With the trace of a restore."""
        return replace(self, mark=digest(action_id, _MARK))

    def of_set(self, set_id: str) -> CopyName:
        """The copy as one of that set."""
        return replace(self, role=Role.SET, set=digest(set_id, 8), mark="")

    def into(self, role: Role) -> CopyName:
        """The same copy in another role."""
        return replace(self, role=role)


def copy_name(
    group: str, volume: str, wwn: str, mirror: str, role: Role, set_id: str = ""
) -> CopyName:
    """``wwn``: the source vdisk's page-83 id. InvalidError for a mirror's label that does not
    fit."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,8}", mirror):
        raise InvalidError(
            f"{mirror!r} is too long for the name of a copy on an EVA",
            hint="use labels of 1 to 8 letters, digits, '.', '_' or '-' for mirrors",
        )
    room = max(0, LONGEST - _FIXED - len(mirror) - 1)
    plain = re.sub(r"[^a-z0-9]", "", volume.lower())[:room]
    tag = digest(set_id, 8) if set_id else ""
    return CopyName(plain, place(group, volume), origin(wwn), mirror, role, tag)


def parse(name: str) -> CopyName | None:
    """None when it is none of ours."""
    match = _NAME.fullmatch(name)
    if not match:
        return None
    return CopyName(
        match["volume"] or "", match["place"], match["source"], match["mirror"],
        Role(match["role"]), match["set"] or "", match["mark"] or "",
    )  # fmt: skip


def place(group: str, volume: str) -> str:
    """Tells volumes of all groups of a host apart."""
    return digest(f"{group}\n{volume}", 4)


def origin(wwn: str) -> str:
    """Tells vdisks that are copied apart, and with them hosts."""
    return digest(wwn, 4)


def digest(text: str, length: int) -> str:
    """``length`` characters of a-z and 2-7."""
    hashed = hashlib.sha256(text.encode()).digest()
    return base64.b32encode(hashed).decode().lower()[:length]


def lun_name(array: str, group: str, volume: str, wwn: str, mirror: str, *, other: int = 0) -> str:
    """The page-83 id that every set of this mirror gets, so that its host sees one device: grouped
    by dashes as SSSU wants it. ``wwn``: the source vdisk's, for no two vdisks may have the same;
    ``other``: while a copy that was dissolved has the first one, the next are tried."""
    words = [array, group, volume, wwn, mirror, *([str(other)] if other else [])]
    hashed = hashlib.sha256("\n".join(words).encode()).hexdigest()
    digits = "600508b4" + hashed[:24]
    return "-".join(digits[at : at + 4] for at in range(0, 32, 4))


def lun_order(first: int, last: int, group: str, volume: str, mirror: str) -> list[int]:
    """LUN numbers in the order they are tried: the same start each time."""
    hashed = hashlib.sha256("\n".join([group, volume, mirror]).encode()).digest()
    count = last - first + 1
    start = int.from_bytes(hashed[:4], "big") % count
    return [first + (start + step) % count for step in range(count)]
