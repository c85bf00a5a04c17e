"""The room of a group: from its policy, or of a set that exists from what was kept with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from exshadow.catalog.documents import documents
from exshadow.catalog.journal import CatalogJournal, Entry
from exshadow.errors import Error, InvalidError, NotFoundError, RefusedError
from exshadow.model import SetRecord
from exshadow.policy.model import PROVIDERS, Policy
from exshadow.providers.chooser import unmet
from exshadow.providers.contract import Provider, Source
from exshadow.providers.facts import Wish
from exshadow.service.choice import choose_group, length_of, wish_of
from exshadow.service.contract import Service
from exshadow.service.desk import Desk
from exshadow.service.native_provider import NativeProvider
from exshadow.service.policy_run.making import SETTINGS
from exshadow.service.policy_run.room import Room, Settings
from exshadow.service.reporter import Reporter
from exshadow.service.sets import PROVIDER as NATIVE

_ASK = "see: exshadow provider choose FILE, or change [group.NAME] provider.*"


def builder(service: Service) -> Callable[[str, Settings], Provider]:
    """Makes providers by name and settings. UnsupportedError for one that is not here."""

    def build(name: str, settings: Settings) -> Provider:
        if name == NATIVE:
            return NativeProvider(service, settings)
        from exshadow.providers import registry

        return registry.build(name, settings)

    return build


def open_room(
    service: Service, desk: Desk, policy: Policy, name: str, run_id: str, forced: str | None = None
) -> Room:
    """For a run of the group. ``forced``: that provider, whatever the policy prefers. RefusedError
    for one that the policy forbids, or whose copies are not what it demands."""
    group = policy.group[name]
    chosen = forced or choose(service, policy, name, desk.reporter)
    if chosen not in PROVIDERS:
        raise InvalidError(f"no provider {chosen!r}", hint=f"there are {', '.join(PROVIDERS)}")
    if chosen in group.provider.forbid:
        raise RefusedError(f"provider {chosen} is forbidden by the policy", hint=_ASK)
    build = builder(service)
    sources = tuple(_source(service, policy, volume, chosen) for volume in group.volumes)
    provider = build(chosen, policy.provider.get(chosen, {}))
    _require_demands(provider, sources, wish_of(group))
    return Room(
        name,
        sources,
        provider,
        build,
        service,
        desk,
        CatalogJournal(desk.catalog, run_id),
        group.provider.options,
        policy.provider,
    )


def _require_demands(provider: Provider, sources: Sequence[Source], wish: Wish) -> None:
    """What the chooser refuses must not come in by a name that is given beforehand."""
    if not (wish.survive_source_loss or wish.delta_resync or wish.off_host or len(sources) > 1):
        return  # nothing to be asked of the product
    if reason := unmet(provider.capability(sources), wish, len(sources)):
        raise RefusedError(f"provider {provider.name} cannot be taken: {reason}", hint=_ASK)


def _all_native(service: Service, policy: Policy, name: str) -> bool:
    there = service.list_volumes().volumes
    return all(one in there for one in policy.group[name].volumes)


def choose(service: Service, policy: Policy, name: str, reporter: Reporter) -> str:
    """The chooser's. RefusedError, with every reason, when nobody can."""
    part = policy.group[name].provider
    if (
        part.prefer[:1] == (NATIVE,)
        and NATIVE not in part.forbid
        and _all_native(service, policy, name)
    ):  # it meets every demand: nothing need be asked of the others
        return NATIVE
    found = choose_group(service, policy, name).choice
    if found.provider is not None:
        for one in found.refused:
            if one.provider in part.prefer and part.prefer.index(one.provider) == 0:
                reporter.note(
                    f"{name}: provider {one.provider} is preferred and cannot be taken: "
                    f"{one.reason}; {found.provider} is"
                )
        return found.provider
    reasons = "; ".join(f"{one.provider}: {one.reason}" for one in found.refused)
    raise RefusedError(
        f"{found.why}: {reasons}",
        hint="see: exshadow provider choose FILE, or name one: --provider",
    )


def _source(service: Service, policy: Policy, volume: str, provider: str) -> Source:
    """Where a volume is: the native engine knows its own, others by their table."""
    if provider == NATIVE:
        record = service.show_volume(volume)
        authority = next((plex.path for plex in record.plexes if plex.authority), "")
        return Source(volume, authority, record.size)
    part = policy.volume.get(volume)
    if part is None:
        raise InvalidError(
            f"the policy does not say where volume {volume} is",
            hint=f'add a table [volume.{volume}] with path = "..."',
        )
    return Source(volume, part.path, part.size or length_of(part.path))


def room_of_set(service: Service, desk: Desk, one: SetRecord, run_id: str) -> Room:
    """For one set, without the policy: by its split in the journal, and the settings kept with it.
    NotFoundError when these are lost."""
    journal = CatalogJournal(desk.catalog, run_id)
    entry = journal.split_of(one.id)
    if entry is None:
        raise NotFoundError(
            f"nothing tells how set {one.group}@{one.label} was made",
            hint="the catalog it was recorded in has it: exshadow catalog import FILE",
        )
    settings = _settings(desk, one)
    build = builder(service)
    action = entry.action
    return Room(
        one.group,
        action.volumes,
        build(one.provider, settings),
        build,
        service,
        desk,
        journal,
        action.options,
        {one.provider: settings},
    )


def room_of_entry(service: Service, desk: Desk, entry: Entry, run_id: str) -> Room:
    """For what one entry of the journal left, without a policy: as it was begun."""
    settings = entry.settings or {}
    build = builder(service)
    return Room(
        entry.action.group,
        entry.action.volumes,
        build(entry.provider, settings),
        build,
        service,
        desk,
        CatalogJournal(desk.catalog, run_id),
        entry.action.options,
        {entry.provider: settings},
    )


def _settings(desk: Desk, one: SetRecord) -> dict[str, str]:
    """From the catalog, else from the second copy; none for what needs none."""
    try:
        kept = {found.name: found.content for found in documents(desk.catalog, one.id)}
        content = kept.get(SETTINGS)
    except Error as problem:
        desk.reporter.note(f"{problem}; its other copy is taken")
        content = None
    if content is None:
        file = desk.folder.path / "documents" / one.id / SETTINGS
        content = file.read_bytes() if file.exists() else b"{}"
    found: dict[str, str] = json.loads(content)
    return found
