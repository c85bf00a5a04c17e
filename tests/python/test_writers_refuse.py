"""What writers refuse, and whom they name."""

from __future__ import annotations

from pathlib import Path

import pytest
from machine import mounted, need_root, run, sparse
from test_writers import REQUEST, failed_writer, script
from vss_writers import OneVolume

from exshadow import vss
from exshadow.errors import Error
from exshadow.vss.places import Places
from exshadow.writers.filesystem import FilesystemWriter
from exshadow.writers.postgresql import PostgresqlWriter


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


def test_what_is_no_connection_string_is_not_to_be_tried_again() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(Error, match="garbage") as problem:
        PostgresqlWriter("garbage").identify()
    assert problem.value.hresult == vss.HResult.VSS_E_WRITERERROR_NONRETRYABLE
