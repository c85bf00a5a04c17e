"""exshadow policy run"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from exshadow.cli import confirm, output
from exshadow.cli.context import context
from exshadow.cli.opening import open_desk, open_service
from exshadow.cli.options import DryRun, ForcedProvider, OnlyGroups, PolicyFile
from exshadow.errors import Error, IntegrityError
from exshadow.model import Plan

if TYPE_CHECKING:
    from exshadow.model import Json
    from exshadow.policy.model import Group, Policy
    from exshadow.service.contract import Service
    from exshadow.service.desk import Desk
    from exshadow.service.policy_run.record import GroupRun


def run(
    file: PolicyFile,
    /,
    *,
    group: OnlyGroups = None,
    provider: ForcedProvider = None,
    dry_run: DryRun = False,
) -> int:
    """Make the next set of every group: due or not, by the policy's mirrors, writers and checks.

    What an earlier run left is finished or undone first. A set whose checks fail stays, is told
    (5), and writers keep their logs. Killed at any moment, the next run goes on.

    Example: exshadow policy run /etc/exshadow/policy.toml --group mail
    """
    from exshadow.cli.policy import loaded

    policy = loaded(file, group)
    if dry_run:
        with open_both() as (service, desk):
            return confirm.only_planned(_plan(service, desk, policy, provider))
    with _open_or_tell(policy.group) as (service, desk):
        found = _run(service, desk, policy, provider)
        left = [] if group else _left(desk, file, policy)
    document = {"groups": [one.to_json() for one in found], "left": left}
    return _shown(document, found)


def run_due(
    file: PolicyFile,
    /,
    *,
    group: OnlyGroups = None,
) -> int:
    """Run the groups that are due by their schedule and window, and no others. For timers.

    A group is due when no set was made since its last scheduled moment. Nothing due is no error.

    Example: exshadow policy run-due /etc/exshadow/policy.toml
    """
    from exshadow.cli.policy import loaded, zone
    from exshadow.policy.planning import is_due
    from exshadow.service.standing import half_made

    policy = loaded(file, group)
    moment = datetime.now(UTC)
    with _open_or_tell(_waited_for(policy, moment, named=bool(group))) as (service, desk):
        half = half_made(desk.catalog)
        sets = tuple(one for one in service.list_sets().sets if one.id not in half)
        due = {
            name: one
            for name, one in policy.group.items()
            if is_due(name, one, sets, now=moment, zone=zone())
        }
        found = _run(service, desk, policy.model_copy(update={"group": due}), None)
        left = [] if group else _left(desk, file, policy)
    document = {"groups": [one.to_json() for one in found], "left": left}
    return _shown(document, found)


def _waited_for(policy: Policy, now: datetime, *, named: bool) -> dict[str, Group]:
    """The groups whose turn it is, as far as that is known without the catalog. ``named``: a timer
    of their own asks; else the one that wakes for all does, and it is told once a moment."""
    from exshadow.cli.policy import zone
    from exshadow.policy.planning import is_due
    from exshadow.policy.schedule import last_due
    from exshadow.policy.timers import wake_minutes

    here = zone()
    crons = [one.schedule for one in policy.group.values() if one.schedule is not None]
    since = now - timedelta(minutes=wake_minutes(crons))
    return {
        name: one
        for name, one in policy.group.items()
        if one.schedule is not None
        and is_due(name, one, (), now=now, zone=here)
        and (
            named
            or ((last := last_due(one.schedule, now.astimezone(here), one.window)) and last > since)
        )
    }


@contextmanager
def _open_or_tell(groups: Mapping[str, Group]) -> Iterator[tuple[Service, Desk]]:
    """As :func:`open_both`. Where not even that works (the catalog's server is down, its disk is
    full), those who are to hear of a failure of these groups do: no run comes that could tell."""
    with ExitStack() as stack:
        try:
            both = stack.enter_context(open_both())
            _ = both[1].catalog
        except Error as problem:
            _tell(groups, problem)
            raise
        yield both


def _tell(groups: Mapping[str, Group], problem: Error) -> None:
    from exshadow.cli.opening import make_reporter
    from exshadow.service.policy_run.around import tell_end
    from exshadow.service.policy_run.record import GroupRun

    reporter = make_reporter()
    try:
        for name, group in groups.items():
            tell_end(group, GroupRun(name, "", "", error=problem), reporter.note)
    finally:
        reporter.close()


@contextmanager
def open_both() -> Iterator[tuple[Service, Desk]]:
    """The verbs, done by a daemon where one runs, and a desk with the catalog of the same state
    folder."""
    from exshadow.service.local import LocalService

    with open_service() as service:
        if isinstance(service, LocalService):
            yield service, service.desk
        else:
            with open_desk() as desk:
                yield service, desk


def _run(service: Service, desk: Desk, policy: Policy, provider: str | None) -> list[GroupRun]:
    """One group after the other; one that fails does not keep the others from their turn."""
    import uuid

    from exshadow.cli.policy import zone
    from exshadow.service.policy_run.around import tell_end
    from exshadow.service.policy_run.opening import open_room
    from exshadow.service.policy_run.record import GroupRun
    from exshadow.service.policy_run.run import run_group

    run_id = str(uuid.uuid4())
    found = []
    for name, group in policy.group.items():
        try:
            room = open_room(service, desk, policy, name, run_id, provider)
        except Error as problem:
            done = GroupRun(name, provider or "", run_id, error=problem)
            tell_end(group, done, desk.reporter.note)
            found.append(done)
            continue
        found.append(run_group(room, group, zone=zone()))
    return found


def _left(desk: Desk, file: PolicyFile, policy: Policy) -> list[str]:
    """What runs of groups left that this policy does not name: another may, or none any more."""
    from exshadow.service.policy_run.settling import left_elsewhere

    found = [
        f"{one.action.verb} of mirror {one.action.mirror} of group {one.action.group} by "
        f"{one.provider} was interrupted, and {file} has no such group: run its own policy, or: "
        f"exshadow policy settle {one.action.group}"
        for one in left_elsewhere(desk, policy.group)
    ]
    for text in found:
        desk.reporter.note(text)
    return found


def _plan(service: Service, desk: Desk, policy: Policy, provider: str | None) -> Plan:
    from exshadow.cli.policy import zone
    from exshadow.service.policy_run.opening import open_room
    from exshadow.service.policy_run.run import plan_run

    plans = [
        plan_run(open_room(service, desk, policy, name, "", provider), group, zone=zone()).plan
        for name, group in policy.group.items()
    ]
    return Plan(
        "; ".join(one.command for one in plans),
        tuple(step for one in plans for step in one.steps),
        tuple(warning for one in plans for warning in one.warnings),
    )


def _worst(found: list[GroupRun]) -> Error | None:
    """The most serious failure, a bad set (5) before all others; those of other groups are named
    with it."""
    failed = sorted(
        (one for one in found if one.error is not None),
        key=lambda one: not isinstance(one.error, IntegrityError),
    )
    if not failed or failed[0].error is None:
        return None
    error = failed[0].error
    if len(found) > 1:
        error.message = f"group {failed[0].group}: {error.message}"
    if len(failed) > 1:
        error.message += f"; failed as well: {', '.join(one.group for one in failed[1:])}"
    return error


def _shown(document: Json, found: list[GroupRun]) -> int:
    """The groups one below the other. The failure that the command ends with is said once."""
    worst = _worst(found)
    text = "\n".join(_text(one, told=worst) for one in found) or "nothing is due"
    return output.show(document, output.flow(text), worst)


def _unheard(one: GroupRun, texts: Iterable[str]) -> list[str]:
    """Without what was said while the run went on."""
    return [text for text in texts if f"{one.group}: {text}" not in context.heard]


def _text(one: GroupRun, *, told: Error | None) -> str:
    by = f"by {one.provider}" if one.provider else "not begun"
    lines = [f"{one.group}: {by}" + (f", mirror {one.mirror}" if one.mirror else "")]
    lines += [f"  {text}" for text in _unheard(one, (*one.settled, *one.notes))]
    lines += [f"  warning: {text}" for text in _unheard(one, one.warnings)]
    if one.made is not None:
        checks = ", ".join(
            f"{verdict.check} {'ok' if verdict.ok else 'FAILED'}" for verdict in one.made.checks
        )
        made = f"set {one.group}@{one.made.label}, {one.made.consistency} consistent"
        lines.append(f"  {made}" + (f", checked: {checks}" if checks else ", not checked"))
    elif one.error is None or one.error is told:
        lines.append("  no set was made")
    else:
        lines.append(f"  no set was made: {one.error.message}")
    return "\n".join(lines)
