"""exshadow restore"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from exshadow.cli import confirm, options, output, views
from exshadow.cli.elsewhere import done_elsewhere
from exshadow.cli.opening import open_service
from exshadow.cli.options import DryRun, Force, Limit, Live, SetName, Yes


def restore(
    set_: SetName,
    /,
    *,
    mode: Annotated[
        str, Parameter(show_default=True, help="How: copy, or instant (usable at once).")
    ] = "copy",
    volume: Annotated[
        list[str] | None, Parameter(help="Only this volume; may be repeated.")
    ] = None,
    keep_current: Annotated[
        bool, Parameter(help="First keep production as it is as the set before-restore.")
    ] = False,
    roll_forward: Annotated[
        bool,
        Parameter(
            help="To the point of failure: restore database volumes only, keep the current logs."
        ),
    ] = False,
    live: Live = False,
    limit: Limit = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    force: Force = False,
) -> int:
    """Make production equal to a snapshot set again, moving only what changed. The set is kept.

    With --mode instant it is so at once and stays usable while the data moves. A daemon goes on
    moving after this command; interrupted, the move is continued by: exshadow mirror sync VOLUME.

    With --roll-forward the databases' volumes (found out, or --volume) are restored and today's
    logs stay; it is proved before and after that they recover together, else refused (4).

    Example: exshadow restore shop@noon --keep-current

    Example: exshadow restore mail@noon --roll-forward --dry-run
    """
    from exshadow.service import restore as restores

    restores.check_mode(mode)
    wish = restores.RestoreWish(
        tuple(volume or ()), mode, keep_current, live, options.rate(limit), roll_forward
    )
    special = wish != restores.RestoreWish(live=live, limit=wish.limit)
    with open_service(force=force) as service:
        ended = done_elsewhere(service, set_, "restore", dry_run=dry_run, yes=yes, special=special)
        if ended is not None:
            return ended
        plan = service.restore_plan(set_, wish)
        if dry_run:
            return confirm.only_planned(plan)
        confirm.confirm(plan, yes=yes)
        done = service.restore_set(set_, wish)
    job, kept = done.job, done.kept
    document = {"job": job.to_json()}
    text = views.moving() if job.state == "running" else views.job(job)
    if kept is not None:
        document["kept"] = kept.to_json()
        text += f"\nwhat was there before is set {kept.group}@{kept.label}"
    if done.verdict is not None:
        document["verdict"] = done.verdict.to_json(evidence=True)
        text += f"\nroll-forward: {'ok' if done.verdict.ok else 'FAILED'}: {done.verdict.detail}"
    return output.show(document, text, done.error)
