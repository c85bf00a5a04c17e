"""Writers and providers as Python classes on the coordinator of this process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from vss_writers import OneVolume

from exshadow import ClosedError, TimedOutError, vss
from exshadow.errors import PermissionRefusedError
from exshadow.vss.slot import slot_file

H = vss.HResult
VOLUMES = vss.BackupState(select_components=False)
ONCE = vss.RetryLimits(tries=1)
REQUEST = vss.BackupRequest(["data"], state=VOLUMES, retry=ONCE)


class Recorder(vss.Writer):
    """Writes down what it is told; `plays` says what an event does."""

    writer_id = UUID(int=0xA1)
    name = "Recorder"

    def __init__(self, **plays: object) -> None:
        self.plays = plays
        self.told: list[str] = []
        self.threads: set[int] = set()

    def _told(self, event: str, call: vss.WriterCall) -> None:
        self.told.append(event)
        self.threads.add(threading.get_ident())
        play = self.plays.get(event)
        if isinstance(play, BaseException):
            raise play
        if callable(play):
            play(call)

    def identify(self) -> vss.WriterMetadata:
        return vss.WriterMetadata(
            self.writer_id,
            self.name,
            components=[vss.ComponentMetadata("main", files=[vss.FileSet("data", "*")])],
        )

    def on_prepare_backup(self, call: vss.WriterCall) -> None:
        self._told("prepare_backup", call)

    def on_prepare_snapshot(self, call: vss.WriterCall) -> None:
        self._told("prepare_snapshot", call)

    def on_freeze(self, call: vss.WriterCall) -> None:
        self._told("freeze", call)

    def on_thaw(self, call: vss.WriterCall) -> None:
        self._told("thaw", call)

    def on_abort(self, call: vss.WriterCall) -> None:
        self._told("abort", call)

    def on_post_snapshot(self, call: vss.WriterCall) -> None:
        self._told("post_snapshot", call)

    def on_backup_complete(self, call: vss.WriterCall) -> None:
        self._told("backup_complete", call)

    def on_backup_shutdown(self, call: vss.WriterCall) -> None:
        self._told("backup_shutdown", call)


@pytest.fixture
def coordinator() -> Iterator[vss.Coordinator]:
    with vss.Coordinator(limits=vss.Limits(freeze=5.0, abort=2.0)) as opened:
        opened.register_provider(OneVolume())
        yield opened


def opened(coordinator: vss.Coordinator) -> vss.BackupComponents:
    """A session with its set open."""
    backup = coordinator.backup_components()
    backup.initialize_for_backup()
    backup.set_backup_state(VOLUMES)
    backup.gather_writer_metadata().finish()
    backup.start_snapshot_set()
    backup.add_to_snapshot_set("data")
    return backup


def test_a_backup_call_by_call(coordinator):
    writer = Recorder()
    instance = coordinator.register_writer(writer)
    with coordinator.backup_components() as backup:
        backup.initialize_for_backup()
        backup.set_backup_state(vss.BackupState())
        step = backup.gather_writer_metadata()
        assert step.finish() is H.VSS_S_ASYNC_FINISHED
        assert step.done
        (metadata,) = backup.writer_metadata()
        assert (metadata.name, metadata.instance_id) == ("Recorder", instance)
        key = vss.ComponentKey(metadata.writer_id, "main", instance_id=instance)
        backup.add_component(key)
        with pytest.raises(vss.AlreadyExists):
            backup.add_component(key)
        set_id = backup.start_snapshot_set()
        snapshot = backup.add_to_snapshot_set("data")
        with pytest.raises(vss.ObjectNotFound):
            backup.add_to_snapshot_set("elsewhere", UUID(int=5))
        backup.prepare_for_backup().finish()
        backup.do_snapshot_set().finish()
        (status,) = backup.check_writers()
        assert status.state is vss.WriterState.WAITING_FOR_BACKUP_COMPLETE
        found = backup.snapshot_properties(snapshot)
        assert (found.set_id, found.original_volume) == (set_id, "data")
        assert found.created_at.year == 1601
        backup.set_backup_succeeded(key, True)
        backup.backup_complete().finish()
        document = vss.parse_backup_document(backup.save_as_xml())
        assert document.writers[0].components[0].succeeded is True
    assert writer.told == [
        "prepare_backup", "prepare_snapshot", "freeze", "thaw", "post_snapshot",
        "backup_complete", "backup_shutdown",
    ]  # fmt: skip
    assert threading.get_ident() not in writer.threads
    with pytest.raises(ClosedError):
        backup.session_id()
    with pytest.raises(ClosedError):
        step.status()


def test_the_order_is_kept_and_said(coordinator):
    with coordinator.backup_components() as backup:
        with pytest.raises(vss.BadState, match="VSS_E_BAD_STATE") as caught:
            backup.start_snapshot_set()
        assert caught.value.retry == "never"
        with pytest.raises(TypeError):
            backup.initialize_for_backup(5)  # type: ignore[arg-type]


def test_one_set_at_a_time(coordinator, tmp_path):
    first = opened(coordinator)
    with pytest.raises(vss.SnapshotSetInProgress):
        opened(coordinator)
    first.close()
    opened(coordinator).close()


@pytest.mark.parametrize("kind", [vss.Coordinator, vss.IsolatedCoordinator])
def test_one_set_at_a_time_is_made_on_a_machine(kind):
    """Whoever makes it: coordinators that were told nothing exclude each other."""
    with kind() as one, vss.Coordinator() as other:
        first, second = one.backup_components(), other.backup_components()
        for session in (first, second):
            session.initialize_for_backup()
            session.set_context(vss.Context.FILE_SHARE_BACKUP)
        first.start_snapshot_set()
        with pytest.raises(vss.SnapshotSetInProgress):
            second.start_snapshot_set()
        first.close()
        second.start_snapshot_set()
        second.close()


def test_where_the_slot_is(tmp_path, monkeypatch):
    assert slot_file("/here", {"EXSHADOW_VSS_SLOT": "/there"}) == "/here"
    assert slot_file(None, {"EXSHADOW_VSS_SLOT": "/there"}) == "/there"
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 7000)
    runtime = {"XDG_RUNTIME_DIR": str(tmp_path)}
    with pytest.raises(PermissionRefusedError, match="not ours"):
        slot_file(None, runtime)  # made by us, who are somebody else now
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    if os.getuid() == 0:
        assert slot_file(None, {}) == "/run/exshadow/vss.lock"
    monkeypatch.undo()


def test_the_slot_holds_between_processes_and_dies_with_its_holder(tmp_path):
    slot = tmp_path / "slot"
    program = (
        "import sys, time\n"
        "from test_vss_coordinator import *\n"
        f"c = vss.Coordinator(slot={str(slot)!r})\n"
        "c.register_provider(OneVolume())\n"
        "b = opened(c)\n"
        "print('open', flush=True)\n"
        "time.sleep(600)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    with vss.Coordinator(slot=slot) as coordinator:
        coordinator.register_provider(OneVolume())
        with pytest.raises(vss.SnapshotSetInProgress):
            opened(coordinator)
        child.kill()
        child.wait()
        child.stdout.close()
        opened(coordinator).close()


@pytest.mark.parametrize(
    ("raised", "code", "text"),
    [
        (vss.failure(H.VSS_E_WRITERERROR_RETRYABLE, "disk full"), "RETRYABLE", "disk full"),
        (vss.failure(H.VSS_E_WRITERERROR_OUTOFRESOURCES, "x"), "OUTOFRESOURCES", "x"),
        (KeyError("lost"), "NONRETRYABLE", "KeyError: 'lost'"),
        (TimeoutError("slow"), "TIMEOUT", "slow"),
        (MemoryError(), "OUTOFRESOURCES", "MemoryError"),
        (SystemExit(3), "NONRETRYABLE", "SystemExit"),
    ],
)
def test_what_a_writer_raises_reaches_the_requestor(coordinator, raised, code, text):
    writer = Recorder(freeze=raised)
    coordinator.register_writer(writer)
    outcome = coordinator.backup(REQUEST)
    error = outcome.error
    assert isinstance(error, vss.WriterFailure)
    assert error.hresult.name == f"VSS_E_WRITERERROR_{code}"
    assert text in error.message
    assert error.writer_name == "Recorder"
    assert error.state is vss.WriterState.FAILED_AT_FREEZE
    assert error.exit_status == 6
    assert coordinator.snapshots() == []
    assert "abort" in writer.told
    assert "thaw" not in writer.told


def test_check_writers_names_the_one_that_failed(coordinator):
    coordinator.register_writer(Recorder(prepare_backup=ValueError("no")))
    with opened(coordinator) as backup:
        backup.prepare_for_backup().finish()
        with pytest.raises(vss.WriterFailure, match="Recorder") as caught:
            backup.check_writers()
        assert caught.value.state is vss.WriterState.FAILED_AT_PREPARE_BACKUP
        assert backup.check_writers([UUID(int=77)])


def test_a_noted_failure_does_not_stop_the_event(coordinator):
    def note(call: vss.WriterCall) -> None:
        call.note_failure(H.VSS_E_WRITERERROR_RETRYABLE, "one log is late")

    coordinator.register_writer(Recorder(prepare_snapshot=note))
    with opened(coordinator) as backup:
        backup.prepare_for_backup().finish()
        backup.do_snapshot_set().finish()
        with pytest.raises(vss.WriterFailure, match="one log is late"):
            backup.check_writers()


def test_a_hung_writer_is_cut_off_thawed_and_named(coordinator):
    released = threading.Event()
    hung, other = Recorder(freeze=lambda call: released.wait(60)), Recorder()
    hung.name, hung.freeze_limit = "Hung", 0.5
    other.writer_id = UUID(int=0xA2)
    coordinator.register_writer(hung)
    coordinator.register_writer(other)
    begin = time.monotonic()
    outcome = coordinator.backup(REQUEST)
    took = time.monotonic() - begin
    released.set()
    assert isinstance(outcome.error, vss.WriterFailure)
    assert outcome.error.hresult is H.VSS_E_WRITERERROR_TIMEOUT
    assert "'Hung'" in outcome.error.message
    assert 0.5 <= took < 20
    assert "abort" in hung.told
    assert coordinator.snapshots() == []


def test_calls_end_with_their_callback(coordinator):
    kept: list[vss.WriterCall] = []
    coordinator.register_writer(Recorder(freeze=kept.append))
    assert coordinator.backup(REQUEST).error is None
    with pytest.raises(ClosedError, match="callback is over"):
        kept[0].facts()


def test_writers_know_their_session_and_may_not_edit_out_of_turn(coordinator):
    seen: list[vss.SessionFacts] = []

    def look(call: vss.WriterCall) -> None:
        seen.append(call.facts())
        call.set_backup_stamp("", "main", "x")

    coordinator.register_writer(Recorder(freeze=look))
    error = coordinator.backup(REQUEST).error
    assert isinstance(error, vss.VssError)
    assert seen[0].volumes == ["data"]
    assert not seen[0].state.select_components


def test_python_goes_on_while_the_coordinator_waits(coordinator):
    """No call holds the GIL: another thread counts on during a slow freeze."""
    counted = 0
    done = threading.Event()

    def count() -> None:
        nonlocal counted
        while not done.is_set():
            counted += 1
            time.sleep(0.001)

    coordinator.register_writer(Recorder(freeze=lambda call: time.sleep(0.5)))
    thread = threading.Thread(target=count)
    thread.start()
    assert coordinator.backup(REQUEST).error is None
    done.set()
    thread.join()
    assert counted > 100


def test_a_step_can_be_cancelled_and_closed_from_another_thread(coordinator):
    released = threading.Event()
    writer = Recorder(prepare_snapshot=lambda call: released.wait(30))
    coordinator.register_writer(writer)
    backup = opened(coordinator)
    backup.prepare_for_backup().finish()
    step = backup.do_snapshot_set()
    assert not step.wait(0.05)
    assert not step.done
    with pytest.raises(TimedOutError):
        step.finish(0.1, grace=0.1)
    thread = threading.Timer(0.2, backup.close)
    thread.start()
    begin = time.monotonic()
    step.wait(30)  # ended by close()
    assert time.monotonic() - begin < 10
    released.set()
    thread.join()


def test_a_provider_that_raises_is_named(coordinator):
    class Broken(OneVolume):
        provider_id = UUID(int=0xB0)
        name = "Broken"

        def commit_snapshots(self, set_id: UUID) -> None:
            raise ZeroDivisionError("oops")

    coordinator.unregister_provider(OneVolume.provider_id)
    coordinator.register_provider(Broken())
    writer = Recorder()
    coordinator.register_writer(writer)
    error = coordinator.backup(REQUEST).error
    assert isinstance(error, vss.ProviderFailure)
    assert error.hresult is H.VSS_E_UNEXPECTED_PROVIDER_ERROR
    assert "Broken" in error.message
    assert "oops" in error.message
    assert "abort" in writer.told


def test_who_is_no_writer_is_refused(coordinator):
    with pytest.raises(ValueError, match="writer_id"):
        coordinator.register_writer(vss.Writer())
    writer = Recorder()
    writer.instance_id = UUID(int=3)
    coordinator.register_writer(writer)
    with pytest.raises(vss.VssError, match="ALREADY_SUBSCRIBED"):
        coordinator.register_writer(writer)
    coordinator.unregister_writer(UUID(int=3))
    assert coordinator.writers() == []


def test_the_callers_own_exception_aborts_and_comes_back(coordinator):
    writer = Recorder()
    coordinator.register_writer(writer)
    with pytest.raises(ZeroDivisionError):
        coordinator.backup(REQUEST, lambda report: 1 / 0)
    assert writer.told[-1] == "backup_shutdown"
    assert "backup_complete" not in writer.told
    assert coordinator.snapshots() == []


def test_leaving_everything_open_freezes_nobody():
    """The interpreter ends with a writer frozen in another thread: it is aborted first."""
    program = (
        "from test_vss_coordinator import *\n"
        "c = vss.Coordinator()\n"
        "c.register_provider(OneVolume())\n"
        "w = Recorder(abort=lambda call: print('aborted', flush=True))\n"
        "c.register_writer(w)\n"
        "b = opened(c)\n"
        "b.prepare_for_backup().finish()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "aborted\n"


@pytest.mark.parametrize("kind", [vss.Coordinator, vss.IsolatedCoordinator])
def test_a_snapshot_that_could_not_be_deleted_is_told(
    kind: type[vss.Coordinator] | type[vss.IsolatedCoordinator], tmp_path: Path
) -> None:
    class Sticky(OneVolume):
        def delete_snapshot(self, snapshot: UUID, force: bool) -> None:
            raise vss.failure(vss.HResult.VSS_E_PROVIDER_VETO, "the array is busy")

    with kind(slot=tmp_path / "slot") as service:
        service.register_provider(Sticky())
        state = vss.BackupState(select_components=False)
        report = service.backup(vss.BackupRequest(["data"], state=state)).check()
        (left,) = report.snapshots
        (told,) = service.troubles()
    assert str(left.snapshot_id) in told
    assert "the array is busy" in told
