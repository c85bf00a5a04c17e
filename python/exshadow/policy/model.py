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
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from exshadow.commands import require_private_file
from exshadow.errors import InvalidError, from_system
from exshadow.names import DURATION, NAME, check_name, meant, parse_duration, parse_size
from exshadow.policy.inherit import inherited, parents_of, table, tables
from exshadow.policy.lines import Faults, Lines, Place, both, told
from exshadow.policy.retention import SPAN, UNLIMITED, Keep, Span, parse_span
from exshadow.policy.schedule import CRON, checked_cron, checked_window

CHECKS = ("bytes", "filesystem", "ese", "postgresql", "sqlite", "script")
PROVIDERS = ("native", "sfw", "eva", "vss")
_OUTCOMES = ("failure", "success", "warning")
_MOST = 100_000  # sets that a rule may count


def _duration(value: object) -> timedelta:
    if not isinstance(value, str):
        raise ValueError("write a time such as 15m, 2h or 1d")
    try:
        return timedelta(seconds=parse_duration(value))
    except InvalidError as problem:
        raise ValueError(both(problem)) from None


def _span(value: object) -> Span:
    if not isinstance(value, str):
        raise ValueError("write a span such as 7d or 1y6m")
    try:
        return parse_span(value)
    except InvalidError as problem:
        raise ValueError(both(problem)) from None


def _count(value: object) -> int:
    if value == "unlimited":
        return UNLIMITED
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise ValueError("write a number from 0 on, or unlimited")
    return value


