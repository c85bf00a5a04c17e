"""Storage Foundation's ``-b`` commands at work in the background: what does not show yet is waited
for. It is not taken for a failure, not given twice, and production is never mounted meanwhile."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest
from sfw_tools import Killed, SimulatedRunner
from sfw_trial import LIMITS, NoJournal, Trial

from exshadow.errors import InvalidError, ProviderError, RefusedError, TimedOutError
from exshadow.providers.contract import Action, MirrorState, Stage, Verb
from exshadow.providers.sfw import SfwProvider
from exshadow.providers.steps import carry_out
from simulators.sfw import faults, world

LATE = 0.1
PIT = {"restore": "PIT", "keep-set": "no"}
WRITER = {"writer": "Store", "component": "Mail"}
LATE_VERBS = ["create", "snapback", "assign", "unassign", "snapclear", "split", "deport",
              "import", "join"]  # fmt: skip


class Slow(Trial):
    """A bed whose provider waits as long as it takes."""

    def provider(self, **settings: str) -> SfwProvider:
        return super().provider(**{"settle_seconds": "20", **settings})

    def slow(self, seconds: float = LATE, late: list[str] | None = None) -> None:
        """From now on."""
        self.set(background_seconds=seconds, late=late or [])

    def set(self, **state: object) -> None:
        with world.opened(self.world) as found:
            found.state.update(state)

    def kept(self, key: str) -> list[str]:
        with world.opened(self.world) as found:
            return list(found.state.get(key, []))

    @property
    def at(self) -> list[str]:
        """Where production is mounted."""
        with world.opened(self.world) as found:
            volumes = found.groups["MAIL"]["volumes"]
            return [*volumes["db"]["places"], *volumes["logs"]["places"]]


@pytest.fixture
def slow(tmp_path: Path) -> Slow:
    trial = Slow(tmp_path)
    trial.set(writers={"Store": {"Mail": ["MAIL\\db", "MAIL\\logs"]}})
    return trial


def damaged(slow: Slow, **options: str) -> tuple[str, dict[str, bytes]]:
    """A set whose production was written to since, and production's bytes of then."""
    then, set_id = slow.all(), slow.split(**options)
    for volume in ("db", "logs"):
        slow.write(volume, 4096, b"later")
    return set_id, then


def test_a_mirror_is_prepared_and_dropped_in_the_background(slow: Slow) -> None:
    slow.slow()
    slow.do(Verb.PREPARE)
    assert slow.state_of() is MirrorState.READY
    slow.do(Verb.ABORT)
    assert slow.state_of() is MirrorState.NONE
    assert (len(slow.gave("prepare")), slow.kept("unheard")) == (2, [])


@pytest.mark.parametrize("xml", ["kept", "lost"])
def test_a_resync_in_the_background_is_not_raced(slow: Slow, xml: str) -> None:
    set_id = slow.split()
    if xml == "lost":
        for folder in (slow.sets, slow.folder / "share"):
            (folder / f"{set_id}.xml").unlink()
    slow.slow()
    slow.do(Verb.RESYNC, set_id)
    assert slow.state_of() is MirrorState.READY
    assert len(slow.gave("reattach")) == (1 if xml == "kept" else 0)
    assert len(slow.gave("snapback")) == (0 if xml == "kept" else 2)
    assert slow.kept("unheard") == []


@pytest.mark.parametrize("options", [{}, PIT], ids=["volumes", "vxsnap"])
def test_production_is_not_mounted_while_a_restore_is_at_work(
    slow: Slow, options: dict[str, str]
) -> None:
    set_id, then = damaged(slow, **(WRITER if options else {}))
    slow.slow()
    slow.commands = SimulatedRunner(state=slow.world, watch=lambda: at_work(slow, set_id))
    slow.do(Verb.RESTORE, set_id, **options)
    assert set(slow.commands.seen) == {"at work", "idle"}
    assert (slow.all(), slow.at, slow.kept("unheard")) == (then, ["W:", "L:"], [])


def at_work(slow: Slow, set_id: str) -> str:
    """Fails when production is mounted, or the record knows nothing of it, meanwhile."""
    if not slow.kept("pending"):
        return "idle"
    record = slow.provider().ground.records.read(set_id)
    assert record is not None
    assert (record.step, slow.at) == ("begun", [])
    return "at work"


