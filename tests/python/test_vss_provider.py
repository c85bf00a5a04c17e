"""What the VSS provider deletes, and what it says of a set."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from provider_bed_vss import PROVIDER, FileSnapshots, VssBed, VssPlexBed
from provider_trial import Trial
from sfw_trial import LIMITS, NoJournal

from exshadow.errors import RefusedError, TimedOutError
from exshadow.providers.contract import Action, Stage, Standing, Verb
from exshadow.providers.steps import carry_out
from exshadow.providers.vss import VssProvider, copying
from exshadow.providers.vss.settings import parse
from exshadow.vss.tables import ObjectType

FIRST = "11111111-2222-3333-4444-555555555555"


class Killed(BaseException):
    """As kill -9."""


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[VssBed]:
    made = VssBed(tmp_path)
    yield made
    made.close()


def do(bed: VssBed, verb: Verb, provider: VssProvider | None = None) -> Standing:
    set_id = "" if verb is Verb.PREPARE else FIRST
    action = Action(f"a-{verb}", verb, bed.group, "m1", bed.sources, set_id)
    return carry_out(provider or bed.provider(), action, NoJournal(), limits=LIMITS)


def killed_split(bed: VssBed, *, after: bool) -> None:
    """The process dies before or after the service made the set."""
    provider = bed.provider()
    real = provider._service.backup

    def dies(request: object) -> None:
        if after:
            real(request)  # type: ignore[arg-type]
        raise Killed

    provider._service.backup = dies  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        do(bed, Verb.SPLIT, provider)


def add_set(bed: VssBed, *, later: float = 0.0, **values: object) -> str:
    """A set of the same volumes that somebody else has the service make."""
    shadows = FileSnapshots(bed.folder / "shadows")
    index, name = shadows.index(), str(uuid.uuid4())
    made = datetime.now(UTC) + timedelta(seconds=later)
    for source in bed.sources:
        snapshot = str(uuid.uuid4())
        shutil.copyfile(source.path, shadows.image(snapshot))
        index[snapshot] = {"set": name, "volume": source.path, "attributes": 0x19 | 0x20000,
                           "made": made.isoformat(), **values}  # fmt: skip
    shadows.write(index)
    return name


def sets(bed: VssBed) -> set[str]:
    return {str(one.set_id) for one in bed.provider()._service.snapshots()}


def test_what_a_killed_split_left_is_deleted_before_it_is_made_again(bed: VssBed) -> None:
    do(bed, Verb.PREPARE)
    killed_split(bed, after=True)
    (left,) = sets(bed)
    do(bed, Verb.SPLIT)
    assert len(sets(bed)) == 1
    assert left not in sets(bed)


@pytest.mark.parametrize(
    ("later", "values"),
    [(7200.0, {}), (-60.0, {}), (1.0, {"attributes": 0x20000}), (1.0, {"attributes": 0x40019})],
)
def test_a_set_that_others_made_of_the_same_volumes_stays(
    bed: VssBed, later: float, values: dict[str, object]
) -> None:
    do(bed, Verb.PREPARE)
    killed_split(bed, after=False)
    foreign = add_set(bed, later=later, **values)
    do(bed, Verb.SPLIT)
    assert foreign in sets(bed)
    assert len(sets(bed)) == 2


def test_a_set_of_another_vss_provider_stays(bed: VssBed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VssBed, "options", {"provider": "image files"})
    do(bed, Verb.PREPARE)
    killed_split(bed, after=False)
    slot = next(bed.provider()._slots.all())
    assert slot.provider == "0c1e5d3a-95d5-4a2f-8f61-6a5f5b0f7a11"
    provider = bed.provider()
    provider._slots.write(
        type(slot)(slot.group, slot.mirror, slot.set_id, slot.begun, context=slot.context,
                   provider=str(uuid.uuid4()))
    )  # fmt: skip
    foreign = add_set(bed)
    do(bed, Verb.SPLIT)
    assert foreign in sets(bed)


def test_where_two_sets_may_be_it_both_stay_until_the_administrator_chose(bed: VssBed) -> None:
    do(bed, Verb.PREPARE)
    killed_split(bed, after=True)
    (ours,) = sets(bed)
    foreign = add_set(bed)
    for verb in (Verb.SPLIT, Verb.ABORT):
        with pytest.raises(RefusedError) as caught:
            do(bed, verb)
        assert ours in caught.value.message
        assert foreign in caught.value.message
        assert sets(bed) == {ours, foreign}
    bed.provider()._service.delete(uuid.UUID(ours), ObjectType.SNAPSHOT_SET, force=True)
    do(bed, Verb.SPLIT)
    assert foreign in sets(bed)
    assert len(sets(bed)) == 2


def test_a_set_made_after_the_service_refused_is_not_ours(bed: VssBed) -> None:
    do(bed, Verb.PREPARE)
    provider = bed.provider()

    def refuses(request: object) -> None:
        raise RefusedError("busy")

    provider._service.backup = refuses  # type: ignore[method-assign, assignment]
    with pytest.raises(RefusedError, match="busy"):
        do(bed, Verb.SPLIT, provider)
    foreign = add_set(bed, later=60)
    assert do(bed, Verb.SPLIT).stage is Stage.DONE
    assert foreign in sets(bed)


def test_a_set_keeps_the_consistency_of_the_day_it_was_made(
    bed: VssBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(bed, Verb.PREPARE)
    assert do(bed, Verb.SPLIT).consistency == "crash"
    monkeypatch.setattr(VssBed, "options", {"writers": "yes"})
    split = Action("a", Verb.SPLIT, bed.group, "m1", bed.sources, FIRST)
    assert bed.provider().standing(split).consistency == "crash"


def test_a_volume_that_takes_less_than_it_is_given_gets_all_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, volume = tmp_path / "copy", tmp_path / "volume"
    copy.write_bytes(os.urandom(3 << 20))
    volume.write_bytes(bytes(3 << 20))

    class Short(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(memoryview(data)[:4099])

    @contextlib.contextmanager
    def locked(target: str) -> Iterator[Short]:
        with Short(target, "r+b") as file:
            yield file

    monkeypatch.setattr(copying, "_locked", locked)
    assert copying.copy_back(str(copy), str(volume)) == 3 << 20
    assert volume.read_bytes() == copy.read_bytes()


# --- copies that go on in the background ---


def plexes(bed: VssPlexBed, **changed: str) -> VssProvider:
    return VssProvider(parse({**bed.settings, **changed}), bed.provider()._service)


def test_a_full_copy_is_not_read_while_it_may_still_be_copied(tmp_path: Path) -> None:
    """VSS does not tell: a time passes, or a command of the administrator says so."""
    bed = VssPlexBed(tmp_path)
    trial = Trial(bed)
    set_id = trial.split()
    slow = plexes(bed, copying_seconds="1")
    (slot,) = slow._slots.all()
    slow._slots.write(replace(slot, begun=datetime.now(UTC).isoformat()))
    split = trial.action(Verb.SPLIT, set_id=set_id)
    assert "VSS does not tell" in slow.standing(split).detail
    assert "VSS does not tell" in slow.mirrors(bed.group, bed.sources)[0].detail
    told: list[str] = []
    slow.quieten(trial.action(Verb.SPLIT, "m2"), told.append)  # no other copy meanwhile
    assert "mirror m1" in told[0]
    assert not slow.standing(split).detail
    slow.start(trial.action(Verb.PRESENT, set_id=set_id))
    bed.close()


def test_a_command_says_when_the_copies_are_whole(tmp_path: Path) -> None:
    bed = VssPlexBed(tmp_path)
    trial = Trial(bed)
    set_id = trial.split()
    asked = tmp_path / "copied"
    asked.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/ids; test -e {tmp_path}/whole\n')
    asked.chmod(0o700)
    present = trial.action(Verb.PRESENT, set_id=set_id)
    with pytest.raises(TimedOutError, match="still being copied"):
        plexes(bed, copied=str(asked), copying_seconds="0.1").start(present)
    (tmp_path / "whole").touch()
    plexes(bed, copied=str(asked)).start(present)  # long before the hour has passed
    assert len((tmp_path / "ids").read_text().split()) == 3
    bed.close()


# --- a restore that would destroy newer generations ---


def test_a_revert_that_would_lose_newer_copies_is_refused(
    bed: VssBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows' own provider does it; copied back, nothing is lost."""
    monkeypatch.setattr("exshadow.providers.vss.restoring.SYSTEM_PROVIDER_ID", PROVIDER)
    trial = Trial(bed)
    then, older = trial.production(), trial.split()
    trial.scribble(b"later")
    newer, there = trial.split("m2"), bed.copies()
    with pytest.raises(RefusedError, match="would lose 1 newer copies"):
        trial.do(Verb.RESTORE, set_id=older)
    assert trial.production() != then
    trial.do(Verb.RESTORE, "m2", newer)  # the newest may
    trial.provider = VssProvider(
        parse({**bed.settings, "restore": "copy"}), trial.provider._service
    )
    trial.do(Verb.RESTORE, set_id=older)
    assert trial.production() == then
    assert bed.copies() == there


