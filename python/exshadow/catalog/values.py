"""What the columns of an exported document may hold beyond their types: it comes from a file that
anybody may have edited, and the commands believe what is in the catalog."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Float

from exshadow.errors import InvalidError
from exshadow.names import FOREVER, is_name, parse_time
from exshadow.providers.contract import Action, Verb

_Check = Callable[[Any], bool]


def require_sound(place: str, column: Column[Any], value: object) -> None:
    """InvalidError, naming the place in the document, for a value of the right type that is none of
    this column. ``place``: ``sets[2].state``."""
    what, check = _KINDS.get((column.table.name, column.name), _of_type(column))
    if not check(value):
        raise InvalidError(f"{place}: {value!r:.200} is no {what}")


def _of_type(column: Column[Any]) -> tuple[str, _Check]:
    """For columns with no rule of their own. ``Integer``: numbers that the database gives."""
    if isinstance(column.type, BigInteger):
        return "size or count", lambda value: bool(value >= 0)
    if isinstance(column.type, Float):
        return "number", math.isfinite
    if column.type.python_type is str:
        return "text of Unicode", _is_text
    return "value", lambda value: True


def _is_text(value: str) -> bool:
    """JSON may hold half a letter, which neither a database nor a terminal takes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_moment(value: str) -> bool:
    """Ages and turns are reckoned with it: one that is none would stop every look at its group."""
    try:
        parse_time(value)
    except InvalidError:
        return False
    return True


def _is_pin(value: str) -> bool:
    return value == FOREVER or _is_moment(value)


def _is_uuid(value: str) -> bool:
    try:
        return bool(UUID(value))
    except ValueError:
        return False


def _is_action(value: str) -> bool:
    """The journal reads all of a group, so that one it cannot read stops every run."""
    try:
        asked = json.loads(value)
        return bool(Action.from_json(asked)) and isinstance(asked.get("settings", {}), dict)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _one_of(what: str, words: Iterable[str]) -> tuple[str, _Check]:
    known = sorted(words)
    return f"{what} ({', '.join(known)})", known.__contains__


_MOMENT = ("time", _is_moment)
_SET_STATES = ("creating", "ready", "resyncing", "restoring", "dissolved", "failed")
_KINDS: dict[tuple[str, str], tuple[str, _Check]] = {
    ("volumes", "name"): ("name of a volume", is_name),
    ("volumes", "group"): ("name of a group", is_name),
    ("sets", "id"): ("id of a set", is_name),  # files of the state folder are named after it
    ("sets", "label"): ("label", is_name),
    ("sets", "group"): ("name of a group", is_name),
    ("sets", "created"): _MOMENT,
    ("sets", "consistency"): _one_of("consistency", ("application", "filesystem", "crash")),
    ("sets", "state"): _one_of("state of a set", _SET_STATES),
    ("sets", "pinned_until"): ("time or forever", _is_pin),
    ("members", "volume"): ("name of a volume", is_name),
    ("verifications", "at"): _MOMENT,
    ("jobs", "started"): _MOMENT,
    ("actions", "id"): ("id of an action", _is_uuid),
    ("actions", "group"): ("name of a group", is_name),
    ("actions", "verb"): _one_of("verb", Verb),
    ("actions", "asked"): ("action that the journal can read", _is_action),
    ("actions", "state"): _one_of(
        "state of an action", ("started", "done", "failed", "refused", "undone")
    ),
    ("actions", "started"): _MOMENT,
    ("measures", "at"): _MOMENT,
}
