"""A set in other hands, from the command line: a backup program on this host, another host."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from product_policy import policy_of, programs, tape
from provider_bed_eva import EvaBed
from provider_bed_sfw import SfwBed
from provider_trial import Rotation, bed_classes

from exshadow.errors import NotFoundError, ProviderError, RefusedError
from exshadow.names import FOREVER
from exshadow.policy.model import Hook, HooksPart
from exshadow.providers.contract import Action, Provider, Stage, Verb
from exshadow.providers.eva.lending import Lending
from exshadow.service import pins
from exshadow.service.policy_run import elsewhere, unfinished

LENDERS = [SfwBed, EvaBed]


@pytest.fixture(params=bed_classes(), ids=lambda one: one.__name__)
def rotation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rotation]:
    bed = request.param(tmp_path)
    try:
        yield Rotation(bed)
    finally:
        bed.close()


def test_every_providers_set_is_handed_to_a_backup_program(
    rotation: Rotation, tmp_path: Path
) -> None:
    """It reads the copies while they are presented, and the documents that a restore needs."""
    hooks = HooksPart(**{"hand-over": (Hook(command=tape(tmp_path)),)})
    rotation.group = rotation.group.model_copy(update={"hooks": hooks})
    then = rotation.production()
    made = rotation.good().made
    assert made is not None
    assert {name: (tmp_path / f"{name}.tape").read_bytes() for name in then} == then
    given = json.loads((tmp_path / "given.json").read_text())
    assert (given["event"], given["set"]["id"]) == ("hand-over", made.id)
    documents = {one["name"]: bytes.fromhex(one["read"]) for one in given["documents"]}
    wanted = {"sfw": {"set.xml", "record.json"}, "vss": {"components.xml"}}
    assert wanted.get(made.provider, set()) <= documents.keys()
    assert all(documents.values())
    rotation.check()


@pytest.mark.parametrize("rotation", LENDERS, indirect=True)
def test_a_lent_set_is_nobodys_turn_and_what_was_found_good_of_it_counts_no_more(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rotation.good().made
    assert made is not None
    assert made.verified is not None
    host = rotation.bed.other_host

    def build(name: str, settings: Mapping[str, str]) -> Provider:
        return rotation.bed.provider()

    monkeypatch.setattr("exshadow.providers.registry.build", build)
    with rotation.room() as room:
        elsewhere.carry_out(room.service, room.desk, made, "lend", {"host": host})
        now = room.service.show_set(made.id)
        assert (now.state, now.verified) == ("ready", None)
        with pytest.raises(RefusedError):
            elsewhere.carry_out(room.service, room.desk, made, "recall")
    assert rotation.good().mirror == "m2"
    refused = rotation.run().error  # the one is lent, the other has the newest verified set
    assert refused is not None
    assert "(lent to" in refused.message
    rotation.check()
    with rotation.room() as room:
        elsewhere.carry_out(room.service, room.desk, made, "recall", {"released": "yes"})
        elsewhere.carry_out(room.service, room.desk, made, "resync")
    assert rotation.good().mirror == "m1"


@pytest.mark.parametrize("rotation", LENDERS, indirect=True)
@pytest.mark.parametrize("verb", [Verb.LEND, Verb.RECALL])
@pytest.mark.parametrize("begun", [True, False])
def test_a_kill_leaves_a_set_lent_or_here(rotation: Rotation, verb: Verb, begun: bool) -> None:
    """What had begun is finished, what had not is not begun by a later run."""
    made = rotation.good()
    assert made.made is not None
    with rotation.room() as room:
        lend = room.action(Verb.LEND, made.mirror, made.made.id, made.made.label)
        lend = replace(lend, options={"host": rotation.bed.other_host})
        recall = replace(lend, id="back", verb=Verb.RECALL, options={"released": "yes"})
        if verb is Verb.RECALL:
            room.do(lend)
        asked = lend if verb is Verb.LEND else recall
        room.journal.begin(room.provider.name, asked)
        if begun:
            room.provider.start(asked)
        told = unfinished.settle(room)
        assert ("finished" in told[0], "nothing had been done" in told[0]) == (begun, not begun)
        assert room.journal.unfinished(room.group) == []
        (mirror,) = (
            one
            for one in room.provider.mirrors(room.group, room.sources)
            if one.label == made.mirror
        )
        assert bool(mirror.lent) == ((verb is Verb.LEND) == begun)


@pytest.mark.parametrize("rotation", [EvaBed], indirect=True)
def test_a_half_lent_set_is_not_verified_and_lent_by_the_next_run_though_it_is_pinned(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rotation.good()
    assert made.made is not None
    set_id = made.made.id
    with rotation.room() as room:
        lend = room.action(Verb.LEND, made.mirror, set_id, made.made.label)
        with pytest.raises(NotFoundError):  # nothing came of it
            room.do(replace(lend, options={"host": "nowhere"}))
        assert room.service.show_set(set_id).verified is not None
        lend = replace(lend, id="lend", options={"host": rotation.bed.other_host})
        add_lun = Lending.add_lun

        def only_the_first(self: Lending, action: Action, volume: str, *more: Any) -> None:
            if volume != "db":
                raise ProviderError("no")
            add_lun(self, action, volume, *more)

        monkeypatch.setattr(Lending, "add_lun", only_the_first)
        with pytest.raises(ProviderError):
            room.do(lend)
        monkeypatch.undo()
        assert room.service.show_set(set_id).verified is None
        assert room.provider.standing(lend).stage is Stage.HALF
        pins.pin(room.desk, set_id, FOREVER)
        told = unfinished.settle(room)
        assert [text.partition(": ")[2] for text in told] == ["finished"]
        assert room.provider.standing(lend).stage is Stage.DONE
        assert room.service.show_set(set_id).state == "ready"
        recall = replace(lend, id="back", verb=Verb.RECALL, options={"released": "yes"})
        room.do(recall)
        room.do(room.action(Verb.RESTORE, made.mirror, set_id, made.made.label))
        for asked in (replace(lend, id="again"), replace(recall, id="back again")):
            room.journal.begin(room.provider.name, asked)
            if asked.verb is Verb.LEND:
                room.provider.start(replace(asked, volumes=asked.volumes[:1]))
        told = unfinished.settle(room)
        assert [text.partition(": ")[2] for text in told] == [
            "recall was asked for later", "finished",
        ]  # fmt: skip
        assert room.provider.standing(recall).stage is Stage.DONE
        assert room.journal.unfinished(room.group) == []


@pytest.mark.parametrize("kind", [pytest.param(SfwBed, marks=pytest.mark.soak), EvaBed])
def test_a_set_is_handed_to_a_backup_program_then_lent_and_recalled(
    cli: Cli, tmp_path: Path, kind: type[SfwBed | EvaBed]
) -> None:
    bed = kind(tmp_path)
    settings = bed.settings | (programs(bed) if isinstance(bed, SfwBed) else {})
    more = f'verify = ["bytes"]\nprovider.off-host = true\nprovider.prefer = ["{bed.name}"]\n'
    hook = json.dumps(tape(tmp_path))
    path = policy_of(bed, tmp_path, settings, f"{more}hooks.hand-over = [{{ command = {hook} }}]")
    then = {one.name: bed.read(one.name) for one in bed.sources}
    (run,) = cli.json("policy", "run", path)["groups"]
    assert run["error"] is None
    made = run["set"]["id"]
    # the backup program read the copies while they were presented, and has the set's documents
    assert {name: (tmp_path / f"{name}.tape").read_bytes() for name in then} == then
    given = json.loads((tmp_path / "given.json").read_text())
    assert given["event"] == "hand-over"
    assert given["set"]["id"] == made
    names = {one["name"] for one in given["documents"]}
    assert names >= ({"set.xml", "record.json"} if kind is SfwBed else {"provider.json"})
    assert all(one["read"] for one in given["documents"])
    assert bed.provider().mirrors(bed.group, bed.sources)[0].presented == ()

    host = bed.other_host
    plan = cli("snapshot", "lend", made, "--to", host, "--dry-run").out
    assert "another host may write to the copies" in plan
    told = cli("snapshot", "lend", made, "--to", host, "--yes").out
    assert ("vxdg -g xs-" if kind is SfwBed else "db is LUN") in told  # what to do there
    shown = cli.json("snapshot", "show", made)["set"]
    assert (shown["verified"], shown["lent_to"]) == (None, host)
    assert f"ready, lent to {host}" in cli("snapshot", "list").out
    (found,) = cli.json("policy", "status", path, status=9)["groups"]
    assert f"is lent to {host}" in found["notes"][-2]
    assert "no mirror can be split: m1 is set" in found["notes"][-1]
    cli.error(4, "snapshot", "promote", made, "--yes")
    error = cli.error(4, "snapshot", "recall", made)  # nobody said that the host has let go
    assert "--yes" in error["hint"]
    assert "recall" in cli.error(4, "snapshot", "verify", made)["hint"]
    cli("snapshot", "recall", made, "--yes")
    assert cli.json("snapshot", "show", made)["set"]["lent_to"] == ""
    found = cli.json("snapshot", "verify", made)  # by what the hosts left of it
    assert (found["set"]["verified"]["ok"], found["job"]["kind"]) == (True, "verify")
    assert bed.provider().mirrors(bed.group, bed.sources)[0].presented == ()
    cli("snapshot", "resync", made, "--yes")
    bed.close()


def test_a_set_of_the_native_engine_is_lent_to_nobody(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "db.img").write_bytes(bytes(1 << 20))
    cli("volume", "add", "db", tmp_path / "db.img")
    cli("mirror", "add", "db", tmp_path / "m1.img", "--label", "m1")
    cli("snapshot", "create", "db", "--label", "noon")
    assert "serve" in cli.error(4, "snapshot", "lend", "noon", "--to", "h", "--yes")["hint"]


@pytest.mark.parametrize("rotation", LENDERS, indirect=True)
def test_a_recall_of_what_is_not_lent_leaves_its_verdicts(rotation: Rotation) -> None:
    made = rotation.good().made
    assert made is not None
    assert made.verified is not None
    with rotation.room() as room:
        room.do(room.action(Verb.RECALL, room.mirror_of(made), made.id, made.label))
        assert room.service.show_set(made.id).verified is not None
