"""Arguments of the served calls have the types that the engine's calls demand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, SupportsIndex

Number = SupportsIndex
Limit = SupportsIndex | None
Text = str | None


def need(kind: Any, **values: object) -> None:
    """TypeError for a value of another kind."""
    for name, value in values.items():
        if not isinstance(value, kind):
            wanted = getattr(kind, "__name__", str(kind))
            raise TypeError(f"{name} must be {wanted}, not {type(value).__name__}")


def need_texts(name: str, values: object) -> None:
    """TypeError unless a mapping from text to text."""
    need(Mapping, **{name: values})
    assert isinstance(values, Mapping)
    for key, value in values.items():
        need(str, **{f"a key of {name}": key, f"a value of {name}": value})
