"""Volumes that are block devices of this machine while their bytes are replaced under them.

A mounted file system would write what it has in memory over them, so that is refused; a device
that is not mounted forgets what it has read.
"""

from __future__ import annotations

from collections.abc import Iterable

from exshadow.errors import BusyError
from exshadow.service import devices
from exshadow.service.attachments import Attachment, Attachments, mounted_at
from exshadow.service.desk import Desk


def _of(desk: Desk, volumes: Iterable[str]) -> list[Attachment]:
    wanted = set(volumes)
    return [one for one in Attachments(desk.folder).read().attachments if one.export in wanted]


def prepare(desk: Desk, volumes: Iterable[str], verb: str) -> None:
    """BusyError while a device of one of the volumes is mounted. What the others hold in memory is
    written now, so that it cannot be written later over what `verb` brings."""
    wanted = list(volumes)
    require_unmounted(desk, wanted, verb)
    refresh(desk, wanted)


def require_unmounted(desk: Desk, volumes: Iterable[str], verb: str) -> None:
    """BusyError while a device of one of the volumes is mounted; changes nothing."""
    for one in _of(desk, volumes):
        if places := mounted_at(one.device):
            raise BusyError(
                f"cannot {verb}: volume {one.export} is attached as {one.device} "
                f"and mounted at {', '.join(places)}",
                hint=f"unmount it first: umount {places[0]}",
            )


def refresh(desk: Desk, volumes: Iterable[str]) -> None:
    """Let the devices of the volumes read anew; what cannot is said aloud."""
    for one in _of(desk, volumes):
        try:
            devices.drop_cache(one)
        except OSError as error:
            desk.reporter.note(
                f"{one.device} may still show what volume {one.export} held before: "
                f"{error.strerror}; as root run: blockdev --flushbufs {one.device}"
            )
