"""exshadow report"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from exshadow.cli import output
from exshadow.cli.context import state_folder
from exshadow.errors import from_system

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exshadow.policy.model import Group
    from exshadow.report.facts import Page
    from exshadow.service.contract import Service
    from exshadow.service.desk import Desk


def report(
    *,
    html: Annotated[Path, Parameter(help="File to write; replaced when it is there.")],
    policy: Annotated[
        Path | None,
        Parameter(help="Judge groups by this policy: age, objective, next run."),
    ] = None,
) -> int:
    """Write a status page: groups, timeline of sets with verdicts, plexes, copying, last drill.

    One file without scripts that fetches nothing: it can be mailed or put on a web server.

    Example: exshadow report --html /var/www/status.html --policy /etc/exshadow/policy.toml
    """
    from exshadow.cli.policy_run import open_both
    from exshadow.policy.model import load
    from exshadow.report.render import render

    groups = load(policy).group if policy is not None else {}
    with open_both() as (service, desk):
        page = _page(service, desk, groups)
    _write(html, render(page))
    document = {
        "report": {"file": str(html), "groups": [one.status.to_json() for one in page.groups]}
    }
    count = len(page.groups)
    many = f"{count} group" if count == 1 else f"{count} groups"
    return output.show(document, f"status page of {many} written to {html}")


def _page(service: Service, desk: Desk, groups: Mapping[str, Group]) -> Page:
    from exshadow.cli.policy import zone
    from exshadow.policy.model import Group
    from exshadow.report.facts import page
    from exshadow.service.standing import standings

    listing = service.list_sets(everything=True)
    volumes = listing.survey.volumes
    names = {one.group for one in volumes.values()}
    names |= {one.group for one in listing.sets if one.state != "dissolved"}
    others = {name: Group(volumes=(name,)) for name in sorted(names - set(groups))}
    now = datetime.now(UTC)
    catalog = desk.facts()
    return page(
        f"Recovery on {socket.gethostname()}, {state_folder().path}",
        standings(service, catalog, {**groups, **others}, now=now, zone=zone()),
        listing.sets,
        volumes,
        catalog.jobs() if catalog else [],
        [f"volume {name}: {error}" for name, error in listing.survey.problems.items()],
        now=now,
    )


def _write(path: Path, text: str) -> None:
    """Whole or not at all: somebody may be reading the old one."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as problem:
        fresh.unlink(missing_ok=True)
        raise from_system(problem, f"cannot write {path}") from problem
