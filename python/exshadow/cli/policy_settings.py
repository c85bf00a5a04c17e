"""What is wrong with the settings of a policy's providers: nothing is made, no product is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exshadow.errors import Error
from exshadow.policy.lines import both

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic import BaseModel

    from exshadow.policy.model import Group, Policy

_OF_NATIVE = ("mirror-path",)

Fault = tuple[str, str]
"""The key, empty for the whole table; what is wrong with it."""


def setting_faults(name: str, plain: Mapping[str, str]) -> Iterator[Fault]:
    """Keys that nobody knows, values that cannot be, files and programs that others could change.
    A program that is not here is no fault: the policy may be for another host."""
    known = {"native": _native, "sfw": _sfw, "eva": _eva, "vss": _vss}[name]
    yield from known(plain)


def known_settings() -> dict[str, list[str]]:
    """By provider the keys that its table may have."""
    from exshadow.providers.eva.settings import EvaSettings
    from exshadow.providers.sfw.settings import KNOWN
    from exshadow.providers.vss.settings import VssSettings

    return {
        "native": list(_OF_NATIVE),
        "sfw": sorted(KNOWN),
        "eva": list(EvaSettings.model_fields),
        "vss": list(VssSettings.model_fields),
    }


OPTIONS = (
    "mirror-path",
    "live",
    "restore",
    "keep-set",
    "log-volumes",
    "writer",
    "component",
    "subcomponent",
    "backup-type",
    "eseutil",
)
"""What a group's ``provider.options`` may say to any of the providers."""


def option_faults(group: Group) -> Iterator[Fault]:
    """Options that no provider knows, and patterns by which two mirrors would be one file."""
    options = group.provider.options
    yield from _unknown(options, OPTIONS)
    pattern = options.get("mirror-path", "")
    if said := _pattern_fault(pattern, len(group.volumes), len(group.mirrors)):
        yield "mirror-path", said


def _pattern_fault(pattern: str, volumes: int, mirrors: int) -> str:
    """What is wrong with a ``mirror-path`` for so many volumes and mirrors; empty when nothing."""
    from string import Formatter

    from exshadow.names import meant

    words = ("volume", "mirror", "group")
    try:
        there = [name for _, name, _, _ in Formatter().parse(pattern) if name is not None]
    except ValueError as problem:
        return f"{pattern!r} is no pattern: {problem}"
    for name in there:
        if name not in words:
            known = "it may hold {volume}, {mirror} and {group}"
            return f"unknown placeholder {{{name}}}{meant(name, words) or f'; {known}'}"
    for name, many in (("volume", volumes), ("mirror", mirrors)):
        if pattern and many > 1 and name not in there:
            return f"without {{{name}}} the mirrors of {many} {name}s would be one file"
    return ""


def unreachable(policy: Policy) -> list[str]:
    """Groups whose retention wants more sets than there are mirrors to hold them."""
    found = []
    for name, group in policy.group.items():
        wanted = group.keep.rules().most
        if wanted is not None and group.mirrors and wanted > len(group.mirrors):
            found.append(
                f"group {name}: keep wants up to {wanted} sets, and {len(group.mirrors)} mirrors "
                f"hold {len(group.mirrors)}: older ones give their mirror up sooner"
            )
    return found


def _native(plain: Mapping[str, str]) -> Iterator[Fault]:
    yield from _unknown(plain, _OF_NATIVE)


def _sfw(plain: Mapping[str, str]) -> Iterator[Fault]:
    from exshadow.providers.sfw.settings import KNOWN, PROGRAMS, read

    yield from _unknown(plain, sorted(KNOWN))
    try:
        mine = read({key: one for key, one in plain.items() if key in KNOWN})
    except Error as problem:
        yield "", both(problem)
        return
    yield from _commands("sfw", mine.version, mine.commands)
    yield from _programs(plain, PROGRAMS)


def _eva(plain: Mapping[str, str]) -> Iterator[Fault]:
    from pathlib import Path

    from exshadow.providers.eva.settings import EvaSettings

    yield from _modelled(EvaSettings, plain)
    overlay = Path(plain["commands"]) if plain.get("commands") else None
    version = plain.get("version", EvaSettings.model_fields["version"].default)
    yield from _commands("eva", version, overlay)
    yield from _programs(plain, ("sssu",))


def _vss(plain: Mapping[str, str]) -> Iterator[Fault]:
    from pathlib import Path

    from exshadow.commands import require_private_file
    from exshadow.providers.vss.settings import PROGRAMS, VssSettings

    yield from _modelled(VssSettings, plain)
    yield from _programs(plain, PROGRAMS)
    if plain.get("tool") and Path(plain["tool"]).is_file():
        try:
            require_private_file(plain["tool"])
        except Error as problem:
            yield "tool", both(problem)


def _unknown(plain: Mapping[str, str], known: tuple[str, ...] | list[str]) -> Iterator[Fault]:
    from exshadow.names import meant

    for key in sorted(plain.keys() - set(known)):
        yield key, f"unknown key{meant(key, known)}"


def _modelled(model: type[BaseModel], plain: Mapping[str, str]) -> Iterator[Fault]:
    from pydantic import ValidationError

    from exshadow.policy.lines import told

    try:
        model.model_validate(dict(plain))
    except ValidationError as problem:
        for fault in problem.errors():
            yield ".".join(str(part) for part in fault["loc"]), told(fault, model)


def _commands(product: str, version: str, overlay: Path | None) -> Iterator[Fault]:
    """The data file, and the administrator's own laid over it."""
    from exshadow.providers.templates import load

    try:
        load(product, version)
    except Error as problem:
        yield "version", both(problem)
        return
    try:
        load(product, version, overlay)
    except Error as problem:
        yield "commands", both(problem)


def _programs(plain: Mapping[str, str], names: tuple[str, ...]) -> Iterator[Fault]:
    from exshadow.commands import CommandRunner

    for name in names:
        try:
            CommandRunner(programs={name: plain.get(name, "")}).check(name)
        except Error as problem:
            yield name, both(problem)
