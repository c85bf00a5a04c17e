"""snapshot verify --check script, and what ends a check: time limits, Ctrl-C, kill -9."""

import json
import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from checked import make_file_system, need_devices, no_traces, put_live, split_off, traces

from exshadow.service import jobs
from exshadow.service.checks.ground import Ground
from exshadow.service.checks.wish import CheckWish
from exshadow.service.desk import Desk
from exshadow.service.state import StateFolder
from exshadow.service.verify import verify


@pytest.fixture(autouse=True)
def _devices():
    need_devices()


@pytest.fixture
def checked(cli, tmp_path):
    """Two volumes with a file each."""
    for name in ("data", "logs"):
        image = make_file_system("ext4", tmp_path / f"{name}.img")
        put_live(image, tmp_path / "made", lambda place, n=name: (place / n).write_text(n))
    return split_off(cli, tmp_path, "data", "logs")


@pytest.fixture
def script(tmp_path):
    """Makes a Python script that has the document it was told as `told`."""

    def make(body: str) -> Path:
        path = tmp_path / "check.py"
        path.write_text(f"#!{sys.executable}\nimport json, os, sys, time\n"
                        f"told = json.load(sys.stdin)\n{body}\n")  # fmt: skip
        path.chmod(0o755)
        return path

    return make


def test_a_script_sees_the_copies_and_judges(checked, script):
    path = script(
        "for disk in told['disks']:\n"
        "    place = disk['mount']\n"
        "    assert open(f'{place}/{disk[\"volume\"]}').read() == disk['volume']\n"
        "    open(f'{place}/more', 'w').write('thrown away')\n"
        "print(os.environ['EXSHADOW_SET'], told['set']['label'])"
    )
    verdict = checked.verify("--check", "script", "--script", path)
    assert verdict["evidence"]["output"] == "g@noon noon"
    assert verdict["evidence"]["status"] == 0


def test_its_status_is_the_verdict(checked, script):
    verdict = checked.verify(
        "--check", "script", "--script", script("print('balance is off'); sys.exit(3)"), status=5
    )
    assert "status 3: balance is off" in verdict["detail"]


def test_one_that_cannot_be_started_says_nothing_of_the_copy(checked, tmp_path):
    path = tmp_path / "check"
    for start in ("no interpreter named", "#!/nonexistent/shell\n"):
        path.write_text(start)
        path.chmod(0o755)
        error = checked.cli.error(4, "snapshot", "verify", "noon", "--check", "script",
                                  "--script", path)  # fmt: skip
        assert "cannot be started" in error["message"]
    assert checked.cli.json("snapshot", "show", "noon")["set"]["checks"] == []


def test_endless_output_is_cut(checked, script):
    path = script("for n in range(400_000): print('line', n)")
    verdict = checked.verify("--check", "script", "--script", path)
    assert len(json.dumps(verdict)) < 64 << 10
    output = verdict["evidence"]["output"]
    assert output.startswith("line 0")
    assert output.endswith("line 399999")


def test_the_time_limit(checked, script):
    path = script("import subprocess; subprocess.Popen(['sleep', '987'])\ntime.sleep(600)")
    begun = time.monotonic()
    verdict = checked.verify("--check", "script", "--script", path, "--timeout", "3s", status=5)
    assert "no verdict within 3 s" in verdict["detail"]
    assert time.monotonic() - begun < 60
    assert not running("sleep", "987")


def running(*words: str) -> list[int]:
    """Processes with exactly that command line."""
    wanted = "\0".join(words).encode() + b"\0"
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if entry.read_bytes() == wanted:
                found.append(int(entry.parts[2]))
        except OSError:
            continue
    return found


def test_a_script_that_others_may_change_is_refused(checked, script, tmp_path):
    path = script("pass")
    path.chmod(0o757)
    error = checked.cli.error(4, "snapshot", "verify", "noon", "--check=script", "--script", path)
    assert "others may write" in error["message"]
    path.chmod(0o755)
    os.chown(path, 65534, 65534)
    checked.cli.error(4, "snapshot", "verify", "noon", "--check=script", "--script", path)
    os.chown(path, 0, 0)
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    path.rename(open_folder / "check.py")
    path = open_folder / "check.py"
    checked.cli.error(4, "snapshot", "verify", "noon", "--check=script", "--script", path)
    path.rename(tmp_path / "check.py")
    path = tmp_path / "check.py"
    path.chmod(0o644)
    checked.cli.error(4, "snapshot", "verify", "noon", "--check=script", "--script", path)
    checked.cli.error(3, "snapshot", "verify", "noon", "--check=script", "--script", "/no/such")
    assert checked.cli.json("snapshot", "show", "noon")["set"]["verified"] is None


