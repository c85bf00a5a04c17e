"""A set that is pinned is never resynced, dissolved or split anew by a run that settles what a
killed one left, however far that had come."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from provider_bed_eva import EvaBed, EvaSnapshotBed
from provider_bed_sfw import SfwBed
from provider_beds import Bed
from provider_trial import Rotation, bed_classes

from exshadow.catalog.journal import CatalogJournal
from exshadow.errors import BusyError, RefusedError
from exshadow.model import SetRecord
from exshadow.names import FOREVER
from exshadow.providers.contract import ENDS_A_SET, Action, Stage, Verb
from exshadow.providers.eva.provider import EvaProvider
from exshadow.providers.sfw import SfwProvider
from exshadow.providers.sfw.dropping import clear
from exshadow.providers.sfw.look import Look
from exshadow.providers.sfw.resyncing import give_back
from exshadow.service import making_journal, pins
from exshadow.service.desk import Desk
from exshadow.service.policy_run import elsewhere, making, run, unfinished
from exshadow.service.policy_run.record import GroupRun
from exshadow.service.policy_run.room import Room


def kinds() -> list[object]:
    """One bed a product; the others when there is time."""
    found = bed_classes()
    usual = {kind.__module__: kind for kind in reversed(found)}.values()
    return [pytest.param(kind, marks=[] if kind in usual else pytest.mark.soak) for kind in found]


@pytest.fixture(params=kinds(), ids=lambda one: one.__name__)
def rotation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rotation]:
    yield from rotation_on(request.param, tmp_path)


@pytest.fixture(params=[EvaBed, EvaSnapshotBed, SfwBed], ids=lambda one: one.__name__)
def partly(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rotation]:
    """Products that resync one volume after the other."""
    yield from rotation_on(request.param, tmp_path)


def rotation_on(kind: type[Bed], folder: Path) -> Iterator[Rotation]:
    bed = kind(folder)
    try:
        yield Rotation(bed, verify=())
    finally:
        bed.close()


def pinned(rotation: Rotation, one: SetRecord) -> None:
    with rotation.room() as room:
        pins.pin(room.desk, one.id, FOREVER)


def set_of(done: GroupRun) -> SetRecord:
    assert done.made is not None
    return done.made


def begun(room: Room, verb: Verb, mirror: str, one: SetRecord) -> Action:
    asked = room.action(verb, mirror, one.id, one.label)
    room.held_journal().begin(room.provider.name, asked)
    return asked


def state(room: Room, asked: Action) -> str:
    return next(
        one.state for one in room.journal.of_run(room.journal.run_id) if one.action.id == asked.id
    )


def test_what_had_not_begun_leaves_the_pinned_set_and_the_next_run_takes_another_mirror(
    rotation: Rotation,
) -> None:
    first, second = rotation.good(), rotation.good()
    then = rotation.bytes_of(set_of(first))
    with rotation.room() as room:
        verbs = (Verb.RESYNC, Verb.DISSOLVE, Verb.ABORT)
        asked = [begun(room, verb, first.mirror, set_of(first)) for verb in verbs]
        pins.pin(room.desk, set_of(first).id, FOREVER)
        unfinished.settle(room)
        assert [state(room, one) for one in asked] == ["undone"] * 3
    third = rotation.good()
    assert third.mirror == second.mirror
    pinned(rotation, set_of(third))
    error = rotation.run().error  # no mirror is left
    assert isinstance(error, RefusedError)
    assert "pinned" in error.message
    assert rotation.bytes_of(set_of(first)) == then
    rotation.check()


def test_a_set_that_is_pinned_before_its_writers_agreed_is_kept(rotation: Rotation) -> None:
    rotation.good()
    with rotation.room() as room:
        room.do(room.action(Verb.PREPARE, "m2"))
        asked = room.action(Verb.SPLIT, "m2", str(uuid.uuid4()), "cut", writers=True)
        made = making.split(room, asked, room.held_journal())  # and killed
        then = rotation.production()
        pins.pin(room.desk, made.id, FOREVER)
        (said,) = unfinished.settle(room)
        assert "set cut is kept, as it is pinned" in said
        assert state(room, asked) == "done"
    assert rotation.bytes_of(made) == then
    rotation.check()


def test_a_set_that_is_pinned_while_it_is_checked_is_not_brought_back(rotation: Rotation) -> None:
    """As Ctrl-C during the checks would do."""
    one = set_of(rotation.good())
    pinned(rotation, one)
    with rotation.room() as room:
        with pytest.raises(RefusedError, match="pinned"):
            making.ContractSplits(room).resync_set(one.id)
        assert room.service.show_set(one.id).state == "ready"


def test_what_another_providers_run_left_is_not_brought_back_by_this_one(
    rotation: Rotation,
) -> None:
    """The catalog's journal has its split: the product that made it is asked when it is here."""
    one = set_of(rotation.good())
    making_journal.Journal(rotation.state.path).begin(uuid.UUID(one.id)).leave()
    with rotation.room() as room:
        asked = room.action(Verb.SPLIT, "m1", one.id, one.label, writers=True)
        room.journal.begin("another", asked)
        making.clear(room)
        assert room.service.show_set(one.id).state == "ready"
        assert list(making_journal.Journal(rotation.state.path).left()) == []


