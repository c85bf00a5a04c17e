"""Whose copies and whose settings they are on an array that others use as well: nothing that is not
this group's own is deleted or overwritten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from eva_story import LIMITS, SET, NoJournal, action, do
from provider_bed_eva import SIZES, EvaBed, EvaSnapcloneBed, EvaSnapshotBed, eva_state

from exshadow.errors import ProviderError, RefusedError, TimedOutError
from exshadow.providers.contract import Action, MirrorState, Source, Stage, Verb
from exshadow.providers.eva import names
from exshadow.providers.steps import carry_out

OTHER = "00000000-1111-4222-8333-444444444444"
ALL = pytest.mark.parametrize("kind", [EvaBed, EvaSnapshotBed, EvaSnapcloneBed])


def _other_host(bed: EvaBed) -> tuple[Source, ...]:
    """Vdisks of another host whose group and volumes have the same names."""
    with eva_state.edit(bed.array) as state:
        made = {
            name: eva_state.add_vdisk(state, bed.array, f"other_SG1_{name}", "original", size)
            for name, size in SIZES.items()
        }
    return tuple(Source(name, f"naa.{one['wwn']}", one["size"]) for name, one in made.items())


def _carry(provider: object, made: Action) -> None:
    carry_out(provider, made, NoJournal(), limits=LIMITS)


# --- copies of another host ---


@ALL
def test_two_hosts_with_the_same_names_on_one_array_keep_their_copies_apart(
    kind: type[EvaBed], tmp_path: Path
) -> None:
    bed = kind(tmp_path)
    theirs = _other_host(bed)
    other = bed.provider(work=str(tmp_path / "other"))
    do(bed, Verb.PREPARE)
    ours = bed.copies()
    assert other.mirrors(bed.group, theirs) == ()
    _carry(other, replace(action(bed, Verb.ABORT, set_id=""), volumes=theirs))
    assert bed.copies() == ours
    for verb, set_id in ((Verb.PREPARE, ""), (Verb.SPLIT, OTHER)):
        _carry(other, replace(action(bed, verb, set_id=set_id), volumes=theirs))
    do(bed, Verb.SPLIT)
    assert len(set(bed.copies())) == 4
    wwns = [one["wwn"] for one in bed.get("vdisks").values()]
    assert len(set(wwns)) == len(wwns)
    [mirror] = bed.provider().mirrors(bed.group, bed.sources)
    assert (mirror.state, mirror.set_id) == (MirrorState.SPLIT, SET)
    bed.close()


def test_a_mirrorclone_with_one_of_our_names_but_a_strangers_source_is_not_deleted(
    tmp_path: Path,
) -> None:
    bed = EvaBed(tmp_path)
    _other_host(bed)
    do(bed, Verb.PREPARE)
    with eva_state.edit(bed.array) as state:
        stranger = next(x for x in state["vdisks"].values() if x["name"] == "other_SG1_db")
        ours = next(x for x in state["vdisks"].values() if x["form"] == "mirrorclone")
        ours["source"] = stranger["id"]
    before = bed.copies()
    with pytest.raises(RefusedError, match="mirrors other_SG1"):
        do(bed, Verb.ABORT, set_id="")
    assert bed.copies() == before
    bed.close()


def test_names_differ_where_only_the_source_differs() -> None:
    pair = [str(names.copy_name("mail", "db", wwn, "m1", names.Role.MIRROR)) for wwn in ("a", "b")]
    assert pair[0] != pair[1]
    assert names.lun_name("E", "mail", "db", "a", "m1") != names.lun_name(
        "E", "mail", "db", "b", "m1"
    )


# --- detached copies of a set ---


def _stopped_dissolve(bed: EvaBed, detached: int) -> list[str]:
    """A set whose dissolution ended after so many of its copies were detached. What there is."""
    do(bed, Verb.PREPARE, Verb.SPLIT)
    with eva_state.edit(bed.array) as state:
        copies = [x for x in state["vdisks"].values() if x["form"] == "mirrorclone"]
        for one in copies[:detached]:
            one |= {"phase": "", "form": "original", "source": "", "family": one["name"]}
    return list(bed.copies())


@pytest.mark.parametrize("detached", [1, 2])
def test_an_abort_never_deletes_detached_copies_of_a_set(detached: int, tmp_path: Path) -> None:
    bed = EvaBed(tmp_path)
    before = _stopped_dissolve(bed, detached)
    for set_id in (SET, ""):
        with pytest.raises(RefusedError, match="no mirrorclone"):
            bed.provider().start(action(bed, Verb.ABORT, set_id=set_id))
    assert bed.copies() == before
    do(bed, Verb.DISSOLVE)
    assert len(bed.copies()) == 2
    bed.close()


def test_a_set_that_is_partly_detached_is_not_resynced_nor_aborted(tmp_path: Path) -> None:
    bed = EvaBed(tmp_path)
    before = _stopped_dissolve(bed, 1)
    phases = [one["phase"] for one in bed.get("vdisks").values()]
    with pytest.raises(RefusedError, match="no mirrorclone"):
        do(bed, Verb.RESYNC)
    with pytest.raises(RefusedError, match="no mirrorclone"):
        do(bed, Verb.ABORT, set_id="")
    assert bed.copies() == before
    assert [one["phase"] for one in bed.get("vdisks").values()] == phases
    bed.close()


def test_beside_a_detached_set_that_is_not_yet_renamed_a_mirror_is_made(tmp_path: Path) -> None:
    bed = EvaBed(tmp_path)
    before = _stopped_dissolve(bed, 2)
    do(bed, Verb.PREPARE)
    assert len(bed.copies()) == 4
    with pytest.raises(RefusedError, match="no mirrorclone"):
        do(bed, Verb.ABORT, set_id="")
    assert set(before) < set(bed.copies())
    do(bed, Verb.DISSOLVE)
    do(bed, Verb.ABORT, set_id="")
    assert len(bed.copies()) == 2
    bed.close()


def test_the_rest_of_a_set_that_is_partly_dissolved_is_not_deleted(tmp_path: Path) -> None:
    bed = EvaSnapcloneBed(tmp_path)
    do(bed, Verb.PREPARE, Verb.SPLIT)
    one = bed.provider()
    one.kind.wait_normalised(one.array.look().vdisks, why="dissolve one")
    with eva_state.edit(bed.array) as state:
        first = next(x for x in state["vdisks"].values() if "-m1-s" in x["name"])
        first["name"] = first["family"] = first["name"].replace("-m1-s", "-m1-d")
    before = bed.copies()
    for verb in (Verb.RESYNC, Verb.ABORT):
        with pytest.raises(RefusedError, match="of the same set"):
            do(bed, verb)
    assert bed.copies() == before
    bed.close()


def test_beside_a_dissolved_set_its_mirror_takes_another_as_a_device_of_its_own(
    tmp_path: Path,
) -> None:
    """The array takes no page-83 id twice, and what was dissolved keeps its own."""
    bed = EvaSnapcloneBed(tmp_path)
    do(bed, Verb.PREPARE, Verb.SPLIT, Verb.DISSOLVE)
    do(bed, Verb.PREPARE, Verb.SPLIT, set_id=OTHER)
    ids = [one["wwn"] for one in bed.get("vdisks").values()]
    assert len(set(ids)) == len(ids)
    bed.close()


# --- production's write-cache ---


def _modes(bed: EvaBed) -> set[tuple[str, str]]:
    """Of production: asked for and actual."""
    found = bed.get("vdisks").values()
    return {(one["cache"], one["actual"]) for one in found if one["name"].startswith("SG1_")}


def _set_modes(bed: EvaBed, mode: str) -> None:
    with eva_state.edit(bed.array) as state:
        for one in state["vdisks"].values():
            one["cache"] = one["actual"] = mode


@ALL
@pytest.mark.parametrize("mode", ["writethrough", "writeback"])
def test_after_a_split_production_has_the_cache_mode_that_it_had(
    kind: type[EvaBed], mode: str, tmp_path: Path
) -> None:
    bed = kind(tmp_path)
    do(bed, Verb.PREPARE)
    _set_modes(bed, mode)
    do(bed, Verb.SPLIT)
    assert {asked for asked, _ in _modes(bed)} == {mode}
    assert bed.get("unflushed") == 0
    do(bed, Verb.RESYNC)
    assert {asked for asked, _ in _modes(bed)} == {mode}
    bed.close()


@ALL
def test_the_cache_mode_that_the_settings_name_is_set_after_a_split(
    kind: type[EvaBed], tmp_path: Path
) -> None:
    bed = kind(tmp_path)
    one = bed.provider(write_cache="writethrough")
    do(bed, Verb.PREPARE, Verb.SPLIT, provider=one)
    assert {asked for asked, _ in _modes(bed)} == {"writethrough"}
    bed.close()


def test_armed_a_copy_into_a_container_leaves_production_in_write_through(tmp_path: Path) -> None:
    bed = EvaSnapshotBed(tmp_path)
    do(bed, Verb.PREPARE)
    _set_modes(bed, "writethrough")
    one, split = bed.provider(), action(bed, Verb.SPLIT, writers=True)
    with one.armed(split):
        _carry(one, split)
    assert {asked for asked, _ in _modes(bed)} == {"writethrough"}
    bed.close()


@pytest.mark.parametrize("kind", [EvaBed, EvaSnapshotBed])
def test_a_split_cut_off_in_write_through_does_not_take_it_for_the_administrators_choice(
    kind: type[EvaBed], tmp_path: Path
) -> None:
    bed = kind(tmp_path)
    do(bed, Verb.PREPARE)
    one = bed.provider()
    one.kind.write_through(one.kind.sources(one.array.look(), action(bed, Verb.SPLIT)).values())
    assert {asked for asked, _ in _modes(bed)} == {"writethrough"}
    assert one.kind.cache_left(action(bed, Verb.SPLIT), one.array.look())
    do(bed, Verb.SPLIT)
    assert {asked for asked, _ in _modes(bed)} == {"writeback"}
    bed.close()


def test_write_through_that_could_not_be_set_again_is_set_by_the_repetition(
    tmp_path: Path,
) -> None:
    bed = EvaSnapshotBed(tmp_path)
    do(bed, Verb.PREPARE)
    _set_modes(bed, "writethrough")
    bed.set(traps={"error_but_zero": "WRITETHROUGH"})
    with pytest.raises(ProviderError, match="Operation failed"):
        do(bed, Verb.SPLIT)
    assert {asked for asked, _ in _modes(bed)} == {"writeback"}
    bed.set(traps={"error_but_zero": ""})
    assert bed.provider().standing(action(bed, Verb.SPLIT)).stage is Stage.HALF
    do(bed, Verb.SPLIT)
    assert {asked for asked, _ in _modes(bed)} == {"writethrough"}
    bed.close()


# --- one kind of copy on one source ---


def _by_hand(bed: EvaBed, form: str, **more: str) -> None:
    """A copy that somebody made of the first volume."""
    with eva_state.edit(bed.array) as state:
        source = next(iter(state["vdisks"].values()))
        eva_state.add_vdisk(
            state, bed.array, "by_hand", form, source["size"],
            source=source["id"], family=source["family"], **more,
        )  # fmt: skip


def test_no_mirrorclone_is_made_of_a_vdisk_with_a_snapshot(tmp_path: Path) -> None:
    bed = EvaBed(tmp_path)
    _by_hand(bed, "fully")
    with pytest.raises(RefusedError, match="fully copy by_hand"):
        do(bed, Verb.PREPARE)
    assert bed.copies() == ["by_hand"]
    with pytest.raises(ProviderError, match="has a snapshot"):  # the array says the same
        bed.provider().array.order(
            "add_mirrorclone", name="x", source="SG1_db", disk_group="", redundancy=""
        )
    bed.close()


def test_a_mirror_that_exists_is_split_and_resynced_beside_a_snapshot(tmp_path: Path) -> None:
    bed = EvaBed(tmp_path)
    do(bed, Verb.PREPARE)
    _by_hand(bed, "fully")
    do(bed, Verb.SPLIT, Verb.RESYNC)
    bed.close()


@pytest.mark.parametrize("allocation", ["demand", "fully"])
def test_no_snapshot_is_made_of_a_vdisk_with_a_mirrorclone(allocation: str, tmp_path: Path) -> None:
    bed = EvaSnapshotBed(tmp_path)
    one = bed.provider(allocation=allocation)
    do(bed, Verb.PREPARE, provider=one)
    _by_hand(bed, "mirrorclone", phase="fractured")
    before = bed.copies()
    with pytest.raises(RefusedError, match="mirrorclone copy by_hand"):
        do(bed, Verb.SPLIT, provider=one)
    assert bed.copies() == before
    with pytest.raises(ProviderError, match="has a mirrorclone"):
        _snap(bed, "vraid5")
    bed.close()


def _snap(bed: EvaBed, redundancy: str) -> None:
    bed.provider().array.order(
        "add_snapshot", name="x", source="SG1_db", policy="FULLY", redundancy=redundancy, wwn=""
    )


def test_all_snapshots_of_a_vdisk_have_one_level_also_where_none_is_named(tmp_path: Path) -> None:
    bed = EvaSnapshotBed(tmp_path)
    do(bed, Verb.PREPARE)
    _by_hand(bed, "fully", redundancy="vraid0")
    with pytest.raises(RefusedError, match="by_hand in vraid0") as found:
        do(bed, Verb.SPLIT)
    assert found.value.hint == "set redundancy = vraid0"
    with pytest.raises(ProviderError, match="same redundancy"):
        _snap(bed, "vraid5")
    bed.close()


def test_no_more_snapshots_than_the_data_of_the_model_say(tmp_path: Path) -> None:
    """What is refused says how sure that is, and gives way to an administrator's word."""
    bed = EvaSnapshotBed(tmp_path)
    own = tmp_path / "own.toml"
    own.write_text('[bound.snapshots_vcs]\nmodels = "HSV1.*"\nmost = 1\nsure = "unconfirmed"\n')
    bed.set(array={"model": "HSV110"})
    do(bed, Verb.PREPARE, Verb.SPLIT)
    one = bed.provider(commands=str(own))
    assert {vdisk.copies_limit for vdisk in one.facts().volumes.values()} == {1}
    with pytest.raises(RefusedError, match=r"limit is 1 \(of HSV110 .*unconfirmed") as found:
        do(bed, Verb.PREPARE, provider=one, mirror="m2")
    assert "snapshots_limit" in found.value.hint
    assert {vdisk.copies_limit for vdisk in bed.provider().facts().volumes.values()} == {7}
    told = bed.provider(commands=str(own), snapshots_limit="2")
    do(bed, Verb.PREPARE, Verb.SPLIT, provider=told, mirror="m2", set_id=OTHER)
    with pytest.raises(RefusedError, match="by the setting"):
        do(bed, Verb.PREPARE, provider=told, mirror="m3")
    bed.close()


