"""Gathers what the chooser needs: only from the products' own commands, sysfs, and PowerShell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exshadow.commands import CommandRunner
from exshadow.errors import Error, UnsupportedError
from exshadow.providers.contract import MirrorState, Provider, Source
from exshadow.providers.disks import is_windows_name, linux_stack, windows_stack
from exshadow.providers.facts import (
    ArrayFacts,
    CopyKind,
    Facts,
    StackKind,
    VolumeStack,
    VssProviderFacts,
)

if TYPE_CHECKING:
    from exshadow.providers.sfw.provider import SfwProvider

Settings = Mapping[str, Mapping[str, str]]
"""By provider: its table of the policy."""


@dataclass(slots=True)
class Survey:
    """What was found, and what could not be asked: the reason by provider."""

    sfw: SfwProvider | None = None
    arrays: tuple[ArrayFacts, ...] = ()
    sssu: bool = False
    vss: list[VssProviderFacts] = field(default_factory=list)
    made: dict[str, int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mine:
    """Whose mirrors count as there already. ``labels``: those of its policy; none: every one."""

    group: str
    sources: Sequence[Source]
    labels: Sequence[str] = ()


def gather(
    sources: Sequence[Source],
    native: Mapping[str, int],
    settings: Settings,
    group: str = "",
    labels: Sequence[str] = (),
) -> tuple[Facts, Mapping[str, str]]:
    """``native``: sizes of the engine's volumes by name; ``group``: whose mirrors with these
    ``labels`` count as made already. The facts, and by provider why it could not be asked; such a
    product counts as absent."""
    found = survey(settings, Mine(group, sources, labels) if group else None)
    stacks = tuple(_stack(one, native, found, settings) for one in sources)
    windows = frozenset(
        one.name for one in sources if is_windows_name(one.path) and one.name not in native
    )
    facts = Facts(
        stacks,
        native=True,
        sfw_tools=found.sfw is not None,
        arrays=found.arrays,
        sssu=found.sssu,
        vss=tuple(_supporting(one, windows) for one in found.vss),
        made=found.made,
    )
    return facts, found.problems


def survey(settings: Settings, mine: Mine | None = None) -> Survey:
    """Every product that is here, asked once; also for the mirrors of a group."""
    found = Survey()
    for name, look in (("sfw", _look_sfw), ("eva", _look_eva), ("vss", _look_vss)):
        try:
            look(found, settings.get(name, {}), mine)
        except Error as problem:
            found.problems[name] = problem.message
    return found


def _look_sfw(found: Survey, settings: Mapping[str, str], mine: Mine | None) -> None:
    from exshadow.providers.sfw.provider import build
    from exshadow.providers.sfw.settings import PROGRAMS

    named = {name: settings[name] for name in PROGRAMS if settings.get(name)}
    commands = CommandRunner(programs=named)
    missing = [name for name in ("vxassist", "vxsnap", "vxdg") if commands.find(name) is None]
    if missing:
        raise UnsupportedError(f"{', '.join(missing)} not found")
    found.sfw = build(settings)
    _count(found, found.sfw, mine)


def _look_eva(found: Survey, settings: Mapping[str, str], mine: Mine | None) -> None:
    from exshadow.providers.eva import build

    if CommandRunner(programs=_named(settings, "sssu")).find("sssu") is None:
        raise UnsupportedError("sssu not found")
    found.sssu = True
    provider = build(settings)
    try:
        found.arrays = (provider.facts(),)
        _count(found, provider, mine)
    finally:
        provider.close()


def _look_vss(found: Survey, settings: Mapping[str, str], mine: Mine | None) -> None:
    from exshadow.providers.vss.provider import build
    from exshadow.providers.vss.settings import Kind, parse

    wanted = parse(settings)
    kind = CopyKind.PLEX if wanted.kind is Kind.PLEX else CopyKind.DIFFERENTIAL
    for one in build(settings).providers():
        # Which volumes a provider takes is known when it is asked for them: the one that the
        # settings name is the administrator's word, the in-box one takes what has a letter.
        named = wanted.provider.lower() in (one.name.lower(), str(one.provider_id))
        if named or (not wanted.provider and one.is_system):
            found.vss.append(VssProviderFacts(str(one.provider_id), one.name, kind))


def _count(found: Survey, provider: Provider, mine: Mine | None) -> None:
    """The group's mirrors that are there. None where its volumes are not this product's."""
    if mine is None:
        return
    with suppress(Error):
        found.made[provider.name] = sum(
            one.state is not MirrorState.NONE and (not mine.labels or one.label in mine.labels)
            for one in provider.mirrors(mine.group, mine.sources)
        )


def _named(settings: Mapping[str, str], program: str) -> dict[str, str]:
    return {program: settings[program]} if settings.get(program) else {}


def _supporting(one: VssProviderFacts, volumes: frozenset[str]) -> VssProviderFacts:
    return VssProviderFacts(one.id, one.name, one.kind, one.transportable, volumes)


def _stack(
    source: Source, native: Mapping[str, int], found: Survey, settings: Settings
) -> VolumeStack:
    if source.name in native:
        return VolumeStack(source.name, StackKind.EXSHADOW, native[source.name])
    if (one := _sfw_stack(source, found)) is not None:
        return one
    if not is_windows_name(source.path):
        eva = settings.get("eva", {})
        return linux_stack(source, eva.get("sysfs") or "/sys", eva.get("devices") or "/dev")
    commands = CommandRunner(programs=_named(settings.get("eva", {}), "powershell"))
    try:
        return windows_stack(source, commands)
    except Error as problem:
        found.problems.setdefault("disks", f"{source.path}: {problem.message}")
        return VolumeStack(source.name, StackKind.OTHER, source.size)


def _sfw_stack(source: Source, found: Survey) -> VolumeStack | None:
    from exshadow.providers.sfw.facts import stack

    if found.sfw is None:
        return None
    try:
        return stack(found.sfw.ground, source)
    except Error as problem:
        found.problems.setdefault("sfw", problem.message)
        return None
