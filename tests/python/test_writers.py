"""The built-in writers in real sessions of the coordinator."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_agent import FakeAgent
from machine import loop_device, mounted, need_root, run, sparse
from vss_writers import OneVolume

from exshadow import vss
from exshadow.errors import InvalidError, NotFoundError, RefusedError
from exshadow.vss.places import Places
from exshadow.vss.registry import make_writer, spec_of
from exshadow.writers.filesystem import FilesystemWriter
from exshadow.writers.guest_agent import GuestAgentWriter
from exshadow.writers.mariadb import MariaDbWriter
from exshadow.writers.script import ScriptWriter
from exshadow.writers.sqlite import SqliteWriter

REQUEST = vss.BackupRequest(
    volumes=["data"],
    state=vss.BackupState(select_components=False),
    retry=vss.RetryLimits(tries=1),
)


def nothing(step: str) -> None:
    """At every step of the provider."""


def backup(
    writer: vss.Writer, at: Callable[[str], None] = nothing, limits: vss.Limits | None = None
) -> vss.BackupOutcome:
    """One whole backup with this writer; `at` is called at the provider's steps."""
    with vss.Coordinator(limits=limits) as coordinator:
        coordinator.register_provider(OneVolume(at))
        coordinator.register_writer(writer)
        return coordinator.backup(REQUEST)


def failed_writer(outcome: vss.BackupOutcome) -> vss.WriterStatus:
    (found,) = [one.status for one in outcome.report.writers if one.status.failure]
    return found


# --- sqlite ---


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE entry (number INTEGER)")
        connection.executemany("INSERT INTO entry VALUES (?)", [(n,) for n in range(100)])
    connection.close()
    return path


def test_sqlite_is_held_at_the_instant_and_goes_on(database: Path) -> None:
    busy: list[str] = []

    def at(step: str) -> None:
        if step == "commit":
            other = sqlite3.connect(database, timeout=0)
            with pytest.raises(sqlite3.OperationalError) as refusal:
                other.execute("INSERT INTO entry VALUES (-1)")
            busy.append(str(refusal.value))
            assert other.execute("SELECT count(*) FROM entry").fetchone() == (100,)
            other.close()

    backup(SqliteWriter(str(database)), at).check()
    assert busy == ["database is locked"]
    with sqlite3.connect(database, timeout=0) as after:
        after.execute("INSERT INTO entry VALUES (100)")
    after.close()


def test_sqlite_waits_for_a_writer_only_so_long(database: Path) -> None:
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    outcome = backup(SqliteWriter(str(database), wait=0.2))
    other.execute("ROLLBACK")
    other.close()
    status = failed_writer(outcome)
    assert status.failure == vss.HResult.VSS_E_WRITERERROR_RETRYABLE
    assert status.state == vss.WriterState.FAILED_AT_FREEZE
    assert "database is locked" in str(outcome.error)


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    wrong = tmp_path / "app.db"
    wrong.write_bytes(b"not a database" * 1000)
    outcome = backup(SqliteWriter(str(wrong)))
    assert failed_writer(outcome).failure == vss.HResult.VSS_E_WRITERERROR_NONRETRYABLE
    with pytest.raises(NotFoundError, match="names no file"):
        SqliteWriter(str(tmp_path / "*.sqlite"))
    with pytest.raises(NotFoundError, match="names no file"):
        SqliteWriter(str(tmp_path))


def test_sqlite_refuses_a_set_without_the_database(database: Path) -> None:
    def outcome(mounts: dict[str, list[str]], **more: str) -> vss.BackupOutcome:
        with vss.Coordinator(places=Places(mounts)) as coordinator:
            coordinator.register_provider(OneVolume())
            coordinator.register_writer(SqliteWriter(str(database), **more))
            return coordinator.backup(REQUEST)

    elsewhere = {"data": ["/proc"]}
    status = failed_writer(outcome(elsewhere))
    assert status.failure == vss.HResult.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT
    assert "places=trust" in status.application_message
    for mounts in ({"data": ["/proc", mount_point(database)]}, {"other": ["/proc"]}):
        outcome(mounts).check()  # in the set; nobody can tell
    outcome(elsewhere, places="trust").check()


