"""The test double serves any requestor: exports, shape of objects, orders, leaks, lost clients."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from wine.bed import Machine, Wine, program

VOLUME = "C:\\"

EXPORTS = {
    "CreateVssBackupComponentsInternal",
    "CreateVssExamineWriterMetadataInternal",
    "VssFreeSnapshotPropertiesInternal",
    "IsVolumeSnapshottedInternal",
    "ShouldBlockRevertInternal",
    "GetProviderMgmtInterfaceInternal",
    "VssFreeSnapshotProperties",
    "IsVolumeSnapshotted",
    "ShouldBlockRevert",
    "GetProviderMgmtInterface",
    "?CreateVssBackupComponents@@YAJPEAPEAVIVssBackupComponents@@@Z",
    "?CreateVssExamineWriterMetadata@@YAJPEAGPEAPEAVIVssExamineWriterMetadata@@@Z",
    "ExshadowVssReport",
}


@pytest.mark.usefixtures("wine")
def test_the_double_exports_every_name_of_the_real_one() -> None:
    listing = subprocess.run(
        ["objdump", "-p", program("vssapi.dll")], capture_output=True, text=True, check=True
    ).stdout
    table = listing.split("[Ordinal/Name Pointer] Table", 1)[1].split("\n\n", 1)[0]
    names = {line.split()[-1] for line in table.splitlines() if re.match(r"\s*\[", line)}
    assert names == EXPORTS


def test_a_client_that_knows_slots_and_the_mangled_name_makes_a_backup(
    machine: Callable[..., Machine],
) -> None:
    here = machine()
    ended = here.run(program("slots_client.exe"), VOLUME)
    assert ended.status == 0, ended.out
    assert "HarddiskVolumeShadowCopy1" in ended.out
    assert here.leaks() == []
    assert ("BackupComplete", "S_OK") in here.calls()


def test_the_habits_of_requestors_in_use_are_served(machine: Callable[..., Machine]) -> None:
    here = machine()
    ended = here.run(program("habits_client.exe"), VOLUME)
    found = [line for line in ended.out.splitlines() if " wrong " in line]
    assert (ended.status, found) == (0, []), ended.out
    assert here.leaks() == []
    assert here.state["snapshots"] == []


def test_a_client_of_the_import_library_makes_a_backup_with_components(
    machine: Callable[..., Machine],
) -> None:
    here = machine()
    ended = here.run(program("import_client.exe"), VOLUME)
    assert ended.status == 0, ended.out
    assert "component main stamp ledger-stamp-1" in ended.out
    assert here.leaks() == []
    assert here.state["snapshots"] == []


def test_requestors_at_work_at_the_same_time_lose_no_line_of_the_log(
    machine: Callable[..., Machine],
) -> None:
    here = machine()
    with ThreadPoolExecutor(4) as pool:
        began = [
            pool.submit(here.run, program("orders_client.exe"), VOLUME, limit=110) for _ in range(4)
        ]
    for task in began:
        task.result()  # how they ended hangs on who had the machine's one snapshot set when
    numbers: dict[int, list[int]] = {}
    for line in here.log:
        numbers.setdefault(line["process"], []).append(line["n"])
    assert len(numbers) == 4
    for of_one in numbers.values():
        assert of_one == list(range(1, len(of_one) + 1))


# From slot 3 on (fact sheet, section 1.3), not from the headers that the double is built with.
VTABLE = """
    GetWriterComponentsCount GetWriterComponents InitializeForBackup SetBackupState
    InitializeForRestore SetRestoreState GatherWriterMetadata GetWriterMetadataCount
    GetWriterMetadata FreeWriterMetadata AddComponent PrepareForBackup AbortBackup
    GatherWriterStatus GetWriterStatusCount FreeWriterStatus GetWriterStatus
    SetBackupSucceeded SetBackupOptions SetSelectedForRestore SetRestoreOptions
    SetAdditionalRestores SetPreviousBackupStamp SaveAsXML BackupComplete
    AddAlternativeLocationMapping AddRestoreSubcomponent SetFileRestoreStatus AddNewTarget
    SetRangesFilePath PreRestore PostRestore SetContext StartSnapshotSet AddToSnapshotSet
    DoSnapshotSet DeleteSnapshots ImportSnapshots BreakSnapshotSet GetSnapshotProperties
    Query IsVolumeSupported DisableWriterClasses EnableWriterClasses DisableWriterInstances
    ExposeSnapshot RevertToSnapshot QueryRevertStatus GetWriterMetadataEx
    SetSelectedForRestoreEx UnexposeSnapshot SetAuthoritativeRestore SetRollForward
    SetRestoreName BreakSnapshotSetEx PreFastRecovery FastRecovery GetWriterStatusEx
    AddSnapshotToRecoverySet RecoverSet GetSessionId GetRootAndLogicalPrefixPaths
