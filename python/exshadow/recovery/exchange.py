"""Plans for Exchange: restore of a set, and getting a mailbox out of one.

Facts and rules: the fact sheet on ESE files and Exchange under VSS, section 13; each refusal names
its rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from exshadow.errors import InvalidError, RefusedError
from exshadow.ese.generations import spelled
from exshadow.recovery.runbook import Runbook, fill

Generation = Literal["2003", "2007", "2010"]
SEPARATORS = "/\\"
GENERATIONS: tuple[Generation, ...] = ("2003", "2007", "2010")


@dataclass(frozen=True, slots=True)
class Logs:
    """Log generations: what the databases need first, those of the set, those on disk now."""

    needed_from: int
    in_set: tuple[int, int]
    on_disk: frozenset[int]
    current: int
    same_stream: bool = True

    def missing(self) -> list[int]:
        """What a roll-forward to the point of failure lacks."""
        have = self.on_disk
        return [
            number for number in range(self.needed_from, self.current + 1) if number not in have
        ]


@dataclass(frozen=True, slots=True)
class RestoreFacts:
    """What the planner must know of the server and the set.

    ``databases``: names as the product's commands take them (2003: directory names; 2007:
    ``server\\group\\database``; 2010 and later: database names). Folders are paths on the server.
    ``copies``: passive copies of 2007 and later. ``keep_current``: production is kept first, which
    takes a spare plex of each volume.
    """

    generation: Generation
    set_id: str
    server: str
    databases: tuple[str, ...]
    log_prefix: str  # E00
    log_folder: str
    database_folder: str
    database_volumes: tuple[str, ...]
    log_volumes: tuple[str, ...]
    storage_group: str = ""
    whole_group: bool = True
    circular_logging: bool = False
    cluster_group: str = ""  # name of the virtual server; empty: no cluster
    copies: tuple[str, ...] = ()
    verified: bool = True
    keep_current: bool = True


def restore(facts: RestoreFacts, *, roll_forward: bool, logs: Logs | None = None) -> Runbook:
    """Point in time (everything of the set), or to the point of failure (databases only)."""
    _require_known(facts.generation)
    _require_restorable(facts)
    if roll_forward:
        _require_roll_forward(facts, logs)
    tags = {facts.generation, "forward" if roll_forward else "point"}
    tags |= {"cluster"} if facts.cluster_group else set()
    tags |= {"copies"} if facts.copies else set()
    what = "point of failure" if roll_forward else "point in time"
    return fill(
        "exchange_restore",
        f"Exchange {facts.generation}: restore {facts.set_id} to the {what}",
        tags=tags,
        values={
            "set": facts.set_id,
            "server": facts.server,
            "storage_group": facts.storage_group,
            "database": facts.databases,
            "log_prefix": facts.log_prefix,
            "log_folder": facts.log_folder,
            "database_folder": facts.database_folder,
            "log_base": f"{facts.log_folder.rstrip(SEPARATORS)}\\{facts.log_prefix}",
            "target": _target(facts, roll_forward),
            "cluster_group": facts.cluster_group,
            "store_resource": f"Microsoft Exchange Information Store ({facts.cluster_group})",
            "copy": facts.copies,
        },
        warnings=_warnings(facts, roll_forward),
    )


def _target(facts: RestoreFacts, roll_forward: bool) -> tuple[str, ...]:
    """Of the one restore: its volumes are put back together and kept together."""
    volumes = [word for name in facts.database_volumes for word in ("--volume", name)]
    forward = [*volumes, "--roll-forward"] if roll_forward else []
    keep = ["--keep-current"] if facts.keep_current else []
    return (facts.set_id, *forward, *keep)


def _require_known(generation: str) -> None:
    if generation not in GENERATIONS:
        raise InvalidError(
            f"Exchange generation '{generation}' is not known",
            hint=f"use one of: {', '.join(GENERATIONS)} (2010 stands for all later ones)",
        )


def _require_restorable(facts: RestoreFacts) -> None:
    if not facts.databases:
        raise InvalidError("name the databases that are on the volumes of the set")
    if facts.generation == "2003" and not facts.storage_group:
        raise InvalidError(
            "Exchange 2003 needs the name of the storage group: all of it goes offline",
            hint="give --storage-group",
        )
    if facts.cluster_group and facts.generation == "2010":
        raise RefusedError(
            "rule: Exchange 2010 and later have no single copy cluster: their copies are a DAG",
            hint="leave out the cluster group and name the passive copies",
        )


def _require_roll_forward(facts: RestoreFacts, logs: Logs | None) -> None:
    if facts.circular_logging:
        raise RefusedError(
            "rule: under circular logging only the point in time can be restored",
            hint="restore without --roll-forward",
        )
    shared = sorted(set(facts.database_volumes) & set(facts.log_volumes))
    if shared:
        raise RefusedError(
            f"rule: logs and databases share a volume ({', '.join(shared)}): "
            "restoring it would overwrite the logs that are to be replayed",
            hint="restore without --roll-forward, or copy the logs away and replay them by hand",
        )
    if logs is None:
        raise InvalidError("a roll-forward needs to know which logs are on disk")
    if not logs.same_stream:
        raise RefusedError(
            "rule: the logs on disk are of another stream than the set (-530)",
            hint="restore without --roll-forward",
        )
    if missing := logs.missing():
        shown = ", ".join(spelled(number, number) for number in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise RefusedError(
            f"rule: the chain of logs is broken: {shown}{more} missing (-543)",
            hint="bring these logs into the log folder, or restore without --roll-forward",
        )


def _warnings(facts: RestoreFacts, roll_forward: bool) -> list[str]:
    warnings = []
    if not facts.verified:
        warnings.append(
            f"the set was never proven sound: run 'exshadow snapshot verify {facts.set_id} "
            "--check ese' first"
        )
    if facts.generation == "2003" and not facts.whole_group:
        warnings.append("Exchange 2003: the whole storage group is offline meanwhile")
    if not roll_forward:
        warnings.append(
            "everything after the set is lost: its newer logs are moved away, not replayed"
        )
    warnings.append("the information store service keeps running: only databases are dismounted")
    return warnings


@dataclass(frozen=True, slots=True)
class MailboxFacts:
    """Where a mailbox is to be got out of a set. ``mount_folder``: where it gets mounted, here;
    ``source_folder``: the same as the server sees it; ``work_folder``: free space of the server."""

    generation: Generation
    set_id: str
    server: str
    database: str
    mailbox: str
    log_prefix: str
    mount_folder: str
    source_folder: str
    work_folder: str
    storage_group: str = ""
    public_folders: bool = False
    recovery_place_in_use: bool = False
    same_administrative_group: bool = True
    mailbox_in_directory: bool = True
    target_mailbox: str = ""


def mailbox(facts: MailboxFacts) -> Runbook:
    """By a recovery storage group (2003, 2007) or a recovery database (2010 and later)."""
    _require_known(facts.generation)
    place = "recovery database" if facts.generation == "2010" else "recovery storage group"
    if facts.public_folders:
        raise RefusedError(
            f"rule: a {place} takes mailbox databases only, no public folders",
            hint="restore the whole set to another server",
        )
    if facts.recovery_place_in_use:
        raise RefusedError(
            f"rule: one {place} at a time on a server",
            hint="dismount and remove the one that is there",
        )
    if facts.generation == "2003" and not facts.same_administrative_group:
        raise RefusedError(
            "rule: the recovery storage group must be in the administrative group of the origin",
            hint="use a server of the same administrative group",
        )
    if facts.generation != "2010" and not facts.mailbox_in_directory:
        raise RefusedError(
            "rule: the mailbox must still exist in the directory, in its original database",
            hint="reconnect or recreate it first",
        )
    return fill(
        "exchange_mailbox",
        f"Exchange {facts.generation}: mailbox {facts.mailbox} out of {facts.set_id}",
        tags={facts.generation},
        values={
            "set": facts.set_id,
            "server": facts.server,
            "storage_group": facts.storage_group or facts.database,
            "database": facts.database,
            "mailbox": facts.mailbox,
            "target_mailbox": facts.target_mailbox or facts.mailbox,
            "log_prefix": facts.log_prefix,
            "mount_folder": facts.mount_folder,
            "source_folder": facts.source_folder,
            "request": f"exshadow {facts.set_id}",
            "work_folder": facts.work_folder,
        },
        warnings=[f"{facts.work_folder} needs room for the database and all its logs"],
    )
