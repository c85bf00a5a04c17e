"""kill -9 at every step of a policy run: the next run finishes or undoes it. No half set, no
orphan, nobody frozen, whatever the provider."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from policy_killer import Ended, Killer, goes_on, settled
from provider_bed_native import NativeBed
from provider_bed_sfw import SfwBed
from provider_beds import Bed
from provider_trial import Rotation, bed_classes
from vss_writers import Application

from exshadow.model import SetRecord
from exshadow.names import FOREVER

MOST = 100  # more than any run's steps
ONE_OF_A_FAMILY = ("NativeBed", "SfwBed", "EvaBed", "VssBed")
_LIKE = ("EvaSnapcloneBed",)  # as snapshots are made


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    with closing(Killer()) as made:
        yield made


@pytest.fixture(params=bed_classes(), ids=lambda one: one.__name__)
def kind(request: pytest.FixtureRequest) -> type[Bed]:
    found: type[Bed] = request.param
    return found


@pytest.fixture
def bed(kind: type[Bed], memory: Path) -> Iterator[Bed]:
    with closing(kind(memory)) as made:
        yield made


# --- one of each kind of step ---

_STEPS = (
    "prepare told", "settle prepare ended", "split begun", "split told", "settle split ended",
    "set recorded", "split ended", "document", "present told", "verdict", "resync told",
    "settle resync ended", "set changed",
)  # fmt: skip
_NOT = {"NativeBed": ("document", "present told")}  # which the volume files make needless
_OTHERS = ("prepare told", "split told", "resync told", "settle resync ended")


BY_DEFAULT = [
    pytest.param(one, id=one.__name__, marks=pytest.mark.soak if one.__name__ in _LIKE else ())
    for one in bed_classes()
]


@pytest.mark.parametrize("kind", BY_DEFAULT)
def test_killed_at_each_kind_of_step_one_run_after_the_other(bed: Bed, killer: Killer) -> None:
    """Every run sees to what the one before left, and is killed itself; the last one is not."""
    name = type(bed).__name__
    for step in _STEPS if name in ONE_OF_A_FAMILY else _OTHERS:
        if step not in _NOT.get(name, ()):
            # A mirror that was left ready is split first: the run after that resyncs one.
            assert any(killer.run(bed, step).killed for _ in range(3)), step
    goes_on(bed, 1, "all of them")


def test_killed_round_hooks_the_split_and_notification(killer: Killer, tmp_path: Path) -> None:
    """Nobody stays frozen, and the next run does all of it again."""
    script = tmp_path / "hook"
    script.write_text(f"#!/bin/sh\ncat >> {tmp_path}/hooks\n")
    script.chmod(0o700)
    application, log = Application(tmp_path), tmp_path / "log"
    writers = (f"vss_writers:ProvenWriter?pid={application.pid}&log={log}",)
    with closing(NativeBed(tmp_path)) as bed:
        try:
            with_sets(bed, killer)
            for step in ("hook run", "split begun", "split told", "people told"):
                log.write_text("")
                assert killer.run(bed, step, writers, str(script)).killed, step
                assert "freeze" in log.read_text() or step == "hook run"
                application.goes_on_within(20)
                goes_on(bed, 1, step)
        finally:
            application.end()
    events = re.findall(r'"event": ?"([a-z-]+)"', (tmp_path / "hooks").read_text())
    assert events == ["before", "before", "before", "before", "hand-over", "after"]


@pytest.mark.parametrize("kind", [NativeBed, SfwBed])
def test_a_verified_set_of_a_killed_run_stays(
    kind: type[Bed], killer: Killer, tmp_path: Path
) -> None:
    """Its writers had not heard how the backup went. The next run's writers are not even there, so
    nothing is given up for it; those of the run after refuse at the end."""
    application = Application(tmp_path)
    writer = f"vss_writers:ProvenWriter?pid={application.pid}&log={tmp_path}/log"
    refusing = f"vss_writers:RefusingWriter?pid={application.pid}"
    with closing(kind(tmp_path)) as bed:
        try:
            with_sets(bed, killer)
            assert killer.run(bed, "verdict", [writer]).killed
            proved = newest_set(bed)
            assert proved.verified is not None
            assert proved.verified.ok
            there = ready_sets(bed)
            assert killer.refused(bed, ["vss_writers:Confused"]).status == 6
            assert ready_sets(bed) == there
            assert killer.refused(bed, [refusing]).status == 6
            assert proved.id in ready_sets(bed)
            goes_on(bed, 1, "refused")
        finally:
            application.end()


def test_a_set_that_was_kept_for_its_pin_stays_when_the_pin_ends(
    killer: Killer, tmp_path: Path
) -> None:
    """No word of it is left but the journal's, which says that it counts."""
    application = Application(tmp_path)
    writer = f"vss_writers:ProvenWriter?pid={application.pid}&log={tmp_path}/log"
    with closing(NativeBed(tmp_path)) as bed:
        try:
            killer.run(bed)
            assert killer.run(bed, "split told", [writer]).killed
            with Rotation(bed).room() as room:
                (cut,) = (one for one in room.sets() if one.verified is None)
                room.service.pin_set(cut.id, FOREVER)
            first = killer.refused(bed, ["vss_writers:Confused"])
            assert cut.id in ready_sets(bed), first
            with Rotation(bed).room() as room:
                room.service.pin_set(cut.id, None, reason="seen")
            killer.refused(bed, ["vss_writers:Confused"])
            assert cut.id in ready_sets(bed)
        finally:
            application.end()