def test_sqlite_takes_a_name_with_brackets_and_leaves_out_what_lies_beside_a_database(
    database: Path,
) -> None:
    odd = database.with_name("orders[1].db")
    with contextlib.closing(sqlite3.connect(odd)) as connection:
        connection.execute("CREATE TABLE entry (number INTEGER)")
    backup(SqliteWriter(str(odd))).check()
    (database.parent / "lost+found").mkdir()
    with contextlib.closing(sqlite3.connect(database)) as reader:
        reader.execute("SELECT count(*) FROM entry").fetchall()
        assert database.with_name("app.db-wal").exists()
        backup(SqliteWriter(str(database.parent / "*"))).check()


def mount_point(path: Path) -> str:
    return next(str(one) for one in path.resolve().parents if one.is_mount())


def test_sqlite_lets_go_when_the_provider_fails(database: Path) -> None:
    def at(step: str) -> None:
        if step == "commit":
            raise vss.failure(vss.HResult.VSS_E_PROVIDER_VETO, "no")

    assert backup(SqliteWriter(str(database)), at).error is not None
    with sqlite3.connect(database, timeout=0) as after:
        after.execute("INSERT INTO entry VALUES (100)")
    after.close()


# --- file systems ---


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    need_root()
    image = sparse(tmp_path / "fs.img", 64 << 20)
    run("mkfs.ext4", "-q", image)
    with mounted(image, tmp_path / "fs", "-o", "loop") as place:
        yield place


def test_a_file_system_stands_still_at_the_instant(mount: Path) -> None:
    wrote: list[float] = []

    def write() -> None:
        (mount / "file").write_text("written while frozen")
        wrote.append(time.monotonic())

    thread = threading.Thread(target=write)
    committed: list[float] = []

    def at(step: str) -> None:
        if step == "pre_commit":
            thread.start()
        if step == "commit":
            time.sleep(0.3)
            assert not wrote
            committed.append(time.monotonic())

    backup(FilesystemWriter(str(mount)), at).check()
    thread.join(10)
    assert wrote[0] > committed[0]


class CommittingSqlite(SqliteWriter):
    """Its application commits right before the freeze, in a way that SQLite does not sync."""

    def on_freeze(self, call: vss.WriterCall) -> None:
        self.application = sqlite3.connect(
            self.pattern, isolation_level=None, check_same_thread=False
        )
        self.application.execute("PRAGMA synchronous = NORMAL")
        self.application.executemany("INSERT INTO entry VALUES (?)", [(n,) for n in range(900)])
        super().on_freeze(call)


def copy_at_split(mount: Path, writer: vss.Writer) -> Path:
    """The blocks of the mounted image as they were at the split."""
    copy = mount.parent / "copy.img"

    def at(step: str) -> None:
        if step == "commit":
            shutil.copy(mount.parent / "fs.img", copy)

    backup(writer, at).check()
    return copy