"""


def test_every_slot_is_the_method_that_the_sdk_has_there(machine: Callable[..., Machine]) -> None:
    here = machine()
    ended = here.run(program("slots_client.exe"), "every")
    assert ended.status == 0, ended.out
    assert len(VTABLE.split()) == 62
    asked = [name for name, _ in here.calls() if name != "last Release"]
    assert asked == VTABLE.split()
    assert here.leaks() == []


def test_a_client_killed_with_its_set_open_leaves_the_slot_free(
    machine: Callable[..., Machine],
) -> None:
    here = machine()
    killed = here.run(program("import_client.exe"), VOLUME, "die")
    assert killed.status != 0
    assert here.reports() == []
    again = here.run(program("import_client.exe"), VOLUME)
    assert again.status == 0, again.out


def test_objects_and_arguments_are_as_the_sdk_says(machine: Callable[..., Machine]) -> None:
    here = machine()
    ended = here.run(program("shape_client.exe"), VOLUME)
    wrong = [line for line in ended.out.splitlines() if not line.endswith(" ok")]
    assert wrong == []
    assert len(ended.out.splitlines()) > 50
    assert ended.status == 0
    assert here.leaks() == []


# Which calls an object permits in which phase (fact sheet, section 1.3, column "legal in"): the
# others must be refused with VSS_E_BAD_STATE. Written from the sheet, not from order.cpp.
WRITERS_KNOWN = {"B2", "B3", "B4", "B5", "B6"}
BACKUP = {"B1"} | WRITERS_KNOWN
RESTORE = {"R1", "R2", "R3"}
QUESTIONS = {"B1", "B2"}  # the sheet's Q: a session without a snapshot set
MANAGING = QUESTIONS | {"B5", "B6"}
LEGAL = {
    "InitializeForBackup": {"P0"},
    "InitializeForRestore": {"P0"},
    "SetContext": {"B1", "B2"},
    "SetBackupState": {"B1", "B2", "B3"},
    "SetRestoreState": {"R1"},
    "DisableWriterClasses": {"B1"},
    "EnableWriterClasses": {"B1"},
    "DisableWriterInstances": {"B1"},
    "GatherWriterMetadata": {"B1"},  # R1 has gathered already: once per object
    "GetWriterMetadataCount": WRITERS_KNOWN | RESTORE,
    "GetWriterMetadata": WRITERS_KNOWN | RESTORE,
    "GetWriterMetadataEx": WRITERS_KNOWN | RESTORE,
    "FreeWriterMetadata": WRITERS_KNOWN | RESTORE,
    "GatherWriterStatus": WRITERS_KNOWN | RESTORE,
    "GetWriterComponentsCount": WRITERS_KNOWN | RESTORE,
    "GetWriterComponents": WRITERS_KNOWN | RESTORE,
    "GetWriterStatusCount": set(),  # nothing was gathered
    "GetWriterStatus": set(),
    "GetWriterStatusEx": set(),
    "FreeWriterStatus": set(),
    "PreRestore": {"R1"},
    "PostRestore": {"R2"},
    "RecoverSet": set(),  # without AddSnapshotToRecoverySet
    "GetSessionId": BACKUP | RESTORE,
    "StartSnapshotSet": {"B1", "B2"},
    "AddToSnapshotSet": {"B3"},
    "PrepareForBackup": {"B3"},
    "DoSnapshotSet": {"B4"},
    "BackupComplete": {"B5"},
    "AbortBackup": {"B3", "B4", "B5"},
    "SaveAsXML": {"B4", "B5", "B6"},
    "Query": BACKUP,
    "IsVolumeSupported": BACKUP,
    "GetRootAndLogicalPrefixPaths": BACKUP | RESTORE,
    "DeleteSnapshots": MANAGING,
    "BreakSnapshotSet": MANAGING,
    "BreakSnapshotSetEx": MANAGING,
    "ExposeSnapshot": MANAGING,
    "UnexposeSnapshot": MANAGING,
    "RevertToSnapshot": QUESTIONS,
    "QueryRevertStatus": QUESTIONS,
    "ImportSnapshots": set(),  # no document was given
    "AddComponent": {"B2", "B3"},
    "SetBackupOptions": {"B2", "B3"},
    "SetPreviousBackupStamp": {"B2", "B3"},
    "SetBackupSucceeded": {"B5"},
    "SetSelectedForRestore": {"R1"},
    "SetSelectedForRestoreEx": {"R1"},
    "SetRestoreOptions": {"R1"},
    "SetAdditionalRestores": {"R1"},
    "SetAuthoritativeRestore": {"R1"},
    "SetRollForward": {"R1"},
    "SetRestoreName": {"R1"},
    "SetFileRestoreStatus": {"R2"},
    "AddNewTarget": {"R1"},
    "AddRestoreSubcomponent": {"R1"},
    "SetRangesFilePath": {"R1"},
    "AddAlternativeLocationMapping": {"R1", "R2"},
}
BAD_STATE = "0x80042301"
# The sheet's sources differ or leave room: not looked at.
OPEN = {("GetSnapshotProperties", phase) for phase in BACKUP} | {
    ("AddSnapshotToRecoverySet", phase) for phase in RESTORE
}


def test_calls_out_of_order_are_refused_and_those_in_order_are_not(
    machine: Callable[..., Machine],
) -> None:
    here = machine()
    ended = here.run(program("orders_client.exe"), VOLUME, limit=110)
    assert ended.status == 0, ended.out[-500:]
    seen = 0
    wrong = []
    for line in ended.out.splitlines():
        phase, call, result = line.split()
        if (call, phase) in OPEN:
            continue
        seen += 1
        permitted = phase in LEGAL.get(call, set())
        if permitted == (result == BAD_STATE):
            wrong.append(f"{line} ({'permitted' if permitted else 'out of order'})")
    assert wrong == []
    assert seen > 600
    assert here.leaks() == []


def test_the_scenario_that_cannot_be_read_is_named(
    wine: Wine, machine: Callable[..., Machine]
) -> None:
    here = machine({"volumes": [], "nonsense": 1})
    ended = here.run(program("slots_client.exe"), VOLUME)
    assert ended.status == 5
    assert [line["error"] for line in here.log if "error" in line] == [
        "scenario: world: unknown key 'nonsense'"
    ]
