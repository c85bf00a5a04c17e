"""exshadow recovery mailbox | exchange"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from exshadow.cli import options, output, recovery_facts
from exshadow.cli.context import context
from exshadow.cli.options import SetName
from exshadow.errors import InvalidError, from_system

if TYPE_CHECKING:
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
_Public = Annotated[bool, Parameter(help="The database is one of public folders.")]
_InUse = Annotated[bool, Parameter(help="The server has a recovery group or database already.")]
_OtherGroup = Annotated[
    bool, Parameter(help="The server is not in the origin's administrative group.")
]
_Gone = Annotated[bool, Parameter(help="The mailbox is no longer in the directory.")]


@app.command
def mailbox(
    set_: SetName,
    /,
    *,
    exchange: _Generation,
    server: _Server,
    database: Annotated[str, Parameter(help="Mailbox database of the origin.")],
    mailbox: Annotated[str, Parameter(help="The mailbox, by its display name.")],
    mount_folder: Annotated[
        str, Parameter(name="--mount", help="Where the set gets mounted, on this machine.")
    ],
    work_folder: Annotated[
        str, Parameter(name="--work", help="Free folder of the server for the copies.")
    ],
    source: Annotated[
        str, Parameter(help="The mounted set as the server sees it (a share); needed with --on.")
    ] = "",
    log_prefix: _Prefix = "E00",
    storage_group: Annotated[str, Parameter(help="Its storage group (2003, 2007).")] = "",
    target: Annotated[str, Parameter(help="Put the mail into this mailbox instead.")] = "",
    public_folders: _Public = False,
    recovery_place_in_use: _InUse = False,
    other_administrative_group: _OtherGroup = False,
    mailbox_gone: _Gone = False,
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

    if on is not None and not source:
        raise InvalidError(
            "--on needs --source: the server does not see what is mounted here",
            hint="share the folder of --mount and name it as the server does: --source //HERE/noon",
        )
    found = recovery_facts.known_set(set_).name
    facts = MailboxFacts(
        generation=exchange,
        set_id=found,
        server=server,
        database=database,
        mailbox=mailbox,
        log_prefix=recovery_facts.log_prefix(log_prefix),
        mount_folder=mount_folder,
        source_folder=source or mount_folder,
        work_folder=work_folder,
        storage_group=storage_group,
        public_folders=public_folders,
        recovery_place_in_use=recovery_place_in_use,
        same_administrative_group=not other_administrative_group,
        mailbox_in_directory=not mailbox_gone,
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
    keep_current: Annotated[
        bool,
        Parameter(
            help="First keep production as set before-restore: takes a spare plex of each volume.",
            negative="--no-keep-current",
        ),
    ] = True,
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

    if logs_on_disk is not None and not roll_forward:
        raise InvalidError("--logs-on-disk goes with --roll-forward", hint="leave one out")
    found = recovery_facts.known_set(set_)
    found.require_volumes([*database_volume, *log_volume])
    facts = RestoreFacts(
        generation=exchange,
        set_id=found.name,
        server=server,
        databases=tuple(database),
        log_prefix=recovery_facts.log_prefix(log_prefix),
        log_folder=log_folder,
        database_folder=database_folder,
        database_volumes=tuple(database_volume),
        log_volumes=tuple(log_volume),
        storage_group=storage_group,
        circular_logging=circular_logging,
        cluster_group=cluster,
        copies=tuple(copy or ()),
        verified=found.proof is not None,
        keep_current=keep_current,
    )
    logs = recovery_facts.logs(logs_on_disk, log_prefix, found) if roll_forward else None
    book = restore(facts, roll_forward=roll_forward, logs=logs)
    return _print_or_run(book, run, _Remote(on, user, password_file))


# --- printing and running ---


def _secret(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\n")
    except OSError as problem:
        raise from_system(problem, f"cannot read {path}") from problem
    except UnicodeDecodeError:
        raise InvalidError(
            f"{path} holds no password: it is not UTF-8", hint="write it as a line of text"
        ) from None


@dataclass(frozen=True, slots=True)
class _Remote:
    host: str | None
    user: str | None
    password_file: str | None

    def runner(self) -> CommandRunner:
        from exshadow.recovery.runners import LocalRunner, RemoteRunner

        if self.host is None:
            if self.user is not None or self.password_file is not None:
                raise InvalidError(
                    "--user and --password-file go with --on", hint="name the server: --on HOST"
                )
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
        text = f"{step.title}: {what}"
        output.say(json.dumps({"note": text}) if context.json else text)
