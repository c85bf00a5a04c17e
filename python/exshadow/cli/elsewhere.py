"""Sets of other providers, for commands whose own way is the native engine's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exshadow.cli import confirm, output, views
from exshadow.cli.opening import open_desk
from exshadow.errors import UnsupportedError
from exshadow.model import SetRecord

if TYPE_CHECKING:
    from exshadow.service.checks.wish import CheckWish
    from exshadow.service.contract import Service
    from exshadow.service.verify import Verified


def done_elsewhere(
    service: Service, set_: str, verb: str, *, dry_run: bool, yes: bool, special: bool = False
) -> int | None:
    """Do ``verb`` (restore, resync, promote, delete) to a set that another provider holds; the exit
    status. None for the native engine's: nothing was done.

    ``special``: options were given that only the native engine has: UnsupportedError.
    """
    from exshadow.service.policy_run import elsewhere

    one = service.show_set(set_)
    if not elsewhere.is_elsewhere(one):
        return None
    if special:
        raise UnsupportedError(
            f"{verb} of {one.group}@{one.label} takes no such options: {one.provider} holds it",
            hint=f"without them the whole set is meant: {verb}",
        )
    plan = elsewhere.plan(one, verb)
    if dry_run:
        return confirm.only_planned(plan)
    confirm.confirm(plan, yes=yes)
    with open_desk() as desk:
        job = elsewhere.carry_out(service, desk, one, verb)
    return _shown(verb, job.to_json(), service.show_set(one.id))


def verified_elsewhere(service: Service, set_: str, wish: CheckWish) -> Verified | None:
    """The set that another provider holds, checked; None for the native engine's: nothing was
    done."""
    from exshadow.service.policy_run import elsewhere

    one = service.show_set(set_)
    if not elsewhere.is_elsewhere(one):
        return None
    with open_desk() as desk:
        return elsewhere.verify(service, desk, one, wish)


def _shown(verb: str, job: dict[str, object], one: SetRecord) -> int:
    """As the native engine's command shows it."""
    if verb in ("promote", "delete"):
        return output.show({"set": one.to_json()}, views.set_(one))
    return output.show({"job": job}, f"{verb} of {one.group}@{one.label} done by {one.provider}")
