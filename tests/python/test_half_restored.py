"""Production that a restore left half: nothing is made of it, and no good set is given up for it,
until a restore ends well or somebody says that production is as it should be."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from policy_killer import Killer
from provider_bed_eva import EvaBed
from provider_bed_sfw import SfwBed
from provider_bed_vss import VssBed
from provider_beds import Bed
from provider_trial import Rotation
from sfw_tools import Killed

from exshadow.catalog import Catalog
from exshadow.catalog.journal import CatalogJournal
from exshadow.catalog.leases import Leases
from exshadow.errors import BusyError, Error, ProviderError, RefusedError
from exshadow.model import SetRecord
from exshadow.providers.contract import Action, MirrorState, Provider, Verb
from exshadow.providers.eva.provider import EvaProvider
from exshadow.service.checks.wish import CheckWish
from exshadow.service.obstacles import obstacles
from exshadow.service.policy_run import elsewhere, settling, unfinished
from exshadow.service.policy_run.room import Room
from exshadow.service.policy_run.run import plan_run


@pytest.fixture(params=[EvaBed, SfwBed, VssBed], ids=lambda one: one.__name__)
def bed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bed]:
    folder = tmp_path / "bed"
    folder.mkdir()
    with closing(request.param(folder)) as made:
        yield made


@pytest.fixture
def rotation(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> Rotation:
    monkeypatch.setattr("exshadow.providers.registry.build", lambda *_: bed.provider())
    monkeypatch.setenv("EXSHADOW_VSS_SLOT", f"{bed.folder}/vss.lock")
    return Rotation(bed, verify=())


@pytest.fixture
def eva(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rotation]:
    with closing(EvaBed(tmp_path)) as bed:
        monkeypatch.setattr("exshadow.providers.registry.build", lambda *_: bed.provider())
        yield Rotation(bed, verify=())


@pytest.fixture
def sfw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rotation]:
    with closing(SfwBed(tmp_path)) as bed:
        monkeypatch.setattr("exshadow.providers.registry.build", lambda *_: bed.provider())
        yield Rotation(bed, verify=())


def states(room: Room) -> dict[str, MirrorState]:
    return {one.label: one.state for one in room.provider.mirrors(room.group, room.sources)}


def written(bed: Bed, word: str) -> None:
    for one in bed.sources:
        bed.write(one.name, one.size // 2, word.encode().ljust(4096, b"#"))


def made_of(rotation: Rotation) -> SetRecord:
    made = rotation.good().made
    assert made is not None
    return made


def half(bed: Bed, room: Room, one: SetRecord) -> Action:
    """A restore that was killed between its two volumes."""
    asked = room.action(Verb.RESTORE, room.mirror_of(one), one.id, one.label)
    room.held_journal().begin(room.provider.name, asked)
    start_half(bed, room.provider.start, asked)
    return asked


def start_half(bed: Bed, start: Callable[[Action], None], asked: Action) -> None:
    """Of the restore only the first volume's step."""
    if not isinstance(bed, SfwBed):
        start(replace(asked, volumes=asked.volumes[:1]))
        return
    given = bed.commands.given

    def watch() -> str:
        if given and "snapback" in given[-1]:
            raise Killed
        return ""

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bed.commands, "watch", watch)
        with pytest.raises(Killed):
            start(asked)


def shown(rotation: Rotation) -> dict[str, bytes]:
    """Production's bytes; nothing while its letters are away."""
    try:
        return rotation.production()
    except FileNotFoundError:
        return {}


def refused(rotation: Rotation) -> RefusedError:
    done = rotation.run()
    assert isinstance(done.error, RefusedError), done.error
    assert done.made is None
    assert "production may be half of it" in done.error.message
    return done.error


def ready(rotation: Rotation) -> set[str]:
    with rotation.room() as room:
        return {one.id for one in room.sets() if one.state == "ready"}


