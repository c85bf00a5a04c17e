"""Fixtures of the interop tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from machine import need_root

from interop.load import prepare
from interop.mariadb import MariaDb
from interop.postgres import Postgres, programs


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


@pytest.fixture(scope="module")
def ground() -> Iterator[Path]:
    need_root()
    folder = Path(tempfile.mkdtemp(prefix="exshadow-killed-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def own_mariadb(ground: Path) -> Iterator[MariaDb]:
    server = MariaDb(ground / "mdata", ground / "mlog", ground / "msockets")
    server.create()
    with server.running():
        server.query("CREATE DATABASE shop", None)
        prepare(server.query)
        yield server


@pytest.fixture(scope="module")
def own_postgresql(ground: Path) -> Iterator[Postgres]:
    programs()
    server = Postgres(ground / "pdata", ground / "pwal", ground / "psockets")
    server.create()
    with server.running():
        server.query("CREATE TABLE t (n int)")
        yield server
