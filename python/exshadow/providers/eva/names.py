"""How copies are found again: their names on the array, and the small things made from names.

``db-k3f9a2-m1-sQQQQQQQQRRRRRR``: volume (as much as fits), a digest of group and volume, the
mirror's label, a role, a digest of the set, a digest of a restore begun. All of it is recomputed
from an action, so nothing that a crash can lose is needed to find a copy.

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
_FIXED = 24  # everything but volume and mirror
_NAME = re.compile(
    r"(?P<volume>[a-z0-9]*)-(?P<key>[a-z2-7]{6})-(?P<mirror>[A-Za-z0-9._-]{1,8})"
    r"-(?P<role>[cmsdpx])(?P<set>[a-z2-7]{8})?(?P<mark>[a-z2-7]{6})?"
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
    """A name taken apart. ``set``, ``mark``: digests, empty where there is none."""

    volume: str
    key: str
    mirror: str
    role: Role
    set: str = ""
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.volume}-{self.key}-{self.mirror}-{self.role}{self.set}{self.mark}"

    def marked(self, action_id: str) -> CopyName:
        """With the trace of a restore."""
        return replace(self, mark=digest(action_id, 6))

    def into(self, role: Role) -> CopyName:
        """The same copy in another role."""
        return replace(self, role=role)


def copy_name(group: str, volume: str, mirror: str, role: Role, set_id: str = "") -> CopyName:
    """InvalidError for a mirror's label that does not fit."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,8}", mirror):
        raise InvalidError(
            f"{mirror!r} is too long for the name of a copy on an EVA",
            hint="use labels of 1 to 8 letters, digits, '.', '_' or '-' for mirrors",
        )
    room = LONGEST - _FIXED - len(mirror)
    plain = re.sub(r"[^a-z0-9]", "", volume.lower())[:room]
    return CopyName(plain, key(group, volume), mirror, role, digest(set_id, 8) if set_id else "")


def parse(name: str) -> CopyName | None:
    """None when it is none of ours."""
    match = _NAME.fullmatch(name)
    if not match:
        return None
    return CopyName(
        match["volume"], match["key"], match["mirror"], Role(match["role"]),
        match["set"] or "", match["mark"] or "",
    )  # fmt: skip


def key(group: str, volume: str) -> str:
    """Tells volumes of all groups apart."""
    return digest(f"{group}\n{volume}", 6)


def digest(text: str, length: int) -> str:
    """``length`` characters of a-z and 2-7."""
    hashed = hashlib.sha256(text.encode()).digest()
    return base64.b32encode(hashed).decode().lower()[:length]


def lun_name(array: str, group: str, volume: str, mirror: str) -> str:
    """The page-83 id that every set of this mirror gets, so that its host sees one device: grouped
    by dashes as SSSU wants it."""
    hashed = hashlib.sha256("\n".join([array, group, volume, mirror]).encode()).hexdigest()
    digits = "600508b4" + hashed[:24]
    return "-".join(digits[at : at + 4] for at in range(0, 32, 4))


def lun_order(first: int, last: int, group: str, volume: str, mirror: str) -> list[int]:
    """LUN numbers in the order they are tried: the same start each time."""
    hashed = hashlib.sha256("\n".join([group, volume, mirror]).encode()).digest()
    count = last - first + 1
    start = int.from_bytes(hashed[:4], "big") % count
    return [first + (start + step) % count for step in range(count)]
