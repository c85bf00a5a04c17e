"""What the standing of protection groups is judged by: sets, estimates of recovery, measures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo

from exshadow.catalog.journal import CatalogJournal
from exshadow.catalog.measures import measures
from exshadow.catalog.store import Catalog
from exshadow.errors import Error
from exshadow.model import SetRecord
from exshadow.policy.model import Group
from exshadow.policy.standing import (
    GroupStatus,
    Recovery,
    Series,
    hindered,
    lent_notes,
    newest_of,
    status_of,
)
from exshadow.providers.contract import Verb
from exshadow.service.contract import Service
from exshadow.service.obstacles import obstacles
from exshadow.service.restore import RestoreWish
from exshadow.service.sets import PROVIDER as NATIVE


def standings(
    service: Service,
    catalog: Catalog | None,
    groups: Mapping[str, Group],
    *,
    now: datetime,
    zone: tzinfo,
    places: Collection[str] = (),
    without_policy: Collection[str] = (),
) -> list[GroupStatus]:
    """All of them. Takes no lock; ``catalog`` None: there is none yet; ``places``: volumes that the
    policy has a table for; ``without_policy``: groups that nobody runs."""
    half = half_made(catalog)
    sets = tuple(one for one in service.list_sets().sets if one.id not in half)
    found = [
        status_of(
            name,
            group,
            sets,
            now=now,
            zone=zone,
            recovery=recovery_of(service, catalog, newest_of(name, sets, now=now)),
            measured=series(catalog, name),
        )
        for name, group in groups.items()
    ]
    found = [replace(one, notes=(*one.notes, *lent_notes(one.name, sets))) for one in found]
    return [
        one
        if one.name in without_policy
        else hindered(
            one,
            obstacles(service, catalog, one.name, groups[one.name], places, now=now, zone=zone),
        )
        for one in found
    ]


def half_made(catalog: Catalog | None) -> set[str]:
    """Sets whose split has not ended, which nobody may count on: the next run undoes them, or ends
    them well."""
    left = CatalogJournal(catalog, "").unfinished() if catalog else []
    return {one.action.set_id for one in left if one.action.verb is Verb.SPLIT}


def recovery_of(
    service: Service, catalog: Catalog | None, one: SetRecord | None
) -> Recovery | None:
    """How long restoring the set would take, by what was measured; None without a set."""
    if one is None:
        return None
    if one.provider == NATIVE:
        return _planned(service, one)
    return _as_before(catalog, one)


def _planned(service: Service, one: SetRecord) -> Recovery:
    try:
        plan = service.restore_plan(one.id, RestoreWish((), "copy", False, False, None))
    except Error as problem:
        return Recovery(None, problem.message)
    if plan.seconds is not None:
        return Recovery(plan.seconds, plan.estimate)
    if not any(step.bytes for step in plan.steps):
        return Recovery(0.0, "nothing differs from production")
    return Recovery(None, plan.estimate or "nothing was measured yet")


def _as_before(catalog: Catalog | None, one: SetRecord) -> Recovery:
    """As long as the newest restore by the same provider took."""
    entries = CatalogJournal(catalog, "").done(one.group, Verb.RESTORE) if catalog else []
    mine = [entry for entry in entries if entry.provider == one.provider]
    if not mine:
        return Recovery(None, f"no restore by {one.provider} was measured yet")
    last = mine[-1]
    begun, ended = (datetime.fromisoformat(text) for text in (last.started, last.ended))
    return Recovery((ended - begun).total_seconds(), f"as the restore of {last.ended[:10]} took")


def series(catalog: Catalog | None, group: str) -> Sequence[Series]:
    """What the group's runs measured, oldest first."""
    found: dict[str, list[float]] = {}
    for one in measures(catalog, group) if catalog else []:
        found.setdefault(one.name, []).append(one.value)
    return [Series(name, tuple(values)) for name, values in sorted(found.items())]