def test_a_copy_of_blocks_holds_what_sqlite_committed(mount: Path) -> None:
    path = mount / "app.db"
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("CREATE TABLE entry (number INTEGER)")
    writer = CommittingSqlite(str(path))
    copy = copy_at_split(mount, writer)
    writer.application.close()
    with (
        mounted(copy, mount.parent / "copy", "-o", "loop") as place,
        contextlib.closing(sqlite3.connect(place / "app.db")) as found,
    ):
        assert found.execute("SELECT count(*) FROM entry").fetchone() == (900,)
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_system_freezes_behind_the_applications_on_it(mount: Path) -> None:
    """A database that is to be held writes: it would wait for the thaw."""
    path = mount / "app.db"
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("CREATE TABLE entry (number INTEGER)")
    for writers in ((0, 1), (1, 0)):
        both = (FilesystemWriter(str(mount)), CommittingSqlite(str(path)))
        with vss.Coordinator() as coordinator:
            coordinator.register_provider(OneVolume())
            for number in writers:
                coordinator.register_writer(both[number])
            coordinator.backup(REQUEST).check()
            calls = [one for one in coordinator.callbacks() if one.of_writer]
        both[1].application.close()
        order = {event: [one.actor for one in calls if one.event == event] for event in
                 ("freeze", "thaw")}  # fmt: skip
        assert order == {"freeze": ["sqlite", "filesystem"], "thaw": ["filesystem", "sqlite"]}


@pytest.mark.parametrize("mode", ["freeze", "sync"])
def test_a_copy_of_blocks_holds_what_was_written_before(mount: Path, mode: str) -> None:
    class Writing(FilesystemWriter):
        def on_freeze(self, call: vss.WriterCall) -> None:
            (mount / "late").write_bytes(b"late" * 100_000)
            super().on_freeze(call)

    copy = copy_at_split(mount, Writing(str(mount), mode=mode))
    with mounted(copy, mount.parent / "copy", "-o", "loop") as place:
        assert (place / "late").read_bytes() == b"late" * 100_000


def test_a_freeze_beyond_its_limit_is_lifted(mount: Path) -> None:
    def at(step: str) -> None:
        if step == "commit":
            time.sleep(1.5)

    begin = time.monotonic()
    outcome = backup(FilesystemWriter(str(mount), limit=0.5), at)
    (mount / "file").write_text("goes on")
    assert time.monotonic() - begin < 10
    assert failed_writer(outcome).failure == vss.HResult.VSS_E_WRITERERROR_TIMEOUT
    assert "filesystem" in str(outcome.error)


def test_rescue_thaws_what_another_process_froze(mount: Path) -> None:
    run("fsfreeze", "--freeze", mount)
    FilesystemWriter(str(mount)).rescue()
    (mount / "file").write_text("goes on")
    FilesystemWriter(str(mount)).rescue()  # nothing is frozen: no error


def test_a_file_system_that_is_frozen_already_may_be_retried(mount: Path) -> None:
    run("fsfreeze", "--freeze", mount)
    try:
        outcome = backup(FilesystemWriter(str(mount)))
    finally:
        run("fsfreeze", "--unfreeze", mount)
    assert failed_writer(outcome).failure == vss.HResult.VSS_E_WRITERERROR_RETRYABLE


def test_exshadows_own_ground_is_not_frozen(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="would freeze the system"):
        FilesystemWriter("/")
    FilesystemWriter("/", mode="sync")
    with pytest.raises(InvalidError, match="not where a file system is mounted"):
        FilesystemWriter(str(tmp_path))
    with pytest.raises(InvalidError, match="not between 0 and 60"):
        FilesystemWriter("/", mode="sync", limit="2m")


def test_a_file_system_that_somebody_else_thawed_spoils_the_set(mount: Path) -> None:
    def at(step: str) -> None:
        if step == "commit":
            run("fsfreeze", "--unfreeze", mount)

    outcome = backup(FilesystemWriter(str(mount)), at)
    assert failed_writer(outcome).failure == vss.HResult.VSS_E_WRITERERROR_RETRYABLE
    assert "thawed by somebody else" in str(outcome.error)


