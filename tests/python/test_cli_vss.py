"""exshadow vss and snapshot create --writer on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from machine import mounted, need_root, run
from vss_writers import Application

from exshadow import vss
from exshadow.cli import vss as door
from exshadow.errors import InvalidError
from exshadow.service import shadow
from exshadow.service.desk import Desk
from exshadow.service.local import LocalService
from exshadow.service.state import StateFolder

ID = "6f4e1c9e-0000-4000-8000-000000000001"


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    running = Application(tmp_path)
    yield running
    running.end()


@pytest.fixture
def ticker(cli, application) -> str:
    """The writer of the application, as it is named on the command line."""
    path = [str(Path(__file__).parent), cli.environment.get("PYTHONPATH", "")]
    cli.environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    return f"vss_writers:StoppingWriter?pid={application.pid}"


def test_snapshot_create_freezes_writers_round_the_split(shop, ticker, application, tmp_path):
    log = tmp_path / "log"
    made = shop.cli.json(
        "snapshot", "create", "shop", "--label", "noon", "--writer", f"{ticker}&log={log}"
    )["set"]
    assert made["consistency"] == "application"
    assert made["label"] == "noon"
    assert {member["volume"] for member in made["members"]} == {"db", "logs"}
    told = [
        one for one in log.read_text().split() if one != "backup_shutdown"
    ]  # it was asked before
    assert told == ["prepare_snapshot", "freeze", "thaw"]
    application.goes_on_within(5)
    (found,) = shop.cli.json("snapshot", "list")["sets"]
    assert found["id"] == made["id"]
    assert found["consistency"] == "application"


@pytest.mark.parametrize(("check", "status"), [("bytes", 0), ("sqlite", 5), (None, 0)])
def test_writers_hear_of_success_only_after_the_check_of_the_copy(
    shop, ticker, application, tmp_path, check, status
):
    """A writer that is told of success cuts its logs: never on a copy that was not proved."""
    log = tmp_path / "log"
    writer = f"{ticker.replace('StoppingWriter', 'ProvenWriter')}&log={log}"
    verify = ("--verify", check) if check else ()
    shop.cli(
        "snapshot", "create", "shop", "--label", "noon", "--writer", writer, *verify, status=status
    )
    proved = check is not None and status == 0
    assert f"succeeded={proved}" in log.read_text().split()
    (found,) = shop.cli.json("snapshot", "list")["sets"]
    assert bool(found["verified"] and found["verified"]["ok"]) == proved
    application.goes_on_within(5)


def test_a_writer_that_fails_leaves_no_set_and_status_6(shop, ticker, application):
    bad = ticker.replace("StoppingWriter", "RefusingWriter")
    error = shop.cli.error(6, "snapshot", "create", "shop", "--writer", bad, "--writer", ticker)
    assert error["code"] == "writer_failed"
    assert "Refuser" in error["message"]
    assert "the log disk is full" in error["message"]
    assert error["hint"].startswith("try again")
    assert shop.cli.json("snapshot", "list")["sets"] == []
    application.goes_on_within(5)
    shop.cli("snapshot", "create", "shop")  # both mirrors are still there to split


def test_a_writer_that_hangs_is_cut_off(shop, ticker, application):
    hung = f"{ticker}&hangs=freeze&limit=1"
    error = shop.cli.error(6, "snapshot", "create", "shop", "--writer", hung)
    assert "VSS_E_WRITERERROR_TIMEOUT" in error["message"]
    assert "Ticker" in error["message"]
    application.goes_on_within(5)
    assert shop.cli.json("snapshot", "list")["sets"] == []


@pytest.mark.parametrize("lost", ["gathered", "split"])
def test_a_writer_lost_on_the_way_voids_the_set(shop, ticker, application, monkeypatch, lost):
    """Whatever made the coordinator drop it: the set must not pass for the application's."""
    if lost == "gathered":
        monkeypatch.setattr(shadow.Shadow, "writers", lambda self: [])
    else:
        whole = shadow.Shadow.backup

        def backup(self, request, between=None):
            return whole(self, request, lambda made: between(replace(made, writers=[])))

        monkeypatch.setattr(shadow.Shadow, "backup", backup)
    state = shop.cli.state
    with (
        closing(Desk(StateFolder(state))) as desk,
        pytest.raises(vss.WriterFailure, match="'vss_writers:StoppingWriter' did not answer"),
    ):
        shadow.create_set(LocalService(desk), "shop", [ticker], state / "vss.lock")
    application.goes_on_within(5)
    assert shop.cli.json("snapshot", "list")["sets"] == []


