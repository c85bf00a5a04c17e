"""Which exports are block devices of this machine now: kept in STATE/attachments.json, so that
they can be detached later, by another process, and after a crash.

Changes are made under a lock, and by rename: the file is whole at any moment.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from exshadow.errors import CorruptError, NotFoundError
from exshadow.model import Json
from exshadow.service.state import StateFolder


@dataclass(frozen=True, slots=True)
class Attachment:
    """An export as a block device. `kind`: ``nbd`` (kernel) or ``fuse`` (nbdfuse and a loop
    device; `process` and `file` are nbdfuse's). `mounts`: where it is mounted by us. `note`: what
    a user of the device must know."""

    export: str
    device: str
    kind: str
    writable: bool
    process: int = 0
    file: str = ""
    set_id: str = ""
    mounts: tuple[str, ...] = ()
    note: str = ""

    def to_json(self) -> Json:
        return {**asdict(self), "mounts": list(self.mounts)}


@dataclass(frozen=True, slots=True)
class Ledger:
    """All attachments, and the daemon that was started for their sake (0: none was)."""

    attachments: tuple[Attachment, ...] = ()
    daemon: int = 0

    def find(self, name: str) -> Attachment:
        """By export or device. NotFoundError."""
        for one in self.attachments:
            if name in (one.export, one.device):
                return one
        known = ", ".join(one.export for one in self.attachments)
        raise NotFoundError(
            f"{name} is not attached", hint=f"attached: {known}" if known else "nothing is"
        )

    def with_(self, one: Attachment) -> Ledger:
        """With `one` in place of an earlier record of its export."""
        return replace(self, attachments=(*self.without(one.export).attachments, one))

    def without(self, export: str) -> Ledger:
        kept = tuple(one for one in self.attachments if one.export != export)
        return replace(self, attachments=kept)


class Attachments:
    """The file. One process changes it at a time, for as long as its `changing` lasts."""

    def __init__(self, folder: StateFolder) -> None:
        self.folder = folder
        self._file = folder.path / "attachments.json"

    def read(self) -> Ledger:
        try:
            document = json.loads(self._file.read_bytes())
            found = [
                Attachment(**{**one, "mounts": tuple(one["mounts"])})
                for one in document["attachments"]
            ]
            return Ledger(tuple(found), int(document["daemon"]))
        except FileNotFoundError:
            return Ledger()
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptError(
                f"{self._file} cannot be read: {error}",
                hint="detach by hand: umount, losetup --detach; then remove the file",
            ) from error

    def write(self, ledger: Ledger) -> None:
        """Inside :meth:`changing` only."""
        fresh = self._file.with_suffix(".new")
        document = {
            "attachments": [one.to_json() for one in ledger.attachments],
            "daemon": ledger.daemon,
        }
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._file)

    @contextmanager
    def changing(self) -> Iterator[Ledger]:
        """The ledger, while nobody else changes it."""
        self.folder.create()
        path = self._file.with_suffix(".lock")
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.read()
        finally:
            os.close(lock)


def stacked(device: str) -> list[str]:
    """Names in /sys/class/block of the device, its partitions, and what is made of those."""
    found: list[str] = []
    left = [Path(device).resolve().name]
    while left:
        name = left.pop()
        if name not in found:
            found.append(name)
            entry = Path("/sys/class/block") / name
            left += [one.parent.name for one in entry.glob("*/partition")]
            left += [one.name for one in entry.glob("holders/*")]
    return found


def mounted_at(device: str) -> list[str]:
    """Where a block device, or what is made of it, is mounted, by anybody."""
    names = stacked(device)
    numbers = set()
    for name in names:
        with suppress(OSError):
            numbers.add((Path("/sys/class/block") / name / "dev").read_text().strip())
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        row = line.split(" ")
        source = Path(_plain(row[row.index("-") + 2]))  # btrfs has a number of its own
        under = source.is_relative_to("/dev") and source.resolve().name in names
        if row[2] in numbers or under:
            found.append(_plain(row[4]))
    return found


def is_mount_point(path: str) -> bool:
    """Whether something is mounted right there; also a FUSE file whose server died."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return any(_plain(line.split(" ")[4]) == path for line in lines)


def mount_points(below: Path) -> list[str]:
    """Where something is mounted at `below` or deeper, in the order of mounting."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    found = [_plain(line.split(" ")[4]) for line in lines]
    return [one for one in found if Path(one).is_relative_to(below)]


def _plain(path: str) -> str:
    """A path of mountinfo without its octal escapes."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path
