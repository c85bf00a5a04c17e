"""exshadow catalog, and what happens when the catalog is lost, damaged, old or newer (F24)."""

import json
import sqlite3
from contextlib import closing

import pytest


@pytest.fixture
def verified(shop):
    shop.cli("snapshot", "create", "shop", "--label", "noon", "--verify", "bytes")
    return shop


def catalog(shop):
    return shop.cli.json("catalog", "export")["catalog"]


def test_operations_are_recorded_with_bytes_and_durations(verified):
    verified.cli("snapshot", "resync", "noon")
    facts = catalog(verified)
    assert {row["name"] for row in facts["volumes"]} == {"db", "logs"}
    assert [row["kind"] for row in facts["jobs"]].count("resync") == 2
    sync = next(row for row in facts["jobs"] if row["kind"] == "sync" and row["volume"] == "db")
    assert sync["bytes_copied"] == 2 << 20
    assert sync["seconds"] > 0
    assert facts["sets"][0]["state"] == "dissolved"
    assert facts["verifications"][0]["ok"] is True


def test_F24_a_lost_catalog_is_rebuilt(verified):
    for path in verified.cli.state.glob("catalog.sqlite*"):
        path.unlink()
    (one,) = verified.cli.json("snapshot", "list")["sets"]
    assert (one["label"], one["state"], one["verified"]) == ("noon", "ready", None)
    assert not (verified.cli.state / "catalog.sqlite").exists()  # a list creates nothing
    assert verified.cli.json("catalog", "rebuild")["catalog"] == {"volumes": 2, "sets": 1}
    assert len(catalog(verified)["members"]) == 2


def test_F24_a_damaged_catalog_is_moved_aside_and_rebuilt(verified):
    file = verified.cli.state / "catalog.sqlite"
    file.write_bytes(b"rubbish" * 1000)
    (one,) = verified.cli.json("snapshot", "list")["sets"]
    assert one["label"] == "noon"
    assert file.read_bytes().startswith(b"rubbish")
    result = verified.cli("catalog", "rebuild")
    assert "damaged" in result.err
    (aside,) = verified.cli.state.glob("catalog.sqlite.damaged-*")
    assert aside.read_bytes().startswith(b"rubbish")
    assert len(catalog(verified)["sets"]) == 1


def test_F24_a_damaged_catalog_does_not_stop_work(verified):
    (verified.cli.state / "catalog.sqlite").write_bytes(b"rubbish" * 1000)
    verified.cli("restore", "noon")
    assert len(catalog(verified)["sets"]) == 1


def test_F24_an_old_catalog_is_corrected(verified):
    cli = verified.cli
    cli("catalog", "export", cli.state / "old.json")
    cli("snapshot", "delete", "noon")
    cli("catalog", "import", cli.state / "old.json")
    assert cli.json("snapshot", "list")["sets"] == []
    cli("catalog", "rebuild")
    assert catalog(verified)["sets"][0]["state"] == "dissolved"


def test_rebuild_keeps_verdicts_and_jobs_of_a_sound_catalog(verified):
    before = catalog(verified)
    verified.cli("catalog", "rebuild")
    after = catalog(verified)
    assert after["verifications"] == before["verifications"]
    assert after["jobs"] == before["jobs"]


def test_a_newer_catalog_is_refused_before_anything_is_done(verified):
    with closing(sqlite3.connect(verified.cli.state / "catalog.sqlite")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    for arguments in (("snapshot", "list"), ("restore", "noon"), ("catalog", "rebuild")):
        assert verified.cli.error(4, *arguments)["code"] == "newer_version"


def test_export_and_import(verified, tmp_path):
    cli, file = verified.cli, tmp_path / "catalog.json"
    cli("catalog", "export", file)
    document = json.loads(file.read_text())
    assert cli.json("catalog", "import", file, "--dry-run")["plan"]
    cli("catalog", "import", file)
    assert {**catalog(verified), "exported": ""} == {**document["catalog"], "exported": ""}
    file.write_text("{")
    cli.error(2, "catalog", "import", file)
    for table, column, value, said in (
        ("sets", "created", "2026-13-01T00:00:00Z", "is no time"),
        ("verifications", "at", "2026-13-01T00:00:00Z", "is no time"),
        ("sets", "state", "shiny", "is no state of a set (creating, dissolved, failed, ready,"),
        ("sets", "label", "a b", "is no label"),
    ):
        wrong = json.loads(json.dumps(document))
        wrong["catalog"][table][0][column] = value
        file.write_text(json.dumps(wrong))
        message = cli.error(2, "catalog", "import", file)["message"]
        assert message.startswith(f"{file}: {table}[0].{column}: '{value}' {said}")
    cli.error(3, "catalog", "import", tmp_path / "none.json")
    cli.error(3, "catalog", "export", tmp_path / "none" / "catalog.json")
    assert {**catalog(verified), "exported": ""} == {**document["catalog"], "exported": ""}


def test_a_catalog_elsewhere(cli, image, tmp_path):
    cli.environment["EXSHADOW_CATALOG"] = f"sqlite:///{tmp_path / 'other.sqlite'}"
    cli("volume", "add", "db", image("db.img"))
    assert not (cli.state / "catalog.sqlite").exists()
    assert cli.json("catalog", "export")["catalog"]["volumes"]
    for wrong in ("nonsense", "postgresql://ops@db:port/x", "mysql://ops@db/x"):
        cli.environment["EXSHADOW_CATALOG"] = wrong
        assert "postgresql+psycopg://" in cli.error(2, "catalog", "export")["hint"]