def test_a_set_that_is_pinned_while_mirrors_are_prepared_keeps_its_own(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotation.good()
    rotation.good()
    chosen: list[str] = []
    prepared: Callable[[run._Run], run.rotation.Turn] = run._Run._prepared

    def pins_meanwhile(one: run._Run) -> run.rotation.Turn:
        found = prepared(one)
        assert found.gives_up is not None
        pins.pin(one._room.desk, found.gives_up.id, FOREVER)
        chosen.append(found.gives_up.id)
        return found

    monkeypatch.setattr(run._Run, "_prepared", pins_meanwhile)
    error = rotation.run().error
    assert isinstance(error, RefusedError)
    assert "pinned" in error.message
    monkeypatch.undo()
    assert chosen == rotation_ids(rotation)[:1]
    rotation.check()


@pytest.fixture
def one_of_two(tmp_path: Path) -> Iterator[Rotation]:
    yield from rotation_on(EvaBed, tmp_path)


def pin_at_another_desk(rotation: Rotation, set_id: str) -> SetRecord:
    with closing(Desk(rotation.state)) as desk:
        return pins.pin(desk, set_id, FOREVER)


def test_a_pin_that_comes_before_a_resync_is_written_down_stops_it(
    one_of_two: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotation = one_of_two
    sets = [set_of(rotation.good()) for _ in range(2)]
    begin = CatalogJournal.begin

    def pins_first(self: CatalogJournal, provider: str, action: Action, *more: Any) -> None:
        if action.verb in ENDS_A_SET:
            assert pin_at_another_desk(rotation, action.set_id).pinned_until
        begin(self, provider, action, *more)

    monkeypatch.setattr(CatalogJournal, "begin", pins_first)
    monkeypatch.setattr("exshadow.providers.registry.build", lambda *_: rotation.bed.provider())
    error = rotation.run().error
    assert isinstance(error, RefusedError)
    assert "pinned" in error.message
    with rotation.room() as room:
        for verb in ("resync", "delete", "promote"):
            with pytest.raises(RefusedError, match="pinned"):
                elsewhere.carry_out(room.service, room.desk, sets[1], verb)
            with pytest.raises(RefusedError, match="pinned"):  # now it is seen at once
                elsewhere.plan(room.service.show_set(sets[1].id), verb)
            pins.pin(room.desk, sets[1].id, None, "again")
        assert [one.state for one in room.sets()] == ["ready", "ready"]
    rotation.check()


def test_a_set_that_is_being_resynced_is_not_said_to_be_pinned(
    one_of_two: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotation = one_of_two
    first, _ = (set_of(rotation.good()) for _ in range(2))
    start = EvaProvider.start

    def pinned_meanwhile(self: EvaProvider, action: Action) -> None:
        if action.verb is Verb.RESYNC:
            with pytest.raises(BusyError, match="is not pinned: its resync is under way"):
                pin_at_another_desk(rotation, first.id)
        start(self, action)

    monkeypatch.setattr(EvaProvider, "start", pinned_meanwhile)
    assert rotation.good().given_up == [first.id]
    with pytest.raises(RefusedError, match="it has ended"):
        pin_at_another_desk(rotation, first.id)
    with rotation.room() as room:
        gone = room.service.show_set(first.id)
        assert (gone.state, gone.pinned_until) == ("dissolved", None)


def test_a_set_whose_promotion_was_interrupted_is_not_said_to_be_pinned(
    one_of_two: Rotation,
) -> None:
    done = one_of_two.good()
    with one_of_two.room() as room:
        begun(room, Verb.PROMOTE, done.mirror, set_of(done))
        with pytest.raises(RefusedError, match="promotion was interrupted"):
            pins.pin(room.desk, set_of(done).id, FOREVER)
        assert room.service.show_set(set_of(done).id).pinned_until is None


def rotation_ids(rotation: Rotation) -> list[str]:
    with rotation.room() as room:
        return [one.id for one in room.sets() if one.state == "ready"]


def resyncs_one_volume(room: Room, asked: Action) -> None:
    """As far as the product had come when it was killed."""
    if isinstance(room.provider, SfwProvider):
        ground = room.provider.ground
        copies = Look(ground).copies(asked, ground.records.read(asked.set_id))
        give_back(ground, asked, None, copies[:1], whole=False)
    else:
        room.provider.start(replace(asked, volumes=asked.volumes[:1]))


def test_a_resync_stops_at_the_pin_and_goes_on_without_it(partly: Rotation) -> None:
    """The copy of the second volume is what somebody pinned the set for."""
    first, second = partly.good(), partly.good()
    one = set_of(first)
    with partly.room() as room:
        asked = begun(room, Verb.RESYNC, first.mirror, one)
        resyncs_one_volume(room, asked)
        assert room.provider.standing(asked).stage is Stage.HALF
        pins.pin(room.desk, one.id, FOREVER)
        there = partly.bed.copies()
    done = partly.good()
    assert done.mirror == second.mirror
    (said,) = done.settled
    assert "not gone on with: the set is pinned" in said
    assert "--clear --reason" in said
    assert set(partly.bed.copies()) & set(there) >= copies_that_stay(there, one, partly)
    with partly.room() as room:
        assert room.service.show_set(one.id).state == "resyncing"  # nobody counts on it
        assert room.provider.standing(asked).stage is Stage.HALF
        pins.pin(room.desk, one.id, None, "not needed")
        (said,) = unfinished.settle(room)
        assert said.endswith("finished")
        assert room.service.show_set(one.id).state == "dissolved"
    partly.check()


def test_a_dissolution_stops_at_the_pin(partly: Rotation) -> None:
    """Every copy is as it was: the next one that wants it asks again."""
    if isinstance(partly.bed, EvaSnapshotBed):
        pytest.skip("a snapshot cannot be dissolved")
    first = partly.good()
    one = set_of(first)
    with partly.room() as room:
        asked = begun(room, Verb.DISSOLVE, first.mirror, one)
        if isinstance(room.provider, SfwProvider):
            ground = room.provider.ground
            clear(ground, Look(ground).copies(asked, ground.records.read(one.id))[0])
        else:
            room.provider.start(replace(asked, volumes=asked.volumes[:1]))
        assert room.provider.standing(asked).stage is Stage.HALF
        pins.pin(room.desk, one.id, FOREVER)
        there = partly.bed.copies()
        (said,) = unfinished.settle(room)
        assert "not gone on with: the set is pinned until" in said
        assert partly.bed.copies() == there
        assert room.service.show_set(one.id).state == "ready"
        assert state(room, asked) == "undone"
        assert room.provider.standing(asked).stage is Stage.HALF


def copies_that_stay(there: object, one: SetRecord, rotation: Rotation) -> set[str]:
    """Names on the array that tell the pinned set."""
    from exshadow.providers.eva import names

    if not isinstance(rotation.bed, EvaBed):
        return set()
    tag = names.digest(one.id, 8)
    found = {name for name in there if f"s{tag}" in name}  # type: ignore[attr-defined]
    assert found
    return found
