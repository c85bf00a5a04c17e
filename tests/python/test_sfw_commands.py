"""Commands that fail, hang or lie: the state read back decides, never their status or words."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from pathlib import Path

import pytest
from sfw_tools import Killed
from sfw_trial import LIMITS, NoJournal, Trial

from exshadow.errors import Error, ProviderError, RefusedError, TimedOutError
from exshadow.providers import steps
from exshadow.providers.contract import Action, MirrorState, Verb
from simulators.sfw import faults, world

DONE_ALL_THE_SAME = ("fail-after", "hang-after")
NOT_DONE = ("fail", "lie", "hang")

# Verb of the provider: the product's commands that change something for it.
COMMANDS = {
    Verb.PREPARE: [("vxassist", "prepare")],
    Verb.SPLIT: [("vxsnap", "create")],
    Verb.PRESENT: [("vxassist", "assign")],
    Verb.UNPRESENT: [("vxassist", "unassign")],
    Verb.RESTORE: [
        ("vxassist", "unassign"),
        ("vxassist", "snapback"),
        ("vxsnap", "create"),
        ("vxassist", "assign"),
    ],
    Verb.RESYNC: [("vxsnap", "reattach")],
    Verb.DISSOLVE: [("vxassist", "snapclear")],
    Verb.PROMOTE: [("vxassist", "unassign"), ("vxassist", "assign"), ("vxassist", "snapclear")],
    Verb.ABORT: [("vxassist", "snapabort")],
    Verb.LEND: [("vxdg", "split"), ("vxdg", "deport")],
    Verb.RECALL: [("vxdg", "import"), ("vxdg", "join")],
}
SET = "11111111-2222-3333-4444-555555555555"
EVERY = [(verb, *command) for verb, commands in COMMANDS.items() for command in commands]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of beds that went as far as their name says, to be copied."""
    bed = Trial(tmp_path_factory.mktemp("sfw"))
    made = {"new": bed.folder.with_name("new")}
    shutil.copytree(bed.folder, made["new"], symlinks=True)
    bed.do(Verb.PREPARE)
    made["prepared"] = bed.folder.with_name("prepared")
    shutil.copytree(bed.folder, made["prepared"], symlinks=True)
    bed.do(Verb.SPLIT, SET)
    made["split"] = bed.folder
    return made


@pytest.fixture
def trial(tmp_path: Path, stages: dict[str, Path]) -> Trial:
    return at(tmp_path, stages["new"])


def at(folder: Path, stage: Path) -> Trial:
    shutil.copytree(stage, folder, symlinks=True, dirs_exist_ok=True)
    trial = Trial.__new__(Trial)
    trial.folder = folder
    trial.resume()
    return trial


def ready_for(
    folder: Path, stages: dict[str, Path], verb: Verb
) -> tuple[Trial, Action, dict[str, bytes]]:
    """A bed before the verb, its action, production's bytes at the split."""
    if verb is Verb.PREPARE:
        trial = at(folder, stages["new"])
        return trial, trial.act(verb), trial.all()
    if verb in (Verb.SPLIT, Verb.ABORT):
        trial = at(folder, stages["prepared"])
        return trial, trial.act(verb, "" if verb is Verb.ABORT else SET), trial.all()
    trial = at(folder, stages["split"])
    then = trial.all()
    if verb is Verb.UNPRESENT:
        trial.do(Verb.PRESENT, SET)
    if verb is Verb.RECALL:
        trial.do(Verb.LEND, SET, host="HOST2")
    trial.write("db", 8192, b"later")
    options = {Verb.LEND: {"host": "HOST2"}, Verb.RECALL: {"released": "yes"}}
    return trial, trial.act(verb, SET, **options.get(verb, {})), then


def carry_out(trial: Trial, action: Action) -> None:

    steps.carry_out(trial.provider(), action, NoJournal(), limits=LIMITS)


def check(trial: Trial, action: Action, then: dict[str, bytes], plexes: int) -> None:
    """What the verb is for has come about, and nothing besides."""
    made = {Verb.PREPARE: 2, Verb.ABORT: -2}.get(action.verb, 0)
    assert len(trial.copies()) == plexes + made
    expected = {
        Verb.PREPARE: MirrorState.READY,
        Verb.RESYNC: MirrorState.READY,
        Verb.ABORT: MirrorState.NONE,
        Verb.DISSOLVE: MirrorState.NONE,
        Verb.PROMOTE: MirrorState.NONE,
    }.get(action.verb, MirrorState.SPLIT)
    assert trial.state_of() is expected
    assert bool(trial.mirror_of().lent if trial.state_of() is MirrorState.SPLIT else "") == (
        action.verb is Verb.LEND
    )
    if action.verb in (Verb.RESTORE, Verb.PROMOTE):
        assert trial.all() == then
    if action.verb in (Verb.SPLIT, Verb.RESTORE):
        assert trial.copy(action.set_id) == then


