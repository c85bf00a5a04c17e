"""Devices of this (Linux) host and the vdisks behind them, by page-83 id.

Looks only below two folders that are settings: sysfs and the devices. A path that is itself an id
(``naa.6005...``, ``6005-08b4-...``) needs neither, for volumes of other hosts.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from exshadow.errors import NotFoundError, UnsupportedError
from exshadow.providers.facts import normal_id

_ID = re.compile(r"(?:naa\.|wwn-0x|0x|3)?([0-9a-f]{32})")
_NAA = 3  # designator type of page 0x83


class Devices:
    """``sysfs``: usually /sys; ``devices``: /dev; ``mounts``: /proc/self/mounts."""

    def __init__(self, sysfs: str, devices: str, mounts: str) -> None:
        self._sysfs = Path(sysfs)
        self._devices = Path(devices)
        self._mounts = Path(mounts)

    @staticmethod
    def is_id(path: str) -> bool:
        """Whether it names the vdisk itself, which then need not be a device of this host."""
        return _ID.fullmatch(path.replace("-", "").lower()) is not None

    def id_of(self, path: str) -> str:
        """The normal page-83 id behind a device. NotFoundError when there is no such device or it
        has no id, UnsupportedError for a partition."""
        plain = _ID.fullmatch(path.replace("-", "").lower())
        if plain:
            return plain[1]
        node = self._node(path)
        if (node / "partition").exists():
            raise UnsupportedError(
                f"{path} is a partition: an EVA copies whole vdisks",
                hint="name the disk itself",
            )
        found = self._id(node)
        if not found:
            raise NotFoundError(
                f"{path} has no page-83 id", hint="is it a LUN of an array, seen without a volume "
                "manager between?"
            )  # fmt: skip
        return found

    def path_of(self, wwn: str) -> str:
        """The device with that id, a multipath map before its paths; empty when there is none."""
        found = [node.name for node in self._nodes() if self._id(node) == wwn]
        maps = [name for name in found if name.startswith("dm-")]
        if maps:
            name = self._text(self._sysfs / "block" / maps[0] / "dm" / "name")
            return str(self._devices / "mapper" / name) if name else str(self._devices / maps[0])
        paths = [self._devices / name for name in sorted(found)]
        return next((str(one) for one in paths if one.exists()), "")

    def users(self, wwn: str) -> tuple[str, ...]:
        """Where the device with that id is in use on this host: mount points, and volumes above it
        (LVM, md), multipath maps not counted."""
        nodes = [node for node in self._nodes() if self._id(node) == wwn]
        names, above = set[str](), set[str]()
        for node in nodes:
            for part in (node, *self._partitions(node)):
                names.add(part.name)
                above |= {holder.name for holder in _children(part / "holders")}
        above -= {node.name for node in nodes}
        names |= {self._text(node / "dm" / "name") for node in nodes}
        return tuple(sorted({*self._mounted(names), *above}))

    def rescan(self) -> None:
        """Ask every SCSI host for new LUNs; without permission nothing happens."""
        for host in _children(self._sysfs / "class" / "scsi_host"):
            self._write(host / "scan", "- - -")

    def forget(self, wwn: str) -> None:
        """Let go of the device's paths before its LUN is taken away."""
        for node in list(self._nodes()):
            if not node.name.startswith("dm-") and self._id(node) == wwn:
                self._write(node / "device" / "delete", "1")

    def _nodes(self) -> Iterator[Path]:
        return iter(_children(self._sysfs / "block"))

    def _node(self, path: str) -> Path:
        """Its folder in sysfs, links within the devices folder followed."""
        real = Path(path)
        with contextlib.suppress(OSError, RuntimeError):
            real = real.resolve()
        for name in (real.name, Path(path).name):
            for folder in ("block", "class/block"):
                node = self._sysfs / folder / name
                if name and node.exists():
                    return node
        raise NotFoundError(
            f"{path} is no block device that {self._sysfs} knows",
            hint="name the device as in /dev, or the vdisk's page-83 id",
        )

    def _id(self, node: Path) -> str:
        """From multipath's uuid, ``wwid``, or the page itself."""
        uuid = self._text(node / "dm" / "uuid")
        if uuid.startswith("mpath-"):
            return normal_id(uuid.removeprefix("mpath-"))
        wwid = self._text(node / "device" / "wwid") or self._text(node / "wwid")
        match = _ID.fullmatch(wwid.lower())
        if match:
            return match[1]
        with contextlib.suppress(OSError):
            return page_83((node / "device" / "vpd_pg83").read_bytes()[:4096])
        return ""

    def _partitions(self, node: Path) -> list[Path]:
        return [one for one in _children(node) if (one / "partition").exists()]

    def _mounted(self, names: set[str]) -> Iterator[str]:
        with contextlib.suppress(OSError):
            for line in self._mounts.read_text(errors="replace").splitlines():
                fields = line.split()
                if len(fields) < 2 or not fields[0].startswith("/"):
                    continue
                source = Path(fields[0])
                with contextlib.suppress(OSError, RuntimeError):
                    source = source.resolve()
                if {source.name, Path(fields[0]).name} & (names - {""}):
                    yield fields[1].replace("\\040", " ")

    @staticmethod
    def _text(path: Path) -> str:
        try:
            return path.read_text(errors="replace").strip()
        except OSError:
            return ""

    @staticmethod
    def _write(path: Path, text: str) -> None:
        with contextlib.suppress(OSError):
            if path.is_file():
                path.write_text(text)


def page_83(page: bytes) -> str:
    """The logical unit's 16-byte NAA id of a vital product data page 0x83, empty without one."""
    if len(page) < 4 or page[1] != 0x83:
        return ""
    at, end = 4, min(len(page), 4 + int.from_bytes(page[2:4], "big"))
    while at + 4 <= end:
        kind, length = page[at + 1], page[at + 3]
        body = page[at + 4 : at + 4 + length]
        if kind & 0x3F == _NAA and len(body) == length == 16:  # association 0: the unit itself
            return body.hex()
        at += 4 + length
    return ""


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
