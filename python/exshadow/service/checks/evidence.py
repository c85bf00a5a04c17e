"""Keeps evidence small enough for a catalog: long texts lose their middle, long lists their end."""

from __future__ import annotations

import json

from exshadow.model import Json

_TEXT = 4096
_LIST = 50
_WHOLE = 48 << 10


def clipped(text: str, limit: int = _TEXT) -> str:
    """`text`, its middle left out when it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def bounded(evidence: Json) -> Json:
    """`evidence` with at most some 48 KiB of JSON."""
    text, entries = _TEXT, _LIST
    while True:
        small = _bounded(evidence, text, entries)
        assert isinstance(small, dict)
        if len(json.dumps(small)) <= _WHOLE or text <= 64:
            return small
        text, entries = text // 2, max(4, entries // 2)


def _bounded(value: object, text: int, entries: int) -> object:
    if isinstance(value, str):
        return clipped(value, text)
    if isinstance(value, dict):
        found = {str(key): _bounded(one, text, entries) for key, one in value.items()}
        return dict(list(found.items())[: 4 * entries])
    if isinstance(value, list | tuple):
        short = [_bounded(one, text, entries) for one in value[:entries]]
        return [*short, f"... {len(value) - entries} more"] if len(value) > entries else short
    return value
