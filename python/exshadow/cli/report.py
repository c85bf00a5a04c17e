"""exshadow report"""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from exshadow.cli import output
from exshadow.cli.context import state_folder
from exshadow.errors import from_system

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from exshadow.catalog.mirrors import LastKnown
    from exshadow.catalog.store import Catalog
    from exshadow.policy.model import Group
    from exshadow.report.facts import Page
    from exshadow.service.contract import Service
    from exshadow.service.desk import Desk

_ACTIONS = 400  # newest ones of a group that are read: many more than it has mirrors


def report(
    *,
    html: Annotated[Path, Parameter(help="File to write; replaced when it is there.")],
    policy: Annotated[
        Path | None,
        Parameter(help="Judge groups by this policy: age, objective, next run."),
    ] = None,
) -> int:
    """Write a status page: groups, timeline of sets with verdicts, plexes, copying, last drill.

    One file without scripts that fetches nothing: it can be mailed or put on a web server. Mirrors
    of other products are shown as the last run left them, with their age: no array is asked.

    Example: exshadow report --html /var/www/status.html --policy /etc/exshadow/policy.toml
    """
    from exshadow.cli.policy_run import open_both
    from exshadow.policy.model import load
    from exshadow.report.render import render

    loaded = load(policy) if policy is not None else None
    groups = loaded.group if loaded is not None else {}
    places = loaded.volume if loaded is not None else {}
    with open_both() as (service, desk):
        page = _page(service, desk, groups, places)
    _write(html, render(page))
    document = {
        "report": {"file": str(html), "groups": [one.status.to_json() for one in page.groups]}
    }
    count = len(page.groups)
    many = f"{count} group" if count == 1 else f"{count} groups"
    return output.show(document, f"status page of {many} written to {html}")


def _page(
    service: Service, desk: Desk, groups: Mapping[str, Group], places: Collection[str]
) -> Page:
    from exshadow.cli.policy import zone
    from exshadow.policy.model import Group
    from exshadow.report.facts import page
    from exshadow.service.standing import standings

    listing = service.list_sets(everything=True)
    volumes = listing.survey.volumes
    names = {one.group for one in volumes.values()}
    names |= {one.group for one in listing.sets if one.state != "dissolved"}
    # Names are as the catalog has them, which may come from elsewhere: nothing judges them here.
    others = {name: Group.model_construct(volumes=(name,)) for name in sorted(names - set(groups))}
    now = datetime.now(UTC)
    catalog = desk.facts()
    mirrors, problems = _mirrors(catalog, [*groups, *others])
    if desk.unreadable is not None:
        problems.append(f"shown without the catalog: {desk.unreadable}")
    return page(
        f"Recovery on {socket.gethostname()}, {state_folder().path}",
        standings(
            service,
            catalog,
            {**groups, **others},
            now=now,
            zone=zone(),
            places=places,
            without_policy=others,
        ),
        listing.sets,
        volumes,
        catalog.jobs() if catalog else [],
        [f"volume {name}: {error}" for name, error in listing.survey.problems.items()] + problems,
        now=now,
        mirrors=mirrors,
    )


def _mirrors(
    catalog: Catalog | None, groups: Iterable[str]
) -> tuple[dict[str, list[LastKnown]], list[str]]:
    """Those of other products, as the journal has them: no array is asked for a page."""
    from exshadow.catalog.journal import CatalogJournal
    from exshadow.catalog.mirrors import last_known
    from exshadow.errors import Error
    from exshadow.service.sets import PROVIDER

    found: dict[str, list[LastKnown]] = {}
    problems: list[str] = []
    if catalog is None:
        return found, problems
    for name in groups:
        try:
            entries = CatalogJournal(catalog, "").newest(name, _ACTIONS)
        except Error as problem:
            problems.append(f"mirrors of {name}: {problem}")
            continue
        found[name] = last_known(entries, [PROVIDER])
    return found, problems


def _write(path: Path, text: str) -> None:
    """Whole or not at all: somebody may be reading the old one."""
    from exshadow.service.whole_file import write_whole

    try:
        write_whole(path, text)
    except OSError as problem:
        raise from_system(problem, f"cannot write {path}") from problem