def test_a_copy_of_ours_that_normalises_is_told_and_waited_for(tmp_path: Path) -> None:
    """The chooser does not refuse for it, space is reserved meanwhile, and before anybody is frozen
    its end is awaited."""
    bed = EvaSnapcloneBed(tmp_path)
    do(bed, Verb.PREPARE)
    bed.hold()
    do(bed, Verb.SPLIT)
    wwns = [bed.provider().kind.devices.id_of(one.path) for one in bed.sources]
    facts = bed.provider().facts()
    assert {(facts.volumes[one].normalising, facts.volumes[one].ours) for one in wwns} == {
        (True, True)
    }
    do(bed, Verb.PREPARE, mirror="m2")
    told: list[str] = []
    held = action(bed, Verb.SPLIT, "m2", OTHER, writers=True)
    with pytest.raises(TimedOutError, match="normalised"):
        bed.provider(copying_seconds="0.2").quieten(held, told.append)
    assert "-m1-s" in told[0]
    bed.release()
    one = bed.provider()
    one.quieten(held, told.append)
    one.start(held)
    bed.close()


def test_a_strangers_copy_that_normalises_is_not_ours(tmp_path: Path) -> None:
    bed = EvaSnapcloneBed(tmp_path)
    _by_hand(bed, "snapclone", copying=9e12)
    (first,) = (one for one in bed.provider().facts().volumes.values() if one.normalising
                and one.copies)  # fmt: skip
    assert not first.ours
    bed.close()


def test_a_snapshot_is_never_of_a_higher_level_than_its_source(tmp_path: Path) -> None:
    bed = EvaSnapshotBed(tmp_path)
    with pytest.raises(RefusedError, match="in vraid1 is higher than its source in vraid5"):
        do(bed, Verb.PREPARE, provider=bed.provider(redundancy="vraid1"))
    with pytest.raises(ProviderError, match="higher than the source"):
        _snap(bed, "vraid1")
    do(bed, Verb.PREPARE, Verb.SPLIT, provider=bed.provider(redundancy="vraid0"))
    bed.close()
