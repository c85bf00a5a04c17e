"""The policy file: TOML, checked by pydantic, every fault with its line.

    [defaults]
    keep = { daily = 7, weekly = 4 }

    [group.mail]
    volumes = ["maildb", "maillog"]
    schedule = "0 * * * *"
    window = "20:00-06:00"
    verify = ["ese"]
    mirrors = ["m2", "m3"]
    provider.prefer = ["native"]
    keep.hourly = 24
    objective = "15m"

    [volume.maildb]
    path = "W:"

    [provider.sfw]
    vxassist = "/opt/VRTS/bin/vxassist"

A group takes what it does not say from the template it names (``extends``), and from ``defaults``.
Volumes that the native engine does not hold have a table that says where they are; a provider's
table are the settings it is made with.
"""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from exshadow.errors import InvalidError, RefusedError, from_system
from exshadow.names import check_name, parse_duration, parse_size
from exshadow.policy.retention import UNLIMITED, Keep, Span, parse_span

CHECKS = ("bytes", "filesystem", "ese", "postgresql", "sqlite", "script")
PROVIDERS = ("native", "sfw", "eva", "vss")


def _duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise ValueError("write a time such as 15m, 2h or 1d")
    try:
        return timedelta(seconds=parse_duration(value))
    except InvalidError as problem:
        raise ValueError(f"{problem.message}; {problem.hint}") from None


def _span(value: object) -> Span:
    if not isinstance(value, str):
        raise ValueError("write a span such as 7d or 1y6m")
    try:
        return parse_span(value)
    except InvalidError as problem:
        raise ValueError(f"{problem.message}; {problem.hint}") from None


def _count(value: object) -> int:
    if value == "unlimited":
        return UNLIMITED
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100_000:
        raise ValueError("write a number from 0 on, or unlimited")
    return value


def _cron(value: object) -> str:
    from croniter import croniter

    if not isinstance(value, str) or len(value.split()) != 5 or not croniter.is_valid(value):
        raise ValueError("write five cron fields: minute hour day month weekday")
    return value


_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def _window(value: object) -> str:
    if not isinstance(value, str) or not _WINDOW.fullmatch(value):
        raise ValueError("write a window such as 20:00-06:00")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration, json_schema_input_type=str)]
