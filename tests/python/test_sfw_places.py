"""Where volumes, mirrors and copies of Storage Foundation are, and by which names."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from sfw_trial import LIMITS, NoJournal, Trial

from exshadow.errors import (
    NotFoundError,
    RefusedError,
)
from exshadow.providers.contract import Action, MirrorState, Verb
from exshadow.providers.steps import carry_out
from simulators.sfw import world


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


# --- converted mirrors ---


def test_an_existing_mirror_is_converted_and_comes_back_to_its_place(trial: Trial) -> None:
    with world.opened(trial.world) as found:
        for name, data in found.groups["MAIL"]["volumes"].items():
            plex = {"disk": "Harddisk5", "state": "ACTIVE", "at": 0.0,
                    "file": found.add_image(data["size"])}  # fmt: skip
            data["plexes"][f"{name}-09"] = plex
    provider = trial.provider(mirrors="m1/db=plex:db-09 m1/logs=plex:logs-09")
    then = trial.all()
    trial.do(Verb.PREPARE, provider=provider)
    assert trial.gave("prepare", "Plex=db-09")
    set_id = str(uuid.uuid4())
    trial.do(Verb.SPLIT, set_id, provider=provider)
    members = trial.do(Verb.PRESENT, set_id, provider=provider).members
    assert {one.volume: trial.read_copy(one) for one in members} == then
    trial.do(Verb.UNPRESENT, set_id, provider=provider)
    trial.do(Verb.RESYNC, set_id, provider=provider)
    assert provider.mirrors(trial.group, trial.sources)[0].state is MirrorState.READY


def test_the_only_mirror_is_not_converted(trial: Trial) -> None:
    provider = trial.provider(mirrors="m1/db=plex:db-01 m1/logs=plex:logs-01")
    with pytest.raises(RefusedError, match="is the only mirror"):
        trial.do(Verb.PREPARE, provider=provider)


def test_a_plex_that_is_one_mirror_by_name_is_not_another_by_its_disk(trial: Trial) -> None:
    with world.opened(trial.world) as found:
        data = found.groups["MAIL"]["volumes"]["db"]
        data["plexes"]["db-09"] = {"disk": "Harddisk5", "state": "ACTIVE", "at": 0.0,
                                   "file": found.add_image(data["size"])}  # fmt: skip
    provider = trial.provider(mirrors="m1=Harddisk3 m1/db=plex:db-09 m2=Harddisk5")
    trial.do(Verb.PREPARE, provider=provider)
    before = trial.copies()
    trial.do(Verb.ABORT, mirror="m2", provider=provider)
    assert trial.copies() == before


# --- names and places ---


def test_production_named_by_device_path_is_split_restored_and_resynced(trial: Trial) -> None:
    sources = tuple(
        type(one)(one.name, f"\\Device\\HarddiskDmVolumes\\MAIL\\{one.name}", 0)
        for one in trial.sources
    )
    then, set_id = trial.all(), str(uuid.uuid4())
    verbs = (Verb.PREPARE, Verb.SPLIT, Verb.RESTORE, Verb.PRESENT, Verb.UNPRESENT, Verb.RESYNC)
    for verb in verbs:
        asked = "" if verb is Verb.PREPARE else set_id
        action = Action(f"a-{verb}", verb, trial.group, "m1", sources, asked)
        done = carry_out(trial.provider(), action, NoJournal(), limits=LIMITS)
        if verb is Verb.SPLIT:
            assert [one.size for one in done.members] == [len(one) for one in then.values()]
            trial.write("db", 4096, b"later")
    assert trial.all() == then


def test_copies_are_mounted_in_folders_where_letters_are_short(trial: Trial) -> None:
    folders = "C:\\mnt\\one;C:\\mnt\\two"
    provider = trial.provider(letters="", folders=folders)
    then, set_id = trial.all(), trial.split()
    members = trial.do(Verb.PRESENT, set_id, provider=provider).members
    assert trial.gave("assign", "DrivePath=C:\\mnt\\one")
    assert {one.volume: trial.read_copy(one) for one in members} == then
    trial.do(Verb.UNPRESENT, set_id, provider=provider)
    provider = trial.provider(letters="P:")
    with pytest.raises(RefusedError, match="1 are free"):
        trial.do(Verb.PRESENT, set_id, provider=provider)


def test_a_letter_that_the_product_gives_by_itself_is_taken_away_again(trial: Trial) -> None:
    with world.opened(trial.world) as found:
        found.state["letters_by_itself"] = True
    set_id = trial.split()
    split = trial.provider().standing(trial.act(Verb.SPLIT, set_id))
    assert [one.path for one in split.members] == ["", ""]
    trial.do(Verb.RESYNC, set_id)


def test_a_volume_that_is_not_here_is_told(trial: Trial) -> None:
    trial.change("db", places=[])
    with pytest.raises(NotFoundError, match=r"W: .db. is no volume of Storage Foundation"):
        trial.do(Verb.PREPARE)


def test_a_mirror_split_of_one_volume_only_is_broken(trial: Trial) -> None:
    trial.do(Verb.PREPARE)
    words = ["-x", str(trial.folder / "x.xml"), "create", "source=W:/newvol=by-hand"]
    trial.commands.run("vxsnap", words, 10)
    assert trial.state_of() is MirrorState.BROKEN
    with pytest.raises(RefusedError, match="is not prepared"):
        trial.do(Verb.SPLIT, str(uuid.uuid4()))
    with pytest.raises(RefusedError, match=r"is a set .by-hand."):
        trial.do(Verb.PREPARE)


def test_a_state_that_nobody_knows_is_no_ready_mirror(trial: Trial) -> None:
    trial.do(Verb.PREPARE)
    with world.opened(trial.world) as found:
        for one in found.groups["MAIL"]["volumes"]["db"]["plexes"].values():
            if one["state"] == "SNAPDONE":
                one["state"] = "IOFAIL"
    assert trial.state_of() is MirrorState.BROKEN
    with pytest.raises(RefusedError, match="not ready: IOFAIL"):
        trial.do(Verb.SPLIT, str(uuid.uuid4()))


# --- promotion ---


def test_a_copy_becomes_production_when_the_disks_of_production_are_gone(trial: Trial) -> None:
    then = trial.all()
    set_id = trial.split()
    with world.opened(trial.world) as found:
        for volume in ("db", "logs"):
            del found.groups["MAIL"]["volumes"][volume]
    trial.do(Verb.PROMOTE, set_id)
    assert trial.all() == then


def test_production_named_by_device_path_is_not_promoted(trial: Trial) -> None:
    set_id = trial.split()
    paths = {"db": "W:", "logs": "\\Device\\HarddiskDmVolumes\\MAIL\\logs"}
    sources = tuple(type(one)(one.name, paths[one.name], one.size) for one in trial.sources)
    action = Action("a", Verb.PROMOTE, trial.group, "m1", sources, set_id)
    before = trial.all()
    with pytest.raises(RefusedError, match="names the old volume for ever"):
        trial.provider().start(action)
    assert trial.all() == before
    assert trial.provider().mirrors(trial.group, sources)[0].state is MirrorState.SPLIT


def test_after_a_promotion_an_older_set_is_not_restored_over_it(trial: Trial) -> None:
    old = trial.split("m2")
    new = trial.split("m1")
    trial.do(Verb.PROMOTE, new)
    for verb in (Verb.RESTORE, Verb.RESYNC):
        with pytest.raises(RefusedError, match=r"the set is of .*, but W: is .* now") as caught:
            trial.do(verb, old, "m2")
        assert "snapshot delete keeps" in caught.value.hint
    trial.do(Verb.DISSOLVE, old, "m2")
