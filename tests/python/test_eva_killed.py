"""Killed, or cut off from the array, between any two of its commands: the same verb again ends as
if nothing had happened, with no orphan vdisk, LUN or container."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from eva_story import LIMITS, NoJournal, action, again, do
from provider_bed_eva import EvaBed, EvaSnapcloneBed, EvaSnapshotBed

from exshadow.errors import Error, ProviderError
from exshadow.providers.contract import Stage, Verb
from exshadow.providers.eva import names
from exshadow.providers.steps import carry_out

_MIRRORCLONE = (Verb.PREPARE, Verb.SPLIT, Verb.PRESENT, Verb.UNPRESENT, Verb.RESTORE, Verb.RESYNC,
                Verb.LEND, Verb.RECALL, Verb.PROMOTE, Verb.DISSOLVE, Verb.ABORT)  # fmt: skip
STORIES: dict[type[EvaBed], tuple[Verb, ...]] = {
    EvaBed: _MIRRORCLONE,
    EvaSnapshotBed: (Verb.PREPARE, Verb.SPLIT, Verb.RESYNC, Verb.RESTORE, Verb.ABORT),
    EvaSnapcloneBed: (
        Verb.PREPARE,
        Verb.SPLIT,
        Verb.RESYNC,
        Verb.PROMOTE,
        Verb.DISSOLVE,
        Verb.ABORT,
    ),
}
BEFORE = {
    Verb.PREPARE: (),
    Verb.SPLIT: (Verb.PREPARE,),
    Verb.UNPRESENT: (Verb.PREPARE, Verb.SPLIT, Verb.PRESENT),
    Verb.RECALL: (Verb.PREPARE, Verb.SPLIT, Verb.LEND),
    Verb.ABORT: (Verb.PREPARE,),
}
_SET = (Verb.PREPARE, Verb.SPLIT)


@dataclass
class Case:
    """A verb on an array that is ready for it, how many changes it makes, and its right end."""

    verb: Verb
    bed: EvaBed
    changes: int
    end: tuple[object, ...]


def case(kind: type[EvaBed], verb: Verb, folder: Path) -> Case:
    (folder / "ready").mkdir()
    bed = kind(folder / "ready")
    do(bed, *BEFORE.get(verb, _SET))
    bed.write("db", 65536, b"written since")
    bed.close()
    right = again(bed, folder / "right")
    repeat(right, verb)
    count = right.get("changes") - bed.get("changes")
    return Case(verb, bed, count, end(right))


def repeat(bed: EvaBed, verb: Verb) -> None:
    set_id = "" if verb is Verb.ABORT else None
    do(bed, verb, set_id=set_id)
    bed.close()


def end(bed: EvaBed) -> tuple[object, ...]:
    """All that counts: what there is and in which state, LUNs, bytes of production, plans left.
    A snapclone is normalised sooner or later: that is no difference."""
    vdisks = sorted(
        (
            _unmarked(one["name"]),
            one["form"].replace("snapclone", "original"),
            one["phase"],
            one["cache"],
        )
        for one in bed.get("vdisks").values()
    )
    luns = sorted((lun["host"], lun["number"]) for lun in bed.get("luns"))
    plans = sorted(path.name for path in (bed.folder / "work").glob("promotion-*"))
    return vdisks, luns, [bed.read(one.name) for one in bed.sources], plans


def _unmarked(name: str) -> str:
    """Whether a restore left its mark counts, not which one."""
    copy = names.parse(name)
    return str(replace(copy, mark="")) + ("!" if copy.mark else "") if copy else name


def killed(bed: EvaBed, verb: Verb) -> bool:
    """The verb in another process; whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            repeat(bed, verb)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize(
    ("kind", "verb"), [(kind, verb) for kind, verbs in STORIES.items() for verb in verbs]
)
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_killed_before_any_change_it_ends_the_same_when_repeated(
    kind: type[EvaBed], verb: Verb, every: int, tmp_path: Path
) -> None:
    ready = case(kind, verb, tmp_path)
    assert ready.changes
    for at in range((ready.changes + 1) // 2 % every + 1, ready.changes + 1, every):
        bed = again(ready.bed, tmp_path / f"killed-{at}")
        bed.set(traps={"at": bed.get("changes") + at, "what": "kill"})
        assert killed(bed, verb), at
        bed.set(traps={"at": 0})
        try:
            repeat(bed, verb)
        except ProviderError as problem:
            if verb is not Verb.RESTORE or "never seen" not in problem.message:
                raise
            restore_anew(bed)  # not known whether it was done: a human asks for another
        assert end(bed) == ready.end, at


def restore_anew(bed: EvaBed, **changed: str) -> None:
    """As somebody does who compared."""
    anew = replace(action(bed, Verb.RESTORE), id="another restore")
    carry_out(bed.provider(**changed), anew, NoJournal(), limits=LIMITS)
    bed.close()


@pytest.mark.parametrize("what", ["kill", "kill_after"])
@pytest.mark.parametrize("kind", [EvaBed, EvaSnapshotBed])
def test_a_restore_cut_off_round_its_command_is_not_given_again_over_newer_writes(
    kind: type[EvaBed], what: str, tmp_path: Path
) -> None:
    bed = kind(tmp_path)
    do(bed, *_SET)
    then = bed.read("db")
    bed.write("db", 0, b"written since")
    bed.set(traps={"at": bed.get("changes") + 2, "what": what, "unseen_restore": True})
    bed.close()
    assert killed(bed, Verb.RESTORE)
    assert (bed.read("db") == then) == (what == "kill_after")
    bed.write("db", 65536, b"newer")
    now, changes = bed.read("db"), bed.get("changes")
    assert bed.provider().standing(action(bed, Verb.RESTORE)).stage is Stage.FAILED
    for tried in (do, lambda bed, verb: bed.provider().start(action(bed, verb))):
        with pytest.raises(ProviderError, match="never seen"):
            tried(bed, Verb.RESTORE)
    assert (bed.read("db"), bed.get("changes")) == (now, changes)
    bed.set(traps={"at": 0, "unseen_restore": False})
    restore_anew(bed)
    assert bed.read("db") == then


def test_a_restore_that_is_seen_at_work_after_a_kill_is_not_begun_again(tmp_path: Path) -> None:
    bed = EvaBed(tmp_path)
    do(bed, *_SET)
    bed.hold()
    bed.set(traps={"at": bed.get("changes") + 2, "what": "kill_after"})
    bed.close()
    assert killed(bed, Verb.RESTORE)
    one = bed.provider()
    one.start(action(bed, Verb.RESTORE))
    assert one.standing(action(bed, Verb.RESTORE)).stage is Stage.RUNNING
    bed.release()
    repeat(bed, Verb.RESTORE)
    given = [line for line in bed.get("log") if "INSTANT_RESTORE" in line]
    assert len(given) == len(bed.sources)


def test_a_restore_over_before_anybody_looked_is_told_honestly(tmp_path: Path) -> None:
    bed = EvaBed(tmp_path)
    do(bed, *_SET)
    then = bed.read("db")
    bed.write("db", 0, b"written since")
    bed.set(traps={"unseen_restore": True})
    with pytest.raises(ProviderError, match="may be the set, or as it was"):
        do(bed, Verb.RESTORE, provider=bed.provider(settle_seconds="0.2"))
    assert bed.read("db") == then
    bed.write("db", 0, b"the application goes on")
    with pytest.raises(ProviderError, match="never seen"):
        do(bed, Verb.RESTORE)
    assert bed.read("db").startswith(b"the application goes on")
    restore_anew(bed, unseen_restore="yes", settle_seconds="0.2")
    assert bed.read("db") == then


def test_killed_after_the_last_change_nothing_is_done_again(tmp_path: Path) -> None:
    ready = case(EvaBed, Verb.RESTORE, tmp_path)
    bed = again(ready.bed, tmp_path / "killed")
    bed.set(traps={"at": bed.get("changes") + ready.changes, "what": "kill_after"})
    assert killed(bed, Verb.RESTORE)
    bed.write("db", 0, b"the application goes on")
    changes = bed.get("changes")
    repeat(bed, Verb.RESTORE)
    assert bed.get("changes") == changes
    assert bed.read("db").startswith(b"the application goes on")


@pytest.mark.parametrize("what", ["lose", "lose_after"])
@pytest.mark.parametrize(
    ("kind", "verb"), [(EvaBed, Verb.SPLIT), (EvaSnapcloneBed, Verb.RESYNC), (EvaBed, Verb.PROMOTE)]
)
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.soak)])
def test_a_session_lost_at_any_change_is_opened_again_and_read_back(
    kind: type[EvaBed], verb: Verb, what: str, every: int, tmp_path: Path
) -> None:
    ready = case(kind, verb, tmp_path)
    for at in range(2, ready.changes + 1, every):
        bed = again(ready.bed, tmp_path / f"lost-{at}")
        bed.set(traps={"at": bed.get("changes") + at, "what": what})
        repeat(bed, verb)  # no error: it recovers by itself
        assert end(bed) == ready.end, at


