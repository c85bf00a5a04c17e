"""Runbooks for Exchange: golden texts, the rules that refuse, the running of them."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import pytest

from exshadow.errors import (
    CorruptError,
    Error,
    InvalidError,
    RefusedError,
    TimedOutError,
    UnsupportedError,
    WriterError,
)
from exshadow.recovery import exchange, runners
from exshadow.recovery.execution import Journal, digest_of, execute, keys, states
from exshadow.recovery.runbook import Runbook, RunbookStep, quote
from exshadow.recovery.runners import LocalRunner, Outcome, _strict

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
    mount_folder="/mnt/noon",
    source_folder=r"\\BACKUP\noon",
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
    r"broken: 12 \(0xC\) missing": (EX2010, replace(LOGS, on_disk=LOGS.on_disk - {12})),
    "another stream": (EX2010, replace(LOGS, same_stream=False)),
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


def every_book() -> list[Runbook]:
    books = [exchange.mailbox(replace(MAILBOX, generation=one)) for one in exchange.GENERATIONS]
    for facts in CASES.values():
        books += [exchange.restore(facts, roll_forward=one, logs=LOGS) for one in (False, True)]
    return books


def test_what_runs_here_knows_no_folder_of_the_server() -> None:
    for book in every_book():
        for step in book.steps:
            server = step.runner != "exshadow"
            assert not any(one in step.command for one in ("/mnt/noon", "mail@noon ")) or not server
            assert server or "\\" not in step.command, step.command


def test_several_database_volumes_are_one_restore_known_to_be_possible_before_the_dismount() -> (
    None
):
    facts = replace(EX2010, database_volumes=("mail-db", "mail-db2"))
    steps = exchange.restore(facts, roll_forward=True, logs=LOGS).steps
    restores = [one.command for one in steps if one.command.startswith("exshadow restore")]
    wanted = "exshadow restore mail@noon --volume mail-db --volume mail-db2 --roll-forward"
    assert restores == [f"{wanted} --keep-current --dry-run", f"{wanted} --keep-current"]
    assert steps[0].command == restores[0]
    spare = exchange.restore(replace(facts, keep_current=False), roll_forward=True, logs=LOGS)
    assert not any("--keep-current" in one.command for one in spare.steps)


def test_the_recovery_database_stays_until_its_own_request_is_done() -> None:
    steps = {one.id: one for one in exchange.mailbox(replace(MAILBOX, generation="2010")).steps}
    order = ["restore-request", "request-status", "remove-request", "remove-2010"]
    assert [one for one in steps if one in order] == order
    for one in order[:3]:
        assert "-Name 'exshadow mail@noon'" in steps[one].command
    waiting = steps["request-status"].command
    assert (
        waiting.index("'Completed'")
        < waiting.index('throw "the request is')
        < waiting.index("Start-Sleep")
    )


def test_steps_of_exchange_load_its_commands_first() -> None:
    for generation, loaded in (("2007", "Add-PSSnapin"), ("2010", "Import-PSSession")):
        for step in exchange.restore(CASES[generation], roll_forward=False).steps:
            if step.runner == "powershell" and "Database -Identity" in step.command:
                assert loaded in step.before
                assert _strict(step).index(loaded) < _strict(step).index(step.command)
    assert "http://' + 'EX1'" in exchange.restore(EX2010, roll_forward=False).steps[2].before


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


@pytest.mark.parametrize("sign", "'\u2018\u2019\u201a\u201b")
def test_every_sign_that_powershell_takes_for_a_quote_is_doubled(sign: str) -> None:
    name = f"Ann O{sign}Neil; $(Remove-Item C:\\) Zoë"
    assert quote(name, "powershell") == f"'Ann O{sign}{sign}Neil; $(Remove-Item C:\\) Zoë'"
    for generation in ("2007", "2010"):
        book = exchange.mailbox(replace(MAILBOX, generation=generation, mailbox=name))
        commands = [step.command for step in book.steps if "Ann" in step.command]
        assert commands
        assert all(f"O{sign}{sign}Neil" in one for one in commands)


def test_the_root_of_a_drive_does_not_swallow_what_follows_it() -> None:
    assert quote("W:\\", "cmd") == '"W:\\\\"'
    steps = exchange.mailbox(replace(MAILBOX, work_folder="W:\\", source_folder="M:\\")).steps
    copy = next(step.command for step in steps if step.id == "copy-files")
    assert copy.startswith('robocopy "M:\\\\" "W:\\\\" /E')


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

    def __init__(self, failing: str = "", status: int = 3) -> None:
        self.failing = failing
        self.status = status
        self.ran: list[str] = []

    def run(self, step: RunbookStep, limit: float) -> Outcome:
        self.ran.append(step.command)
        fails = step.command == self.failing
        return Outcome(self.status, "no such store\n") if fails else Outcome(0, "ok")


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


@pytest.mark.parametrize("status", [*range(10)])
def test_robocopy_has_several_ways_to_say_that_it_copied(tmp_path: Path, status: int) -> None:
    every = exchange.mailbox(replace(MAILBOX, generation="2010")).steps
    book = Runbook("copy", tuple(one for one in every if one.id == "copy-files"))
    runner = Fake(book.steps[0].command, status)
    if status < 8:
        run(book, runner, tmp_path / "journal")
    else:
        with pytest.raises(WriterError, match=f"ended with {status}"):
            run(book, runner, tmp_path / "journal")


def test_an_interrupted_step_is_not_repeated_against_a_persons_will(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    Journal.open(path, BOOK).record("one", "began")
    runner = Fake()
    with pytest.raises(RefusedError, match="stopped before step 'one'"):
        run(BOOK, runner, path, yes=False)
    assert runner.ran == []


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
    with pytest.raises(UnsupportedError, match="PowerShell") as refusal:
        runner.run(RunbookStep("p", "p", "powershell", "Get-Date"), 60)
    assert "--on HOST" in refusal.value.hint
    with pytest.raises(TimedOutError):
        runner.run(RunbookStep("v", "v", "exshadow", "exshadow --version"), 0.001)


def test_what_a_step_leaves_in_the_background_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps what it was given to write to open; past the limit it goes with the step."""
    shell = tmp_path / "pwsh"
    shell.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/child\necho done\n")
    shell.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    step = RunbookStep("p", "p", "powershell", "x")
    begun = time.monotonic()
    try:
        assert LocalRunner().run(step, 30) == Outcome(0, "done\n")
        assert time.monotonic() - begun < 10
    finally:
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
    shell.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/child\nwait\n")
    with pytest.raises(TimedOutError):
        LocalRunner().run(step, 0.5)
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}")
    while child.exists() and time.monotonic() - begun < 20:
        time.sleep(0.01)
    assert not child.exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b'{"runbook": 1}'])