Within = Annotated[Span, BeforeValidator(_span, json_schema_input_type=str)]
Count = Annotated[int, BeforeValidator(_count, json_schema_input_type=int | str)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class KeepPart(_Part):
    """Retention in restic's words."""

    last: Count = 0
    hourly: Count = 0
    daily: Count = 0
    weekly: Count = 0
    monthly: Count = 0
    yearly: Count = 0
    within: Within | None = None
    within_hourly: Within | None = Field(default=None, alias="within-hourly")
    within_daily: Within | None = Field(default=None, alias="within-daily")
    within_weekly: Within | None = Field(default=None, alias="within-weekly")
    within_monthly: Within | None = Field(default=None, alias="within-monthly")
    within_yearly: Within | None = Field(default=None, alias="within-yearly")

    def rules(self) -> Keep:
        """As retention takes them."""
        return Keep(**{name: getattr(self, name) for name in type(self).model_fields})


class ProviderPart(_Part):
    """Who makes the copies."""

    prefer: tuple[str, ...] = ()
    forbid: frozenset[str] = frozenset()
    survive_source_loss: bool = Field(default=False, alias="survive-source-loss")
    delta_resync: bool = Field(default=False, alias="delta-resync")
    off_host: bool = Field(default=False, alias="off-host")
    options: Mapping[str, str] = {}

    @model_validator(mode="after")
    def _known(self) -> ProviderPart:
        for name in (*self.prefer, *self.forbid):
            if name not in PROVIDERS:
                raise ValueError(f"no provider {name!r}; there are {', '.join(PROVIDERS)}")
        if both := set(self.prefer) & self.forbid:
            raise ValueError(f"{', '.join(sorted(both))} is both preferred and forbidden")
        return self


class Hook(_Part):
    """A command with JSON on its input. Refused when others could change what runs."""

    command: Annotated[str, Field(min_length=1)]
    timeout: Duration = timedelta(minutes=5)


class HooksPart(_Part):
    """Commands round a run. ``hand-over``: gets the new set, presented on this host, with paths and
    documents, for a backup program; only one whose checks are good."""

    before: tuple[Hook, ...] = ()
    after: tuple[Hook, ...] = ()
    on_error: tuple[Hook, ...] = Field(default=(), alias="on-error")
    hand_over: tuple[Hook, ...] = Field(default=(), alias="hand-over")


class NotifyPart(_Part):
    """Who hears of a run: apprise URLs, and a URL that is asked after each good one."""

    urls: tuple[str, ...] = ()
    on: frozenset[str] = frozenset({"failure"})
    ping: str | None = None

    @model_validator(mode="after")
    def _known(self) -> NotifyPart:
        if wrong := self.on - {"failure", "success", "warning"}:
            raise ValueError(f"on: {', '.join(sorted(wrong))}; use failure, success, warning")
        return self


class Group(_Part):
    """One protection group. ``mirrors``: labels that take turns at being the copy, plexes of the
    native engine."""

    volumes: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]
    schedule: Annotated[str, BeforeValidator(_cron)] | None = None
    window: Annotated[str, BeforeValidator(_window)] | None = None
    writers: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    keep: KeepPart = KeepPart()
    provider: ProviderPart = ProviderPart()
    hooks: HooksPart = HooksPart()
    notify: NotifyPart = NotifyPart()
    objective: Duration | None = None
    max_age: Duration | None = Field(default=None, alias="max-age")

    @model_validator(mode="after")
    def _sensible(self) -> Group:
        for what, names in (("volumes", self.volumes), ("mirrors", self.mirrors)):
            if len(set(names)) != len(names):
                raise ValueError(f"{what} names one twice")
        if wrong := [one for one in self.verify if one not in CHECKS]:
            raise ValueError(f"no check {wrong[0]!r}; there are {', '.join(CHECKS)}")
        return self


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str):
        raise ValueError("write a size such as 4096 or 20G")
    try:
        return parse_size(value)
    except InvalidError as problem:
        raise ValueError(f"{problem.message}; {problem.hint}") from None


class VolumePart(_Part):
    """A volume of another product. ``path``: as its host names it; ``size``: bytes, where the
    provider cannot find it out."""

    path: Annotated[str, Field(min_length=1)]
    size: Annotated[int, BeforeValidator(_size, json_schema_input_type=int | str)] = 0


class Policy(_Part):
    """The whole file after inheritance."""

    group: Mapping[str, Group]
    volume: Mapping[str, VolumePart] = {}
    provider: Mapping[str, Mapping[str, str]] = {}

    @model_validator(mode="after")
    def _known(self) -> Policy:
        if wrong := [name for name in self.provider if name not in PROVIDERS]:
            raise ValueError(f"no provider {wrong[0]!r}; there are {', '.join(PROVIDERS)}")
        return self


# --- reading ---


def load(path: Path) -> Policy:
    """The policy of a file. InvalidError with every fault and its line; RefusedError when others
    may write the file: it names commands that are run."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise from_system(problem, f"cannot read {path}") from problem
    except UnicodeDecodeError as problem:
        raise InvalidError(
            f"{path} is no text in UTF-8: its byte {problem.start} cannot be",
            hint="name a policy: a TOML file",
        ) from problem
    if mode & stat.S_IWOTH:
        raise RefusedError(f"{path} may be changed by anybody", hint=f"chmod o-w {path}")
    return parse(text, str(path))


def parse(text: str, name: str = "policy") -> Policy:
    """The same from text."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise InvalidError(f"{name}: {problem}", hint="it must be TOML") from problem
    lines = Lines(text)
    groups = _inherited(raw, name, lines)
    try:
        parts = {name: raw[name] for name in ("volume", "provider") if name in raw}
        return Policy.model_validate({"group": groups, **parts})
    except ValidationError as problem:
        faults = [
            f"{name}:{lines.of(fault['loc'])}: {_dotted(fault['loc'])}: {_plain(fault['msg'])}"
            for fault in problem.errors()
        ]
        raise InvalidError("\n".join(faults), hint="see: exshadow policy schema") from problem


