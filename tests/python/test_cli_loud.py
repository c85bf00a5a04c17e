"""What is said, refused and asked: events in spite of --quiet, hints, dry runs that refuse."""

import fcntl
import json
import os
import subprocess

import pytest
from conftest import COMMAND, MIB
from test_cli_surface import on_terminal


@pytest.fixture
def damaged(shop, tmp_path):
    """Production of db was written to directly while its mirror is in sync."""
    with (tmp_path / "db.img").open("r+b") as file:
        file.seek(5000)
        file.write(b"direct")
    return shop


def test_direct_writes_are_said_in_spite_of_quiet(damaged):
    made = damaged.cli("--quiet", "mirror", "sync", "db")
    assert "volume db: plex p1" in made.err


def test_direct_writes_are_in_the_json(damaged):
    document = damaged.cli.json("mirror", "sync", "db")
    assert any("plex p1" in note for note in document["notes"])


def test_sync_asks_before_it_writes_over_a_changed_plex(damaged):
    damaged.cli.error(4, "snapshot", "create", "shop")  # opened: the plex is not trusted now
    plan = damaged.cli.json("mirror", "sync", "db", "--dry-run")["plan"]
    assert "from outside" in plan["warnings"][0]
    shown, status = on_terminal(damaged.cli, b"n\n", "mirror", "sync", "db")
    assert "Proceed?" in shown
    assert status == 130
    shown, status = on_terminal(damaged.cli, b"", "mirror", "sync", "db", "--yes")
    assert status == 0
    assert damaged.bytes("db") == damaged.bytes("db-m2")


