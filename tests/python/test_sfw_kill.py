"""Killed between any two commands, begun again: the same end, nothing left over.

Every verb is run once to see its calls, then killed before each call that finds something new on
disk (a kill between two looks leaves what a kill before them leaves), by an exception that nothing
catches; what was written to disk is all that the next try has. The state after the repeated action
is compared with that of the run that nobody killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from provider_bed_sfw import SfwBed
from sfw_tools import Killed, SimulatedRunner
from sfw_trial import LIMITS, NoJournal

from exshadow.errors import Error, ProviderError
from exshadow.providers.contract import Action, Stage, Verb
from exshadow.providers.sfw import records
from exshadow.providers.steps import carry_out
from simulators.sfw import copying, world

FIRST = "11111111-2222-3333-4444-555555555555"


class SmallBed(SfwBed):
    sizes: ClassVar = {"db": 192 << 10, "logs": 128 << 10}


def act(bed: SfwBed, verb: Verb, **more: object) -> Action:
    set_id = "" if verb is Verb.PREPARE or more.pop("no_set", False) else FIRST
    return Action(f"id-{verb}", verb, bed.group, "m1", bed.sources, set_id, **more)  # type: ignore[arg-type]


def do(bed: SfwBed, action: Action) -> None:
    done = carry_out(bed.provider(), action, NoJournal(), limits=LIMITS)
    assert done.stage is Stage.DONE


def end_of(bed: SfwBed) -> dict[str, object]:
    """All that can be told of product and files, without the order in which it came about."""
    with world.opened(bed.world) as found:
        copying.advance(found)
        volumes = {}
        for group, data in found.groups.items():
            for name, volume in data["volumes"].items():
                copying.catch_up(found, volume)
                plexes = sorted(
                    (one["disk"], one["state"], digest(found.image(one)))
                    for one in volume["plexes"].values()
                )
                volumes[f"{group}/{name}"] = (plexes, volume["places"])
        pairs = sorted((one["original"], one["snapshot"], one["known"]) for one in found.relations)
        images = len(list((bed.world / "images").iterdir()))
    files = sorted(path.name for where in (bed.sets, bed.folder / "share")
                   if where.exists() for path in where.rglob("*") if path.is_file())  # fmt: skip
    return {"volumes": volumes, "pairs": pairs, "images": images, "files": files}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def saved(bed: SfwBed) -> Callable[[], None]:
    """Puts everything back as it is now."""
    kept = bed.folder / "kept"
    places = (bed.world, bed.sets, bed.folder / "share")
    for place in places:
        if place.exists():
            shutil.copytree(place, kept / place.name, symlinks=True)

    def back() -> None:
        for place in places:
            shutil.rmtree(place, ignore_errors=True)
            if (kept / place.name).exists():
                shutil.copytree(kept / place.name, place, symlinks=True)

    return back


def with_runner(bed: SfwBed, kill_at: int | None = None) -> SimulatedRunner:
    bed.commands = SimulatedRunner(state=bed.world, kill_at=kill_at)
    return bed.commands


def counting(bed: SfwBed) -> SimulatedRunner:
    """A runner that sees at which calls the disk has something new."""

    def on_disk() -> str:
        files = [bed.world / "world.json"]
        for where in (bed.sets, bed.folder / "share"):
            files += sorted(path for path in where.rglob("*") if path.is_file())
        return " ".join(f"{path.name}:{digest(path)}" for path in files)

    bed.commands = SimulatedRunner(state=bed.world, watch=on_disk)
    return bed.commands


SETS = (Verb.PREPARE, Verb.SPLIT)
LENT = {"options": {"host": "HOST2"}}
CASES = {
    "prepare": ((), Verb.PREPARE, {}),
    "abort a mirror": ((Verb.PREPARE,), Verb.ABORT, {"no_set": True}),
    "split": ((Verb.PREPARE,), Verb.SPLIT, {}),
    "split, asking the writer": (
        (Verb.PREPARE,),
        Verb.SPLIT,
        {"options": {"writer": "Store", "component": "Mail"}},
    ),
    "abort a split": (SETS, Verb.ABORT, {}),
    "present": (SETS, Verb.PRESENT, {}),
    "unpresent": ((*SETS, Verb.PRESENT), Verb.UNPRESENT, {}),
    "lend": (SETS, Verb.LEND, LENT),
    "recall": ((*SETS, Verb.LEND), Verb.RECALL, {"options": {"released": "yes"}}),
    "restore": (SETS, Verb.RESTORE, {}),
    "resync": (SETS, Verb.RESYNC, {}),
    "dissolve": (SETS, Verb.DISSOLVE, {}),
    "promote": (SETS, Verb.PROMOTE, {}),
}
ASKED = {"split, asking the writer"}


@pytest.mark.parametrize("case", CASES)
def test_killed_before_any_command_and_begun_again_ends_the_same(case: str, tmp_path: Path) -> None:
    before, verb, more = CASES[case]
    bed = SmallBed(tmp_path)
    with world.opened(bed.world) as found:
        found.state["writers"] = {"Store": {"Mail": ["MAIL\\db", "MAIL\\logs"]}}
    for one in before:
        do(bed, act(bed, one, **(LENT if one is Verb.LEND else {})))
    if Verb.SPLIT in before:
        for source in bed.sources:
            bed.write(source.name, 65536, b"written after the split")
    back = saved(bed)
    counted = counting(bed)
    do(bed, act(bed, verb, **more))
    end = end_of(bed)
    moments = counted.moments()
    assert len(moments) >= 2
    for call in [*moments, counted.calls - 1]:
        back()
        with_runner(bed, kill_at=call)
        with contextlib.suppress(Killed):
            do(bed, act(bed, verb, **more))
            pytest.fail("it was not killed")
        with_runner(bed)
        if case in ASKED:  # the writer's answer is lost with who was killed: undone, then anew
            with contextlib.suppress(ProviderError):
                do(bed, act(bed, verb, **more))
        do(bed, act(bed, verb, **more))
        assert end_of(bed) == end, f"killed before call {call} of {counted.given[call]}"


def test_killed_in_a_restore_production_is_either_reachable_or_not_mounted(tmp_path: Path) -> None:
    """Nobody can write to a production that is half the set: its letters are away meanwhile."""
    bed = SmallBed(tmp_path)
    for verb in SETS:
        do(bed, act(bed, verb))
    then = {one.name: bed.read(one.name) for one in bed.sources}
    for source in bed.sources:
        bed.write(source.name, 65536, b"damage")
    damaged = {one.name: bed.read(one.name) for one in bed.sources}
    back = saved(bed)
    counted = counting(bed)
    do(bed, act(bed, Verb.RESTORE))
    for call in counted.moments():
        back()
        with_runner(bed, kill_at=call)
        with contextlib.suppress(Killed, Error):
            do(bed, act(bed, Verb.RESTORE))
        for source in bed.sources:
            path = bed.world / "devices" / source.path
            if path.exists():
                assert path.read_bytes() in (then[source.name], damaged[source.name])


@pytest.mark.parametrize("case", ["split", "restore", "resync", "promote", "dissolve"])
def test_killed_round_any_file_of_the_set_and_begun_again_ends_the_same(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, verb, more = CASES[case]
    bed = SmallBed(tmp_path)
    for one in before:
        do(bed, act(bed, one))
    back = saved(bed)
    strike = Strike()
    for name in ("_durable", "_remove"):
        monkeypatch.setattr(records, name, strike.round(getattr(records, name)))
    do(bed, act(bed, verb, **more))
    end, count = end_of(bed), strike.count
    assert count >= 2
    for moment in range(2 * count):
        back()
        strike.at(moment)
        with contextlib.suppress(Killed):
            do(bed, act(bed, verb, **more))
            pytest.fail("it was not killed")
        strike.at(None)
        do(bed, act(bed, verb, **more))
        assert end_of(bed) == end, f"killed at moment {moment}"


class Strike:
    """Kills before (even) or after (odd) the call that is counted."""

    def __init__(self) -> None:
        self.count = 0
        self.moment: int | None = None

    def at(self, moment: int | None) -> None:
        self.count, self.moment = 0, moment

    def round(self, done: Callable[..., None]) -> Callable[..., None]:
        def struck(*words: object) -> None:
            call = self.count
            self.count += 1
            if self.moment == 2 * call:
                raise Killed
            done(*words)
            if self.moment == 2 * call + 1:
                raise Killed

        return struck
