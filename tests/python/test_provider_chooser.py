"""The choice of a provider: the table of the sheet, and properties over random facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exshadow.providers.chooser import NAMES, choose
from exshadow.providers.facts import (
    ArrayFacts,
    ArrayVolume,
    Choice,
    CopyKind,
    Disk,
    Facts,
    Room,
    StackKind,
    VolumeStack,
    VssProviderFacts,
    Wish,
    normal_id,
)

GIB = 1 << 30
ID = "600508b4000c9a7a0000900000ab0000"
LUN = Disk("HP", "HSV210", f"3{ID}")
ROOM = Room("dg1", free=100 * GIB)
EVA = ArrayFacts("EVA1", volumes={ID: ArrayVolume(room=ROOM)})
NATIVE = VolumeStack("db", StackKind.EXSHADOW, GIB)
DYNAMIC = VolumeStack("E:", StackKind.SFW, GIB, group="DG1", spare_in_group=4 * GIB)
BASIC = VolumeStack("F:", StackKind.BASIC, GIB, disks=(LUN,))
SYSTEM = VssProviderFacts(
    "b5946137", "system", CopyKind.DIFFERENTIAL, supported=frozenset({"E:", "F:"})
)


def facts(*volumes: VolumeStack, **more: Any) -> Facts:
    return Facts(volumes, **{"sfw_tools": True, "sssu": True, "arrays": (EVA,), **more})


def reason(found: Choice, provider: str) -> str:
    return next(one.reason for one in found.refused if one.provider == provider)


@pytest.mark.parametrize(
    ("volume", "provider"), [(NATIVE, "native"), (DYNAMIC, "sfw"), (BASIC, "eva")]
)
def test_each_stack_has_its_provider(volume: VolumeStack, provider: str) -> None:
    found = choose(facts(volume), Wish())
    assert found.provider == provider
    assert {one.provider for one in found.refused} == set(NAMES) - {provider}


def test_ids_compare_in_every_spelling() -> None:
    spellings = [ID, ID.upper(), f"3{ID}", "6005-08b4-000c-9a7a-0000-9000-00ab-0000"]
    assert {normal_id(text) for text in spellings} == {ID}


def eva_with(**changed: Any) -> ArrayFacts:
    return replace(EVA, volumes={ID: replace(EVA.volumes[ID], **changed)})


REFUSALS = [
    ("sfw", facts(replace(DYNAMIC, raid5=True)), Wish(), "RAID-5"),
    ("sfw", facts(replace(DYNAMIC, kind=StackKind.LDM)), Wish(), "Microsoft dynamic"),
    ("sfw", facts(replace(DYNAMIC, plexes=32)), Wish(), "more than 32 mirrors"),
    ("sfw", facts(replace(DYNAMIC, spare_in_group=GIB - 1)), Wish(), "bytes free"),
    ("sfw", facts(DYNAMIC, sfw_tools=False), Wish(), "are not here"),
    ("sfw", facts(DYNAMIC, BASIC), Wish(), "mixed stacks"),
    ("sfw", facts(DYNAMIC, replace(DYNAMIC, name="F:", group="DG2")), Wish(off_host=True),
     "cannot be shown to another host"),
    ("eva", facts(DYNAMIC), Wish(), "dynamic volume"),
    ("eva", facts(replace(BASIC, disks=(Disk("ATA", "SSD"),))), Wish(), "not lie on an EVA"),
    ("eva", facts(BASIC, arrays=(replace(EVA, licensed=False),)), Wish(), "licence"),
    ("eva", facts(BASIC, arrays=(replace(EVA, managed_by_other="mgr2"),)), Wish(), "consent"),
    ("eva", facts(BASIC, arrays=(eva_with(room=replace(ROOM, used_percent=95)),)), Wish(),
     "alarm level"),
    ("eva", facts(BASIC, arrays=(eva_with(room=replace(ROOM, free=0)),)), Wish(), "bytes free"),
    ("eva", facts(BASIC, arrays=()), Wish(), "page-83"),
    ("eva", facts(BASIC, arrays=(EVA, replace(EVA, name="EVA2"))), Wish(), "several arrays"),
    ("eva", facts(BASIC, arrays=(eva_with(normalising=True),)),
     Wish(), "normalising, by a copy that is not ours"),
    ("eva", facts(BASIC, arrays=(eva_with(copies=(CopyKind.SNAPCLONE,)),)), Wish(), "another type"),
    ("vss", facts(BASIC), Wish(), "not a Windows host"),
    ("vss", facts(replace(BASIC, name="G:"), vss=(SYSTEM,)), Wish(), "no VSS provider takes G:"),
    ("vss", facts(BASIC, vss=(SYSTEM,)), Wish(survive_source_loss=True), "does not survive"),
    ("native", facts(NATIVE), Wish(forbid=frozenset({"native"})), "forbidden"),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "known", "wish", "why"), REFUSALS)
def test_every_limit_is_a_reason(provider: str, known: Facts, wish: Wish, why: str) -> None:
    found = choose(known, wish)
    assert found.provider != provider
    assert why in reason(found, provider)


ARRAY_KINDS = (CopyKind.DIFFERENTIAL, CopyKind.SNAPCLONE, CopyKind.MIRRORCLONE)


@pytest.mark.parametrize("kind", ARRAY_KINDS)
def test_the_settings_decide_the_kind_of_copy_in_the_array(kind: CopyKind) -> None:
    known = facts(BASIC, arrays=(replace(EVA, kind=kind),))
    found = choose(known, Wish())
    assert found.capability is not None
    assert found.capability.kind is kind
    survives = choose(known, Wish(survive_source_loss=True)).provider == "eva"
    assert survives == (kind is not CopyKind.DIFFERENTIAL)
    by_changes = choose(known, Wish(delta_resync=True)).provider == "eva"
    assert by_changes == (kind is CopyKind.MIRRORCLONE)


def test_a_copy_of_our_own_that_normalises_is_no_reason_against_the_array() -> None:
    busy = ArrayVolume(normalising=True, ours=True, copies=(CopyKind.SNAPCLONE,), room=ROOM)
    array = replace(EVA, kind=CopyKind.SNAPCLONE, volumes={ID: busy})
    found = choose(facts(BASIC, arrays=(array,)), Wish())
    assert found.provider == "eva"
    assert found.why.endswith("it waits until its copy of F: is normalised")


def test_what_is_made_already_needs_no_room_and_is_no_foreign_copy() -> None:
    full = eva_with(copies=(CopyKind.MIRRORCLONE,) * 2, room=replace(ROOM, free=0))
    known = facts(BASIC, arrays=(full,))
    assert choose(known, Wish(copies=2)).provider is None
    assert choose(replace(known, made={"eva": 2}), Wish(copies=2)).provider == "eva"
    assert choose(replace(known, made={"eva": 2}), Wish(copies=3)).provider is None
    tight = facts(replace(DYNAMIC, spare_in_group=0, plexes=32))
    assert choose(replace(tight, made={"sfw": 2}), Wish(copies=2)).provider == "sfw"
    assert choose(replace(tight, made={"sfw": 1}), Wish(copies=2)).provider is None


def test_preference_decides_between_those_that_can() -> None:
    known = facts(BASIC, vss=(SYSTEM,))
    assert choose(known, Wish()).provider == "eva"
    preferred = choose(known, Wish(prefer=("vss",)))
    assert preferred.provider == "vss"
    assert [one.provider for one in preferred.passed_over] == ["eva"]
    assert preferred.why == "named first in the policy"
    later = choose(known, Wish(prefer=("sfw", "vss")))
    assert (later.provider, later.why) == ("vss", "preferred by the policy after sfw")


# --- properties ---

volumes = st.builds(
    VolumeStack,
    name=st.sampled_from(["E:", "F:", "db"]),
    kind=st.sampled_from(StackKind),
    size=st.integers(1, 8 * GIB),
    group=st.sampled_from(["", "DG1", "DG2"]),
    raid5=st.booleans(),
    plexes=st.integers(1, 33),
    spare_in_group=st.integers(0, 16 * GIB),
    disks=st.lists(st.sampled_from([LUN, Disk("ATA", "SSD", "5000")]), max_size=2).map(tuple),
)
rooms = st.builds(
    Room,
    group=st.sampled_from(["dg1", "dg2"]),
    free=st.integers(0, 16 * GIB),
    used_percent=st.integers(0, 100),
)
arrays = st.builds(
    ArrayFacts,
    name=st.sampled_from(["EVA1", "EVA2"]),
    kind=st.sampled_from(ARRAY_KINDS),
    licensed=st.booleans(),
    managed_by_other=st.sampled_from(["", "other"]),
    volumes=st.dictionaries(
        st.sampled_from([ID, "5000"]),
        st.builds(
            ArrayVolume,
            state=st.sampled_from(["good", "attention"]),
            normalising=st.booleans(),
            ours=st.booleans(),
            copies_limit=st.none() | st.integers(1, 3),
            copies=st.lists(st.sampled_from(CopyKind), max_size=3).map(tuple),
            room=st.none() | rooms,
        ),
    ),
)
all_facts = st.builds(
    Facts,
    volumes=st.lists(volumes, max_size=3).map(tuple),
    native=st.booleans(),
    sfw_tools=st.booleans(),
    arrays=st.lists(arrays, max_size=2).map(tuple),
    sssu=st.booleans(),
    vss=st.lists(
        st.builds(
            VssProviderFacts,
            id=st.sampled_from(["a", "b"]),
            name=st.just("p"),
            kind=st.sampled_from(CopyKind),
            transportable=st.booleans(),
            supported=st.frozensets(st.sampled_from(["E:", "F:", "db"])),
        ),
        max_size=2,
    ).map(tuple),
)
wishes = st.builds(
    Wish,
    prefer=st.permutations(NAMES).map(lambda names: tuple(names[:2])),
    forbid=st.frozensets(st.sampled_from(NAMES), max_size=2),
    survive_source_loss=st.booleans(),
    delta_resync=st.booleans(),
    off_host=st.booleans(),
    copies=st.integers(1, 4),
)


@settings(max_examples=500)
@given(all_facts, wishes)
def test_the_choice_is_total_deterministic_and_within_limits(known: Facts, wish: Wish) -> None:
    found = choose(known, wish)
    assert found == choose(known, wish)
    told = [one.provider for one in (*found.refused, *found.passed_over)]
    assert sorted([*told, *filter(None, [found.provider])]) == sorted(NAMES)
    assert all(one.reason for one in (*found.refused, *found.passed_over))
    if found.provider is None or found.capability is None:
        return
    assert found.provider not in wish.forbid
    assert found.capability.survives_source_loss or not wish.survive_source_loss
    assert found.capability.delta_resync or not wish.delta_resync
    assert found.capability.off_host or not wish.off_host
    kinds = {volume.kind for volume in known.volumes}
    if found.provider == "sfw":
        assert kinds == {StackKind.SFW}
        assert not any(volume.raid5 for volume in known.volumes)
        assert all(volume.plexes + wish.copies <= 32 for volume in known.volumes)
    if found.provider == "eva":
        assert kinds == {StackKind.BASIC}
        ids = {normal_id(disk.page83) for one in known.volumes for disk in one.disks}
        (owner,) = [one for one in known.arrays if ids & one.volumes.keys()]
        assert owner.licensed
        assert not owner.managed_by_other
        for one in ids:
            room = owner.volumes[one].room
            assert room
            assert room.used_percent < room.alarm_percent
    if found.provider == "native":
        assert kinds == {StackKind.EXSHADOW}
