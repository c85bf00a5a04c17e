"""kill -9 while a command restores, resyncs, promotes or deletes a set of another provider: the
same command again, or a policy run, ends it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from policy_killer import Ended, Killer, settled
from provider_beds import Bed
from provider_trial import Rotation, bed_classes

from exshadow.errors import NotFoundError, RefusedError
from exshadow.model import SetRecord

FOREIGN = {one.__name__: one for one in bed_classes() if one.name != "native"}
COMMANDS = {
    "restore": ("restore",),
    "resync": ("snapshot", "resync"),
    "delete": ("snapshot", "delete"),
    "promote": ("snapshot", "promote"),
}
CANNOT = {
    "EvaSnapshotBed": ("promote", "delete"),
    "EvaSnapcloneBed": ("restore",),
    "VssBed": ("promote", "delete"),
    "VssPlexBed": ("promote",),
}


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    with closing(Killer()) as made:
        yield made


@pytest.fixture(params=sorted(FOREIGN))
def bed(request: pytest.FixtureRequest, memory: Path) -> Iterator[Bed]:
    folder = memory / "bed"
    folder.mkdir()
    with closing(FOREIGN[request.param](folder)) as made:
        yield made


class Story:
    """A bed with a set whose production has changed since, and commands on that set."""

    def __init__(self, bed: Bed, killer: Killer) -> None:
        self.bed, self.killer = bed, killer
        self.rotation = Rotation(bed)

    def begins(self) -> None:
        """A new set; then production is written to."""
        self._write("good")
        made = self.rotation.good().made
        assert made is not None
        self.one: SetRecord = made
        self.then = self.rotation.production()
        self._write("since")
        self.since = self.rotation.production()

    def _write(self, word: str) -> None:
        for one in self.bed.sources:
            self.bed.write(one.name, one.size // 2, word.encode().ljust(4096, b"#"))

    def command(self, verb: str, deadly: int | str = 0) -> Ended:
        words = (*COMMANDS[verb], f"{self.one.group}@{self.one.label}", "--yes")
        return self.killer.command(self.bed, *words, deadly=deadly)

    def ends(self, verb: str, *, again: bool, after: str) -> None:
        """By the same command ``again``, else by a policy run; but where production may be half of
        the set no run goes on, and the command must be given again."""
        if not again:
            ended = self.killer.tried(self.bed)
            may_be_half = verb in ("restore", "promote")
            again = may_be_half and ended.status == RefusedError.exit_status
            assert again or ended.status == 0, after
        if again:
            ended = self.command(verb)
            assert ended.status == 0, f"{after}, then {ended}"
        with self.rotation.room() as room:
            assert room.journal.unfinished(room.group) == [], after
        if verb in ("restore", "resync"):
            settled(self.bed, after)
        elif verb == "delete":  # after a promotion other sets are of another production
            self.rotation.check()
        state = self._state()
        if again:
            assert state == ("ready" if verb == "restore" else "dissolved"), after
            replaced = verb in ("restore", "promote")
            assert self.rotation.production() == (self.then if replaced else self.since), after
        else:  # whole, whichever it is
            assert state in ("ready", "dissolved"), after
            assert self.rotation.production() in (self.then, self.since), after

    def _state(self) -> str:
        with self.rotation.room() as room:
            return room.service.show_set(self.one.id).state


def kept(bed: Bed) -> Callable[[], None]:
    """Puts everything back as it is now."""
    copy = bed.folder.with_name("kept")

    def copied(source: Path, target: Path) -> None:
        subprocess.run(["cp", "-a", source, target], check=True)  # hard links stay what they are

    copied(bed.folder, copy)

    def back() -> None:
        shutil.rmtree(bed.folder)
        copied(copy, bed.folder)

    return back


@pytest.mark.soak
@pytest.mark.parametrize("again", [True, False], ids=["again", "run"])
@pytest.mark.parametrize("verb", COMMANDS)
def test_killed_at_any_step_of_a_command(bed: Bed, killer: Killer, verb: str, again: bool) -> None:
    if verb in CANNOT.get(type(bed).__name__, ()):
        pytest.skip("this kind of copy cannot")
    story = Story(bed, killer)
    for _ in bed.mirrors:
        story.begins()
    bed.close()
    back = kept(bed)
    whole = story.command(verb)
    assert whole.status == 0
    for number, step in enumerate(whole.steps, 1):
        back()
        ended = story.command(verb, number)
        assert ended.killed
        after = f"killed at {number}: {step} of {whole.steps}"
        has_ended = "set changed" in ended.steps  # nobody finds it any more
        if again and has_ended:
            assert story.command(verb).status == NotFoundError.exit_status, after
        story.ends(verb, again=again and not has_ended, after=after)
        bed.close()


@pytest.mark.parametrize("bed", ["SfwBed", "EvaBed", "VssBed"], indirect=True)
def test_killed_in_the_middle_of_each_command(bed: Bed, killer: Killer) -> None:
    story = Story(bed, killer)
    for verb in COMMANDS:
        if verb in CANNOT.get(type(bed).__name__, ()):
            continue
        if verb != "resync":  # of the set that was restored
            story.begins()
        told = {"delete": "dissolve"}.get(verb, verb)
        assert story.command(verb, f"{told} told").killed
        story.ends(verb, again=verb != "resync", after=f"{told} told")
