"""exshadow policy settle"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from exshadow.cli import confirm, output
from exshadow.cli.options import DryRun, Yes
from exshadow.errors import Error, InvalidError
from exshadow.model import Plan, Step

if TYPE_CHECKING:
    from exshadow.catalog.journal import Entry
    from exshadow.service.contract import Service
    from exshadow.service.desk import Desk
    from exshadow.service.policy_run.settling import Settled


def settle(
    groups: Annotated[
        list[str] | None, Parameter(name="GROUP", help="Only these groups; all if none.")
    ] = None,
    /,
    *,
    forget: Annotated[
        str | None,
        Parameter(help="Forget what cannot be settled any more, for this reason."),
    ] = None,
    elsewhere: Annotated[
        bool,
        Parameter(
            help="With --forget: restores and promotions of GROUP that a host left half which is "
            "gone for good, and which stop the hosts that share its catalog.",
        ),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Finish or undo what killed runs left, with the settings they were begun with.

    For groups, mirrors and providers that no policy has any more, where a run of the same policy
    does it by itself; and for a restore that stopped half way, which goes on: production is then
    written to. Preparations of mirrors are undone. A pinned set is left as it is.

    Example: exshadow policy settle mail
    """
    from exshadow.cli.policy_run import open_both
    from exshadow.service.policy_run import settling

    if forget is not None and not forget.strip():
        raise InvalidError("--forget needs a reason", hint='write: --forget "the array is gone"')
    if elsewhere and (forget is None or not groups):
        raise InvalidError(
            "what another host left can only be forgotten, group by group",
            hint="write: policy settle GROUP --elsewhere --forget REASON",
        )
    with open_both() as (service, desk):
        entries = (
            settling.left_by_other_hosts(desk, groups or ())
            if elsewhere
            else settling.left(desk, groups or None)
        )
        plan = _plan(entries, forget)
        if dry_run:
            return confirm.only_planned(plan)
        if entries:
            confirm.confirm(plan, yes=yes)
        found = _settled(service, desk, entries, forget, elsewhere=elsewhere)
    error = next((one.error for one in found if one.error is not None), None)
    lines = [f"{_what(one.entry)}: {_came_of(one, error)}" for one in found]
    text = "\n".join(lines) or "nothing is left"
    return output.show({"settled": [one.to_json() for one in found]}, text, error)


def _settled(
    service: Service, desk: Desk, entries: list[Entry], forget: str | None, *, elsewhere: bool
) -> list[Settled]:
    import uuid

    from exshadow.service.policy_run import settling

    if forget is None:
        run_id = str(uuid.uuid4())
        return [settling.settle(service, desk, one, run_id) for one in entries]
    if elsewhere:
        return [settling.forget_of_other_host(desk, one, forget) for one in entries]
    return [settling.forget(service, desk, one, forget) for one in entries]


def _plan(entries: list[Entry], forget: str | None) -> Plan:
    what = "finish or undo" if forget is None else "forget"
    steps = tuple(
        Step(f"{what} {one.action.verb} by {one.provider} of mirror", one.action.group,
             one.action.mirror)
        for one in entries
    )  # fmt: skip
    return Plan("policy settle", steps)


def _came_of(one: Settled, told: Error | None) -> str:
    """The error that the command ends with is told there, with what to do."""
    if one.error is None:
        return one.done
    return "not settled" if one.error is told else f"not settled: {one.error.message}"


def _what(entry: Entry) -> str:
    label = f" ({entry.action.label})" if entry.action.label else ""
    action = entry.action
    return f"{action.group}: {action.verb} by {entry.provider} of mirror {action.mirror}{label}"
