"""exshadow policy plan"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from exshadow.cli import output
from exshadow.cli.options import ForcedProvider, OnlyGroups, PolicyFile
from exshadow.errors import Error, RefusedError
from exshadow.names import format_size

if TYPE_CHECKING:
    from datetime import tzinfo

    from exshadow.model import SetRecord
    from exshadow.policy.model import Policy
    from exshadow.policy.planning import GroupPlan
    from exshadow.service.contract import Service
    from exshadow.service.desk import Desk


REFUSED = RefusedError.exit_status


def plan(
    file: PolicyFile,
    /,
    *,
    group: OnlyGroups = None,
    provider: ForcedProvider = None,
    explain: Annotated[bool, Parameter(help="The reasons for every set that is kept.")] = False,
) -> int:
    """Show what the next run would do: when it is due, its steps, which sets are given up.

    Nothing is changed. Exit 4 when a group has a problem: its run would be refused or fail.

    Example: exshadow policy plan /etc/exshadow/policy.toml --explain
    """
    from exshadow.cli.policy import loaded, zone
    from exshadow.cli.policy_run import open_both

    policy = loaded(file, group)
    with open_both() as (service, desk):
        sets = service.list_sets().sets
        plans = [
            _planned(service, desk, policy, name, sets, provider, zone()) for name in policy.group
        ]
    labels = {one.id: f"{one.group}@{one.label}" for one in sets}
    text = "\n".join(_text(one, labels, explain=explain) for one in plans)
    output.show({"groups": [one.to_json(labels) for one in plans]}, output.flow(text))
    return REFUSED if any(one.problems for one in plans) else 0


def _planned(
    service: Service,
    desk: Desk,
    policy: Policy,
    name: str,
    sets: tuple[SetRecord, ...],
    forced: str | None,
    zone: tzinfo,
) -> GroupPlan:
    """A group that cannot run is shown with the reason."""
    from exshadow.policy.planning import misfits, plan_group
    from exshadow.service.policy_run.opening import open_room
    from exshadow.service.policy_run.run import plan_run
    from exshadow.service.sets import PROVIDER as NATIVE

    group = policy.group[name]
    moment = datetime.now(UTC)
    try:
        room = open_room(service, desk, policy, name, "", forced)
        run = plan_run(room, group, zone=zone)
    except Error as problem:
        known = service.list_volumes().volumes
        reasons = misfits(name, group, known) if forced in (None, NATIVE) else []
        said = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
        found = [said, *(text for text in reasons if text != problem.message)]
        return plan_group(name, group, sets, now=moment, zone=zone, problems=found)
    found = list(run.plan.warnings)
    wrong = []
    if room.provider.name == NATIVE:
        wrong = misfits(name, group, service.list_volumes().volumes)
    return plan_group(
        name,
        group,
        tuple(one for one in sets if one.id not in run.undone),
        now=moment,
        zone=zone,
        provider=room.provider.name,
        steps=() if wrong else run.plan.steps,  # they would be refused
        problems=found + wrong,
        gives_up=run.gives_up.id if run.gives_up and not wrong else "",
    )


def _text(one: GroupPlan, labels: dict[str, str], *, explain: bool) -> str:
    from exshadow.policy.planning import FOR_MIRROR

    upcoming = f"next {one.next:%Y-%m-%d %H:%M %Z}" if one.next else "no schedule"
    when = "due now" if one.due else upcoming
    lines = [f"{one.name}: {when}" + (f", by {one.provider}" if one.provider else "")]
    lines += [f"  problem: {text}" for text in one.problems]
    lines += [
        f"  {number}. {step.action} {step.target}".rstrip()
        + (f"  (at most {format_size(step.bytes)})" if step.bytes else "")
        for number, step in enumerate(one.steps, 1)
    ]
    for fate in one.fates:
        why = one.given_up(fate)
        verdict = "give up" if why else "keep"
        mirror = f"  {why}" if why == FOR_MIRROR else ""
        reasons = f"  ({', '.join(fate.reasons)})" if explain and fate.reasons else ""
        lines.append(f"  {verdict:<7} {labels.get(fate.held.id, fate.held.id)}{mirror}{reasons}")
    if not one.fates:
        lines.append("  no sets yet")
    return "\n".join(lines)
