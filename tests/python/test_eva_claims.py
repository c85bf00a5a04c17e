"""Whose copies and whose settings they are on an array that others use as well: nothing that is not
this group's own is deleted or overwritten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from eva_story import LIMITS, SET, NoJournal, action, do
from provider_bed_eva import SIZES, EvaBed, EvaSnapcloneBed, EvaSnapshotBed, eva_state

from exshadow.errors import RefusedError
from exshadow.providers.contract import Action, MirrorState, Source, Verb
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
    pair = [
        str(names.copy_name("mail", "db", wwn, "m1", names.Role.MIRROR)) for wwn in ("a", "b")
    ]
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