def test_a_journal_of_nonsense_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "book.json").write_bytes(content)
    with pytest.raises(CorruptError, match="is no journal of a runbook"):
        Journal.open(tmp_path / "book.json", BOOK)


def test_cmd_on_windows_reads_its_quotes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: rf"C:\Windows\{name}")
    step = RunbookStep("c", "c", "cmd", r'robocopy "M:\a b" "W:\c"')
    line = runners._local_command(step, windows=True)
    assert line == r'"C:\Windows\cmd.exe" /d /s /c "robocopy "M:\a b" "W:\c""'


class Remoting:
    """What pypsrp offers; each call takes `seconds`."""

    seconds = 0.0
    ran: ClassVar[list[str]] = []

    def __init__(self, host: str, **_: object) -> None:
        assert host == "EX1"

    def execute_cmd(self, command: str) -> tuple[str, str, int]:
        time.sleep(self.seconds)
        return "said", "", 1

    def execute_ps(self, script: str) -> tuple[str, SimpleNamespace, bool]:
        self.ran.append(script)
        raise ConnectionError("refused")


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> runners.RemoteRunner:
    for name in ("pypsrp", "pypsrp.client"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["pypsrp.client"].__dict__["Client"] = Remoting
    return runners.RemoteRunner("EX1")


def test_remoting_runs_the_servers_steps_and_keeps_the_limit(
    remote: runners.RemoteRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert remote.run(RunbookStep("c", "c", "cmd", "dir"), 60) == Outcome(1, "said")
    step = RunbookStep("p", "p", "powershell", "Get-Date", before="Import-Module X")
    with pytest.raises(Error, match="EX1: refused"):
        remote.run(step, 60)
    assert Remoting.ran == ["$ErrorActionPreference = 'Stop'\nImport-Module X\nGet-Date"]
    monkeypatch.setattr(Remoting, "seconds", 3.0)
    begun = time.monotonic()
    with pytest.raises(TimedOutError, match=r"EX1: step 'c' was not done after 0\.1 s"):
        remote.run(RunbookStep("c", "c", "cmd", "dir"), 0.1)
    assert time.monotonic() - begun < 2.9  # it takes three
