"""Makes an export of STATE/nbd.sock a block device and lets go of it: by the kernel's NBD client
where there is one, else by nbdfuse (a file whose bytes are the export's) and a loop device.

Needs root. Every step of letting go is skipped when it is done already, so that a crash at any
point is mended by detaching again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from exshadow.errors import (
    BusyError,
    Error,
    IoError,
    PermissionRefusedError,
    UnsupportedError,
)
from exshadow.service.attachments import Attachment, is_mount_point, mounted_at, stacked
from exshadow.service.state import StateFolder

_WAIT_SECONDS = 20.0
_BLKFLSBUF = 0x1261  # of linux/fs.h


def run(*command: str | Path) -> str:
    """Run a program of the system. IoError with what it said; UnsupportedError without it."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise UnsupportedError(f"{words[0]} is not installed") from error
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split()) or f"status {done.returncode}"
        raise IoError(f"{words[0]} failed: {said}")
    return done.stdout.strip()


def require_root() -> None:
    """PermissionRefusedError for anybody else."""
    if os.geteuid() != 0:
        raise PermissionRefusedError("block devices need root", hint="run it as root")


@dataclass(frozen=True, slots=True)
class Source:
    """Where exports come from, and the folder for the files that nbdfuse makes of them."""

    socket: Path
    place: Path


def attach(folder: StateFolder, export: str, *, writable: bool) -> Attachment:
    """The export as a block device. UnsupportedError where nothing can make it one."""
    source = Source(folder.nbd_socket, folder.path / "attached")
    return attach_from(source, export, writable=writable)


def attach_from(source: Source, export: str, *, writable: bool) -> Attachment:
    """The same for the exports of any server of this machine."""
    require_root()
    if free := _free_kernel_device():
        return _attach_kernel(source, export, free, writable=writable)
    if shutil.which("nbdfuse") is None or not Path("/dev/fuse").exists():
        raise UnsupportedError(
            "neither the kernel's NBD client nor nbdfuse is here",
            hint="modprobe nbd and install nbd-client, or install nbdfuse",
        )
    return _attach_fuse(source, export, writable=writable)


def _free_kernel_device() -> str | None:
    """A kernel NBD device nobody uses; None where the kernel or nbd-client lacks."""
    if shutil.which("nbd-client") is None:
        return None
    if not Path("/sys/module/nbd").exists() and shutil.which("modprobe"):
        with suppress(Error):
            run("modprobe", "nbd")
    for block in sorted(Path("/sys/block").glob("nbd*")):
        device = Path("/dev") / block.name
        if not (block / "pid").exists() and device.exists():
            return str(device)
    return None


def _attach_kernel(source: Source, export: str, device: str, *, writable: bool) -> Attachment:
    options = [] if writable else ["-readonly"]
    run("nbd-client", "-unix", source.socket, "-name", export, *options, device)
    return Attachment(export, device, "nbd", writable)


def _attach_fuse(source: Source, export: str, *, writable: bool) -> Attachment:
    place = source.place
    place.mkdir(mode=0o700, exist_ok=True)
    file = place / export
    file.touch(mode=0o600)
    address = f"nbd+unix:///{quote(export)}?socket={quote(str(source.socket))}"
    options = [] if writable else ["-r"]
    process = _start(["nbdfuse", *options, str(file), address], place / f"{export}.log")
    try:
        _wait_for_bytes(file, process, place / f"{export}.log")
        device, note = _loop(file, writable=writable)
    except BaseException:
        _drop_fuse(Attachment(export, "", "fuse", writable, process.pid, str(file)))
        raise
    return Attachment(export, device, "fuse", writable, process.pid, str(file), note=note)


def _loop(file: Path, *, writable: bool) -> tuple[str, str]:
    """A loop device that keeps no second copy of the file's bytes in memory; what to know of it.

    Kernels tell in two ways that they cannot go past the page cache: by failing, and in /sys.
    """
    options = ["--find", "--show", *([] if writable else ["--read-only"])]
    try:
        device = run("losetup", *options, "--direct-io=on", file)
    except IoError:
        device = run("losetup", *options, file)
    direct = Path(f"/sys/block/{Path(device).name}/loop/dio")
    with suppress(OSError):
        if direct.read_text().strip() == "1":
            return device, ""
    return device, f"{device} may show old bytes after others wrote: this kernel has no direct I/O"


def drop_cache(one: Attachment) -> None:
    """Write what the device holds in memory, then forget it: the next read asks the export.

    OSError; PermissionError for whoever may not.
    """
    if one.kind == "fuse" and _loop_file(one.device) != one.file:
        return  # let go of meanwhile
    for name in stacked(one.device):
        with suppress(FileNotFoundError):
            descriptor = os.open(f"/dev/{name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.ioctl(descriptor, _BLKFLSBUF)
            finally:
                os.close(descriptor)
    if one.file:
        with Path(one.file).open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _start(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """A process that outlives this one."""
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_for_bytes(file: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until nbdfuse has put the export in place of the empty file."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while file.stat().st_size == 0:
        if process.poll() is not None or time.monotonic() > deadline:
            said = " ".join(log.read_text(encoding="utf-8", errors="replace").split())
            raise IoError(f"nbdfuse failed: {said or 'it does not answer'}")
        time.sleep(0.01)


def detach(one: Attachment) -> None:
    """Let go of the device. BusyError while it is mounted; what is gone already is no error."""
    if places := mounted_at(one.device):
        raise BusyError(
            f"{one.device} is mounted at {', '.join(places)}", hint=f"umount {places[0]}"
        )
    if one.kind == "nbd":
        if Path(f"/sys/block/{Path(one.device).name}/pid").exists():
            run("nbd-client", "-d", one.device)
        return
    if _loop_file(one.device) == one.file:
        run("losetup", "--detach", one.device)
        _wait(lambda: _loop_file(one.device) != one.file, f"{one.device} is still in use")
    _drop_fuse(one)


def _loop_file(device: str) -> str | None:
    """The file behind a loop device; None when there is none."""
    entry = Path(f"/sys/block/{Path(device).name}/loop/backing_file") if device else None
    try:
        return entry.read_text().removesuffix("\n") if entry else None
    except OSError:
        return None


def _drop_fuse(one: Attachment) -> None:
    if is_mount_point(one.file):
        try:
            run("umount", one.file)
        except IoError:
            run("umount", "--lazy", one.file)
    _wait(lambda: not _is_nbdfuse(one.process), f"nbdfuse (pid {one.process}) does not end")
    for path in (Path(one.file), Path(f"{one.file}.log")):
        path.unlink(missing_ok=True)


def _is_nbdfuse(process: int) -> bool:
    """Whether that process is still nbdfuse: after a crash the number may be another's."""
    with suppress(ChildProcessError):
        os.waitpid(process, os.WNOHANG)  # reaped when it is our own child
    try:
        return Path(f"/proc/{process}/comm").read_text().strip() == "nbdfuse"
    except OSError:
        return False


def _wait(condition: object, problem: str) -> None:
    assert callable(condition)
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise BusyError(problem)
        time.sleep(0.01)
