"""exshadow-vss.exe before and after it destroys: plans, questions, what a failure left."""

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
from typing import Any

import pytest

from wine.bed import WINE, Ended, Machine, program, windows_path

FIRST = "dddddddd-0000-0000-0000-000000000001"
SECOND = "dddddddd-0000-0000-0000-000000000002"
SET = "dddddddd-1111-0000-0000-000000000001"
CHANGING = {
    "DeleteSnapshots",
    "BreakSnapshotSet",
    "RevertToSnapshot",
    "RecoverSet",
    "PreRestore",
}


def run(machine: Machine, *arguments: str) -> Ended:
    """Run the tool; the answer is JSON."""
    return machine.run(program("exshadow-vss.exe"), *arguments, "--json")


def document(ended: Ended) -> dict[str, Any]:
    """The one document on stdout."""
    assert ended.out.count("\n") == 1, ended.out + ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


@pytest.fixture
def world(two_writers: dict[str, Any]) -> dict[str, Any]:
    """A hardware provider that can do everything, and a set of two snapshots."""
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


def saved_document(here: Machine) -> str:
    """Of a backup."""
    saved = windows_path(here.folder / "saved")
    assert run(here, "backup", "C:", "--save-documents", saved).status == 0
    return f"{saved}\\backup-components.xml"


@pytest.mark.parametrize(
    "command", ["delete", "delete set", "break", "revert", "resync", "restore"]
)
def test_a_dry_run_tells_the_plan_and_changes_nothing(
    machine: Callable[..., Machine], world: dict[str, Any], command: str
) -> None:
    here = machine(world)
    saved = saved_document(here) if command in ("resync", "restore") else ""
    arguments, targets = {
        "delete": (["snapshots", "delete", FIRST, SECOND], [FIRST, SECOND]),
        "delete set": (["snapshots", "delete", "--set", SET], [FIRST, SECOND]),
        "break": (["break", SET], [FIRST, SECOND]),
        "revert": (["revert", FIRST], [FIRST]),
        "resync": (["resync", saved, f"{FIRST}=D:"], [FIRST]),
        "restore": (["restore", saved, "--exec", "put-back.cmd"], ["put-back.cmd"]),
    }[command]
    ended = run(here, *arguments, "--dry-run")
    assert ended.status == 0, ended.out + ended.err
    plan = document(ended)["plan"]
    assert plan["command"] == " ".join(arguments[: 2 if arguments[0] == "snapshots" else 1])
    assert len(plan["steps"]) == len(targets)
    for step, target in zip(plan["steps"], targets, strict=True):
        assert target in step["target"]
    assert not CHANGING & {name.removesuffix("Ex") for name, _ in here.calls()}
    assert here.leaks() == []


def answered(machine: Machine, answer: bytes, *arguments: str) -> Ended:
    """Run the tool on a terminal and answer its question."""
    master, slave = pty.openpty()
    out, err = machine.folder / "out", machine.folder / "err"
    with (
        out.open("wb+") as out_file,
        err.open("wb+") as err_file,
        subprocess.Popen(
            [str(WINE), str(program("exshadow-vss.exe")), *arguments],
            env={**machine.wine.environment, **machine.environment},
            stdin=slave,
            stdout=out_file,
            stderr=err_file,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        ) as process,
    ):
        os.close(slave)
        deadline = time.monotonic() + 40
        sent = False
        while process.poll() is None and time.monotonic() < deadline:
            if not sent and b"[y/N]" in err.read_bytes():
                os.write(master, answer)
                sent = True
            if select.select([master], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):  # the other end is closed
                    os.read(master, 4096)
        process.kill()
        process.wait()
        os.close(master)
    assert sent or "--yes" in arguments, err.read_bytes()
    text = [one.read_bytes().decode().replace("\r\n", "\n") for one in (out, err)]
    return Ended(process.returncode, *text)


