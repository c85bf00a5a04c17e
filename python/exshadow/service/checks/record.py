"""What a check has set up on this machine, so that the next command can undo it after a kill.

A check works in a place of its own under /run: its socket, the files of nbdfuse, its mounts. The
record ``STATE/checks/ID`` names that place and the processes; whoever holds the record's lock is
alive. Everything else is found by looking: what is mounted below the place, which loop devices
stand on files there.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exshadow.errors import Error
from exshadow.service import devices
from exshadow.service.attachments import Attachment, mount_points
from exshadow.service.state import StateFolder

_WAIT_SECONDS = 10.0


def _base() -> Path:
    """Where places are made: for root only, and with short paths, as sockets need."""
    return Path("/run") if os.access("/run", os.W_OK) else Path("/tmp")


class Record:
    """One check's record, its lock held by us."""

    def __init__(self, file: Path, lock: int, place: Path) -> None:
        self.place = place
        self._file = file
        self._lock = lock
        self._processes: dict[str, str] = {}  # id and time of start
        self._devices: dict[str, str] = {}  # kernel NBD devices and whom the kernel says has them

    def note_process(self, process: int) -> None:
        """A program that was started; those that have ended are forgotten."""
        self._processes = {
            one: started
            for one, started in self._processes.items()
            if _start_time(int(one)) == started
        }
        self._processes[str(process)] = _start_time(process)
        self._write()

    def note_device(self, attached: Attachment) -> None:
        """Loop devices are found without it."""
        if attached.kind == "nbd":
            self._devices[attached.device] = _kernel_owner(attached.device)
            self._write()

    def read(self) -> bool:
        """Take over what a dead check wrote; False when it had set up nothing yet."""
        try:
            document = json.loads(os.pread(self._lock, 1 << 20, 0))
            self.place = Path(document["place"])
            self._processes = dict(document["processes"])
            self._devices = dict(document["devices"])
        except (ValueError, KeyError, TypeError):
            return False
        return True

    def begin(self) -> None:
        self._write()
        for folder in (self.place, self.place / MOUNTS):
            folder.mkdir(mode=0o700)

    def _write(self) -> None:
        document = {
            "place": str(self.place),
            "processes": self._processes,
            "devices": self._devices,
        }
        data = json.dumps(document).encode()
        # In one write, behind blanks of an older and longer text: whole at any moment.
        os.pwrite(self._lock, data.ljust(os.fstat(self._lock).st_size), 0)
        os.fsync(self._lock)

    def undo_mounts(self) -> list[str]:
        """End the processes and free the views; what cannot be done is told."""
        for process, started in self._processes.items():
            _end(int(process), started)
        whole = _loops_on_files(self.place)
        return [
            *_unmount(self.place / MOUNTS),
            *_detach_loops(lambda file: file in {*whole, *self._devices}),
        ]

    def undo(self) -> list[str]:
        """Let go of everything; what cannot be is told. Every step may be repeated."""
        problems = [
            *self.undo_mounts(),
            *_detach_loops(lambda file: file.startswith(f"{self.place}/")),
            *_detach_kernel(self._devices),
            *_unmount(self.place / FILES),
        ]
        if not problems and not mount_points(self.place):
            shutil.rmtree(self.place, ignore_errors=True)
            self._file.unlink(missing_ok=True)
        return problems

    def release(self) -> None:
        os.close(self._lock)


MOUNTS, FILES, SOCKET = "mounts", "files", "nbd"
"""Names in a place."""


@contextmanager
def place_of_work(folder: StateFolder) -> Iterator[Record]:
    """A new place. What is left there in the end is undone."""
    checks = folder.path / "checks"
    checks.mkdir(mode=0o700, exist_ok=True)
    record = _new(checks)
    try:
        try:
            record.begin()
            yield record
        finally:
            record.undo()
    finally:
        record.release()


def _new(checks: Path) -> Record:
    while True:
        name = secrets.token_hex(4)
        file = checks / name
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if file.stat().st_ino == os.fstat(lock).st_ino:  # nobody cleared it meanwhile
                return Record(file, lock, _base() / f"exshadow-{name}")
        os.close(lock)


def clear(folder: StateFolder) -> list[str]:
    """Undo what checks left that were killed; what could not be undone. For root only."""
    if os.geteuid() != 0:
        return []
    problems: list[str] = []
    with suppress(FileNotFoundError):
        for file in sorted((folder.path / "checks").iterdir()):
            problems += _clear(file)
    return problems


def _clear(file: Path) -> list[str]:
    try:
        lock = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        record = Record(file, lock, Path())
        if record.read():
            return record.undo()
        file.unlink(missing_ok=True)
    except BlockingIOError:
        pass  # at work
    finally:
        os.close(lock)
    return []


# --- the steps ---


def _start_time(process: int) -> str:
    """When a process started, in the kernel's ticks: its number may be another's by now."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


def _end(process: int, started: str) -> None:
    if not started or _start_time(process) != started:
        return
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(process, signal.SIGKILL)
    deadline = time.monotonic() + _WAIT_SECONDS
    while _start_time(process) == started and time.monotonic() < deadline:
        with suppress(ChildProcessError):
            os.waitpid(process, os.WNOHANG)
        time.sleep(0.01)


def _unmount(place: Path) -> list[str]:
    """Everything mounted below `place`, the last first; lazily what is still in use."""
    problems = []
    for point in reversed(mount_points(place)):
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            try:
                devices.run("umount", point)
                break
            except Error as problem:
                if time.monotonic() < deadline and "busy" in problem.message:
                    time.sleep(0.05)
                    continue
            try:
                devices.run("umount", "--lazy", point)
            except Error as problem:
                problems.append(problem.message)
            break
    return problems


def _loops() -> dict[str, str]:
    """Loop devices and what they stand on."""
    found = {}
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            found[f"/dev/{entry.parts[3]}"] = entry.read_text().removesuffix("\n")
    return found


def _loops_on_files(place: Path) -> list[str]:
    return [device for device, file in _loops().items() if file.startswith(f"{place}/")]


def _detach_loops(ours: Callable[[str], bool]) -> list[str]:
    """Loop devices on files or devices that are `ours`."""
    problems = []
    for device, file in _loops().items():
        if not ours(file):
            continue
        try:
            devices.run("losetup", "--detach", device)
            _wait_for_detach(device, file)
        except Error as problem:
            problems.append(problem.message)
    return problems


def _wait_for_detach(device: str, file: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while _loops().get(device) == file and time.monotonic() < deadline:
        time.sleep(0.01)


def _kernel_owner(device: str) -> str:
    with suppress(OSError):
        return Path(f"/sys/block/{Path(device).name}/pid").read_text().strip()
    return ""


def _detach_kernel(kernel: dict[str, str]) -> list[str]:
    problems = []
    for device, owner in kernel.items():
        if owner and _kernel_owner(device) == owner:
            try:
                devices.run("nbd-client", "-d", device)
            except Error as problem:
                problems.append(problem.message)
    return problems