def _cron(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("write five cron fields: minute hour day month weekday")
    return checked_cron(value)


_CLOCK = "([01][0-9]|2[0-3]):([0-5][0-9])"


def _name(value: str) -> str:
    try:
        return check_name(value)
    except InvalidError as problem:
        raise ValueError(both(problem)) from None


_WINDOW = re.compile(f"{_CLOCK}-{_CLOCK}")


def _window(value: object) -> str:
    if not isinstance(value, str) or not _WINDOW.fullmatch(value):
        raise ValueError("write a window such as 20:00-06:00")
    return value


def _described(schema: dict[str, Any]) -> WithJsonSchema:
    """What an editor is told of a value that a function of ours reads."""
    return WithJsonSchema(schema, mode="validation")


def _text(pattern: str) -> WithJsonSchema:
    """A text of this pattern."""
    return _described({"type": "string", "pattern": f"^{pattern}$"})


def _words(known: Sequence[str]) -> WithJsonSchema:
    """A list of such words, in any order."""
    return _described({"type": "array", "items": {"type": "string", "enum": list(known)}})


def _one_of(what: str, known: Sequence[str]) -> AfterValidator:
    """A word of these."""

    def check(value: str) -> str:
        if value not in known:
            there = meant(value, known) or f"; there are {', '.join(known)}"
            raise ValueError(f"no {what} {value!r}{there}")
        return value

    return AfterValidator(check)


class Check(str):
    """The name of a check. ``command``: the program of the check script, empty for others."""

    command = ""


def _check(value: object) -> Check:
    """``ese``, or ``script?command=PATH``."""
    if not isinstance(value, str):
        raise ValueError("write a text in quotes")
    name, mark, option = value.partition("?")
    if name not in CHECKS:
        there = meant(name, CHECKS) or f"; there are {', '.join(CHECKS)}"
        raise ValueError(f"no check {name!r}{there}")
    check = Check(name)
    key, _, check.command = option.partition("=")
    if name != "script":
        if mark:
            raise ValueError(f"check {name} has no options")
    elif key != "command" or not check.command.startswith("/"):
        raise ValueError('name the program by its full path: "script?command=/usr/local/sbin/look"')
    return check


_PLAIN_CHECKS = [one for one in CHECKS if one != "script"]
ProviderName = Annotated[
    str, _one_of("provider", PROVIDERS), _described({"type": "string", "enum": list(PROVIDERS)})
]
CheckName = Annotated[
    Check,
    PlainValidator(_check),
    PlainSerializer(str, return_type=str),
    _described(
        {"type": "string", "anyOf": [{"enum": _PLAIN_CHECKS}, {"pattern": r"^script\?command=/"}]}
    ),
]
Outcome = Annotated[
    str, _one_of("outcome", _OUTCOMES), _described({"type": "string", "enum": list(_OUTCOMES)})
]
Duration = Annotated[timedelta, BeforeValidator(_duration), _text(rf"\s*{DURATION}\s*")]
Within = Annotated[Span, BeforeValidator(_span), _text(rf"\s*(?=[0-9]){SPAN}\s*")]
Count = Annotated[
    int,
    BeforeValidator(_count),
    _described({"anyOf": [{"type": "integer", "minimum": 0, "maximum": _MOST},
                          {"const": "unlimited"}]}),
]  # fmt: skip
Name = Annotated[str, AfterValidator(_name), _described({"type": "string", "pattern": f"^{NAME}$"})]
Names = Annotated[tuple[Name, ...], Field(json_schema_extra={"uniqueItems": True})]


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
    forbid: Annotated[frozenset[ProviderName], _words(PROVIDERS)] = frozenset()
    survive_source_loss: StrictBool = Field(default=False, alias="survive-source-loss")
    delta_resync: StrictBool = Field(default=False, alias="delta-resync")
    off_host: StrictBool = Field(default=False, alias="off-host")
    options: Mapping[str, str] = {}

    @model_validator(mode="after")
    def _sensible(self) -> ProviderPart:
        if both := set(self.prefer) & self.forbid:
            raise ValueError(f"{', '.join(sorted(both))} is both preferred and forbidden")
        return self


class Hook(_Part):
    """A command with JSON on its input. Refused when others could change what runs."""

    command: Annotated[str, Field(min_length=1)]
    timeout: Annotated[Duration, Field(json_schema_extra={"default": "5m"})] = timedelta(minutes=5)


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
    on: Annotated[frozenset[Outcome], _words(_OUTCOMES)] = frozenset({"failure"})
    ping: str | None = None


class Group(_Part):
    """One protection group. ``mirrors``: labels that take turns at being the copy, plexes of the
    native engine."""

    volumes: Annotated[Names, Field(min_length=1, max_length=64)]
    schedule: Annotated[str, BeforeValidator(_cron), _text(rf"[ \t]*{CRON}[ \t]*")] | None = None
    window: Annotated[str, BeforeValidator(_window), _text(_WINDOW.pattern)] | None = None
    writers: tuple[str, ...] = ()
    verify: Annotated[tuple[CheckName, ...], Field(json_schema_extra={"uniqueItems": True})] = ()
    mirrors: Names = ()
    keep: KeepPart = KeepPart()
    provider: ProviderPart = ProviderPart()
    hooks: HooksPart = HooksPart()
    notify: NotifyPart = NotifyPart()
    objective: Duration | None = None
    max_age: Duration | None = Field(default=None, alias="max-age")

    @field_validator("window")
    @classmethod
    def _meets(cls, value: str | None, info: ValidationInfo) -> str | None:
        return checked_window(value, info.data.get("schedule")) if value is not None else None

    @field_validator("volumes", "mirrors", "verify")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            twice = next(one for one in value if value.count(one) > 1)
            raise ValueError(f"names one twice: {twice}")
        return value

    @property
    def script(self) -> str | None:
        """The program of the check script, if it is asked for."""
        return next((one.command for one in self.verify if one.command), None)


class Template(Group):
    """What groups take from: a part of one."""

    volumes: Names = ()


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str):
        raise ValueError("write a size such as 4096 or 20G")
    try:
        return parse_size(value)
    except InvalidError as problem:
        raise ValueError(both(problem)) from None


class VolumePart(_Part):
    """A volume of another product. ``path``: as its host names it; ``size``: bytes, where the
    provider cannot find it out."""

    path: Annotated[str, Field(min_length=1)]
    size: Annotated[
        int,
        BeforeValidator(_size),
        _described({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}),
    ] = 0


