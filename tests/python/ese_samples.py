"""Where the real ESE files lie, and what their README says of each."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY.parent / "shared" / "data" / "ese"


@dataclass(frozen=True)
class Sample:
    """One row of the README's table."""

    name: str
    size: int
    kind: str
    content: str

    def number(self, pattern: str) -> int:
        found = re.search(pattern, self.content)
        return int(found[1]) if found else 0

    def read(self) -> bytes:
        """The unpacked bytes."""
        stored = (folder() / self.name).read_bytes()
        return gzip.decompress(stored) if self.name.endswith(".gz") else stored

    def unpack(self, into: Path) -> Path:
        """The file under its own name, unpacked."""
        path = into / self.name.removesuffix(".gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.read())
        return path


def folder() -> Path:
    """The folder of the real files; skips loudly where they are not."""
    if not FOLDER.is_dir():
        pytest.skip(f"REAL ESE FILES ARE MISSING: there is no folder {FOLDER}")
    return FOLDER


def table() -> list[Sample]:
    """All rows; none where the files are missing."""
    readme = FOLDER / "README.md"
    return list(_rows(readme.read_text(encoding="utf-8"))) if FOLDER.is_dir() else []


def _rows(text: str) -> Iterator[Sample]:
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 10 and cells[2].isdigit():
            yield Sample(cells[0], int(cells[3]), cells[4], cells[7])
