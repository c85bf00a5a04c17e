"""Names on both sides: device paths of volumes, snapshot volumes of a set, files of devices."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_DEVICE = re.compile(r"\\Device\\HarddiskDmVolumes\\([^\\/]+)\\([^\\/]+)", re.IGNORECASE)
_LETTER = re.compile(r"[A-Za-z]:")


def device(group: str, volume: str) -> str:
    """The volume's device path, one of the four ways to name it."""
    return f"\\Device\\HarddiskDmVolumes\\{group}\\{volume}"


def device_parts(path: str) -> tuple[str, str] | None:
    """Group and volume of a device path."""
    found = _DEVICE.fullmatch(path)
    return (found[1], found[2]) if found else None


def is_letter(path: str) -> bool:
    """``W:``, also with the backslash behind."""
    return _LETTER.fullmatch(path.rstrip("\\")) is not None


def snapshot_volume(set_id: str, volume: str) -> str:
    """The snapshot volume's name: the same for the same set and volume after any crash.

    Volume names have at most 18 signs (unconfirmed), so both are hashed into 13.
    """
    return "xs-" + hashlib.sha256(f"{set_id}\0{volume}".encode()).hexdigest()[:10]


def lent_group(set_id: str) -> str:
    """The disk group in which the set leaves this host: the same after any crash."""
    return "xs-" + hashlib.sha256(set_id.encode()).hexdigest()[:10]


def opened_at(devices: str, name: str) -> str:
    """The file by which a letter or a device path is opened under ``devices``."""
    parts = device_parts(name)
    if devices.endswith("\\"):  # Windows' own name space
        return devices + (f"GLOBALROOT{name}" if parts else name)
    if parts:
        return str(Path(devices, "GLOBALROOT", "Device", "HarddiskDmVolumes", *parts))
    return str(Path(devices, name))
