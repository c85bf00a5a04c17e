"""exshadow-vss.exe against the test double: command line, JSON, errors, exit statuses, Ctrl-C."""

from __future__ import annotations

import contextlib
import copy
import fcntl
import json
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wine.bed import WINE, Ended, Machine, Wine, program, windows_path

TOOL = "exshadow-vss.exe"
COMMANDS = [
    "writers",
    "providers",
    "snapshots",
    "snapshots list",
    "snapshots delete",
    "backup",
    "restore",
    "break",
    "import",
    "expose",
    "unexpose",
    "revert",
    "resync",
]
LEDGER = "aaaaaaaa-0000-0000-0000-000000000001"
NO_SUCH = "12345678-0000-0000-0000-000000000000"


def run(machine: Machine, *arguments: str, limit: float = 60) -> Ended:
    """Run the tool."""
    return machine.run(program(TOOL), *arguments, limit=limit)


def document(ended: Ended) -> dict[str, Any]:
    """The one JSON document on stdout."""
    assert ended.out.count("\n") == 1, ended.out
    found: dict[str, Any] = json.loads(ended.out)
    return found


def failure(ended: Ended) -> dict[str, Any]:
    """The error of a failure document."""
    error = document(ended)["error"]
    assert set(error) == {"code", "message", "hint", "hresult", "name"}
    found: dict[str, Any] = error
    return found


def broken(
    world: dict[str, Any], event: str, failing: dict[str, Any], writer: int = 0
) -> dict[str, Any]:
    """A copy of the world with one event of one writer scripted."""
    world = copy.deepcopy(world)
    world["writers"][writer].setdefault("events", {})[event] = failing
    return world


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(wine: Wine, command: str) -> None:
    ended = wine.run(program(TOOL), *command.split(), "--help")
    assert ended.status == 0
    assert f"Usage: exshadow-vss {command} " in ended.out
    assert f"Example: exshadow-vss {command.split()[0]}" in ended.out
    assert ended.err == ""