KILLS = {
    "prepare": (Verb.PREPARE, {}, "prepare"),
    "resync": (Verb.RESYNC, {}, "reattach"),
    "restore": (Verb.RESTORE, {}, "snapback"),
    "restore by vxsnap": (Verb.RESTORE, PIT, "restore"),
}


@pytest.mark.parametrize("case", KILLS)
def test_killed_while_a_command_is_at_work_it_is_waited_for_and_not_given_again(
    slow: Slow, case: str
) -> None:
    verb, options, word = KILLS[case]
    set_id, then = ("", slow.all()) if case == "prepare" else damaged(slow, **WRITER)
    later = slow.all()
    slow.slow()
    action = slow.act(verb, set_id, **options)
    killed_after(slow, action, word)
    slow.commands = SimulatedRunner(state=slow.world)
    if case != "prepare":
        standing = slow.provider().standing(action)
        assert (standing.stage, standing.detail) == (
            Stage.HALF, "it was asked for and does not show yet",
        )  # fmt: skip
    if verb is Verb.RESTORE:
        assert (slow.state_of(), slow.at) == (MirrorState.RESTORING, [])
    assert carry_out(slow.provider(), action, NoJournal(), limits=LIMITS).stage is Stage.DONE
    assert slow.all() == (then if verb is Verb.RESTORE else later)
    assert slow.at == ["W:", "L:"]
    if case != "prepare":  # of which nothing is recorded: the product refuses the second
        assert slow.kept("unheard") == []
        assert len(slow.gave(word)) == (1 if case == "restore" else 0)


@pytest.mark.parametrize("next_one", [Verb.SPLIT, Verb.ABORT])
def test_killed_while_vxsnap_splits_its_set_is_waited_for(slow: Slow, next_one: Verb) -> None:
    slow.do(Verb.PREPARE)
    slow.slow(LATE, ["create"])
    set_id = str(uuid.uuid4())
    killed_after(slow, slow.act(Verb.SPLIT, set_id), "create")
    slow.commands = SimulatedRunner(state=slow.world)
    slow.do(next_one, set_id)
    time.sleep(LATE)  # for what comes after all
    assert slow.state_of() is (MirrorState.SPLIT if next_one is Verb.SPLIT else MirrorState.READY)
    assert (slow.gave("create"), slow.kept("unheard")) == ([], [])


def killed_after(slow: Slow, action: Action, word: str) -> None:
    """The caller dies when the command with the word has just come back."""
    runner = SimulatedRunner(state=slow.world)
    slow.commands = runner

    def watch() -> str:
        if runner.given and word in runner.given[-1]:
            raise Killed
        return ""

    runner.watch = watch
    with pytest.raises(Killed):
        carry_out(slow.provider(), action, NoJournal(), limits=LIMITS)


@pytest.mark.parametrize("kind", ["late", "lie", "hang"])
def test_a_restore_that_shows_nothing_in_time_keeps_production_away_and_is_gone_on_with(
    slow: Slow, kind: str
) -> None:
    """By another restore of the same set: nobody knows that nothing comes any more."""
    set_id, then = damaged(slow, **WRITER)
    if kind == "late":
        slow.slow(60.0)
    else:
        faults.plan(slow.world, "vxsnap", "restore", kind)
    with pytest.raises((ProviderError, TimedOutError), match=r"after 0\.1 s; production stays unm"):
        slow.do(Verb.RESTORE, set_id, provider=slow.provider(settle_seconds="0.1"), **PIT)
    assert (slow.state_of(), slow.at) == (MirrorState.RESTORING, [])
    with pytest.raises(RefusedError, match="is being restored"):
        slow.do(Verb.RESYNC, set_id)
    with world.opened(slow.world) as found:
        for one in found.state.get("pending", []):
            one["at"] = time.time() + LATE
        found.state["background_seconds"] = 0.0
    settle = "20" if kind == "late" else "0.1"
    slow.do(Verb.RESTORE, set_id, provider=slow.provider(settle_seconds=settle), **PIT)
    assert (slow.all(), slow.at, slow.kept("unheard")) == (then, ["W:", "L:"], [])
    assert len(slow.gave("restore")) == (1 if kind == "late" else 2)


