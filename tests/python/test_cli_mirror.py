"""exshadow mirror"""

import os

from conftest import MIB


def test_add_makes_an_equal_copy_and_tells_the_bytes(cli, image, tmp_path):
    path = image("db.img")
    cli("volume", "add", "db", path)
    job = cli.json("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")["job"]
    assert (job["kind"], job["state"]) == ("sync", "done")
    assert job["bytes_copied"] == MIB
    assert job["bytes_copied"] + job["bytes_zeroed"] <= job["bytes_total"]
    assert (tmp_path / "m2.img").read_bytes() == path.read_bytes()
    plexes = cli.json("mirror", "list", "db")["plexes"]
    assert [(one["label"], one["state"]) for one in plexes] == [
        ("p1", "in_sync"),
        ("m2", "in_sync"),
    ]
    assert "m2" in cli("mirror", "list", "db").out


def test_existing_content_needs_overwrite(cli, image):
    cli("volume", "add", "db", image("db.img"))
    other = image("other.img")
    before = other.read_bytes()
    assert cli.error(4, "mirror", "add", "db", other)["code"] == "exists"
    plan = cli.json("mirror", "add", "db", other, "--overwrite", "--dry-run")["plan"]
    assert plan["steps"][0]["bytes"] == MIB
    assert other.read_bytes() == before
    cli("mirror", "add", "db", other, "--overwrite")
    assert other.read_bytes() == image("db.img").read_bytes()


def test_a_plex_smaller_or_larger_than_the_volume(cli, image):
    cli("volume", "add", "db", image("db.img"))
    for size in (MIB - 512, MIB + 512):
        path = image("other.img", size)
        cli.error(2, "mirror", "add", "db", path, "--overwrite")
        assert path.stat().st_size == size
    assert len(cli.json("mirror", "list", "db")["plexes"]) == 1


def test_the_same_path_twice(cli, image, tmp_path):
    cli("volume", "add", "db", image("db.img"))
    cli("volume", "add", "other", image("other.img"))
    cli("mirror", "add", "db", tmp_path / "m2.img")
    os.link(tmp_path / "m2.img", tmp_path / "hard.img")
    for path in ("db.img", "m2.img", "hard.img"):
        for volume in ("db", "other"):
            cli.error(8, "mirror", "add", volume, tmp_path / path, "--overwrite")


def test_the_same_label_twice(cli, image, tmp_path):
    cli("volume", "add", "db", image("db.img"))
    cli("mirror", "add", "db", tmp_path / "m2.img", "--label", "m2")
    cli.error(4, "mirror", "add", "db", tmp_path / "m3.img", "--label", "m2")
    cli.error(2, "mirror", "add", "db", tmp_path / "m3.img", "--label", "m/3")
    assert not (tmp_path / "m3.img").exists()


def test_bad_targets(cli, image, tmp_path):
    cli("volume", "add", "db", image("db.img"))
    cli.error(3, "mirror", "add", "db", tmp_path / "no" / "m2.img")
    cli.error(2, "mirror", "add", "db", tmp_path)
    cli.error(2, "mirror", "add", "db", tmp_path / "m2.img", "--limit", "fast")
    assert not (tmp_path / "m2.img").exists()


def test_sync_of_what_is_in_sync_does_nothing(shop):
    assert shop.cli.json("mirror", "sync", "db")["job"]["bytes_copied"] == 0
    shop.cli.error(3, "mirror", "sync", "db", "nobody")


def test_remove_keeps_the_file(shop, tmp_path):
    before = shop.bytes("db-m2")
    plan = shop.cli.json("mirror", "remove", "db", "m2", "--dry-run")["plan"]
    assert plan["steps"][0]["target"] == str(tmp_path / "db-m2.img")
    shop.cli("mirror", "remove", "db", "m2")
    assert shop.bytes("db-m2") == before
    assert len(shop.cli.json("mirror", "list", "db")["plexes"]) == 1
    shop.cli.error(3, "mirror", "remove", "db", "m2")
    shop.cli.error(4, "mirror", "remove", "db", "p1")


def test_removing_production_itself_says_who_takes_its_place(shop, tmp_path):
    plan = shop.cli.json("mirror", "remove", "db", "p1", "--dry-run")["plan"]
    assert "is production" in plan["warnings"][0]
    said = shop.cli("mirror", "remove", "db", "p1")
    assert f"production is plex m2 at {tmp_path}/db-m2.img" in said.out + said.err


def test_a_snapshots_plex_is_not_removed(shop):
    shop.cli("snapshot", "create", "shop", "--label", "noon")
    error = shop.cli.error(4, "mirror", "remove", "db", "m2")
    assert "snapshot delete" in error["hint"]


def spoil(path, offset):
    """Change a plex behind the engine's back, leaving its times as they were."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"spoiled!")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_verify_finds_repair_mends(shop, tmp_path):
    assert shop.cli.json("mirror", "verify", "db")["differences"] == []
    with shop.cli.opened("db"):
        # While it is open nothing is compared with what the file was like at close (E7).
        spoil(tmp_path / "db-m2.img", 70_000)
    found = shop.cli.json("mirror", "verify", "db", status=5)
    assert found["error"]["code"] == "mismatch"
    assert any(offset <= 70_000 < offset + length for offset, length in found["differences"])
    assert shop.bytes("db-m2") != shop.bytes("db")
    shop.cli.json("mirror", "verify", "db", "--repair", "--dry-run")
    shop.cli("mirror", "verify", "db", "--repair", "--yes")
    assert shop.bytes("db-m2") == shop.bytes("db")
    shop.cli("mirror", "verify", "db")


def test_repair_from_a_named_plex(shop, tmp_path):
    good = shop.bytes("db")
    with shop.cli.opened("db"):
        spoil(tmp_path / "db.img", 4096)
    shop.cli("mirror", "verify", "db", "--repair", "--from", "m2")
    assert shop.bytes("db") == good == shop.bytes("db-m2")
    shop.cli.error(3, "mirror", "verify", "db", "--repair", "--from", "nobody")
    shop.cli.error(2, "mirror", "verify", "db", "--from", "m2")
