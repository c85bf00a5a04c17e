"""Sets of several volumes: what one member refuses, no member gets; what is missing is said."""

import os
import signal
import time
from pathlib import Path

import pytest

import exshadow


@pytest.fixture
def noon(shop):
    made = shop.cli.json("snapshot", "create", "shop", "--label", "noon")["set"]
    shop.write("db", 65536 * 3 + 100, b"x" * 5000)
    shop.write("logs", 0, b"y" * 512)
    return made


def spoil(path: Path, how: str) -> None:
    if how == "missing":
        path.rename(path.with_suffix(".away"))
    elif how == "changed":
        with path.open("r+b") as file:
            file.seek(5000)
            file.write(b"X")
    else:
        os.truncate(path, path.stat().st_size - 512)


@pytest.mark.parametrize(("how", "status"), [("missing", 3), ("changed", 5), ("short", 5)])
@pytest.mark.parametrize("options", [(), ("--mode", "instant")])
def test_a_restore_refused_by_one_member_touches_none(shop, noon, tmp_path, how, status, options):
    before = shop.bytes("db"), shop.bytes("logs")
    spoil(tmp_path / "logs-m2.img", how)
    error = shop.cli.error(status, "restore", "noon", *options)
    assert "logs" in error["message"]
    assert (shop.bytes("db"), shop.bytes("logs")) == before
    assert shop.cli.json("snapshot", "show", "noon")["set"]["state"] == "ready"
    assert shop.cli.json("volume", "show", "db")["volume"]["state"] == "ok"


def test_a_changed_copy_is_restored_with_force(shop, noon, tmp_path):
    spoil(tmp_path / "logs-m2.img", "changed")
    shop.cli("restore", "noon", "--force")
    assert shop.bytes("logs") == shop.bytes("logs-m2")
    assert shop.bytes("db") == shop.bytes("db-m2")


@pytest.mark.parametrize("verb", ["promote", "resync"])
@pytest.mark.parametrize(("how", "status"), [("missing", 3), ("short", 5)])
def test_what_one_member_refuses_none_gets(shop, noon, tmp_path, verb, how, status):
    spoil(tmp_path / "logs-m2.img", how)
    before = shop.cli.json("volume", "list")["volumes"]
    error = shop.cli.error(status, "snapshot", verb, "noon")
    assert "logs" in error["message"]
    after = shop.cli.json("volume", "list")["volumes"]
    assert [one["plexes"] for one in after] == [one["plexes"] for one in before]
    assert shop.cli.json("snapshot", "show", "noon")["set"]["state"] == "ready"
    if how == "missing":
        (tmp_path / "logs-m2.away").rename(tmp_path / "logs-m2.img")
        shop.cli("snapshot", verb, "noon")


def test_a_locked_copy_stops_the_promotion_of_all(shop, noon, tmp_path):
    with (tmp_path / "logs-m2.img").open("r+b") as file:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
        shop.cli.error(8, "snapshot", "promote", "noon")
    assert shop.cli.json("snapshot", "show", "noon")["set"]["state"] == "ready"


def test_a_promotion_that_reached_one_member_is_continued(shop, noon):
    if shop.cli.served:
        with shop.cli.opened("db") as volume:
            volume.promote("noon")
    else:
        with exshadow.Engine() as engine:
            engine.open(str(shop.cli.state / "db.exv")).promote("noon")
    assert shop.cli.json("snapshot", "show", "noon")["set"]["state"] == "failed"
    shop.cli("snapshot", "promote", "noon")
    for name in ("db", "logs"):
        plexes = shop.cli.json("mirror", "list", name)["plexes"]
        assert [plex["label"] for plex in plexes if plex["authority"]] == ["m2"]


def test_a_failure_after_the_first_member_names_them(shop):
    from exshadow.errors import IoError
    from exshadow.service import members

    def act(name):
        if name == "logs":
            raise IoError("broken")

    with pytest.raises(IoError) as caught:
        members.each(["db", "logs", "more"], act, "promoted", "exshadow snapshot promote X")
    assert caught.value.message == "volume logs: broken; promoted: db; not: logs, more"
    assert "repeat: exshadow snapshot promote X" in caught.value.hint