def test_what_a_split_writes_to_is_not_frozen(mount: Path, cli: Any, image: Any) -> None:
    """The state folder wherever it was named, the folders of plexes, and what is asked for."""
    writer = f"filesystem?mount={mount}"

    def refusal(state: Path) -> str:
        command = ("--state", state, "snapshot", "create", "data", "--writer", writer)
        error: dict[str, str] = cli.error(4, *command)
        return error["message"]

    inside = mount / "state"
    cli("--state", inside, "volume", "add", "data", image("a.img"))
    cli("--state", inside, "mirror", "add", "data", mount.parent / "b.img")
    assert str(inside) in refusal(inside)
    (mount / "plexes").mkdir()
    outside = image("c.img").parent / "state"
    cli("--state", outside, "volume", "add", "data", image("d.img"))
    cli("--state", outside, "mirror", "add", "data", mount / "plexes" / "d.img")
    assert str(mount / "plexes") in refusal(outside)
    with pytest.raises(RefusedError, match="what a set needs"):
        FilesystemWriter(str(mount), keep=str(mount / "not" / "there" / "yet"))
    FilesystemWriter(str(mount), keep=str(mount.parent))


def test_subvolumes_of_one_btrfs_stand_still_together(tmp_path: Path) -> None:
    need_root()
    disk = sparse(tmp_path / "btrfs.img", 256 << 20)
    run("mkfs.btrfs", "-q", disk)
    with loop_device(disk) as device, mounted(device, tmp_path / "top") as top:
        run("btrfs", "subvolume", "create", top / "data")
        with mounted(device, tmp_path / "data", "-o", "subvol=data") as data:
            assert data.stat().st_dev != top.stat().st_dev
            with pytest.raises(RefusedError, match="what a set needs"):
                FilesystemWriter(str(data), keep=str(top))


# --- scripts ---


def script(folder: Path, body: str) -> Path:
    path = folder / "hook"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def events(log: Path) -> list[str]:
    return [json.loads(line)["event"] for line in log.read_text().splitlines()]


def test_a_script_hears_every_event(tmp_path: Path) -> None:
    log = tmp_path / "log"
    hook = script(tmp_path, f"cat >> {log}; echo >> {log}")
    backup(ScriptWriter(str(hook))).check()
    assert events(log) == [
        "prepare_backup", "prepare_snapshot", "freeze", "thaw", "post_snapshot", "backup_complete",
        "backup_shutdown",
    ]  # fmt: skip
    first = json.loads(log.read_text().splitlines()[1])
    assert first["volumes"] == ["data"]
    assert first["type"] == "full"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (75, vss.HResult.VSS_E_WRITERERROR_RETRYABLE),
        (1, vss.HResult.VSS_E_WRITERERROR_NONRETRYABLE),
    ],
)
def test_a_script_that_fails_says_why(tmp_path: Path, status: int, code: vss.HResult) -> None:
    log = tmp_path / "log"
    hook = script(
        tmp_path,
        f'read line; echo "$line" >> {log}\n'
        f'case "$line" in *\'"freeze"\'*) echo the log disk is full >&2; exit {status};; esac',
    )
    outcome = backup(ScriptWriter(str(hook)))
    assert failed_writer(outcome).failure == code
    assert "the log disk is full" in str(outcome.error)
    assert "abort" in events(log)


def test_a_script_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    hook = script(
        tmp_path,
        f'read line; echo "$line" >> {log}\n'
        f'case "$line" in *\'"freeze"\'*) sleep 300 & echo $! > {tmp_path}/child; wait;; esac',
    )
    begin = time.monotonic()
    outcome = backup(ScriptWriter(str(hook), limit=0.5))
    assert time.monotonic() - begin < 15
    assert failed_writer(outcome).failure == vss.HResult.VSS_E_WRITERERROR_TIMEOUT
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()
    assert "abort" in events(log)


def test_a_script_may_leave_a_child_in_the_background(tmp_path: Path) -> None:
    """It has ended when the command has, though the child keeps what it was given open."""
    hook = script(tmp_path, f"cat > /dev/null; sleep 20 & echo $! >> {tmp_path}/children")
    begin = time.monotonic()
    try:
        backup(ScriptWriter(str(hook), limit=3, timeout=5)).check()
        assert time.monotonic() - begin < 15
    finally:
        for child in (tmp_path / "children").read_text().split():
            os.kill(int(child), signal.SIGKILL)


