"""Ctrl-C and SIGTERM in the middle of a job: exit 130, and the work can be continued."""

import json
import signal

import pytest
from conftest import MIB

SIZE = 16 * MIB


@pytest.fixture
def volume(cli, image):
    cli("volume", "add", "db", image("db.img", SIZE))
    return cli


def interrupt(process, number=signal.SIGINT):
    """Send a signal once the job has moved something; the error document and the status."""
    for line in process.stderr:
        progress = json.loads(line).get("progress", {})
        if progress.get("bytes_copied", 0) > 0:
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert process.returncode == 130
    return json.loads(out)["error"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_mirror_add_is_continued_by_sync(volume, tmp_path, number):
    add = ("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2", "--limit", "4M")
    error = interrupt(volume.start("--json", *add), number)
    assert error["code"] == "cancelled"
    assert "exshadow mirror sync db m2" in error["hint"]
    plex = volume.json("mirror", "list", "db")["plexes"][1]
    assert plex["state"] in ("stale", "syncing")
    assert 0 < plex["bytes_to_sync"] < SIZE
    job = volume.json("mirror", "sync", "db")["job"]
    assert 0 < job["bytes_copied"] < SIZE
    assert (tmp_path / "m2.img").read_bytes() == (tmp_path / "db.img").read_bytes()


def test_an_interrupted_mirror_add_is_continued_by_repeating_it(volume, tmp_path):
    add = ("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    interrupt(volume.start("--json", *add, "--limit", "4M"))
    volume.error(8, "mirror", "add", "db", tmp_path / "m2.img", "--label", "other")
    job = volume.json(*add)["job"]
    assert 0 < job["bytes_copied"] < SIZE
    assert (tmp_path / "m2.img").read_bytes() == (tmp_path / "db.img").read_bytes()


def changed_snapshot(cli, tmp_path):
    cli("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    cli("snapshot", "create", "db", "--label", "noon")
    cli.write("db", 0, bytes(range(256)) * (8 * MIB // 256))


def test_an_interrupted_resync_is_continued_by_repeating_it(volume, tmp_path):
    changed_snapshot(volume, tmp_path)
    interrupt(volume.start("--json", "snapshot", "resync", "noon", "--limit", "4M"))
    assert volume.json("snapshot", "show", "noon")["set"]["state"] == "resyncing"
    job = volume.json("snapshot", "resync", "noon")["job"]
    # Under a daemon the extents just written are still hot: all of them count as changed (E2).
    assert 0 < job["bytes_copied"] < 8 * MIB + volume.served
    assert (tmp_path / "m2.img").read_bytes() == (tmp_path / "db.img").read_bytes()
    assert volume.json("snapshot", "list")["sets"] == []


@pytest.mark.parametrize("again", [("restore", "noon"), ("mirror", "sync", "db")])
def test_an_interrupted_restore_is_continued(volume, tmp_path, again):
    changed_snapshot(volume, tmp_path)
    good = (tmp_path / "m2.img").read_bytes()
    interrupt(volume.start("--json", "restore", "noon", "--limit", "4M"))
    assert volume.json("volume", "show", "db")["volume"]["state"] == "restoring"
    added = ("mirror", "add", "db", tmp_path / "m3.img", "--label", "m3")
    assert volume.error(4, *added)["code"] == "refused"
    assert not (tmp_path / "m3.img").exists()
    plexes = volume.json("mirror", "list", "db")["plexes"]
    assert [plex["label"] for plex in plexes] == ["p1", "m2"]
    job = volume.json(*again)["job"]
    assert 0 < job["bytes_copied"] <= 8 * MIB
    assert (tmp_path / "db.img").read_bytes() == good == (tmp_path / "m2.img").read_bytes()
    assert volume.json("volume", "show", "db")["volume"]["state"] == "ok"


def test_interrupted_jobs_are_recorded(volume, tmp_path):
    add = ("mirror", "add", "db", tmp_path / "m2.img", "--limit", "4M")
    interrupt(volume.start("--json", *add))
    (job,) = volume.json("catalog", "export")["catalog"]["jobs"]
    assert job["state"] == "cancelled"
    assert 0 < job["bytes_copied"] < SIZE
