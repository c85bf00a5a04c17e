"""policy run, the command, over the native engine; sets of other providers in other commands."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli, Shop
from daemons import service
from vss_writers import Application

from exshadow.catalog.journal import CatalogJournal
from exshadow.cli.policy_run import _worst
from exshadow.errors import IntegrityError, RefusedError
from exshadow.model import SetRecord
from exshadow.providers.contract import Action, Source, Verb
from exshadow.service.desk import Desk
from exshadow.service.native_provider import NativeProvider
from exshadow.service.policy_run.record import GroupRun
from exshadow.service.state import StateFolder


@pytest.fixture
def policy(shop: Shop, tmp_path: Path) -> Path:
    file = tmp_path / "policy.toml"
    file.write_text(
        f"""
        [group.shop]
        volumes = ["db", "logs"]
        mirrors = ["m2", "m3"]
        verify = ["bytes"]
        provider.options.mirror-path = "{tmp_path}/{{volume}}-{{mirror}}.img"
        """
    )
    return file


def only_group(cli: Cli, *arguments: str | Path, status: int = 0) -> dict[str, Any]:
    (found,) = cli.json("policy", "run", *arguments, status=status)["groups"]
    return found


def test_a_run_makes_what_is_missing_and_a_proved_set(shop: Shop, policy: Path) -> None:
    plan = shop.cli.json("policy", "run", policy, "--dry-run")["plan"]
    assert [step["action"] for step in plan["steps"]] == [
        "prepare mirror", "split mirror", "check the new set by",
    ]  # fmt: skip
    assert shop.cli.json("snapshot", "list")["sets"] == []
    found = only_group(shop.cli, policy)
    assert (found["provider"], found["mirror"], found["error"]) == ("native", "m2", None)
    (made,) = shop.cli.json("snapshot", "list")["sets"]
    assert made == {**made, "id": found["set"]["id"], "state": "ready", "hold_us": 0}
    assert [one["check"] for one in made["checks"]] == ["bytes"]
    states = [one["state"] for one in shop.cli.json("mirror", "list", "db")["plexes"]]
    assert states == ["in_sync", "split", "in_sync"]


def test_the_newest_verified_set_is_kept_until_there_is_a_newer(shop: Shop, policy: Path) -> None:
    text = policy.read_text().replace('["m2", "m3"]', '["m2"]')
    policy.write_text(text)
    only_group(shop.cli, policy)
    found = only_group(shop.cli, policy, status=4)
    assert "newest verified" in found["error"]["message"]
    policy.write_text(text.replace('verify = ["bytes"]', ""))
    shop.cli.json(
        "snapshot", "resync", "shop@" + shop.cli.json("snapshot", "list")["sets"][0]["label"]
    )
    assert only_group(shop.cli, policy)["set"]["verified"] is None
    assert only_group(shop.cli, policy)["set"]["verified"] is None  # rotates freely


def test_a_set_whose_checks_fail_stays_and_is_told(shop: Shop, policy: Path) -> None:
    policy.write_text(policy.read_text().replace('["bytes"]', '["sqlite"]'))
    found = only_group(shop.cli, policy, status=5)
    (made,) = shop.cli.json("snapshot", "list")["sets"]
    assert found["set"]["id"] == made["id"]
    assert not made["verified"]["ok"]


def test_a_script_of_the_policy_is_the_check(shop: Shop, policy: Path) -> None:
    """Looked at before a set is made; it has the copies' paths, and its status is the verdict."""
    script = policy.with_name("look")
    script.write_text("#!/bin/sh\nexit 3\n")
    policy.write_text(
        policy.read_text().replace('["bytes"]', f'["script?command={script}", "bytes"]')
    )
    assert "no program" in only_group(shop.cli, policy, status=4)["error"]["message"]
    assert shop.cli.json("snapshot", "list")["sets"] == []
    script.chmod(0o755)
    (checked, _) = only_group(shop.cli, policy, status=5)["set"]["checks"]
    assert (checked["check"], checked["ok"]) == ("script", False)
    assert "look: status 3" in checked["detail"]


def test_what_was_said_during_a_run_is_not_said_again(shop: Shop, policy: Path) -> None:
    policy.write_text(policy.read_text().replace("{mirror}", "m2"))
    found = shop.cli("policy", "run", policy)
    assert (found.out + found.err).count("mirror m3 could not be prepared") == 1
    policy.write_text(policy.read_text().replace('"m2", "m3"', '"m3", "m4"'))
    found = shop.cli("policy", "run", policy, status=8)
    for mirror in ("m3", "m4"):  # one of them is what the run ends with
        assert (found.out + found.err).count(f"mirror {mirror} could not be prepared") == 1


