"""Sets of other providers, for commands whose own way is the native engine's."""

from __future__ import annotations

from exshadow.cli import confirm, output, views
from exshadow.cli.policy_run import open_both
from exshadow.model import SetRecord


def done_elsewhere(set_: str, verb: str, *, dry_run: bool, yes: bool) -> int | None:
    """Do ``verb`` (restore, resync, promote, delete) to a set that another provider holds; the exit
    status. None for the native engine's: nothing was done."""
    from exshadow.service.policy_run import elsewhere

    with open_both() as (service, desk):
        one = service.show_set(set_)
        if not elsewhere.is_elsewhere(one):
            return None
        plan = elsewhere.plan(one, verb)
        if dry_run:
            return confirm.only_planned(plan)
        confirm.confirm(plan, yes=yes)
        job = elsewhere.carry_out(service, desk, one, verb)
        return _shown(verb, job.to_json(), service.show_set(one.id))


def _shown(verb: str, job: dict[str, object], one: SetRecord) -> int:
    """As the native engine's command shows it."""
    if verb in ("promote", "delete"):
        return output.show({"set": one.to_json()}, views.set_(one))
    return output.show({"job": job}, f"{verb} of {one.group}@{one.label} done by {one.provider}")