def test_what_the_volumes_refuse_is_told_as_such(shop, ticker):
    error = shop.cli.error(
        3, "snapshot", "create", "shop", "--plex", "nonesuch", "--writer", ticker
    )
    assert "nonesuch" in error["message"]
    assert shop.cli.error(3, "snapshot", "create", "nogroup", "--writer", ticker)
    shop.cli("snapshot", "create", "shop", "--label", "noon")
    error = shop.cli.error(4, "snapshot", "create", "shop", "--label", "noon", "--writer", ticker)
    assert error["code"] == "exists"


@pytest.mark.parametrize(
    ("writer", "status"),
    [
        ("nowhere", 3),
        ("no.such:Module", 3),
        ("vss_writers:Nothing", 3),
        ("vss_writers:Application", 2),
        ("vss_writers:StoppingWriter", 2),
        ("vss_writers:StoppingWriter?pid", 2),
    ],
)
def test_wrong_writers(shop, ticker, writer, status):
    error = shop.cli.error(status, "snapshot", "create", "shop", "--writer", writer)
    assert writer.partition("?")[0] in error["message"]
    assert shop.cli.json("snapshot", "list")["sets"] == []


def test_looking(shop, ticker):
    (writer,) = shop.cli.json("vss", "writers", "--writer", ticker)["writers"]
    assert writer["metadata"]["name"] == "Ticker"
    assert writer["status"]["state"] == "stable"
    assert "Ticker" in shop.cli("vss", "writers", "--writer", ticker).out
    assert "no writers" in shop.cli("vss", "writers").out
    (provider,) = shop.cli.json("vss", "providers")["providers"]
    assert provider["type"] == "software"
    assert shop.cli.json("vss", "snapshots") == {"snapshots": []}


def test_a_writer_that_cannot_say_what_it_has_is_not_shown_as_well(shop, ticker):
    named = ("--writer", "vss_writers:Confused", "--writer", ticker)
    found = {
        one["metadata"]["name"]: one["status"]
        for one in shop.cli.json("vss", "writers", *named)["writers"]
    }
    assert found["Ticker"]["state"] == "stable"
    assert found["Confused"]["state"] == "failed_at_identify"
    assert found["Confused"]["failure"] == "VSS_E_WRITERERROR_RETRYABLE"
    assert "does not answer" in found["Confused"]["application_message"]
    assert "VSS_E_WRITERERROR_RETRYABLE" in shop.cli("vss", "writers", *named).out
    for volumes in ((), ("db", "logs")):
        error = shop.cli.error(6, "vss", "backup", *volumes, *named)
        assert "Confused" in error["message"]
        assert "does not answer" in error["message"]


def test_a_backup_with_a_program_and_documents(shop, ticker, tmp_path):
    seen = tmp_path / "seen"
    done = shop.cli.json(
        "vss", "backup", "db", "logs", "--writer", ticker, "--no-components", "--keep",
        "--save", tmp_path / "documents",
        "--exec", f'cat "$EXSHADOW_REPORT" > {seen}; cmp "$EXSHADOW_DEVICE_1" {tmp_path}/db.img',
    )["backup"]  # fmt: skip
    assert done["completed"]
    assert done["snapshot_set_id"] in seen.read_text()
    assert (tmp_path / "documents" / "components.xml").read_text().startswith("<BACKUP_COMPONENTS")
    sets = shop.cli.json("snapshot", "list")["sets"]
    assert [one["id"] for one in sets] == [done["snapshot_set_id"]]
    snapshots = shop.cli.json("vss", "snapshots")["snapshots"]
    assert {one["original_volume"] for one in snapshots} == {"db", "logs"}
    plan = shop.cli.json("vss", "snapshots", "--delete", sets[0]["id"], "--dry-run")["plan"]
    assert len(plan["steps"]) == 2
    assert shop.cli.json("vss", "snapshots", "--delete", sets[0]["id"], "--yes")["deleted"] == 2
    assert shop.cli.json("vss", "snapshots") == {"snapshots": []}
    states = {one["state"] for one in shop.cli.json("mirror", "list", "db")["plexes"]}
    assert states == {"in_sync"}


