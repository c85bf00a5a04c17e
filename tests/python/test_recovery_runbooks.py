"""Runbooks for Exchange: golden texts, the rules that refuse, the running of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from exshadow.errors import (
    CorruptError,
    InvalidError,
    RefusedError,
    TimedOutError,
    UnsupportedError,
    WriterError,
)
from exshadow.recovery import exchange
from exshadow.recovery.execution import Journal, digest_of, execute, keys, states
from exshadow.recovery.runbook import Runbook, RunbookStep, quote
from exshadow.recovery.runners import LocalRunner, Outcome

GOLDEN = Path(__file__).parent / "golden"
LOGS = exchange.Logs(5, (5, 9), frozenset(range(5, 21)), 20)

EX2003 = exchange.RestoreFacts(
    generation="2003",
    set_id="mail@noon",
    server="EX1",
    databases=(
        "CN=Mailbox Store (EX1),CN=First Storage Group,CN=InformationStore,CN=EX1",
        "CN=Public Folder Store (EX1),CN=First Storage Group,CN=InformationStore,CN=EX1",
    ),
    log_prefix="E00",
    log_folder=r"L:\exchsrvr\mdbdata",
    database_folder=r"D:\exchsrvr\mdbdata",
    database_volumes=("mail-db",),
    log_volumes=("mail-log",),
    storage_group="First Storage Group",
)
EX2007 = replace(
    EX2003, generation="2007", databases=(r"EX1\First Storage Group\Mailbox Database",)
)
EX2010 = replace(EX2003, generation="2010", databases=("DB1",), storage_group="")
CASES = {
    "2003": EX2003,
    "2003-cluster": replace(EX2003, cluster_group="EVS1", verified=False),
    "2003-one-database": replace(EX2003, databases=EX2003.databases[:1], whole_group=False),
    "2007": EX2007,
    "2007-copies": replace(EX2007, copies=(r"EX1\First Storage Group",), cluster_group="CMS1"),
    "2010": EX2010,
    "2010-copies": replace(EX2010, copies=(r"DB1\EX2", r"DB1\EX3")),
}
MAILBOX = exchange.MailboxFacts(
    generation="2003",
    set_id="mail@noon",
    server="EX1",
    database="Mailbox Database",
    mailbox="Ann O'Neil",
    log_prefix="E00",
    mount_folder=r"M:\noon",
    work_folder=r"W:\recovery",
)


def golden(name: str, text: str) -> None:
    """Compare with the golden file; EXSHADOW_GOLDEN=write makes it anew, to be read by a person."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("EXSHADOW_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("roll_forward", [False, True], ids=["point", "forward"])
@pytest.mark.parametrize("name", CASES)
def test_restore_runbooks(name: str, roll_forward: bool) -> None:
    book = exchange.restore(CASES[name], roll_forward=roll_forward, logs=LOGS)
    golden(f"restore-{name}-{'forward' if roll_forward else 'point'}", book.text())


@pytest.mark.parametrize("generation", exchange.GENERATIONS)
def test_mailbox_runbooks(generation: exchange.Generation) -> None:
    book = exchange.mailbox(replace(MAILBOX, generation=generation))
    golden(f"mailbox-{generation}", book.text())


def test_a_roll_forward_never_touches_the_logs() -> None:
    for facts in CASES.values():
        for step in exchange.restore(facts, roll_forward=True, logs=LOGS).steps:
            assert step.id not in ("move-logs", "restore-all")
            if step.command.startswith("exshadow restore"):
                assert "mail-log" not in step.command


FORBIDDEN = {
    "circular logging": (replace(EX2010, circular_logging=True), LOGS),
    "share a volume": (replace(EX2010, log_volumes=("mail-db",)), LOGS),
    "broken: 12 missing": (EX2010, replace(LOGS, on_disk=LOGS.on_disk - {12})),
    "another stream": (EX2010, replace(LOGS, same_stream=False)),
    "paths of the backup only": (replace(EX2003, target_folder=r"E:\other"), LOGS),
    "no single copy cluster": (replace(EX2010, cluster_group="EVS1"), LOGS),
}


@pytest.mark.parametrize("rule", FORBIDDEN)
def test_what_the_rules_forbid_is_refused_with_the_rule(rule: str) -> None:
    facts, logs = FORBIDDEN[rule]
    with pytest.raises(RefusedError, match=rule) as refusal:
        exchange.restore(facts, roll_forward=True, logs=logs)
    assert str(refusal.value).startswith("rule: ")
    assert refusal.value.hint


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"public_folders": True}, "no public folders"),
        ({"recovery_place_in_use": True}, "one recovery"),
        ({"same_administrative_group": False}, "administrative group"),
        ({"mailbox_in_directory": False}, "still exist in the directory"),
    ],
)
def test_what_a_recovery_storage_group_cannot_take(change: dict[str, bool], rule: str) -> None:
    with pytest.raises(RefusedError, match=rule):
        exchange.mailbox(replace(MAILBOX, **change))


