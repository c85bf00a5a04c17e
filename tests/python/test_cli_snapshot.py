"""exshadow snapshot and restore: the life of a set."""

import uuid

import pytest


@pytest.fixture
def noon(shop):
    """The set as JSON, after some writes to both volumes since."""
    made = shop.cli.json("snapshot", "create", "shop", "--label", "noon")["set"]
    shop.write("db", 65536 * 3 + 100, b"x" * 5000)
    shop.write("logs", 0, b"y" * 512)
    return made


def test_create_splits_the_whole_group(shop):
    made = shop.cli.json("snapshot", "create", "shop", "--label", "noon")["set"]
    uuid.UUID(made["id"])
    assert (made["label"], made["group"], made["state"]) == ("noon", "shop", "ready")
    assert (made["provider"], made["consistency"], made["hold_us"]) == ("native", "crash", 0)
    assert made["verified"] is None
    assert made["created"].endswith("Z")
    assert [(m["volume"], m["plex"]) for m in made["members"]] == [("db", "m2"), ("logs", "m2")]
    assert shop.bytes("db-m2") == shop.bytes("db")
    for name in (made["id"], "shop@noon", "noon", made["id"][:8]):
        assert shop.cli.json("snapshot", "show", name)["set"]["id"] == made["id"]
    assert [one["id"] for one in shop.cli.json("snapshot", "list")["sets"]] == [made["id"]]
    assert "shop@noon" in shop.cli("snapshot", "list").out


def test_create_without_a_label_makes_one_up(shop):
    assert shop.cli.json("snapshot", "create", "shop")["set"]["label"]


def test_the_last_plex_in_sync_never_splits(shop):
    shop.cli("snapshot", "create", "shop", "--label", "one")
    shop.cli.error(4, "snapshot", "create", "shop", "--label", "two")
    shop.cli.error(4, "snapshot", "create", "shop", "--label", "one")
    assert len(shop.cli.json("snapshot", "list")["sets"]) == 1


def test_all_members_split_or_none(shop):
    shop.cli("mirror", "remove", "logs", "m2")
    shop.cli.error(4, "snapshot", "create", "shop")
    assert shop.cli.json("snapshot", "list")["sets"] == []
    plexes = shop.cli.json("mirror", "list", "db")["plexes"]
    assert {plex["state"] for plex in plexes} == {"in_sync"}


def test_the_plex_may_be_chosen(shop, tmp_path):
    for name in ("db", "logs"):
        shop.cli("mirror", "add", name, tmp_path / f"{name}-m3.img", "--label", "m3")
    made = shop.cli.json("snapshot", "create", "shop", "--plex", "m2")["set"]
    assert {member["plex"] for member in made["members"]} == {"m2"}
    shop.cli.error(3, "snapshot", "create", "shop", "--plex", "nobody")


@pytest.mark.parametrize(
    ("status", "option"),
    [(3, ("--writer", "nowriter")), (2, ("--verify", "nosuch")), (2, ("--label", "a/b"))],
)
def test_create_refuses_what_is_not_there(shop, status, option):
    shop.cli.error(status, "snapshot", "create", "shop", *option)
    assert shop.cli.json("snapshot", "list")["sets"] == []


def test_a_volume_is_not_its_group(shop):
    assert "shop" in shop.cli.error(3, "snapshot", "create", "db")["hint"]


def test_diff_covers_what_was_written(shop, noon):
    db, logs = shop.cli.json("snapshot", "diff", "noon")["members"]
    assert (db["volume"], db["region_size"], db["bytes"]) == ("db", 65536, 65536)
    assert db["changed"] == [[65536 * 3, 65536]]
    assert logs["changed"] == [[0, 65536]]
    assert "db" in shop.cli("snapshot", "diff", "shop@noon").out


