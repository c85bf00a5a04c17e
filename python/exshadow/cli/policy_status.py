"""exshadow policy status"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from exshadow.cli import output
from exshadow.cli.options import OnlyGroups, PolicyFile
from exshadow.errors import Error, IoError
from exshadow.names import format_seconds

if TYPE_CHECKING:
    from pathlib import Path

    from exshadow.model import Json
    from exshadow.policy.standing import GroupStatus


def status(
    file: PolicyFile,
    /,
    *,
    group: OnlyGroups = None,
    nagios: Annotated[
        bool, Parameter(help="One line with figures for monitoring; exit 0, 1, 2 or 3.")
    ] = False,
) -> int:
    """Show how every group stands: age, verdict, time to recover against the objective, next run.

    Warns when the newest set changed more or less than usual, or more of it does not compress.
    Exit 0: all well; 9: a copy is missing or too old, recovery would miss its objective, or the
    next run cannot work (stuck); 5: a check failed. With --nagios, as plugins of Nagios, Icinga and
    their like do: 0 OK; 1 WARNING (too old, too slow, stuck, unusual); 2 CRITICAL (no set, a check
    failed); 3 UNKNOWN (not to be told: wrong usage, a policy or catalog that cannot be read).

    Example: exshadow policy status /etc/exshadow/policy.toml
    """
    from exshadow.policy.standing import EXIT_STATUS

    if nagios:
        return _nagios(file, group)
    found, unreadable = _standings(file, group)
    document = {"groups": [one.to_json() for one in found]}
    text = _text(found, datetime.now(UTC))
    if unreadable is not None:
        return output.show(document, text, unreadable)
    output.show(document, text)
    states = {EXIT_STATUS[one.state] for one in found}
    return next((number for number in (5, 9) if number in states), 0)


def _standings(file: Path, only: list[str] | None) -> tuple[list[GroupStatus], Error | None]:
    """Of the groups, and why they cannot be judged: without the catalog nobody knows of verdicts,
    nor of what other products hold."""
    from exshadow.cli.policy import loaded, zone
    from exshadow.cli.policy_run import open_both
    from exshadow.service.standing import standings

    policy = loaded(file, only)
    with open_both() as (service, desk):
        found = standings(
            service,
            desk.facts(),
            policy.group,
            now=datetime.now(UTC),
            zone=zone(),
            places=policy.volume,
        )
        if desk.unreadable is None:
            return found, None
        error = IoError(
            "how the groups stand cannot be told without the catalog",
            hint="bring its server or its file back",
        )
        error.__cause__ = desk.unreadable
        return found, error


def _nagios(file: Path, only: list[str] | None) -> int:
    """One line by the rules of monitoring plugins; statuses 0, 1, 2, 3. Errors are raised: whatever
    goes wrong on the way, wrong usage as well, ends in ``unknown``."""
    from exshadow.policy.nagios import line

    found, error = _standings(file, only)
    if error is not None:
        return unknown(error, found)
    number, text = line(found)
    output.show({"groups": [one.to_json() for one in found]}, text)
    return number


def unknown(error: Error, found: Sequence[GroupStatus] = ()) -> int:
    """The line when it cannot be told how the groups stand, and the status for that."""
    from exshadow.policy import nagios

    told = {"code": error.code, "message": error.message, "hint": error.hint}
    document: Json = {"groups": [one.to_json() for one in found], "error": told}
    with suppress(OSError):  # nobody hears it: the status says it
        output.show(document, nagios.unknown(error, error.__cause__))
    return nagios.UNKNOWN


def _text(found: list[GroupStatus], now: datetime) -> str:
    """A table, and below it what there is to say of each group."""
    rows = [
        (
            one.name,
            one.state,
            age(one.age),
            one.newest.label if one.newest else "-",
            _checked(one),
            _recovery(one),
            f"in {age(one.next - now)}" if one.next else "-",
        )
        for one in found
    ]
    titles = ("GROUP", "STATE", "AGE", "NEWEST", "CHECKED", "RECOVERY", "NEXT")
    lines = [output.table(titles, rows)]
    said = []
    for one in found:
        said += [f"{one.name}: {text}" for text in one.notes]
        said += [f"{one.name}: unusual: {text}" for text in one.warnings]
    return "\n".join([*lines, output.flow("\n".join(said))]) if said else lines[0]


def _recovery(one: GroupStatus) -> str:
    """The estimate, of the time that there is."""
    needed = _seconds(one.recovery.seconds if one.recovery else None)
    if one.objective is None:
        return needed
    return f"{needed} of {_seconds(one.objective.total_seconds())}"


def _checked(one: GroupStatus) -> str:
    if one.newest is None or one.newest.verified is None:
        return "-"
    verdict = one.newest.verified
    return f"{verdict.check} {'ok' if verdict.ok else 'FAILED'}"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return format_seconds(seconds)


def age(span: timedelta | None) -> str:
    """For people."""
    if span is None:
        return "-"
    minutes = int(span.total_seconds()) // 60
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"