def _inherited(raw: Mapping[str, Any], name: str, lines: Lines) -> dict[str, Any]:
    """Groups with their templates and the defaults laid under them."""
    unknown = set(raw) - {"defaults", "template", "group", "volume", "provider"}
    if unknown:
        raise InvalidError(
            "\n".join(f"{name}:{lines.of((one,))}: unknown part {one}" for one in sorted(unknown)),
            hint="a policy has [defaults], [template.NAME], [group.NAME], [volume.NAME], "
            "[provider.NAME]",
        )
    templates = raw.get("template", {})
    parts = {"defaults": raw.get("defaults", {}), "template": templates}
    if isinstance(templates, dict):
        parts |= {f"template.{title}": one for title, one in templates.items()}
    for title, one in parts.items():
        if not isinstance(one, dict):
            raise InvalidError(f"{name}:{lines.of(title.split('.'))}: {title} is no table")
    groups = raw.get("group", {})
    if not isinstance(groups, dict) or not groups:
        raise InvalidError(f"{name}: no group", hint="begin one with [group.NAME]")
    found = {}
    for title, group in groups.items():
        check_name(title, "group name")
        if not isinstance(group, dict):
            raise InvalidError(f"{name}: group.{title} is no table")
        chain = _chain(group, templates, f"{name}: group.{title}")
        merged: dict[str, Any] = dict(raw.get("defaults", {}))
        for one in reversed(chain):
            merged = _laid_over(merged, one)
        merged.pop("extends", None)
        found[title] = merged
    return found


def _chain(group: Mapping[str, Any], templates: Mapping[str, Any], where: str) -> list[Any]:
    """The group, its template, that one's template ..., no circles."""
    chain = [group]
    seen: list[str] = []
    while (parent := chain[-1].get("extends")) is not None:
        if parent in seen:
            raise InvalidError(f"{where}: templates extend one another: {' -> '.join(seen)}")
        if not isinstance(parent, str) or parent not in templates:
            known = ", ".join(sorted(templates)) or "none"
            raise InvalidError(f"{where} extends {parent!r}", hint=f"templates: {known}")
        seen.append(parent)
        chain.append(templates[parent])
    return chain


def _laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are laid over one another key by key, everything else is replaced."""
    both = dict(under)
    for key, value in over.items():
        old = both.get(key)
        both[key] = (
            _laid_over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return both


def _dotted(place: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in place)


_WORDS = {
    "Extra inputs are not permitted": "unknown key",
    "Field required": "must be given",
    "Input should be a valid tuple": "write a list: [...]",
    "Input should be a valid frozenset": "write a list: [...]",
    "Input should be a valid string": "write a text in quotes",
}
"""What the library says of a value, as this file's readers understand it."""


def _plain(message: str) -> str:
    return _WORDS.get(message, message.removeprefix("Value error, "))


class Lines:
    """Which line of a TOML text a value stands on; the nearest table that encloses it otherwise."""

    _HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
    _KEY = re.compile(r"\s*([A-Za-z0-9_.\-\"' ]+?)\s*=")

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(text.splitlines(), 1):
            if header := self._HEADER.match(line):
                table = self._parts(header[1])
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
        names = tuple(str(part) for part in place)
        for end in range(len(names), 0, -1):
            if names[:end] in self._found:
                return self._found[names[:end]]
        return 1


def schema() -> dict[str, Any]:
    """The JSON Schema of a group, for editors."""
    return Policy.model_json_schema()
