"""What stands against the next run of a group, as far as it is known without asking an array: the
engine's own volumes, and the catalog."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, tzinfo

from exshadow.catalog.journal import CatalogJournal
from exshadow.catalog.store import Catalog
from exshadow.errors import Error, RefusedError
from exshadow.model import SetRecord
from exshadow.policy.model import Group
from exshadow.policy.planning import misfits, plan_group
from exshadow.providers.contract import REPLACES_PRODUCTION, Mirror, MirrorState, Source
from exshadow.service.contract import Service
from exshadow.service.native_provider import NativeProvider, no_mirrors
from exshadow.service.policy_run import rotation
from exshadow.service.sets import PROVIDER as NATIVE


def obstacles(
    service: Service,
    catalog: Catalog | None,
    name: str,
    group: Group,
    places: Collection[str],
    *,
    now: datetime,
    zone: tzinfo,
) -> list[str]:
    """The reasons, none when a run should work. ``places``: volumes that the policy has a table
    for, which other products hold."""
    volumes = service.list_volumes().volumes
    native = any(one in volumes or one not in places for one in group.volumes)
    if native and (found := misfits(name, group, volumes)):
        return found
    if found := _half_restored(catalog, name):
        return found
    every = service.list_sets().sets  # of a group without volumes here and sets nobody knows
    ready = [one for one in every if one.group == name and one.state == "ready"]
    provider = NATIVE if native else ready[-1].provider if ready else ""
    sets = [one for one in ready if one.provider == provider]
    held = _held(catalog, sets)
    try:
        mirrors = _native(service, group) if native else _as_recorded(group, held)
        labels = group.mirrors or tuple(mirrors) or ("m1",)
        rotation.turn(
            labels, mirrors, held, plan_group(name, group, sets, now=now, zone=zone).fates
        )
    except RefusedError as problem:
        return [f"the next run cannot work: {problem.message}"]
    except Error:  # of the volumes themselves, which their own commands tell
        return []
    return []


def _half_restored(catalog: Catalog | None, group: str) -> list[str]:
    """Restores and promotions that runs are refused for, unless they have ended since."""
    left = CatalogJournal(catalog, "").unfinished(group) if catalog is not None else []
    return [
        f"the next run may be refused: {one.action.verb} of set {group}@{one.action.label}, begun "
        f"at {one.started}, did not come to its end"
        for one in left
        if one.action.verb in REPLACES_PRODUCTION
    ]


def _held(catalog: Catalog | None, sets: Sequence[SetRecord]) -> dict[str, SetRecord]:
    """By mirror the set that it is."""
    found = {}
    for one in sets:
        entry = CatalogJournal(catalog, "").split_of(one.id) if catalog is not None else None
        if entry is not None:
            found[entry.action.mirror] = one
        elif one.provider == NATIVE and one.members:
            found[one.members[0].plex] = one
    return found


def _native(service: Service, group: Group) -> dict[str, Mirror]:
    sources = [Source(one, "", 0) for one in group.volumes]
    provider = NativeProvider(service)
    found = {one.label: one for one in provider.mirrors("", sources)}
    return found | no_mirrors(provider, sources, group.mirrors)


def _as_recorded(group: Group, held: dict[str, SetRecord]) -> dict[str, Mirror]:
    """What is no set can be split, or be made so."""
    free = {label: Mirror(label, MirrorState.READY) for label in group.mirrors or ("",)}
    return free | {
        label: Mirror(label, MirrorState.SPLIT, lent=one.lent_to) for label, one in held.items()
    }
