"""A product's commands and the patterns of its answers: data of its version, not code.

A file of data (``data/sfw-7.3.toml``) has tables of these kinds:

    product = "sfw"
    version = "7.3"
    extends = "7.1"                    # optional: only what differs is said here
    forbidden = '[\\s"/]'              # signs that no value may have (a regular expression)

    [command.snapclear]
    text = "vxassist [-g{group}] snapclear {volume}"
    sure = "unconfirmed"               # confirmed | sibling | unconfirmed
    source = "where the text was read"
    limit = 600                        # seconds, after which the program is ended
    free = ["xml"]                     # values that may have any sign
    each.sources = "source={path}/Newvol={newvol}[/Plex={plex}]"

    [pattern.plex]
    regex = '^ *Plex *: (?P<plex>\\S+)'
    sure = "unconfirmed"
    source = "..."

    [bound.snapshots_xcs]              # how many copies a source may have, by model of the array
    models = 'HSV2[01]0'               # a regular expression, the whole of the model's name
    most = 16
    total_tb = 15.0                    # all copies of a source together (TB of 2^40 bytes)
    sizes = [[0.94, 16], [2.0, 7]]     # so many of a source up to so many TB
    sure = "confirmed"
    source = "..."

    [meaning.plex-state]
    words = { SNAPDONE = "ready" }     # the product's word (any case), ours
    sure = "sibling"
    source = "..."

In a text ``{name}`` is a value, ``[...]`` falls away when a value in it is empty, ``{name...}``
stands for one word each of a list, made by ``each.name``. The first word is the program.

An administrator lays a file of the same form over it (setting ``commands``); it may only say
entries that exist, only with their values and groups, and with every value that does not stand in
brackets there. Whoever gives commands reads the state
back after every one; ``sure`` tells people how far to trust the text.
"""

from __future__ import annotations

import enum
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from exshadow.commands import require_private_file
from exshadow.errors import Error, InvalidError, from_system

_VALUE = re.compile(r"\{(\w+)\}")
_LIST = re.compile(r"\{(\w+)\.\.\.\}")
_PART = re.compile(r"\[([^\[\]]*)\]")
_TB = 1 << 40
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Value = str | Sequence[Mapping[str, str]]


class Sure(enum.StrEnum):
    """How sure a text is; only the first was read in the product's own words."""

    CONFIRMED = "confirmed"
    SIBLING = "sibling"  # read about a product of the same family
    UNCONFIRMED = "unconfirmed"  # remembered or deduced


def _regular(value: str) -> str:
    try:
        re.compile(value)
    except re.error as problem:
        raise ValueError(f"no regular expression: {problem}") from None
    return value


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sure: Sure
    source: Annotated[str, Field(min_length=1)] = "the administrator's file"


class Command(_Entry):
    """One command of the product."""

    text: Annotated[str, Field(min_length=1)]
    limit: Annotated[float, Field(gt=0)] = 300.0
    free: frozenset[str] = frozenset()
    each: Mapping[str, str] = {}

    @cached_property
    def values(self) -> frozenset[str]:
        """Names of everything that can be put in."""
        inside = [name for text in self.each.values() for name in _VALUE.findall(text)]
        return frozenset([*_VALUE.findall(self.text), *_LIST.findall(self.text), *inside])

    @cached_property
    def lists(self) -> frozenset[str]:
        """Of these, those that are lists."""
        return frozenset(_LIST.findall(self.text))

    @cached_property
    def needed(self) -> frozenset[str]:
        """Values without which the command is none: outside brackets, in lists as well."""
        texts = [self.text, *(self.each[name] for name in self.lists & self.each.keys())]
        plain = [_PART.sub("", text) for text in texts]
        return frozenset(
            name for text in plain for name in (*_VALUE.findall(text), *_LIST.findall(text))
        )

    @cached_property
    def program(self) -> str:
        """The first word."""
        return self.text.split()[0]


class Pattern(_Entry):
    """How a line of an answer is read. Matches over several lines, any case."""

    regex: str

    @field_validator("regex")
    @classmethod
    def _compiles(cls, value: str) -> str:
        return _regular(value)

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        return re.compile(self.regex, re.MULTILINE | re.IGNORECASE)

    @cached_property
    def groups(self) -> frozenset[str]:
        return frozenset(self.compiled.groupindex)


class Meaning(_Entry):
    """What the product's words mean."""

    words: Mapping[str, str]