@pytest.mark.parametrize("kind", DONE_ALL_THE_SAME)
@pytest.mark.parametrize(("verb", "program", "word"), EVERY)
def test_what_was_done_counts_whatever_the_command_said(
    tmp_path: Path, stages: dict[str, Path], verb: Verb, program: str, word: str, kind: str
) -> None:
    trial, action, then = ready_for(tmp_path, stages, verb)
    plexes = len(trial.copies())
    faults.plan(trial.world, program, word, kind)
    carry_out(trial, action)
    check(trial, action, then, plexes)


@pytest.mark.parametrize("kind", NOT_DONE)
@pytest.mark.parametrize(("verb", "program", "word"), EVERY)
def test_what_was_not_done_fails_and_is_done_when_begun_again(
    tmp_path: Path, stages: dict[str, Path], verb: Verb, program: str, word: str, kind: str
) -> None:
    trial, action, then = ready_for(tmp_path, stages, verb)
    before, plexes = trial.all(), len(trial.copies())
    faults.plan(trial.world, program, word, kind)
    if (verb, word) == (Verb.RESYNC, "reattach"):  # the volumes then go back one by one
        carry_out(trial, action)
    else:
        with pytest.raises(Error):
            carry_out(trial, action)
        if (verb, word) in ((Verb.RESTORE, "unassign"), (Verb.PROMOTE, "unassign")):
            assert trial.all() == before, "production is where it was"
        carry_out(trial, action)
    check(trial, action, then, plexes)


@pytest.mark.parametrize("kind", NOT_DONE)
def test_the_second_volume_counts_as_much_as_the_first(
    tmp_path: Path, stages: dict[str, Path], kind: str
) -> None:
    trial, action, then = ready_for(tmp_path, stages, Verb.PREPARE)
    plexes = len(trial.copies())
    faults.plan(trial.world, "vxassist", "prepare", kind, skip=1)
    with pytest.raises(Error):
        carry_out(trial, action)
    assert len(trial.copies()) == plexes + 1
    carry_out(trial, action)
    check(trial, action, then, plexes)


@pytest.mark.parametrize(
    ("program", "word"), [("vxvol", "volinfo"), ("vxassist", "snapprint"), ("vxdg", "list")]
)
@pytest.mark.parametrize("kind", NOT_DONE)
def test_a_state_that_cannot_be_read_is_never_taken_for_an_empty_one(
    tmp_path: Path, stages: dict[str, Path], program: str, word: str, kind: str
) -> None:
    trial, action, then = ready_for(tmp_path, stages, Verb.PREPARE)
    plexes = len(trial.copies())
    for skip in range(12):
        faults.plan(trial.world, program, word, kind, skip=skip)
        try:
            carry_out(trial, action)
        except (ProviderError, TimedOutError):
            carry_out(trial, action)
        (trial.world / "faults.json").unlink(missing_ok=True)
    check(trial, action, then, plexes)


@pytest.mark.parametrize(
    ("program", "word", "skip"),
    [("vxvol", "volinfo", 0), ("vxvol", "volinfo", 1), ("vxassist", "snapprint", 0)],
)
@pytest.mark.parametrize("kind", NOT_DONE)
def test_nothing_is_told_of_a_set_that_cannot_be_read(
    tmp_path: Path, stages: dict[str, Path], program: str, word: str, skip: int, kind: str
) -> None:
    trial, action, _ = ready_for(tmp_path, stages, Verb.RESYNC)
    faults.plan(trial.world, program, word, kind, skip=skip)
    with pytest.raises((ProviderError, TimedOutError)):
        trial.provider().standing(action)
    faults.plan(trial.world, program, word, kind, skip=skip)
    with pytest.raises((ProviderError, TimedOutError)):
        trial.provider().mirrors(trial.group, trial.sources)


# --- the split, in particular ---


