"""What writers refuse, and whom they name."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from machine import mounted, need_root, run, sparse
from test_writers import REQUEST, failed_writer, script
from vss_writers import OneVolume

from exshadow import vss
from exshadow.errors import Error, InvalidError
from exshadow.vss.guard import BLAMED, Guard
from exshadow.vss.host import Guarded, GuardLine
from exshadow.vss.places import Places
from exshadow.vss.registry import WriterSpec, make_writer
from exshadow.writers.filesystem import FilesystemWriter
from exshadow.writers.mariadb import MariaDbWriter
from exshadow.writers.postgresql import PostgresqlWriter
from exshadow.writers.script import ScriptWriter


@pytest.mark.parametrize("mode", ["freeze", "sync"])
def test_a_file_system_outside_the_set_is_refused(tmp_path: Path, mode: str) -> None:
    need_root()
    image = sparse(tmp_path / "fs.img", 64 << 20)
    run("mkfs.ext4", "-q", image)
    with mounted(image, tmp_path / "fs", "-o", "loop") as mount:

        def outcome(mounts: dict[str, list[str]], **more: str) -> vss.BackupOutcome:
            with vss.Coordinator(places=Places(mounts)) as coordinator:
                coordinator.register_provider(OneVolume())
                coordinator.register_writer(FilesystemWriter(str(mount), mode, **more))
                return coordinator.backup(REQUEST)

        status = failed_writer(outcome({"data": ["/proc"]}))
        assert status.failure == vss.HResult.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT
        assert str(mount) in status.application_message
        for mounts in ({"data": ["/proc", str(mount)]}, {"other": ["/proc"]}):
            outcome(mounts).check()  # in the set; nobody can tell
        outcome({"data": ["/proc"]}, places="trust").check()


def test_a_script_that_does_not_hear_sigterm_is_named_and_killed(tmp_path: Path) -> None:
    """Before the guard takes its host for hung and kills that, which leaves the script alone."""
    number = tmp_path / "number"
    body = f"grep -q '\"freeze\"' || exit 0\ntrap '' TERM\necho $$ > {number}\nsleep 60\nsleep 60"
    with vss.IsolatedCoordinator() as coordinator:
        coordinator.register_provider(OneVolume())
        path = str(script(tmp_path, body))
        coordinator.register_writer("script", {"command": path, "limit": "0.5"})
        outcome = coordinator.backup(REQUEST)
    assert isinstance(outcome.error, vss.WriterFailure)
    assert outcome.error.writer_name == "script"
    assert not Path(f"/proc/{number.read_text().strip()}").exists()


def test_an_abort_has_its_own_time_when_the_freeze_used_up_its_own() -> None:
    """Else its host is taken for hung a second after the freeze, and nobody names the writer."""
    command = shutil.which("true") or "true"
    ours, theirs = socket.socketpair()
    with ours, theirs, subprocess.Popen([command]) as host:
        guard = Guard(ours, host)
        line = GuardLine(theirs)
        line.tell(writer=0, place="script", arguments={"command": command}, path=list(sys.path))
        line.tell(frozen=0, limit=-2.0)  # its end is past already
        guarded = Guarded(ScriptWriter(command), 0, vss.Limits(), line)
        line.tell(aborting=0, limit=guarded.abort_limit)
        theirs.shutdown(socket.SHUT_WR)
        guard.run()
    assert (guard.status(), guarded.abort_limit > 8) == (0, True)


def test_a_guard_says_whose_rescue_failed(tmp_path: Path) -> None:
    """By its status; nobody else is left who could."""
    ours, theirs = socket.socketpair()
    with ours, theirs, subprocess.Popen(["sleep", "60"]) as host:
        guard = Guard(ours, host)
        line = GuardLine(theirs)
        gone = {"command": str(tmp_path / "gone")}
        line.tell(writer=3, place="script", arguments=gone, path=list(sys.path))
        line.tell(frozen=3, limit=60.0)
        theirs.shutdown(socket.SHUT_WR)
        guard.run()
    assert guard.status() == BLAMED + 2 * 3 + 1


@pytest.mark.soak
def test_a_script_whose_abort_takes_long_after_a_freeze_cut_off_is_named(tmp_path: Path) -> None:
    body = (
        "read line\ncase $line in\n*'\"freeze\"'*) sleep 60 ;;\n"
        f"*'\"abort\"'*) mkdir {tmp_path}/once || exit 0; sleep 3; touch {tmp_path}/let-go ;;\nesac"
    )
    with vss.IsolatedCoordinator() as coordinator:
        coordinator.register_provider(OneVolume())
        path = str(script(tmp_path, body))
        coordinator.register_writer("script", {"command": path, "limit": "0.3"})
        outcome = coordinator.backup(REQUEST)
    assert isinstance(outcome.error, vss.WriterFailure)
    assert outcome.error.writer_name == "script"
    assert (tmp_path / "let-go").exists()


@pytest.mark.parametrize("port", ["99999999", "0", "-1", "abc", "65536"])
def test_a_port_that_no_server_can_have_is_told_when_the_writer_is_made(
    port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg")
    wrong = {
        "postgresql": ({"dsn": f"port={port}"}, {"dsn": f"host=a,b port=5432,{port}"}),
        "mariadb": ({"host": "db", "port": port}, {"port": port}),
        "mysql": ({"port": port},),
    }
    for name, every in wrong.items():
        for arguments in every:
            with pytest.raises(InvalidError, match=f"'{port}' is no port") as problem:
                make_writer(WriterSpec(name, arguments))
            assert "from 1 to 65535" in problem.value.hint
    PostgresqlWriter("host=a,b port=5432,")
    monkeypatch.setenv("PGPORT", port)
    with pytest.raises(InvalidError, match="is no port"):
        PostgresqlWriter("dbname=shop")


def test_a_mariadb_that_is_not_there_is_told_with_its_address() -> None:
    pytest.importorskip("pymysql")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(Error, match=f"cannot connect to 127.0.0.1:{port}: "):
        MariaDbWriter(host="127.0.0.1", port=port).identify()


def test_what_is_no_connection_string_is_not_to_be_tried_again() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(Error, match="garbage") as problem:
        PostgresqlWriter("garbage").identify()
    assert problem.value.hresult == vss.HResult.VSS_E_WRITERERROR_NONRETRYABLE
