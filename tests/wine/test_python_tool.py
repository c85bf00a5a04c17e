"""exshadow.vss.Tool: Python drives exshadow-vss.exe under Wine, against the double."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from exshadow import vss
from exshadow.cli.main import main
from exshadow.vss.tool import find_tool
from wine.bed import WINE, Machine, program

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
