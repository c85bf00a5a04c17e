"""Where the parts of a policy file stand, and what its faults are called for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel

from exshadow.errors import Error
from exshadow.names import meant

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_WORDS = {
    "Extra inputs are not permitted": "unknown key",
    "Field required": "must be given",
    "Input should be a valid tuple": "write a list: [...]",
    "Input should be a valid frozenset": "write a list: [...]",
    "Input should be a valid string": "write a text in quotes",
    "Input should be a valid boolean": "write true or false",
}
"""What the library says of a value, as the file's readers understand it."""
_KINDS = {
    "model_type": "write a table: { ... }",
    "dict_type": "write a table: { ... }",
    "mapping_type": "write a table: { ... }",
    "string_too_short": "must not be empty",
    "too_short": "must name at least one",
}
"""The same by the kind of fault."""
Place = tuple[int | str, ...]


class Lines:
    """Which line of a TOML text a value stands on; the nearest table that encloses it otherwise."""

    _HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
    _KEY = re.compile(r"\s*([A-Za-z0-9_.\-\"' ]+?)\s*=")

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        many: dict[tuple[str, ...], int] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if header := self._HEADER.match(line):
                table = self._parts(header[1])
                if line.lstrip().startswith("[["):  # one more of a list
                    count = many[table] = many.get(table, -1) + 1
                    table = (*table, str(count))
                for end in range(1, len(table) + 1):
                    self._found.setdefault(table[:end], number)
            elif key := self._KEY.match(line):
                parts = (*table, *self._parts(key[1]))
                for end in range(len(table) + 1, len(parts) + 1):
                    self._found.setdefault(parts[:end], number)

    @staticmethod
    def _parts(text: str) -> tuple[str, ...]:
        return tuple(part.strip().strip("\"'") for part in text.split("."))

    def of(self, place: Sequence[int | str]) -> int:
        """The line, from 1; 1 when nothing of the place is written there (a default)."""
        return self._found.get(self._nearest(place), 1)

    def depth(self, place: Sequence[int | str]) -> int:
        """How many parts of the place are written there."""
        return len(self._nearest(place))

    def _nearest(self, place: Sequence[int | str]) -> tuple[str, ...]:
        names = tuple(str(part) for part in place)
        ends = range(len(names), 0, -1)
        return next((names[:end] for end in ends if names[:end] in self._found), ())


@dataclass(slots=True)
class Faults:
    """Faults of a file by line. ``parents``: by group the templates that lie under it, nearest
    first."""

    name: str
    lines: Lines
    parents: Mapping[str, Sequence[str]] = field(default_factory=dict)
    _found: dict[tuple[int, str], None] = field(default_factory=dict)

    def add(self, place: Place, text: str) -> None:
        """One, where it is written: what many groups inherit is told once."""
        place = self._written(place)
        dotted = ".".join(str(part) for part in place if part != "[key]")
        self._found[(self.lines.of(place), f"{dotted}: {text}")] = None

    def say(self, place: Place, text: str) -> None:
        """One that tells by itself what it is of."""
        self._found[(self.lines.of(place), text)] = None

    def __bool__(self) -> bool:
        return bool(self._found)

    def __str__(self) -> str:
        return "\n".join(f"{self.name}:{line}: {text}" for line, text in sorted(self._found))

    def _written(self, place: Place) -> Place:
        """The place itself, or the one in a template or the defaults that says the same part."""
        if len(place) < 3 or place[0] != "group":
            return place
        rest = place[2:]
        places = [place, *(("template", one, *rest) for one in self.parents.get(str(place[1]), ()))]
        places.append(("defaults", *rest))
        said = [self.lines.depth(one) - (len(one) - len(rest)) for one in places]
        best = max(said)
        return places[said.index(best)] if best > 0 else place


def both(problem: Error) -> str:
    """What was found and what to do, in one line."""
    return f"{problem.message}; {problem.hint}" if problem.hint else problem.message


def told(fault: ErrorDetails, root: type[BaseModel]) -> str:
    """What the library found, in this file's words; for an unknown key also which may be meant."""
    text = _KINDS.get(fault["type"]) or _WORDS.get(fault["msg"], "")
    text = text or fault["msg"].removeprefix("Value error, ").replace("Tuple should", "it should")
    if fault["type"] == "extra_forbidden":
        *table, key = fault["loc"]
        text += meant(str(key), _keys(root, table))
    return text


def _keys(root: type[BaseModel], table: Iterable[int | str]) -> list[str]:
    """The keys that a table of the file may have."""
    model = root
    inside = False  # a list or a table of tables: the next part is an index or a name
    for part in table:
        if inside:
            inside = False
            continue
        known = {one.alias or name: one.annotation for name, one in model.model_fields.items()}
        nested = _model_in(known.get(str(part)))
        if nested is None:
            return []
        model, inside = nested
    return [one.alias or name for name, one in model.model_fields.items()]


def _model_in(annotation: Any) -> tuple[type[BaseModel], bool] | None:
    """The model that a key holds, and whether it holds many of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    many = get_origin(annotation) in (tuple, Mapping)
    for one in get_args(annotation):
        if found := _model_in(one):
            return found[0], many or found[1]
    return None
