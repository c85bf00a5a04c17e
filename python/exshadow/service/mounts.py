"""snapshot mount and unmount: the copies of a set as folders.

Read-only mounts go over read-only exports, so that no byte of a copy can change, whatever a file
system's recovery would like; writable ones over throw-away views.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from exshadow.errors import BusyError, Error, ExistsError, NotFoundError, UnsupportedError
from exshadow.model import SetRecord
from exshadow.service import devices
from exshadow.service.attachments import Attachment, Attachments, is_mount_point

# By file system: how to mount a copy, of which the original may be mounted too (nouuid), and whose
# journal may neither be replayed (read-only) nor be missing (writable). A superblock of ext may ask
# for a panic at the first damage: not here.
_READ_ONLY = {
    "ext2": "ro,errors=remount-ro",
    "ext3": "ro,noload,errors=remount-ro",
    "ext4": "ro,noload,errors=remount-ro",
    "xfs": "ro,nouuid,norecovery",
    "btrfs": "ro,rescue=nologreplay",
    "ntfs": "ro",
}
_WRITABLE = {
    "xfs": "rw,nouuid",
    **dict.fromkeys(("ext2", "ext3", "ext4"), "rw,errors=remount-ro"),
}
_TYPES = {"ntfs": "ntfs-3g"}
_OLD_BTRFS = "ro,nologreplay"


def export_of(volume: str, label: str, *, writable: bool) -> str:
    """The export that a mount or an attachment of a snapshot uses."""
    return f"{volume}@{label}{'+view' if writable else ''}"


def mount(
    attachments: Attachments, one: SetRecord, place: str, *, writable: bool
) -> tuple[Attachment, ...]:
    """Mount the set's copies at `place`: a set of several volumes in a folder for each.

    All or none. `place` is made when missing. BusyError when the set is mounted already.
    """
    done: list[Attachment] = []
    missing = _missing([Path(place), *(Path(place) / member.volume for member in one.members)])
    with attachments.changing() as ledger:
        if any(known.set_id == one.id for known in ledger.attachments):
            raise BusyError(
                f"set {one.group}@{one.label} is mounted already",
                hint=f"exshadow snapshot unmount {one.group}@{one.label}",
            )
        try:
            for member in one.members:
                folder = Path(place) if len(one.members) == 1 else Path(place) / member.volume
                export = export_of(member.volume, one.label, writable=writable)
                attached = _attached(attachments, export, writable=writable)
                done.append(replace(attached, set_id=one.id, mounts=(str(folder),)))
                # Recorded before it is mounted: a crash leaves nothing that cannot be undone.
                ledger = ledger.with_(done[-1])
                attachments.write(ledger)
                mount_device(attached.device, folder, writable=writable)
        except BaseException:
            for attached in done:
                with suppress(Error):
                    _unmount(attached)
                    ledger = ledger.without(attached.export)
            attachments.write(ledger)
            for folder in missing:
                with suppress(OSError):  # not empty: somebody else uses it
                    folder.rmdir()
            raise
    return tuple(done)


def _missing(folders: list[Path]) -> list[Path]:
    """What making these folders would make, the innermost first."""
    found = {one for folder in folders for one in (folder, *folder.parents) if not one.exists()}
    return sorted(found, key=lambda one: len(one.parts), reverse=True)


def _attached(attachments: Attachments, export: str, *, writable: bool) -> Attachment:
    for known in attachments.read().attachments:
        if known.export == export:
            raise BusyError(
                f"{export} is attached as {known.device}", hint=f"exshadow detach {export}"
            )
    return devices.attach(attachments.folder, export, writable=writable)


def mount_device(device: str, folder: Path, *, writable: bool, more: str = "") -> None:
    """Mount the file system on a device; `more` options beside those its kind needs.

    UnsupportedError when there is none.
    """
    kind = file_system(device)
    folder.mkdir(parents=True, exist_ok=True)
    if is_mount_point(str(folder)):
        raise ExistsError(f"something is mounted at {folder} already")
    options = _WRITABLE.get(kind, "rw") if writable else _READ_ONLY.get(kind, "ro")
    options += f",{more}" if more else ""
    command = ("mount", "-t", _TYPES.get(kind, kind), "-o")
    try:
        devices.run(*command, options, device, folder)
    except Error:
        if kind != "btrfs" or writable:
            raise
        old = options.replace(_READ_ONLY[kind], _OLD_BTRFS)
        devices.run(*command, old, device, folder)  # kernels before 5.9


def file_system(device: str) -> str:
    """The kind of file system on a device, as blkid names it. UnsupportedError for none."""
    if kind := probe(device, "TYPE"):
        return kind
    raise UnsupportedError(
        f"no file system was found on {device}",
        hint="for a partitioned disk: exshadow attach, then losetup --partscan or kpartx",
    )


def probe(device: str, tag: str) -> str:
    """What blkid finds on a device: TYPE, PTTYPE, UUID; empty for nothing."""
    try:
        return devices.run("blkid", "--probe", "--match-tag", tag, "--output", "value", device)
    except UnsupportedError:
        raise
    except Error:
        return ""


def unmount(attachments: Attachments, one: SetRecord) -> tuple[Attachment, ...]:
    """Undo :func:`mount`, or what is left of it. BusyError while somebody works in there."""
    with attachments.changing() as ledger:
        mine = tuple(known for known in ledger.attachments if known.set_id == one.id)
        if not mine:
            raise NotFoundError(
                f"set {one.group}@{one.label} is not mounted",
                hint=f"it is mounted by: exshadow snapshot mount {one.group}@{one.label} DIR",
            )
        for attached in mine:
            _unmount(attached)
            ledger = ledger.without(attached.export)
            attachments.write(ledger)
    return mine


def _unmount(one: Attachment) -> None:
    for place in one.mounts:
        if is_mount_point(place):
            try:
                devices.run("umount", place)
            except Error as error:
                raise BusyError(error.message, hint=f"who uses it: fuser -vm {place}") from error
    devices.detach(one)