class Policy(_Part):
    """The whole file after inheritance."""

    group: Mapping[str, Group]
    volume: Mapping[Name, VolumePart] = {}
    provider: Mapping[ProviderName, Mapping[str, str]] = {}


# --- reading ---


def load(path: Path) -> Policy:
    """The policy of a file. InvalidError with every fault and its line; RefusedError when others
    than root and we could change it, whether it names commands today or not: they could add one,
    and runs obey."""
    text = read_text(path)
    return parse(text, str(path))


def read_text(path: Path) -> str:
    """The file's text. Errors as :func:`load` says, before any of it is understood."""
    require_private_file(path)
    try:
        kind = path.stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):  # reading it might never end
            raise InvalidError(f"{path} is no regular file", hint="name a policy: a TOML file")
        return path.read_text(encoding="utf-8-sig")  # editors of Windows put a mark before it
    except OSError as problem:
        raise from_system(problem, f"cannot read {path}") from problem
    except UnicodeDecodeError as problem:
        raise InvalidError(
            f"{path} is no text in UTF-8: its byte {problem.start} cannot be",
            hint="name a policy: a TOML file",
        ) from problem


def parse(text: str, name: str = "policy") -> Policy:
    """The same from text."""
    policy, faults = examine(text, name)
    if policy is None or faults:
        raise InvalidError(str(faults), hint="see: exshadow policy schema")
    return policy


def examine(text: str, name: str = "policy") -> tuple[Policy | None, Faults]:
    """Every fault of the text, and what is left of the policy without the values that are wrong:
    these may be looked at further. InvalidError for what is no TOML."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise InvalidError(f"{name}: {problem}", hint="it must be TOML") from problem
    except RecursionError as problem:
        raise InvalidError(
            f"{name}: lists or tables lie too deep in one another",
            hint="a policy needs four levels",
        ) from problem
    faults = Faults(name, Lines(text), parents_of(raw))
    parts = {"group": inherited(raw, faults)}
    parts |= {part: deepcopy(raw[part]) for part in ("volume", "provider") if part in raw}
    policy = _sound(deepcopy(parts), faults)
    _look_at_templates(raw, faults)
    return policy, faults


def _sound(parts: dict[str, Any], faults: Faults) -> Policy | None:
    """The parts without what is wrong with them. Each look may find more: a rule between two values
    is asked for when each of them is well."""
    while True:
        try:
            return Policy.model_validate(parts)
        except ValidationError as problem:
            found = problem.errors()
        places = [fault["loc"] for fault in found]
        for fault in found:
            # A list of wrong items counts as too short as well.
            inside = any(place[:-1] == fault["loc"] for place in places)
            if fault["type"] != "too_short" or not inside:
                faults.add(fault["loc"], told(fault, Policy))
        cut = [_cut(parts, fault["loc"]) for fault in found]
        if not all(cut):
            return None


def _cut(parts: dict[str, Any], place: Place) -> bool:
    """Take the value at the place away, with the list that it is in. False where there is none."""
    if place[0] == "group" and place[2:3] == ("volumes",):
        parts["group"][place[1]]["volumes"] = ["unknown"]  # a group must have some
        return True
    inner: Any = parts
    found: tuple[dict[str, Any], str] | None = None
    for key in map(str, place):
        if not isinstance(inner, dict) or key not in inner:
            break
        found, inner = (inner, key), inner[key]
    if found is None:
        return False
    owner, last = found
    del owner[last]
    return True


def _look_at_templates(raw: Mapping[str, Any], faults: Faults) -> None:
    """The defaults and every template by themselves: a fault that no group inherits today."""
    defaults = table(raw, "defaults")
    if "extends" in defaults:
        faults.add(("defaults", "extends"), "defaults extend no template: groups and templates do")
    parts: list[tuple[Place, Mapping[str, Any]]] = [(("defaults",), defaults)]
    parts += [(("template", title), one) for title, one in tables(raw, "template").items()]
    for place, part in parts:
        try:
            Template.model_validate({key: one for key, one in part.items() if key != "extends"})
        except ValidationError as problem:
            for fault in problem.errors():
                faults.add((*place, *fault["loc"]), told(fault, Template))