def test_diff_between_two_sets(shop, noon, tmp_path):
    for name in ("db", "logs"):
        shop.cli("mirror", "add", name, tmp_path / f"{name}-m3.img", "--label", "m3")
    shop.cli("snapshot", "create", "shop", "--label", "later")
    shop.write("db", 0, b"z")
    db, _ = shop.cli.json("snapshot", "diff", "noon", "--since", "later")["members"]
    assert [65536 * 3, 65536] in db["changed"]
    shop.cli.error(3, "snapshot", "diff", "noon", "--since", "nobody")


def test_restore_makes_production_the_snapshot_again(shop, noon):
    good = shop.bytes("db-m2"), shop.bytes("logs-m2")
    plan = shop.cli.json("restore", "noon", "--dry-run")["plan"]
    assert {step["volume"] for step in plan["steps"]} == {"db", "logs"}
    assert (shop.bytes("db"), shop.bytes("logs")) != good
    job = shop.cli.json("restore", "noon")["job"]
    assert (job["kind"], job["state"]) == ("restore", "done")
    assert job["bytes_copied"] + job["bytes_zeroed"] <= 2 * 65536 * 1.05
    assert (shop.bytes("db"), shop.bytes("logs")) == good
    assert (shop.bytes("db-m2"), shop.bytes("logs-m2")) == good
    assert shop.cli.json("snapshot", "show", "noon")["set"]["state"] == "ready"


def test_restore_of_one_volume(shop, noon):
    logs = shop.bytes("logs")
    shop.cli("restore", noon["id"], "--volume", "db")
    assert shop.bytes("db") == shop.bytes("db-m2")
    assert shop.bytes("logs") == logs
    shop.cli.error(3, "restore", "noon", "--volume", "nobody")


def test_restore_may_keep_the_current_state(shop, noon, tmp_path):
    error = shop.cli.error(4, "restore", "noon", "--keep-current")
    assert "mirror add" in error["hint"]
    bad = shop.bytes("db")
    for name in ("db", "logs"):
        shop.cli("mirror", "add", name, tmp_path / f"{name}-m3.img", "--label", "m3")
    kept = shop.cli.json("restore", "noon", "--keep-current")["kept"]
    assert kept["label"] == "before-restore"
    assert shop.bytes("db-m3") == bad
    assert shop.bytes("db") == shop.bytes("db-m2")


def test_restore_modes(shop, noon):
    before = shop.bytes("db")
    shop.cli.error(2, "restore", "noon", "--mode", "fast")
    assert shop.bytes("db") == before
    job = shop.cli.json("restore", "noon", "--mode", "instant")["job"]
    assert (job["kind"], job["state"]) == ("restore", "done")
    for name in ("db", "logs"):
        assert shop.bytes(name) == shop.bytes(f"{name}-m2")


def test_resync_moves_only_what_changed(shop, noon):
    job = shop.cli.json("snapshot", "resync", "noon")["job"]
    assert (job["kind"], job["state"]) == ("resync", "done")
    assert job["bytes_copied"] + job["bytes_zeroed"] <= 2 * 65536 * 1.05
    assert shop.bytes("db") == shop.bytes("db-m2")
    assert shop.bytes("logs") == shop.bytes("logs-m2")
    assert shop.cli.json("snapshot", "list")["sets"] == []
    shop.cli.error(3, "snapshot", "show", "noon")
    assert shop.cli.json("snapshot", "show", noon["id"])["set"]["state"] == "dissolved"
    shop.cli.error(4, "snapshot", "resync", noon["id"])
    shop.cli("mirror", "verify", "db")


def test_a_copy_changed_behind_our_back_ends_equal_after_resync(shop, noon, tmp_path):
    with (tmp_path / "db-m2.img").open("r+b") as file:
        file.seek(1 << 20)
        file.write(b"changed from outside")
    result = shop.cli("snapshot", "resync", "noon")
    assert result.err  # said aloud (E7)
    assert shop.bytes("db") == shop.bytes("db-m2")


