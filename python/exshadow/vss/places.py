"""Where the volumes of a set are mounted on this machine: which of them a path lies on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

_ESCAPED = re.compile(r"\\([0-7]{3})")


class Places:
    """`mounts`: the mount points of each volume, by its name."""

    def __init__(self, mounts: Mapping[str, Sequence[str]]) -> None:
        self.mounts = {name: tuple(places) for name, places in mounts.items()}

    def table(self) -> list[tuple[str, str]]:
        """Folder and volume, for the native part, which goes by the beginning of a path."""
        return [(place, name) for name, places in self.mounts.items() for place in places]

    def volume_of(self, path: str) -> str | None:
        """The volume that `path`, wherever links lead, lies on; None: on none of them."""
        where = _mount_point(Path(path).resolve())
        for name, places in self.mounts.items():
            if where in places:
                return name
        return None

    def is_outside(self, path: str, volumes: Collection[str]) -> bool:
        """Whether `path` surely lies on none of `volumes`: all of them are mounted here."""
        seen = bool(volumes) and all(self.mounts.get(name) for name in volumes)
        return seen and self.volume_of(path) not in volumes


def superblock_of(path: Path) -> str:
    """``major:minor`` of the file system that `path` lies on, or would. The same for all subvolumes
    of one btrfs, which a freeze stops together, though their files say other devices."""
    where = path.resolve()
    devices = dict(_mounts())
    return next((devices[str(one)] for one in (where, *where.parents) if str(one) in devices), "")


def _mount_point(path: Path) -> str:
    """Of several mounts on one point the last counts; a path is on the longest that it has."""
    points = {point for point, _ in _mounts()}
    return next((str(one) for one in (path, *path.parents) if str(one) in points), "/")


def _mounts() -> Iterator[tuple[str, str]]:
    """Mount points and their devices, in the order of mounting."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        words = line.split(" ")
        yield _ESCAPED.sub(lambda code: chr(int(code[1], 8)), words[4]), words[2]
