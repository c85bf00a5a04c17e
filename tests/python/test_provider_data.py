"""What the products are told and say is data: an administrator corrects it by a file, and nothing
that is not confirmed is believed without a look."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from eva_story import NoJournal
from provider_bed_eva import EvaBed, EvaSnapcloneBed, EvaSnapshotBed
from sfw_trial import Trial

from exshadow.errors import Error, ProviderError, TimedOutError
from exshadow.providers.contract import Action, MirrorState, Provider, Stage, Verb
from exshadow.providers.eva.array import Array
from exshadow.providers.steps import Limits, carry_out
from exshadow.providers.templates import Book, Sure, load
from simulators.sfw import world

SET = "11111111-2222-3333-4444-555555555555"
LIMITS = Limits(seconds=dict.fromkeys(Verb, 2.0), between=0.05)
OPTIONS: dict[Verb, dict[str, str]] = {
    Verb.LEND: {"host": "HOST2"},
    Verb.RECALL: {"released": "yes"},
}


@dataclass(frozen=True)
class Story:
    """A verb that gives the command, after others; ``kind``: of the array's copies; ``single``: on
    one volume; ``settings`` of the provider, ``options`` of the action."""

    verb: Verb
    before: tuple[Verb, ...] = ()
    kind: type[EvaBed] = EvaBed
    single: bool = False
    settings: Mapping[str, str] | None = None
    options: Mapping[str, str] | None = None
    made: bool = False  # by another way all the same, seen by the look: only the look is asked for


READY, SPLIT = (Verb.PREPARE,), (Verb.PREPARE, Verb.SPLIT)
DEMAND = {"allocation": "demand", "mirrors": "m1"}
EVA = {
    "list_snapshots": Story(Verb.SPLIT, READY, EvaSnapshotBed),
    "list_containers": Story(Verb.PREPARE, (), EvaSnapshotBed),
    "write_back": Story(Verb.SPLIT, READY),
    # What the copies are is seen when they are made.
    "prepare_container": Story(Verb.SPLIT, READY, EvaSnapshotBed, made=True),
    "add_snapshot_container": Story(Verb.SPLIT, READY, EvaSnapshotBed, single=True),
    "add_copy": Story(Verb.SPLIT, READY, EvaSnapcloneBed, single=True),
    "add_multisnap": Story(Verb.SPLIT, READY, EvaSnapshotBed),
    "add_multisnap_demand": Story(Verb.SPLIT, (), EvaSnapshotBed, settings=DEMAND),
    "add_mirrorclone": Story(Verb.PREPARE),
    "fracture": Story(Verb.SPLIT, READY, single=True),
    "fracture_set": Story(Verb.SPLIT, READY),
    "resync": Story(Verb.RESYNC, SPLIT),
    "restore": Story(Verb.RESTORE, SPLIT),
    "detach": Story(Verb.DISSOLVE, SPLIT),
    "rename": Story(Verb.SPLIT, READY),
    "delete_container": Story(Verb.ABORT, READY, EvaSnapshotBed),
}
FOLDERS = {"letters": "", "folders": "C:\\copies\\1;C:\\copies\\2"}
WRITER = {"writer": "Store", "component": "Mail"}
SFW = {
    "create": Story(Verb.SPLIT, READY),
    "reattach": Story(Verb.RESYNC, SPLIT, made=True),  # what it leaves goes back one by one
    "restore": Story(Verb.RESTORE, SPLIT, options={**WRITER, "restore": "PIT", "keep-set": "no"}),
    "snapback": Story(Verb.RESYNC, SPLIT, options={"xml": "lost"}),
    "snapback_reverse": Story(Verb.RESTORE, SPLIT),
    "snapclear": Story(Verb.DISSOLVE, SPLIT),
    "snapabort": Story(Verb.ABORT, READY),
    "assign_folder": Story(Verb.PRESENT, SPLIT, settings=FOLDERS),
    "unassign_letter": Story(Verb.UNPRESENT, (*SPLIT, Verb.PRESENT)),
    "unassign_folder": Story(Verb.UNPRESENT, (*SPLIT, Verb.PRESENT), settings=FOLDERS),
    "group_deport": Story(Verb.LEND, SPLIT),
    "groups": Story(Verb.PREPARE),  # what is read back: an answer that is none is no state
    "volume": Story(Verb.PREPARE),
    "pairs": Story(Verb.SPLIT, READY),
}
PATTERNS = {
    "groups": Story(Verb.PREPARE),
    "group": Story(Verb.PREPARE),
    "no_volume": Story(Verb.PRESENT, SPLIT),
    "volume": Story(Verb.PREPARE),
    "volume_group": Story(Verb.PREPARE),
    "size": Story(Verb.PREPARE),
    "layout": Story(Verb.PREPARE),
    "letter": Story(Verb.PRESENT, SPLIT),
    "folder": Story(Verb.PRESENT, SPLIT, settings=FOLDERS),
    "plex": Story(Verb.PREPARE),
    "pairs": Story(Verb.SPLIT, READY),
    "pair": Story(Verb.RESYNC, SPLIT),
}


def unsure(product: str, version: str, table: str) -> set[str]:
    entries = getattr(load(product, version), table)
    return {name for name, one in entries.items() if one.sure is not Sure.CONFIRMED}


@pytest.mark.parametrize(
    ("stories", "known"),
    [
        (EVA, unsure("eva", "6", "command")),
        (SFW, unsure("sfw", "7.3", "command")),
        (PATTERNS, unsure("sfw", "7.3", "pattern")),
    ],
    ids=["eva", "sfw", "what sfw says"],
)
def test_every_entry_that_is_not_confirmed_is_tried_below(
    stories: Mapping[str, Story], known: set[str]
) -> None:
    assert stories.keys() == known


def step(provider: Provider, bed: Trial | EvaBed, verb: Verb, story: Story) -> Stage:
    """One verb to its end."""
    set_id = "" if verb is Verb.PREPARE or (verb, story.verb) == (Verb.ABORT,) * 2 else SET
    given = {**OPTIONS.get(verb, {}), **(story.options or {})}
    volumes = bed.sources[:1] if story.single else bed.sources
    action = Action(str(uuid.uuid4()), verb, bed.group, "m1", volumes, set_id, options=given)
    return carry_out(provider, action, NoJournal(), limits=LIMITS).stage


@pytest.mark.parametrize("name", EVA)
def test_a_command_of_the_array_that_is_not_confirmed_is_followed_by_a_look(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that it was good, and did nothing."""
    story = EVA[name]
    bed = story.kind(tmp_path)
    quick = {"settle_seconds": "0.3", "flush_seconds": "0.5"}
    provider = bed.provider(**quick, **(story.settings or {}))
    for verb in story.before:
        step(provider, bed, verb, story)
    asked: list[str] = []
    real = Array._ask

    def ask(self: Array, command: str, values: Mapping[str, object]) -> str:
        asked.append(command)
        return "" if command == name else real(self, command, values)  # type: ignore[arg-type]

    monkeypatch.setattr(Array, "_ask", ask)
    if story.made:
        assert step(provider, bed, story.verb, story) is Stage.DONE
    else:
        with pytest.raises(Error):
            step(provider, bed, story.verb, story)
    assert name in asked
    assert any(one.startswith("list_") for one in asked[asked.index(name) :])
    bed.close()


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