class Bound(_Entry):
    """How many copies one source may have on an array of these models. ``sizes``: rows of TB and
    count, for sources up to that size; ``total_tb``: of all its copies together, for larger ones;
    0 where nobody knows."""

    models: str
    most: Annotated[int, Field(ge=1)]
    total_tb: Annotated[float, Field(ge=0)] = 0.0
    sizes: tuple[tuple[float, int], ...] = ()

    @field_validator("models")
    @classmethod
    def _compiles(cls, value: str) -> str:
        return _regular(value)

    def count(self, size: int) -> int:
        """For a source of this many bytes."""
        terabytes = size / _TB
        rows = [count for limit, count in self.sizes if terabytes <= limit]
        if rows or not self.total_tb or not size:
            return min([self.most, max(rows)]) if rows else self.most
        return min(self.most, int(self.total_tb / terabytes))


class Book(BaseModel):
    """All of one version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product: str
    version: str = ""
    forbidden: str = ""
    command: Mapping[str, Command] = {}
    pattern: Mapping[str, Pattern] = {}
    meaning: Mapping[str, Meaning] = {}
    bound: Mapping[str, Bound] = {}

    def bound_of(self, model: str) -> tuple[str, Bound] | None:
        """The first bound for this model of array, with its name; None where nobody knows."""
        for name, one in self.bound.items():
            if re.fullmatch(one.models, model, re.IGNORECASE):
                return name, one
        return None

    def words(self, name: str, values: Mapping[str, Value]) -> list[str]:
        """The command as program and arguments. InvalidError for a value that may not stand."""
        command = self._command(name)
        made: list[str] = []
        for word in _kept(command.text, values).split():
            if found := _LIST.fullmatch(word):
                made += self._listed(name, command, found[1], values)
            else:
                made.append(self._filled(name, command, word, values))
        return made

    def line(self, name: str, values: Mapping[str, Value]) -> str:
        """The command as one line, for products that read lines; the text has the quotes."""
        return " ".join(self.words(name, values))

    def limit(self, name: str) -> float:
        """Seconds that the command may take."""
        return self._command(name).limit

    def sure(self, name: str) -> Sure:
        """How sure the command's text is."""
        return self._command(name).sure

    def find(self, name: str, text: str) -> Iterator[re.Match[str]]:
        """Every match of the pattern."""
        return self._pattern(name).compiled.finditer(text)

    def matches(self, name: str, text: str) -> bool:
        """Whether the pattern is in the text."""
        return self._pattern(name).compiled.search(text) is not None

    def mean(self, name: str, word: str, otherwise: str = "") -> str:
        """Our word for the product's, ``otherwise`` for one that nobody knows."""
        known = self.meaning[name].words
        folded = {key.casefold(): value for key, value in known.items()}
        return folded.get(word.strip().casefold(), otherwise)

    def _command(self, name: str) -> Command:
        if name not in self.command:
            raise Error(f"{self.product} {self.version} has no text for the command '{name}'")
        return self.command[name]

    def _pattern(self, name: str) -> Pattern:
        if name not in self.pattern:
            raise Error(f"{self.product} {self.version} has no pattern '{name}'")
        return self.pattern[name]

    def _listed(
        self, name: str, command: Command, listed: str, values: Mapping[str, Value]
    ) -> list[str]:
        items = values.get(listed, ())
        if isinstance(items, str):
            raise Error(f"{self.product} {name}: '{listed}' is no list")
        made = []
        for item in items:
            together: Mapping[str, Value] = {**values, **item}
            kept = _kept(command.each[listed], together)
            made.append(self._filled(name, command, kept, together))
        return made

    def _filled(self, name: str, command: Command, word: str, values: Mapping[str, Value]) -> str:
        def value(found: re.Match[str]) -> str:
            plain = values.get(found[1], "")
            if not isinstance(plain, str) or not plain:
                raise InvalidError(f"{self.product} {name} needs a value for '{found[1]}'")
            wrong = _CONTROL.search(plain)
            if not wrong and self.forbidden and found[1] not in command.free:
                wrong = re.search(self.forbidden, plain)
            if wrong:
                raise InvalidError(
                    f"{found[1]} {plain!r} has {wrong[0]!r}, which {self.product} would misread",
                    hint="rename it",
                )
            return plain

        return _VALUE.sub(value, word)


def _kept(text: str, values: Mapping[str, Value]) -> str:
    """Without the bracketed parts that lack a value."""

    def part(found: re.Match[str]) -> str:
        names = [*_VALUE.findall(found[1]), *_LIST.findall(found[1])]
        return found[1] if all(values.get(name) for name in names) else ""

    return _PART.sub(part, text)


