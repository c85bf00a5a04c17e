"""Every trap of Storage Foundation ends in its refusal, or a recovery, with nothing half done."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from sfw_tools import SimulatedRunner
from sfw_trial import Trial

from exshadow.errors import (
    Error,
    ExistsError,
    InvalidError,
    NotFoundError,
    ProviderError,
    RefusedError,
    UnsupportedError,
)
from exshadow.providers.contract import Action, MirrorState, Source, Stage, Verb
from exshadow.providers.sfw import SfwProvider, offhost
from exshadow.providers.sfw.facts import stack
from simulators.sfw import faults, world


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


# --- split asked before the mirror is ready ---


def test_a_split_before_the_mirror_is_ready_is_refused_without_asking_vxsnap(trial: Trial) -> None:
    trial.hold()
    trial.provider().start(trial.act(Verb.PREPARE))
    with pytest.raises(RefusedError, match="not ready: SNAPATT"):
        trial.do(Verb.SPLIT, str(uuid.uuid4()))
    assert not trial.gave("create")


def test_two_mirrors_with_one_ready_split_the_ready_one(trial: Trial) -> None:
    trial.do(Verb.PREPARE, mirror="m2")
    trial.hold()
    trial.provider().start(trial.act(Verb.PREPARE))
    trial.do(Verb.SPLIT, str(uuid.uuid4()), "m2")
    with pytest.raises(RefusedError, match="not ready"):
        trial.do(Verb.SPLIT, str(uuid.uuid4()), "m1")


# --- UNIX grammar ---


def test_an_overlay_of_unix_grammar_is_refused_by_the_product_and_nothing_is_split(
    trial: Trial, tmp_path: Path
) -> None:
    overlay = tmp_path / "unix.toml"
    overlay.write_text(
        '[command.create]\ntext = "vxsnap -g MAIL make {xml} {sources...}"\n'
        'each.sources = "source={path}/newvol={newvol}"\nfree = ["xml"]\nsure = "confirmed"\n'
    )
    trial.do(Verb.PREPARE)
    before = trial.copies()
    action = trial.act(Verb.SPLIT, str(uuid.uuid4()))
    provider = trial.provider(commands=str(overlay))
    with pytest.raises(ProviderError, match="ended with 2, but no volume was split"):
        provider.start(action)
    assert trial.copies() == before
    assert trial.state_of() is MirrorState.READY


# --- the set's XML ---


def test_the_xml_is_kept_twice_and_among_the_documents(trial: Trial) -> None:
    set_id = trial.split()
    kept = trial.xml(set_id).read_bytes()
    assert (trial.folder / "share" / f"{set_id}.xml").read_bytes() == kept
    documents = trial.provider().documents(trial.act(Verb.SPLIT, set_id))
    assert documents["set.xml"] == kept


@pytest.mark.parametrize("damage", [b"", b"<SnapshotSet Host='HOST9'/>", None])
def test_an_xml_that_was_lost_or_changed_is_put_back_and_drives_the_set(
    trial: Trial, damage: bytes | None
) -> None:
    set_id = trial.split()
    if damage is None:
        trial.xml(set_id).unlink()
    else:
        trial.xml(set_id).write_bytes(damage)
    trial.do(Verb.RESYNC, set_id)
    assert trial.gave("vxsnap", "reattach")
    assert not trial.gave("snapback")
    assert trial.state_of() is MirrorState.READY


def test_with_every_copy_of_the_xml_lost_the_volumes_go_back_one_by_one(trial: Trial) -> None:
    set_id = trial.split()
    trial.xml(set_id).unlink()
    (trial.folder / "share" / f"{set_id}.xml").unlink()
    trial.do(Verb.RESYNC, set_id)
    assert not trial.gave("reattach")
    assert len(trial.gave("snapback")) == 2
    assert trial.state_of() is MirrorState.READY


def test_with_the_whole_record_lost_a_resync_still_works(trial: Trial) -> None:
    set_id = trial.split()
    for folder in (trial.sets, trial.folder / "share"):
        for path in folder.glob("*"):
            path.unlink() if path.is_file() else None
    trial.do(Verb.RESYNC, set_id)
    assert trial.state_of() is MirrorState.READY
    trial.split()


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"parts": 3}', None])
def test_a_record_that_was_lost_or_damaged_is_taken_from_its_second_copy(
    trial: Trial, damage: bytes | None
) -> None:
    then, set_id = trial.all(), trial.split()
    record = trial.sets / f"{set_id}.json"
    record.unlink() if damage is None else record.write_bytes(damage)
    trial.write("db", 4096, b"later")
    trial.do(Verb.RESTORE, set_id)
    assert trial.all() == then
    trial.do(Verb.RESYNC, set_id)
    assert trial.gave("reattach")


def test_a_record_damaged_in_both_places_is_said(trial: Trial) -> None:
    set_id = trial.split()
    for folder in (trial.sets, trial.folder / "share"):
        (folder / f"{set_id}.json").write_bytes(b"{")
    with pytest.raises(Error, match="cannot be read"):
        trial.do(Verb.RESTORE, set_id)


def test_a_set_given_back_by_hand_is_forgotten_when_its_mirror_is_split_again(
    trial: Trial,
) -> None:
    old = trial.split()
    for part in trial.provider().ground.records.read(old).parts:
        trial.commands.run("vxassist", ["-b", "-gMAIL", "snapback", part.snapshot], 10)
    assert trial.state_of() is MirrorState.READY
    new = trial.split()
    for folder in (trial.sets, trial.folder / "share"):
        assert {path.stem for path in folder.iterdir() if path.is_file()} == {new}


def test_a_foreign_xml_in_the_way_is_refused_and_left_alone(trial: Trial) -> None:
    trial.do(Verb.PREPARE)
    set_id = str(uuid.uuid4())
    trial.sets.mkdir()
    trial.xml(set_id).write_bytes(b"somebody else's")
    with pytest.raises(ExistsError, match="is there already"):
        trial.do(Verb.SPLIT, set_id)
    assert trial.xml(set_id).read_bytes() == b"somebody else's"
    assert trial.state_of() is MirrorState.READY


def test_a_set_of_another_host_is_refused_until_the_host_is_named(trial: Trial) -> None:
    set_id = trial.split()
    with world.opened(trial.world) as found:
        for group in found.groups.values():
            group["host"] = "HOST2"
    trial.commands = SimulatedRunner(state=trial.world, host="HOST2")
    for verb in (Verb.RESYNC, Verb.RESTORE, Verb.PROMOTE):
        with pytest.raises(RefusedError, match="was split on HOST1, this is HOST2"):
            trial.do(verb, set_id, provider=trial.provider(host="HOST2"))
    node = trial.provider(host="HOST2", hosts="HOST1 HOST2")
    trial.do(Verb.RESYNC, set_id, provider=node)
    assert len(trial.gave("snapback")) == 2  # the product itself refuses the XML of HOST1
    mirrors = {one.label: one.state for one in node.mirrors(trial.group, trial.sources)}
    assert mirrors["m1"] is MirrorState.READY


# --- mounted ---


@pytest.mark.parametrize("verb", [Verb.RESYNC, Verb.RESTORE, Verb.PROMOTE])
def test_a_copy_that_is_mounted_is_not_taken_from_under_its_readers(
    trial: Trial, verb: Verb
) -> None:
    set_id = trial.split()
    trial.do(Verb.PRESENT, set_id)
    there, then = trial.copies(), trial.all()
    changing = len(trial.commands.changing())
    with pytest.raises(RefusedError, match="still mounted at P:"):
        trial.do(verb, set_id)
    assert (trial.copies(), trial.all()) == (there, then)
    assert len(trial.commands.changing()) == changing
    trial.do(Verb.UNPRESENT, set_id)
    trial.do(verb, set_id)


def test_unpresent_is_refused_while_files_are_open(trial: Trial) -> None:
    set_id = trial.split()
    trial.do(Verb.PRESENT, set_id)
    with world.opened(trial.world) as found:
        name = next(n for n in found.groups["MAIL"]["volumes"] if n.startswith("xs-"))
    trial.change(name, open=True)
    with pytest.raises(RefusedError, match="still mounted at"):
        trial.do(Verb.UNPRESENT, set_id)
    trial.change(name, open=False)
    trial.do(Verb.UNPRESENT, set_id)


@pytest.mark.parametrize("busy", ["db", "logs"])
@pytest.mark.parametrize("verb", [Verb.RESTORE, Verb.PROMOTE])
def test_production_with_open_files_is_left_as_it_was(trial: Trial, verb: Verb, busy: str) -> None:
    set_id = trial.split()
    trial.write("db", 4096, b"later")
    now, there = trial.all(), trial.copies()
    trial.change(busy, open=True)
    with pytest.raises(RefusedError, match="still mounted at"):
        trial.do(verb, set_id)
    assert (trial.all(), trial.copies()) == (now, there)
    assert trial.state_of() is MirrorState.SPLIT
    trial.change(busy, open=False)
    trial.do(verb, set_id)
    assert trial.all() != now


# --- another disk group, one side cleared ---


def test_a_set_in_another_disk_group_is_cleared_on_both_sides(trial: Trial) -> None:
    set_id = trial.split()
    ground = trial.provider().ground
    offhost.split_off(ground, trial.act(Verb.SPLIT, set_id), "MAILOFF")
    trial.do(Verb.DISSOLVE, set_id)
    cleared = {word for one in trial.gave("snapclear") for word in one if word.startswith("-g")}
    assert cleared == {"-gMAIL", "-gMAILOFF"}
    with world.opened(trial.world) as found:
        assert not found.relations


@pytest.mark.parametrize("side", ["MAIL", "MAILOFF"])
def test_a_set_cleared_on_one_side_only_is_half_and_gets_cleared_on_the_other(
    trial: Trial, side: str
) -> None:
    set_id = trial.split()
    provider = trial.provider()
    offhost.split_off(provider.ground, trial.act(Verb.SPLIT, set_id), "MAILOFF")
    with world.opened(trial.world) as found:
        names = list(found.groups["MAILOFF"]["volumes"])
    for name in names:
        trial.commands.run("vxassist", [f"-g{side}", "snapclear", name], 10)
    dissolve = trial.act(Verb.DISSOLVE, set_id)
    assert provider.standing(dissolve).stage in (Stage.ABSENT, Stage.HALF)
    trial.do(Verb.DISSOLVE, set_id)
    assert provider.standing(dissolve).stage is Stage.DONE
    with world.opened(trial.world) as found:
        assert not found.relations


def test_a_set_in_another_disk_group_is_not_resynced_before_it_came_back(trial: Trial) -> None:
    set_id = trial.split()
    ground = trial.provider().ground
    offhost.split_off(ground, trial.act(Verb.SPLIT, set_id), "MAILOFF")
    for verb in (Verb.RESYNC, Verb.RESTORE, Verb.PROMOTE):
        with pytest.raises(RefusedError, match="is in disk group MAILOFF"):
            trial.do(verb, set_id)
    assert trial.state_of() is MirrorState.SPLIT
    offhost.bring_back(ground, "MAILOFF", "MAIL")
    trial.do(Verb.RESYNC, set_id)
    assert trial.state_of() is MirrorState.READY


def test_a_set_is_read_on_another_host_and_comes_back(trial: Trial) -> None:
    then = trial.all()
    set_id = trial.split()
    here = trial.provider()
    split = trial.act(Verb.SPLIT, set_id)
    offhost.split_off(here.ground, split, "MAILOFF")
    offhost.release(here.ground, "MAILOFF")
    assert trial.state_of() is MirrorState.SPLIT
    other = SfwProvider(
        {**trial.settings, "host": "HOST2"}, SimulatedRunner(state=trial.world, host="HOST2")
    )
    with pytest.raises(RefusedError, match="is forced"):
        offhost.take(other.ground, "MAILOFF")
    assert not other.ground.product.groups()["MAILOFF"].imported
    offhost.take(other.ground, "MAILOFF", free_elsewhere=True)
    assert other.ground.product.groups()["MAILOFF"].imported
    volume = other.ground.product.volume(here_name(here, set_id), "MAILOFF")
    assert volume is not None
    assert volume.size == len(then["db"])
    offhost.release(other.ground, "MAILOFF")
    offhost.take(here.ground, "MAILOFF", free_elsewhere=True)
    offhost.bring_back(here.ground, "MAILOFF", "MAIL")
    assert trial.copy(set_id) == then
    trial.do(Verb.RESYNC, set_id)


def here_name(provider: SfwProvider, set_id: str) -> str:
    record = provider.ground.records.read(set_id)
    assert record is not None
    return record.parts[0].snapshot


def test_disks_that_also_hold_something_else_do_not_leave(trial: Trial) -> None:
    provider = trial.provider(mirrors="m1=Harddisk3")
    trial.do(Verb.PREPARE, provider=provider)
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    trial.do(Verb.SPLIT, first, provider=provider)
    world.add_volume(trial.world, "MAIL", "other", 65536, "Harddisk3")
    action = trial.act(Verb.SPLIT, first)
    with pytest.raises(Error, match="whole disks move"):
        offhost.split_off(provider.ground, action, "MAILOFF")
    with pytest.raises(NotFoundError):
        offhost.split_off(provider.ground, trial.act(Verb.SPLIT, second), "MAILOFF")
    assert trial.state_of() is MirrorState.SPLIT


# --- what cannot be mirrored ---


@pytest.mark.parametrize("volume", ["db", "logs"])
def test_a_raid5_volume_is_refused_and_no_volume_of_the_group_touched(
    trial: Trial, volume: str
) -> None:
    trial.change(volume, layout="raid5")
    before = trial.copies()
    with pytest.raises(UnsupportedError, match="software RAID-5"):
        trial.do(Verb.PREPARE)
    assert trial.copies() == before
    assert not trial.gave("prepare")


def test_a_microsoft_disk_group_is_refused(trial: Trial) -> None:
    with world.opened(trial.world) as found:
        found.groups["MAIL"]["kind"] = "ldm"
    with pytest.raises(UnsupportedError, match="Microsoft disk group"):
        trial.do(Verb.PREPARE)
    assert not trial.gave("prepare")


@pytest.mark.parametrize("plexes", [30, 31])
def test_mirrors_that_are_split_off_count_against_the_limit(trial: Trial, plexes: int) -> None:
    """They are mirrors of the volume again after a snapback."""
    set_id = trial.split("m2")
    with world.opened(trial.world) as found:
        volume = found.groups["MAIL"]["volumes"]["logs"]
        for number in range(50, 50 + plexes - 1):
            plex = {"disk": f"d{number}", "state": "ACTIVE", "file": "1.img", "at": 0.0}
            volume["plexes"][f"logs-{number}"] = plex
    if plexes == 30:
        trial.do(Verb.PREPARE)
    else:
        with pytest.raises(RefusedError, match="has 32 mirrors, 1 of them split off"):
            trial.do(Verb.PREPARE)
        assert len(trial.gave("prepare")) == 2
    facts = stack(trial.provider().ground, trial.sources[1])
    assert facts is not None
    assert facts.plexes == 32
    trial.do(Verb.RESYNC, set_id, "m2")


def test_the_thirty_third_mirror_is_refused(trial: Trial) -> None:
    with world.opened(trial.world) as found:
        volume = found.groups["MAIL"]["volumes"]["logs"]
        for number in range(2, 33):
            plex = {"disk": f"d{number}", "state": "ACTIVE", "file": "1.img", "at": 0.0}
            volume["plexes"][f"logs-{number:02}"] = plex
    with pytest.raises(RefusedError, match="has 32 mirrors"):
        trial.do(Verb.PREPARE)
    assert not trial.gave("prepare")


def test_a_mirror_on_the_disk_of_production_itself_is_refused(trial: Trial) -> None:
    provider = trial.provider(mirrors="m1=Harddisk1")
    with pytest.raises(RefusedError, match="itself lies on Harddisk1") as caught:
        trial.do(Verb.PREPARE, provider=provider)
    assert "another disk in place of Harddisk1 in [provider.sfw] mirrors" in caught.value.hint
    assert not trial.gave("prepare")


# --- the writer ---


def test_vxsnap_asks_the_writer_and_no_second_set_is_opened_beside_it(trial: Trial) -> None:
    with world.opened(trial.world) as found:
        found.state["writers"] = {"Store": {"Mail": ["MAIL\\db", "MAIL\\logs"]}}
    trial.do(Verb.PREPARE)
    asked = {"writer": "Store", "component": "Mail"}
    held = Action("a", Verb.SPLIT, trial.group, "m1", trial.sources, str(uuid.uuid4()),
                  writers=True, options=asked)  # fmt: skip
    with pytest.raises(RefusedError, match="no second set"):
        trial.provider().start(held)
    done = trial.do(Verb.SPLIT, str(uuid.uuid4()), **asked)
    assert "application-consistent" in done.detail
    assert trial.gave("writer=Store", "component=Mail")


def test_a_component_that_lies_elsewhere_as_well_is_no_set(trial: Trial) -> None:
    with world.opened(trial.world) as found:
        found.state["writers"] = {"Store": {"Mail": ["MAIL\\db", "MAIL\\other"]}}
    trial.do(Verb.PREPARE)
    with pytest.raises(ProviderError, match="also lies on"):
        trial.do(Verb.SPLIT, str(uuid.uuid4()), writer="Store", component="Mail")
    assert trial.state_of() is MirrorState.READY


def test_a_restore_by_the_writer_needs_consent_as_it_uses_the_set_up(trial: Trial) -> None:
    with world.opened(trial.world) as found:
        found.state["writers"] = {"Store": {"Mail": ["MAIL\\db", "MAIL\\logs"]}}
        found.state["log_volumes"] = ["MAIL\\logs"]
    then = trial.all()
    set_id = trial.split(writer="Store", component="Mail")
    for volume in ("db", "logs"):
        trial.write(volume, 4096, b"later")
    now = trial.all()
    with pytest.raises(RefusedError, match="uses the set up"):
        trial.do(Verb.RESTORE, set_id, restore="POF")
    assert trial.all() == now
    asked = {"restore": "POF", "keep-set": "no"}
    for logs, said in (("", "nobody said"), ("db logs", "nobody said"), ("x", "no volume")):
        with pytest.raises((RefusedError, InvalidError), match=said):
            trial.do(Verb.RESTORE, set_id, **asked, **{"log-volumes": logs})
    assert trial.all() == now
    done = trial.do(Verb.RESTORE, set_id, **asked, **{"log-volumes": "logs"})
    assert "used up" in done.detail
    assert trial.gave("unassign", "DriveLetter=W:")
    assert not trial.gave("unassign", "DriveLetter=L:"), "the logs are there to be replayed"
    assert trial.all() == {"db": then["db"], "logs": now["logs"]}
    assert trial.state_of() is MirrorState.READY
    trial.split()


@pytest.mark.parametrize("how", ["PIT", "POF"])
def test_a_restore_by_the_writer_that_did_half_never_mixes_the_set_with_production(
    trial: Trial, how: str
) -> None:
    with world.opened(trial.world) as found:
        found.state["writers"] = {"Store": {"Mail": ["MAIL\\db", "MAIL\\logs"]}}
        found.state["log_volumes"] = ["MAIL\\logs"]
    then = trial.all()
    set_id = trial.split(writer="Store", component="Mail")
    for volume in ("db", "logs"):
        trial.write(volume, 4096, b"later")
    now = trial.all()
    faults.plan(trial.world, "vxsnap", "restore", "half")
    asked = {"restore": how, "keep-set": "no", "log-volumes": "logs"}
    trial.do(Verb.RESTORE, set_id, **asked)
    assert trial.all() == (then if how == "PIT" else {"db": then["db"], "logs": now["logs"]})


def test_a_disk_group_with_a_mounted_copy_is_neither_let_go_nor_joined(trial: Trial) -> None:
    set_id = trial.split()
    ground = trial.provider().ground
    offhost.split_off(ground, trial.act(Verb.SPLIT, set_id), "MAILOFF")
    trial.do(Verb.PRESENT, set_id)
    with pytest.raises(RefusedError, match="still mounted at P:"):
        offhost.release(ground, "MAILOFF")
    with pytest.raises(RefusedError, match="still mounted at P:"):
        offhost.bring_back(ground, "MAILOFF", "MAIL")
    assert ground.product.groups()["MAILOFF"].imported
    trial.do(Verb.UNPRESENT, set_id)
    offhost.bring_back(ground, "MAILOFF", "MAIL")


def test_a_set_in_two_disk_groups_cannot_leave_and_that_is_not_promised(trial: Trial) -> None:
    assert trial.provider().capability(trial.sources).off_host
    world.add_group(trial.world, "OTHER", {"Harddisk8": 1 << 26, "Harddisk9": 1 << 26})
    world.add_volume(trial.world, "OTHER", "more", 65536, "Harddisk8", places=("X:",))
    sources = (*trial.sources, Source("more", "X:", 65536))
    assert not trial.provider().capability(sources).off_host


def test_a_set_lent_by_hand_in_a_group_of_another_name_is_recalled_all_the_same(
    trial: Trial,
) -> None:
    set_id = trial.split()
    provider = trial.provider()
    offhost.split_off(provider.ground, trial.act(Verb.SPLIT, set_id), "MAILOFF")
    assert trial.mirror_of().lent == "disk group MAILOFF"
    trial.do(Verb.LEND, set_id, host="HOST2")
    assert trial.mirror_of().lent == "HOST2"
    assert not provider.ground.product.groups()["MAILOFF"].imported
    trial.do(Verb.RECALL, set_id, released="yes")
    trial.do(Verb.RESYNC, set_id)


def test_a_set_is_lent_to_another_host_only_and_not_while_it_is_read_here(trial: Trial) -> None:
    set_id = trial.split()
    with pytest.raises(InvalidError, match="host1 is this host"):
        trial.do(Verb.LEND, set_id, host="host1")
    trial.do(Verb.PRESENT, set_id)
    with pytest.raises(RefusedError, match="still mounted at P:"):
        trial.do(Verb.LEND, set_id, host="HOST2")
    assert not trial.gave("split")
    assert not trial.mirror_of().lent


def test_disks_that_the_other_host_still_uses_are_not_taken_from_it(trial: Trial) -> None:
    """The product refuses, whatever was said; what is lent stays lent."""
    set_id = trial.split()
    trial.do(Verb.LEND, set_id, host="HOST2")
    with world.opened(trial.world) as found:
        (group,) = (one for name, one in found.groups.items() if name != "MAIL")
        group["host"] = "HOST2"
        next(iter(group["volumes"].values()))["open"] = True
    with pytest.raises(ProviderError, match="is not imported here"):
        trial.do(Verb.RECALL, set_id, released="yes")
    assert trial.mirror_of().lent == "HOST2"


@pytest.mark.parametrize("verb", [Verb.RESTORE, Verb.RESYNC])
def test_a_set_that_was_restored_once_is_still_the_writers(trial: Trial, verb: Verb) -> None:
    with world.opened(trial.world) as found:
        found.state["writers"] = {"Store": {"Mail": ["MAIL\\db", "MAIL\\logs"]}}
    then = trial.all()
    set_id = trial.split(writer="Store", component="Mail")
    trial.write("db", 4096, b"later")
    trial.do(Verb.RESTORE, set_id)
    trial.write("db", 8192, b"later still")
    if verb is Verb.RESTORE:
        trial.do(verb, set_id, **{"restore": "PIT", "keep-set": "no"})
        assert trial.gave("vxsnap", str(trial.xml(f"{set_id}.first")), "RestoreType=PIT")
        assert trial.all() == then
    else:
        trial.do(verb, set_id)
        assert trial.gave("reattach")
        assert len(trial.gave("snapback", "-o")) == len(trial.gave("snapback"))
    assert trial.state_of() is MirrorState.READY