def test_missing_facts_are_asked_for() -> None:
    with pytest.raises(InvalidError, match="storage group"):
        exchange.restore(replace(EX2003, storage_group=""), roll_forward=False)
    with pytest.raises(InvalidError, match="which logs are on disk"):
        exchange.restore(EX2010, roll_forward=True)
    with pytest.raises(InvalidError, match="'2013' is not known"):
        exchange.restore(replace(EX2010, generation="2013"), roll_forward=False)


def test_values_cannot_break_out_of_their_quotes() -> None:
    assert quote("O'Neil; Remove-Item C:\\", "powershell") == "'O''Neil; Remove-Item C:\\'"
    with pytest.raises(InvalidError):
        quote('a" & del c:', "cmd")
    with pytest.raises(InvalidError):
        quote("two\nlines", "powershell")


# --- running ---

BOOK = Runbook(
    "three steps",
    (
        RunbookStep("one", "First", "exshadow", "exshadow one"),
        RunbookStep("two", "Second", "hand"),
        RunbookStep("three", "Third", "exshadow", "exshadow three", certain=False),
        RunbookStep("one", "First again", "exshadow", "exshadow one more"),
    ),
)


class Fake:
    """Runs nothing; fails the command it is told to."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.ran: list[str] = []

    def run(self, step: RunbookStep, limit: float) -> Outcome:
        self.ran.append(step.command)
        return Outcome(3, "no such store\n") if step.command == self.failing else Outcome(0, "ok")


def run(book: Runbook, runner: Fake, path: Path, yes: bool = True) -> list[str]:
    asked: list[str] = []

    def ask(step: RunbookStep, question: str) -> bool:
        asked.append(f"{step.id}: {question}")
        return yes

    execute(book, runner, Journal.open(path, book), ask=ask, tell=lambda *_: None)
    return asked


def test_steps_run_in_order_and_unsure_ones_are_asked_about(tmp_path: Path) -> None:
    runner = Fake()
    asked = run(BOOK, runner, tmp_path / "journal")
    assert runner.ran == ["exshadow one", "exshadow three", "exshadow one more"]
    assert asked == ["two: Do it, then say so.", "three: Not confirmed. Run it?"]
    assert keys(BOOK) == ["one", "two", "three", "one#2"]


def test_a_failed_step_stops_and_is_continued_with(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with pytest.raises(WriterError, match=r"step 'three' .* ended with 3: no such store"):
        run(BOOK, Fake("exshadow three"), path)
    found = {step.title: state for step, state in states(BOOK, Journal.open(path, BOOK))}
    assert found == {"First": "done", "Second": "done", "Third": "failed", "First again": "open"}
    runner = Fake()
    run(BOOK, runner, path)
    assert runner.ran == ["exshadow three", "exshadow one more"]


def test_a_step_that_was_interrupted_is_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal.open(path, BOOK).record("one", "began")
    runner = Fake()
    asked = run(BOOK, runner, path)
    assert asked[0] == "one: It began and was interrupted. Is it done?"
    assert runner.ran == ["exshadow three", "exshadow one more"]


def test_no_is_no(tmp_path: Path) -> None:
    runner = Fake()
    with pytest.raises(RefusedError, match="stopped before step 'two'"):
        run(BOOK, runner, tmp_path / "journal", yes=False)
    assert runner.ran == ["exshadow one"]


def test_a_journal_of_another_runbook_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with pytest.raises(RefusedError, match="stopped before"):
        run(BOOK, Fake(), path, yes=False)
    with pytest.raises(RefusedError, match="another runbook"):
        Journal.open(path, replace(BOOK, title="other"))
    path.write_text("{}")
    with pytest.raises(CorruptError):
        Journal.open(path, BOOK)


def test_a_runbook_that_is_done_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "book.json"
    run(BOOK, Fake(), path)  # killed before its journal was closed
    runner = Fake()
    run(BOOK, runner, path)
    assert runner.ran == ["exshadow one", "exshadow three", "exshadow one more"]
    Journal.open(path, BOOK)
    journal = Journal(path, digest_of(BOOK))
    journal.record("one", "began")
    assert journal.close() != journal.path
    assert not path.exists()
    assert len(list(tmp_path.glob("book.*.json"))) == 3


def test_the_local_runner_runs_exshadow_and_needs_powershell() -> None:
    runner = LocalRunner()
    done = runner.run(RunbookStep("v", "v", "exshadow", "exshadow --version"), 60)
    assert done.status == 0
    with pytest.raises(UnsupportedError, match="PowerShell"):
        runner.run(RunbookStep("p", "p", "powershell", "Get-Date"), 60)
    with pytest.raises(TimedOutError):
        runner.run(RunbookStep("v", "v", "exshadow", "exshadow --version"), 0.001)
