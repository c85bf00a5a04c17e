"""The base of the enumerations: integers with Microsoft's values and our words."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Self, TypeVar

from exshadow.errors import InvalidError


class Word(IntEnum):
    """One value. A number that no list has, from a newer Windows, is kept as a value without a
    name of its own."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int):
            return None
        unknown = int.__new__(cls, value)
        unknown._name_ = f"UNKNOWN_{value}"
        unknown._value_ = value
        return unknown

    @property
    def word(self) -> str:
        """Our word for it, as the command line and JSON have it: ``failed_at_freeze``."""
        return self.name.lower()


E = TypeVar("E", bound=IntEnum)
F = TypeVar("F", bound=IntFlag)


def _people(kind: type) -> str:
    """What one value of it is, for people: "backup type", "break flag"."""
    words = "".join(f" {one.lower()}" if one.isupper() else one for one in kind.__name__)
    return words.strip().removesuffix("s" if issubclass(kind, IntFlag) else "")


def from_word(kind: type[E], text: str) -> E:
    """The value of one of our words; InvalidError names the words there are."""
    try:
        return kind[text.upper().replace("-", "_")]
    except KeyError:
        known = ", ".join(name.lower() for name in kind.__members__)
        raise InvalidError(f"'{text}' is no {_people(kind)}", hint=f"use one of: {known}") from None


def flag_words(flags: IntFlag) -> str:
    """Our words for single flags joined by ``+``; ``none`` for no flag."""
    names = []
    rest = int(flags)
    for one in type(flags):  # single bits only: sums of them are aliases
        if one and rest & one:
            names.append((one.name or "").lower())
            rest &= ~int(one)
    if rest:
        names.append(str(rest))
    return "+".join(names) or "none"


def flags_from_words(kind: type[F], text: str) -> F:
    """The flags of words joined by ``+``; InvalidError names the words there are."""
    flags = kind(0)
    for part in text.split("+"):
        if part in ("", "none"):
            continue
        name = part.upper().replace("-", "_")
        if name not in kind.__members__:
            known = ", ".join(one.lower() for one in kind.__members__)
            raise InvalidError(f"'{part}' is no {_people(kind)}", hint=f"use some of: {known}")
        flags |= kind[name]
    return flags
