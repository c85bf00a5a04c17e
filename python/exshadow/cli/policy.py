"""exshadow policy check | plan | run | status | simulate | schema"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

from cyclopts import Parameter

from exshadow.cli import options, output
from exshadow.cli.context import open_service
from exshadow.errors import InvalidError

if TYPE_CHECKING:
    from datetime import tzinfo

    from exshadow.policy.model import Policy
    from exshadow.policy.planning import GroupPlan, GroupStatus

app = options.group("policy")
app.command("exshadow.cli.policy_run:run", name="run")

_File = Annotated[Path, Parameter(name="FILE", help="The policy: a TOML file.")]
_Only = Annotated[list[str] | None, Parameter(name="--group", help="Only this group; repeats.")]


@app.command
def check(file: _File, /) -> int:
    """Read a policy and tell every fault with its line. Nothing else is done.

    Example: exshadow policy check /etc/exshadow/policy.toml
    """
    from exshadow.policy.model import load

    policy = load(file)
    names = sorted(policy.group)
    return output.show(
        {"policy": {"file": str(file), "groups": names}},
        f"{file}: good; groups: {', '.join(names)}",
    )


@app.command
def schema() -> int:
    """Print the JSON Schema of a policy, for editors that know it.

    Example: exshadow policy schema > policy.schema.json
    """
    import json

    from exshadow.policy.model import schema as described

    document = described()
    return output.show(document, json.dumps(document, indent=1))


@app.command
def plan(
    file: _File,
    /,
    *,
    group: _Only = None,
    explain: Annotated[bool, Parameter(help="The reasons for every set that is kept.")] = False,
) -> int:
    """Show what the next run would do: when it is due, which mirror, which sets are given up.

    Nothing is changed.

    Example: exshadow policy plan /etc/exshadow/policy.toml --explain
    """
    from exshadow.policy.planning import plan_group

    policy = loaded(file, group)
    with open_service() as service:
        sets = service.list_sets().sets
        volumes = service.list_volumes().volumes
    labels = {one.id: f"{one.group}@{one.label}" for one in sets}
    plans = [
        plan_group(name, one, sets, volumes, now=datetime.now(UTC), zone=zone())
        for name, one in policy.group.items()
    ]
    text = "\n".join(_plan_text(one, labels, explain=explain) for one in plans)
    return output.show({"groups": [one.to_json(labels) for one in plans]}, text)


@app.command
def status(
    file: _File,
    /,
    *,
    group: _Only = None,
    nagios: Annotated[bool, Parameter(help="One line, with Nagios' words and statuses.")] = False,
) -> int:
    """Show how every group stands.

    Exit 0: all well, 9: a copy is missing or too old, 5: a check failed.

    Example: exshadow policy status /etc/exshadow/policy.toml
    """
    from exshadow.policy.planning import EXIT_STATUS, NAGIOS, status_of

    policy = loaded(file, group)
    with open_service() as service:
        sets = service.list_sets().sets
    found = [
        status_of(name, one, sets, now=datetime.now(UTC), zone=zone())
        for name, one in policy.group.items()
    ]
    document = {"groups": [one.to_json() for one in found]}
    worst = max((one.state for one in found), key=lambda state: NAGIOS[state][0])
    if nagios:
        number, word = NAGIOS[worst]
        output.show(document, f"EXSHADOW {word}: {'; '.join(_short(one) for one in found)}")
        return number
    output.show(document, _status_text(found))
    states = {EXIT_STATUS[one.state] for one in found}
    return next((number for number in (5, 9) if number in states), 0)


@app.command
def simulate(
    file: _File,
    group: Annotated[str, Parameter(name="GROUP", help="The group.")],
    /,
    *,
    days: Annotated[int, Parameter(help="How many days.", show_default=True)] = 60,
    every: Annotated[str, Parameter(help="A set so often.", show_default=True)] = "1h",
) -> int:
    """Show how many sets the retention of a group leads to, and how old they are.

    Example: exshadow policy simulate /etc/exshadow/policy.toml mail --days 400 --every 4h
    """
    from exshadow.names import parse_duration
    from exshadow.policy.retention import simulate as simulated

    policy = loaded(file, [group])
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = simulated(
        policy.group[group].keep.rules(),
        start=start,
        days=days,
        every=timedelta(seconds=parse_duration(every)),
    )
    rows = [(f"{one.day}", len(one.kept), f"{min(one.kept):%Y-%m-%d %H:%M}") for one in found]
    document = {
        "days": [
            {"day": f"{one.day}", "sets": [moment.isoformat() for moment in one.kept]}
            for one in found
        ]
    }
    return output.show(document, output.table(("day", "sets", "oldest"), rows, numbers=("sets",)))


def loaded(file: Path, only: list[str] | None) -> Policy:
    """The policy, reduced to these groups."""
    from exshadow.policy.model import load

    policy = load(file)
    if not only:
        return policy
    if unknown := sorted(set(only) - set(policy.group)):
        raise InvalidError(
            f"{file} has no group {', '.join(unknown)}", hint=f"it has: {', '.join(policy.group)}"
        )
    groups = {name: one for name, one in policy.group.items() if name in only}
    return policy.model_copy(update={"group": groups})


def zone() -> tzinfo:
    """The machine's: schedules are written in local time."""
    try:
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file, key="localtime")
    except (OSError, ValueError):
        return UTC


def _plan_text(one: GroupPlan, labels: dict[str, str], *, explain: bool) -> str:
    when = (
        "due now" if one.due else f"next {one.next:%Y-%m-%d %H:%M}" if one.next else "no schedule"
    )
    lines = [f"{one.name}: {when}" + (f", mirror {one.mirror}" if one.mirror else "")]
    lines += [f"  problem: {text}" for text in one.problems]
    for fate in one.fates:
        verdict = "keep" if fate.kept else "give up"
        reasons = f"  ({', '.join(fate.reasons)})" if explain and fate.reasons else ""
        lines.append(f"  {verdict:<7} {labels.get(fate.held.id, fate.held.id)}{reasons}")
    if not one.fates:
        lines.append("  no sets yet")
    return "\n".join(lines)


def _short(one: GroupStatus) -> str:
    notes = f" ({'; '.join(one.notes)})" if one.notes else ""
    return f"{one.name} {one.state}{notes}"


def _status_text(found: list[GroupStatus]) -> str:
    rows = [
        (
            one.name,
            one.state,
            _age(one.age),
            one.newest.label if one.newest else "-",
            f"{one.next:%Y-%m-%d %H:%M}" if one.next else "-",
            "; ".join(one.notes),
        )
        for one in found
    ]
    return output.table(("group", "state", "age", "newest", "next", ""), rows)


def _age(age: timedelta | None) -> str:
    if age is None:
        return "-"
    minutes = int(age.total_seconds()) // 60
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"
