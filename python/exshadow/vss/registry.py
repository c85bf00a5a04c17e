"""Writers by name: a built-in one (``sqlite``), ``module:Class``, or the name of an entry point
``exshadow.vss.writers``.

A package offers one in its pyproject.toml:

    [project.entry-points."exshadow.vss.writers"]
    ledger = "ledger.shadow:LedgerWriter"
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

from exshadow.errors import Error, InvalidError, NotFoundError
from exshadow.names import close_match, meant
from exshadow.vss.writer import Writer, options_of

GROUP = "exshadow.vss.writers"
_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
BUILT_IN: Final = {
    "ese-folder": "exshadow.writers.ese_folder:EseFolderWriter",
    "filesystem": "exshadow.writers.filesystem:FilesystemWriter",
    "guest-agent": "exshadow.writers.guest_agent:GuestAgentWriter",
    "mariadb": "exshadow.writers.mariadb:MariaDbWriter",
    "mysql": "exshadow.writers.mariadb:MariaDbWriter",
    "postgresql": "exshadow.writers.postgresql:PostgresqlWriter",
    "script": "exshadow.writers.script:ScriptWriter",
    "sqlite": "exshadow.writers.sqlite:SqliteWriter",
}
"""Names of writers that come with exshadow; their modules are loaded when they are asked for."""


@dataclass(frozen=True, slots=True)
class WriterSpec:
    """A writer that any process can make: where its class is and what it is made with (values that
    JSON can hold)."""

    place: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def spec_of(text: str) -> WriterSpec:
    """``PLACE`` or ``PLACE?name=value&name=value``: arguments of the class, as text."""
    place, _, options = text.partition("?")
    arguments = {}
    for part in filter(None, options.split("&")):
        name, equals, value = part.partition("=")
        if not equals or not name:
            raise InvalidError(
                f"'{part}' in writer '{text}' is no option",
                hint=f"write {place}?name=value&name=value",
            )
        if name in arguments:
            raise InvalidError(
                f"writer '{text}' has the option '{name}' twice", hint="give every option once"
            )
        arguments[name] = value
    return WriterSpec(place, arguments)


def make_writer(spec: WriterSpec) -> Writer:
    """The writer, made anew. NotFoundError: no such module, class or entry point; InvalidError: it
    is no Writer, does not take the arguments, or does not say who it is."""
    found = _class_of(spec.place)
    if not (isinstance(found, type) and issubclass(found, Writer)):
        raise InvalidError(
            f"'{spec.place}' is no subclass of exshadow.vss.Writer",
            hint="name a class that is one, or a writer that comes with exshadow: "
            f"{', '.join(sorted(BUILT_IN))}",
        )
    _require_options(spec, found)
    try:
        writer = found(**spec.arguments)
        options_of(writer)
    except Error:
        raise
    except (TypeError, ValueError) as problem:
        raise InvalidError(
            f"writer '{spec.place}': {problem}", hint=f"its options: {_offered(found) or 'none'}"
        ) from problem
    return writer


def _require_options(spec: WriterSpec, kind: type[Writer]) -> None:
    """InvalidError for options that the class does not take, or that it needs and were not given;
    a class whose signature cannot be read is left to speak for itself."""
    try:
        taken = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):
        return
    names = [one.name for one in taken if one.kind in _BY_NAME]
    unknown = [name for name in spec.arguments if name not in names]
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken)
    if unknown and not open_ended:
        wrong = " and ".join(f"'{name}'" for name in unknown)
        raise InvalidError(
            f"writer {spec.place} has no option {wrong}",
            hint=close_match(unknown[0], names) + f"it has: {_offered(kind) or 'none'}",
        )
    lacking = [
        one.name
        for one in taken
        if one.kind in _BY_NAME and one.default is one.empty and one.name not in spec.arguments
    ]
    if lacking:
        first = "&".join(f"{name}=..." for name in lacking)
        raise InvalidError(
            f"writer {spec.place} needs {' and '.join(lacking)}",
            hint=f"give it as {spec.place}?{first}; it has: {_offered(kind)}",
        )


def _offered(kind: type[Writer]) -> str:
    try:
        taken = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):
        return ""
    return ", ".join(one.name for one in taken if one.kind in _BY_NAME)


def remark_of(spec: WriterSpec) -> str:
    """What must be known of a writer before a set is made with it; "" for most."""
    remark = getattr(_class_of(spec.place), "remark", "")
    return remark if isinstance(remark, str) else ""


def _class_of(place: str) -> object:
    place = BUILT_IN.get(place, place)
    module, colon, name = place.partition(":")
    if not colon:
        for one in entry_points(group=GROUP):
            if one.name == place:
                found: object = one.load()
                return found
        names = {*BUILT_IN, *(one.name for one in entry_points(group=GROUP))}
        known = ", ".join(sorted(names))
        raise NotFoundError(
            f"there is no writer '{place}'{meant(place, names)}",
            hint=f"there are: {known}; or name a class: module:Class",
        )
    try:
        found = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as problem:
        raise NotFoundError(
            f"there is no writer '{place}': {problem}",
            hint="see that the module can be imported: PYTHONPATH",
        ) from problem
    return found


def place_of(kind: type[Writer]) -> str:
    """``module:Class`` of a class that another process can import, too."""
    place = f"{kind.__module__}:{kind.__qualname__}"
    if kind.__module__ == "__main__" or "<" in kind.__qualname__:
        raise InvalidError(
            f"another process cannot import {place}", hint="put the class into a module of its own"
        )
    if kind.__module__ not in sys.modules:
        raise InvalidError(f"another process cannot import {place}")
    return place