def test_a_split_that_was_cut_off_can_also_be_aborted(tmp_path: Path) -> None:
    ready = case(EvaBed, Verb.SPLIT, tmp_path)
    for at in range(1, ready.changes + 1):
        bed = again(ready.bed, tmp_path / f"aborted-{at}")
        bed.set(traps={"at": bed.get("changes") + at, "what": "kill"})
        assert killed(bed, Verb.SPLIT)
        one, abort = bed.provider(), action(bed, Verb.ABORT)
        carry_out(one, abort, NoJournal(), limits=LIMITS)
        [mirror] = one.mirrors(bed.group, bed.sources)
        assert mirror.state == "ready", at
        assert {x["cache"] for x in bed.get("vdisks").values()} == {"writeback"}, at
        bed.close()


def test_a_set_whose_copies_are_partly_deleted_is_half_resynced(tmp_path: Path) -> None:
    """They go one by one: a kill between two must not look as if nothing had been done."""
    do(bed := EvaSnapshotBed(tmp_path), *_SET)
    bed.close()
    bed.set(traps={"at": bed.get("changes") + 2, "what": "kill"})
    assert killed(bed, Verb.RESYNC)
    assert bed.provider().standing(action(bed, Verb.RESYNC)).stage is Stage.HALF
    bed.close()


def test_a_session_that_is_lost_again_and_again_is_an_error(tmp_path: Path) -> None:
    bed = EvaBed(tmp_path)
    one = bed.provider(sssu="/bin/true")
    with pytest.raises(Error, match="sssu"):
        one.start(action(bed, Verb.PREPARE))
