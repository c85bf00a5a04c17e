"""Writers by name: a built-in one (``sqlite``), ``module:Class``, or the name of an entry point
``exshadow.vss.writers``.

A package offers one in its pyproject.toml:

    [project.entry-points."exshadow.vss.writers"]
    ledger = "ledger.shadow:LedgerWriter"
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

from exshadow.errors import InvalidError, NotFoundError
from exshadow.names import meant
from exshadow.vss.writer import Writer, options_of

GROUP = "exshadow.vss.writers"
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
                f"'{part}' in writer '{text}' is no argument",
                hint="give them as module:Class?name=value&name=value",
            )
        arguments[name] = value
    return WriterSpec(place, arguments)


def make_writer(spec: WriterSpec) -> Writer:
    """The writer, made anew. NotFoundError: no such module, class or entry point; InvalidError: it
    is no Writer, does not take the arguments, or does not say who it is."""
    found = _class_of(spec.place)
    if not (isinstance(found, type) and issubclass(found, Writer)):
        raise InvalidError(f"'{spec.place}' is no subclass of exshadow.vss.Writer")
    try:
        writer = found(**spec.arguments)
        options_of(writer)
    except (TypeError, ValueError) as problem:
        raise InvalidError(f"writer '{spec.place}': {problem}") from problem
    return writer


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
