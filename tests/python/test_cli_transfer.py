"""exshadow snapshot export and import."""

import json
import subprocess

import pytest
from conftest import COMMAND


@pytest.fixture
def chain(shop, tmp_path):
    """Sets one and two with writes between, exported: one in full, two as changes since one."""
    for name in ("db", "logs"):
        shop.cli("mirror", "add", name, tmp_path / f"{name}-m3.img", "--label", "m3")
    shop.cli("snapshot", "create", "shop", "--label", "one", "--plex", "m2")
    shop.write("db", 65536, b"z" * 70_000)
    shop.cli("snapshot", "create", "shop", "--label", "two", "--plex", "m3")
    shop.cli("snapshot", "export", "one", tmp_path / "one")
    shop.cli("snapshot", "export", "two", tmp_path / "two", "--since", "one")
    return shop


def test_full_export_is_the_copy(chain, tmp_path):
    for name in ("db", "logs"):
        assert (tmp_path / "one" / f"{name}.img").read_bytes() == chain.bytes(f"{name}-m2")
    assert json.loads((tmp_path / "one" / "export.json").read_text())["set"]["label"] == "one"


def test_changes_only_lead_to_the_later_set(chain, tmp_path):
    diff = tmp_path / "two" / "db.rbd-diff"
    assert diff.read_bytes().startswith(b"rbd diff v1\n")
    assert diff.stat().st_size < 3 * 65536
    target = tmp_path / "standby.img"
    chain.cli("snapshot", "import", tmp_path / "one", "--onto", target, "--volume", "db")
    assert target.read_bytes() == chain.bytes("db-m2")
    plan = chain.cli.json(
        "snapshot", "import", tmp_path / "two", "--onto", target, "--volume", "db", "--dry-run"
    )["plan"]
    assert plan["steps"]
    job = chain.cli.json(
        "snapshot", "import", tmp_path / "two", "--onto", target, "--volume", "db"
    )["job"]
    assert job["bytes_copied"] <= 2 * 65536
    assert target.read_bytes() == chain.bytes("db-m3")


def test_changes_that_are_zeroes_are_told_as_what_they_are(chain, tmp_path):
    """In the file of changes they take no room: more is zeroed than the file is long."""
    for name in ("db", "logs"):
        chain.cli("mirror", "add", name, tmp_path / f"{name}-m4.img", "--label", "m4")
    chain.write("db", 0, bytes(4 * 65536))
    chain.cli("snapshot", "create", "shop", "--label", "late", "--plex", "m4")
    chain.cli("snapshot", "export", "late", tmp_path / "late", "--since", "two")
    target = tmp_path / "standby.img"
    for folder in ("one", "two", "late"):
        said = chain.cli(
            "snapshot", "import", tmp_path / folder, "--onto", target, "--volume", "db"
        ).out
    assert "zeroed" in said
    assert "plexes" not in said


def test_import_onto_another_base_is_refused(chain, tmp_path):
    target = tmp_path / "standby.img"
    chain.cli("snapshot", "import", tmp_path / "one", "--onto", target, "--volume", "db")
    with target.open("r+b") as file:
        file.write(b"written to")
    before = target.read_bytes()
    two = ("snapshot", "import", tmp_path / "two", "--volume", "db", "--onto")
    chain.cli.error(5, *two, target)
    assert target.read_bytes() == before
    stranger = tmp_path / "stranger.img"
    stranger.write_bytes(chain.bytes("db"))
    chain.cli.error(5, *two, stranger)


def test_a_damaged_diff_is_refused_before_the_first_byte(chain, tmp_path):
    target = tmp_path / "standby.img"
    chain.cli("snapshot", "import", tmp_path / "one", "--onto", target, "--volume", "db")
    diff = tmp_path / "two" / "db.rbd-diff"
    content = bytearray(diff.read_bytes())
    content[-1000] ^= 1
    diff.write_bytes(content)
    two = ("snapshot", "import", tmp_path / "two", "--volume", "db", "--onto", target)
    chain.cli.error(5, *two)
    assert target.read_bytes() == chain.bytes("db-m2")


def test_a_plex_is_no_target(chain, tmp_path):
    chain.cli.error(
        8, "snapshot", "import", tmp_path / "one", "--volume", "db", "--onto", tmp_path / "db.img"
    )


def test_wrong_use(chain, tmp_path):
    cli = chain.cli
    onto = ("--onto", tmp_path / "x.img")
    cli.error(4, "snapshot", "export", "one", tmp_path / "one")
    cli.error(2, "snapshot", "export", "one")
    cli.error(2, "snapshot", "export", "one", "--stdout")
    cli.error(2, "snapshot", "export", "one", tmp_path / "three", "--since", "one")
    cli.error(3, "snapshot", "import", tmp_path / "none", *onto)
    cli.error(2, "snapshot", "import", tmp_path / "db.img", *onto)
    cli.error(2, "snapshot", "import", tmp_path / "one", *onto)
    cli.error(3, "snapshot", "import", tmp_path / "one", *onto, "--volume", "none")
    assert not (tmp_path / "x.img").exists()
    assert not (tmp_path / "three").exists()


def test_one_volume_goes_to_stdout(cli, image, tmp_path):
    path = image("db.img")
    cli("volume", "add", "db", path)
    cli("mirror", "add", "db", tmp_path / "m2.img")
    cli("snapshot", "create", "db", "--label", "noon")
    command = [*COMMAND, "snapshot", "export", "noon", "--stdout"]
    done = subprocess.run(command, env=cli.environment, capture_output=True, check=True)
    assert done.stdout == path.read_bytes()


def test_a_closed_stdout_is_told(cli, image, tmp_path):
    cli("volume", "add", "db", image("db.img"))
    words = " ".join([*COMMAND, "snapshot", "export", "db@noon", "--stdout"])
    done = subprocess.run(
        ["sh", "-c", f"{words} >&-"], env=cli.environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "stdout is closed" in done.stderr
