"""F23: whoever is killed, no application stays frozen beyond its limit. Real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from vss_writers import (
    Application,
    LateWriter,
    MuteWriter,
    OneVolume,
    StoppingWriter,
    children_of,
    stat_of,
)

from exshadow import ClosedError, vss

HERE = Path(__file__).parent
# The kernel tells the host at once; the rest is for a busy machine.
SOON = 5.0


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    running = Application(tmp_path)
    yield running
    running.end()


class Child:
    """The requestor, standing at its step."""

    def __init__(
        self, step: str, application: Application, log: Path, hangs: str = "", limit: float = 60
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, HERE / "vss_requestor_child.py", step, str(application.pid),
             str(log), hangs, str(limit)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=HERE,
        )  # fmt: skip
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said.strip().isdigit(), said
        self.guard = int(said)
        (self.host,) = children_of(self.guard)

    def kill(self, *who: str) -> float:
        """Kill -9, all at once; gives the time."""
        pids = {"requestor": self.process.pid, "host": self.host, "guard": self.guard}
        for one in who:
            os.kill(pids[one], signal.SIGKILL)
        return time.monotonic()

    def all_end(self, *who: str) -> None:
        """Nothing of the house outlives its end for long."""
        pids = [{"host": self.host, "guard": self.guard}[one] for one in who]
        end = time.monotonic() + SOON + 10
        while any(stat_of(pid) not in ("", "Z") for pid in pids):
            assert time.monotonic() < end, "still there"
            time.sleep(0.02)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


FROZEN = ["pre_commit", "commit", "post_commit"]


@pytest.mark.parametrize(
    "step",
    ["gathered", "set_open", "prepared", "end_prepare", *FROZEN, "pre_final_commit", "snapshotted"],
)
def test_a_killed_requestor_leaves_nobody_frozen(step, application, tmp_path, capsys):
    log = tmp_path / "log"
    child = Child(step, application, log)
    frozen = application.stopped(within=5 if step in FROZEN else 0)
    assert frozen == (step in FROZEN)
    killed = child.kill("requestor")
    child.end()
    after = application.goes_on_within(SOON) - killed
    child.all_end("host", "guard")
    assert not application.stopped()
    told = log.read_text().split() if log.exists() else []
    assert "rescue" not in told
    assert told[-1:] == ["backup_shutdown"]
    if frozen:
        assert "abort" in told
        with capsys.disabled():
            sys.stdout.write(f"\n  killed at {step}: goes on after {after * 1000:.0f} ms\n")


@pytest.mark.parametrize(
    "who", [("host",), ("requestor", "host"), ("guard",), ("requestor", "guard")]
)
def test_a_killed_host_or_guard_leaves_nobody_frozen(who, application, tmp_path, capsys):
    log = tmp_path / "log"
    child = Child("commit", application, log)
    assert application.stopped(within=5)
    killed = child.kill(*who)
    after = application.goes_on_within(SOON) - killed
    child.end()
    child.all_end("host", "guard")
    assert ("rescue" in log.read_text()) == ("host" in who)
    with capsys.disabled():
        sys.stdout.write(f"\n  killed {'+'.join(who)}: goes on after {after * 1000:.0f} ms\n")


def test_a_writer_that_does_not_even_abort_is_rescued_at_its_limit(application, tmp_path):
    """The host hangs in Freeze and in Abort: the guard kills it a second after the limit."""
    log = tmp_path / "log"
    child = subprocess.Popen(
        [sys.executable, HERE / "vss_requestor_child.py", "none", str(application.pid),
         str(log), "freeze,abort", "1.0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=HERE,
    )  # fmt: skip
    end = time.monotonic() + 30
    while not (log.exists() and "freeze" in log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.005)
    application.goes_on_within(1.0 + 1.0 + SOON)
    assert log.read_text().split()[-1] == "rescue"
    said = child.communicate(timeout=60)[1]
    assert "WriterFailure: VSS_E_WRITERERROR_TIMEOUT" in said, said
    assert "writer 'vss_writers:StoppingWriter' failed_at_freeze" in said, said
    assert "its rescue done" in said, said


def test_modules_of_the_current_folder_are_not_taken_for_pythons(tmp_path):
    """A command of root's, called in somebody else's folder."""
    for module in ("json", "socket", "select", "uuid"):
        (tmp_path / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    program = (
        "from exshadow import vss\nwith vss.IsolatedCoordinator() as one: print(one.writers())"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("isolated", [False, True])
def test_a_freeze_that_takes_effect_after_its_abort_is_undone(application, tmp_path, isolated):
    log = tmp_path / "log"
    arguments = {"pid": str(application.pid), "log": str(log), "limit": "0.3"}
    with vss.IsolatedCoordinator() if isolated else vss.Coordinator() as coordinator:
        coordinator.register_provider(OneVolume())
        coordinator.register_writer(
            *((LateWriter, arguments) if isolated else (LateWriter(**arguments),))
        )
        assert isinstance(coordinator.backup(whole(["data"])).error, vss.WriterFailure)
        said_at_last(log, "freeze")
        application.goes_on_within(SOON)
        assert not application.stopped()
    told = log.read_text().split()
    assert told.count("freeze") == 1
    assert "abort" in told[: told.index("freeze")]
    assert "abort" in told[told.index("freeze") :]
    assert "rescue" not in told


def test_a_host_that_dies_in_a_freeze_that_was_aborted_is_rescued_from(application, tmp_path):
    """Nobody knows whether such a freeze has taken effect."""
    log = tmp_path / "log"
    coordinator = vss.IsolatedCoordinator()
    coordinator.register_provider(OneVolume())
    arguments = {"pid": str(application.pid), "log": str(log), "limit": "0.3", "hangs": "asked"}
    coordinator.register_writer(LateWriter, arguments)
    assert isinstance(coordinator.backup(whole(["data"])).error, vss.WriterFailure)
    (host,) = children_of(coordinator.guard_pid)
    os.kill(application.pid, signal.SIGSTOP)  # now it does
    os.kill(host, signal.SIGKILL)
    application.goes_on_within(SOON)
    assert log.read_text().split()[-1] == "rescue"
    coordinator.close()


def whole(volumes: list[str]) -> vss.BackupRequest:
    state = vss.BackupState(select_components=False)
    return vss.BackupRequest(volumes, state=state, retry=vss.RetryLimits(tries=1))


def said_at_last(log: Path, word: str) -> None:
    end = time.monotonic() + SOON
    while word not in log.read_text().split():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_stopped_host_is_killed_at_the_limit(application, tmp_path):
    log = tmp_path / "log"
    child = Child("commit", application, log, limit=1.0)
    os.kill(child.host, signal.SIGSTOP)
    application.goes_on_within(2.0 + SOON)
    assert "rescue" in log.read_text()
    child.all_end("host", "guard")
    child.end()


def test_a_backup_in_a_process_of_its_own(application, tmp_path):
    """The same results and errors as in this process."""
    log = tmp_path / "log"
    provider = OneVolume()
    with vss.IsolatedCoordinator() as coordinator:
        coordinator.register_provider(provider)
        coordinator.register_writer(StoppingWriter, {"pid": str(application.pid), "log": str(log)})
        seen = []
        request = vss.BackupRequest(
            ["data"], state=vss.BackupState(select_components=False), retry=vss.RetryLimits(1)
        )
        outcome = coordinator.backup(request, lambda report: seen.append(report.snapshots))
        assert outcome.error is None
        assert seen[0][0].original_volume == "data"
        assert [one.name for one in coordinator.providers()] == ["One volume"]
        (writer,) = coordinator.writers()
        assert writer.metadata.name == "Ticker"
        events = [one.event for one in coordinator.callbacks() if one.of_writer]
        assert events.index("freeze") < events.index("thaw")
        with pytest.raises(ZeroDivisionError):
            coordinator.backup(request, lambda report: 1 / 0)
        with coordinator.backup_components() as session, pytest.raises(vss.BadState):
            session.start_snapshot_set()
    assert log.read_text().split()[:3] == ["prepare_snapshot", "freeze", "thaw"]
    assert not provider.made  # released with the object
    coordinator.close()


def test_writers_must_be_importable():
    class Local(StoppingWriter):
        pass

    with vss.IsolatedCoordinator() as coordinator:
        with pytest.raises(ValueError, match="another process"):
            coordinator.register_writer(Local)
        with pytest.raises(LookupError, match="no writer"):
            coordinator.register_writer("vss_writers:Nothing")
        with pytest.raises(ValueError, match="has no option 'bogus'"):
            coordinator.register_writer(StoppingWriter, {"bogus": 1})


def test_a_coordinator_whose_host_is_gone_says_so():
    coordinator = vss.IsolatedCoordinator()
    (host,) = children_of(coordinator.guard_pid)
    os.kill(host, signal.SIGKILL)
    with pytest.raises(ClosedError, match="gone"):
        coordinator.providers()
    coordinator.close()


def test_a_writer_that_hangs_when_asked_what_it_has_fails_the_backup():
    """The coordinator drops, without a word, who does not answer Identify: the set would be called
    consistent without it."""
    with vss.IsolatedCoordinator(limits=vss.Limits(identify=2.0)) as coordinator:
        coordinator.register_provider(OneVolume())
        coordinator.register_writer(MuteWriter)
        coordinator.writers()  # an earlier question, still open, is not asked again
        outcome = coordinator.backup(
            vss.BackupRequest(volumes=["data"], retry=vss.RetryLimits(tries=1))
        )
    assert "did not say within 1.6 s what it has" in str(outcome.error)
    assert isinstance(outcome.error, vss.WriterFailure)
    assert not outcome.report.snapshots