def test_what_a_killed_split_left_is_deleted_whole_though_its_abort_is_killed(
    bed: VssBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(bed, Verb.PREPARE)
    killed_split(bed, after=True)
    real = FileSnapshots.delete_snapshot

    def dies(self: FileSnapshots, snapshot: uuid.UUID, force: bool) -> None:
        real(self, snapshot, force)
        raise Killed

    monkeypatch.setattr(FileSnapshots, "delete_snapshot", dies)
    with contextlib.suppress(Exception):  # the coordinator ends what its provider died in
        do(bed, Verb.ABORT)
    monkeypatch.undo()
    assert len(bed.provider()._service.snapshots()) == 1
    do(bed, Verb.ABORT)
    assert sets(bed) == set()


@pytest.mark.parametrize("verb", [Verb.RESYNC, Verb.DISSOLVE, Verb.ABORT])
def test_a_set_whose_snapshots_are_partly_gone_is_one_half_given_up(
    bed: VssBed, verb: Verb
) -> None:
    """They go one by one: a kill between two must not look as if nothing had been done."""
    do(bed, Verb.PREPARE)
    do(bed, Verb.SPLIT)
    provider = bed.provider()
    action = Action("a", verb, bed.group, "m1", bed.sources, FIRST)
    assert provider.standing(action).stage is Stage.ABSENT
    first = provider._service.snapshots()[0]
    provider._service.delete(first.snapshot_id, ObjectType.SNAPSHOT, force=True)
    assert provider.standing(action).stage is Stage.HALF


def test_a_restore_killed_behind_its_first_volume_is_half_done(bed: VssBed) -> None:
    """Production is of two times then: nobody may say that nothing had been done."""
    do(bed, Verb.PREPARE)
    do(bed, Verb.SPLIT)
    then = [bed.read(one.name) for one in bed.sources]
    for one in bed.sources:
        bed.write(one.name, 0, b"since then")
    provider = bed.provider()
    real = provider._service.revert

    def dies(snapshot: uuid.UUID) -> None:
        real(snapshot)
        raise Killed

    provider._service.revert = dies  # type: ignore[method-assign, assignment]
    with pytest.raises(Killed):
        do(bed, Verb.RESTORE, provider)
    action = Action("a-restore", Verb.RESTORE, bed.group, "m1", bed.sources, FIRST)
    assert bed.provider().standing(action).stage is Stage.HALF
    do(bed, Verb.RESTORE)
    assert [bed.read(one.name) for one in bed.sources] == then