def test_a_restore_killed_between_two_volumes_stops_runs_until_it_is_done_again(
    bed: Bed, rotation: Rotation
) -> None:
    with closing(Killer()) as killer:
        written(bed, "good")
        one = made_of(rotation)
        then = rotation.production()
        written(bed, "damage")
        words = ("restore", f"{one.group}@{one.label}", "--yes")
        whole = killer.command(bed, *words)
        assert whole.status == 0
        written(bed, "damage")
        told = [number for number, step in enumerate(whole.steps, 1) if step == "restore told"]
        assert killer.command(bed, *words, deadly=told[(len(told) - 1) // 2]).killed
        assert shown(rotation) != then
        there = ready(rotation)
        refused(rotation)
        refused(rotation)
        assert ready(rotation) == there
        assert killer.command(bed, *words).status == 0
        assert rotation.production() == then
        rotation.good()
        rotation.check()


def test_a_restore_that_fails_between_two_volumes_stops_runs_until_it_is_forgotten(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made_of(rotation)
    with rotation.room() as room:
        start = room.provider.start

        def fails(action: Action) -> None:
            start_half(rotation.bed, start, action)
            raise ProviderError("the cable was pulled")

        monkeypatch.setattr(room.provider, "start", fails)
        with pytest.raises(ProviderError, match="the cable was pulled") as caught:
            room.do(room.action(Verb.RESTORE, room.mirror_of(one), one.id, one.label))
        assert "production may be half" in caught.value.hint
    assert "--forget" in refused(rotation).hint
    with rotation.room() as room:
        plan = plan_run(room, rotation.group).plan
        assert any("production may be half" in text for text in plan.warnings)
        (entry,) = settling.left(room.desk)
        settling.forget(room.service, room.desk, entry, "compared: it is whole")
    rotation.good()


def test_a_restore_that_failed_before_it_began_stops_nothing(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made_of(rotation)
    with rotation.room() as room:

        def fails(action: Action) -> None:
            raise RefusedError("production is mounted")

        monkeypatch.setattr(room.provider, "start", fails)
        with pytest.raises(RefusedError, match="mounted"):
            room.do(room.action(Verb.RESTORE, room.mirror_of(one), one.id, one.label))
        assert room.journal.unfinished(room.group) == []
    rotation.good()


def test_a_restore_from_another_set_makes_production_whole(rotation: Rotation) -> None:
    first, second = made_of(rotation), made_of(rotation)
    with rotation.room() as room:
        half(rotation.bed, room, first)
        elsewhere.carry_out(room.service, room.desk, second, "restore")
        assert room.journal.unfinished(room.group) == []
    rotation.good()


@pytest.mark.parametrize("bed", [EvaBed, VssBed], indirect=True)
@pytest.mark.parametrize("where", ["group", "host"])
def test_production_that_another_left_half_is_not_split(rotation: Rotation, where: str) -> None:
    one = made_of(rotation)
    with rotation.room() as room:
        if where == "group":
            other = replace(room, group="web")
        else:
            catalog = Catalog(room.desk.catalog.engine, "another host")
            other = replace(room, journal=CatalogJournal(catalog, "theirs"))
        asked = replace(half(rotation.bed, room, one), id=str(uuid.uuid4()), group=other.group)
        for entry in room.journal.unfinished("mail"):
            room.journal.end(entry.action, "done")
        other.held_journal().begin(other.provider.name, asked)
    assert f"of {'this' if where == 'group' else 'another'} host" in refused(rotation).message
    with rotation.room() as room:  # a whole restore by whomever makes it good
        room.do(room.action(Verb.RESTORE, room.mirror_of(one), one.id, one.label))
    rotation.good()


@pytest.mark.parametrize("bed", [EvaBed], indirect=True)
def test_what_a_host_left_half_that_is_gone_for_good_can_be_forgotten(rotation: Rotation) -> None:
    one = made_of(rotation)
    with rotation.room() as room:
        catalog = Catalog(room.desk.catalog.engine, "another host")
        other = replace(room, journal=CatalogJournal(catalog, "theirs"))
        asked = replace(half(rotation.bed, room, one), id=str(uuid.uuid4()))
        for entry in room.journal.unfinished("mail"):
            room.journal.end(entry.action, "done")
        other.held_journal().begin(other.provider.name, asked)
    assert "policy settle mail --elsewhere --forget" in refused(rotation).hint
    with rotation.room() as room:
        (entry,) = settling.left_by_other_hosts(room.desk, ["mail"])
        leases = Leases(catalog, "that host")
        held = [leases.acquire(name) for name in entry.identities]
        alive = settling.forget_of_other_host(room.desk, entry, "it burned")
        assert isinstance(alive.error, BusyError)
        leases.release(held)
        assert settling.forget_of_other_host(room.desk, entry, "it burned").error is None
        assert settling.left_by_other_hosts(room.desk, ["mail"]) == []
    rotation.good()


def test_a_restore_that_was_left_half_gives_way_to_another_set(sfw: Rotation) -> None:
    written(sfw.bed, "first")
    first = made_of(sfw)
    written(sfw.bed, "second")
    then, second = sfw.production(), made_of(sfw)
    with sfw.room() as room:
        half(sfw.bed, room, first)
        assert shown(sfw) == {}
        elsewhere.carry_out(room.service, room.desk, second, "restore")
        assert sfw.production() == then
        assert room.journal.unfinished(room.group) == []
        assert MirrorState.RESTORING not in states(room).values()
        elsewhere.carry_out(room.service, room.desk, first, "resync")
        assert states(room)[room.mirror_of(first)] is MirrorState.READY
    sfw.good()
    sfw.check()


@pytest.mark.parametrize("way", ["restore", "forget"])
def test_a_restore_that_the_product_is_at_work_on_is_waited_for(sfw: Rotation, way: str) -> None:
    first, second = made_of(sfw), made_of(sfw)
    sfw.bed.hold()
    with sfw.room() as room:
        half(sfw.bed, room, first)
        if way == "restore":
            other = room.action(Verb.RESTORE, room.mirror_of(second), second.id, second.label)
            with pytest.raises(RefusedError, match="the product is at work on it") as caught:
                room.provider.start(other)
            assert "wait" in caught.value.hint
        else:
            (entry,) = settling.left(room.desk)
            done = settling.forget(room.service, room.desk, entry, "it is whole")
            assert isinstance(done.error, BusyError)
            assert settling.left(room.desk) == [entry]
        assert shown(sfw) == {}
        sfw.bed.release()
        elsewhere.carry_out(room.service, room.desk, second, "restore")
    sfw.good()


def test_a_restore_that_is_forgotten_mounts_production_and_frees_its_mirror(sfw: Rotation) -> None:
    one = made_of(sfw)
    then = sfw.production()
    with sfw.room() as room:
        half(sfw.bed, room, one)
        mirror = room.mirror_of(one)
        assert states(room)[mirror] is MirrorState.RESTORING
        resync = room.action(Verb.RESYNC, mirror, one.id, one.label)
        with pytest.raises(RefusedError, match="is being restored or promoted") as caught:
            room.provider.start(resync)
        assert f"exshadow restore {one.id}" in caught.value.hint
        assert "exshadow policy settle mail --forget REASON" in caught.value.hint
        (entry,) = settling.left(room.desk)
        done = settling.forget(room.service, room.desk, entry, "compared: it is whole")
        assert (done.error, settling.left(room.desk)) == (None, [])
        assert "production is mounted as it was" in done.done
        assert sfw.production() == then
        room.do(resync)
        assert states(room)[mirror] is MirrorState.READY
    sfw.good()
    sfw.check()


@pytest.mark.parametrize("given", [0, 1], ids=["letters away", "a letter moved"])
def test_a_promotion_that_is_forgotten_leaves_nothing_under_way(sfw: Rotation, given: int) -> None:
    one = made_of(sfw)
    then = sfw.production()
    with sfw.room() as room:
        asked = room.action(Verb.PROMOTE, room.mirror_of(one), one.id, one.label)
        room.held_journal().begin(room.provider.name, asked)
        assigned = len(calls(sfw, "assign")) + given
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(sfw.bed.commands, "watch", lambda: dies(sfw, assigned))
            with pytest.raises(Killed):
                room.provider.start(asked)
        assert shown(sfw) == {}
        (entry,) = settling.left(room.desk)
        done = settling.forget(room.service, room.desk, entry, "looked at")
        assert (done.error, settling.left(room.desk)) == (None, [])
        assert MirrorState.RESTORING not in states(room).values()
    assert shown(sfw) == ({} if given else then)
    assert given or sfw.good()


def calls(rotation: Rotation, word: str) -> list[list[str]]:
    return [one for one in rotation.bed.commands.given if word in one]


def dies(rotation: Rotation, assigned: int) -> str:
    """Once production has lost both letters and so many were assigned since."""
    if len(calls(rotation, "unassign")) >= 2 and len(calls(rotation, "assign")) >= assigned:
        raise Killed
    return ""


def test_groups_with_one_volume_exclude_each_other(eva: Rotation) -> None:
    with eva.room() as room, room.alone():
        other = replace(room, group="web", sources=room.sources[:1], keeper=None)
        with pytest.raises(BusyError, match="run of mail"), other.alone():
            raise AssertionError("both had it")
    with other.alone():
        pass


def test_a_set_is_looked_for_where_it_was_made_whatever_the_policy_says_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXSHADOW_VSS_SLOT", f"{tmp_path}/vss.lock")
    with closing(VssBed(tmp_path)) as bed:
        rotation = Rotation(bed, verify=())
        one = made_of(rotation)

        def build(name: str, settings: Mapping[str, str]) -> Provider:
            monkeypatch.setattr(bed, "options", {"sets": settings["sets"]}, raising=False)
            return bed.provider()

        today = {**bed.settings, "sets": f"{tmp_path}/moved"}
        with rotation.room() as room:
            moved = replace(
                room, build=build, provider=build("vss", today), settings={"vss": today}
            )
            assert unfinished.settle(moved) == []
            assert room.service.show_set(one.id).state == "ready"
            room.desk.catalog.change_set(one.id, state="failed")
            (said,) = unfinished.settle(moved)
            assert "found again" in said
            assert room.service.show_set(one.id).state == "ready"


def test_what_cannot_be_settled_is_no_success_and_stays_listed(
    eva: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made_of(eva)
    with eva.room() as room:
        room.do(room.action(Verb.PREPARE, "m2"))
        room.do(room.action(Verb.SPLIT, "m2", cut := str(uuid.uuid4()), "cut"))
        asked = [
            room.action(Verb.RESYNC, room.mirror_of(one), one.id, one.label),
            room.action(Verb.ABORT, "m2", cut, "cut"),
            room.action(Verb.PREPARE, "m3"),
        ]
        for action in asked:
            room.held_journal().begin(room.provider.name, action)
            room.provider.start(replace(action, volumes=action.volumes[:1]))

        def fails(provider: object, action: Action) -> None:
            raise ProviderError("the array is locked")

        def settled() -> list[Error | None]:
            left = settling.left(room.desk)
            return [settling.settle(room.service, room.desk, each, "by").error for each in left]

        with monkeypatch.context() as patched:
            patched.setattr(EvaProvider, "start", fails)
            assert [type(error) for error in settled()] == [ProviderError] * 3
        ids = [entry.action.id for entry in settling.left(room.desk)]
        assert ids[:3] == [action.id for action in asked]
        assert not any(settled())
        assert settling.left(room.desk) == []


def test_a_restore_does_not_wait_for_what_other_mirrors_were_left_with(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made_of(rotation)
    then = rotation.production()
    written(rotation.bed, "damage")
    with rotation.room() as room:
        label = next(label for label in rotation.bed.mirrors if label != room.mirror_of(one))
        split = room.action(Verb.SPLIT, label, str(uuid.uuid4()), "cut", writers=True)
        for asked in (room.action(Verb.PREPARE, label), split):
            room.held_journal().begin(room.provider.name, asked)

        def cannot(room: Room, action: Action) -> None:
            raise RefusedError("it cannot be undone")

        monkeypatch.setattr("exshadow.service.policy_run.making.undo", cannot)
        elsewhere.carry_out(room.service, room.desk, one, "restore")
        assert rotation.production() == then
        verbs = [entry.action.verb for entry in room.journal.unfinished(room.group)]
        assert verbs == [Verb.PREPARE, Verb.SPLIT]
        found = {each.label: each.state for each in room.provider.mirrors("mail", room.sources)}
        assert found.get(label) in (None, MirrorState.NONE, MirrorState.READY)


@pytest.mark.parametrize("bed", [EvaBed, VssBed], indirect=True)
def test_looking_at_a_set_writes_nothing_to_half_restored_production(
    bed: Bed, rotation: Rotation
) -> None:
    written(bed, "good")
    one = made_of(rotation)
    written(bed, "later")
    with rotation.room() as room:
        half(rotation.bed, room, one)
        there = rotation.production()
        elsewhere.verify(room.service, room.desk, one, CheckWish(("bytes",)))
        assert rotation.production() == there
    refused(rotation)


def test_status_tells_of_a_half_restore(rotation: Rotation) -> None:
    one = made_of(rotation)
    with rotation.room() as room:
        half(rotation.bed, room, one)
        places = [source.name for source in room.sources]
        catalog, now = room.desk.catalog, datetime.now(UTC)
        (told,) = obstacles(
            room.service, catalog, room.group, rotation.group, places, now=now, zone=UTC
        )
    assert "did not come to its end" in told