# --- reading ---


def versions(product: str) -> list[str]:
    """Versions that come with exshadow, as their files are named."""
    names = [one.name for one in (files("exshadow.providers") / "data").iterdir()]
    start = f"{product}-"
    return sorted(
        name.removeprefix(start).removesuffix(".toml")
        for name in names
        if name.startswith(start) and name.endswith(".toml")
    )


def load(product: str, version: str, overlay: Path | None = None) -> Book:
    """The version's data with the administrator's file over it. InvalidError with every fault."""
    if version not in versions(product):
        known = ", ".join(versions(product))
        raise InvalidError(
            f"no commands of {product} {version} come with exshadow",
            hint=f"version = one of {known}; correct single commands by commands = FILE",
        )
    book = _checked(_shipped(product, version), f"{product}-{version}.toml")
    return book if overlay is None else _over(book, overlay)


def _shipped(product: str, version: str) -> dict[str, Any]:
    text = (files("exshadow.providers") / "data" / f"{product}-{version}.toml").read_text("utf-8")
    plain = tomllib.loads(text)
    base = plain.pop("extends", None)
    return _laid(_shipped(product, base), plain) if base else plain


def _laid(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of ``over`` in place of those of ``base``, each as a whole."""
    kinds = ("command", "pattern", "meaning", "bound")
    merged = {kind: {**base.get(kind, {}), **over.get(kind, {})} for kind in kinds}
    return {**base, **over, **merged}


def _over(book: Book, path: Path) -> Book:
    require_private_file(path)
    try:
        plain = tomllib.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise from_system(problem, f"cannot read {path}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise InvalidError(f"{path}: {problem}", hint="it is a TOML file") from None
    layer = _checked({"product": book.product, **plain}, str(path))
    faults = list(_misfits(book, layer))
    if faults:
        raise InvalidError("\n".join(f"{path}: {fault}" for fault in faults))
    return book.model_copy(
        update={
            "command": {**book.command, **layer.command},
            "pattern": {**book.pattern, **layer.pattern},
            "meaning": {**book.meaning, **layer.meaning},
            "bound": {**book.bound, **layer.bound},
        }
    )


def _checked(plain: Mapping[str, Any], where: str) -> Book:
    try:
        return Book.model_validate(plain)
    except ValidationError as problem:
        faults = [
            f"{where}: {'.'.join(str(part) for part in one['loc'])}: {one['msg']}"
            for one in problem.errors()
        ]
        raise InvalidError(
            "\n".join(faults), hint="every entry says text, regex, words or most, and sure"
        ) from None


def _misfits(book: Book, layer: Book) -> Iterator[str]:
    """What a file that is laid over may not say."""
    if layer.product != book.product:
        yield f"it is for {layer.product}, not {book.product}"
    if layer.version and layer.version != book.version:
        yield f"it is for version {layer.version}, not {book.version}"
    if layer.forbidden:
        yield "forbidden signs cannot be changed"
    for kind in ("command", "pattern", "meaning", "bound"):
        known = getattr(book, kind)
        for name in getattr(layer, kind):
            if name not in known:
                yield f"{kind}.{name}: there is none; there are {', '.join(sorted(known))}"
    for name, command in layer.command.items():
        if name in book.command and (odd := command.values - book.command[name].values):
            values = ", ".join(sorted(book.command[name].values))
            yield f"command.{name}: no value {', '.join(sorted(odd))}; there are {values}"
    for name, command in layer.command.items():
        for listed in sorted(command.lists - command.each.keys()):
            yield f"command.{name}: each.{listed} is missing: how one of {listed} is written"
        if name not in book.command or command.text == "-":
            continue  # "-": the product has none, where whoever gives it can do without
        if lost := book.command[name].needed - command.values:
            yield f"command.{name}: lacks the value {', '.join(sorted(lost))}"
    for name, pattern in layer.pattern.items():
        if name in book.pattern and (lost := book.pattern[name].groups - pattern.groups):
            yield f"pattern.{name}: lacks the group {', '.join(sorted(lost))}"
    for name, meaning in layer.meaning.items():
        if name in book.meaning:
            ours = set(book.meaning[name].words.values())
            for word in sorted(set(meaning.words.values()) - ours):
                yield f"meaning.{name}: no word {word!r}; there are {', '.join(sorted(ours))}"
