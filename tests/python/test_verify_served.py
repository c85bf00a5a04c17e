"""snapshot verify beside a daemon: the check works in the daemon, the answers are the same."""

import signal
import sys
import time

import pytest
import test_verify_ese
import test_verify_script
import test_verify_sqlite
from checked import no_traces, traces
from daemons import ServedCli, served
from test_verify_script import gone

_TAKEN = {
    test_verify_ese: {"test_a_database_and_its_logs_on_another_volume_are_one_set"},
    test_verify_sqlite: {"test_a_database_under_writes_passes", "test_wishes_that_make_no_sense"},
    test_verify_script: {
        "test_a_script_sees_the_copies_and_judges",
        "test_its_status_is_the_verdict",
        "test_the_time_limit",
        "test_a_script_that_others_may_change_is_refused",
        "test_an_interrupted_check_leaves_nothing",
        "test_a_good_verdict_ends_with_its_copy",
        "test_a_bad_verdict_stays_until_its_check_passes",
        "test_a_set_that_is_mounted_for_writing_is_checked_all_the_same",
    },
}
for _module, _names in _TAKEN.items():
    for _name in sorted(_names):
        setattr(sys.modules[__name__], _name, getattr(_module, _name))

_devices = test_verify_script._devices
checked = test_verify_script.checked
script = test_verify_script.script
live = test_verify_sqlite.live
pair = test_verify_ese.pair


@pytest.fixture
def daemon(state, fork_server, tmp_path):
    with served(ServedCli(state, fork_server), tmp_path) as process:
        yield process


@pytest.fixture
def cli(daemon):
    return daemon.cli


def test_nothing_takes_the_copies_from_under_a_check(checked, script, tmp_path):
    process, _ = test_verify_script.begun(checked, script, tmp_path)
    for verb in ("resync", "delete", "promote"):
        assert checked.cli.error(8, "snapshot", verb, "noon", "--yes")["code"] == "busy"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    checked.cli("snapshot", "resync", "noon")


def test_a_daemon_that_stops_stops_its_checks(checked, script, tmp_path, daemon):
    process, inner = test_verify_script.begun(checked, script, tmp_path)
    daemon.stop(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert gone(inner)
    assert no_traces(checked.cli.state) == []


def test_the_next_daemon_clears_up_after_a_kill(checked, script, tmp_path, daemon, fork_server):
    before = checked.digests()
    process, inner = test_verify_script.begun(checked, script, tmp_path)
    daemon.stop(signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert traces(checked.cli.state)
    (tmp_path / "again").mkdir()
    with served(checked.cli, tmp_path / "again"):
        assert no_traces(checked.cli.state) == []
        assert gone(inner)
        checked.verify("--check", "filesystem")
    assert checked.digests() == before


def test_a_client_that_is_killed_does_not_stop_the_check(checked, script, tmp_path):
    flag = tmp_path / "go"
    begun = tmp_path / "begun"
    path = script(
        f"open({str(begun)!r}, 'w').close()\n"
        f"while not os.path.exists({str(flag)!r}): time.sleep(0.05)"
    )
    process = checked.cli.start("snapshot", "verify", "noon", "--check=script", "--script", path)
    end = time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)
    flag.touch()
    while checked.cli.json("snapshot", "show", "noon")["set"]["verified"] is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert no_traces(checked.cli.state) == []