def test_a_restore_that_vxsnap_refuses_leaves_production_as_it_was(slow: Slow) -> None:
    set_id, _ = damaged(slow, **WRITER)
    later = slow.all()
    faults.plan(slow.world, "vxsnap", "restore", "fail")
    with pytest.raises(ProviderError, match="no volume was given back"):
        slow.do(Verb.RESTORE, set_id, provider=slow.provider(settle_seconds="0.1"), **PIT)
    assert (slow.all(), slow.at, slow.state_of()) == (later, ["W:", "L:"], MirrorState.SPLIT)


def test_every_other_command_is_waited_for_as_well(slow: Slow) -> None:
    then = slow.all()
    slow.slow(0.05, LATE_VERBS)
    set_id = slow.split()
    slow.write("db", 4096, b"later")
    assert slow.copy(set_id) == then
    slow.do(Verb.LEND, set_id, host="HOST2")
    slow.do(Verb.RECALL, set_id, released="yes")
    slow.do(Verb.RESTORE, set_id)
    assert slow.all() == then
    slow.do(Verb.DISSOLVE, set_id)
    other = slow.split("m2")
    slow.do(Verb.PROMOTE, other, "m2")
    assert (slow.all(), slow.kept("unheard")) == (then, [])


def test_a_split_that_is_not_right_is_undone_late(slow: Slow) -> None:
    slow.do(Verb.PREPARE)
    before = slow.copies()
    slow.slow(0.05, LATE_VERBS)
    faults.plan(slow.world, "vxsnap", "create", "no-xml")
    with pytest.raises(ProviderError, match="what was split goes back"):
        slow.do(Verb.SPLIT, str(uuid.uuid4()), provider=slow.provider(settle_seconds="0.3"))
    assert (slow.copies(), slow.kept("unheard")) == (before, [])


def test_two_plexes_at_one_place_are_said_and_dropped_together(slow: Slow) -> None:
    """The second one came when the caller of the first was killed before it showed."""
    wide = {"mirrors": "m1=Harddisk3,Harddisk4"}
    slow.slow()
    action = slow.act(Verb.PREPARE)
    for _ in range(2):  # two callers, neither of whom waited
        for volume in ("db", "logs"):
            words = ["-b", "-gMAIL", "prepare", volume, "Harddisk3", "Harddisk4"]
            assert slow.commands.run("vxassist", words, 10).status == 0
    time.sleep(LATE * 1.2)
    slow.slow(0.0)
    provider = slow.provider(**wide)
    with pytest.raises(ProviderError, match="db has several plexes at the place of mirror m1"):
        carry_out(provider, action, NoJournal(), limits=LIMITS)
    slow.do(Verb.ABORT, provider=provider)
    assert len(slow.copies()) == 2
    slow.do(Verb.PREPARE, provider=provider)


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "90000"])
def test_a_wait_that_is_no_time_is_refused(slow: Slow, text: str) -> None:
    with pytest.raises(InvalidError, match="settle_seconds"):
        slow.provider(settle_seconds=text)


# --- what vxsnap is told of the kind of backup ---


def test_a_full_set_is_asked_for_with_its_check(slow: Slow) -> None:
    slow.do(Verb.PREPARE)
    full = {**WRITER, "backup-type": "FULL"}
    with pytest.raises(RefusedError, match="before the copy was checked"):
        slow.do(Verb.SPLIT, str(uuid.uuid4()), **full)
    with pytest.raises(InvalidError, match="nobody named one"):
        slow.do(Verb.SPLIT, str(uuid.uuid4()), eseutil="yes")
    with pytest.raises(InvalidError, match="none of FULL, COPY"):
        slow.do(Verb.SPLIT, str(uuid.uuid4()), **{**full, "backup-type": "full"})
    with pytest.raises(InvalidError, match="none of yes, no"):
        slow.do(Verb.SPLIT, str(uuid.uuid4()), **{**full, "eseutil": "maybe"})
    assert not slow.gave("create")
    set_id = str(uuid.uuid4())
    slow.do(Verb.SPLIT, set_id, **full, eseutil="yes")
    (given,) = slow.gave("create")
    assert given[-2:] == ["backuptype=FULL", "-E"]
    slow.do(Verb.RESTORE, set_id)
    assert not [one for one in slow.gave("create")[1:] if set(one) & {"-E", "backuptype=FULL"}]
