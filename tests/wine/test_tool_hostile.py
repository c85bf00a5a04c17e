"""exshadow-vss.exe under what goes wrong around it: documents, folders, rivals, kills."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from wine.bed import WINE, Ended, Machine, program, windows_path

TOOL = "exshadow-vss.exe"
SNAPSHOT = "dddddddd-0000-0000-0000-000000000001"


def run(machine: Machine, *arguments: str) -> Ended:
    """Run the tool; the answer is JSON."""
    return machine.run(program(TOOL), *arguments, "--json")


def document(ended: Ended) -> dict[str, Any]:
    """The one document on stdout."""
    assert ended.out.count("\n") == 1, ended.out + ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


@contextmanager
def started(machine: Machine, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The tool at work; killed at the end if it still is."""
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(
        [str(WINE), str(program(TOOL)), *arguments],
        env={**machine.wine.environment, **machine.environment},
        stdin=nowhere,
        stdout=nowhere,
        stderr=nowhere,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(there: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def frozen(machine: Machine) -> bool:
    """Whether a writer was told to freeze."""
    path = machine.folder / "log.jsonl"
    return path.exists() and '"callback":"freeze"' in path.read_text(encoding="utf-8")


def slow_freeze(world: dict[str, Any], milliseconds: int) -> dict[str, Any]:
    """The world with a first writer that takes its time to freeze."""
    made = copy.deepcopy(world)
    made["writers"][0]["events"] = {"freeze": {"delay": milliseconds}}
    return made


def backup_folder(here: Machine) -> Path:
    """A backup's documents."""
    saved = here.folder / "saved"
    ended = run(here, "backup", "C:", "--save-documents", windows_path(saved))
    assert ended.status == 0, ended.out
    return saved


BAD_DOCUMENTS = {
    "empty": b"",
    "garbage": b"\x00\xff\xfe garbage",
    "metadata of a writer": b'<WRITER_METADATA xmlns="x-schema:#VssWriterMetadataInfo"/>',
    "64 MiB": b"<BACKUP_COMPONENTS>" + b" " * (64 << 20),
}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_a_document_that_another_program_saved_is_read(
    machine: Callable[..., Machine], encoding: str
) -> None:
    here = machine()
    path = backup_folder(here) / "backup-components.xml"
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    ended = run(here, "restore", windows_path(path))
    assert ended.status == 0, ended.out


@pytest.mark.parametrize("bad", BAD_DOCUMENTS)
@pytest.mark.parametrize("command", ["restore", "import", "resync", "backup"])
def test_a_bad_document_is_refused_in_time(
    machine: Callable[..., Machine], command: str, bad: str
) -> None:
    here = machine()
    path = here.folder / "bad.xml"
    path.write_bytes(BAD_DOCUMENTS[bad])
    arguments = {
        "restore": ["restore", windows_path(path)],
        "import": ["import", windows_path(path)],
        "resync": ["resync", windows_path(path), SNAPSHOT],
        "backup": ["backup", "C:", "--type", "incremental", "--base", windows_path(path)],
    }
    ended = run(here, *arguments[command])
    assert "error" in document(ended)
    assert ended.status == 5, ended.out
    assert here.log == [] or here.leaks() == []  # the service need not have been asked


def test_a_folder_that_cannot_be_written_ends_the_backup_and_leaves_nothing(
    machine: Callable[..., Machine],
) -> None:
    here = machine()
    (here.folder / "file").write_text("in the way", encoding="utf-8")
    folder = windows_path(here.folder / "file" / "below")
    ended = run(here, "backup", "C:", "--keep", "--save-documents", folder)
    error = document(ended)["error"]
    assert ended.status in (3, 4, 7), ended.out
    assert "below" in error["message"] or "file" in error["message"]
    assert "AbortBackup" in [name for name, _ in here.calls()]
    assert here.state["snapshots"] == []
    assert here.leaks() == []


def test_names_and_paths_of_any_script(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    world = copy.deepcopy(two_writers)
    world["writers"][0]["name"] = "Größe 写手 ☃"
    world["writers"][0]["components"][0]["name"] = "Bücher 本"
    here = machine(world)
    saved = here.folder / "Ablage 保存"
    wish = "größe 写手 ☃:books\\Bücher 本"
    saving = ["--save-documents", windows_path(saved)]
    ended = run(here, "backup", "C:", "--component", wish, *saving)
    assert ended.status == 0, ended.out + ended.err
    ended = run(here, "restore", windows_path(saved / "backup-components.xml"), "--component", wish)
    assert ended.status == 0, ended.out + ended.err
    assert here.leaks() == []


@pytest.mark.parametrize("text", [None, "{", '{"writers": [{"no such key": 1}]}'])
def test_a_scenario_that_cannot_be_read_is_an_error_of_the_service(
    machine: Callable[..., Machine], text: str | None
) -> None:
    here = machine()
    path = here.folder / "world.json"
    if text is None:
        path.unlink()
    else:
        path.write_text(text, encoding="utf-8")
    ended = run(here, "writers")
    assert ended.status not in (0, 2), ended.out
    assert document(ended)["error"]["message"]
    assert any("error" in line for line in here.log)


@pytest.mark.parametrize("name", ["cmd.exe", "vssapi.dll"])
def test_what_lies_beside_the_program_is_not_taken_for_the_systems(
    machine: Callable[..., Machine], tmp_path: Path, name: str
) -> None:
    here = machine()
    shutil.copy(program(TOOL), tmp_path / TOOL)
    planted = b"no library" if name == "vssapi.dll" else program("slots_client.exe").read_bytes()
    (tmp_path / name).write_bytes(planted)
    ended = here.run(tmp_path / TOOL, "backup", "C:", "--exec", "exit 0", "--json")
    assert ended.status == 0, ended.out + ended.err


METADATA_GETTERS = (
    "GetIdentity",
    "GetFileCounts",
    "GetMetadataComponent",
    "GetComponentInfo",
    "GetDatabaseFile",
    "GetExcludeFile",
)
COMPONENT_GETTERS = (
    "GetWriterInfo",
    "GetComponentCount",
    "GetComponent",
    "GetComponentName",
    "GetComponentType",
    "GetPartialFileCount",
)


@pytest.mark.parametrize("getter", METADATA_GETTERS + COMPONENT_GETTERS)
def test_a_component_that_cannot_be_read_is_an_error_and_not_one_less(
    machine: Callable[..., Machine], getter: str
) -> None:
    """The three answers elsewhere mean that there is none."""
    here = machine()
    bad_state, not_found, not_implemented = "0x80042301", "0x80042308", "0x80004001"
    place = (METADATA_GETTERS + COMPONENT_GETTERS).index(getter)
    answer = (bad_state, not_found, not_implemented)[place % 3]
    arguments = ["writers"]
    if getter in COMPONENT_GETTERS:
        arguments = ["restore", windows_path(backup_folder(here) / "backup-components.xml")]
    here.extra["EXSHADOW_VSS_DENY"] = f"{getter}={answer}"
    ended = run(here, *arguments)
    assert ended.status != 0, ended.out
    error = document(ended)["error"]
    assert error["hresult"] == int(answer, 16)
    assert "reading a writer's" in error["message"]
    assert here.leaks() == []


def test_a_writer_may_forbid_a_revert(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    here = machine()
    made = document(run(here, "backup", "C:", "--keep"))["backup"]["snapshots"][0]
    here.extra["EXSHADOW_VSS_BLOCK_REVERT"] = "1"
    ended = run(here, "revert", made["snapshot_id"])
    assert (ended.status, document(ended)["error"]["code"]) == (4, "refused")
    assert "forbids" in document(ended)["error"]["message"]
    assert "RevertToSnapshot" not in [name for name, _ in here.calls()]
    assert here.leaks() == []


def test_of_two_backups_at_once_one_waits_for_the_other(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    here = machine(slow_freeze(two_writers, 6000))
    with started(here, "backup", "C:") as first:
        wait_for(lambda: frozen(here))
        refused = run(here, "backup", "C:", "--busy-limit", "0", "--tries", "1")
        assert refused.status == 8
        assert document(refused)["error"]["name"] == "VSS_E_SNAPSHOT_SET_IN_PROGRESS"
        (here.folder / "world.json").write_text(json.dumps(two_writers), encoding="utf-8")
        second = run(here, "backup", "C:", "--busy-limit", "60")
        assert second.status == 0, second.out
        assert first.wait(60) == 0
    assert here.leaks() == []


def test_a_tool_killed_between_creation_and_completion_leaves_nothing_in_the_way(
    machine: Callable[..., Machine],
) -> None:
    here = machine()
    marker = here.folder / "running"
    command = f"echo there> {windows_path(marker)} & ping -n 60 127.0.0.1 >nul"
    with started(here, "backup", "C:", "--exec", command) as killed:
        wait_for(marker.exists)
        killed.kill()
        killed.wait()
    after = run(here, "backup", "C:", "--busy-limit", "0")
    assert after.status == 0, after.out
    assert document(run(here, "snapshots", "list")) == {"snapshots": []}


def test_a_tool_killed_between_freeze_and_thaw_frees_the_slot_and_leaves_no_snapshot(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    """F23 as far as one process goes: the writers of the double live in it and die with it."""
    here = machine(slow_freeze(two_writers, 60_000))
    with started(here, "backup", "C:", "--keep") as killed:
        wait_for(lambda: frozen(here))
        killed.kill()
        killed.wait()
    (here.folder / "world.json").write_text(json.dumps(two_writers), encoding="utf-8")
    after = run(here, "backup", "C:", "--busy-limit", "5")
    assert after.status == 0, after.out
    assert here.state["snapshots"] == []


def test_a_volume_that_a_writer_needs_and_the_set_lacks_is_named(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    world = copy.deepcopy(two_writers)
    world["writers"][0]["checks_volumes"] = True
    world["writers"][0]["components"][0]["logs"][0]["path"] = "Z:\\logs"
    here = machine(world)
    error = document(run(here, "backup", "C:", "--whole-volumes", "--tries", "1"))["error"]
    assert error["name"] == "VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT"
    assert "its components need also Z:" in error["message"]
    assert "add Z:" in error["hint"]


def test_a_code_that_is_not_for_writers_explains_itself(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    failing = {"fail": "VSS_E_BAD_STATE", "message": "the log is away"}
    two_writers["writers"][0]["events"] = {"freeze": failing}
    error = document(run(machine(two_writers), "backup", "C:", "--tries", "1"))["error"]
    assert error["name"] == "VSS_E_WRITERERROR_NONRETRYABLE"
    assert "its application says 'the log is away' VSS_E_BAD_STATE" in error["message"]


def test_a_refused_volume_is_named_as_people_know_it(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    world = copy.deepcopy(two_writers)
    world["providers"][0]["volumes"] = ["D:\\"]
    ended = run(machine(world), "backup", "C:", "--tries", "1")
    error = document(ended)["error"]
    assert (ended.status, error["name"]) == (4, "VSS_E_VOLUME_NOT_SUPPORTED")
    assert "volume C:\\" in error["message"]


def test_a_restore_takes_choices_for_single_components_and_new_targets(
    machine: Callable[..., Machine], two_writers: dict[str, Any]
) -> None:
    world = copy.deepcopy(two_writers)
    schema = world["writers"][0]["schema"]
    world["writers"][0]["schema"] = [*schema, "writer_supports_new_target"]
    here = machine(world)
    saved = backup_folder(here)
    main = "Ledger:books\\main"
    ended = run(
        here,
        *("restore", windows_path(saved / "backup-components.xml")),
        *("--new-target", main, "C:\\ledger", "*.db", "D:\\elsewhere"),
        *("--new-target", main, "C:\\ledger", "*.log", "D:\\logs"),
        *("--additional-restores-of", main, "--authoritative-of", main),
        *("--roll-forward-of", f"{main}=partial@noon", "--options-of", f"{main}=a=b"),
        *("--new-name-of", f"{main}=copy"),
    )
    assert ended.status == 0, ended.out + ended.err
    asked = [line for line in here.log if line.get("object") == "IVssBackupComponents"]
    arguments = {line["call"]: line.get("arguments", {}) for line in asked}
    targets = [line for line in asked if line["call"] == "AddNewTarget"]
    assert len(targets) == 2
    assert "D:\\\\elsewhere" in json.dumps(targets[0])
    assert arguments["SetRollForward"]["point"] == "noon"
    assert arguments["SetRestoreOptions"]["options"] == "a=b"
    for one in ("SetAdditionalRestores", "SetAuthoritativeRestore", "SetRestoreName"):
        assert [line["arguments"]["component"] for line in asked if line["call"] == one] == ["main"]
    assert here.leaks() == []


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--new-target", "Ledger:books\\none", "C:\\ledger", "*.db", "D:\\x"], 3),
        (["--new-target", "Ledger:books\\main", "C:\\ledger", "*.db", "D:\\x"], 2),  # by its schema
        (["--new-target", "Ledger:books\\main", "C:\\ledger"], 2),
        (["--options-of", "Ledger:books\\main"], 2),
        (["--authoritative-of", "Nobody"], 3),
        (["--roll-forward-of", "Ledger:books\\main=partial"], 2),
        (["--roll-forward-of", "Ledger:books\\main=sideways"], 2),
        (["--roll-forward", "all", "--point", "noon"], 2),
        (["--point", "noon"], 2),
        (["--subcomponent", "Ledger:books\\none", "books\\main\\part"], 3),
        (["--ranges-file", "Ledger:books\\main", "first", "D:\\x"], 2),
        (["--ranges-file", "Ledger:books\\main", "-1", "D:\\x"], 2),
        (["--ranges-file", "Ledger:books\\main", "4294967296", "D:\\x"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_choices_are_refused(
    machine: Callable[..., Machine], arguments: list[str], status: int
) -> None:
    here = machine()
    saved = backup_folder(here)
    ended = run(here, "restore", windows_path(saved / "backup-components.xml"), *arguments)
    assert ended.status == status, ended.out
    assert "error" in document(ended)
    assert "pre_restore" not in [event for _, event in here.callbacks()]
    assert here.leaks() == []


@pytest.mark.parametrize("refusing", [False, True])
def test_a_resync_tells_the_writers_before_and_after(
    machine: Callable[..., Machine], two_writers: dict[str, Any], refusing: bool
) -> None:
    world = copy.deepcopy(two_writers)
    world["providers"][0] |= {"type": "hardware", "can": ["resync"]}
    if refusing:
        failing = {"pre_restore": {"fail": "VSS_E_WRITERERROR_RETRYABLE", "message": "not now"}}
        world["writers"][0]["events"] = failing
    here = machine(world)
    saved = windows_path(here.folder / "saved")
    made = document(run(here, "backup", "C:", "--keep", "--save-documents", saved))["backup"]
    snapshot = made["snapshots"][0]["snapshot_id"]
    ended = run(here, "resync", f"{saved}\\backup-components.xml", snapshot, "--writers")
    events = [event for _, event in here.callbacks() if event in ("pre_restore", "resync")]
    if refusing:
        assert ended.status == 6, ended.out
        assert "not now" in document(ended)["error"]["message"]
        assert "resync" not in events
        assert "RecoverSet" not in [name for name, _ in here.calls()]
    else:
        assert ended.status == 0, ended.out
    asked = [name for name, _ in here.calls()]
    assert asked.index("PreRestore") < asked.index("PostRestore")
    assert here.leaks() == []