@pytest.mark.parametrize("name", SFW)
def test_a_command_of_storage_foundation_that_is_not_confirmed_is_followed_by_a_look(
    name: str, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = SFW[name]
    with world.opened(trial.world) as found:
        found.state["writers"] = {"Store": {"Mail": ["MAIL\\db", "MAIL\\logs"]}}
    provider = trial.provider(**(story.settings or {}))
    for verb in story.before:
        step(provider, trial, verb, story)
    if (story.options or {}).get("xml") == "lost":
        for folder in (trial.sets, trial.folder / "share"):
            (folder / f"{SET}.xml").unlink()
    asked: list[str] = []
    real = Book.words

    def words(self: Book, command: str, values: Mapping[str, object]) -> list[str]:
        asked.append(command)
        made = real(self, command, values)  # type: ignore[arg-type]
        return ["vxassist", "rescan"] if command == name else made  # ends with 0, does nothing

    monkeypatch.setattr(Book, "words", words)
    if story.made:
        assert step(provider, trial, story.verb, story) is Stage.DONE
        assert trial.state_of() is MirrorState.READY
    else:
        with pytest.raises(Error):
            step(provider, trial, story.verb, story)
    assert name in asked
    if name not in ("groups", "volume", "pairs"):
        looks = asked[asked.index(name) + 1 :]
        assert {"groups", "volume", "pairs"} & set(looks)


@pytest.mark.parametrize("name", PATTERNS)
def test_an_answer_of_storage_foundation_that_nobody_understands_is_no_state(
    name: str, trial: Trial
) -> None:
    story = PATTERNS[name]
    provider = trial.provider(**(story.settings or {}))
    for verb in story.before:
        step(provider, trial, verb, story)
    book = provider.ground.product._book
    broken = replace_pattern(book, name)
    provider.ground.product._book = broken
    with pytest.raises(Error):
        step(provider, trial, story.verb, story)


def replace_pattern(book: Book, name: str) -> Book:
    """The same with a pattern that fits nothing."""
    old = book.pattern[name]
    groups = "".join(f"(?P<{one}>x)" for one in sorted(old.groups))
    never = type(old).model_validate({"regex": f"(?!){groups}", "sure": "unconfirmed"})
    return book.model_copy(update={"pattern": {**book.pattern, name: never}})


# --- an administrator's correction ---


def test_a_release_of_sssu_with_another_prompt_is_spoken_to_by_an_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exshadow.providers.eva.session._LOGIN", 0.5)
    bed = EvaBed(tmp_path)
    bed.set(words={"prompt": " $ ", "status": "Result="})
    own = tmp_path / "own.toml"
    own.write_text(
        "[pattern.system_prompt]\nregex = ' \\$[ \\t]*'\nsure = 'confirmed'\n"
        "[pattern.no_system_prompt]\nregex = 'NoSystemSelected \\$[ \\t]*'\nsure = 'confirmed'\n"
        "[pattern.status]\nregex = '^Result=(\\d+)[ \\t]*\\r?$'\nsure = 'confirmed'\n"
    )
    with pytest.raises((ProviderError, TimedOutError)):
        bed.provider(step_seconds="0.5").capability(bed.sources)
    monkeypatch.undo()
    provider = bed.provider(commands=str(own))
    for verb in SPLIT:
        assert step(provider, bed, verb, Story(verb)) is Stage.DONE
    bed.close()


def test_a_snapclone_in_a_state_that_nobody_knows_counts_as_still_copying(tmp_path: Path) -> None:
    """How that is spelled is guessed: a wrong guess must not let anybody read half a copy."""
    bed = EvaSnapcloneBed(tmp_path)
    bed.hold()
    own = tmp_path / "own.toml"
    own.write_text("[meaning.sharing_guessed]\nwords = { xy = 'copying' }\nsure = 'confirmed'\n")
    provider = bed.provider(commands=str(own), copying_seconds="0.2")
    for verb in SPLIT:
        step(provider, bed, verb, Story(verb))
    with pytest.raises(TimedOutError, match="normalised"):
        step(provider, bed, Verb.PRESENT, Story(Verb.PRESENT))
    bed.close()


@pytest.mark.parametrize("type_word", ["original", "virtual_copy", "snapclone"])
def test_a_snapclone_is_copying_until_a_word_is_known_to_say_that_it_is_whole(
    type_word: str, tmp_path: Path
) -> None:
    """Neither its type nor its sharing relation has a known spelling: its name tells that it is
    one of ours."""
    bed = EvaSnapcloneBed(tmp_path)
    bed.set(hold=True, traps={"clone_words": [type_word, "unsharing_in_progress"]})
    provider = bed.provider(copying_seconds="0.2")
    for verb in SPLIT:
        step(provider, bed, verb, Story(verb))
    with pytest.raises(TimedOutError, match="normalised"):
        step(provider, bed, Verb.PRESENT, Story(Verb.PRESENT))
    bed.release()
    step(provider, bed, Verb.PRESENT, Story(Verb.PRESENT))
    bed.close()


def test_a_release_of_vxsnap_with_other_words_is_spoken_to_by_an_own_file(
    trial: Trial, tmp_path: Path
) -> None:
    with world.opened(trial.world) as found:
        found.state["spelled"] = {"newvol": "newvolume"}
        found.state["wording"] = {"Plex         :": "Mirror =", "SNAPDONE": "bereit"}
    own = tmp_path / "own.toml"
    shipped = load("sfw", "7.3")
    plex = shipped.pattern["plex"].regex.replace("Plex +:", "Mirror =")
    create = shipped.command["create"].text
    own.write_text(
        f"[pattern.plex]\nregex = '{plex}'\nsure = 'confirmed'\n"
        "[meaning.plex]\nsure = 'confirmed'\n"
        "words = { ACTIVE = 'active', SNAPATT = 'syncing', bereit = 'ready' }\n"
        f"[command.create]\ntext = '{create}'\nsure = 'confirmed'\nfree = ['xml']\n"
        "each.sources = 'source={path}/newvolume={newvol}[/plex={plex}]'\n"
    )
    with pytest.raises(ProviderError, match="no snap plex"):
        step(trial.provider(), trial, Verb.PREPARE, Story(Verb.PREPARE))
    provider = trial.provider(commands=str(own))
    for verb in (*SPLIT, Verb.RESYNC):
        assert step(provider, trial, verb, Story(verb)) is Stage.DONE
    assert any("newvolume=" in word for words in trial.gave() for word in words)