@pytest.mark.parametrize("kind", ["half", "no-xml", "wrong-plex"])
def test_a_split_that_is_not_right_is_undone_and_may_be_repeated(
    tmp_path: Path, stages: dict[str, Path], kind: str
) -> None:
    trial, action, then = ready_for(tmp_path, stages, Verb.SPLIT)
    trial.do(Verb.PREPARE, mirror="m2")
    plexes = trial.copies()
    faults.plan(trial.world, "vxsnap", "create", kind)
    with pytest.raises(ProviderError, match="what was split goes back"):
        carry_out(trial, action)
    assert trial.copies() == plexes
    undone = trial.gave("snapback")
    assert undone
    assert all(one[:3] == ["vxassist", "-f", "-gMAIL"] for one in undone)
    assert trial.state_of("m1") is MirrorState.READY
    assert trial.state_of("m2") is MirrorState.READY
    assert not list(trial.sets.glob("*.*"))
    carry_out(trial, action)
    check(trial, action, then, len(plexes))


@pytest.mark.parametrize("kind", DONE_ALL_THE_SAME)
def test_a_set_is_not_the_writers_when_vxsnap_did_not_say_so(
    tmp_path: Path, stages: dict[str, Path], kind: str
) -> None:
    trial, _, _ = ready_for(tmp_path, stages, Verb.SPLIT)
    with world.opened(trial.world) as found:
        found.state["writers"] = {"Store": {"Mail": ["MAIL\\db", "MAIL\\logs"]}}
    plexes = trial.copies()
    asked = {"writer": "Store", "component": "Mail"}
    faults.plan(trial.world, "vxsnap", "create", kind)
    with pytest.raises((ProviderError, TimedOutError), match="whether the writer Store agreed"):
        trial.do(Verb.SPLIT, SET, **asked)
    assert trial.copies() == plexes
    assert trial.state_of() is MirrorState.READY
    done = trial.do(Verb.SPLIT, SET, **asked)
    assert done.consistency == "application"


def test_what_a_split_past_its_time_still_does_is_the_sets_own(
    tmp_path: Path, stages: dict[str, Path]
) -> None:
    trial, action, then = ready_for(tmp_path, stages, Verb.SPLIT)
    plexes = trial.copies()
    faults.plan(trial.world, "vxsnap", "create", "hang")
    with pytest.raises(TimedOutError):
        carry_out(trial, action)
    late = next(words for words in trial.commands.given if "create" in words)
    assert trial.commands.run(late[0], late[1:], 10).status == 0
    carry_out(trial, action)
    check(trial, action, then, len(plexes))
    trial.do(Verb.RESYNC, SET)
    assert trial.gave("reattach")


def test_a_split_past_its_time_that_did_nothing_can_be_aborted(
    tmp_path: Path, stages: dict[str, Path]
) -> None:
    trial, action, _ = ready_for(tmp_path, stages, Verb.SPLIT)
    faults.plan(trial.world, "vxsnap", "create", "hang")
    with pytest.raises(TimedOutError):
        carry_out(trial, action)
    trial.do(Verb.ABORT, SET)
    assert not list(trial.sets.glob("*.*"))
    assert trial.state_of() is MirrorState.READY


def test_an_interrupted_split_that_got_letters_can_be_aborted(
    tmp_path: Path, stages: dict[str, Path]
) -> None:
    trial, action, _ = ready_for(tmp_path, stages, Verb.SPLIT)
    with world.opened(trial.world) as found:
        found.state["letters_by_itself"] = True
    plexes = trial.copies()
    assert any(killed_at(trial, action, at) for at in range(200))
    trial.commands.kill_at = None
    trial.do(Verb.ABORT, SET)
    assert trial.copies() == plexes
    assert trial.state_of() is MirrorState.READY


def killed_at(trial: Trial, action: Action, call: int) -> bool:
    """Killed before this call; whether vxsnap had just split."""
    trial.resume()
    trial.commands.kill_at = call
    with contextlib.suppress(Killed):
        carry_out(trial, action)
    return any("create" in words for words in trial.commands.given[-1:])


def test_an_error_shows_the_command_its_words_and_the_state_found(trial: Trial) -> None:
    faults.plan(trial.world, "vxassist", "prepare", "lie")
    with pytest.raises(ProviderError) as caught:
        trial.do(Verb.PREPARE)
    text = caught.value.message
    assert "vxassist -b -gMAIL prepare db Harddisk3" in text
    assert "ended with 0, but db has no snap plex" in text
    assert "it said: Done." in text


