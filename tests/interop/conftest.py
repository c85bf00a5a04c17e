"""Fixtures of the interop tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Takes what must be undone, in the opposite order, whatever happens."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def bed() -> Iterator[Path]:
    """A folder that other users may pass through, as PostgreSQL's must."""
    folder = Path(tempfile.mkdtemp(prefix="exshadow-interop-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
