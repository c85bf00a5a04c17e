"""`vss backup` where Microsoft's Exchange writer takes part: what its rules forbid is refused."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from uuid import UUID

import pytest

from exshadow import vss
from exshadow.errors import BusyError, NotFoundError
from exshadow.vss.registry import make_writer, spec_of
from exshadow.writers.ese_folder import EseFolderWriter
from exshadow.writers.exchange import take_turn

NAME = "Microsoft Exchange Writer"


PROVED = ("--exec", "true")
"""What may cut logs must have something that says whether the copy is good."""


@pytest.fixture
def backup(shop):
    """Runs `vss backup db logs` with the double of the writer; gives the report, or the error."""
    path = [str(Path(__file__).parent), shop.cli.environment.get("PYTHONPATH", "")]
    shop.cli.environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))

    def run(*options: str, status: int = 0, writer: bool = True):
        double = ("--writer", "vss_writers:ExchangeDouble") if writer else ()
        command = ("vss", "backup", "db", "logs", *double, *options)
        if status:
            return shop.cli.error(status, *command)
        return shop.cli.json(*command)["backup"]

    return run


@pytest.mark.parametrize(
    ("options", "status", "rule"),
    [
        ((), 2, "its rules differ by version"),
        (("--exchange", "2003", "--type", "full"), 2, "lets writers cut their logs"),
        (("--exchange", "2010", "--type", "log", *PROVED), 4, "knows no log backup"),
        (
            ("--exchange", "2003-rtm", "--type", "incremental", *PROVED),
            4,
            "2003 RTM has full and copy only",
        ),
        (("--exchange", "2007", "--type", "differential"), 4, "needs an earlier full backup"),
        (
            ("--exchange", "2007", "--type", "incremental", "--circular-logging", *PROVED),
            4,
            "under circular logging (-526)",
        ),
        (
            ("--exchange", "2003", "--type", "copy", "--include", f"{NAME}:Third"),
            3,
            "no storage group 'Third'",
        ),
        (
            ("--exchange", "2003", "--type", "copy", "--include", f"{NAME}:Logs"),
            3,
            "no storage group 'Logs'",
        ),
        (
            ("--exchange", "2010", "--exec", "true", "--settle", "soon"),
            2,
            "no valid --settle",
        ),
    ],
)
def test_each_rule_is_named_by_its_refusal(backup, shop, options, status, rule):
    error = backup(*options, status=status)
    assert rule in error["message"]
    assert error["hint"]
    assert not (shop.cli.state / "exchange.turn").exists()  # nothing was begun


def test_a_group_is_named_and_the_writer_settles_before_the_next(backup, shop):
    report = backup("--exchange", "2003", "--exec", "true", "--include", f"{NAME}:group second")
    included = [one["key"]["name"] for one in report["components"] if one["included"]]
    assert included == ["Second"]
    assert any("below 20 s" in note for note in report["notes"])
    error = backup("--exchange", "2003", "--type", "copy", status=8)
    assert "settling" in error["message"]
    backup("--exchange", "2003", "--type", "copy", "--settle", "0")


def test_backups_of_exchange_come_one_at_a_time(backup, shop):
    with (shop.cli.state / "exchange.turn").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        error = backup("--exchange", "2010", "--type", "copy", status=8)
    assert "one VSS backup of Exchange at a time" in error["message"]
    backup("--exchange", "2010", "--type", "copy")


def test_without_exchange_nothing_is_asked_for(backup):
    backup("--exclude", NAME)
    backup(writer=False)
    error = backup("--exchange", "2010", writer=False, status=3)
    assert "no Exchange writer takes part" in error["message"]


def test_a_backup_that_failed_must_settle_as_well(tmp_path: Path) -> None:
    place = tmp_path / "exchange.turn"
    with pytest.raises(ZeroDivisionError), take_turn(place):
        raise ZeroDivisionError
    with pytest.raises(BusyError, match="settling"), take_turn(place):
        raise AssertionError
    with take_turn(place, settle=0.0):
        pass


# --- the folder ---


def test_an_ese_folder_is_described_as_components(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("PRIV1.EDB", "Pub1.edb", "priv1.stm", "other.dat", "notes.txt"):
        (tmp_path / name).touch()
    writer = make_writer(spec_of(f"ese-folder?path={tmp_path}&logs={logs}"))
    assert isinstance(writer, EseFolderWriter)
    described = writer.identify()
    assert [one.name for one in described.components] == ["PRIV1.EDB", "Pub1.edb"]
    first = described.components[0]
    assert [(one.path, one.spec) for one in first.database_files] == [(str(tmp_path), "PRIV1.*")]
    assert {(one.path, one.spec) for one in first.database_logs} == {
        (str(logs), "*.log"),
        (str(logs), "*.chk"),
    }
    assert (str(logs), "*tmp.log") in [(one.path, one.spec) for one in described.excluded]
    with pytest.raises(NotFoundError, match="is no folder"):
        EseFolderWriter(str(tmp_path / "nowhere"))


def test_an_ese_folder_goes_into_a_set_by_command(shop, tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    folder.mkdir()
    (folder / "SRUDB.DAT").touch()
    writer = f"ese-folder?path={folder}"
    made = shop.cli.json("snapshot", "create", "shop", "--writer", writer)["set"]
    document = vss.parse_backup_document(
        (shop.cli.state / "documents" / f"{made['id']}.xml").read_text()
    )
    (part,) = document.writers
    assert part.writer_id == UUID("6d4f6f0e-8a51-4b8d-9f53-2c7b3f1e6a07")
    assert [one.name for one in part.components] == ["SRUDB.DAT"]


def test_a_stamp_that_a_power_cut_took_keeps_nobody_waiting(tmp_path: Path) -> None:
    place = tmp_path / "turn"
    for lost in (b"", bytes(20), b"junk"):
        place.write_bytes(lost)
        with take_turn(place):
            pass
        with pytest.raises(BusyError, match="settling"), take_turn(place):
            pass
