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

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from exshadow.errors import InvalidError, RefusedError, from_system
from exshadow.names import check_name, meant, parse_duration, parse_size
from exshadow.policy.lines import Faults, Lines, told
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


def _one_of(what: str, known: Sequence[str]) -> AfterValidator:
    """A word of these."""

    def check(value: str) -> str:
        if value not in known:
            there = meant(value, known) or f"; there are {', '.join(known)}"
            raise ValueError(f"no {what} {value!r}{there}")
        return value

    return AfterValidator(check)


ProviderName = Annotated[str, _one_of("provider", PROVIDERS)]
CheckName = Annotated[str, _one_of("check", CHECKS)]
Outcome = Annotated[str, _one_of("outcome", ("failure", "success", "warning"))]
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

    prefer: tuple[ProviderName, ...] = ()
    forbid: frozenset[ProviderName] = frozenset()
    survive_source_loss: bool = Field(default=False, alias="survive-source-loss")
    delta_resync: bool = Field(default=False, alias="delta-resync")
    off_host: bool = Field(default=False, alias="off-host")
    options: Mapping[str, str] = {}

    @model_validator(mode="after")
    def _sensible(self) -> ProviderPart:
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
    on: frozenset[Outcome] = frozenset({"failure"})
    ping: str | None = None


class Group(_Part):
    """One protection group. ``mirrors``: labels that take turns at being the copy, plexes of the
    native engine."""

    volumes: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]
    schedule: Annotated[str, BeforeValidator(_cron)] | None = None
    window: Annotated[str, BeforeValidator(_window)] | None = None
    writers: tuple[str, ...] = ()
    verify: tuple[CheckName, ...] = ()
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
    provider: Mapping[ProviderName, Mapping[str, str]] = {}


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
    faults = Faults(name, lines, parents_of(raw))
    try:
        parts = {name: raw[name] for name in ("volume", "provider") if name in raw}
        return Policy.model_validate({"group": groups, **parts})
    except ValidationError as problem:
        for fault in problem.errors():
            faults.add(fault["loc"], told(fault, Policy))
        raise InvalidError(str(faults), hint="see: exshadow policy schema") from problem


def parents_of(raw: Mapping[str, Any]) -> dict[str, list[str]]:
    """By group its templates, nearest first: of a file that could be read."""
    templates = raw.get("template", {})
    found: dict[str, list[str]] = {}
    for title, group in raw.get("group", {}).items():
        chain = found.setdefault(title, [])
        while (parent := group.get("extends")) is not None:
            chain.append(parent)
            group = templates[parent]
    return found


def _inherited(raw: Mapping[str, Any], name: str, lines: Lines) -> dict[str, Any]:
    """Groups with their templates and the defaults laid under them."""
    known = ("defaults", "template", "group", "volume", "provider")
    if unknown := sorted(set(raw) - set(known)):
        raise InvalidError(
            "\n".join(
                f"{name}:{lines.of((one,))}: unknown part {one}{meant(one, known)}"
                for one in unknown
            ),
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
        where = f"{name}:{lines.of(('group', title))}"
        try:
            check_name(title, "group name")
        except InvalidError as problem:
            raise InvalidError(f"{where}: {problem.message}", hint=problem.hint) from None
        if not isinstance(group, dict):
            raise InvalidError(f"{where}: group.{title} is no table")
        line = lines.of(("group", title, "extends"))
        chain = _chain(group, templates, f"{name}:{line}: group.{title}")
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
            maybe = meant(parent, templates) if isinstance(parent, str) else ""
            raise InvalidError(
                f"{where} extends {parent!r}, which is no template{maybe}",
                hint=f"templates: {known}",
            )
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


def schema() -> dict[str, Any]:
    """The JSON Schema of a group, for editors."""
    return Policy.model_json_schema()