def test_a_script_that_says_much_is_quoted_by_its_end(tmp_path: Path) -> None:
    hook = script(tmp_path, "yes nonsense | head -c 300000 >&2; echo the reason >&2; exit 1")
    assert "nonthe reason" in str(backup(ScriptWriter(str(hook))).error)


def test_a_script_hears_of_success_only_when_the_copy_was_proved(tmp_path: Path, shop: Any) -> None:
    """It is what may cut the logs."""
    log = tmp_path / "log"
    hook = script(tmp_path, f"cat >> {log}; echo >> {log}")

    def told(*more: str, status: int = 0) -> list[bool]:
        log.unlink(missing_ok=True)
        words = ("snapshot", "create", "shop", "--writer", f"script?command={hook}")
        shop.cli(*words, *more, status=status)
        for one in shop.cli.json("snapshot", "list")["sets"]:
            shop.cli("snapshot", "resync", one["id"], "--yes")
        found = map(json.loads, log.read_text().splitlines())
        return [one["succeeded"] for one in found if one["event"] == "backup_complete"]

    assert told() == [False]
    assert told("--verify", "bytes") == [True]
    assert told("--verify", "sqlite", status=5 if os.geteuid() == 0 else 4) == [False]


def test_a_script_that_anybody_may_change_is_refused(tmp_path: Path) -> None:
    hook = script(tmp_path, "true")
    hook.chmod(0o777)
    with pytest.raises(RefusedError, match="may be changed by anybody"):
        ScriptWriter(str(hook))
    with pytest.raises(NotFoundError):
        ScriptWriter(str(tmp_path / "missing"))
    with pytest.raises(InvalidError):
        ScriptWriter("'open quote")


# --- the guest agent ---


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeAgent]:
    fake = FakeAgent(tmp_path)
    yield fake
    fake.socket.close()


def test_the_guest_is_frozen_at_the_instant(agent: FakeAgent) -> None:
    seen: list[str] = []
    backup(GuestAgentWriter(str(agent.path)), lambda step: seen.append(agent.state)).check()
    assert agent.state == "thawed"
    assert "frozen" in seen
    assert agent.asked == [
        "guest-fsfreeze-status", "guest-fsfreeze-freeze", "guest-fsfreeze-status",
        "guest-fsfreeze-thaw",
    ]  # fmt: skip


def test_who_makes_a_set_is_told_that_a_guests_logs_may_be_cut(agent: FakeAgent, shop: Any) -> None:
    writer = f"guest-agent?socket={agent.path}"
    told = shop.cli("snapshot", "create", "shop", "--writer", writer).err
    assert "log truncation inside a Windows guest cannot be withheld" in told
    assert agent.state == "thawed"


def test_a_guest_that_thawed_by_itself_spoils_the_set(agent: FakeAgent) -> None:
    def at(step: str) -> None:
        if step == "commit":
            agent.state = "thawed"

    outcome = backup(GuestAgentWriter(str(agent.path)), at)
    assert "thawed by itself" in str(outcome.error)


def test_a_guest_that_cannot_be_thawed_is_not_taken_for_thawed(agent: FakeAgent) -> None:
    writer = GuestAgentWriter(str(agent.path))
    call = vss.WriterCall(NeverAbandoned(), None)  # type: ignore[arg-type]
    writer.on_freeze(call)
    agent.refuses["guest-fsfreeze-thaw"] = "no"
    with pytest.raises(vss.VssError, match="refused guest-fsfreeze-thaw"):
        writer.on_abort(call)
    assert agent.state == "frozen"
    del agent.refuses["guest-fsfreeze-thaw"]
    writer.on_backup_shutdown(call)
    assert agent.state == "thawed"


class NeverAbandoned:
    def abandoned(self) -> bool:
        return False


