"""A run was killed under one provider, then the policy changed: the next run settles what is left
with the settings of then, or says what is left and how it is settled."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from provider_bed_eva import EvaBed
from provider_bed_native import NativeBed
from provider_bed_sfw import SfwBed
from provider_beds import Bed
from provider_trial import LIMITS

from exshadow.catalog import Catalog, open_catalog
from exshadow.catalog.documents import documents
from exshadow.catalog.journal import CatalogJournal, Entry
from exshadow.errors import Error
from exshadow.model import SetRecord
from exshadow.policy.model import Group, KeepPart
from exshadow.providers.contract import Action, MirrorState, Verb
from exshadow.service.desk import Desk
from exshadow.service.keeper import Keeper
from exshadow.service.local import LocalService
from exshadow.service.policy_run import settling, unfinished, ways
from exshadow.service.policy_run.leasing import lease_name
from exshadow.service.policy_run.opening import builder
from exshadow.service.policy_run.room import Room
from exshadow.service.policy_run.run import run_group
from exshadow.service.state import StateFolder


class Moved:
    """A group whose volumes went from one product to another, with one state folder."""

    def __init__(self, old: Bed, new: Bed) -> None:
        self.old, self.new = old, new
        state: Path = next(one.state for one in (old, new) if isinstance(one, NativeBed))
        self.state = StateFolder(state)

    @contextmanager
    def room(self, bed: Bed, **today: dict[str, str]) -> Iterator[Room]:
        """As a policy opens it that knows this bed's provider only; ``today``: what it says of
        others."""
        name = bed.name
        settings = {name: settings_of(bed), **today}
        with closing(Desk(self.state)) as desk:
            service = LocalService(desk)
            build = builder(service)
            # The programs of Storage Foundation in this process: that is ten times as fast.
            provider = bed.provider() if name == "sfw" else build(name, settings[name])
            journal = CatalogJournal(desk.catalog, str(uuid.uuid4()))
            try:
                yield Room(
                    bed.group, bed.sources, provider, build, service, desk, journal,
                    settings=settings, limits=LIMITS,
                )  # fmt: skip
            finally:
                getattr(provider, "close", lambda: None)()

    def killed(self, verb: Verb, mirror: str = "m1", *, writers: bool = False) -> Action:
        """What a run under the old provider leaves that is killed after it gave the product its
        commands."""
        with self.room(self.old) as room:
            if verb is Verb.SPLIT:
                room.do(room.action(Verb.PREPARE, mirror))
            set_id = str(uuid.uuid4()) if verb is Verb.SPLIT else ""
            asked = room.action(verb, mirror, set_id, "cut" if set_id else "", writers=writers)
            room.held_journal().begin(room.provider.name, asked)
            room.provider.start(asked)
        return asked

    def left(self) -> list[Entry]:
        with self.room(self.new) as room:
            return room.journal.unfinished(room.group)

    def known(self, action: Action) -> SetRecord | None:
        with self.room(self.new) as room:
            return next((one for one in room.service.list_sets().sets if one.id == action.set_id),
                        None)  # fmt: skip

    def mirror(self, label: str = "m1") -> MirrorState:
        """How the old product has it."""
        with self.room(self.old) as room:
            found = {one.label: one.state for one in room.provider.mirrors("mail", room.sources)}
        return found.get(label, MirrorState.NONE)


def settings_of(bed: Bed) -> dict[str, str]:
    found: dict[str, str] = bed.options if isinstance(bed, NativeBed) else bed.settings  # type: ignore[attr-defined]
    return dict(found)


@pytest.fixture(params=[(NativeBed, SfwBed), (EvaBed, NativeBed)], ids=["native-sfw", "eva-native"])
def moved(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Moved]:
    beds = [one(tmp_path / one.__name__) for one in made(request.param, tmp_path)]
    try:
        yield Moved(*beds)
    finally:
        for one in beds:
            one.close()


def made(kinds: tuple[type[Bed], type[Bed]], folder: Path) -> tuple[type[Bed], type[Bed]]:
    for one in kinds:
        (folder / one.__name__).mkdir()
    return kinds


@pytest.fixture
def from_eva(tmp_path: Path) -> Iterator[Moved]:
    old, new = (one(tmp_path / one.__name__) for one in made((EvaBed, NativeBed), tmp_path))
    try:
        yield Moved(old, new)
    finally:
        old.close()
        new.close()


GROUP = Group(volumes=["db", "logs"], mirrors=("m1",), verify=(), keep=KeepPart(last=2))


def test_a_whole_set_of_the_provider_of_then_is_kept_with_its_settings(moved: Moved) -> None:
    asked = moved.killed(Verb.SPLIT)
    with moved.room(moved.new) as room:
        done = run_group(room, GROUP)
        assert done.error is None, done.error
        assert done.made is not None
        assert done.made.provider == moved.new.name
        (said,) = done.settled
        assert f"by {moved.old.name} was interrupted: set cut is whole and kept" in said
        kept = {one.name: one.content for one in documents(room.desk.catalog, asked.set_id)}
    assert moved.left() == []
    found = moved.known(asked)
    assert found is not None
    assert (found.provider, found.state) == (moved.old.name, "ready")
    if moved.old.name != "native":
        assert json.loads(kept["provider.json"]) == settings_of(moved.old)
    assert moved.mirror() is MirrorState.SPLIT


def test_a_set_whose_writers_nobody_asked_is_undone_by_the_provider_of_then(moved: Moved) -> None:
    asked = moved.killed(Verb.SPLIT, writers=True)
    with moved.room(moved.new) as room:
        (said,) = unfinished.settle(room, ("m1",))
        assert "set cut is undone" in said
    assert moved.left() == []
    assert moved.known(asked) is None
    assert moved.mirror() is MirrorState.READY


def test_a_resync_under_way_is_finished_by_the_provider_of_then(moved: Moved) -> None:
    split = moved.killed(Verb.SPLIT)
    with moved.room(moved.new) as room:
        unfinished.settle(room)
    with moved.room(moved.old) as room:
        asked = room.action(Verb.RESYNC, "m1", split.set_id, split.label)
        room.held_journal().begin(room.provider.name, asked)
        room.provider.start(asked)
    with moved.room(moved.new) as room:
        (said,) = unfinished.settle(room, ("m1",))
        assert f"by {moved.old.name} was interrupted: finished" in said
    assert moved.left() == []
    assert moved.known(split) is None
    assert moved.mirror() is MirrorState.READY


def test_a_preparation_that_nobody_waits_for_is_told_and_settled_by_hand(moved: Moved) -> None:
    moved.old.hold()
    asked = moved.killed(Verb.PREPARE)
    with moved.room(moved.new) as room:
        said = unfinished.settle(room, ("m1",))
        if moved.old.name == "native":  # its copies are made when start returns
            assert "it was done" in said[0]
            return
        assert "left as it is" in said[0]
        assert "exshadow policy settle mail" in said[0]
        assert moved.mirror() is MirrorState.SYNCING
        moved.old.release()
        (entry,) = settling.left(room.desk, ["mail"])
        assert entry.action == asked
        done = settling.settle(room.service, room.desk, entry, "by-hand")
        assert (done.error, done.done) in [(None, "what it made is removed"), (None, "it was done")]
    assert moved.left() == []


def test_a_mirror_that_the_policy_dropped_is_settled_and_not_split_again(moved: Moved) -> None:
    asked = moved.killed(Verb.SPLIT, "m2")
    with moved.room(moved.old) as room:
        (said,) = unfinished.settle(room, ("m1",))
        assert "set cut is whole and kept" in said
    assert moved.known(asked) is not None
    assert moved.left() == []


def test_leases_of_the_volumes_of_then_are_held_while_it_is_settled(
    from_eva: Moved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_eva.killed(Verb.SPLIT)
    seen: list[bool] = []
    split = ways._WAYS[Verb.SPLIT]

    def watched(there: Room, entry: Entry) -> str:
        names = [lease_name(there.provider, one) for one in entry.action.volumes]
        seen.extend(keeper.holds(one) for one in names)
        assert there.sources == entry.action.volumes
        return split(there, entry)

    monkeypatch.setitem(ways._WAYS, Verb.SPLIT, watched)
    shared: Catalog = open_catalog(tmp_path / "shared.sqlite").catalog
    keeper = Keeper(shared)
    try:
        with from_eva.room(from_eva.new) as room:
            room.keeper = keeper
            unfinished.settle(room)
        assert seen == [True, True]
        assert not any(keeper.holds(f"eva:{one}") for one in from_eva.old.wwns.values())  # type: ignore[attr-defined]
    finally:
        keeper.close()
        shared.close()


def hidden(bed: Bed) -> Path:
    """The old product cannot be reached any more."""
    file = bed.folder / "password"
    return file.rename(file.with_name("away"))


def test_a_product_that_is_away_does_not_keep_the_next_from_its_turn(from_eva: Moved) -> None:
    asked = from_eva.killed(Verb.SPLIT)
    away = hidden(from_eva.old)
    with from_eva.room(from_eva.new) as room:
        done = run_group(room, GROUP)
        assert done.error is None
        (said,) = done.settled
        assert "left as it is" in said
        assert "exshadow policy settle mail" in said
    (entry,) = from_eva.left()
    away.rename(away.with_name("password"))
    with from_eva.room(from_eva.new) as room:
        settled = settling.settle(room.service, room.desk, entry, "by-hand")
        assert settled.error is None
    assert from_eva.left() == []
    assert from_eva.known(asked) is not None


def test_what_is_gone_for_good_is_forgotten_with_a_reason(from_eva: Moved) -> None:
    from_eva.killed(Verb.SPLIT)
    hidden(from_eva.old)
    with from_eva.room(from_eva.new) as room:
        (entry,) = settling.left(room.desk)
        failed = settling.settle(room.service, room.desk, entry, "by-hand")
        assert failed.error is not None
        settling.forget(room.service, room.desk, entry, "the array was scrapped")
        found = room.journal.split_of(entry.action.set_id)
        assert found is not None
        assert (found.state, found.detail) == ("undone", "forgotten: the array was scrapped")
    assert from_eva.left() == []


def test_nothing_is_begun_while_production_may_be_half_of_a_restore(from_eva: Moved) -> None:
    split = from_eva.killed(Verb.SPLIT)
    with from_eva.room(from_eva.old) as room:
        unfinished.settle(room)
        asked = room.action(Verb.RESTORE, "m1", split.set_id, split.label)
        room.held_journal().begin("eva", asked)
    hidden(from_eva.old)
    with from_eva.room(from_eva.new) as room:
        done = run_group(room, GROUP)
        assert done.error is not None
        assert "production may be half of it" in done.error.hint
        assert done.made is None


def test_todays_settings_reach_the_product_those_of_then_say_what_a_copy_is(
    from_eva: Moved,
) -> None:
    asked = from_eva.killed(Verb.SPLIT)
    away = hidden(from_eva.old)
    then = settings_of(from_eva.old)
    today = {**then, "password_file": str(away), "kind": "snapshot", "allocation": "demand"}
    with from_eva.room(from_eva.new, eva=today) as room:
        (said,) = unfinished.settle(room)
        assert "set cut is whole and kept" in said
        (kept,) = documents(room.desk.catalog, asked.set_id)
        assert json.loads(kept.content) == {**then, "password_file": str(away)}
    assert from_eva.left() == []


def test_a_provider_whose_settings_changed_meanwhile_settles_as_of_then(from_eva: Moved) -> None:
    from_eva.killed(Verb.SPLIT, writers=True)
    changed = {**settings_of(from_eva.old), "kind": "snapshot"}
    with from_eva.room(from_eva.old) as room:
        today = replace(room, settings={"eva": changed}, provider=room.build("eva", changed))
        (said,) = unfinished.settle(today)
        assert "set cut is undone" in said
        today.provider.close()  # type: ignore[attr-defined]
    assert from_eva.mirror() is MirrorState.READY


def test_groups_that_no_policy_names_are_told(from_eva: Moved) -> None:
    from_eva.killed(Verb.SPLIT)
    with from_eva.room(from_eva.new) as room:
        assert settling.left_elsewhere(room.desk, ["mail"]) == []
        assert [one.action.group for one in settling.left_elsewhere(room.desk, ["web"])] == ["mail"]
        with room.alone():  # another run of it is under way
            assert settling.left_elsewhere(room.desk, ["web"]) == []
            (entry,) = settling.left(room.desk)
            busy = settling.settle(room.service, room.desk, entry, "by-hand").error
            assert isinstance(busy, Error)
            assert busy.code == "busy"