def test_the_whole_help_names_every_command_and_the_exit_statuses(wine: Wine) -> None:
    ended = wine.run(program(TOOL), "--help")
    assert ended.status == 0
    for command in COMMANDS:
        assert command.split()[0] in ended.out
    assert "130 interrupted" in ended.out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["thaw"],
        ["backup", "--no-such-option"],
        ["backup", "C:", "--type", "weekly"],
        ["backup", "C:", "--context", "everything"],
        ["backup", "C:", "--attribute", "plex", "--attribute", "differential"],
        ["backup", "C:", "--tries", "4"],
        ["backup", "C:", "--retry-wait", "nan"],
        ["writers", "--timeout", "1e300"],
        ["backup", "C:", "--exec", " "],
        ["backup", "C:", "--save-documents", ""],
        ["backup", "C:", "--base", ""],
        ["backup", "C:", "--no-writers", "--writer", "Ledger"],
        ["import", "C:\\windows"],
        ["restore"],
        ["snapshots"],
        ["snapshots", "delete"],
        ["snapshots", "delete", "not-an-id"],
        ["break", "not-an-id"],
        ["expose", NO_SUCH],
        ["break", NO_SUCH, "--flag", "mask_luns", "--flag", "make_read_write"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2_in_words_and_in_json(
    machine: Callable[..., Machine], arguments: list[str]
) -> None:
    here = machine()
    in_words = run(here, *arguments)
    assert in_words.status == 2
    assert in_words.out == ""
    assert in_words.err.startswith("exshadow-vss: ")
    in_json = run(here, *arguments, "--json")
    assert in_json.status == 2
    assert failure(in_json)["code"] == "invalid"
    assert here.callbacks() == []


def test_a_word_that_is_no_command_is_told(wine: Wine) -> None:
    assert "'thaw'" in wine.run(program("exshadow-vss.exe"), "thaw").err


def test_the_version_is_a_document_where_one_is_asked_for(wine: Wine) -> None:
    ended = wine.run(program("exshadow-vss.exe"), "--json", "--version")
    assert set(json.loads(ended.out)) == {"version"}


def test_without_the_service_the_error_says_so(wine: Wine) -> None:
    ended = wine.run(
        program(TOOL),
        "writers",
        "--json",
        environment={"WINEDLLOVERRIDES": "vssapi=b;mscoree,mshtml="},
    )
    error = failure(ended)
    assert (ended.status, error["code"], error["name"]) == (4, "unsupported", "E_NOTIMPL")
    assert error["hresult"] == 0x80004001
    assert "Wine" in error["hint"]


def test_writers_are_listed_with_components_and_state(machine: Callable[..., Machine]) -> None:
    here = machine()
    writers = document(run(here, "writers", "--json", "--documents"))["writers"]
    ledger = next(one for one in writers if one["name"] == "Ledger")
    assert ledger["writer_id"] == LEDGER
    assert ledger["status"]["state"] == "stable"
    assert ledger["components"][0]["name"] == "main"
    assert ledger["components"][0]["database_files"][0]["path"] == "C:\\ledger"
    assert ledger["excluded"][0]["recursive"] is True
    assert ledger["restore_method"]["method"] == "restore_if_can_replace"
    assert ledger["document"].startswith("<WRITER_METADATA")
    in_words = run(here, "writers")
    assert "component books\\main (Main ledger), selectable" in in_words.out
    assert here.leaks() == []


def test_providers_are_listed(machine: Callable[..., Machine]) -> None:
    here = machine()
    (provider,) = document(run(here, "--json", "providers"))["providers"]
    assert provider["name"] == "Demo plex provider"
    assert provider["type"] == "software"
    assert "Demo plex provider" in run(here, "providers").out
    assert here.leaks() == []


def test_a_backup_runs_its_command_on_the_snapshots_and_saves_the_documents(
    machine: Callable[..., Machine],
) -> None:
    here = machine()
    saved = here.folder / "saved ä"
    seen = here.folder / "seen.txt"
    command = f"echo %EXSHADOW_DEVICE_1% %EXSHADOW_SNAPSHOTS%> {windows_path(seen)}"
    ended = run(
        here, "backup", "C:", "--exec", command, "--save-documents", windows_path(saved), "--json"
    )
    assert ended.status == 0, ended.out + ended.err
    report = document(ended)["backup"]
    assert report["completed"] is True
    assert report["tries"] == 1
    device = report["snapshots"][0]["device"]
    assert seen.read_text(encoding="ascii").split() == [device, "1"]
    assert all(one["succeeded"] for one in report["components"] if one["included"])
    assert 'backupSucceeded="yes"' in (saved / "backup-components.xml").read_text(encoding="utf-8")
    assert len(list(saved.glob("writer-*.xml"))) == 2
    assert here.leaks() == []
    assert here.state["snapshots"] == []
    names = [name for name, _ in here.calls()]
    assert (
        names.index("StartSnapshotSet")
        < names.index("PrepareForBackup")
        < names.index("DoSnapshotSet")
    )
    assert "AbortBackup" not in names


def test_a_failed_command_is_told_to_the_writers(machine: Callable[..., Machine]) -> None:
    here = machine()
    ended = run(here, "backup", "C:", "--exec", "exit 7", "--json")
    assert ended.status == 1
    parts = document(ended)["backup"]
    assert parts["completed"] is True
    assert [one["succeeded"] for one in parts["components"] if one["included"]] == [False, False]
    assert here.leaks() == []


def test_a_command_may_name_the_one_component_that_failed(machine: Callable[..., Machine]) -> None:
    here = machine()
    script = here.folder / "script.cmd"
    script.write_bytes(f"@>%EXSHADOW_FAILED% echo {LEDGER}\tbooks\\main\r\n".encode())
    ended = run(here, "backup", "C:", "--exec", windows_path(script), "--json")
    assert ended.status == 1
    outcome = {
        one["key"]["name"]: one["succeeded"] for one in document(ended)["backup"]["components"]
    }
    assert outcome == {"main": False, "files": True}


@pytest.mark.parametrize("encoding", ["cp850", "utf-8", "utf-8-sig", "utf-16"])
def test_the_name_of_a_failed_component_is_read_as_commands_write_it(
    machine: Callable[..., Machine], two_writers: dict[str, Any], encoding: str
) -> None:
    world = copy.deepcopy(two_writers)
    world["writers"][0]["components"][0]["name"] = "Bücher"  # the same in code pages 437 and 850
    here = machine(world)
    written = here.folder / "written.txt"
    written.write_bytes(f"{LEDGER}\tbooks\\Bücher\r\n".encode(encoding))
    command = f"copy /b /y {windows_path(written)} %EXSHADOW_FAILED%"
    ended = run(here, "backup", "C:", "--exec", command, "--json")
    assert ended.status == 1, ended.out
    parts = document(ended)["backup"]
    assert parts["completed"] is True
    outcome = {one["key"]["name"]: one["succeeded"] for one in parts["components"]}
    assert outcome == {"Bücher": False, "files": True}


UNREADABLE = {
    "a folder in its place": "del %EXSHADOW_FAILED% & mkdir %EXSHADOW_FAILED%",
    "a name that is in no backup": "echo nobody>%EXSHADOW_FAILED%",
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_failed_and_cannot_be_read_is_never_told_as_a_success(
    machine: Callable[..., Machine], what: str
) -> None:
    here = machine()
    ended = run(here, "backup", "C:", "--exec", UNREADABLE[what], "--json")
    assert ended.status != 0
    assert failure(ended)["message"]
    told = [line for line in here.log if line.get("call") == "SetBackupSucceeded"]
    assert [line for line in told if line["arguments"]["succeeded"]] == []
    assert "AbortBackup" in [name for name, _ in here.calls()]
    assert here.leaks() == []


def test_a_writer_that_fails_is_named_with_its_state_and_what_to_do(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    world = broken(two_writers, "freeze", {"fail": "VSS_E_WRITERERROR_RETRYABLE"})
    here = machine(world)
    ended = run(here, "backup", "C:", "--retry-wait", "0", "--json")
    error = failure(ended)
    assert ended.status == 6
    assert error["name"] == "VSS_E_WRITERERROR_RETRYABLE"
    for words in ("0x800423F3", "writer 'Ledger'", "failed_at_freeze"):
        assert words in error["message"]
    assert "exclude the writer" in error["hint"]
    assert document(ended)["backup"]["tries"] == 3
    assert len([name for name, _ in here.calls() if name == "InitializeForBackup"]) == 3
    assert here.leaks() == []
    assert here.state["snapshots"] == []


def test_a_transient_failure_is_tried_again_with_a_new_object(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    world = broken(
        copy.deepcopy(two_writers), "freeze", {"fail": "VSS_E_WRITERERROR_TIMEOUT", "times": 1}
    )
    here = machine(world)
    ended = run(here, "backup", "C:", "--retry-wait", "0", "--json")
    assert ended.status == 0, ended.out
    report = document(ended)["backup"]
    assert report["tries"] == 2
    assert any("try 1 failed" in note for note in report["notes"])


def test_an_excluded_writer_cannot_spoil_the_backup(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    world = broken(two_writers, "freeze", {"fail": "VSS_E_WRITERERROR_NONRETRYABLE"})
    here = machine(world)
    ended = run(here, "backup", "C:", "--exclude", "ledger", "--json")
    assert ended.status == 0, ended.out
    assert "freeze" not in [event for actor, event in here.callbacks() if actor == "Ledger"]


def test_persistent_snapshots_are_listed_exposed_and_deleted(
    machine: Callable[..., Machine],
) -> None:
    here = machine()
    made = document(run(here, "backup", "C:", "--keep", "--json"))["backup"]
    snapshot = made["snapshots"][0]["snapshot_id"]
    assert "no_auto_release" in made["snapshots"][0]["attributes"]
    (listed,) = document(run(here, "snapshots", "list", "--volume", "C:", "--json"))["snapshots"]
    assert listed["snapshot_id"] == snapshot
    gone = document(run(here, "snapshots", "delete", snapshot, "--json"))
    assert gone["deleted"] == {
        "deleted": 1,
        "failed_snapshot": None,
        "failure": 0,
        "failure_name": "S_OK (0x00000000)",
    }
    assert document(run(here, "snapshots", "list", "--json")) == {"snapshots": []}
    assert "There are no snapshots." in run(here, "snapshots", "list").out
    assert here.leaks() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["backup", "Q:"],
        ["backup", "C:", "--writer", "Nobody"],
        ["backup", "C:", "--component", "Ledger:books\\none"],
        ["backup", "C:", "--exclude", "Nobody"],
        ["backup", "C:", "--provider", "Nobody"],
        ["restore", "Z:\\no\\such.xml"],
        ["snapshots", "delete", NO_SUCH],
        ["break", NO_SUCH],
        ["expose", NO_SUCH, "--as", "X:"],
        ["unexpose", NO_SUCH],
        ["revert", NO_SUCH],
    ],
    ids=" ".join,
)
def test_what_is_not_there_is_status_3(
    machine: Callable[..., Machine], arguments: list[str]
) -> None:
    here = machine()
    ended = run(here, *arguments, "--json")
    assert (ended.status, failure(ended)["code"]) == (3, "not_found"), ended.out
    assert here.log == [] or here.leaks() == []  # the service need not have been asked


def test_a_restore_tells_the_writers_before_and_after(machine: Callable[..., Machine]) -> None:
    here = machine()
    saved = here.folder / "saved"
    assert run(here, "backup", "C:", "--save-documents", windows_path(saved)).status == 0
    seen = here.folder / "report.json"
    ended = run(
        here,
        "restore",
        windows_path(saved / "backup-components.xml"),
        "--component",
        "Ledger:books\\main",
        "--exec",
        f"copy %EXSHADOW_REPORT% {windows_path(seen)}",
        "--json",
    )
    assert ended.status == 0, ended.out + ended.err
    assert document(ended)["restore"]["completed"] is True
    (chosen,) = json.loads(seen.read_text(encoding="utf-8"))["chosen"]
    assert chosen["components"][0]["name"] == "main"
    events = [event for actor, event in here.callbacks() if actor == "Ledger"]
    assert events.index("pre_restore") < events.index("post_restore")
    assert here.leaks() == []


def test_a_damaged_document_is_status_5(machine: Callable[..., Machine], tmp_path: Path) -> None:
    here = machine()
    bad = tmp_path / "bad.xml"
    bad.write_text("<BACKUP_COMPONENTS", encoding="utf-8")
    ended = run(here, "restore", windows_path(bad), "--json")
    assert (ended.status, failure(ended)["name"]) == (5, "VSS_E_INVALID_XML_DOCUMENT")


def test_progress_goes_to_stderr_as_json_lines(machine: Callable[..., Machine]) -> None:
    ended = run(machine(), "backup", "C:", "--json", "--exec", "echo from the command")
    assert "from the command" not in ended.out
    lines = [line for line in ended.err.splitlines() if line.startswith("{")]
    assert {"progress": "making the snapshots"} in [json.loads(line) for line in lines]


def press_ctrl_c(
    machine: Machine, there: Callable[[], bool], *arguments: str, times: int = 1
) -> Ended:
    """Run the tool on a terminal and press Ctrl-C as soon as something is there."""
    master, slave = pty.openpty()
    with (
        (machine.folder / "out").open("wb+") as out,
        (machine.folder / "err").open("wb+") as err,
        subprocess.Popen(
            [str(WINE), str(program(TOOL)), *arguments],
            env={**machine.wine.environment, **machine.environment},
            stdin=slave,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(
                0, termios.TIOCSCTTY, 0
            ),  # Ctrl-C is for whom the terminal controls
        ) as process,
    ):
        os.close(slave)
        deadline = time.monotonic() + 60
        while not there() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        for _ in range(times):
            os.write(master, b"\x03")
            time.sleep(0.3)
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([master], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):  # the other end is closed
                    os.read(master, 4096)
        process.kill()
        process.wait()
        os.close(master)
        out.seek(0)
        err.seek(0)
        return Ended(
            process.returncode, out.read().decode().replace("\r\n", "\n"), err.read().decode()
        )


def test_ctrl_c_aborts_and_leaves_no_snapshot(machine: Callable[..., Machine]) -> None:
    here = machine()
    marker = here.folder / "running"
    command = f"echo there> {windows_path(marker)} & ping -n 60 127.0.0.1 >nul"
    ended = press_ctrl_c(here, marker.exists, "backup", "C:", "--keep", "--json", "--exec", command)
    assert ended.status == 130, ended
    assert failure(ended)["code"] == "cancelled"
    names = [name for name, _ in here.calls()]
    assert names.index("DeleteSnapshots") < names.index("AbortBackup")
    assert here.state["snapshots"] == []
    assert here.leaks() == []


def logged(machine: Machine, text: str) -> bool:
    """Whether the double's log has the text by now."""
    path = machine.folder / "log.jsonl"
    return path.exists() and text in path.read_text(encoding="utf-8")


def test_ctrl_c_while_a_writer_hangs_ends_the_wait(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    here = machine(broken(two_writers, "prepare_backup", {"delay": 60_000}))
    hanging = '"callback":"prepare_backup"'
    ended = press_ctrl_c(here, lambda: logged(here, hanging), "backup", "C:", "--json")
    assert ended.status == 130, ended
    assert failure(ended)["code"] == "cancelled"
    assert [name for name, _ in here.calls()][-2:] == ["AbortBackup", "last Release"]
    assert here.leaks() == []
    (here.folder / "world.json").write_text(json.dumps(two_writers), encoding="utf-8")
    after = run(here, "backup", "C:", "--busy-limit", "0", "--tries", "1", "--json")
    assert after.status == 0, after.out


def test_the_third_ctrl_c_ends_a_call_that_hangs(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    here = machine()
    made = document(run(here, "backup", "C:", "--keep", "--json"))["backup"]
    world = copy.deepcopy(two_writers)
    world["providers"][0]["events"] = {"delete": {"delay": 120_000}}
    (here.folder / "world.json").write_text(json.dumps(world), encoding="utf-8")
    began = time.monotonic()
    arguments = ("snapshots", "delete", made["snapshots"][0]["snapshot_id"], "--yes", "--json")
    ended = press_ctrl_c(here, lambda: logged(here, '"callback":"delete"'), *arguments, times=3)
    assert time.monotonic() - began < 40
    assert ended.status == 130, ended
