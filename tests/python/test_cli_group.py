"""Sets of several volumes: what one member refuses, no member gets; what is missing is said."""

import json
import os
import subprocess
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
