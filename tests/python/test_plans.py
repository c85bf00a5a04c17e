"""Plans of restores: every step, measured times, what is missing, and one volume of a set."""

import pytest
from conftest import MIB

import exshadow
from exshadow.model import Plan, Step
from exshadow.service import rates


@pytest.fixture
def noon(shop):
    shop.cli("snapshot", "create", "shop", "--label", "noon")
    shop.write("db", 0, b"x" * (MIB // 2))
    shop.write("logs", 0, b"x" * (MIB // 4))
    return shop


def plan(shop, *more):
    return shop.cli.json("restore", "noon", "--dry-run", *more)["plan"]


def test_every_step_with_bytes_and_time(noon):
    found = plan(noon)
    steps = {step["volume"]: step for step in found["steps"]}
    assert steps["db"]["bytes"] == MIB // 2
    assert steps["logs"]["bytes"] == MIB // 4
    assert all(step["seconds"] > 0 for step in steps.values())
    assert found["seconds"] == max(step["seconds"] for step in steps.values())
    assert "db by 1 sync job at" in found["estimate"]
    text = noon.cli("restore", "noon", "--dry-run").out
    assert "about " in text
    assert " s)" in text


def test_the_newest_restores_of_the_volume_count(noon):
    noon.cli("restore", "noon")
    noon.write("db", 0, b"y" * (MIB // 2))
    assert "db by 1 restore job at" in plan(noon)["estimate"]


def test_one_volume_of_a_set(noon):
    found = plan(noon, "--volume", "logs")
    assert [step["volume"] for step in found["steps"]] == ["logs"]
    before = noon.bytes("db")
    noon.cli("restore", "noon", "--volume", "logs")
    assert noon.bytes("db") == before
    assert noon.bytes("logs") == noon.bytes("logs-m2")


def test_without_measurements_it_says_so(noon):
    (noon.cli.state / "catalog.sqlite").unlink()
    found = plan(noon)
    assert found["seconds"] is None
    assert all(step["seconds"] is None for step in found["steps"])
    assert "nothing was copied and measured yet" in found["estimate"]
    assert "no time is estimated" in noon.cli("restore", "noon", "--dry-run").out


def test_a_volume_whose_production_is_gone_is_promoted(noon):
    (noon.folder / "db.img").unlink()
    error = noon.cli.error(4, "restore", "noon", "--dry-run")
    assert "volume db cannot be restored: its production" in error["message"]
    assert "db-m2.img" in error["message"]
    command = error["hint"].partition("exshadow ")[2].split()
    noon.cli(*command, "--yes", "--force")
    production = noon.cli.json("volume", "show", "db")["volume"]["plexes"]
    assert any(
        one["state"] == "in_sync" and one["path"].endswith("db-m2.img") for one in production
    )


def test_keeping_what_is_there_takes_a_spare_plex_and_the_plan_knows(noon):
    assert (
        "no spare plex"
        in noon.cli.error(4, "restore", "noon", "--keep-current", "--dry-run")["message"]
    )
    for name in ("db", "logs"):
        noon.cli("mirror", "add", name, noon.folder / f"{name}-m3.img", "--label", "m3")
    steps = plan(noon, "--keep-current")["steps"]
    assert [step["action"].split()[0] for step in steps[:2]] == ["split", "split"]
    planned = {step["target"] for step in steps[2:]}
    noon.cli("restore", "noon", "--keep-current")
    written = {
        plex["path"]
        for name in ("db", "logs")
        for plex in noon.cli.json("volume", "show", name)["volume"]["plexes"]
        if plex["state"] == "in_sync"
    }
    assert planned == written


def test_a_plan_does_not_name_the_plex_that_the_open_volume_chooses(noon):
    for label in ("m3", "m4"):
        noon.cli("mirror", "add", "db", noon.folder / f"db-{label}.img", "--label", label)
    steps = plan(noon, "--volume", "db", "--keep-current")["steps"]
    either = f"{noon.folder}/db-m3.img, {noon.folder}/db-m4.img"
    assert [step["target"] for step in steps] == [either, f"{noon.folder}/db.img", either]
    assert "joined the mirror last" in steps[0]["action"]


def test_a_plan_says_what_the_command_would_be_refused_with(noon):
    with exshadow.Engine() as engine, engine.open(noon.cli.state / "db.exv"):
        refused = noon.cli.error(8, "restore", "noon", "--yes")
        assert plan(noon)["refused"] == refused
        resync = noon.cli.json("snapshot", "resync", "noon", "--dry-run")["plan"]
        assert resync["refused"] == refused
        told = noon.cli("restore", "noon", "--dry-run").out
        assert f"now it would be refused: {refused['message']}; {refused['hint']}" in told


# --- rates ---


def job(kind, volume, moved, seconds, state="done"):
    return {
        "kind": kind, "volume": volume, "bytes_copied": moved, "bytes_zeroed": 0,
        "seconds": seconds, "state": state,
    }  # fmt: skip


def test_which_jobs_count():
    assert rates.measured([], "db") is None
    others = [job("sync", "db", 100, 1.0), job("verify", "db", 900, 1.0)]
    assert rates.measured(others, "db").bytes_per_second == 100
    jobs = [*others, job("restore", "logs", 50, 1.0)]
    assert rates.measured(jobs, "db").bytes_per_second == 50
    jobs += [job("restore", "db", 30, 1.0), job("restore", "db", 10, 1.0)]
    jobs += [job("restore", "db", 999, 1.0, "failed"), job("restore", "db", 0, 1.0)]
    assert rates.measured(jobs, "db") == rates.Rate(20.0, 2, "restore")
    assert rates.measured([job("restore", "db", number, 1.0) for number in range(1, 9)],
                          "db").jobs == 5  # fmt: skip


def test_a_plan_that_copies_nothing_has_no_time():
    nothing = Plan("restore", (Step("look", "db", ""),))
    assert rates.estimated(None, nothing) is nothing


def test_reading_is_measured_by_verifications_else_by_copying():
    jobs = [job("sync", "db", 100, 1.0)]
    assert rates.reading(jobs, "db").bytes_per_second == 100
    jobs += [{**job("verify", "logs", 0, 2.0), "bytes_total": 800}]
    assert rates.reading(jobs, "db") == rates.Rate(400.0, 1, "verify")
    jobs += [{**job("verify", "db", 0, 1.0), "bytes_total": 900}]
    assert rates.reading(jobs, "db").bytes_per_second == 900
