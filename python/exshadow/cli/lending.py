"""exshadow snapshot lend | recall: the copies of a set on another host, and back"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from cyclopts import Parameter

from exshadow.cli import confirm, output
from exshadow.cli.opening import open_desk, open_service
from exshadow.cli.options import DryRun, SetName, Yes
from exshadow.errors import RefusedError
from exshadow.model import Json, SetRecord


def lend(
    set_: SetName,
    /,
    *,
    to: Annotated[str, Parameter(name="--to", help="The host that gets the copies.")],
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Give the copies of a set to another host, for a backup or a check there.

    Storage Foundation: their disks leave in a disk group of their own. EVA: they get LUNs there.
    What is to be done on the other host is told. Until it is recalled, the set can be neither
    restored nor resynced, and no run takes its mirror.

    Example: exshadow snapshot lend mail@noon --to backup1
    """
    return _moved(set_, "lend", {"host": to}, dry_run=dry_run, yes=yes)


def recall(set_: SetName, /, *, dry_run: DryRun = False, yes: Yes = False) -> int:
    """Take the copies of a lent set back; the other host must have let go of them before.

    Whether it has cannot be seen from here: saying yes, on a terminal or by --yes, is your word.

    Example: exshadow snapshot recall mail@noon
    """
    return _moved(set_, "recall", {}, dry_run=dry_run, yes=yes)


def _moved(set_: str, verb: str, options: Mapping[str, str], *, dry_run: bool, yes: bool) -> int:
    from exshadow.service.native_provider import cannot_lend
    from exshadow.service.policy_run import elsewhere

    with open_service() as service:
        one = service.show_set(set_)
        if not elsewhere.is_elsewhere(one):
            raise cannot_lend()
        plan = elsewhere.plan(one, verb)
        if dry_run:
            return confirm.only_planned(plan)
        agreed = confirm.confirm(plan, yes=yes)
        if verb == "recall":
            _require_word(one, agreed=agreed)
            options = {**options, "released": "yes"}
        with open_desk() as desk:
            job = elsewhere.carry_out(service, desk, one, verb, options)
        now = service.show_set(one.id)
    document: Json = {"set": now.to_json(), "job": job.to_json()}
    done = f"{one.group}@{one.label} is lent to {options['host']}" if verb == "lend" else ""
    text = done or f"{one.group}@{one.label} is back"
    return output.show(document, f"{text}\n  {job.note}" if job.note else text)


def _require_word(one: SetRecord, *, agreed: bool) -> None:
    """RefusedError while nobody has said that the other host has let go."""
    if not agreed:
        host = one.lent_to or "the other host"
        raise RefusedError(
            f"whether {host} has let go of {one.group}@{one.label} cannot be seen from here",
            hint=f"unmount it there, then say that it has: "
            f"exshadow snapshot recall {one.group}@{one.label} --yes",
        )
