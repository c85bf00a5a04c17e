"""exshadow-vss.exe on snapshots that exist, and backups that differ from the plain one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from wine.bed import Ended, Machine, program, windows_path

FIRST = "dddddddd-0000-0000-0000-000000000001"
SECOND = "dddddddd-0000-0000-0000-000000000002"
SET = "dddddddd-1111-0000-0000-000000000001"


def run(machine: Machine, *arguments: str) -> Ended:
    """Run the tool; the answer is JSON."""
    return machine.run(program("exshadow-vss.exe"), *arguments, "--json")


def good(ended: Ended) -> dict[str, Any]:
    """The document of a command that went well."""
    assert ended.status == 0, ended.out + ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


@pytest.fixture
def world(two_writers: dict[str, Any]) -> dict[str, Any]:
    """Two writers, a hardware provider that can do everything, and a set of two snapshots."""
    made = copy.deepcopy(two_writers)
    provider = made["providers"][0]
    provider |= {"type": "hardware", "can": ["transport", "break", "revert", "resync", "expose"]}
    made["snapshots"] = [
        {
            "id": snapshot,
            "set": SET,
            "set_size": 2,
            "volume": volume,
            "provider": provider["id"],
            "device": f"\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy9{number}",
        }
        for number, (snapshot, volume) in enumerate([(FIRST, "C:\\"), (SECOND, "D:\\")], 1)
    ]
    return made


def test_a_whole_set_is_deleted(machine: Callable[..., Machine], world: dict[str, Any]) -> None:
    here = machine(world)
    assert good(run(here, "snapshots", "delete", "--set", SET))["deleted"]["deleted"] == 2
    assert here.state["snapshots"] == []
    assert here.leaks() == []


def test_deletion_stops_at_the_snapshot_that_fails(
    machine: Callable[..., Machine], world: dict[str, Any]
) -> None:
    world["providers"][0]["events"] = {"delete": {"fail": "VSS_E_PROVIDER_VETO"}}
    here = machine(world)
    ended = run(here, "snapshots", "delete", FIRST)
    assert ended.status == 6
    assert json.loads(ended.out)["error"]["name"] == "VSS_E_PROVIDER_VETO"
    assert here.leaks() == []


@pytest.mark.parametrize("flags", [[], ["--flag", "make_read_write"]])
def test_a_set_is_broken(
    machine: Callable[..., Machine], world: dict[str, Any], flags: list[str]
) -> None:
    here = machine(world)
    assert good(run(here, "break", SET, *flags)) == {"broken": SET}
    asked = [name for name, _ in here.calls() if name.startswith("Break")]
    assert asked == ["BreakSnapshotSetEx" if flags else "BreakSnapshotSet"]
    assert here.leaks() == []


def test_a_snapshot_is_exposed_and_hidden_again(
    machine: Callable[..., Machine], world: dict[str, Any]
) -> None:
    here = machine(world)
    assert good(run(here, "expose", FIRST, "--as", "X:"))["exposed"]["name"].startswith("X:")
    listed = good(run(here, "snapshots", "list"))["snapshots"]
    assert [one["exposed_name"] != "" for one in listed] == [True, False]
    good(run(here, "unexpose", FIRST))
    assert here.leaks() == []


def test_a_volume_is_reverted(machine: Callable[..., Machine], world: dict[str, Any]) -> None:
    here = machine(world)
    assert good(run(here, "revert", FIRST)) == {"reverted": FIRST}
    asked = [name for name, _ in here.calls()]
    assert asked.index("RevertToSnapshot") < asked.index("QueryRevertStatus")
    assert here.leaks() == []


def test_a_transportable_set_is_imported_and_resynchronised(
    machine: Callable[..., Machine], world: dict[str, Any]
) -> None:
    here = machine(world)
    saved = windows_path(here.folder / "saved")
    options = ["--keep", "--attribute", "transportable", "--save-documents", saved]
    made = good(run(here, "backup", "C:", *options))["backup"]
    snapshot = made["snapshots"][0]["snapshot_id"]
    assert made["snapshots"][0]["device"] == ""  # not here
    document = f"{saved}\\backup-components.xml"
    seen = here.folder / "seen.txt"
    imported = good(
        run(here, "import", document, "--exec", f"echo %EXSHADOW_DEVICE_1%> {windows_path(seen)}")
    )
    (found,) = imported["imported"]["snapshots"]
    assert found["snapshot_id"] == snapshot
    assert seen.read_text(encoding="ascii").strip() == found["device"]
    assert good(run(here, "resync", document, snapshot)) == {"resynchronised": document}
    assert here.leaks() == []


def test_an_incremental_backup_hands_back_the_stamp_of_its_base(
    machine: Callable[..., Machine],
) -> None:
    here = machine()
    saved = windows_path(here.folder / "full")
    good(run(here, "backup", "C:", "--save-documents", saved))
    base = f"{saved}\\backup-components.xml"
    report = good(
        run(here, "backup", "C:", "--type", "incremental", "--base", base, "--writer", "Ledger")
    )
    stamps = [line for line in here.log if line.get("call") == "SetPreviousBackupStamp"]
    assert len(stamps) == 1
    assert "ledger-stamp-1" in json.dumps(stamps[0])
    left_out = [one for one in report["backup"]["components"] if not one["included"]]
    assert [one["writer_name"] for one in left_out] == ["System Files"]
    assert here.leaks() == []


def test_without_writers_no_writer_is_asked(machine: Callable[..., Machine]) -> None:
    here = machine()
    report = good(run(here, "backup", "C:", "--no-writers"))["backup"]
    assert report["completed"] is True
    assert [actor for actor, _ in here.callbacks() if actor in ("Ledger", "System Files")] == []
    assert here.leaks() == []


def test_volumes_that_are_not_named_are_those_of_the_components(
    machine: Callable[..., Machine],
) -> None:
    here = machine()
    report = good(run(here, "backup", "--writer", "Ledger"))["backup"]
    assert len(report["snapshots"]) == 1
    assert here.leaks() == []


def test_another_set_being_made_is_waited_for(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    made = copy.deepcopy(two_writers)
    busy = {"result": "VSS_E_SNAPSHOT_SET_IN_PROGRESS", "times": 1}
    made["calls"] = {"StartSnapshotSet": busy}
    here = machine(made)
    report = good(run(here, "backup", "C:"))["backup"]
    assert report["tries"] == 1
    assert [name for name, _ in here.calls()].count("StartSnapshotSet") == 2


def test_a_machine_that_stays_busy_is_status_8(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    made = copy.deepcopy(two_writers)
    made["calls"] = {"StartSnapshotSet": {"result": "VSS_E_SNAPSHOT_SET_IN_PROGRESS"}}
    here = machine(made)
    ended = run(here, "backup", "C:", "--busy-limit", "0", "--retry-wait", "0")
    assert ended.status == 8
    assert json.loads(ended.out)["error"]["name"] == "VSS_E_SNAPSHOT_SET_IN_PROGRESS"
    assert here.leaks() == []


def test_a_step_that_takes_too_long_is_cut_off(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    made = copy.deepcopy(two_writers)
    made["writers"][0]["events"] = {"prepare_snapshot": {"delay": 8000}}
    here = machine(made)
    ended = run(here, "backup", "C:", "--timeout", "1")
    assert (ended.status, json.loads(ended.out)["error"]["code"]) == (8, "timed_out")
    assert [name for name, _ in here.calls()][-2:] == ["AbortBackup", "last Release"]
    assert here.leaks() == []
