"""exshadow policy check | plan | run | run-due | settle | status | timers | simulate | schema"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

from cyclopts import Parameter

from exshadow.cli import options, output
from exshadow.cli.options import PolicyFile
from exshadow.errors import NotFoundError
from exshadow.names import close_match

if TYPE_CHECKING:
    from datetime import tzinfo

    from exshadow.policy.model import Policy

app = options.group("policy")
app.command("exshadow.cli.policy_check:check", name="check")
app.command("exshadow.cli.policy_plan:plan", name="plan")
app.command("exshadow.cli.policy_run:run", name="run")
app.command("exshadow.cli.policy_run:run_due", name="run-due")
app.command("exshadow.cli.policy_settle:settle", name="settle")
app.command("exshadow.cli.policy_status:status", name="status")
app.command("exshadow.cli.policy_timers:timers", name="timers")


@app.command
def schema() -> int:
    """Print the JSON Schema of a policy file, for editors that know it.

    What needs more than the text (programs, addresses, windows that are never met) is for: policy
    check

    Example: exshadow policy schema > policy.schema.json
    """
    import json

    from exshadow.cli.policy_settings import OPTIONS, known_settings
    from exshadow.policy.schema import schema as described

    document = described(known_settings(), OPTIONS)
    return output.show(document, json.dumps(document, indent=1))


@app.command
def simulate(
    file: PolicyFile,
    group: Annotated[str, Parameter(name="GROUP", help="The group.")],
    /,
    *,
    days: Annotated[int, Parameter(help="How many days.", show_default=True)] = 60,
    every: Annotated[
        str | None, Parameter(help="A set so often; by the group's schedule and window otherwise.")
    ] = None,
) -> int:
    """Show how many sets the retention of a group leads to, and how old they are.

    A set is made whenever the schedule says, hourly without one. There are never more than mirrors.
    With checks (verify) every set counts as good: the newest one keeps its mirror, as in runs.

    Example: exshadow policy simulate /etc/exshadow/policy.toml mail --days 400 --every 4h
    """
    from exshadow.names import parse_duration
    from exshadow.policy.schedule import moments
    from exshadow.policy.simulation import simulate as simulated

    one = loaded(file, [group]).group[group]
    here = zone()
    start = datetime.now(here).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    scheduled = None
    if every is None and one.schedule is not None:
        # The first of the moments may be the very beginning.
        before = start - timedelta(minutes=1)
        scheduled, how = moments(one.schedule, before, one.window), f"at {one.schedule!r}"
        how += f" within {one.window}" if one.window else ""
    else:
        how = f"every {every or '1h'}"
    limit = len(one.mirrors) or None
    found = simulated(
        one.keep.rules(),
        start=start,
        days=days,
        every=timedelta(seconds=parse_duration(every or "1h")),
        made=scheduled,
        mirrors=limit,
        zone=here,
        verified=bool(one.verify),
    )
    document = {
        "made": how,
        "mirrors": limit,
        "days": [
            {"day": f"{one.day}", "sets": [moment.isoformat() for moment in one.kept]}
            for one in found
        ],
    }
    rows = [
        (f"{one.day}", len(one.kept), f"{min(one.kept):%Y-%m-%d %H:%M}" if one.kept else "-")
        for one in found
    ]
    said = f"a set {how}" + (f"; {limit} mirrors hold {limit} sets at most" if limit else "")
    table = output.table(("DAY", "SETS", "OLDEST"), rows, numbers=("SETS",))
    return output.show(document, f"{output.flow(said)}\n{table}")


def loaded(file: Path, only: list[str] | None) -> Policy:
    """The policy, reduced to these groups."""
    from exshadow.policy.model import load

    policy = load(file)
    if not only:
        return policy
    if unknown := sorted(set(only) - set(policy.group)):
        known = list(policy.group)
        raise NotFoundError(
            f"{file} has no group {', '.join(unknown)}",
            hint=f"{close_match(unknown[0], known)}it has: {', '.join(known)}",
        )
    groups = {name: one for name, one in policy.group.items() if name in only}
    return policy.model_copy(update={"group": groups})


def zone() -> tzinfo:
    """The machine's: schedules are written in local time. On Windows by its registry."""
    if sys.platform == "win32":
        from tzlocal import get_localzone

        return get_localzone()
    try:
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file, key="localtime")
    except (OSError, ValueError):
        return UTC