def test_a_restore_that_was_done_is_not_done_again_over_new_bytes(
    tmp_path: Path, stages: dict[str, Path]
) -> None:
    trial, action, then = ready_for(tmp_path, stages, Verb.RESTORE)
    carry_out(trial, action)
    trial.write("db", 4096, b"written after the restore")
    now = trial.all()
    carry_out(trial, action)
    assert trial.all() == now
    assert now != then


def test_one_instant_for_both_volumes_under_writes(trial: Trial) -> None:
    import threading

    trial.do(Verb.PREPARE)
    stop = threading.Event()

    def application() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            trial.write("logs", 0, number.to_bytes(8, "big"))  # first the log, then the database
            trial.write("db", 0, number.to_bytes(8, "big"))

    thread = threading.Thread(target=application)
    thread.start()
    try:
        set_id = str(uuid.uuid4())
        trial.do(Verb.SPLIT, set_id)
    finally:
        stop.set()
        thread.join()
    copy = trial.copy(set_id)
    log, database = (int.from_bytes(copy[one][:8], "big") for one in ("logs", "db"))
    assert log - database in (0, 1)


def test_letters_that_somebody_has_are_not_given_to_copies(trial: Trial) -> None:
    set_id = trial.split()
    world.add_volume(trial.world, "MAIL", "other", 65536, "Harddisk5", places=("P:",))
    (trial.world / "devices" / "Q:").touch()  # no dynamic volume
    members = trial.do(Verb.PRESENT, set_id).members
    assert [Path(one.path).name for one in members] == ["R:", "S:"]


def test_an_xml_of_our_own_interrupted_split_does_not_stand_in_the_way(
    tmp_path: Path, stages: dict[str, Path]
) -> None:
    trial, action, then = ready_for(tmp_path, stages, Verb.SPLIT)
    plexes = len(trial.copies())
    trial.commands.kill_at = next(
        at for at, words in enumerate(plan_of(tmp_path, stages)) if "create" in words
    )
    with contextlib.suppress(Killed):
        carry_out(trial, action)
    trial.commands.kill_at = None
    trial.xml(SET).write_text("written by vxsnap, which was then killed as well")
    carry_out(trial, action)
    check(trial, action, then, plexes)


def plan_of(folder: Path, stages: dict[str, Path]) -> list[list[str]]:
    """The commands of a split that nothing disturbs."""
    trial, action, _ = ready_for(folder / "other", stages, Verb.SPLIT)
    carry_out(trial, action)
    return trial.commands.given


@pytest.mark.parametrize("verb", [Verb.PREPARE, Verb.RESTORE, Verb.RESYNC])
def test_what_takes_its_time_is_waited_for_and_gone_on_with(
    tmp_path: Path, stages: dict[str, Path], verb: Verb
) -> None:
    trial, action, then = ready_for(tmp_path, stages, verb)
    plexes = len(trial.copies())
    with world.opened(trial.world) as found:
        found.state["sync_seconds"] = 0.3
    carry_out(trial, action)
    check(trial, action, then, plexes)


@pytest.mark.parametrize("verb", [Verb.SPLIT, Verb.ABORT, Verb.RESYNC, Verb.DISSOLVE, Verb.PROMOTE])
def test_while_a_restore_is_under_way_nobody_touches_its_set(
    tmp_path: Path, stages: dict[str, Path], verb: Verb
) -> None:
    trial, action, then = ready_for(tmp_path, stages, Verb.RESTORE)
    trial.hold()
    trial.provider().start(action)
    assert trial.state_of() is MirrorState.RESTORING
    there = trial.copies()
    other = {Verb.SPLIT: str(uuid.uuid4()), Verb.ABORT: ""}.get(verb, SET)
    with pytest.raises(Error):
        trial.provider().start(trial.act(verb, other))
    trial.release()
    assert trial.copies() == there
    carry_out(trial, action)
    check(trial, action, then, len(there))


@pytest.mark.parametrize("verb", [Verb.RESTORE, Verb.PROMOTE])
def test_one_set_at_a_time_takes_production_s_place(
    tmp_path: Path, stages: dict[str, Path], verb: Verb
) -> None:
    trial, action, then = ready_for(tmp_path, stages, Verb.RESTORE)
    second = trial.split("m2")
    trial.hold()
    trial.provider().start(action)
    with pytest.raises(RefusedError, match="is being restored or promoted by action"):
        trial.provider().start(trial.act(verb, second, "m2"))
    trial.release()
    carry_out(trial, action)
    assert trial.all() == then
    trial.do(verb, second, "m2")
    assert trial.all() != then