def test_an_agent_that_refuses_or_is_silent(agent: FakeAgent) -> None:
    agent.refuses["guest-fsfreeze-freeze"] = "freeze is disabled"
    outcome = backup(GuestAgentWriter(str(agent.path)))
    assert "freeze is disabled" in str(outcome.error)
    agent.refuses.clear()
    agent.silent.add("guest-fsfreeze-freeze")
    begin = time.monotonic()
    outcome = backup(GuestAgentWriter(str(agent.path), limit=1, timeout=0.5))
    assert time.monotonic() - begin < 15
    assert failed_writer(outcome).failure == vss.HResult.VSS_E_WRITERERROR_TIMEOUT
    assert agent.asked[-1] == "guest-fsfreeze-thaw"


def test_an_agent_that_never_answers_is_thawed_when_the_freeze_is_over(agent: FakeAgent) -> None:
    """Its time for an answer may be longer than what the guest may stand still."""
    agent.silent.add("guest-fsfreeze-freeze")
    begin = time.monotonic()
    outcome = backup(GuestAgentWriter(str(agent.path), limit=0.5, timeout=60))
    assert failed_writer(outcome).failure == vss.HResult.VSS_E_WRITERERROR_TIMEOUT
    while agent.asked[-1] != "guest-fsfreeze-thaw" and time.monotonic() - begin < 10:
        time.sleep(0.01)
    assert agent.asked[-1] == "guest-fsfreeze-thaw"


@pytest.mark.parametrize(
    "answer", [b"hello", b"5", b"[]", b"null", b'{"error": "no"}', b'{"error": null}', b"\xfe\x00"]
)
def test_what_is_no_answer_of_an_agent_is_told(agent: FakeAgent, answer: bytes) -> None:
    agent.instead["guest-fsfreeze-freeze"] = answer
    outcome = backup(GuestAgentWriter(str(agent.path)))
    assert f"the guest at {agent.path} refused guest-fsfreeze-freeze: " in str(outcome.error)
    assert "Error:" not in str(outcome.error)  # no exception's own name
    assert agent.asked[-1] == "guest-fsfreeze-thaw"


def test_an_agent_that_is_not_there(tmp_path: Path) -> None:
    outcome = backup(GuestAgentWriter(str(tmp_path / "nothing.sock")))
    assert "cannot be reached" in str(outcome.error)


# --- database servers; the real ones are in the interop tests ---


def test_a_mariadb_that_accepts_and_says_nothing_is_given_up(tmp_path: Path) -> None:
    place = tmp_path / "mysqld.sock"
    writer = MariaDbWriter(socket=str(place), timeout=0.5)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(place))
        silent.listen()
        begin = time.monotonic()
        with pytest.raises(vss.WriterFailure, match="RETRYABLE"):
            writer.identify()
    assert time.monotonic() - begin < 10
    gc.collect()  # PyMySQL leaves the socket of a refused connection to it


# --- naming them ---


def test_writers_are_made_from_text(database: Path) -> None:
    writer = make_writer(spec_of(f"sqlite?path={database}&limit=5"))
    assert isinstance(writer, SqliteWriter)
    assert writer.freeze_limit == 5
    assert writer.wait == 5
    for short in (f"sqlite?path={database}&limit=3", "mariadb?limit=3"):
        made = make_writer(spec_of(short))  # `wait` was not given: it fits the limit
        assert isinstance(made, SqliteWriter | MariaDbWriter)
        assert made.wait == 3
    with pytest.raises(InvalidError, match="wait of 4 is not between"):
        make_writer(spec_of(f"sqlite?path={database}&limit=3&wait=4"))
    with pytest.raises(InvalidError, match="wrong"):
        make_writer(spec_of(f"sqlite?path={database}&wrong=1"))
    with pytest.raises(NotFoundError, match="no writer 'oracle'"):
        make_writer(spec_of("oracle"))
    assert os.path.sep in writer.instance_name
