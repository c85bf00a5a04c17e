"""Writers and a provider for tests with real processes. The application is a process that
writes the time into a file every few milliseconds; it stands still while it is stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from exshadow import vss
from exshadow.writers.exchange import EXCHANGE_WRITER

TICK = """
import sys, time
with open(sys.argv[1], "w", buffering=1) as ticks:
    while True:
        ticks.write(f"{time.monotonic()}\\n")
        time.sleep(0.005)
"""


class Application:
    """The process, and when it stood still."""

    def __init__(self, folder: Path) -> None:
        self.ticks = folder / "ticks"
        self.process = subprocess.Popen([sys.executable, "-c", TICK, str(self.ticks)])
        while not self.ticks.exists() or self.ticks.stat().st_size == 0:
            time.sleep(0.01)

    @property
    def pid(self) -> int:
        return self.process.pid

    def stopped(self, within: float = 0.0) -> bool:
        """Whether it stands; a signal takes a moment to be heard on a busy machine."""
        end = time.monotonic() + within
        while stat_of(self.pid) != "T" and time.monotonic() < end:
            time.sleep(0.01)
        return stat_of(self.pid) == "T"

    def times(self) -> list[float]:
        lines = self.ticks.read_text().splitlines()
        return [float(line) for line in lines[:-1] if line]

    def goes_on_within(self, seconds: float) -> float:
        """When it first ticked after now; fails when it does not in time."""
        begin = time.monotonic()
        while time.monotonic() < begin + seconds:
            if (times := self.times()) and times[-1] > begin:
                return next(at for at in times if at > begin)
            time.sleep(0.01)
        raise AssertionError(f"the application still stands after {seconds} s")

    def longest_stand(self) -> float:
        times = self.times()
        return max(after - before for before, after in pairwise(times))

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


def stat_of(pid: int) -> str:
    """The state letter of a process; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class StoppingWriter(vss.Writer):
    """Freezes by stopping a process, which outlives everything of ours. `hangs`: events that never
    end, separated by commas; `log`: a file with what it was told."""

    writer_id = UUID("5e7c1a40-3f63-4a6e-9d3c-5b8f0f6b9a01")
    name = "Ticker"

    def __init__(self, pid: str, log: str = "", hangs: str = "", limit: str = "60") -> None:
        self.pid = int(pid)
        self.log = log
        self.hangs = hangs.split(",")
        self.freeze_limit = float(limit)

    def _told(self, event: str) -> None:
        if self.log:
            with Path(self.log).open("a") as log:
                log.write(f"{event}\n")
        if event in self.hangs:
            threading.Event().wait()

    def on_prepare_snapshot(self, call: vss.WriterCall) -> None:
        self._told("prepare_snapshot")

    def on_freeze(self, call: vss.WriterCall) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        self._told("freeze")

    def on_thaw(self, call: vss.WriterCall) -> None:
        self._told("thaw")
        os.kill(self.pid, signal.SIGCONT)

    def on_abort(self, call: vss.WriterCall) -> None:
        self._told("abort")
        os.kill(self.pid, signal.SIGCONT)

    def on_backup_shutdown(self, call: vss.WriterCall) -> None:
        self._told("backup_shutdown")

    def rescue(self) -> None:
        self._told("rescue")
        os.kill(self.pid, signal.SIGCONT)


class LateWriter(StoppingWriter):
    """Its freeze takes effect a second after it was asked for."""

    writer_id = UUID("5e7c1a40-3f63-4a6e-9d3c-5b8f0f6b9a05")
    name = "Late"

    def on_freeze(self, call: vss.WriterCall) -> None:
        self._told("asked")
        time.sleep(1.0)
        super().on_freeze(call)


class HoldingWriter(vss.Writer):
    """Holds nothing, and says what it would."""

    name = "Holding"

    def __init__(self, consistency: str) -> None:
        self.consistency = consistency
        self.writer_id = uuid5(NAMESPACE_OID, consistency)


class RefusingWriter(StoppingWriter):
    """Refuses Freeze, and says why."""

    writer_id = UUID("5e7c1a40-3f63-4a6e-9d3c-5b8f0f6b9a02")
    name = "Refuser"

    def on_freeze(self, call: vss.WriterCall) -> None:
        raise vss.failure(vss.HResult.VSS_E_WRITERERROR_RETRYABLE, "the log disk is full")


class FilesWriter(vss.Writer):
    """One component: the files of a folder."""

    writer_id = UUID("5e7c1a40-3f63-4a6e-9d3c-5b8f0f6b9a03")
    name = "Files"

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def identify(self) -> vss.WriterMetadata:
        files = [vss.FileSet(self.folder, "*", recursive=True)]
        part = vss.ComponentMetadata("files", files=files)
        return vss.WriterMetadata(self.writer_id, self.name, components=[part])


class ProvenWriter(StoppingWriter):
    """Notes at the end whether it was told that its component was backed up well."""

    writer_id = UUID("5e7c1a40-3f63-4a6e-9d3c-5b8f0f6b9a04")
    name = "Proven"

    def identify(self) -> vss.WriterMetadata:
        return vss.WriterMetadata(
            self.writer_id, self.name, components=[vss.ComponentMetadata("store")]
        )

    def on_backup_complete(self, call: vss.WriterCall) -> None:
        (store,) = call.components().components
        self._told(f"succeeded={store.succeeded}")


