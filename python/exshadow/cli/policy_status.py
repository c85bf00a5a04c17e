"""exshadow policy status"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from exshadow.cli import output

if TYPE_CHECKING:
    from exshadow.policy.standing import GroupStatus


def status(
    file: Annotated[Path, Parameter(name="FILE", help="The policy: a TOML file.")],
    /,
    *,
    group: Annotated[
        list[str] | None, Parameter(name="--group", help="Only this group; repeats.")
    ] = None,
    nagios: Annotated[bool, Parameter(help="One line, with Nagios' words and statuses.")] = False,
) -> int:
    """Show how every group stands: age, verdict, time to recover against the objective, next run.

    Warns when the newest set changed more or less than usual, or more of it does not compress.
    Exit 0: all well; 9: a copy is missing or too old, or recovery would miss its objective; 5: a
    check failed.

    Example: exshadow policy status /etc/exshadow/policy.toml
    """
    from exshadow.cli.policy import loaded, zone
    from exshadow.cli.policy_run import open_both
    from exshadow.policy.standing import EXIT_STATUS
    from exshadow.service.standing import standings

    policy = loaded(file, group)
    with open_both() as (service, desk):
        found = standings(service, desk.facts(), policy.group, now=datetime.now(UTC), zone=zone())
    document = {"groups": [one.to_json() for one in found]}
    if nagios:
        number, word = max(one.nagios for one in found)
        output.show(document, f"EXSHADOW {word}: {'; '.join(_short(one) for one in found)}")
        return number
    output.show(document, _text(found))
    states = {EXIT_STATUS[one.state] for one in found}
    return next((number for number in (5, 9) if number in states), 0)


def _short(one: GroupStatus) -> str:
    said = (*one.notes, *one.warnings)
    return f"{one.name} {one.state}" + (f" ({'; '.join(said)})" if said else "")


def _text(found: list[GroupStatus]) -> str:
    """A table, and below it what there is to say of each group."""
    titles = ("group", "state", "age", "newest", "checked", "recovery", "objective", "next")
    rows = [
        (
            one.name,
            one.state,
            age(one.age),
            one.newest.label if one.newest else "-",
            _checked(one),
            _seconds(one.recovery.seconds if one.recovery else None),
            _seconds(one.objective.total_seconds() if one.objective else None),
            f"{one.next:%Y-%m-%d %H:%M}" if one.next else "-",
        )
        for one in found
    ]
    lines = [output.table(titles, rows)]
    for one in found:
        lines += [f"{one.name}: {text}" for text in one.notes]
        lines += [f"{one.name}: unusual: {text}" for text in one.warnings]
    return "\n".join(lines)


def _checked(one: GroupStatus) -> str:
    if one.newest is None or one.newest.verified is None:
        return "-"
    verdict = one.newest.verified
    return f"{verdict.check} {'ok' if verdict.ok else 'FAILED'}"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 1 or not seconds else "< 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def age(span: timedelta | None) -> str:
    """For people."""
    if span is None:
        return "-"
    minutes = int(span.total_seconds()) // 60
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"