def test_later_commands_know_the_ids_of_a_saved_document(shop, ticker, tmp_path):
    """List, revert and delete, each in a command of its own, by what the backup saved."""
    before = (tmp_path / "db.img").read_bytes()
    saved = tmp_path / "documents"
    shop.cli("vss", "backup", "db", "logs", "--writer", ticker, "--keep", "--save", saved)
    document = vss.parse_backup_document((saved / "components.xml").read_text())
    recorded = {one.properties.original_volume: one.properties for one in document.snapshots}
    listed = shop.cli.json("vss", "snapshots")["snapshots"]
    assert {one["original_volume"]: one["snapshot_id"] for one in listed} == {
        volume: str(one.snapshot_id) for volume, one in recorded.items()
    }
    shop.cli.write("db", 0, b"written after the backup")
    assert (tmp_path / "db.img").read_bytes() != before
    shop.cli("vss", "revert", str(recorded["db"].snapshot_id), "--yes")
    assert (tmp_path / "db.img").read_bytes() == before
    one = str(recorded["logs"].snapshot_id)
    error = shop.cli.error(4, "vss", "snapshots", "--delete", one, "--yes")
    assert str(document.snapshot_set_id) in error["hint"]
    assert len(shop.cli.json("vss", "snapshots")["snapshots"]) == 2
    whole = str(document.snapshot_set_id)
    assert shop.cli.json("vss", "snapshots", "--delete", whole, "--yes")["deleted"] == 2
    shop.cli.error(3, "vss", "revert", one, "--yes")


def test_snapshots_that_are_not_kept_return_to_the_mirror(shop, ticker):
    shop.cli("vss", "backup", "db", "logs", "--no-components")
    assert shop.cli.json("snapshot", "list")["sets"] == []
    states = {one["state"] for one in shop.cli.json("mirror", "list", "db")["plexes"]}
    assert states == {"in_sync"}


def test_a_restore_that_puts_nothing_back_is_refused(shop, ticker, tmp_path):
    """Writers would hear that all was restored."""
    saved = tmp_path / "documents"
    proven = ticker.replace("StoppingWriter", "ProvenWriter")
    shop.cli("vss", "backup", "db", "logs", "--writer", proven, "--save", saved, "--keep")
    restore = ("vss", "restore", saved / "components.xml", "--writer", proven, "--yes")
    error = shop.cli.error(2, *restore)
    assert "--exec" in error["hint"]
    assert shop.cli.json(*restore, "--exec", "true")["restore"]["completed"]


@pytest.fixture
def restored(shop, cli, tmp_path):
    """Runs a restore of a saved backup; what its writer was told before it."""
    path = [str(Path(__file__).parent), cli.environment.get("PYTHONPATH", "")]
    cli.environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    saved, log = tmp_path / "documents", tmp_path / "log"
    writer = ("--writer", f"vss_writers:RestoredWriter?log={log}")
    shop.cli("vss", "backup", "db", "logs", *writer, "--save", saved, "--type", "copy")

    def run(*options, status=0):
        document = (saved / "components.xml", *writer, "--yes", "--exec", "true")
        if status:
            return shop.cli.error(status, "vss", "restore", *document, *options)
        shop.cli("vss", "restore", *document, *options)
        return json.loads(log.read_text())

    return run


def test_a_restore_tells_what_goes_elsewhere_and_what_is_only_a_part(restored):
    store = "Restored:store"
    choice, (partial,) = restored(
        *("--new-target", store, "/srv/store", "*.db", "/mnt/new"),
        *("--subcomponent", store, "store\\part"),
        *("--ranges-file", store, "0", "/mnt/a.ranges"),
        *("--roll-forward-of", f"{store}=partial@noon", "--options-of", f"{store}=a=b"),
        *("--more-of", store, "--authoritative-of", store),
    )  # fmt: skip
    assert [(one["files"]["path"], one["destination"]) for one in choice["new_targets"]] == [
        ("/srv/store", "/mnt/new")
    ]
    assert [one["name"] for one in choice["subcomponents"]] == ["part"]
    assert partial["ranges"] == "/mnt/a.ranges"
    assert (choice["roll_forward"], choice["roll_forward_point"]) == ("partial", "noon")
    assert choice["options"] == "a=b"
    assert choice["additional_restores"]
    assert choice["authoritative"]