@pytest.mark.parametrize(("answer", "status", "left"), [(b"y\r", 0, 1), (b"n\r", 130, 2)])
def test_on_a_terminal_it_asks_before_it_deletes(
    machine: Callable[..., Machine], world: dict[str, Any], answer: bytes, status: int, left: int
) -> None:
    here = machine(world)
    ended = answered(here, answer, "snapshots", "delete", FIRST)
    assert ended.status == status, ended
    assert f"delete snapshot {FIRST}" in ended.err
    snapshots = document(run(here, "snapshots", "list"))["snapshots"]
    assert len(snapshots) == left
    assert here.leaks() == []


def test_with_yes_it_does_not_ask(machine: Callable[..., Machine], world: dict[str, Any]) -> None:
    here = machine(world)
    ended = answered(here, b"", "revert", FIRST, "--yes")
    assert ended.status == 0, ended
    assert "Proceed" not in ended.err


def test_what_was_deleted_before_a_failure_is_told(
    machine: Callable[..., Machine], world: dict[str, Any]
) -> None:
    here = machine(world)
    ended = run(here, "snapshots", "delete", FIRST, "dddddddd-0000-0000-0000-00000000000f")
    assert ended.status == 3
    found = document(ended)
    assert found["error"]["name"] == "VSS_E_OBJECT_NOT_FOUND"
    assert found["deleted"]["deleted"] == 1
    in_words = here.run(program("exshadow-vss.exe"), "snapshots", "delete", SECOND, FIRST)
    assert in_words.status == 3
    assert "Deleted 1 snapshots." in in_words.err
    assert here.leaks() == []


@pytest.mark.parametrize("command", ["delete", "list"])
def test_a_volume_that_is_not_there_is_an_error(
    machine: Callable[..., Machine], world: dict[str, Any], command: str
) -> None:
    here = machine(world)
    ended = run(here, "snapshots", command, "--volume", "Q:")
    assert (ended.status, document(ended)["error"]["code"]) == (3, "not_found")
    assert "Q:" in document(ended)["error"]["message"]


def test_a_volume_without_snapshots_has_none_to_delete(machine: Callable[..., Machine]) -> None:
    here = machine()
    ended = run(here, "snapshots", "delete", "--volume", "C:")
    assert (ended.status, document(ended)["deleted"]["deleted"]) == (0, 0), ended.out


@pytest.mark.parametrize("keep", [True, False])
def test_a_command_that_fails_on_an_imported_set_is_told_what_stays(
    machine: Callable[..., Machine], world: dict[str, Any], keep: bool
) -> None:
    here = machine(world)
    saved = windows_path(here.folder / "saved")
    options = ["--keep"] * keep + ["--attribute", "transportable", "--save-documents", saved]
    made = document(run(here, "backup", "C:", *options))["backup"]
    ended = run(here, "import", f"{saved}\\backup-components.xml", "--exec", "exit 3")
    found = document(ended)
    assert ended.status == 1, ended.out
    assert ("stay imported" if keep else "are released") in found["error"]["message"]
    (imported,) = found["imported"]["snapshots"]
    assert imported["snapshot_id"] == made["snapshots"][0]["snapshot_id"]
    listed = document(run(here, "snapshots", "list"))["snapshots"]
    assert (imported["snapshot_id"] in [one["snapshot_id"] for one in listed]) is keep
    assert here.leaks() == []


def test_documents_that_cannot_be_saved_at_the_end_name_the_snapshots_that_stay(
    machine: Callable[..., Machine],
) -> None:
    here = machine()
    saved = here.folder / "saved"
    path = windows_path(saved / "backup-components.xml")
    spoil = f"del {path} & mkdir {path} & exit 0"
    ended = run(
        here, "backup", "C:", "--keep", "--save-documents", windows_path(saved), "--exec", spoil
    )
    found = document(ended)
    assert ended.status != 0
    assert found["backup"]["document"] is None
    (made,) = found["backup"]["snapshots"]
    assert any(made["snapshot_id"] in note and "stays" in note for note in found["backup"]["notes"])
    assert found["backup"]["completed"] is True
