"""exshadow snapshot create | list | show | diff | verify | resync | delete | promote | pin"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from exshadow.cli import confirm, options, output, views
from exshadow.cli.context import state_folder
from exshadow.cli.elsewhere import done_elsewhere, verified_elsewhere
from exshadow.cli.opening import make_reporter, open_service
from exshadow.cli.options import (
    DryRun,
    Folder,
    Force,
    Glob,
    GroupName,
    Label,
    Limit,
    Live,
    Script,
    SetName,
    Timeout,
    Yes,
)
from exshadow.cli.transfer import export, import_
from exshadow.errors import Error
from exshadow.model import SetRecord

if TYPE_CHECKING:
    from exshadow.service.checks.wish import CheckWish
    from exshadow.service.contract import Service

app = options.group("snapshot")
app.command(export, name="export")
app.command(import_, name="import")
for _name in ("lend", "recall"):
    app.command(f"exshadow.cli.lending:{_name}", name=_name)
for _name in ("mount", "unmount"):
    app.command(f"exshadow.cli.attach:{_name}", name=_name)


@app.command
def create(
    group: GroupName,
    /,
    *,
    label: Label = None,
    plex: Annotated[
        str | None,
        Parameter(help="Plex to split off; else the newest in-sync one not the authority."),
    ] = None,
    writer: Annotated[
        list[str] | None,
        Parameter(help="Writer to freeze round the split: module:Class or its name; repeats."),
    ] = None,
    verify: Annotated[
        list[str] | None,
        Parameter(help=f"Check to run on the new set; may be repeated: {options.CHECKS}."),
    ] = None,
    folder: Folder = None,
    glob: Glob = None,
    script: Script = None,
    timeout: Timeout = "1h",
    force: Force = False,
) -> int:
    """Split every volume of a group at one instant: one set.

    Checks run on the new copies; when one fails (5) or cannot run here (4) the set stays. Writers
    hear of success, and may cut their logs, only after the checks of that very copy passed; so
    without --verify they never do.

    Example: exshadow snapshot create shop --label noon --verify bytes --verify filesystem
    """
    wish = None
    if verify or folder or glob or script:
        wish = options.check_wish(verify or [], timeout, folder, glob, script)
    with open_service(force=force) as service:
        proof = _Proof(service, wish)
        if writer:
            from exshadow.service import shadow

            _tell_remarks(writer)
            state = state_folder().path
            made = shadow.create_set(
                service, group, writer, state, label=label, plex=plex, prove=proof.sound
            )
            made = service.show_set(made.id)
        else:
            made = service.create_set(group, label=label, plex=plex)
            proof.sound(made.id)
        made = proof.checked or made
    return output.show({"set": made.to_json(evidence=True)}, views.set_(made), proof.error)


def _tell_remarks(writers: list[str]) -> None:
    from exshadow.vss.registry import remark_of, spec_of

    reporter = make_reporter()
    for spec in map(spec_of, writers):
        if remark := remark_of(spec):
            reporter.note(f"writer {spec.place}: {remark}")
    reporter.close()


class _Proof:
    """The checks of a new set, and what came of them. Whatever it is, the set is there."""

    def __init__(self, service: Service, wish: CheckWish | None) -> None:
        self._service = service
        self._wish = wish
        self.checked: SetRecord | None = None
        self.error: Error | None = None

    def sound(self, set_id: str) -> bool:
        """Run them on the set. False without any: a copy that nobody looked at proves nothing."""
        if self._wish is None:
            return False
        try:
            found = self._service.verify_set(set_id, self._wish)
            self.checked, self.error = found.set, found.error
        except Error as problem:
            self.error = problem
        return self.error is None


@app.command(name="list")
def list_(
    group: Annotated[str | None, Parameter(help="Only this group.")] = None,
    /,
    *,
    all: Annotated[bool, Parameter(help="Dissolved sets as well.")] = False,
) -> int:
    """List snapshot sets, oldest first; takes no lock.

    Example: exshadow snapshot list
    """
    with open_service() as service:
        found = service.list_sets(group, everything=all)
    document = {"sets": [one.to_json() for one in found.sets]}
    return output.show(document, views.sets(found.sets), found.survey.problem)


@app.command
def show(set_: SetName, /) -> int:
    """Show a snapshot set; takes no lock.

    Example: exshadow snapshot show shop@noon
    """
    from exshadow.catalog.documents import remarks
    from exshadow.cli.policy_run import open_both

    with open_both() as (service, desk):
        one = service.show_set(set_)
        catalog = desk.facts()
        said = remarks(catalog, one.id) if catalog is not None else []
    found = [{"at": remark.at, "what": remark.what, "reason": remark.reason} for remark in said]
    document = {"set": {**one.to_json(evidence=True), "remarks": found}}
    return output.show(document, views.set_(one, said))


@app.command
def diff(
    set_: SetName,
    /,
    *,
    since: Annotated[str | None, Parameter(help="Compare with this set, not production.")] = None,
) -> int:
    """Show where each volume may differ between production now and the set; takes no lock.

    Example: exshadow snapshot diff shop@noon --since shop@morning
    """
    with open_service() as service:
        members = service.diff_set(set_, since)
    return output.show({"members": [one.to_json() for one in members]}, views.diff(members))


@app.command
def verify(
    set_: SetName,
    /,
    *,
    check: Annotated[
        list[str] | None,
        Parameter(help=f"What to check; may be repeated: {options.CHECKS}. Default: bytes."),
    ] = None,
    folder: Folder = None,
    glob: Glob = None,
    script: Script = None,
    timeout: Timeout = "1h",
    force: Force = False,
) -> int:
    """Check the copies themselves and record the verdict; a bad one gives exit status 5.

    All but bytes work on throw-away views and need root. Exit 4: a check cannot run here.

    Example: exshadow snapshot verify shop@noon --check filesystem --check postgresql

    Example: exshadow snapshot verify mail@noon --check ese --folder db:Mailbox --folder log:Logs
    """
    wish = options.check_wish(check or ["bytes"], timeout, folder, glob, script)
    with open_service(force=force) as service:
        found = verified_elsewhere(service, set_, wish) or service.verify_set(set_, wish)
    document = {"set": found.set.to_json(evidence=True), "job": found.job.to_json()}
    return output.show(document, views.set_(found.set), found.error)


@app.command
def resync(
    set_: SetName,
    /,
    *,
    limit: Limit = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    force: Force = False,
) -> int:
    """Bring the copies back into the mirror, moving only what changed. The set is gone then.

    Example: exshadow snapshot resync shop@noon
    """
    rate = options.rate(limit)
    with open_service(force=force) as service:
        if (ended := done_elsewhere(service, set_, "resync", dry_run=dry_run, yes=yes)) is not None:
            return ended
        plan = service.set_plan(set_, "resync")
        if dry_run:
            return confirm.only_planned(plan)
        confirm.confirm(plan, yes=yes)
        one = service.show_set(set_)
        job = service.resync_set(set_, limit=rate)
    name = f"{one.group}@{one.label}"
    told = f"set {name} is gone: its copies are mirrors again"
    if job.state != "done":
        told = f"set {name} goes when the copying is done: its copies are becoming mirrors again"
    gone = {"id": one.id, "label": one.label, "group": one.group}
    document = (
        {"job": job.to_json(), "gone": gone} if job.state == "done" else {"job": job.to_json()}
    )
    return output.show(document, f"{views.job(job)}\n{told}")


@app.command
def delete(
    set_: SetName, /, *, dry_run: DryRun = False, yes: Yes = False, force: Force = False
) -> int:
    """Drop the relation between the copies and their volumes; the files are kept.

    Example: exshadow snapshot delete shop@noon
    """
    with open_service(force=force) as service:
        if (ended := done_elsewhere(service, set_, "delete", dry_run=dry_run, yes=yes)) is not None:
            return ended
        plan = service.set_plan(set_, "delete")
        if dry_run:
            return confirm.only_planned(plan)
        confirm.confirm(plan, yes=yes)
        return _shown(service.delete_set(set_))


@app.command
def promote(
    set_: SetName,
    /,
    *,
    live: Live = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    force: Force = False,
) -> int:
    """Make the copies production; the old plexes, where there are any, become stale mirrors.

    Example: exshadow snapshot promote shop@noon
    """
    with open_service(force=force) as service:
        if (
            ended := done_elsewhere(service, set_, "promote", dry_run=dry_run, yes=yes)
        ) is not None:
            return ended
        plan = service.set_plan(set_, "promote")
        if dry_run:
            return confirm.only_planned(plan)
        confirm.confirm(plan, yes=yes)
        return _shown(service.promote_set(set_, live=live))


@app.command
def pin(
    set_: SetName,
    /,
    *,
    until: Annotated[
        str | None, Parameter(help="A date, a time (RFC 3339) or a span: 12h, 14d, 4w.")
    ] = None,
    clear: Annotated[bool, Parameter(help="Lift the pin.")] = False,
    reason: Annotated[
        str, Parameter(help="Why a pin is lifted or shortened; the catalog keeps it.")
    ] = "",
) -> int:
    """Protect a set from resync, delete, promote and rotation, for ever or until a date.

    Example: exshadow snapshot pin shop@noon --until 14d
    """
    from exshadow.errors import InvalidError
    from exshadow.names import FOREVER, parse_until

    if clear and until is not None:
        raise InvalidError("--clear and --until exclude each other", hint="give one of them")
    end = None if clear else parse_until(FOREVER if until is None else until)
    with open_service() as service:
        return _shown(service.pin_set(set_, end, reason=reason))


def _shown(one: SetRecord) -> int:
    return output.show({"set": one.to_json()}, views.set_(one))