def test_a_restore_tells_all_components_the_same(restored):
    choice, _ = restored(
        *("--roll-forward", "all", "--options", "text", "--include", "Restored:store"),
        *("--new-name", "other", "--alternate-location"),
        *("Restored:store", "/srv/logs", "*.log", "/srv/elsewhere"),
    )
    assert (choice["roll_forward"], choice["options"]) == ("all", "text")
    assert choice["new_name"] == "other"
    assert [one["destination"] for one in choice["alternate_mappings"]] == ["/srv/elsewhere"]


def test_a_restore_that_asks_for_nonsense_is_refused(restored):
    for options, words in (
        (("--roll-forward", "some"), "'some' is no roll-forward"),
        (("--roll-forward", "partial"), "a point goes with partial"),
        (("--point", "noon"), "a point goes with partial"),
        (("--new-name", "other"), "for one component"),
        (("--new-name-of", "Restored:store"), "lacks an equals sign"),
        (("--ranges-file", "Restored:store", "-1", "x"), "-1 is no number"),
        (("--new-target", ":store", "a", "b", "c"), "names no writer"),
    ):
        assert words in restored(*options, status=2)["message"]


def test_a_program_that_fails_fails_the_command(shop, ticker):
    error = shop.cli.json(
        "vss", "backup", "db", "logs", "--no-components", "--exec", "exit 3", status=1
    )
    assert "command failed" in error["error"]["message"]
    assert error["backup"]["completed"]


def test_without_a_proof_a_backup_is_a_copy(shop, ticker, tmp_path):
    def kind(*more):
        shop.cli("vss", "backup", "db", "logs", "--writer", ticker, "--save", tmp_path, *more)
        return vss.parse_backup_document((tmp_path / "components.xml").read_text()).type

    assert kind() == vss.BackupType.COPY
    assert kind("--exec", "true") == vss.BackupType.FULL
    assert kind("--type", "differential") == vss.BackupType.DIFFERENTIAL
    error = shop.cli.error(2, "vss", "backup", "db", "logs", "--type", "full")
    assert "it needs --exec" in error["message"]


def test_part_of_a_group_is_no_set(shop):
    error = shop.cli.error(4, "vss", "backup", "db", "--no-components")
    assert "db, logs" in error["message"]


def test_without_volumes_it_says_what_to_name(shop, ticker):
    error = shop.cli.error(2, "vss", "backup", "--writer", ticker)
    assert "no volume is named" in error["message"]
    assert "shop: db logs" in error["hint"]
    error = shop.cli.error(2, "vss", "backup", "--no-components")
    assert "shop: db logs" in error["hint"]


