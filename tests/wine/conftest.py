"""Fixtures of the tests under Wine. Where Wine or the cross build lacks they are skipped, loudly;
``make test-wine`` promises both, sets EXSHADOW_WINE=required, and fails instead."""

from __future__ import annotations

import copy
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from scenarios.table import HERE
from wine.bed import BUILD, WINE, Machine, Wine

# A job in the background of a shell ignores Ctrl-C, and so do its children: tests need it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def lacking(what: str) -> NoReturn:
    """Skip, or fail where it must be there."""
    if os.environ.get("EXSHADOW_WINE") == "required":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def wine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    """One prefix for all tests."""
    if WINE is None:
        lacking("wine is not installed: apt-get install wine wine64 (or run: make setup)")
    if not list(BUILD.rglob("vssapi.dll")):
        lacking("the Windows part is not built: make build-mingw")
    bed = Wine(tmp_path_factory.mktemp("wine"))
    bed.start()
    yield bed
    bed.stop()


@pytest.fixture
def two_writers() -> dict[str, Any]:
    """The world of most scenarios; each test's own, which it may change."""
    found: dict[str, Any] = json.loads(
        (HERE / "worlds" / "two_writers.json").read_text(encoding="utf-8")
    )
    return found


@pytest.fixture
def machine(wine: Wine, tmp_path: Path, two_writers: dict[str, Any]) -> Callable[..., Machine]:
    """Make a machine; the world is that of two writers unless one is given."""
    made = 0

    def make(world: dict[str, Any] | None = None) -> Machine:
        nonlocal made
        made += 1
        return Machine(wine, tmp_path / f"machine{made}", copy.deepcopy(world or two_writers))

    return make
