"""exshadow.vss.Tool: Python drives exshadow-vss.exe under Wine, against the double."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from exshadow import vss
from exshadow.cli.main import main
from exshadow.errors import Error, InvalidError
from exshadow.vss import tool_process
from exshadow.vss.tool import find_tool
from wine.bed import WINE, Machine, program, windows_path

H = vss.HResult
VOLUME = "C:\\"


def environment(machine: Machine) -> dict[str, str]:
    return {**machine.wine.environment, **machine.environment}


def tool_of(machine: Machine) -> vss.Tool:
    assert WINE is not None
    return vss.Tool(program("exshadow-vss.exe"), [WINE], environment=environment(machine))


def request(**more: Any) -> vss.BackupRequest:
    retry = vss.RetryLimits(tries=1, wait=0, busy_limit=0)
    return vss.BackupRequest([VOLUME], retry=retry, **more)


def test_writers_providers_and_snapshots(machine: Callable[..., Machine]) -> None:
    tool = tool_of(machine())
    writers = {one.metadata.name: one for one in tool.writers()}
    assert set(writers) == {"Ledger", "System Files"}
    ledger = writers["Ledger"]
    assert ledger.status is not None
    assert ledger.status.state is vss.WriterState.STABLE
    assert vss.parse_writer_metadata(ledger.document).writer_id == ledger.metadata.writer_id
    assert ledger.metadata.components[0].database_files[0].spec == "*.db"
    assert ledger.metadata.schema & vss.BackupSchema.COPY
    (provider,) = tool.providers()
    assert (provider.name, provider.type) == ("Demo plex provider", vss.ProviderType.SOFTWARE)
    assert tool.snapshots() == []


def test_a_backup_gives_what_the_coordinator_gives(machine: Callable[..., Machine]) -> None:
    tool = tool_of(machine())
    outcome = tool.backup(request(context=vss.Context.APP_ROLLBACK))
    report = outcome.check()
    assert report.completed
    document = vss.parse_backup_document(report.document)
    assert document.snapshot_set_id == report.snapshot_set_id
    assert {one.name for one in report.writer_documents} == {"Ledger", "System Files"}
    (found,) = tool.snapshots()
    assert found.set_id == report.snapshot_set_id
    restored = tool.restore(vss.RestoreRequest(report.document), vss.Command("exit 0"))
    assert restored.check().completed
    assert tool.delete(found.snapshot_id, vss.ObjectType.SNAPSHOT).deleted == 1
    assert tool.snapshots() == []


def test_failures_are_the_same_errors(machine: Callable[..., Machine], two_writers: Any) -> None:
    world = copy.deepcopy(two_writers)
    world["writers"][0]["events"] = {"freeze": {"fail": "VSS_E_WRITERERROR_NONRETRYABLE"}}
    tool = tool_of(machine(world))
    outcome = tool.backup(request())
    assert isinstance(outcome.error, vss.WriterFailure)
    assert outcome.error.hresult is H.VSS_E_WRITERERROR_NONRETRYABLE
    assert "Ledger" in outcome.error.message
    assert not outcome.report.completed
    with pytest.raises(vss.VssError) as caught:
        tool.unexpose(UUID(int=4))
    assert caught.value.hresult is H.VSS_E_OBJECT_NOT_FOUND


def test_a_program_that_fails_is_told_to_the_writers(machine: Callable[..., Machine]) -> None:
    program_run = vss.Command("exit 3")
    outcome = tool_of(machine()).backup(request(), program_run)
    assert outcome.error is None
    assert [one.succeeded for one in outcome.report.components if one.explicitly] == [False] * 2
    assert program_run.error() is not None


def test_new_targets_reach_the_writers(machine: Callable[..., Machine]) -> None:
    here = machine()
    world = copy.deepcopy(here.world)
    world["writers"][0]["schema"].append("writer_supports_new_target")
    here = machine(world)
    tool = tool_of(here)
    made = tool.backup(request()).check()
    target = vss.LocationMapping(vss.FileSet("C:\\ledger", "*.db"), "D:\\elsewhere")
    targets = [(vss.ComponentWish("Ledger", "books\\main"), target)]
    wanted = vss.RestoreRequest(made.document, new_targets=targets)
    assert tool.restore(wanted).check().completed
    assert "AddNewTarget" in [name for name, _ in here.calls()]


def scripted(folder: Path, body: str) -> vss.Tool:
    """A program of this system that is asked as the tool would be; `args` has what it was told."""
    script = folder / "tool"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/args\n{body}\n', encoding="utf-8")
    script.chmod(0o755)
    return vss.Tool(script)


def told(folder: Path) -> list[str]:
    return (folder / "args").read_text(encoding="utf-8").splitlines()


def pairs(words: list[str]) -> list[tuple[str, str]]:
    return list(pairwise(words))


def test_every_limit_of_a_request_reaches_the_tool(tmp_path: Path) -> None:
    tool = scripted(tmp_path, 'echo \'{"error":{"code":"busy","message":"m","hint":"h"}}\'; exit 8')
    limits = vss.WaitLimits(limit=90_000, grace=4_000)
    retry = vss.RetryLimits(tries=2, wait=7_000, busy_wait=1_500, busy_limit=11_000)
    with pytest.raises(Error, match=r"^m$"):
        tool.backup(vss.BackupRequest([VOLUME], limits=limits, retry=retry))
    wanted = {
        ("--timeout", "90.0"),
        ("--grace", "4.0"),
        ("--tries", "2"),
        ("--retry-wait", "7.0"),
        ("--busy-wait", "1.5"),
        ("--busy-limit", "11.0"),
    }
    assert wanted <= set(pairs(told(tmp_path)))
    with pytest.raises(Error, match=r"^m$"):
        tool.restore(vss.RestoreRequest("<a/>", limits=limits))
    assert {("--timeout", "90.0"), ("--grace", "4.0")} <= set(pairs(told(tmp_path)))


def test_the_tool_cuts_off_a_step_at_the_requests_limit(
    machine: Callable[..., Machine], two_writers: Any
) -> None:
    world = copy.deepcopy(two_writers)
    world["writers"][0]["events"] = {"prepare_snapshot": {"delay": 8000}}
    limits = vss.WaitLimits(limit=1_000, grace=20_000)
    outcome = tool_of(machine(world)).backup(request(limits=limits))
    assert outcome.error is not None
    assert outcome.error.code == "timed_out"


@pytest.mark.parametrize("context", [8, 1, 0xFFFFFFFF, -1])
def test_what_is_no_context_is_refused_in_words(tmp_path: Path, context: int) -> None:
    with pytest.raises(InvalidError, match="no context") as caught:
        vss.Tool(tmp_path / "unused").backup(vss.BackupRequest([VOLUME], context=context))
    assert "APP_ROLLBACK" in caught.value.hint


def test_what_the_command_wrote_goes_where_its_output_is_to_go(
    machine: Callable[..., Machine], capfd: Any
) -> None:
    here = machine()
    written = here.folder / "written"
    with written.open("wb") as file:
        command = vss.Command("echo from the command", file)
        tool_of(here).backup(request(), command).check()
    assert written.read_bytes().decode().split() == ["from", "the", "command"]
    tool_of(here).backup(request(), vss.Command("echo seen & exit 3"))
    seen = capfd.readouterr()
    assert "seen" in seen.out
    assert "progress" not in seen.out


def test_a_resync_can_tell_the_writers(machine: Callable[..., Machine], two_writers: Any) -> None:
    world = copy.deepcopy(two_writers)
    world["providers"][0] |= {"type": "hardware", "can": ["resync"]}
    here = machine(world)
    tool = tool_of(here)
    made = tool.backup(request(context=vss.Context.APP_ROLLBACK)).check()
    chosen = [vss.RecoveryPair(made.snapshots[0].snapshot_id)]
    tool.resync(made.document, chosen)
    assert "PreRestore" not in [name for name, _ in here.calls()]
    tool.resync(made.document, chosen, writers=True)
    assert "PreRestore" in [name for name, _ in here.calls()]


def test_choices_for_single_components_reach_the_writers(machine: Callable[..., Machine]) -> None:
    here = machine()
    tool = tool_of(here)
    made = tool.backup(request()).check()
    main = vss.ComponentWish("Ledger", "books\\main")
    choices = [
        vss.RestoreChoices(main, additional_restores=True, authoritative=True),
        vss.RestoreChoices(main, options="a=b", new_name="copy"),
        vss.RestoreChoices(main, roll_forward=vss.RollForward.PARTIAL, roll_forward_point="noon"),
    ]
    assert tool.restore(vss.RestoreRequest(made.document, choices=choices)).check().completed
    asked = [line for line in here.log if line.get("object") == "IVssBackupComponents"]
    arguments = {line["call"]: line.get("arguments", {}) for line in asked}
    for one in ("SetAdditionalRestores", "SetAuthoritativeRestore", "SetRestoreName"):
        assert [line["arguments"]["component"] for line in asked if line["call"] == one] == ["main"]
    assert arguments["SetRestoreOptions"]["options"] == "a=b"
    assert arguments["SetRollForward"]["point"] == "noon"


def test_parts_and_places_of_a_restore_reach_the_tool(tmp_path: Path) -> None:
    tool = scripted(tmp_path, "echo '{}'")
    main = vss.ComponentWish("Ledger", "books\\main")
    wanted = vss.RestoreRequest(
        "<a/>",
        alternate_mappings=[(main, vss.LocationMapping(vss.FileSet("C:\\a", "*.db"), "D:\\a"))],
        subcomponents=[
            (main, vss.RestoreSubcomponent("books\\main", "January")),
            (main, vss.RestoreSubcomponent("", "alone")),
        ],
        ranges_files=[(main, vss.RangesFile(2, "D:\\ranges"))],
        roll_forward_point="noon",
    )
    with contextlib.suppress(Exception):  # the answer is none that it knows
        tool.restore(wanted)
    said = " ".join(told(tmp_path))
    for words in (
        "--alternate-location Ledger:books\\main C:\\a *.db D:\\a",
        "--subcomponent Ledger:books\\main books\\main\\January",
        "--subcomponent Ledger:books\\main alone",
        "--ranges-file Ledger:books\\main 2 D:\\ranges",
        "--point noon",
    ):
        assert words in said


def test_destructive_commands_are_told_that_the_caller_agreed(tmp_path: Path) -> None:
    tool = scripted(tmp_path, "echo '{}'")
    id = UUID(int=4)
    calls: list[Callable[[], object]] = [
        lambda: tool.break_set(id),
        lambda: tool.revert(id),
        lambda: tool.resync("<a/>", [vss.RecoveryPair(id)]),
        lambda: tool.delete(id, vss.ObjectType.SNAPSHOT),
        lambda: tool.restore(vss.RestoreRequest("<a/>")),
    ]
    for call in calls:
        with contextlib.suppress(Exception):  # the answer is none that they know
            call()
        assert "--yes" in told(tmp_path)
        (tmp_path / "args").unlink()


ODD = [
    "{}",
    "[]",
    '{"writers": 5, "providers": {"a": 1}, "snapshots": [5], "deleted": "x", "imported": []}',
    '{"exposed": 7, "backup": [1], "restore": "x"}',
    '{"writers": [{"name": 5}], "providers": [{"provider_id": "zz"}], "exposed": {}}',
    '{"snapshots": [{"snapshot_id": 1}], "deleted": {"deleted": "many"}, "backup": {"tries": "x"}}',
    '{"error": "oops"}',
    '{"error": {"message": "m"}}',
    '{"error": {"code": "busy", "message": "m", "hresult": "x"}}',
    '{"providers": NaN}',
    '{"writers": [',
]


@pytest.mark.parametrize("answer", ODD)
def test_an_answer_that_is_not_the_tools_is_an_error_that_names_it(
    tmp_path: Path, answer: str
) -> None:
    tool = scripted(tmp_path, f"echo '{answer}'")
    for call in every_call(tool):
        with pytest.raises(Error, match=r"gave (no answer|an answer that is not understood)"):
            call()


def test_a_tool_that_dies_after_its_answer_has_not_done_it(tmp_path: Path) -> None:
    answers = '{"writers":[],"broken":"x","reverted":"x","backup":{"completed":true}}'
    tool = scripted(tmp_path, f"echo '{answers}'; kill -9 $$")
    for call in every_call(tool):
        with pytest.raises(Error, match=r"ended before it was done \(status -9\)"):
            call()


def every_call(tool: vss.Tool) -> list[Callable[[], object]]:
    id, document = UUID(int=4), "<a/>"
    return [
        tool.writers,
        tool.providers,
        tool.snapshots,
        lambda: tool.delete(id, vss.ObjectType.SNAPSHOT),
        lambda: tool.break_set(id),
        lambda: tool.import_set(document),
        lambda: tool.expose(id, "X:"),
        lambda: tool.unexpose(id),
        lambda: tool.revert(id),
        lambda: tool.resync(document, [vss.RecoveryPair(id)]),
        lambda: tool.backup(request()),
        lambda: tool.restore(vss.RestoreRequest(document)),
    ]


def interrupt_when(there: Callable[[], bool]) -> threading.Thread:
    """Ctrl-C to this process as soon as something is there."""

    def watch() -> None:
        deadline = time.monotonic() + 60
        while not there() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=watch)
    watcher.start()
    return watcher


def test_ctrl_c_lets_the_tool_abort(machine: Callable[..., Machine]) -> None:
    here = machine()
    marker = here.folder / "running"
    line = f"echo there> {windows_path(marker)} & ping -n 60 127.0.0.1 >nul"
    watcher = interrupt_when(marker.exists)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        tool_of(here).backup(request(context=vss.Context.APP_ROLLBACK), vss.Command(line))
    watcher.join()
    assert time.monotonic() - began < 40
    names = [name for name, _ in here.calls()]
    assert names.index("DeleteSnapshots") < names.index("AbortBackup")
    assert here.state["snapshots"] == []
    assert here.leaks() == []


def test_a_tool_that_does_not_end_is_killed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_process, "GRACE", 0.5)
    started = tmp_path / "started"
    stubborn = ["/bin/sh", "-c", f"trap '' INT; touch {started}; while :; do sleep 0.1; done"]
    watcher = interrupt_when(started.exists)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        tool_process.run(stubborn, dict(os.environ), grace=0.5)
    watcher.join()
    assert 1 <= time.monotonic() - began < 20


def test_a_function_cannot_be_called_by_another_program(machine: Callable[..., Machine]) -> None:
    with pytest.raises(ValueError, match="program, not a function"):
        tool_of(machine()).backup(request(), lambda report: None)


def test_the_command_line_drives_it(
    machine: Callable[..., Machine], capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = machine()
    for name, value in environment(here).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EXSHADOW_VSS_TOOL", str(program("exshadow-vss.exe")))
    monkeypatch.setenv("EXSHADOW_VSS_LAUNCHER", str(WINE))
    assert main(["--json", "vss", "writers"]) == 0
    found = json.loads(capfd.readouterr().out)["writers"]
    assert {one["metadata"]["name"] for one in found} == {"Ledger", "System Files"}
    assert main(["vss", "backup", VOLUME, "--keep"]) == 0
    capfd.readouterr()
    assert main(["vss", "snapshots"]) == 0
    assert "HarddiskVolumeShadowCopy" in capfd.readouterr().out


def test_what_is_no_tool_is_said(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="not there"):
        find_tool(str(tmp_path / "missing.exe"), None, {})
    assert find_tool(None, None, {}) is None
    script = tmp_path / "tool"
    script.write_text("#!/bin/sh\necho no json; echo trouble >&2; exit 9\n")
    script.chmod(0o755)
    with pytest.raises(Exception, match="gave no answer \\(status 9\\)") as caught:
        vss.Tool(script).providers()
    assert getattr(caught.value, "hint", "") == "trouble"
    script.chmod(0o644)
    with pytest.raises(OSError, match="Permission denied"):
        vss.Tool(script).providers()
    script.write_bytes(b"MZ\0\0")
    script.chmod(0o755)
    with pytest.raises(OSError, match="Exec format error") as foreign:
        vss.Tool(script).providers()
    assert "--launcher wine" in getattr(foreign.value, "hint", "")
