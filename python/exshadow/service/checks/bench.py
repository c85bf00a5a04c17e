"""The copies of a set on a check's bench: throw-away views as block devices, their file systems
and partitions found, mounted where nobody else looks.

A view replays what a journal asks for; the copy itself is never written. The server of the views
is the check's own, so that nobody else writes to them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from exshadow.errors import Error, IoError, UnsupportedError
from exshadow.service import devices, mounts
from exshadow.service.attachments import Attachment
from exshadow.service.checks import programs
from exshadow.service.checks.ground import Ground, Unsound
from exshadow.service.checks.record import FILES, MOUNTS, SOCKET, Record, clear, place_of_work

_SECTOR = 512
_EXTENDED = {"0x5", "0xf", "0x85"}  # partitions that only hold others
_LEAST_VIEW = 1 << 30
_NO_FILE_SYSTEM = frozenset({"swap", "LVM2_member", "crypto_LUKS", "linux_raid_member"})
_QUIET = "nosuid,nodev,noexec,noatime"
_MORE = {"ntfs": "nosuid,nodev,noexec,noatime,umask=0077", "vfat": f"{_QUIET},umask=0077"}


@dataclass(frozen=True, slots=True)
class Disk:
    """A view, or one partition of it. `kind`: its file system as blkid names it, or empty."""

    volume: str
    partition: str
    device: str
    kind: str

    @property
    def name(self) -> str:
        return f"{self.volume}/{self.partition}" if self.partition else self.volume


class Bench:
    """Made by :func:`open_bench`."""

    def __init__(self, ground: Ground, record: Record) -> None:
        self.ground = ground
        self.record = record
        self._disks: tuple[Disk, ...] | None = None
        self._attached: list[Attachment] = []

    @property
    def place(self) -> Path:
        return self.record.place

    @property
    def tree(self) -> Path:
        """Where :meth:`mount_all` mounts: a folder for each volume, in it one for a partition."""
        return self.place / MOUNTS

    def disks(self) -> tuple[Disk, ...]:
        """All views and their partitions."""
        if self._disks is None:
            found: list[Disk] = []
            for member in self.ground.one.members:
                found += self._look_at(member.volume, self._attach(member.volume))
            self._disks = tuple(found)
        return self._disks

    def _attach(self, volume: str) -> str:
        self.ground.tick()
        export, writable = self.ground.export(volume)
        source = devices.Source(self.place / SOCKET, self.place / FILES)
        attached = devices.attach_from(source, export, writable=writable)
        self.record.note_device(attached)
        self._attached.append(attached)
        return attached.device

    def _look_at(self, volume: str, device: str) -> list[Disk]:
        kind = mounts.probe(device, "TYPE")
        if kind or not mounts.probe(device, "PTTYPE"):
            return [Disk(volume, "", device, kind)]
        found = []
        for number, start, size in _partitions(device):
            options = [f"--offset={start}", f"--sizelimit={size}"]
            if not self.ground.export(volume)[1]:
                options.append("--read-only")
            part = devices.run("losetup", "--find", "--show", *options, device)
            found.append(Disk(volume, number, part, mounts.probe(part, "TYPE")))
        return found or [Disk(volume, "", device, "")]

    def mount_all(self, *, writable: bool = True) -> dict[str, Path]:
        """Every file system by the name of its disk. Journals are replayed, also when not
        `writable`. Unsound when one cannot be mounted; UnsupportedError for a foreign kernel."""
        found = {}
        for disk in self.disks():
            if disk.kind and disk.kind not in _NO_FILE_SYSTEM:
                found[disk.name] = self.mount(disk, writable=writable)
        return found

    def mount(self, disk: Disk, *, writable: bool = True) -> Path:
        """One file system. NTFS is written only where asked for: its journal is Windows' own."""
        self.ground.tick()
        folder = self.tree / disk.name
        _, changeable = self.ground.export(disk.volume)
        replay = changeable and (writable or disk.kind not in _MORE)
        more = _MORE.get(disk.kind, _QUIET)
        if disk.kind == "ntfs":
            programs.require("mount.ntfs-3g")
        try:
            mounts.mount_device(disk.device, folder, writable=replay, more=more)
        except IoError as problem:
            if "unknown filesystem type" in problem.message:
                raise UnsupportedError(
                    f"this kernel has no {disk.kind} for the copy of {disk.name}"
                ) from None
            detail = f"{disk.name}: {disk.kind} cannot be mounted"
            raise Unsound(detail, {"disk": disk.name, "mount": problem.message}) from None
        return folder

    def unmount(self, folder: Path) -> None:
        devices.run("umount", folder)

    def let_go(self) -> None:
        """What can be let go of in order; the record undoes the rest."""
        self.record.undo_mounts()
        for attached in reversed(self._attached):
            try:
                devices.detach(attached)
            except Error as problem:
                self.ground.say(f"{attached.device}: {problem.message}")


def _partitions(device: str) -> list[tuple[str, int, int]]:
    """Number, first byte and bytes of each partition that may hold a file system.

    None of what is no partition table: a boot sector looks like one.
    """
    columns = ("--output", "NR,START,SECTORS,TYPE", "--raw", "--noheadings")
    size = int(devices.run("blockdev", "--getsize64", device))
    try:
        lines = devices.run("partx", *columns, device).splitlines()
    except IoError:
        return []
    found = []
    for line in lines:
        number, *span, kind = line.split()
        start, length = (int(one) * _SECTOR for one in span)
        if start + length > size:
            return []
        if kind not in _EXTENDED and length > 0:
            found.append((number, start, length))
    return found


@contextmanager
def open_bench(ground: Ground) -> Iterator[Bench]:
    """A bench with the views of the set's copies. PermissionRefusedError for other than root;
    UnsupportedError where nothing makes block devices."""
    devices.require_root()
    for problem in clear(ground.desk.folder):
        ground.say(f"left of an interrupted check: {problem}")
    limit = max(_LEAST_VIEW, *(member.size for member in ground.one.members))
    with ExitStack() as stack:
        record = stack.enter_context(place_of_work(ground.desk.folder))
        stack.enter_context(ground.session.serving(record.place / SOCKET, limit))
        bench = Bench(ground, record)
        ground.on_start = record.note_process
        stack.callback(bench.let_go)
        yield bench


def as_input(bench: Bench, found: dict[str, Path]) -> bytes:
    """What a script is told, as JSON."""
    one = bench.ground.one
    disks = [
        {
            "volume": disk.volume,
            "partition": disk.partition,
            "device": disk.device,
            "file_system": disk.kind,
            "mount": str(found[disk.name]) if disk.name in found else None,
        }
        for disk in bench.disks()
    ]
    document = {"set": one.to_json(), "disks": disks}
    return json.dumps(document).encode() + b"\n"
