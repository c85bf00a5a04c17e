"""exshadow recovery mailbox | exchange"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from exshadow.cli import options, output
from exshadow.cli.context import context, open_service
from exshadow.cli.options import SetName
from exshadow.errors import InvalidError, RefusedError, from_system

if TYPE_CHECKING:
    from exshadow.recovery.exchange import Logs
    from exshadow.recovery.runbook import Runbook, RunbookStep
    from exshadow.recovery.runners import CommandRunner

app = options.group("recovery")

_Generation = Annotated[
    Literal["2003", "2007", "2010"],
    Parameter(name="--exchange", help="Generation of the server; 2010 stands for all later ones."),
]
_Server = Annotated[str, Parameter(help="Name of the Exchange server.")]
_Prefix = Annotated[str, Parameter(help="Prefix of the log files.", show_default=True)]
_Run = Annotated[bool, Parameter(help="Do the steps now, asking where a person is needed.")]
_On = Annotated[
    str | None, Parameter(help="Run the server's steps there by PowerShell remoting (HTTPS).")
]
_User = Annotated[str | None, Parameter(help="Account for the remoting; the caller's otherwise.")]
_Password = Annotated[
    str | None, Parameter(help="File with its password; never give it as an argument.")
]


@app.command
def mailbox(
    set_: SetName,
    /,
    *,
    exchange: _Generation,
    server: _Server,
    database: Annotated[str, Parameter(help="Mailbox database of the origin.")],
    mailbox: Annotated[str, Parameter(help="The mailbox, by its display name.")],
    mount_folder: Annotated[str, Parameter(name="--mount", help="Where the set gets mounted.")],
    work_folder: Annotated[str, Parameter(name="--work", help="Free folder for the copies.")],
    log_prefix: _Prefix = "E00",
    storage_group: Annotated[str, Parameter(help="Its storage group (2003, 2007).")] = "",
    target: Annotated[str, Parameter(help="Put the mail into this mailbox instead.")] = "",
    run: _Run = False,
    on: _On = None,
    user: _User = None,
    password_file: _Password = None,
) -> int:
    """Bring one mailbox back out of a set: the steps, printed or done.

    2003 and 2007 by a recovery storage group, 2010 and later by a recovery database. Steps whose
    facts are not confirmed say so and are asked about.

    Example: exshadow recovery mailbox mail@noon --exchange 2010 --server EX1 --database DB1
    --mailbox Ann --mount M:/noon --work W:/recovery
    """
    from exshadow.recovery.exchange import MailboxFacts
    from exshadow.recovery.exchange import mailbox as plan

    found = _known_set(set_)
    facts = MailboxFacts(
        generation=exchange,
        set_id=found,
        server=server,
        database=database,
        mailbox=mailbox,
        log_prefix=log_prefix,
        mount_folder=mount_folder,
        work_folder=work_folder,
        storage_group=storage_group,
        target_mailbox=target,
    )
    return _print_or_run(plan(facts), run, _Remote(on, user, password_file))


@app.command
def exchange(
    set_: SetName,
    /,
    *,
    exchange: _Generation,
    server: _Server,
    database: Annotated[list[str], Parameter(help="Every database of the set; may be repeated.")],
    database_folder: Annotated[str, Parameter(help="Folder of the databases on the server.")],
    log_folder: Annotated[str, Parameter(help="Folder of the logs on the server.")],
    database_volume: Annotated[list[str], Parameter(help="Volumes that hold databases.")],
    log_volume: Annotated[list[str], Parameter(help="Volumes that hold logs.")],
    log_prefix: _Prefix = "E00",
    storage_group: Annotated[str, Parameter(help="The storage group (2003).")] = "",
    roll_forward: Annotated[
        bool, Parameter(help="To the point of failure: keep the logs, put back the databases.")
    ] = False,
    logs_on_disk: Annotated[
        str | None,
        Parameter(help="With --roll-forward: the log folder as it can be read from here."),
    ] = None,
    circular_logging: Annotated[
        bool, Parameter(help="The group's circular logging is on.")
    ] = False,
    cluster: Annotated[str, Parameter(help="Name of the clustered mailbox server.")] = "",
    copy: Annotated[list[str] | None, Parameter(help="Passive copies; may be repeated.")] = None,
    run: _Run = False,
    on: _On = None,
    user: _User = None,
    password_file: _Password = None,
) -> int:
    """Restore Exchange from a set: dismount, put back, prove, mount; printed or done.

    What the rules of Exchange forbid is refused, with the rule.

    Example: exshadow recovery exchange mail@noon --exchange 2010 --server EX1 --database DB1
    --database-folder D:/mdb --log-folder L:/logs --database-volume maildb --log-volume maillog
    """
    from exshadow.recovery.exchange import RestoreFacts, restore

    found, verified = _known_set(set_), _verified(set_)
    facts = RestoreFacts(
        generation=exchange,
        set_id=found,
        server=server,
        databases=tuple(database),
        log_prefix=log_prefix,
        log_folder=log_folder,
        database_folder=database_folder,
        database_volumes=tuple(database_volume),
        log_volumes=tuple(log_volume),
        storage_group=storage_group,
        circular_logging=circular_logging,
        cluster_group=cluster,
        copies=tuple(copy or ()),
        verified=verified,
    )
    logs = _logs(logs_on_disk, log_prefix) if roll_forward else None
    book = restore(facts, roll_forward=roll_forward, logs=logs)
    return _print_or_run(book, run, _Remote(on, user, password_file))


def _known_set(text: str) -> str:
    with open_service() as service:
        found = service.show_set(text)
    return f"{found.group}@{found.label}"


def _verified(text: str) -> bool:
    with open_service() as service:
        verdict = service.show_set(text).verified
    return bool(verdict and verdict.ok)


def _logs(folder: str | None, prefix: str) -> Logs:
    """The logs that are there now, judged; a roll-forward needs them."""
    from exshadow import ese
    from exshadow.recovery.exchange import Logs

    if folder is None:
        raise InvalidError("--roll-forward needs --logs-on-disk: the present logs are replayed")
    report = ese.check([folder])
    numbers = {
        number
        for one in report.files
        if one.kind == "log" and one.ok and one.state != "skipped"
        and Path(one.path).name.lower().startswith(prefix.lower())
        and isinstance(number := one.facts.get("generation"), int)
    }  # fmt: skip
    if not numbers:
        raise RefusedError(
            f"no sound log {prefix}*.log in {folder}", hint="a roll-forward replays these logs"
        )
    first = min((one.required[0] for one in report.sets if one.required), default=min(numbers))
    return Logs(first, (first, max(numbers)), frozenset(numbers), max(numbers))


# --- printing and running ---


def _secret(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\n")
    except OSError as problem:
        raise from_system(problem, f"cannot read {path}") from problem


@dataclass(frozen=True, slots=True)
class _Remote:
    host: str | None
    user: str | None
    password_file: str | None

    def runner(self) -> CommandRunner:
        from exshadow.recovery.runners import LocalRunner, RemoteRunner

        if self.host is None:
            return LocalRunner()
        password = None
        if self.password_file is not None:
            password = _secret(self.password_file)
        return RemoteRunner(self.host, user=self.user, password=password)


def _print_or_run(book: Runbook, run: bool, remote: _Remote) -> int:
    if not run:
        return output.show({"runbook": book.to_json()}, book.text())
    from exshadow.cli.context import state_folder
    from exshadow.recovery.execution import Journal, execute, states

    os.environ["EXSHADOW_STATE"] = str(state_folder().path)  # for the steps, which are commands
    journal = Journal.open(_journal_path(book), book)
    execute(book, remote.runner(), journal, ask=_ask, tell=_tell)
    done = [{"step": step.id, "state": state} for step, state in states(book, journal)]
    aside = journal.close()
    document = {"runbook": book.to_json(), "done": done, "journal": str(aside)}
    return output.show(document, f"{book.title}: done; the journal is {aside}")


def _journal_path(book: Runbook) -> Path:
    from exshadow.cli.context import state_folder

    name = hashlib.sha256(book.title.encode()).hexdigest()[:16]
    folder = state_folder().path / "runbooks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.json"


def _ask(step: RunbookStep, question: str) -> bool:
    from exshadow.cli import confirm

    output.say(f"{step.title}\n  {step.why}" if step.why else step.title)
    for line in step.command.splitlines():
        output.say(f"  [{step.runner}] {line}")
    return confirm.ask(question)


def _tell(step: RunbookStep, what: str) -> None:
    if not context.quiet:
        output.say(f"{step.title}: {what}")
