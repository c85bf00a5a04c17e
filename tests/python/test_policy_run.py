"""policy run: rotation over any provider, and the command over the native engine."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Cli, Shop
from provider_beds import Bed
from provider_trial import Rotation, bed_classes

from exshadow.catalog.documents import documents, keep_document
from exshadow.errors import CorruptError, RefusedError
from exshadow.model import SetRecord
from exshadow.policy.retention import Fate, Held
from exshadow.providers.contract import Mirror, MirrorState, Verb
from exshadow.service.policy_run import elsewhere
from exshadow.service.policy_run.rotation import turn


@pytest.fixture(params=bed_classes(), ids=lambda one: one.__name__)
def rotation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rotation]:
    bed: Bed = request.param(tmp_path)
    try:
        yield Rotation(bed)
    finally:
        bed.close()


def wrote(rotation: Rotation, word: str) -> dict[str, bytes]:
    """Production after something was written to every volume."""
    for source in rotation.bed.sources:
        rotation.bed.write(source.name, source.size // 2, word.encode().ljust(4096, b"#"))
    return rotation.production()


def test_the_same_policy_gives_the_same_with_every_provider(rotation: Rotation) -> None:
    """Prepare, three rotations, verify, restore, promote: equal facts, equal bytes."""
    made = []
    for number in range(4):
        then = wrote(rotation, f"run {number}")
        made.append((rotation.good(), then))
        rotation.check()
    assert [one.mirror for one, _ in made] == ["m1", "m2", "m1", "m2"]
    newest, then = made[-1]
    assert newest.made is not None
    facts = newest.made
    assert (facts.state, facts.consistency, facts.provider) == (
        "ready", "crash", rotation.bed.name,
    )  # fmt: skip
    assert [(one.check, one.ok) for one in facts.checks] == [("bytes", True)]
    assert [one.volume for one in facts.members] == ["db", "logs"]
    for run, bytes_ in made[-2:]:
        assert run.made is not None
        assert rotation.bytes_of(run.made) == bytes_
    wrote(rotation, "damage")
    with rotation.room() as room:
        room.do(room.action(Verb.RESTORE, newest.mirror, facts.id, facts.label))
    assert rotation.production() == then
    wrote(rotation, "damage again")
    with rotation.room() as room:
        room.do(room.action(Verb.PROMOTE, newest.mirror, facts.id, facts.label))
        assert facts.id not in {one.id for one in room.sets() if one.state == "ready"}
    assert rotation.production() == then


def test_a_set_can_be_restored_without_the_policy(rotation: Rotation) -> None:
    """By the journal and what was kept with the set; for the native engine the volumes know."""
    then = wrote(rotation, "good")
    made = rotation.good().made
    assert made is not None
    wrote(rotation, "damage")
    if not elsewhere.is_elsewhere(made):
        pytest.skip("the native engine's own commands restore its sets")
    with rotation.room() as room:
        elsewhere.carry_out(room.service, room.desk, made, "restore")
    assert rotation.production() == then


def test_documents_are_kept_twice_with_their_hash(rotation: Rotation) -> None:
    made = rotation.good().made
    assert made is not None
    with rotation.room() as room:
        for one in documents(room.desk.catalog, made.id):
            assert [Path(path).read_bytes() for path in one.paths] == [one.content]


def test_a_damaged_document_is_told(rotation: Rotation) -> None:
    with rotation.room() as room:
        keep_document(room.desk.catalog, "set", "a.xml", b"<a/>", ["/second"])
        assert [one.content for one in documents(room.desk.catalog, "set")] == [b"<a/>"]
        with room.desk.catalog.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE documents SET content = 'PGIvPg=='")
        with pytest.raises(CorruptError, match=r"a\.xml") as damaged:
            documents(room.desk.catalog, "set")
        assert "/second" in damaged.value.hint


def test_two_runs_of_a_group_exclude_each_other(rotation: Rotation) -> None:
    with rotation.room() as room, room.alone():
        error = rotation.run().error
    assert error is not None
    assert error.code == "busy"


# --- whose turn it is ---

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def a_set(label: str, hours: int) -> SetRecord:
    created = (NOW - timedelta(hours=hours)).isoformat()
    return SetRecord(label, label, "mail", created, "sfw", "crash", "ready", ())


def fates_of(*sets: SetRecord, keep: tuple[str, ...] = (), why: str = "last") -> list[Fate]:
    return [
        Fate(Held(one.id, datetime.fromisoformat(one.created)), (why,) if one.id in keep else ())
        for one in sets
    ]


def split_mirrors(*labels: str) -> dict[str, Mirror]:
    return {label: Mirror(label, MirrorState.SPLIT) for label in labels}


def test_a_ready_mirror_is_taken_before_a_set_is_given_up() -> None:
    one = a_set("old", 5)
    mirrors = split_mirrors("m1") | {"m2": Mirror("m2", MirrorState.READY)}
    found = turn(("m1", "m2"), mirrors, {"m1": one}, fates_of(one))
    assert (found.mirror, found.gives_up) == ("m2", None)


def test_what_retention_gives_up_goes_before_what_is_older() -> None:
    older, younger = a_set("older", 9), a_set("younger", 5)
    held = {"m1": older, "m2": younger}
    found = turn(
        ("m1", "m2"), split_mirrors("m1", "m2"), held, fates_of(older, younger, keep=("older",))
    )
    assert found.gives_up == younger
    both = fates_of(older, younger, keep=("older", "younger"))
    assert turn(("m1", "m2"), split_mirrors("m1", "m2"), held, both).gives_up == older


@pytest.mark.parametrize("why", ["pinned until 2027-01-01 00:00", "newest verified"])
def test_pinned_and_newest_verified_sets_keep_their_mirrors(why: str) -> None:
    one = a_set("only", 5)
    fates = fates_of(one, keep=("only",), why=why)
    with pytest.raises(RefusedError, match=why.split()[0]):
        turn(("m1",), split_mirrors("m1"), {"m1": one}, fates)


def test_broken_mirrors_are_nobodys_turn() -> None:
    broken = {"m1": Mirror("m1", MirrorState.BROKEN)}
    with pytest.raises(RefusedError, match="m1 is broken"):
        turn(("m1",), broken, {}, [])


# --- the command ---


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


def only_group(cli: Cli, *arguments: str | Path, status: int = 0) -> dict[str, object]:
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
    assert made == {**made, "id": found["set"]["id"], "state": "ready", "hold_us": made["hold_us"]}
    assert made["hold_us"] > 0
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
    assert any("mirror m3 could not be prepared" in note for note in found["notes"])
    assert found["set"]


def test_sets_of_other_providers_are_listed_as_the_catalog_has_them(shop: Shop) -> None:
    from contextlib import closing

    from exshadow.service.desk import Desk
    from exshadow.service.state import StateFolder

    one = a_set("foreign-set", 1)
    with closing(Desk(StateFolder(shop.cli.state))) as desk:
        desk.catalog.record_set(one)
    (found,) = shop.cli.json("snapshot", "list")["sets"]
    assert (found["provider"], found["state"]) == ("sfw", "ready")
    assert shop.cli.json("snapshot", "list", "mail")["sets"] == [found]
    error = shop.cli.error(4, "snapshot", "verify", "mail@foreign-set")
    assert "provider sfw holds it" in error["message"]
    error = shop.cli.error(3, "restore", "mail@foreign-set")
    assert "nothing tells how set" in error["message"]
    error = shop.cli.error(4, "restore", "mail@foreign-set", "--mode", "instant")
    assert error["code"] == "unsupported"
