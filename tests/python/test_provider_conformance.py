"""What every provider promises, the same tests over every bed (provider_bed_*.py)."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from provider_beds import Bed
from provider_trial import Trial, bed_classes

from exshadow.errors import Error, NotFoundError, RefusedError, UnsupportedError
from exshadow.providers.contract import MirrorState, Source, Stage, Verb


@pytest.fixture(params=bed_classes(), ids=lambda one: one.__name__)
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trial]:
    bed: Bed = request.param(tmp_path)
    try:
        yield Trial(bed)
    finally:
        bed.close()


def test_it_says_what_it_can_with_these_volumes(trial: Trial) -> None:
    can = trial.provider.capability(trial.bed.sources)
    assert can.atomic_set


def test_a_volume_is_the_same_by_every_path(trial: Trial) -> None:
    """Leases of hosts that share a catalog go by it."""
    there = {one.name: trial.provider.identity(one) for one in trial.bed.sources}
    for name, path in trial.bed.other_paths.items():
        (known,) = (one for one in trial.bed.sources if one.name == name)
        other = replace(known, path=path)
        assert other != known
        assert trial.provider.identity(other) == there[name] != ""
    again = trial.crash()
    assert {one.name: again.identity(one) for one in trial.bed.sources} == there
    known_ones = [one for one in there.values() if one]
    assert len(set(known_ones)) == len(known_ones)


def test_a_volume_that_is_not_there_is_no_other(trial: Trial) -> None:
    nowhere = Source("nowhere", trial.bed.nowhere, 4096)
    known = {trial.provider.identity(one) for one in trial.bed.sources}
    with contextlib.suppress(NotFoundError):
        assert trial.provider.identity(nowhere) not in known - {""}


def test_a_prepared_mirror_is_ready(trial: Trial) -> None:
    assert trial.mirror().state is MirrorState.NONE
    trial.do(Verb.PREPARE)
    assert trial.mirror().state is MirrorState.READY
    assert trial.mirror("m2").state is MirrorState.NONE


def test_a_mirror_that_is_not_there_cannot_be_split(trial: Trial) -> None:
    before = trial.bed.copies()
    split = trial.action(Verb.SPLIT, set_id=str(uuid.uuid4()))
    assert trial.provider.standing(split).stage in (Stage.ABSENT, Stage.FAILED)
    with pytest.raises(Error):
        trial.provider.start(split)
    assert trial.bed.copies() == before
    assert trial.provider.standing(split).stage in (Stage.ABSENT, Stage.FAILED)


def test_a_mirror_that_is_not_ready_yet_cannot_be_split(trial: Trial) -> None:
    trial.bed.hold()
    prepare = trial.action(Verb.PREPARE)
    trial.provider.start(prepare)
    if trial.provider.standing(prepare).stage is Stage.DONE:
        pytest.skip(f"{trial.bed.name} is ready when start returns")
    assert trial.mirror().state is MirrorState.SYNCING
    split = trial.action(Verb.SPLIT, set_id=str(uuid.uuid4()))
    with pytest.raises(Error):
        trial.provider.start(split)
    assert trial.provider.standing(split).stage is not Stage.DONE
    trial.bed.release()
    trial.carry_out(prepare)
    assert trial.mirror().state is MirrorState.READY


def test_a_set_is_production_of_its_instant(trial: Trial) -> None:
    trial.do(Verb.PREPARE)
    trial.scribble(b"before")
    then = trial.production()
    set_id = str(uuid.uuid4())
    made = trial.do(Verb.SPLIT, set_id=set_id)
    trial.scribble(b"after")
    assert {one.volume: one.size for one in made.members} == {
        one.name: one.size for one in trial.bed.sources
    }
    assert trial.mirror().state is MirrorState.SPLIT
    assert trial.copy(set_id) == then
    assert trial.production() != then


def test_two_mirrors_are_two_sets(trial: Trial) -> None:
    trial.do(Verb.PREPARE, "m1")
    trial.do(Verb.PREPARE, "m2")
    held = {}
    for mirror in ("m1", "m2"):
        trial.scribble(mirror.encode())
        held[mirror] = (str(uuid.uuid4()), trial.production())
        trial.do(Verb.SPLIT, mirror, held[mirror][0])
    trial.scribble(b"later")
    for mirror, (set_id, then) in held.items():
        assert trial.copy(set_id, mirror) == then


def test_a_verb_begun_again_makes_nothing_twice(trial: Trial) -> None:
    set_id = str(uuid.uuid4())
    then = trial.production()
    for verb in (Verb.PREPARE, Verb.SPLIT, Verb.PRESENT, Verb.UNPRESENT, Verb.RESTORE, Verb.RESYNC):
        action = trial.action(verb, set_id="" if verb is Verb.PREPARE else set_id)
        trial.carry_out(action)
        there = trial.bed.copies()
        for _ in range(2):
            trial.crash()
            with contextlib.suppress(Error):  # what is done may be refused, never done twice
                trial.provider.start(action)
            assert trial.bed.copies() == there, verb
            trial.carry_out(action)
        assert trial.bed.copies() == there, verb
    assert trial.production() == then


def test_a_split_begun_again_is_the_old_instant(trial: Trial) -> None:
    trial.do(Verb.PREPARE)
    then = trial.production()
    split = trial.action(Verb.SPLIT, set_id=str(uuid.uuid4()))
    trial.provider.start(split)
    trial.scribble(b"later")
    trial.crash().start(split)
    trial.carry_out(split)
    assert trial.copy(split.set_id) == then


def test_looking_changes_nothing(trial: Trial) -> None:
    set_id = str(uuid.uuid4())

    def look() -> None:
        there, bytes_, mirrors = trial.bed.copies(), trial.production(), trial.provider.mirrors(
            trial.bed.group, trial.bed.sources
        )  # fmt: skip
        for verb in Verb:
            asked = "" if verb is Verb.PREPARE else set_id
            trial.provider.standing(trial.action(verb, set_id=asked))
        again = trial.provider.mirrors(trial.bed.group, trial.bed.sources)
        assert (trial.bed.copies(), trial.production(), again) == (there, bytes_, mirrors)

    look()
    trial.do(Verb.PREPARE)
    look()
    trial.do(Verb.SPLIT, set_id=set_id)
    look()
    trial.do(Verb.RESYNC, set_id=set_id)
    look()


def test_after_any_start_a_new_instance_finishes(trial: Trial) -> None:
    set_id = str(uuid.uuid4())
    for verb in (Verb.PREPARE, Verb.SPLIT, Verb.PRESENT, Verb.UNPRESENT, Verb.RESTORE, Verb.RESYNC):
        action = trial.action(verb, set_id="" if verb is Verb.PREPARE else set_id)
        trial.crash()
        with contextlib.suppress(UnsupportedError):
            if trial.provider.standing(action).stage in (Stage.ABSENT, Stage.HALF):
                trial.provider.start(action)
        trial.crash()
        assert trial.carry_out(action).stage is Stage.DONE
    assert trial.mirror().state is MirrorState.READY


def test_a_resynced_mirror_splits_again_with_new_bytes(trial: Trial) -> None:
    old = trial.split()
    there = len(trial.bed.copies())
    trial.scribble(b"newer")
    then = trial.production()
    trial.do(Verb.RESYNC, set_id=old)
    assert trial.mirror().state is MirrorState.READY
    set_id = str(uuid.uuid4())
    trial.do(Verb.SPLIT, set_id=set_id)
    assert trial.copy(set_id) == then
    assert len(trial.bed.copies()) == there


def test_a_restore_makes_production_the_set_which_stays(trial: Trial) -> None:
    then = trial.production()
    set_id = trial.split()
    trial.scribble(b"damage")
    trial.do(Verb.RESTORE, set_id=set_id)
    assert trial.production() == then
    assert trial.mirror().state is MirrorState.SPLIT
    trial.scribble(b"more damage")
    assert trial.copy(set_id) == then
    trial.do(Verb.RESTORE, set_id=set_id)
    assert trial.production() == then


def test_a_promoted_set_is_production(trial: Trial) -> None:
    then = trial.production()
    set_id = trial.split()
    trial.scribble(b"damage")
    trial.do(Verb.PROMOTE, set_id=set_id)
    assert trial.production() == then
    trial.scribble(b"goes on")
    assert trial.production() != then


def test_dissolved_copies_keep_their_bytes(trial: Trial) -> None:
    then = trial.production()
    set_id = trial.split()
    members = trial.do(Verb.PRESENT, set_id=set_id).members
    trial.do(Verb.DISSOLVE, set_id=set_id)
    trial.scribble(b"later")
    assert {one.volume: trial.bed.read_copy(one) for one in members} == then
    assert trial.mirror().state is not MirrorState.SPLIT
    assert trial.bed.copies()


def test_an_aborted_preparation_leaves_no_orphan(trial: Trial) -> None:
    before = trial.bed.copies()
    trial.bed.hold()
    trial.provider.start(trial.action(Verb.PREPARE))
    assert trial.bed.copies() != before
    trial.crash()
    trial.do(Verb.ABORT)
    trial.bed.release()
    assert trial.bed.copies() == before
    assert trial.mirror().state is MirrorState.NONE
    then = trial.production()
    assert trial.copy(trial.split()) == then


def test_an_aborted_split_is_no_set(trial: Trial) -> None:
    trial.do(Verb.PREPARE)
    before = len(trial.bed.copies())
    set_id = str(uuid.uuid4())
    trial.provider.start(trial.action(Verb.SPLIT, set_id=set_id))
    trial.crash()
    trial.do(Verb.ABORT, set_id=set_id)
    assert trial.mirror().state in (MirrorState.READY, MirrorState.NONE)
    assert len(trial.bed.copies()) <= before
    again = trial.action(Verb.ABORT, set_id=set_id)
    trial.carry_out(again)
    trial.scribble(b"next")
    then = trial.production()
    assert trial.copy(trial.split()) == then


def test_aborting_what_was_never_begun_does_nothing(trial: Trial) -> None:
    before = trial.bed.copies()
    trial.do(Verb.ABORT)
    trial.do(Verb.ABORT, set_id=str(uuid.uuid4()))
    assert trial.bed.copies() == before


def test_a_presented_set_can_be_read_until_it_is_taken_back(trial: Trial) -> None:
    then = trial.production()
    set_id = trial.split()
    for _ in range(2):
        members = trial.do(Verb.PRESENT, set_id=set_id).members
        assert all(one.path for one in members)
        again = trial.crash().standing(trial.action(Verb.PRESENT, set_id=set_id))
        assert again.members == members
        assert {one.volume: trial.bed.read_copy(one) for one in members} == then
        trial.do(Verb.UNPRESENT, set_id=set_id)


def test_a_lent_set_is_another_hosts_until_it_is_recalled(trial: Trial) -> None:
    then = trial.production()
    set_id = trial.split()
    host = trial.bed.other_host
    lend = replace(trial.action(Verb.LEND, set_id=set_id), options={"host": host or "HOST2"})
    if not host:
        with pytest.raises(UnsupportedError) as found:
            trial.provider.start(lend)
        assert found.value.hint
        return
    assert trial.provider.capability(trial.bed.sources).off_host
    for _ in range(2):  # the second time nothing is left to be done
        assert trial.carry_out(replace(lend, id=str(uuid.uuid4()))).detail
        assert host in trial.mirror().lent
        trial.crash()
    for verb in (Verb.RESYNC, Verb.RESTORE, Verb.PRESENT):
        with pytest.raises(RefusedError) as refused:
            trial.do(verb, set_id=set_id)
        assert "snapshot recall SET" in refused.value.hint
    another = replace(lend, id=str(uuid.uuid4()), options={"host": trial.bed.third_host})
    with pytest.raises(RefusedError, match="lent to") as refused:
        trial.carry_out(another)
    assert "snapshot recall SET" in refused.value.hint
    assert host in trial.mirror().lent
    recall = trial.action(Verb.RECALL, set_id=set_id)
    with pytest.raises(RefusedError, match=r"lose|forced"):
        trial.provider.start(recall)
    assert trial.mirror().lent
    trial.carry_out(replace(recall, options={"released": "yes"}))
    assert trial.crash().standing(recall).stage is Stage.DONE
    assert not trial.mirror().lent
    assert trial.copy(set_id) == then
    trial.do(Verb.RESYNC, set_id=set_id)


def test_what_is_said_to_have_changed_holds_all_that_did(trial: Trial) -> None:
    set_id = trial.split()
    then = trial.production()
    trial.scribble(b"changed")
    found = trial.provider.changed(trial.action(Verb.SPLIT, set_id=set_id))
    if found is None:
        pytest.skip(f"{trial.bed.name} has no map of changes")
    now = trial.production()
    assert {one.volume for one in found} == set(now)
    for member in found:
        told = [range(at, at + length) for at, length in member.changed]
        old, new = then[member.volume], now[member.volume]
        for at in range(0, len(new), 512):
            if old[at : at + 512] != new[at : at + 512]:
                assert any(at in one and at + 511 in one for one in told), (member.volume, at)


def test_documents_of_a_set_survive(trial: Trial) -> None:
    set_id = trial.split()
    split = trial.action(Verb.SPLIT, set_id=set_id)
    before = dict(trial.provider.documents(split))
    assert all(before.values())
    assert dict(trial.crash().documents(split)) == before


@pytest.mark.parametrize("verb", [Verb.RESTORE, Verb.PROMOTE, Verb.PRESENT])
def test_a_set_that_never_was_gives_nothing(trial: Trial, verb: Verb) -> None:
    trial.do(Verb.PREPARE)
    then = trial.production()
    with pytest.raises(Error):
        trial.carry_out(trial.action(verb, set_id=str(uuid.uuid4())))
    assert trial.production() == then