def test_a_member_of_a_set_is_not_removed_by_the_way(shop, noon):
    error = shop.cli.error(4, "volume", "remove", "logs")
    assert "shop@noon" in error["message"]
    plan = shop.cli.json("volume", "remove", "logs", "--dry-run")["plan"]
    assert "shop@noon" in plan["warnings"][0]
    shop.cli("volume", "remove", "logs", "--yes")
    assert len(shop.cli.json("volume", "list")["volumes"]) == 1


@pytest.fixture
def half(shop, noon):
    shop.cli("volume", "remove", "logs", "--yes")
    return noon


def test_the_list_names_missing_members(shop, half):
    (one,) = shop.cli.json("snapshot", "list")["sets"]
    assert one["missing"] == ["logs"]
    assert "logs missing" in shop.cli("snapshot", "list").out


@pytest.mark.parametrize(
    "command",
    [
        ("restore", "noon", "--volume", "db"),
        ("snapshot", "delete", "noon"),
        ("snapshot", "resync", "noon"),
        ("snapshot", "verify", "noon"),
        ("snapshot", "export", "noon", "DIR"),
    ],
)
def test_members_that_are_here_can_be_worked_with(shop, half, tmp_path, command):
    words = [str(tmp_path / "out") if word == "DIR" else word for word in command]
    assert "volume logs is not here" in shop.cli(*words).err
    if command[1] in ("delete", "resync"):
        assert shop.cli.json("snapshot", "list")["sets"] == []


def test_a_whole_restore_with_a_member_missing_says_how_to(shop, half):
    error = shop.cli.error(4, "restore", "noon")
    assert "--volume" in error["hint"]
    shop.cli.error(4, "snapshot", "promote", "noon")


def test_sets_are_listed_as_they_were_made(shop, tmp_path):
    for label in ("m3", "m4", "m5", "m6"):
        for name in ("db", "logs"):
            shop.cli("mirror", "add", name, tmp_path / f"{name}-{label}.img", "--label", label)
    labels = [f"s{number}" for number in range(5)]
    for label in labels:
        shop.cli("snapshot", "create", "shop", "--label", label)
    assert [one["label"] for one in shop.cli.json("snapshot", "list")["sets"]] == labels


def test_keep_current_is_continued_by_repeating(cli, image, tmp_path):
    cli("volume", "add", "big", image("big.img", 8 << 20))
    for label in ("m2", "m3"):
        cli("mirror", "add", "big", tmp_path / f"{label}.img", "--label", label)
    cli("snapshot", "create", "big", "--label", "noon", "--plex", "m3")
    cli.write("big", 0, b"x" * (8 << 20))
    command = ("restore", "noon", "--keep-current")
    running = cli.start(*command, "--limit", "1M")
    deadline = time.monotonic() + 30
    while cli.json("volume", "show", "big")["volume"]["state"] != "restoring":
        assert time.monotonic() < deadline
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 130
    assert cli.json(*command)["kept"]["label"] == "before-restore"
    assert (tmp_path / "big.img").read_bytes() == (tmp_path / "m3.img").read_bytes()
    assert (tmp_path / "m2.img").read_bytes() == b"x" * (8 << 20)
    assert [one["label"] for one in cli.json("snapshot", "list")["sets"]] == [
        "noon",
        "before-restore",
    ]


def test_keep_current_once_more_when_nothing_changed_since(shop, noon, tmp_path):
    for name in ("db", "logs"):
        shop.cli("mirror", "add", name, tmp_path / f"{name}-m3.img", "--label", "m3")
    shop.cli("snapshot", "create", "shop", "--label", "before-restore", "--plex", "m3")
    assert shop.cli.json("restore", "noon", "--keep-current")["kept"]["label"] == "before-restore"


def test_a_pinned_set_with_a_missing_member_can_be_let_go(shop, noon):
    shop.cli("snapshot", "pin", "noon")
    shop.cli("volume", "remove", "logs", "--force")
    shop.cli.error(4, "snapshot", "delete", "noon")
    shop.cli("snapshot", "pin", "noon", "--clear", "--reason", "test")
    shop.cli("snapshot", "delete", "noon")
