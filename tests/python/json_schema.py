"""The words of JSON Schema that a policy's schema uses, judged as editors do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
}
_SILENT = {"$schema", "$defs", "description", "default", "title", "propertyNames"}


def faults(value: Any, schema: Any, root: Any = None, place: str = "") -> Iterator[str]:
    """What the schema has against the value, with its place. KeyError for a word that is not
    judged here."""
    root = schema if root is None else root
    for word, said in schema.items():
        if word not in _SILENT:
            yield from _JUDGES[word](value, said, schema, root, place)
    if isinstance(value, dict):
        for key in value:
            for one in faults(key, schema.get("propertyNames", {}), root):
                yield f"{place}: key {key}{one}"


def _type(value: Any, said: str, schema: Any, root: Any, place: str) -> Iterator[str]:
    if not _TYPES[said](value):
        yield f"{place}: no {said}"


def _ref(value: Any, said: str, schema: Any, root: Any, place: str) -> Iterator[str]:
    yield from faults(value, root["$defs"][said.removeprefix("#/$defs/")], root, place)


def _any_of(value: Any, said: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    if all(list(faults(value, one, root, place)) for one in said):
        yield f"{place}: none of several"


def _properties(value: Any, said: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    for key in said.keys() & value.keys() if isinstance(value, dict) else ():
        yield from faults(value[key], said[key], root, f"{place}.{key}")


def _others(value: Any, said: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    others = value.keys() - schema.get("properties", {}).keys() if isinstance(value, dict) else ()
    for key in others:
        if said is False:
            yield f"{place}.{key}: unknown key"
        elif said is not True:
            yield from faults(value[key], said, root, f"{place}.{key}")


def _items(value: Any, said: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
    for number, one in enumerate(value if isinstance(value, list) else ()):
        yield from faults(one, said, root, f"{place}[{number}]")


def _plain(holds: Callable[[Any, Any], bool]) -> Callable[..., Iterator[str]]:
    def judge(value: Any, said: Any, schema: Any, root: Any, place: str) -> Iterator[str]:
        if not holds(value, said):
            yield f"{place}: {value!r} against {said!r}"

    return judge


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_JUDGES: dict[str, Callable[..., Iterator[str]]] = {
    "type": _type,
    "$ref": _ref,
    "anyOf": _any_of,
    "properties": _properties,
    "additionalProperties": _others,
    "items": _items,
    "required": _plain(lambda value, said: not isinstance(value, dict) or set(said) <= set(value)),
    "enum": _plain(lambda value, said: value in said),
    "const": _plain(lambda value, said: value == said),
    "pattern": _plain(lambda value, said: not isinstance(value, str) or bool(
        re.search(said, value))),
    "minimum": _plain(lambda value, said: not _is_number(value) or value >= said),
    "maximum": _plain(lambda value, said: not _is_number(value) or value <= said),
    "minLength": _plain(lambda value, said: not isinstance(value, str) or len(value) >= said),
    "minItems": _plain(lambda value, said: not isinstance(value, list) or len(value) >= said),
    "maxItems": _plain(lambda value, said: not isinstance(value, list) or len(value) <= said),
    "minProperties": _plain(lambda value, said: not isinstance(value, dict) or len(value) >= said),
    "uniqueItems": _plain(lambda value, said: not isinstance(value, list)
                          or len({repr(one) for one in value}) == len(value)),
}  # fmt: skip
