"""A restore counts as done when the array did it: not when something else shows a progress, and not
before it has begun."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from eva_story import LIMITS, SET, NoJournal, action, do
from provider_bed_eva import EvaBed, EvaSnapcloneBed, EvaSnapshotBed, eva_state

from exshadow.errors import ProviderError, RefusedError, TimedOutError
from exshadow.providers.contract import MirrorState, Stage, Verb
from exshadow.providers.eva import names
from exshadow.providers.eva.objects import Form
from exshadow.providers.steps import carry_out

SPLIT = (Verb.PREPARE, Verb.SPLIT)
OTHER = "00000000-1111-4222-8333-444444444444"
CLONES = {"instant_restore": "yes"}


def given(bed: EvaBed) -> int:
    return sum("INSTANT_RESTORE" in line for line in bed.get("log"))


def marks(bed: EvaBed) -> list[str]:
    found = [names.parse(one["name"]) for one in bed.get("vdisks").values()]
    return [one.mark for one in found if one and one.mark]


def test_a_snapclone_that_still_copies_is_not_taken_for_a_restore(tmp_path: Path) -> None:
    bed = EvaSnapcloneBed(tmp_path)
    bed.hold()
    one = bed.provider(**CLONES, copying_seconds="0.2")
    do(bed, *SPLIT, provider=one)
    then = bed.read("db")
    bed.write("db", 0, b"written since")
    now = bed.read("db")
    shown = [x for x in one.array.look().vdisks if x.form is Form.SNAPCLONE]
    assert all(x.percent is not None and x.restored is None for x in shown)
    assert one.mirrors(bed.group, bed.sources)[0].state is MirrorState.SPLIT
    assert one.standing(action(bed, Verb.RESTORE)).stage is Stage.ABSENT
    with pytest.raises(TimedOutError, match="normalised, to restore"):
        do(bed, Verb.RESTORE, provider=one)
    assert (given(bed), bed.read("db"), marks(bed)) == (0, now, [])
    bed.release()
    do(bed, Verb.RESTORE, provider=one)
    assert given(bed) == len(bed.sources)
    assert bed.read("db") == then
    bed.close()


def test_a_restore_that_is_not_this_actions_is_not_taken_for_it(tmp_path: Path) -> None:
    bed = EvaSnapshotBed(tmp_path)
    do(bed, *SPLIT)
    now = bed.read("db")
    with eva_state.edit(bed.array) as state:
        for one in state["vdisks"].values():
            one["restoring"] = 9e12 if one["form"] == "fully" else 0.0
    provider = bed.provider()
    assert provider.standing(action(bed, Verb.RESTORE)).stage is Stage.ABSENT
    with pytest.raises(RefusedError, match="did not begin it"):
        do(bed, Verb.RESTORE, provider=provider)
    assert (given(bed), bed.read("db"), marks(bed)) == (0, now, [])
    bed.close()


def test_a_restore_that_was_refused_leaves_no_mark_and_may_be_repeated(tmp_path: Path) -> None:
    bed = EvaBed(tmp_path)
    do(bed, *SPLIT)
    then = bed.read("db")
    bed.write("db", 0, b"written since")
    bed.set(traps={"error_but_zero": "INSTANT_RESTORE"})
    one = bed.provider(settle_seconds="0.2")
    with pytest.raises(ProviderError, match="Operation failed"):
        do(bed, Verb.RESTORE, provider=one)
    assert marks(bed) == []
    assert one.standing(action(bed, Verb.RESTORE)).stage is Stage.ABSENT
    bed.set(traps={"error_but_zero": ""})
    do(bed, Verb.RESTORE)
    assert bed.read("db") == then
    bed.close()


def test_a_restore_that_shows_late_is_waited_for_however_sure_its_command_is(
    tmp_path: Path,
) -> None:
    bed = EvaBed(tmp_path)
    do(bed, *SPLIT)
    then = bed.read("db")
    bed.write("db", 0, b"written since")
    own = tmp_path / "own.toml"
    own.write_text(
        '[command.restore]\nsure = "confirmed"\n'
        'text = \'SET VDISK "{source}" INSTANT_RESTORE="{copy}"\'\n'
    )
    bed.set(traps={"late_restore": 0.3})
    do(bed, Verb.RESTORE, provider=bed.provider(commands=str(own)))
    assert bed.read("db") == then
    bed.set(traps={"late_restore": 9e9})
    anew = replace(action(bed, Verb.RESTORE), id="another restore")
    never = bed.provider(commands=str(own), settle_seconds="0.2")
    with pytest.raises(ProviderError, match="never seen"):
        carry_out(never, anew, NoJournal(), limits=LIMITS)
    bed.close()


def test_a_set_of_former_production_is_promoted_not_restored_nor_resynced(tmp_path: Path) -> None:
    """Two mirrors, one promoted: the other one's set is of a vdisk that is production no more."""
    with closing(EvaBed(tmp_path)) as bed:
        then, one = {at.name: bed.read(at.name) for at in bed.sources}, bed.provider()
        for mirror, of in (("m1", SET), ("m2", OTHER)):
            do(bed, Verb.PREPARE, mirror=mirror, provider=one)
            do(bed, Verb.SPLIT, mirror=mirror, set_id=of, provider=one)
        do(bed, Verb.PROMOTE, provider=one)
        bed.write("db", 0, b"damage")
        for verb, way in ((Verb.RESTORE, "promote"), (Verb.RESYNC, "delete")):
            with pytest.raises(
                RefusedError, match=r"mirrors .*SG1_db.*, production is db-"
            ) as told:
                do(bed, verb, mirror="m2", set_id=OTHER)
            assert f"exshadow snapshot {way} mail@" in told.value.hint
        do(bed, Verb.PROMOTE, mirror="m2", set_id=OTHER, provider=one)
        assert {at.name: bed.read(at.name) for at in bed.sources} == then