def test_a_group_that_fails_does_not_keep_the_others(shop: Shop, policy: Path) -> None:
    policy.write_text(policy.read_text() + '\n[group.absent]\nvolumes = ["nowhere"]\n')
    document = shop.cli.json("policy", "run", policy, status=2)
    by_name = {one["group"]: one for one in document["groups"]}
    assert by_name["shop"]["set"] is not None
    assert by_name["absent"]["error"]["code"] == "invalid"
    assert "nowhere" not in (by_name["shop"]["error"] or "")


def test_a_mirror_that_cannot_be_made_is_said_while_there_is_another(
    shop: Shop, policy: Path
) -> None:
    policy.write_text(policy.read_text().replace("mirror-path", "unknown"))
    found = only_group(shop.cli, policy)
    assert any("mirror m3 could not be prepared" in text for text in found["warnings"])
    assert found["set"]


def test_sets_of_other_providers_are_listed_as_the_catalog_has_them(
    shop: Shop, tmp_path: Path
) -> None:
    one = SetRecord(
        "foreign-set", "foreign-set", "mail", "2026-05-01T12:00:00Z", "sfw", "crash", "ready", ()
    )
    with closing(Desk(StateFolder(shop.cli.state))) as desk:
        desk.catalog.record_set(one)
    (found,) = shop.cli.json("snapshot", "list")["sets"]
    assert (found["provider"], found["state"]) == ("sfw", "ready")
    assert shop.cli.json("snapshot", "list", "mail")["sets"] == [found]
    error = shop.cli.error(4, "snapshot", "export", "mail@foreign-set", tmp_path / "out")
    assert "provider sfw holds it" in error["message"]
    for words in (("restore",), ("snapshot", "verify")):
        error = shop.cli.error(3, *words, "mail@foreign-set")
        assert "nothing tells how set" in error["message"]
    error = shop.cli.error(4, "restore", "mail@foreign-set", "--mode", "instant")
    assert error["code"] == "unsupported"


def test_a_bad_set_of_a_later_group_is_what_the_status_says() -> None:
    found = [
        GroupRun("first", "sfw", "", error=RefusedError("no mirror")),
        GroupRun("second", "sfw", "", error=IntegrityError("damaged")),
    ]
    error = _worst(found)
    assert error is not None
    assert error.exit_status == 5
    assert error.message == "group second: damaged; failed as well: first"


