"""exshadow attach | detach, and snapshot mount | unmount on top"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from exshadow.cli import output
from exshadow.cli.context import context, state_folder
from exshadow.cli.opening import make_reporter, open_service
from exshadow.cli.options import SetName
from exshadow.errors import BusyError, Error, IoError, NotFoundError
from exshadow.names import close_match

if TYPE_CHECKING:
    from exshadow.service.attachments import Attachment, Attachments
    from exshadow.service.state import StateFolder

_START_SECONDS = 60.0

Writable = Annotated[
    bool,
    Parameter(help="A volume for writing; of a snapshot a throw-away view: the copy stays."),
]


def attach(
    name: Annotated[str, Parameter(name="VOLUME|VOLUME@LABEL", help="A volume or snapshot.")],
    /,
    *,
    writable: Writable = False,
) -> int:
    """Make a volume or snapshot a block device: kernel NBD, else nbdfuse and a loop device.

    When no daemon runs one is started; it ends with the last detach.

    Example: exshadow attach db@noon
    """
    from exshadow.service import devices
    from exshadow.service.attachments import Attachments

    devices.require_root()
    export = _export(name, writable=writable)
    attachments = Attachments(state_folder())
    with _daemon(attachments), attachments.changing() as ledger:
        for one in ledger.attachments:
            if one.export == export:
                raise BusyError(f"{export} is attached as {one.device} already")
        made = devices.attach(attachments.folder, export, writable=writable)
        attachments.write(ledger.with_(made))
    _warn((made,))
    return output.show({"attached": made.to_json()}, made.device)


def _export(name: str, *, writable: bool) -> str:
    """The export that is meant; it must be there."""
    from exshadow.service.mounts import export_of

    volume, at, label = name.partition("@")
    with open_service() as service:
        record = service.show_volume(volume)
    if not at:
        return volume
    if not any(one.label == label for one in record.snapshots):
        known = ", ".join(f"{volume}@{one.label}" for one in record.snapshots)
        listed = f"{close_match(label, [one.label for one in record.snapshots])}there is: {known}"
        hint = listed if known else f"make one with: exshadow snapshot create {record.group}"
        raise NotFoundError(f"volume {volume} has no snapshot {label!r}", hint=hint)
    return export_of(volume, label, writable=writable)


def detach(
    name: Annotated[
        str, Parameter(name="VOLUME|VOLUME@LABEL|DEVICE", help="What was attached, or its device.")
    ],
    /,
) -> int:
    """Let go of a block device made by attach; also after a crash of whatever served it.

    Example: exshadow detach db@noon
    """
    from exshadow.service import devices
    from exshadow.service.attachments import Attachments

    attachments = Attachments(state_folder())
    with attachments.changing() as ledger:
        names = {one.export for one in ledger.attachments}
        one = ledger.find(f"{name}+view" if f"{name}+view" in names - {name} else name)
        if one.set_id:
            raise BusyError(f"{one.export} is mounted", hint="exshadow snapshot unmount SET")
        devices.detach(one)
        attachments.write(ledger.without(one.export))
    _end_daemon(attachments)
    return output.show({"detached": one.to_json()}, f"{one.export} detached from {one.device}")


def mount(
    set_: SetName,
    folder: Annotated[str, Parameter(name="DIR", help="Where; made when missing.")],
    /,
    *,
    writable: Annotated[
        bool, Parameter(help="On throw-away views; the copies never change.")
    ] = False,
) -> int:
    """Mount the copies of a set read-only; a set of several volumes in a folder for each.

    Example: exshadow snapshot mount shop@noon /mnt/noon
    """
    from exshadow.service import devices, mounts, sets
    from exshadow.service.attachments import Attachments
    from exshadow.service.conflicts import absolute

    devices.require_root()
    with open_service() as service:
        one = service.show_set(set_)
    sets.require_native(one, "mount")
    attachments = Attachments(state_folder())
    with _daemon(attachments):
        made = mounts.mount(attachments, one, absolute(folder), writable=writable)
    _warn(made)
    return _shown("mounted", made)


def unmount(set_: SetName, /) -> int:
    """Undo snapshot mount.

    Example: exshadow snapshot unmount shop@noon
    """
    from exshadow.service import mounts
    from exshadow.service.attachments import Attachments

    with open_service() as service:
        one = service.show_set(set_)
    attachments = Attachments(state_folder())
    gone = mounts.unmount(attachments, one)
    _end_daemon(attachments)
    return _shown("unmounted", gone)


def _warn(made: tuple[Attachment, ...]) -> None:
    """Say what must be known of the devices."""
    reporter = make_reporter()
    for one in made:
        if one.note:
            reporter.note(one.note)
    reporter.close()


def _shown(verb: str, attachments: tuple[Attachment, ...]) -> int:
    text = "\n".join(f"{one.export} {verb}: {', '.join(one.mounts)}" for one in attachments)
    return output.show({verb: [one.to_json() for one in attachments]}, text)


class _daemon:  # noqa: N801  (used like a function)
    """A daemon for the time of an attachment; one started here ends when that fails."""

    def __init__(self, attachments: Attachments) -> None:
        self._attachments = attachments

    def __enter__(self) -> None:
        if _served_by(self._attachments.folder) is not None:
            return
        pid = _start_daemon(self._attachments.folder)
        with self._attachments.changing() as ledger:
            self._attachments.write(replace(ledger, daemon=pid))
        if not context.quiet and not context.json:
            output.say(f"no daemon ran; started one (pid {pid}) that ends with the last detach")

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            _end_daemon(self._attachments)


def _served_by(folder: StateFolder) -> int | None:
    """Process id of the daemon that answers; None when none does."""
    from exshadow.client.line import Line

    if not folder.control_socket.exists():
        return None
    try:
        line = Line(folder.control_socket)
    except NotFoundError:
        return None
    with closing(line):
        return int(line.get("/v1/status")["status"]["pid"])


def _start_daemon(folder: StateFolder) -> int:
    """A daemon that outlives this command; what it says goes to STATE/serve.log."""
    log = folder.path / "serve.log"
    command = [sys.executable, "-m", "exshadow", "--state", str(folder.path), "serve"]
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_SECONDS
    while _served_by(folder) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise IoError("the daemon did not start", hint=f"see {log}, or run: exshadow serve")
        time.sleep(0.05)
    return process.pid


def _end_daemon(attachments: Attachments) -> None:
    """When nothing is attached any more, end the daemon that an attach started."""
    with attachments.changing() as ledger:
        if ledger.attachments or not ledger.daemon:
            return
        attachments.write(replace(ledger, daemon=0))
        try:
            if _served_by(attachments.folder) != ledger.daemon:
                return  # that one ended long ago; whoever serves now was not started here
        except Error:
            return
        os.kill(ledger.daemon, signal.SIGTERM)
    deadline = time.monotonic() + _START_SECONDS
    while attachments.folder.control_socket.exists() and time.monotonic() < deadline:
        with suppress(ChildProcessError):
            os.waitpid(ledger.daemon, os.WNOHANG)
        time.sleep(0.02)
