"""How many snapshots a vdisk may have: the administrator's word, else the product's data."""

from __future__ import annotations

from dataclasses import dataclass

from exshadow.providers.eva.settings import EvaSettings
from exshadow.providers.templates import Book


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one array. ``model``: its own word for itself."""

    settings: EvaSettings
    book: Book
    model: str

    def most(self, size: int) -> int | None:
        """For a vdisk of so many bytes; None where nobody knows: the array refuses by itself."""
        if self.settings.snapshots_limit:
            return self.settings.snapshots_limit
        found = self.book.bound_of(self.model)
        return found[1].count(size) if found else None

    def whence(self) -> str:
        """Who says so, and how sure it is."""
        if self.settings.snapshots_limit:
            return "by the setting snapshots_limit"
        found = self.book.bound_of(self.model)
        return f"of {self.model} by bound.{found[0]}, {found[1].sure}" if found else ""