def ready_sets(bed: Bed) -> set[str]:
    with Rotation(bed).room() as room:
        return {one.id for one in room.sets() if one.state == "ready"}


def newest_set(bed: Bed) -> SetRecord:
    with Rotation(bed).room() as room:
        return room.sets()[-1]


# --- every step ---


@pytest.mark.soak
def test_killed_at_any_step_of_the_first_run(kind: type[Bed], killer: Killer, memory: Path) -> None:
    for number in range(1, MOST):
        folder = memory / str(number)
        folder.mkdir()
        with closing(kind(folder)) as bed:
            ended = killer.run(bed, number)
            if not ended.killed:
                break
            goes_on(bed, number, where(number, ended))
    settled(bed, "not killed")
    assert number > 10


@pytest.mark.soak
def test_killed_at_any_step_of_a_rotation(bed: Bed, killer: Killer) -> None:
    with_sets(bed, killer)
    for number in range(1, MOST):
        bed.write("logs", 0, f"{number}".encode().ljust(512, b"w"))
        ended = killer.run(bed, number)
        goes_on(bed, number, where(number, ended))
        if not ended.killed:
            break
    assert number > 10


@pytest.mark.soak
def test_killed_again_at_any_step_while_it_sees_to_what_was_left(bed: Bed, killer: Killer) -> None:
    """Two runs are killed, the third one ends it all."""
    with_sets(bed, killer)
    times = 0
    for first in range(1, MOST):
        for second in range(1, MOST):
            ended = killer.run(bed, first)
            if not ended.killed:
                assert times > 10
                return
            again = killer.run(bed, second)
            after = f"{where(first, ended)}, then {where(second, again)}"
            goes_on(bed, first + second, after)
            if not again.steps[-1].startswith("settle"):
                break
            times += 1


@pytest.mark.soak
def test_killed_at_any_step_with_the_writers_frozen(
    bed: Bed, killer: Killer, tmp_path: Path
) -> None:
    if bed.name == "vss":
        pytest.skip("asks Windows' writers by itself")
    with_sets(bed, killer)
    application = Application(tmp_path)
    writers = (f"vss_writers:ProvenWriter?pid={application.pid}&log={tmp_path}/log",)
    try:
        for number in range(1, MOST):
            ended = killer.run(bed, number, writers)
            application.goes_on_within(15)
            goes_on(bed, number, where(number, ended))
            if not ended.killed:
                break
    finally:
        application.end()
    assert number > 10


def with_sets(bed: Bed, killer: Killer) -> None:
    """A set of every mirror."""
    for _ in bed.mirrors:
        killer.run(bed)
    settled(bed, "nothing was killed")


def where(number: int, ended: Ended) -> str:
    return f"killed after step {number}: {ended.steps[-1]} (of {ended.steps})"