def test_verify_of_one_plex_is_no_verdict(cli, image, tmp_path):
    cli("volume", "add", "db", image("db.img"))
    assert "nothing to compare" in cli.error(4, "mirror", "verify", "db")["message"]
    cli("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    cli("mirror", "verify", "db")
    (tmp_path / "m2.img").unlink()
    error = cli.error(4, "mirror", "verify", "db")
    assert "m2" in error["hint"]


def test_dry_run_of_mirror_add_refuses_what_the_command_refuses(cli, image, tmp_path):
    cli("volume", "add", "db", image("db.img"))
    full, small = image("full.img"), image("small.img", MIB // 2)
    for status, *words in (
        (4, full),
        (2, small, "--overwrite"),
        (2, tmp_path),
        (3, tmp_path / "none" / "m2.img"),
        (4, tmp_path / "m2.img", "--label", "p1"),
        (2, tmp_path / "m2.img", "--label", "a/b"),
    ):
        command = ("mirror", "add", "db", *words)
        wanted = cli.error(status, *command)["code"]
        assert cli.error(status, *command, "--dry-run")["code"] == wanted
    assert cli.json("mirror", "add", "db", full, "--overwrite", "--dry-run")["plan"]["steps"]


def test_paths_that_are_no_utf8_are_refused_at_once(cli, tmp_path):
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")  # noqa: PTH102
    path = os.fsencode(tmp_path) + b"/\xff/\xfe.img"
    with open(path, "wb") as file:  # noqa: PTH123
        file.truncate(MIB)
    done = subprocess.run(
        [*COMMAND, "--json", "volume", "add", "odd", path],
        env=cli.environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert "UTF-8" in json.loads(done.stdout)["error"]["message"]
    assert cli.json("volume", "list")["volumes"] == []


def test_rebuild_takes_a_volume_with_such_a_path(cli, image, tmp_path):
    import exshadow

    cli("volume", "add", "db", image("db.img"))
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xfe.img")
    with open(path, "wb") as file:  # noqa: PTH123
        file.truncate(MIB)
    with exshadow.Engine() as engine:
        engine.create(cli.state / "odd.exv", plex=path)
    assert cli.json("catalog", "rebuild")["catalog"]["volumes"] == 2
    assert "odd" in [one["name"] for one in cli.json("volume", "list")["volumes"]]


def test_reading_waits_for_nobody(shop):
    shop.cli("snapshot", "create", "shop", "--label", "noon")
    lock = shop.cli.state / "catalog.sqlite.lock"
    import sqlite3

    writer = sqlite3.connect(shop.cli.state / "catalog.sqlite", isolation_level=None)
    with lock.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        writer.execute("BEGIN IMMEDIATE")
        for words in (("list",), ("show", "noon"), ("diff", "noon")):
            assert shop.cli("snapshot", *words).err == ""
        writer.execute("ROLLBACK")
    writer.close()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"catalog": {"format": 1, "schema": "0001", "volumes": []']
)
def test_odd_catalog_documents(cli, tmp_path, text):
    path = tmp_path / "odd.json"
    path.write_text(text)
    cli.error(2, "catalog", "import", path)
    cli.error(2, "catalog", "import", path, "--dry-run")


def test_a_huge_number_in_a_catalog_document(shop, tmp_path):
    path = tmp_path / "catalog.json"
    shop.cli("catalog", "export", path)
    document = json.loads(path.read_text())
    document["catalog"]["volumes"][0]["size"] = 1 << 70
    path.write_text(json.dumps(document))
    shop.cli.error(2, "catalog", "import", path)
    shop.cli.error(3, "catalog", "import", tmp_path / "none.json", "--dry-run")


def test_the_hint_knows_the_command_behind_state(cli):
    hint = cli.error(2, "--state", cli.state, "volume", "add", "--bogus")["hint"]
    assert hint == "see: exshadow volume add --help"


def test_export_into_a_file(shop, tmp_path):
    shop.cli("snapshot", "create", "shop", "--label", "noon")
    (tmp_path / "file").write_bytes(b"x")
    assert (
        "is a file" in shop.cli.error(4, "snapshot", "export", "noon", tmp_path / "file")["message"]
    )


def test_doctor_sees_plexes_that_are_empty(cli, image):
    facts = cli.json("doctor")["doctor"]["state"]
    assert facts["writable"] is True
    path = image("db.img")
    cli("volume", "add", "db", path)
    os.truncate(path, 0)
    assert any("0 bytes" in text for text in cli.json("doctor")["doctor"]["problems"])


def test_a_restore_of_several_plexes_adds_up(shop, tmp_path):
    for name in ("db", "logs"):
        shop.cli("mirror", "add", name, tmp_path / f"{name}-m3.img", "--label", "m3")
    shop.cli("snapshot", "create", "shop", "--label", "noon", "--plex", "m2")
    shop.write("db", 0, b"x" * 65536)
    assert "to several plexes" in shop.cli("restore", "noon").out


def test_a_question_and_json_stand_on_lines_of_their_own(shop):
    shown, _ = on_terminal(shop.cli, b"y\n", "--json", "mirror", "remove", "db", "m2")
    assert any(line.startswith("{") for line in shown.splitlines())


def test_the_demo_leaves_no_folder_behind(tmp_path):
    from exshadow.demo.story import _workplace

    with _workplace(tmp_path / "a" / "b", keep=False):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a").exists()


def test_a_catalog_that_cannot_be_written_is_refused():
    import sqlite3

    from exshadow.catalog.opening import translated
    from exshadow.errors import PermissionRefusedError

    with pytest.raises(PermissionRefusedError), translated():
        raise sqlite3.OperationalError("attempt to write a readonly database")


def test_a_catalog_on_a_read_only_file_system_is_read(shop, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    shop.cli("snapshot", "create", "shop", "--label", "noon")
    shop.cli("snapshot", "verify", "noon")
    state = shop.cli.state
    bind = subprocess.run(["mount", "--bind", state, state], check=False)
    if bind.returncode != 0:
        pytest.skip("cannot mount")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", state], check=True)
        result = shop.cli("snapshot", "list")
        assert "bytes: ok" in result.out
        assert result.err == ""
        error = shop.cli.error(4, "snapshot", "delete", "noon")
        assert "Errno" not in error["message"]
        assert error["hint"]
    finally:
        subprocess.run(["umount", state], check=True)
