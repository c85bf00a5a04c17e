"""What a device of this host is made of, as far as sysfs or Windows tells."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from exshadow.commands import CommandRunner
from exshadow.errors import Error
from exshadow.providers.contract import Source
from exshadow.providers.eva.devices import Devices
from exshadow.providers.facts import Disk, StackKind, VolumeStack, normal_id

_LETTER = re.compile(r"[A-Za-z]:\\?")
_SECONDS = 60.0
# The property names are those of MSFT_Disk; that UniqueId has the NAA form is not proven on an EVA.
_ASK_WINDOWS = (
    "$p = Get-Partition -DriveLetter {letter}; Get-Disk -Number $p.DiskNumber | "
    "Select-Object Manufacturer, Model, UniqueId, Size | ConvertTo-Json -Compress"
)


def linux_stack(source: Source, sysfs: str, devices: str) -> VolumeStack:
    """By sysfs. Files, partitions, and what LVM or md made, are OTHER: arrays copy whole disks. A
    path that is a page-83 id is a disk of which only its array tells more."""
    if Devices.is_id(source.path):
        disk = Disk(page83=Devices(sysfs, devices, "/proc/self/mounts").id_of(source.path))
        return VolumeStack(source.name, StackKind.BASIC, source.size, disks=(disk,))
    node = _node(source.path, sysfs, devices)
    if node is None or (node / "partition").exists() or (node / "md").exists():
        return VolumeStack(source.name, StackKind.OTHER, source.size)
    uuid = _text(node / "dm" / "uuid")
    if uuid and not uuid.startswith("mpath-"):
        return VolumeStack(source.name, StackKind.OTHER, source.size)
    try:
        page83 = Devices(sysfs, devices, "/proc/self/mounts").id_of(source.path)
    except Error:
        page83 = ""
    # A multipath map has no inquiry of its own: its paths have.
    path = next(iter(sorted((node / "slaves").glob("*"))), node) if uuid else node
    inquiry = path / "device"
    disk = Disk(_text(inquiry / "vendor"), _text(inquiry / "model"), page83)
    return VolumeStack(source.name, StackKind.BASIC, source.size, disks=(disk,))


def windows_stack(source: Source, commands: CommandRunner) -> VolumeStack:
    """By PowerShell. Raises what the program raises; OTHER where it says nothing of a disk."""
    other = VolumeStack(source.name, StackKind.OTHER, source.size)
    if not _LETTER.fullmatch(source.path):
        return other
    script = _ASK_WINDOWS.format(letter=source.path[0])
    ran = commands.run(
        "powershell", ["-NoProfile", "-NonInteractive", "-Command", script], _SECONDS
    )
    try:
        said = json.loads(ran.output)
        disk = Disk(
            str(said.get("Manufacturer") or "").strip(),
            str(said.get("Model") or "").strip(),
            normal_id(str(said.get("UniqueId") or "")),
        )
    except (ValueError, AttributeError):
        return other
    return VolumeStack(source.name, StackKind.BASIC, source.size, disks=(disk,))


def is_windows_name(path: str) -> bool:
    """A drive letter, or a path of devices."""
    return bool(_LETTER.fullmatch(path)) or path.startswith("\\")


def _node(path: str, sysfs: str, devices: str) -> Path | None:
    real = Path(os.path.realpath(path))
    for name in (real.name, Path(path).name):
        for folder in ("block", "class/block"):
            node = Path(sysfs) / folder / name
            if name and node.exists():
                return node
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
