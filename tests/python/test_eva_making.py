"""The copies of a set: made by the guide's MULTISNAP too, found by lineage; containers are seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from eva_story import action, do
from provider_bed_eva import EvaBed, EvaSnapcloneBed, EvaSnapshotBed

from exshadow.errors import ProviderError, RefusedError
from exshadow.providers.contract import MirrorState, Provider, Stage, Verb
from exshadow.providers.eva import names

GUIDES = """[command.add_multisnap]
text = 'ADD MULTISNAP "{name}" {members...}'
each.members = 'VDISK="{source}" CONTAINER="{container}" {snaptype}'
sure = "confirmed"
"""
POINT_COPIES = pytest.mark.parametrize("kind", [EvaSnapshotBed, EvaSnapcloneBed])


def guided(bed: EvaBed) -> Provider:
    """Speaks the guide's grammar to an array that has it."""
    bed.set(traps={"set_named": True})
    own = bed.folder / "own.toml"
    own.write_text(GUIDES)
    return bed.provider(commands=str(own))


@POINT_COPIES
def test_a_set_is_made_by_the_guides_grammar_of_multisnap(
    kind: type[EvaBed], tmp_path: Path
) -> None:
    bed = kind(tmp_path)
    one = guided(bed)
    then = {source.name: bed.read(source.name) for source in bed.sources}
    do(bed, Verb.PREPARE, Verb.SPLIT, provider=one)
    [line] = [line for line in bed.get("log") if line.startswith("ADD MULTISNAP")]
    assert (line.count("VDISK="), line.count("CONTAINER="), line.count('"xs.')) == (2, 2, 1)
    found = [names.parse(name) for name in bed.copies()]
    assert [copy.role if copy else None for copy in found] == [names.Role.SET] * 2
    for name in then:
        bed.write(name, 0, b"written since")
    made = do(bed, Verb.PRESENT, provider=one)
    assert {member.volume: bed.read_copy(member) for member in made.members} == then
    do(bed, Verb.UNPRESENT, Verb.RESYNC, provider=one)
    assert one.mirrors(bed.group, bed.sources)[0].state is MirrorState.READY
    bed.close()


@pytest.mark.parametrize("verb", [Verb.SPLIT, Verb.ABORT])
def test_a_set_that_has_no_names_yet_is_found_again_and_not_made_twice(
    verb: Verb, tmp_path: Path
) -> None:
    bed = EvaSnapshotBed(tmp_path)
    one = guided(bed)
    then = {source.name: bed.read(source.name) for source in bed.sources}
    do(bed, Verb.PREPARE, provider=one)
    bed.set(traps={"error_but_zero": "NAME="})
    with pytest.raises(ProviderError):
        do(bed, Verb.SPLIT, provider=one)
    assert all(name.startswith("xs.") for name in bed.copies())
    assert one.standing(action(bed, Verb.SPLIT)).stage is Stage.HALF
    bed.set(traps={"error_but_zero": ""})
    for name in then:
        bed.write(name, 0, b"written since")
    do(bed, verb, provider=one)
    if verb is Verb.ABORT:
        assert one.mirrors(bed.group, bed.sources)[0].state is MirrorState.READY
    else:
        made = do(bed, Verb.PRESENT, provider=one)
        assert {member.volume: bed.read_copy(member) for member in made.members} == then
    assert sum("ADD MULTISNAP" in line for line in bed.get("log")) == 1
    assert len([name for name in bed.copies() if not name.startswith("LUN")]) == 2
    bed.close()


def test_a_container_that_preparing_spoilt_is_seen_before_anything_is_split(
    tmp_path: Path,
) -> None:
    bed = EvaSnapshotBed(tmp_path)
    do(bed, Verb.PREPARE)
    bed.set(traps={"prepared_state": "failed"})
    with pytest.raises(RefusedError, match="not good: nothing was split"):
        do(bed, Verb.SPLIT, provider=bed.provider(settle_seconds="0.2"))
    assert not any("MULTISNAP" in line for line in bed.get("log"))
    assert {one["cache"] for one in bed.get("vdisks").values()} == {"writeback"}
    bed.close()