# --- ends that were not planned ---


def begun(checked, script, tmp_path, command=("verify", "noon", "--check")):
    """A check whose script has begun and waits for ever."""
    flag = tmp_path / "begun"
    path = script(f"open({str(flag)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")
    process = checked.cli.start("snapshot", *command, "script", "--script", path)
    end = time.monotonic() + 60
    while not flag.exists() or not flag.read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    return process, int(flag.read_text())


def gone(process: int) -> bool:
    end = time.monotonic() + 10
    while Path(f"/proc/{process}/stat").exists() and time.monotonic() < end:
        if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return not Path(f"/proc/{process}/stat").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_check_leaves_nothing(checked, script, tmp_path, number):
    process, inner = begun(checked, script, tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert no_traces(checked.cli.state) == []
    assert gone(inner)
    assert checked.cli.json("snapshot", "show", "noon")["set"]["verified"] is None


def test_an_interrupted_check_of_a_new_set_with_writers_leaves_nothing(checked, script, tmp_path):
    """The writers are told how it went by another thread, which hears of no signal."""
    checked.cli("snapshot", "resync", "noon")
    new = ("create", "g", "--label", "noon", "--writer", "script?command=/bin/true", "--verify")
    process, inner = begun(checked, script, tmp_path, new)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert no_traces(checked.cli.state) == []
    assert gone(inner)
    kept = checked.cli.json("snapshot", "show", "noon")["set"]
    assert (kept["state"], kept["verified"]) == ("ready", None)
    checked.cli("snapshot", "resync", "noon")


def test_the_next_command_clears_up_after_a_kill(checked, script, tmp_path):
    before = checked.digests()
    process, inner = begun(checked, script, tmp_path)
    process.kill()
    process.communicate(timeout=60)
    assert traces(checked.cli.state)
    (name,) = [one.name for one in (checked.cli.state / "checks").iterdir()]
    assert Path(f"/run/exshadow-{name}").exists()
    checked.cli("snapshot", "pin", "noon")  # whatever opens a volume
    assert no_traces(checked.cli.state) == []
    assert gone(inner)
    assert not Path(f"/run/exshadow-{name}").exists()
    assert checked.digests() == before
    checked.verify("--check", "filesystem")


def test_a_good_verdict_ends_with_its_copy(checked):
    checked.verify("--check", "bytes")
    assert checked.cli.json("snapshot", "list")["sets"][0]["verified"]["ok"] is True
    checked.copy("data").touch()
    (one,) = checked.cli.json("snapshot", "list")["sets"]
    assert one["verified"] is None
    assert one["checks"] == []


def test_a_bad_verdict_stays_until_its_check_passes(checked, script):
    checked.verify("--check=script", "--script", script("sys.exit(1)"), status=5)
    checked.verify("--check", "bytes")
    (one,) = checked.cli.json("snapshot", "list")["sets"]
    assert (one["verified"]["check"], one["verified"]["ok"]) == ("script", False)
    checked.verify("--check=script", "--script", script(""))
    (one,) = checked.cli.json("snapshot", "list")["sets"]
    assert one["verified"]["ok"] is True
    checked.cli("snapshot", "resync", "noon")
    assert checked.cli.json("snapshot", "show", one["id"])["set"]["verified"] is None


def test_a_set_that_is_mounted_for_writing_is_checked_all_the_same(checked, tmp_path):
    """The check has views of its own."""
    checked.cli("snapshot", "mount", "noon", tmp_path / "mnt", "--writable")
    try:
        (tmp_path / "mnt" / "data" / "data").write_text("changed in the other view")
        checked.cli("snapshot", "verify", "noon", "--check", "filesystem")
        assert (tmp_path / "mnt" / "data" / "data").read_text().startswith("changed")
    finally:
        checked.cli("snapshot", "unmount", "noon")


def test_the_check_of_bytes_keeps_its_time_limit(checked, monkeypatch):
    """Its jobs are the engine's, which knows no time."""
    real, asked = jobs._ends_within, []

    def ends_within(job, seconds):
        asked.append(job)
        return len(asked) > 1 and real(job, seconds)

    monkeypatch.setattr(jobs, "_ends_within", ends_within)
    monkeypatch.setattr(Ground, "seconds", 10.0)
    with closing(Desk(StateFolder(checked.cli.state))) as desk:
        found = verify(desk, "noon", CheckWish(("bytes",), timeout=1))
    assert "gave no verdict within 1 s" in str(found.error)
    assert found.error is not None
    assert "do not restore from g@noon" in found.error.hint
    assert [one.ok for one in found.set.checks] == [False]
