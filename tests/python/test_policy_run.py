"""policy run over any provider: rotation, what is kept with a set, what a killed run left."""

from __future__ import annotations

import errno
import os
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from provider_beds import Bed
from provider_trial import LIMITS, MemoryJournal, Rotation, bed_classes
from vss_writers import Application

from exshadow.catalog.documents import documents, keep_document
from exshadow.errors import (
    CancelledError,
    CorruptError,
    Error,
    ProviderError,
    RefusedError,
    UnsupportedError,
)
from exshadow.model import SetRecord
from exshadow.policy.retention import Fate, Held
from exshadow.providers.contract import Action, Mirror, MirrorState, Provider, Stage, Verb
from exshadow.providers.steps import carry_out
from exshadow.service.policy_run import elsewhere, making, unfinished
from exshadow.service.policy_run.room import Room
from exshadow.service.policy_run.rotation import turn


@pytest.fixture(params=bed_classes(), ids=lambda one: one.__name__)
def rotation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rotation]:
    bed: Bed = request.param(tmp_path)
    try:
        yield Rotation(bed)
    finally:
        bed.close()


def wrote(rotation: Rotation, word: str) -> dict[str, bytes]:
    """Production after something was written to every volume."""
    for source in rotation.bed.sources:
        rotation.bed.write(source.name, source.size // 2, word.encode().ljust(4096, b"#"))
    return rotation.production()


@contextmanager
def where_it_can() -> Iterator[None]:
    """Skips what this kind of copy can never do, as it says itself."""
    try:
        yield
    except UnsupportedError as problem:
        pytest.skip(problem.message)


def test_the_same_policy_gives_the_same_with_every_provider(rotation: Rotation) -> None:
    """Prepare, three rotations, verify, restore, promote: equal facts, equal bytes."""
    made = []
    for number in range(4):
        then = wrote(rotation, f"run {number}")
        made.append((rotation.good(), then))
        rotation.check()
    assert [one.mirror for one, _ in made] == ["m1", "m2", "m1", "m2"]
    newest, then = made[-1]
    assert newest.made is not None
    facts = newest.made
    assert (facts.state, facts.consistency, facts.provider) == (
        "ready", "crash", rotation.bed.provider().name,
    )  # fmt: skip
    assert [(one.check, one.ok) for one in facts.checks] == [("bytes", True)]
    assert [one.volume for one in facts.members] == ["db", "logs"]
    for run, bytes_ in made[-2:]:
        assert run.made is not None
        assert rotation.bytes_of(run.made) == bytes_
    wrote(rotation, "damage")
    with rotation.room() as room, where_it_can():
        room.do(room.action(Verb.RESTORE, newest.mirror, facts.id, facts.label))
    assert rotation.production() == then
    wrote(rotation, "damage again")
    with rotation.room() as room, where_it_can():
        room.do(room.action(Verb.PROMOTE, newest.mirror, facts.id, facts.label))
        assert facts.id not in {one.id for one in room.sets() if one.state == "ready"}
    assert rotation.production() == then


@pytest.mark.parametrize("verb", ["restore", "promote", "resync", "delete"])
def test_a_set_needs_no_policy_any_more(
    rotation: Rotation, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the journal and what was kept with the set; for the native engine the volumes know."""
    then = wrote(rotation, "good")
    made = rotation.good().made
    assert made is not None
    damaged = wrote(rotation, "damage")
    if not elsewhere.is_elsewhere(made):
        pytest.skip("the native engine's own commands do it")

    def build(name: str, settings: Mapping[str, str]) -> Provider:
        assert (name, settings) == (rotation.bed.provider().name, rotation.settings)
        return rotation.bed.provider()

    monkeypatch.setattr("exshadow.providers.registry.build", build)
    with rotation.room() as room, where_it_can():
        elsewhere.carry_out(room.service, room.desk, made, verb)
        state = room.service.show_set(made.id).state
    assert state == ("ready" if verb == "restore" else "dissolved")
    assert rotation.production() == (then if verb in ("restore", "promote") else damaged)


def test_documents_are_kept_twice_with_their_hash(rotation: Rotation) -> None:
    made = rotation.good().made
    assert made is not None
    with rotation.room() as room:
        for one in documents(room.desk.catalog, made.id):
            assert [Path(path).read_bytes() for path in one.paths] == [one.content]


def test_a_damaged_document_is_told(rotation: Rotation) -> None:
    with rotation.room() as room:
        keep_document(room.desk.catalog, "set", "a.xml", b"<a/>", ["/second"])
        assert [one.content for one in documents(room.desk.catalog, "set")] == [b"<a/>"]
        with room.desk.catalog.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE documents SET content = 'PGIvPg=='")
        with pytest.raises(CorruptError, match=r"a\.xml") as damaged:
            documents(room.desk.catalog, "set")
        assert "/second" in damaged.value.hint


def test_two_runs_of_a_group_exclude_each_other(rotation: Rotation) -> None:
    with rotation.room() as room, room.alone():
        error = rotation.run().error
    assert error is not None
    assert error.code == "busy"


def told_at_end(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What hooks and people are told of runs, in order."""
    told: list[str] = []
    where = "exshadow.service.policy_run.around"
    monkeypatch.setattr(f"{where}.run_hooks", lambda hooks, event, facts: told.append(event))
    monkeypatch.setattr(
        f"{where}.run_every_hook", lambda hooks, event, facts, warn: told.append(event)
    )
    monkeypatch.setattr(f"{where}.tell", lambda part, one: told.append(one.outcome) or [])
    return told


def test_the_hooks_of_a_group_that_another_run_holds_are_left_alone(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = told_at_end(monkeypatch)
    with rotation.room() as room, room.alone():
        rotation.run()
    assert told == ["failure"]


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), CancelledError("left")])
def test_a_run_that_is_stopped_is_told_as_well(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    told = told_at_end(monkeypatch)

    def stops(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr("exshadow.service.policy_run.making.make", stops)
    with pytest.raises(type(problem)):
        rotation.run()
    assert told == ["before", "on-error", "failure"]


def test_a_full_disk_fails_the_group_and_is_told(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = told_at_end(monkeypatch)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("exshadow.service.policy_run.making.make", full)
    error = rotation.run().error
    assert error is not None
    assert error.exit_status != 1
    assert told == ["before", "on-error", "failure"]


def test_a_set_of_which_nothing_was_presented_is_not_proved(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rotation.bed.provider().name == "native":
        pytest.skip("the volumes check it by themselves")
    monkeypatch.setattr(Room, "presented", lambda room, one: nullcontext(()))
    error = rotation.run().error
    assert error is not None
    assert "presented no copy" in error.message


def test_documents_are_whole_or_as_they_were(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(errno.EIO, "bad disk")

    with rotation.room() as room:
        making.keep(room, "one", "a.xml", b"<whole/>")
        monkeypatch.setattr(os, "fsync", fails)
        with pytest.raises(Error, match=r"a\.xml"):
            making.keep(room, "one", "a.xml", b"<ha")
        monkeypatch.undo()
        (file,) = (room.desk.folder.path / "documents" / "one").iterdir()
        assert (file.name, file.read_bytes()) == ("a.xml", b"<whole/>")


# --- with writers ---


@pytest.fixture
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    made = Application(tmp_path)
    yield made
    made.end()


def with_writer(rotation: Rotation, name: str, application: Application) -> None:
    writers = (f"vss_writers:{name}?pid={application.pid}&log={rotation.bed.folder}/log",)
    rotation.group = rotation.group.model_copy(update={"writers": writers})
    if rotation.bed.provider().name == "vss":
        error = rotation.run().error
        assert error is not None
        assert "asks Windows' writers by itself" in error.message
        rotation.check()
        pytest.skip("refused, as it should be")


def test_any_provider_splits_with_the_writers_frozen(
    rotation: Rotation, application: Application
) -> None:
    with_writer(rotation, "ProvenWriter", application)
    then = rotation.production()
    made = rotation.good().made
    assert made is not None
    assert made.consistency == "application"
    assert rotation.bytes_of(made) == then
    told = (rotation.bed.folder / "log").read_text().split()
    assert told.index("freeze") < told.index("thaw") < told.index("succeeded=True")
    application.goes_on_within(10)
    rotation.check()
    with rotation.room() as room:
        assert "components.xml" in {one.name for one in documents(room.desk.catalog, made.id)}


def test_no_provider_keeps_a_set_whose_writer_refused(
    rotation: Rotation, application: Application
) -> None:
    with_writer(rotation, "RefusingWriter", application)
    done = rotation.run()
    assert done.error is not None
    assert done.error.code == "writer_failed"
    rotation.check()
    rotation.group = rotation.group.model_copy(update={"writers": ()})
    rotation.good()
    rotation.check()


# --- whose turn it is ---

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def a_set(label: str, hours: int) -> SetRecord:
    created = (NOW - timedelta(hours=hours)).isoformat()
    return SetRecord(label, label, "mail", created, "sfw", "crash", "ready", ())


def fates_of(*sets: SetRecord, keep: tuple[str, ...] = (), why: str = "last") -> list[Fate]:
    return [
        Fate(Held(one.id, datetime.fromisoformat(one.created)), (why,) if one.id in keep else ())
        for one in sets
    ]


def split_mirrors(*labels: str) -> dict[str, Mirror]:
    return {label: Mirror(label, MirrorState.SPLIT) for label in labels}


def test_a_ready_mirror_is_taken_before_a_set_is_given_up() -> None:
    one = a_set("old", 5)
    mirrors = split_mirrors("m1") | {"m2": Mirror("m2", MirrorState.READY)}
    found = turn(("m1", "m2"), mirrors, {"m1": one}, fates_of(one))
    assert (found.mirror, found.gives_up) == ("m2", None)


def test_what_retention_gives_up_goes_before_what_is_older() -> None:
    older, younger = a_set("older", 9), a_set("younger", 5)
    held = {"m1": older, "m2": younger}
    found = turn(
        ("m1", "m2"), split_mirrors("m1", "m2"), held, fates_of(older, younger, keep=("older",))
    )
    assert found.gives_up == younger
    both = fates_of(older, younger, keep=("older", "younger"))
    assert turn(("m1", "m2"), split_mirrors("m1", "m2"), held, both).gives_up == older


@pytest.mark.parametrize("why", ["pinned until 2027-01-01 00:00", "newest verified"])
def test_pinned_and_newest_verified_sets_keep_their_mirrors(why: str) -> None:
    one = a_set("only", 5)
    fates = fates_of(one, keep=("only",), why=why)
    with pytest.raises(RefusedError, match=why.split()[0]):
        turn(("m1",), split_mirrors("m1"), {"m1": one}, fates)


def test_broken_mirrors_are_nobodys_turn() -> None:
    broken = {"m1": Mirror("m1", MirrorState.BROKEN)}
    with pytest.raises(RefusedError, match="m1 is broken"):
        turn(("m1",), broken, {}, [])


def test_a_mirror_of_former_production_is_told_with_its_set_and_what_to_write() -> None:
    """After a promotion, when the newest verified set has the other mirror."""
    old, new = a_set("old", 9), a_set("new", 5)
    fates = fates_of(old, new, keep=("new",), why="newest verified")
    mirrors = split_mirrors("m1") | {"m2": Mirror("m2", MirrorState.BROKEN, detail="a stranger")}
    with pytest.raises(RefusedError, match=r"m2 is a stranger \(set old\)") as caught:
        turn(("m1", "m2"), mirrors, {"m1": new, "m2": old}, fates)
    assert 'mirrors = ["m1", "m2", "m3"]' in caught.value.hint
    assert caught.value.hint.endswith("exshadow snapshot delete mail@old")


# --- what a killed run left ---


def begun(room: Room, action: Action, *, starts: bool) -> Action:
    """As a run leaves it that is killed before or after the provider was given it."""
    room.journal.begin(room.provider.name, action)
    if starts:
        room.provider.start(action)
    return action


def states(room: Room, *actions: Action) -> list[str]:
    entries = {one.action.id: one.state for one in room.journal.of_run(room.journal.run_id)}
    return [entries[one.id] for one in actions]


@pytest.mark.parametrize("starts", [False, True])
def test_a_split_whose_writers_nobody_asked_is_undone(rotation: Rotation, starts: bool) -> None:
    rotation.good()
    with rotation.room() as room:
        asked = room.action(Verb.SPLIT, "m2", str(uuid.uuid4()), "cut", writers=True)
        begun(room, asked, starts=starts)
        unfinished.settle(room)
        assert states(room, asked) == ["undone"]
        mirrors = {one.label: one.state for one in room.provider.mirrors("mail", room.sources)}
        assert mirrors["m2"] in (MirrorState.READY, MirrorState.NONE)
    rotation.good()
    rotation.check()


def test_a_set_that_a_later_run_finishes_has_the_time_of_its_split(rotation: Rotation) -> None:
    rotation.good()
    with rotation.room() as room:
        if room.provider.name == "native":
            pytest.skip("the volume files know when it was")
        asked = room.action(Verb.SPLIT, "m2", str(uuid.uuid4()), "cut")
        carry_out(room.provider, replace(asked, verb=Verb.PREPARE, set_id=""), MemoryJournal(),
                  limits=LIMITS)  # fmt: skip
        begun(room, asked, starts=True)
        after = datetime.now(UTC)
        time.sleep(0.01)
        unfinished.settle(room)
        made = room.service.show_set(asked.set_id)
        assert datetime.fromisoformat(made.created) < after


def test_a_set_that_was_recorded_before_the_kill_keeps_its_time_and_pin(
    rotation: Rotation,
) -> None:
    made = rotation.good().made
    assert made is not None
    if not elsewhere.is_elsewhere(made):
        pytest.skip("the volume files have the pin")
    with rotation.room() as room:
        entry = room.journal.split_of(made.id)
        assert entry is not None
        room.journal.end(entry.action, "started")  # killed before the journal heard of its end
        room.desk.catalog.change_set(made.id, pinned_until="2099-01-01T00:00:00Z")
        unfinished.settle(room)
        again = room.service.show_set(made.id)
        assert (again.created, again.pinned_until, again.hold_us) == (
            made.created, "2099-01-01T00:00:00Z", made.hold_us,
        )  # fmt: skip


def test_a_restore_that_had_not_begun_is_never_begun_later(rotation: Rotation) -> None:
    """Whoever wrote to production meanwhile would lose it."""
    made = rotation.good()
    assert made.made is not None
    now = wrote(rotation, "since then")
    with rotation.room() as room:
        asked = room.action(Verb.RESTORE, made.mirror, made.made.id, made.made.label)
        begun(room, asked, starts=False)
        unfinished.settle(room)
        assert states(room, asked) == ["undone"]
    assert rotation.production() == now


def test_what_was_presented_is_taken_back(rotation: Rotation) -> None:
    made = rotation.good()
    assert made.made is not None
    with rotation.room() as room:
        asked = room.action(Verb.PRESENT, made.mirror, made.made.id, made.made.label)
        begun(room, asked, starts=True)
        unfinished.settle(room)
        assert states(room, asked) == ["undone"]
        if elsewhere.is_elsewhere(made.made):
            standing = room.provider.standing(asked)
            assert standing.stage is not Stage.DONE
    rotation.check()


@pytest.mark.parametrize("at_once", [True, False])
def test_what_a_failed_presentation_left_is_taken_back(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    """At once; where that fails as well, by the next run."""
    made = rotation.good().made
    assert made is not None
    if not elsewhere.is_elsewhere(made):
        pytest.skip("its copies are files that can always be read")
    with rotation.room() as room:
        start = room.provider.start

        def fails(action: Action) -> None:
            if action.verb is Verb.UNPRESENT and not at_once:
                raise ProviderError("not now")
            start(action)
            if action.verb is Verb.PRESENT:
                raise ProviderError("the second device did not come")

        monkeypatch.setattr(room.provider, "start", fails)
        with pytest.raises(ProviderError, match="second device"), room.presented(made):
            raise AssertionError("it was not presented")
        monkeypatch.undo()
        if not at_once:
            unfinished.settle(room)
        (asked,) = (
            one.action
            for one in room.journal.of_run(room.journal.run_id)
            if one.action.verb is Verb.PRESENT
        )
        assert states(room, asked) == ["undone"]
        assert room.provider.standing(asked).stage is not Stage.DONE
    rotation.check()


def test_a_resync_that_had_begun_is_finished(rotation: Rotation) -> None:
    made = rotation.good()
    assert made.made is not None
    with rotation.room() as room:
        asked = room.action(Verb.RESYNC, made.mirror, made.made.id, made.made.label)
        begun(room, asked, starts=True)
        unfinished.settle(room)
        assert states(room, asked) == ["done"]
        assert [one.state for one in room.sets() if one.id == made.made.id] == []
    rotation.check()


@pytest.mark.parametrize("verb", [Verb.RESYNC, Verb.DISSOLVE, Verb.PROMOTE])
def test_what_ends_a_set_and_had_not_begun_is_never_begun_later(
    rotation: Rotation, verb: Verb
) -> None:
    """Whoever wants the set back, or pinned it meanwhile, would lose it."""
    then = wrote(rotation, "good")
    made = rotation.good()
    assert made.made is not None
    wrote(rotation, "since then")
    with rotation.room() as room:
        asked = room.action(verb, made.mirror, made.made.id, made.made.label)
        begun(room, asked, starts=False)
        unfinished.settle(room)
        assert states(room, asked) == ["undone"]
        assert room.service.show_set(made.made.id).state == "ready"
    assert rotation.bytes_of(made.made) == then
    rotation.check()


def test_a_restore_after_a_killed_resync_of_the_same_set_has_its_bytes(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    then = wrote(rotation, "good")
    made = rotation.good()
    assert made.made is not None
    wrote(rotation, "damage")
    if not elsewhere.is_elsewhere(made.made):
        pytest.skip("the native engine's own commands do it")
    monkeypatch.setattr("exshadow.providers.registry.build", lambda *_: rotation.bed.provider())
    with rotation.room() as room, where_it_can():
        asked = room.action(Verb.RESYNC, made.mirror, made.made.id, made.made.label)
        begun(room, asked, starts=False)
        elsewhere.carry_out(room.service, room.desk, made.made, "restore")
    assert rotation.production() == then


def test_a_set_that_what_was_left_has_ended_is_not_restored(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rotation.good()
    assert made.made is not None
    now = wrote(rotation, "since then")
    if not elsewhere.is_elsewhere(made.made):
        pytest.skip("the native engine's own commands do it")
    monkeypatch.setattr("exshadow.providers.registry.build", lambda *_: rotation.bed.provider())
    with rotation.room() as room:
        asked = room.action(Verb.RESYNC, made.mirror, made.made.id, made.made.label)
        begun(room, asked, starts=True)
        with pytest.raises(RefusedError, match="in state dissolved"):
            elsewhere.carry_out(room.service, room.desk, made.made, "restore")
        assert room.journal.done(room.group, Verb.RESTORE) == []
    assert rotation.production() == now


def test_what_a_failed_resync_left_of_a_set_is_resynced_by_the_next_run(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No set stays half there."""
    made = rotation.good()
    assert made.made is not None
    with rotation.room() as room:
        resync = room.action(Verb.RESYNC, made.mirror, made.made.id, made.made.label)
        start = room.provider.start

        def fails(action: Action) -> None:
            start(action)
            raise ProviderError("the manager is gone")

        monkeypatch.setattr(room.provider, "start", fails)
        with pytest.raises(ProviderError, match="manager"):
            room.do(resync)
        monkeypatch.undo()
        unfinished.settle(room)
        assert states(room, resync) == ["done"]
        assert room.service.show_set(made.made.id).state == "dissolved"
    rotation.check()


def test_a_set_that_somebody_removed_from_the_product_is_told(rotation: Rotation) -> None:
    made = rotation.good()
    assert made.made is not None
    with rotation.room() as room:
        resync = room.action(Verb.RESYNC, made.mirror, made.made.id, made.made.label)
        carry_out(room.provider, resync, MemoryJournal(), limits=LIMITS)
        unfinished.settle(room)
        assert room.service.show_set(made.made.id).state in ("failed", "dissolved")
    rotation.good()
