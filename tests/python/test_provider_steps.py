"""carry_out: journalled before it starts, ended rightly; the journal in the catalog."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from provider_trial import MemoryJournal

from exshadow.catalog import Catalog, open_catalog
from exshadow.catalog.journal import CatalogJournal
from exshadow.errors import CancelledError, CorruptError, ProviderError, RefusedError, TimedOutError
from exshadow.model import ChangedMember
from exshadow.providers.contract import Action, Mirror, Source, Stage, Standing, Verb
from exshadow.providers.facts import Capability, CopyKind
from exshadow.providers.steps import Limits, carry_out

QUICK = Limits(seconds=dict.fromkeys(Verb, 0.2), between=0.01)


@dataclass
class Scripted:
    """Says these stages, one a look, the last for ever."""

    journal: MemoryJournal
    stages: list[Stage]
    refuses: bool = False
    name: str = "scripted"
    told: list[str] = field(default_factory=list)

    def capability(self, volumes: Sequence[Source]) -> Capability:
        return Capability(CopyKind.PLEX, True, True, True, True, True)

    def start(self, action: Action) -> None:
        assert self.journal.lines == [("begin", action.id, "started")]
        self.told.append("start")
        if self.refuses:
            raise RefusedError("not now")

    def standing(self, action: Action) -> Standing:
        assert self.journal.lines, "looked at before it was journalled"
        self.told.append("look")
        stage = self.stages.pop(0) if len(self.stages) > 1 else self.stages[0]
        return Standing(stage, f"it is {stage}")

    def mirrors(self, group: str, volumes: Sequence[Source]) -> tuple[Mirror, ...]:
        return ()

    def changed(self, action: Action) -> tuple[ChangedMember, ...] | None:
        return None

    def documents(self, action: Action) -> Mapping[str, bytes]:
        return {}


def an_action(verb: Verb = Verb.SPLIT, group: str = "mail") -> Action:
    source = Source("db", "W:", 4096)
    set_id = str(uuid.uuid4())
    return Action(str(uuid.uuid4()), verb, group, "m1", (source,), set_id, options={"a": "b"})


def scripted(*stages: Stage, refuses: bool = False) -> tuple[Scripted, MemoryJournal]:
    journal = MemoryJournal()
    return Scripted(journal, list(stages), refuses), journal


def states(journal: MemoryJournal) -> list[str]:
    return [state for _, _, state in journal.lines]


def test_it_is_journalled_started_watched_and_ended() -> None:
    provider, journal = scripted(Stage.ABSENT, Stage.RUNNING, Stage.RUNNING, Stage.DONE)
    assert carry_out(provider, an_action(), journal, limits=QUICK).stage is Stage.DONE
    assert provider.told == ["look", "start", "look", "look", "look"]
    assert states(journal) == ["started", "done"]


@pytest.mark.parametrize(
    ("first", "starts"), [(Stage.RUNNING, 0), (Stage.HALF, 1), (Stage.DONE, 0)]
)
def test_what_is_there_already_is_only_carried_on(first: Stage, starts: int) -> None:
    provider, journal = scripted(first, Stage.DONE)
    carry_out(provider, an_action(), journal, limits=QUICK)
    assert provider.told.count("start") == starts
    assert states(journal) == ["started", "done"]


def test_what_failed_is_journalled_as_failed() -> None:
    provider, journal = scripted(Stage.ABSENT, Stage.FAILED)
    with pytest.raises(ProviderError, match="it is failed"):
        carry_out(provider, an_action(), journal, limits=QUICK)
    assert states(journal) == ["started", "failed"]


def test_a_refused_start_is_journalled_as_failed() -> None:
    provider, journal = scripted(Stage.ABSENT, refuses=True)
    with pytest.raises(RefusedError):
        carry_out(provider, an_action(), journal, limits=QUICK)
    assert states(journal) == ["started", "failed"]


def test_past_its_limit_it_is_given_up() -> None:
    provider, journal = scripted(Stage.ABSENT, Stage.RUNNING)
    with pytest.raises(TimedOutError, match=r"0\.2 s"):
        carry_out(provider, an_action(), journal, limits=QUICK)
    assert states(journal) == ["started", "failed"]


def test_stopped_it_stays_started() -> None:
    provider, journal = scripted(Stage.ABSENT, Stage.RUNNING)
    with pytest.raises(CancelledError):
        carry_out(provider, an_action(), journal, limits=QUICK, stopped=lambda: True)
    assert states(journal) == ["started"]


# --- the journal in the catalog ---


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = open_catalog(tmp_path / "catalog.sqlite").catalog
    yield opened
    opened.close()


def test_the_same_action_is_one_entry(catalog: Catalog) -> None:
    journal = CatalogJournal(catalog, "first")
    action = an_action()
    journal.begin("native", action)
    CatalogJournal(catalog, "second").begin("native", action)
    (entry,) = journal.unfinished("mail")
    assert (entry.action, entry.provider, entry.run_id) == (action, "native", "first")
    journal.end(action, "done", "x" * 5000)
    assert journal.unfinished("mail") == []
    (entry,) = journal.of_run("first")
    assert (entry.state, len(entry.detail)) == ("done", 1000)
    assert entry.ended >= entry.started


def test_failed_splits_and_preparations_are_unfinished_until_undone(catalog: Catalog) -> None:
    journal = CatalogJournal(catalog, "run")
    split, prepare, other = an_action(), an_action(Verb.PREPARE), an_action(group="shop")
    for action in (split, prepare, other):
        journal.begin("sfw", action)
        journal.end(action, "failed")
    assert [entry.action for entry in journal.unfinished("mail")] == [split, prepare]
    for action in (split, prepare):
        journal.end(action, "undone")
    assert journal.unfinished("mail") == []


def test_entries_come_in_the_order_in_which_they_began(catalog: Catalog) -> None:
    journal = CatalogJournal(catalog, "run")
    actions = [an_action() for _ in range(20)]
    for action in actions:
        journal.begin("native", action)
    assert [entry.action for entry in journal.of_run("run")] == actions


def test_an_entry_that_cannot_be_read_is_said(catalog: Catalog) -> None:
    journal = CatalogJournal(catalog, "run")
    action = an_action()
    journal.begin("native", action)
    with catalog.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE actions SET asked = ?", (json.dumps({"id": 1}),))
    with pytest.raises(CorruptError, match=action.id):
        journal.unfinished("mail")