class RestoredWriter(vss.Writer):
    """Notes before a restore what is wanted of its one component."""

    writer_id = UUID("5e7c1a40-3f63-4a6e-9d3c-5b8f0f6b9a16")
    name = "Restored"

    def __init__(self, log: str) -> None:
        self.log = Path(log)

    def identify(self) -> vss.WriterMetadata:
        files = [vss.FileSet("/srv/store", "*.db")]
        logs = vss.FileSet("/srv/logs", "*.log")
        restore = vss.RestoreMethodMetadata(
            vss.RestoreMethod.RESTORE_TO_ALTERNATE_LOCATION,
            writer_restore=vss.WriterRestore.ALWAYS,
            mappings=[vss.LocationMapping(logs, "/srv/elsewhere")],
        )
        parts = [
            vss.ComponentMetadata("store", files=[*files, logs], selectable_for_restore=True),
            vss.ComponentMetadata(
                "part", "store", files=files, selectable=False, selectable_for_restore=True
            ),
        ]
        made = vss.WriterMetadata(
            self.writer_id, self.name, components=parts, restore_method=restore
        )
        may = vss.BackupSchema
        made.schema = may.COPY | may.WRITER_SUPPORTS_NEW_TARGET | may.RESTORE_RENAME
        return made

    def on_post_snapshot(self, call: vss.WriterCall) -> None:
        part = vss.PartialFile("/srv/store", "a.db", "File=/srv/store/a.ranges")
        call.add_partial_file("", "store", part)

    def on_pre_restore(self, call: vss.WriterCall) -> None:
        (store,) = (one for one in call.components().components if one.name == "store")
        document = vss.plain.to_json([store.restore, store.partial_files])
        self.log.write_text(json.dumps(document))


class MuteWriter(vss.Writer):
    """Never says what it has."""

    writer_id = UUID("5e7c1a40-3f63-4a6e-9d3c-5b8f0f6b9a15")
    name = "Mute"

    def identify(self) -> vss.WriterMetadata:
        threading.Event().wait()
        raise AssertionError


class ExchangeDouble(vss.Writer):
    """Says of itself what Microsoft's Exchange writer says: its id, and storage groups."""

    writer_id = EXCHANGE_WRITER
    name = "Microsoft Exchange Writer"

    def identify(self) -> vss.WriterMetadata:
        server = "Exchange Server\\MAIL1"
        parts = [
            vss.ComponentMetadata(name, server, caption=f"Group {name}")
            for name in ("First", "Second")
        ]
        parts.append(vss.ComponentMetadata("Logs", f"{server}\\First", selectable=False))
        return vss.WriterMetadata(self.writer_id, self.name, components=parts)


class LastRefuser(ProvenWriter):
    """Refuses BackupComplete; says in PostSnapshot what its copy needs."""

    writer_id = UUID("5e7c1a40-3f63-4a6e-9d3c-5b8f0f6b9a06")
    name = "Last refuser"

    def on_post_snapshot(self, call: vss.WriterCall) -> None:
        call.set_backup_metadata("", "store", "START WAL LOCATION")

    def on_backup_complete(self, call: vss.WriterCall) -> None:
        raise vss.failure(vss.HResult.VSS_E_WRITERERROR_NONRETRYABLE, "the archive is full")


class TimedWriter(vss.Writer):
    """Writes down when its Freeze ended and its Thaw began: CLOCK_MONOTONIC, of all processes."""

    writer_id = UUID("5e7c1a40-3f63-4a6e-9d3c-5b8f0f6b9a08")
    name = "Timed"

    def __init__(self, log: str) -> None:
        self.log = Path(log)

    def _note(self) -> None:
        with self.log.open("a") as log:
            log.write(f"{time.monotonic()}\n")

    def on_freeze(self, call: vss.WriterCall) -> None:
        self._note()

    def on_thaw(self, call: vss.WriterCall) -> None:
        self._note()


class Confused(vss.Writer):
    """Cannot say what it has."""

    writer_id = UUID("5e7c1a40-3f63-4a6e-9d3c-5b8f0f6b9a07")
    name = "Confused"

    def identify(self) -> vss.WriterMetadata:
        raise vss.failure(vss.HResult.VSS_E_WRITERERROR_RETRYABLE, "the server does not answer")


class OneVolume(vss.Provider):
    """Takes the volume ``data``; `at` is called with the name of every step."""

    provider_id = UUID("5e7c1a40-3f63-4a6e-9d3c-5b8f0f6b9aff")
    name = "One volume"

    def __init__(self, at: Callable[[str], None] = lambda step: None) -> None:
        self.at = at
        self.made: dict[UUID, vss.SnapshotProperties] = {}
        self.request: vss.SnapshotRequest | None = None

    def is_volume_supported(self, volume: str, attributes: vss.SnapshotAttributes) -> bool:
        return volume == "data"

    def begin_prepare_snapshot(self, request: vss.SnapshotRequest) -> None:
        self.request = request

    def end_prepare_snapshots(self, set_id: UUID) -> None:
        self.at("end_prepare")

    def pre_commit_snapshots(self, set_id: UUID) -> None:
        self.at("pre_commit")

    def commit_snapshots(self, set_id: UUID) -> None:
        self.at("commit")
        one = self.request
        assert one is not None
        self.made[one.snapshot_id] = vss.SnapshotProperties(
            one.snapshot_id, one.set_id, 1, "/dev/copy", one.volume, "here", "here", "", "",
            self.provider_id, one.attributes, 0, vss.SnapshotState.CREATED,
        )  # fmt: skip

    def post_commit_snapshots(self, set_id: UUID, count: int) -> None:
        self.at("post_commit")

    def pre_final_commit_snapshots(self, set_id: UUID) -> None:
        self.at("pre_final_commit")

    def abort_snapshots(self, set_id: UUID) -> None:
        self.made = {id: one for id, one in self.made.items() if one.set_id != set_id}

    def query(self) -> list[vss.SnapshotProperties]:
        return list(self.made.values())

    def delete_snapshot(self, snapshot: UUID, force: bool) -> None:
        del self.made[snapshot]


def some_id() -> UUID:
    return uuid4()
