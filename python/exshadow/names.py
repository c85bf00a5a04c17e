"""Names, labels, sizes, rates and times as people write them. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from exshadow.errors import InvalidError

NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""Pattern of a name or label."""
DURATION = "([0-9]{1,18})([smhdw])"
_NAME = re.compile(NAME)
_SIZE = re.compile(r"([0-9]{1,30}(?:\.[0-9]{1,30})?)([KMGT]?)(?:i?B)?", re.IGNORECASE)
_DURATION = re.compile(DURATION)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_END_OF_TIME = datetime(2255, 1, 1, tzinfo=UTC)  # 64-bit nanoseconds reach little further
_LONGEST_DURATION = 365 * 86_400
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

FOREVER = "forever"
"""What ``pinned_until`` holds for a pin without an end."""

MAXIMUM_SIZE = 1 << 62


def _nearest(word: str, known: Iterable[str]) -> str | None:
    from difflib import get_close_matches

    by_text = {name.lower(): name for name in known}
    near = get_close_matches(word.lower(), by_text, n=1)
    return by_text[near[0]] if near else None


def close_match(wrong: str, known: Iterable[str]) -> str:
    """``did you mean 'noon'? `` for a hint about a name that is not there; "" when none is near."""
    near = _nearest(wrong, known)
    return f"did you mean '{near}'? " if near else ""


def meant(word: str, known: Iterable[str]) -> str:
    """``; did you mean X?`` after a sentence about an unknown word; "" when none is near."""
    near = _nearest(word, known)
    return f"; did you mean {near}?" if near else ""


def is_name(text: str) -> bool:
    """Whether `text` is a legal name or label."""
    return _NAME.fullmatch(text) is not None


def check_name(text: str, what: str = "name") -> str:
    """Return `text` when it is a legal name or label; InvalidError otherwise."""
    if not is_name(text):
        raise InvalidError(
            f"{text!r} is no valid {what}",
            hint="use 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit",
        )
    return text


def parse_size(text: str, what: str = "size") -> int:
    """Bytes of ``64K``, ``1.5G``, ``4096``: powers of 1024. InvalidError when it is no size."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise InvalidError(f"{text!r} is no valid {what}", hint="write a number with K, M, G or T")
    whole, _, fraction = match[1].partition(".")
    unit = int(1024 ** _POWERS[match[2].upper()])
    size = int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
    if size > MAXIMUM_SIZE:
        raise InvalidError(f"{what} {text!r} is too large")
    return size


def parse_rate(text: str) -> int:
    """Bytes per second of ``100M`` or ``100M/s``. InvalidError when it is no rate or zero."""
    rate = parse_size(text.strip().removesuffix("/s"), "rate")
    if rate == 0:
        raise InvalidError("a rate of 0 would never finish", hint="leave the limit out instead")
    return rate


def parse_duration(text: str, what: str = "duration") -> int:
    """Seconds of ``30s``, ``5m``, ``2h``. InvalidError when it is none, or less than a second."""
    match = _DURATION.fullmatch(text.strip())
    if not match or (seconds := int(match[1]) * _SECONDS[match[2]]) == 0:
        raise InvalidError(f"{text!r} is no valid {what}", hint="write a number with s, m, h or d")
    if seconds > _LONGEST_DURATION:
        raise InvalidError(f"{what} {text!r} is too long")
    return seconds


def format_size(size: int) -> str:
    """``1.5 GiB`` for people."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1024 or unit == "TiB":
            break
    return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"


def now() -> str:
    """The present time, RFC 3339 UTC with seconds."""
    return rfc3339(datetime.now(UTC))


def rfc3339(time: datetime) -> str:
    """`time` in UTC as ``2026-01-31T12:00:00Z``."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def time_label() -> str:
    """A label made of the present time: ``20260131T120000Z``."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def parse_time(text: str) -> datetime:
    """A time in UTC. InvalidError when `text` is not RFC 3339 or a date; no zone means UTC."""
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # its zone may lead beyond the years that there are
        raise InvalidError(
            f"{text!r} is no valid time", hint="write 2026-01-31, 2026-01-31T12:00:00Z or 14d"
        ) from None


def parse_until(text: str) -> str:
    """``forever`` or RFC 3339 of a time, a date or a duration from now (``90m``, ``14d``)."""
    if text.lower() == FOREVER:
        return FOREVER
    if match := _DURATION.fullmatch(text.strip()):
        try:
            until = datetime.now(UTC) + timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
        except OverflowError:
            until = _END_OF_TIME
    else:
        until = parse_time(text)
    if until >= _END_OF_TIME:
        raise InvalidError(f"{text!r} is too far away", hint="pin without --until")
    return rfc3339(until)


def is_pinned(until: str | None) -> bool:
    """Whether a pin is in force now. A pin that cannot be read counts as in force."""
    if until is None:
        return False
    if until == FOREVER:
        return True
    try:
        return parse_time(until) > datetime.now(UTC)
    except InvalidError:
        return True


def format_seconds(seconds: float) -> str:
    """A length of time for people: 40 s, 33 min, 5 h, 3 days."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 1 or seconds == 0 else "under 1 s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"