def test_delete_keeps_the_files(shop, noon):
    before = shop.bytes("db-m2")
    shop.cli.json("snapshot", "delete", "noon", "--dry-run")
    assert shop.cli.json("snapshot", "list")["sets"]
    gone = shop.cli.json("snapshot", "delete", "noon")["set"]
    assert gone["state"] == "dissolved"
    assert shop.bytes("db-m2") == before
    assert shop.cli.json("snapshot", "list")["sets"] == []
    assert len(shop.cli.json("snapshot", "list", "--all")["sets"]) == 1


def test_promote_makes_the_copy_production(shop, noon, tmp_path):
    shop.cli.json("snapshot", "promote", "noon", "--dry-run")
    shop.cli("snapshot", "promote", "noon")
    plexes = shop.cli.json("mirror", "list", "db")["plexes"]
    (winner,) = [plex for plex in plexes if plex["authority"]]
    assert winner["path"] == str(tmp_path / "db-m2.img")
    shop.cli("mirror", "sync", "db")
    assert shop.bytes("db") == shop.bytes("db-m2")


def test_pins_refuse_what_ends_the_set(shop, noon):
    pinned = shop.cli.json("snapshot", "pin", "noon")["set"]
    assert pinned["pinned_until"] == "forever"
    for verb in ("resync", "delete", "promote"):
        assert "pin" in shop.cli.error(4, "snapshot", verb, "noon")["message"]
    shop.cli.error(4, "volume", "remove", "db")
    refused = shop.cli.error(2, "snapshot", "pin", "noon", "--until", "2199-01-31")
    assert "--reason" in refused["hint"]
    soon = ("--until", "2199-01-31", "--reason", "not for ever")
    until = shop.cli.json("snapshot", "pin", "noon", *soon)["set"]
    longer = shop.cli.json("snapshot", "pin", "noon", "--until", "2199-01-31")["set"]
    assert longer["pinned_until"] == until["pinned_until"]
    assert until["pinned_until"] == "2199-01-31T00:00:00Z"
    shop.cli.error(2, "snapshot", "pin", "noon", "--until", "2000-01-01")
    for none in ("someday", "", "9999-12-31T23:59:59-12:00"):  # an empty one is not for ever
        shop.cli.error(2, "snapshot", "pin", "noon", "--until", none)
    shop.cli.error(4, "snapshot", "delete", "noon")
    shop.cli.error(2, "snapshot", "pin", "noon", "--clear")
    cleared = shop.cli.json("snapshot", "pin", "noon", "--clear", "--reason", "audit is over")
    assert cleared["set"]["pinned_until"] is None
    remarks = shop.cli.json("catalog", "export")["catalog"]["remarks"]
    assert [one["what"] for one in remarks] == ["pin shortened", "unpinned"]
    assert remarks[1]["reason"] == "audit is over (was pinned until 2199-01-31T00:00:00Z)"
    shop.cli("snapshot", "delete", "noon")


def test_verify_records_the_verdict(shop, noon, tmp_path):
    document = shop.cli.json("snapshot", "verify", "noon", "--check", "bytes")
    assert document["set"]["verified"]["ok"] is True
    shown = shop.cli.json("snapshot", "show", "noon")["set"]["verified"]
    assert (shown["check"], shown["ok"]) == ("bytes", True)
    with (tmp_path / "db-m2.img").open("r+b") as file:
        file.write(b"rotten")
    document = shop.cli.json("snapshot", "verify", "noon", status=5)
    assert document["error"]["code"] == "mismatch"
    assert shop.cli.json("snapshot", "show", "noon")["set"]["verified"]["ok"] is False


def test_create_may_verify_at_once(shop):
    made = shop.cli.json("snapshot", "create", "shop", "--verify", "bytes")["set"]
    assert made["verified"]["ok"] is True


def test_a_check_that_does_not_exist(shop, noon):
    assert "bytes" in shop.cli.error(2, "snapshot", "verify", "noon", "--check", "x")["hint"]
