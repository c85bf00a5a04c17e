"""drill: a set restored where it harms nobody, checked, timed, recorded; nothing stays."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from checked import digest, make_file_system, need_devices, no_traces, put_live, split_off
from conftest import MIB
from daemons import ServedCli, served
from machine import mounted, need_root, sparse

from exshadow.errors import IntegrityError, UnsupportedError
from exshadow.model import Verification
from exshadow.service.checks.running import Judged
from exshadow.service.checks.wish import CheckWish
from exshadow.service.desk import Desk
from exshadow.service.drills import drill, place
from exshadow.service.drills.wish import DrillWish
from exshadow.service.state import StateFolder


@pytest.fixture(params=["desk", "daemon"])
def cli(request, state, fork_server, tmp_path):
    """The command line, and the same beside a daemon."""
    from conftest import Cli

    if request.param == "desk":
        yield Cli(state, fork_server)
        return
    line = ServedCli(state, fork_server)
    with served(line, tmp_path):
        yield line


def left(cli, *folders):
    """What drills have left: folders of theirs, records, mounts, devices."""
    found = [str(one) for one in (cli.state / "drills").glob("*")]
    for folder in folders:
        found += [str(one) for one in folder.glob("exshadow-drill-*")]
    return found + no_traces(cli.state)


def digests(folder):
    return {one.name: digest(one) for one in folder.glob("*.img")}


@pytest.fixture
def noon(cli, image, tmp_path):
    """Two raw volumes and their set, written to since."""
    for name, size in (("db", 2 * MIB), ("logs", MIB)):
        cli("volume", "add", name, image(f"{name}.img", size), "--group", "g")
        cli("mirror", "add", name, tmp_path / f"{name}-m2.img", "--label", "m2")
        cli("mirror", "add", name, tmp_path / f"{name}-m3.img", "--label", "m3")
    cli("snapshot", "create", "g", "--label", "noon", "--plex", "m2")
    cli.write("db", 4096, b"since" * 100)
    return cli


def test_what_comes_back_is_the_copy(noon, tmp_path):
    before = digests(tmp_path)
    drill = noon.json("drill", "g")["drill"]
    assert digests(tmp_path) == before
    assert drill["ok"]
    assert drill["name"] == "g@noon"
    names = [(step["name"], step["volume"]) for step in drill["steps"]]
    assert names == [
        ("restore", "db"), ("restore", "logs"), ("check bytes", ""), ("open", ""), ("clean up", ""),
    ]  # fmt: skip
    assert [step["bytes"] for step in drill["steps"][:2]] == [2 * MIB, MIB]
    parts = [step["seconds"] for step in drill["steps"] if step["name"] != "clean up"]
    assert drill["seconds_to_recover"] == pytest.approx(sum(parts), abs=0.01)
    assert left(noon) == []
    shown = noon.json("snapshot", "show", "noon")["set"]["checks"][-1]
    assert (shown["check"], shown["ok"]) == ("drill", True)
    assert shown["evidence"]["steps"] == drill["steps"]
    assert "recovered in" in shown["detail"]
    text = noon("drill", "g").out
    assert "g@noon: recovered in" in text
    assert "restore db" in text


def test_the_newest_set_is_taken_or_the_one_named(noon, tmp_path):
    noon("snapshot", "create", "g", "--label", "later", "--plex", "m3")
    assert noon.json("drill", "g")["drill"]["name"] == "g@later"
    assert noon.json("drill", "g", "--set", "noon")["drill"]["name"] == "g@noon"
    noon("mirror", "add", "db", tmp_path / "db-m4.img", "--label", "m4")
    noon("mirror", "add", "logs", tmp_path / "logs-m4.img", "--label", "m4")
    noon("restore", "noon", "--keep-current")  # what that kept is no backup
    assert noon.json("drill", "g")["drill"]["name"] == "g@later"
    assert "not of group h" in noon.error(3, "drill", "h", "--set", "noon")["message"]


def test_what_is_refused(noon, tmp_path):
    before = digests(tmp_path)
    noon.error(3, "drill", "other")
    noon.error(2, "drill", "g", "--views", "--dir", tmp_path)
    noon.error(2, "drill", "g", "--check", "good")
    noon.error(2, "drill", "g", "--script", "/bin/true")
    noon.error(8, "drill", "g", "--dir", tmp_path / "db.img")  # production
    noon.error(8, "drill", "g", "--dir", tmp_path / "db-m2.img")  # the very copy
    (tmp_path / "link").symlink_to(tmp_path / "db-m2.img")
    noon.error(8, "drill", "g", "--dir", tmp_path / "link")
    (tmp_path / "file").touch()
    noon.error(2, "drill", "g", "--dir", tmp_path / "file")
    noon("snapshot", "delete", "noon")
    assert "no set that is ready" in noon.error(4, "drill", "g")["message"]
    assert digests(tmp_path) == before
    assert left(noon, tmp_path) == []


def test_a_set_that_a_restore_would_not_take_has_not_come_back(noon, tmp_path):
    with (tmp_path / "db-m2.img").open("r+b") as copy:
        copy.seek(MIB)
        copy.write(b"from outside")
    document = noon.json("drill", "g", status=5)
    assert "take the copy failed: volume db: " in document["drill"]["detail"]
    assert "not as it was split off" in document["error"]["message"]
    noon("restore", "noon", status=5)
    os.truncate(tmp_path / "db-m2.img", MIB)
    assert "another size" in noon.json("drill", "g", status=5)["drill"]["detail"]
    assert noon.json("snapshot", "show", "noon")["set"]["checks"][-1]["ok"] is False
    assert left(noon) == []


def test_its_comparison_keeps_the_time_limit(noon, monkeypatch):
    monkeypatch.setattr(CheckWish, "require_valid", lambda self: None)
    with closing(Desk(StateFolder(noon.state))) as desk:
        if not noon.served:
            done, error = drill.drill(desk, "g", DrillWish(timeout=-1))
            assert isinstance(error, IntegrityError)
            assert "check bytes failed: gave no verdict within -1 s" in done.detail


def test_checks_of_the_set_are_those_of_the_drill(noon):
    noon("snapshot", "verify", "noon", "--check", "bytes")
    assert [one["check"] for one in noon.json("drill", "g")["drill"]["checks"]] == ["bytes"]


def test_no_room(noon, tmp_path):
    need_root()
    with mounted("none", tmp_path / "small", "-t", "tmpfs", "-o", "size=66M") as small:
        error = noon.error(7, "drill", "g", "--dir", small)
        assert error["code"] == "no_space"
        assert "--views" in error["hint"]
        assert left(noon, small) == []


@pytest.fixture
def live(cli, tmp_path):
    """An ext4 volume as a crash leaves it, with an SQLite database."""
    need_devices()

    def fill(top):
        with closing(sqlite3.connect(top / "a.db")) as database:
            database.executescript("create table t(x); insert into t values (1), (2)")

    put_live(make_file_system("ext4", tmp_path / "db.img"), tmp_path / "made", fill)
    return split_off(cli, tmp_path, "db")


@pytest.mark.parametrize("views", [False, True])
def test_file_system_and_databases_are_checked(live, cli, tmp_path, views):
    before = digests(tmp_path)
    where = ("--views",) if views else ("--dir", tmp_path / "scratch")
    checks = ("--check", "filesystem", "--check", "sqlite")
    drill = cli.json("drill", "g", *checks, *where)["drill"]
    assert [one["check"] for one in drill["checks"]] == ["filesystem", "sqlite"]
    assert all(one["ok"] for one in drill["checks"])
    assert digests(tmp_path) == before
    assert left(cli, tmp_path / "scratch") == []


def test_a_script_may_write_where_nothing_is_lost(live, cli, tmp_path):
    script = tmp_path / "write"
    script.write_text(
        "#!/usr/bin/python3\n"
        "import json, pathlib, sys\n"
        "disk = json.load(sys.stdin)['disks'][0]\n"
        "(pathlib.Path(disk['mount']) / 'a.db').write_bytes(b'gone' * 100000)\n"
    )
    script.chmod(0o755)
    before = digests(tmp_path)
    drill = cli.json("drill", "g", "--check", "script", "--script", script)["drill"]
    assert drill["ok"], drill
    assert digests(tmp_path) == before
    assert left(cli) == []


def test_a_bad_copy_gives_5_and_is_recorded(cli, tmp_path):
    need_devices()

    def fill(top):
        with closing(sqlite3.connect(top / "a.db")) as database:
            database.execute("create table t(x)")
            rows = ((f"{number:0500}",) for number in range(500))
            database.executemany("insert into t values (?)", rows)
            database.commit()
        content = bytearray((top / "a.db").read_bytes())
        content[4096 * 20 : 4096 * 40] = b"\xa5" * (4096 * 20)
        (top / "a.db").write_bytes(content)

    put_live(make_file_system("ext4", tmp_path / "db.img"), tmp_path / "made", fill)
    split_off(cli, tmp_path, "db")
    before = digests(tmp_path)
    document = cli.json("drill", "g", "--check", "sqlite", status=5)
    assert not document["drill"]["ok"]
    assert document["error"]["code"] == "mismatch"
    assert digests(tmp_path) == before
    assert left(cli) == []
    one = cli.json("snapshot", "show", "noon")["set"]
    assert one["verified"]["check"] == "drill"
    assert one["verified"]["ok"] is False


def in_process(cli, wish):
    desk = Desk(StateFolder(cli.state))
    try:
        return drill.drill(desk, "g", wish)
    finally:
        desk.close()


@pytest.mark.parametrize("order", [("sqlite", "postgresql"), ("postgresql", "sqlite")])
def test_a_check_that_cannot_run_hides_no_damage(noon, monkeypatch, order):
    if noon.served:
        pytest.skip("once is enough")
    sound = []

    def judge(ground, check):
        if check == "postgresql":
            raise UnsupportedError("PostgreSQL is not installed")
        return Judged(Verification(check, bool(sound), "", "a.db is damaged"), 0)

    monkeypatch.setattr(drill.running, "judge", judge)
    done, error = in_process(noon, DrillWish(checks=order, views=True))
    assert isinstance(error, IntegrityError)
    assert "a.db is damaged; PostgreSQL is not installed" in error.message
    assert [one.check for one in done.verdicts] == ["sqlite"]
    verified = noon.json("snapshot", "show", "noon")["set"]["verified"]
    assert (verified["check"], verified["ok"]) == ("drill", False)
    sound.append(True)
    with pytest.raises(UnsupportedError):  # nothing against it, and not all that was asked
        in_process(noon, DrillWish(checks=order, views=True))


def test_a_volume_that_a_crash_left_is_not_opened(noon, tmp_path):
    if noon.served:
        pytest.skip("the daemon has it open")
    crash = "import os, sys; from exshadow import Engine; v = Engine().open(sys.argv[1]); " \
            "v.write(0, b'x' * 4096); os._exit(0)"  # fmt: skip
    subprocess.run([sys.executable, "-c", crash, noon.state / "db.exv"], check=True,
                   env=noon.environment)  # fmt: skip
    before = digests(tmp_path), digest(noon.state / "db.exv")
    error = noon.error(4, "drill", "g")
    assert "volume db was not closed cleanly" in error["message"]
    assert (digests(tmp_path), digest(noon.state / "db.exv")) == before
    noon(*error["hint"].partition("exshadow ")[2].split())
    assert noon.json("drill", "g")["drill"]["ok"]


def wait_for(path, process):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def waiting(live, tmp_path):
    """A check script that says when it has begun, and waits."""
    script = tmp_path / "wait"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nsleep 300\n")
    script.chmod(0o755)
    return ("drill", "g", "--check", "script", "--script", script)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(cli, waiting, tmp_path, number):
    before = digests(tmp_path)
    process = cli.start("--json", *waiting, "--dir", tmp_path)
    wait_for(tmp_path / "begun", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "exshadow drill g" in json.loads(out)["error"]["hint"]
    assert digests(tmp_path) == before
    assert left(cli, tmp_path) == []


def test_killed_the_next_command_clears_what_is_left(state, fork_server, waiting, cli, tmp_path):
    if cli.served:
        pytest.skip("the drill is the daemon's there")
    process = cli.start("--json", *waiting, "--dir", tmp_path)
    wait_for(tmp_path / "begun", process)
    before = digests(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    assert left(cli, tmp_path) != []
    cli("snapshot", "verify", "noon", "--check", "bytes")
    assert left(cli, tmp_path) == []
    assert digests(tmp_path) == before
    assert cli.json("drill", "g")["drill"]["ok"]


def test_the_next_daemon_clears_what_a_killed_one_left(state, fork_server, tmp_path):
    need_root()
    line = ServedCli(state, fork_server)
    with served(line, tmp_path) as daemon:
        line("volume", "add", "db", sparse(tmp_path / "db.img", MIB), "--group", "g")
        daemon.stop(signal.SIGKILL)
        remains(StateFolder(state), tmp_path / "exshadow-drill-0001")
    (tmp_path / "again").mkdir()
    with served(line, tmp_path / "again"):
        assert left(line, tmp_path) == []


# --- what is cleared, and what never ---


def remains(folder, where, which=True):
    """A record as a killed drill leaves it, and its folder."""
    records = folder.path / place.RECORDS
    records.mkdir(parents=True, exist_ok=True)
    where.mkdir()
    sparse(where / "db.img", MIB)
    status = where.lstat()
    known = [status.st_dev, status.st_ino] if which else None
    (records / "0001.json").write_text(json.dumps({"place": str(where), "which": known}))
    return records / "0001.json"


def test_only_the_very_folder_is_removed(state, tmp_path):
    folder = StateFolder(state)
    where = tmp_path / "exshadow-drill-0001"
    record = remains(folder, where)
    assert place.clear(folder) == []
    assert not where.exists()
    assert not record.exists()
    remains(folder, where)
    shutil.rmtree(where)
    where.mkdir()
    filler = where / "somebody's"
    filler.touch()
    os.utime(where)
    record.write_text(json.dumps({"place": str(where), "which": [0, 1]}))
    assert place.clear(folder) == []
    assert filler.exists()


def test_a_folder_that_was_not_noted_yet_goes_only_when_empty(state, tmp_path):
    folder = StateFolder(state)
    where = tmp_path / "exshadow-drill-0001"
    remains(folder, where, which=False)
    assert place.clear(folder) == []
    assert (where / "db.img").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"place": 3}'])
def test_a_record_of_nonsense_harms_nobody(state, text):
    folder = StateFolder(state)
    (state / place.RECORDS).mkdir(parents=True)
    (state / place.RECORDS / "1.json").write_text(text)
    assert place.clear(folder) == []


def test_a_plex_that_lies_there_stays(cli, tmp_path):
    if cli.served:
        pytest.skip("once is enough")
    folder = StateFolder(cli.state)
    where = tmp_path / "exshadow-drill-0001"
    remains(folder, where)
    (where / "db.img").write_bytes(bytes(range(256)) * 4096)
    record = (cli.state / place.RECORDS / "0001.json").read_text()
    (cli.state / place.RECORDS / "0001.json").unlink()
    cli("volume", "add", "db", where / "db.img")
    (cli.state / place.RECORDS / "0001.json").write_text(record)
    problems = place.clear(folder)
    assert (where / "db.img").exists()
    assert "stays" in problems[0]
