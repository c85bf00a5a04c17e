"""Values as what JSON and the native module know: dictionaries, lists, text, numbers.

Records become dictionaries of their fields, UUIDs text, enumerations their numbers. The types of a
record's fields say how to come back; enumerations may come as our words, too.
"""

from __future__ import annotations

import dataclasses
from enum import IntEnum, IntFlag
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints
from uuid import UUID

from exshadow.vss.tables import HResult
from exshadow.vss.words import Word, flag_words, flags_from_words, from_word

T = TypeVar("T")

Plain = Any  # None, bool, int, str, list of Plain, dict of str to Plain


def to_plain(value: object) -> Plain:
    """The value without types."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_plain(getattr(value, name)) for name in _fields(type(value))}
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, IntEnum | IntFlag):
        return int(value)
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    return value


def to_json(value: object) -> Plain:
    """The same for people and programs: enumerations as our words."""
    if isinstance(value, IntFlag):
        return flag_words(value)
    if isinstance(value, HResult):
        return value.name
    if isinstance(value, Word):
        return value.word
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_json(getattr(value, name)) for name in _fields(type(value))}
    if isinstance(value, list | tuple):
        return [to_json(one) for one in value]
    return to_plain(value)


def from_plain(kind: type[T], plain: Plain) -> T:
    """The typed value. Fields that a record does not know are left out: a newer tool may say more.

    ValueError or TypeError when the shape is another.
    """
    return cast(T, _convert(kind, plain))


@cache
def _fields(record: type) -> dict[str, Any]:
    hints = get_type_hints(record)
    return {one.name: hints[one.name] for one in dataclasses.fields(record)}


def _convert(kind: Any, plain: Plain) -> Any:
    origin = get_origin(kind)
    if origin is list:
        (item,) = get_args(kind)
        return [_convert(item, one) for one in plain]
    if origin is tuple:
        return tuple(_convert(k, one) for k, one in zip(get_args(kind), plain, strict=True))
    if origin in (Union, UnionType):
        if plain is None:
            return None
        (item,) = (one for one in get_args(kind) if one is not NoneType)
        return _convert(item, plain)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        known = _fields(kind)
        return kind(**{k: _convert(known[k], v) for k, v in plain.items() if k in known})
    return _convert_leaf(kind, plain)


def _convert_leaf(kind: Any, plain: Plain) -> Any:
    if kind is UUID:
        return UUID(plain)
    if isinstance(kind, type) and issubclass(kind, IntFlag):
        return flags_from_words(kind, plain) if isinstance(plain, str) else kind(plain)
    if isinstance(kind, type) and issubclass(kind, IntEnum):
        return from_word(kind, plain) if isinstance(plain, str) else kind(plain)
    if isinstance(kind, type) and kind is not NoneType and not isinstance(plain, kind):
        raise TypeError(f"{plain!r} is no {kind.__name__}")
    return plain