def test_the_group_is_found_by_where_its_volumes_are_mounted(shop, ticker, image, tmp_path):
    """A real mount of an attached volume; what lies beside the mount is on no volume."""
    need_root()
    shop.cli("volume", "add", "alone", image("alone.img", 1 << 20))
    with shop.cli.opened("db"):
        pass  # a daemon serves what it has opened
    device = shop.cli.json("attach", "db", "--writable")["attached"]["device"]
    try:
        run("mkfs.ext2", "-q", device)
        with mounted(device, tmp_path / "srv") as place:
            (place / "files").mkdir()
            writer = f"vss_writers:FilesWriter?folder={place}/files"
            backup = shop.cli.json("vss", "backup", "--writer", writer)["backup"]
            assert {one["original_volume"] for one in backup["snapshots"]} == {"db", "logs"}
            assert [one["included"] for one in backup["components"]] == [True]
            beside = f"vss_writers:FilesWriter?folder={tmp_path}/other"
            error = shop.cli.error(2, "vss", "backup", "--writer", beside)
            assert "lie on no mounted volume" in error["message"]
    finally:
        shop.cli("detach", "db")


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (2, ("vss", "expose", "rubbish", "X:")),
        (2, ("vss", "expose", ID, "X:", "--undo")),
        (3, ("vss", "snapshots", "--delete", ID, "--yes")),
        (3, ("vss", "restore", "/nowhere/components.xml")),
        (3, ("vss", "revert", ID, "--yes")),
        (2, ("vss", "backup", "db", "--type", "fool")),
        (2, ("vss", "backup", "db", "--tries", "0")),
        (2, ("vss", "backup", "db", "--tries", "1" * 30)),
        (2, ("vss", "backup", "db", "--retry-wait", "nan")),
        (2, ("vss", "backup", "db", "--retry-wait", "1e300")),
        (2, ("vss", "backup", "db", "--no-components", "--exec", " ")),
        (2, ("vss", "backup", "db", "--no-components", "--save", "")),
        (2, ("vss", "backup", "db", "--base", "/dev/null", "--type", "differential")),
        (2, ("vss", "import", "/dev/null")),
        (3, ("vss", "break", ID, "--dry-run")),
        (3, ("vss", "revert", ID, "--dry-run")),
        (3, ("vss", "resync", "/nowhere/components.xml", ID, "--dry-run")),
        (2, ("vss", "break", ID, "--flag", "bogus")),
        (3, ("vss", "writers", "--tool", "/nowhere/exshadow-vss.exe")),
    ],
)
def test_wrong_usage_and_what_is_not_there(shop, status, arguments):
    assert shop.cli.error(status, *arguments)["message"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_documents_that_others_saved_are_read_in_their_encodings(cli, tmp_path, encoding):
    document = vss.serialise(vss.BackupDocument(type=vss.BackupType.FULL))
    (tmp_path / "saved.xml").write_bytes(document.encode(encoding))
    error = cli.error(6, "vss", "import", str(tmp_path / "saved.xml"))
    assert "VSS_E_NONTRANSPORTABLE_BCD" in error["message"]


def test_a_file_without_end_is_no_document(monkeypatch):
    monkeypatch.setattr(door, "MOST_BYTES", 1 << 20)
    with pytest.raises(InvalidError, match="too large for a document: more than 1 MiB"):
        door.read_text("/dev/zero")


def test_a_file_of_the_most_bytes_is_read(monkeypatch, tmp_path):
    monkeypatch.setattr(door, "MOST_BYTES", 5)
    saved = tmp_path / "saved.xml"
    saved.write_bytes(b"<abc>")
    assert door.read_text(str(saved)) == "<abc>"
    saved.write_bytes(b"<abcd>")
    with pytest.raises(InvalidError, match="too large"):
        door.read_text(str(saved))


def test_ctrl_c_in_the_program_leaves_no_set(shop, tmp_path):
    """Also of a backup whose snapshots would have been kept."""
    begun = tmp_path / "begun"
    child = shop.cli.start(
        "vss", "backup", "db", "logs", "--no-components", "--keep",
        "--exec", f"touch {begun}; exec sleep 30",
        start_new_session=True,
    )  # fmt: skip
    end = time.monotonic() + 30
    while not begun.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    child.wait(25)
    os.killpg(child.pid, signal.SIGKILL)  # the program, which got no Ctrl-C here
    child.communicate()
    assert child.returncode == 130
    assert shop.cli.json("snapshot", "list")["sets"] == []
    states = {one["state"] for one in shop.cli.json("mirror", "list", "db")["plexes"]}
    assert states == {"in_sync"}


def test_a_killed_command_leaves_the_application_going(shop, ticker, application, tmp_path):
    """kill -9 of the command while its writer is frozen."""
    log = tmp_path / "log"
    child = subprocess.Popen(
        [sys.executable, "-m", "exshadow", "snapshot", "create", "shop",
         "--writer", f"{ticker}&log={log}&hangs=freeze"],
        env=shop.cli.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end = time.monotonic() + 30
    while not (log.exists() and "freeze" in log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert application.stopped(within=5)
    child.kill()
    child.wait()
    application.goes_on_within(5)
    shop.cli("snapshot", "create", "shop")
