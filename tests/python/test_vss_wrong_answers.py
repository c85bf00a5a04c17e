"""Writers, providers and callers that give what they should not: said, and nobody else suffers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from vss_writers import OneVolume

from exshadow import ClosedError, vss
from exshadow.errors import InvalidError, NotFoundError

STATE = vss.BackupState(select_components=False)
ONCE = vss.RetryLimits(tries=1, busy_limit=0)
REQUEST = vss.BackupRequest(["data"], state=STATE, retry=ONCE)
ID = UUID(int=0xA1)


class Says(vss.Writer):
    """What its attributes say; `answer` is what it gives when it is asked what it has."""

    writer_id = ID
    name = "Says"

    def __init__(self, answer: Any = None, **attributes: Any) -> None:
        self.answer = answer
        self.__dict__.update(attributes)

    def identify(self) -> Any:
        return self.answer


class FromSample(Says):
    """One of those below, for another process, which gets text only."""

    def __init__(self, sample: str) -> None:
        super().__init__(WRONG[sample])


class Good(vss.Writer):
    writer_id = UUID(int=0xA2)
    name = "Good"


def metadata(**more: Any) -> vss.WriterMetadata:
    return vss.WriterMetadata(ID, "Says", **more)


def titled(caption: str) -> vss.WriterMetadata:
    return metadata(components=[vss.ComponentMetadata("main", caption=caption)])


WRONG: dict[str, Any] = {
    "nothing": None,
    "a number": 5,
    "a name that is none": vss.WriterMetadata(ID, 5),  # type: ignore[arg-type]
    "a component that is none": metadata(components=[None]),
    "a schema that does not fit": metadata(schema=-1),
    "a number that is too large": metadata(major_version=2**70),
    "a null character": titled("a\0b"),
    "no character": titled("\ud800"),
    "half an element": metadata(unknown=vss.UnknownXml(["<a>"], [])),
}


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[vss.Coordinator]:
    with vss.Coordinator(limits=vss.Limits(freeze=5.0), slot=tmp_path / "slot") as opened:
        opened.register_provider(OneVolume())
        yield opened


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
def test_a_writer_that_says_nonsense_is_left_out_and_the_others_are_backed_up(coordinator, answer):
    coordinator.register_writer(Says(answer))
    coordinator.register_writer(Good())
    assert [one.metadata.name for one in coordinator.writers()] == ["Good"]
    assert coordinator.backup(REQUEST).error is None


def test_a_writer_that_was_asked_for_and_says_nonsense_fails_the_backup(tmp_path):
    with vss.IsolatedCoordinator(slot=tmp_path / "slot") as isolated:
        isolated.register_provider(OneVolume())
        for sample in ("nothing", "a null character"):
            instance = isolated.register_writer(FromSample, {"sample": sample})
            (found,) = isolated.writers()
            assert found.status is not None
            assert found.status.state is vss.WriterState.FAILED_AT_IDENTIFY
            error = isolated.backup(REQUEST).error
            assert isinstance(error, vss.WriterFailure)
            assert "'Says'" in error.message
            isolated.unregister_writer(instance)


@pytest.mark.parametrize(
    ("method", "answer"),
    [("is_volume_supported", "yes"), ("snapshot_id", None), ("snapshot_id", "x"), ("query", 5)],
)
def test_a_provider_that_answers_nonsense_is_named(coordinator, method, answer):
    odd = type("Odd", (OneVolume,), {method: lambda *_: answer})
    odd.provider_id, odd.name = UUID(int=0xB1), "Odd"
    coordinator.unregister_provider(OneVolume.provider_id)
    coordinator.register_provider(odd())
    if method == "query":
        with pytest.raises(vss.ProviderFailure, match=r"'Odd'.*list expected, not int"):
            coordinator.snapshots()
        return
    error = coordinator.backup(REQUEST).error
    assert isinstance(error, vss.ProviderFailure)
    assert "'Odd'" in error.message


def test_a_caller_that_answers_nonsense_hears_so_and_the_backup_is_aborted(coordinator):
    with pytest.raises(TypeError, match="bool expected, not str"):
        coordinator.backup(REQUEST, lambda _: vss.Copied(all_succeeded="yes"))  # type: ignore[arg-type]
    assert coordinator.snapshots() == []
    assert coordinator.backup(REQUEST).error is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"freeze_limit": 0},
        {"freeze_limit": -1},
        {"freeze_limit": float("nan")},
        {"freeze_limit": float("inf")},
        {"freeze_limit": "60"},
        {"name": 5},
        {"name": "a\0b"},
        {"name": "\ud800"},
        {"writer_id": "a1"},
        {"instance_id": None},
        {"level": "system"},
        {"consistency": "perfect"},
    ],
)
def test_a_writer_with_a_wrong_attribute_is_refused_with_its_name(coordinator, attributes):
    with pytest.raises(InvalidError, match=next(iter(attributes))) as caught:
        coordinator.register_writer(Says(metadata(), **attributes))
    assert caught.value.hint


def test_what_is_no_writer_and_no_provider_is_refused(coordinator):
    for odd in (Good, OneVolume(), 5, None):
        with pytest.raises(InvalidError, match=r"is no exshadow[.]vss[.]Writer"):
            coordinator.register_writer(odd)
    for odd in (OneVolume, Good(), 5, None):
        with pytest.raises(InvalidError, match=r"is no exshadow[.]vss[.]Provider"):
            coordinator.register_provider(odd)


def test_any_time_may_be_waited(coordinator):
    with coordinator.backup_components() as backup:
        backup.initialize_for_backup()
        step = backup.gather_writer_metadata()
        with pytest.raises(InvalidError, match="nan is no number of seconds"):
            step.finish(float("nan"))
        assert step.wait(float("inf"))
        assert step.finish(1e300, grace=float("inf")) is vss.HResult.VSS_S_ASYNC_FINISHED


def test_numbers_and_enumerations_that_do_not_fit_are_refused(coordinator):
    with pytest.raises(ValueError, match="does not fit"):
        coordinator.backup(vss.BackupRequest(["data"], retry=vss.RetryLimits(tries=2**70)))
    with coordinator.backup_components() as backup:
        backup.initialize_for_backup()
        with pytest.raises(vss.InvalidArgument, match="99"):
            backup.set_backup_state(vss.BackupState(type=99))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [vss.Coordinator, vss.IsolatedCoordinator])
def test_a_session_that_was_closed_says_so(kind, tmp_path):
    with kind(slot=tmp_path / "slot") as service:
        backup = service.backup_components()
        backup.close()
        with pytest.raises(ClosedError, match="the session has ended"):
            backup.query_snapshots()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "60"])
def test_a_limit_is_a_number_of_seconds(seconds):
    with pytest.raises(InvalidError, match="the limit 'hold' is"):
        vss.Coordinator(limits=vss.Limits(hold=seconds))


def test_a_slot_that_can_be_no_file_is_named_at_once(tmp_path):
    for named in (tmp_path, f"{tmp_path}/a\0b", f"{tmp_path}/\ud800"):
        with pytest.raises(InvalidError, match="lock of vss"):
            vss.Coordinator(slot=named)
    with pytest.raises(NotFoundError, match="no such folder"):
        vss.Coordinator(slot=tmp_path / "lacks" / "slot")


def test_what_no_document_can_hold_is_refused_when_it_is_said(coordinator):
    """Else the backup is made, and its document cannot be saved."""
    refused: list[BaseException] = []

    class Stamps(Good):
        def identify(self) -> vss.WriterMetadata:
            one = vss.ComponentMetadata("main", files=[vss.FileSet("data", "*")])
            return vss.WriterMetadata(self.writer_id, self.name, components=[one])

        def on_post_snapshot(self, call: vss.WriterCall) -> None:
            try:
                call.set_backup_stamp("", "main", "a\0b")
            except vss.InvalidArgument as error:
                refused.append(error)
            call.set_backup_stamp("", "main", "good")

    coordinator.register_writer(Stamps())
    state = vss.BackupState(select_components=True, type=vss.BackupType.COPY)
    report = coordinator.backup(vss.BackupRequest(["data"], state=state, retry=ONCE)).check()
    assert len(refused) == 1
    assert 'backupStamp="good"' in report.document


def test_a_backup_of_nothing_says_that_no_volume_is_named() -> None:
    nothing = vss.BackupRequest([], retry=ONCE)
    with vss.Coordinator() as coordinator:
        coordinator.register_provider(OneVolume())
        with pytest.raises(InvalidError, match="no volume is named"):
            coordinator.backup(nothing).check()


FORKING = """
import os, sys, signal
from test_vss_wrong_answers import *
from exshadow import ClosedError
kind, slot = sys.argv[1:]
coordinator = getattr(vss, kind)(slot=slot)
coordinator.register_provider(OneVolume())
backup = coordinator.backup_components()
backup.initialize_for_backup()
backup.set_backup_state(STATE)
backup.gather_writer_metadata().finish()
backup.start_snapshot_set()
backup.add_to_snapshot_set("data")
backup.prepare_for_backup().finish()
child = os.fork()
if child == 0:
    signal.alarm(20)
    for call in (coordinator.snapshots, backup.do_snapshot_set):
        try:
            call()
        except ClosedError as error:
            assert "parent process" in error.message, error.message
        else:
            os._exit(3)
    backup.close()
    coordinator.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0, "the child did not end well"
backup.do_snapshot_set().finish()
backup.backup_complete().finish()
backup.close()
coordinator.close()
print("done")
"""


@pytest.mark.parametrize("kind", ["Coordinator", "IsolatedCoordinator"])
def test_a_forked_child_is_refused_and_ends_without_harm_to_its_parent(kind, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FORKING, kind, tmp_path / "slot"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