# --- with writers ---


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    made = Application(tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize(
    ("check", "status", "told"), [("bytes", 0, "True"), ("sqlite", 5, "False"), ("", 0, "False")]
)
def test_writers_cut_their_logs_only_after_good_verdicts(
    shop: Shop, policy: Path, application: Application, tmp_path: Path,
    check: str, status: int, told: str,
) -> None:  # fmt: skip
    log = tmp_path / "log"
    with_writer(shop, policy, f"ProvenWriter?pid={application.pid}&log={log}", check)
    found = only_group(shop.cli, policy, status=status)
    assert found["set"]["consistency"] == "application"
    assert log.read_text().split()[-2:] == [f"succeeded={told}", "backup_shutdown"]
    application.goes_on_within(5)
    (document,) = (shop.cli.state / "documents").glob("*.xml")
    assert found["set"]["id"] in document.name


def test_a_writer_that_refuses_leaves_no_set(
    shop: Shop, policy: Path, application: Application
) -> None:
    with_writer(shop, policy, f"RefusingWriter?pid={application.pid}", "bytes")
    found = only_group(shop.cli, policy, status=6)
    assert found["set"] is None
    assert shop.cli.json("snapshot", "list")["sets"] == []
    states = [one["state"] for one in shop.cli.json("mirror", "list", "db")["plexes"]]
    assert states == ["in_sync"] * 3
    assert only_group(shop.cli, policy, status=6)["settled"] == []


@pytest.mark.parametrize("event", ["freeze", "backup_shutdown"])
def test_killed_while_writers_stand_nobody_stays_frozen(
    shop: Shop, policy: Path, application: Application, tmp_path: Path, event: str
) -> None:
    log = tmp_path / "log"
    only_group(shop.cli, policy)
    writer = f"StoppingWriter?pid={application.pid}&log={log}"
    with_writer(shop, policy, f"{writer}&hangs={event}", "bytes")
    run = shop.cli.start("policy", "run", policy)
    try:
        while not log.exists() or event not in log.read_text().split():
            assert run.poll() is None, run.communicate()
            time.sleep(0.01)
    finally:
        run.kill()
        run.communicate()
    application.goes_on_within(15)
    with_writer(shop, policy, writer, "bytes")
    found = only_group(shop.cli, policy)
    ready = [one["id"] for one in shop.cli.json("snapshot", "list")["sets"]]
    assert found["set"]["id"] in ready
    assert len(ready) == 2


def with_writer(shop: Shop, policy: Path, writer: str, check: str) -> None:
    """The policy with this writer and check; its module can be found by the command."""
    path = [str(Path(__file__).parent), shop.cli.environment.get("PYTHONPATH", "")]
    shop.cli.environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    lines = [
        line for line in policy.read_text().splitlines() if not line.strip().startswith("writers")
    ]
    text = "\n".join(lines).replace('["bytes"]', f'["{check}"]' if check else "[]")
    policy.write_text(f'{text}\nwriters = ["vss_writers:{writer}"]\n')


# --- what is planned, what is left ---


def test_a_plan_marks_the_set_that_gives_its_mirror_up(shop: Shop, policy: Path) -> None:
    """Never 'resync set A into mirror' beside 'keep A'."""
    policy.write_text(policy.read_text() + "keep.last = 5\n")
    first = only_group(shop.cli, policy)["set"]
    second = only_group(shop.cli, policy)["set"]
    (found,) = shop.cli.json("policy", "plan", policy)["groups"]
    by_id = {one["id"]: (one["keep"], one["given_up"]) for one in found["sets"]}
    assert by_id == {first["id"]: (False, "for its mirror"), second["id"]: (True, None)}
    said = shop.cli("policy", "plan", policy, "--explain").out
    assert f"resync set {first['label']} into mirror m2" in said
    assert f"give up shop@{first['label']}  for its mirror  (last)" in said
    assert f"keep    shop@{second['label']}" in said


def test_a_set_that_is_half_made_does_not_keep_the_group_from_being_due(
    shop: Shop, policy: Path
) -> None:
    policy.write_text(f'{policy.read_text()}\nschedule = "0 0 1 1 *"\n')
    made = only_group(shop.cli, policy)["set"]
    assert shop.cli.json("policy", "run-due", policy)["groups"] == []
    with closing(Desk(StateFolder(shop.cli.state))) as desk:
        volumes = tuple(Source(name, "", 1) for name in ("db", "logs"))
        asked = Action(
            str(uuid.uuid4()), Verb.SPLIT, "shop", "m2", volumes, made["id"], made["label"], True
        )
        CatalogJournal(desk.catalog, "killed").begin("native", asked, {})
    (done,) = shop.cli.json("policy", "run-due", policy)["groups"]
    assert f"set {made['label']} is undone" in done["settled"][0]
    assert done["set"] is not None


def test_what_a_killed_run_of_a_dropped_group_left_is_told_and_settled(
    shop: Shop, policy: Path
) -> None:
    set_id = str(uuid.uuid4())
    only_group(shop.cli, policy)
    with service(shop.cli) as verbs, closing(Desk(StateFolder(shop.cli.state))) as desk:
        provider = NativeProvider(verbs)
        volumes = tuple(Source(name, "", 1) for name in ("db", "logs"))
        asked = Action(str(uuid.uuid4()), Verb.SPLIT, "shop", "m3", volumes, set_id, "cut")
        CatalogJournal(desk.catalog, "killed").begin("native", asked, {})
        provider.start(asked)
    other = policy.with_name("other.toml")
    other.write_text('[group.web]\nvolumes = ["nowhere"]\nprovider.prefer = ["native"]\n')
    (told,) = shop.cli.json("policy", "run", other, status=2)["left"]
    assert "exshadow policy settle shop" in told
    (step,) = shop.cli.json("policy", "settle", "shop", "--dry-run")["plan"]["steps"]
    assert step["action"] == "finish or undo split by native of mirror"
    (done,) = shop.cli.json("policy", "settle", "shop")["settled"]
    assert (done["set"], done["done"], done["error"]) == ("cut", "set cut is whole and kept", None)
    assert shop.cli.json("policy", "settle")["settled"] == []
    assert set_id in {one["id"] for one in shop.cli.json("snapshot", "list")["sets"]}


def test_what_cannot_be_settled_is_forgotten_only_with_a_reason(shop: Shop) -> None:
    with closing(Desk(StateFolder(shop.cli.state))) as desk:
        source = Source("db", "naa.60000000000000000000000000000001", 1)
        asked = Action(str(uuid.uuid4()), Verb.SPLIT, "mail", "m1", (source,), "gone", "cut")
        CatalogJournal(desk.catalog, "killed").begin("eva", asked, {})
    assert shop.cli.error(2, "policy", "settle", "mail")["code"] == "invalid"  # no manager
    assert "reason" in shop.cli.error(2, "policy", "settle", "mail", "--forget", " ")["message"]
    (done,) = shop.cli.json("policy", "settle", "mail", "--forget", "scrapped")["settled"]
    assert done["done"].startswith("forgotten")
    assert shop.cli.json("policy", "settle", "mail")["settled"] == []
