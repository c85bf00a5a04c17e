"""Options, images on the two media, and the table at the end of `pytest bench`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import images, peers, subject
from bench.images import Medium
from bench.measure import GIB, Board
from bench.table import print_board

BOARD = pytest.StashKey[Board]()
SPARE = GIB
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_size(text: str) -> int:
    """ "256M" as bytes, a multiple of 1 MiB."""
    number, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    size = int(number) * UNITS[unit] if unit else int(number)
    if size <= 0 or size % UNITS["M"]:
        raise pytest.UsageError(f"--bench-size {text}: not a multiple of 1M")
    return size


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("bench")
    group.addoption("--bench-size", default="4G", help="size of each image (K, M, G)")
    group.addoption("--bench-dir", default="build/bench", help="folder on a disk with O_DIRECT")
    group.addoption("--bench-rounds", type=int, default=7, help="interleaved rounds")
    group.addoption("--bench-media", default="tmpfs,disk", help="tmpfs, disk or both")
    group.addoption("--bench-strict", action="store_true", help="fail when a target is missed")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BOARD] = Board()


@pytest.fixture(scope="session")
def board(pytestconfig: pytest.Config) -> Board:
    return pytestconfig.stash[BOARD]


@pytest.fixture(scope="session")
def size(pytestconfig: pytest.Config) -> int:
    return parse_size(pytestconfig.getoption("--bench-size"))


@pytest.fixture(scope="session")
def rounds(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("--bench-rounds"))


@pytest.fixture(scope="session")
def needs_peers() -> None:
    if missing := peers.missing_tools():
        pytest.skip(f"peers are missing: {', '.join(missing)}")


@pytest.fixture(scope="session")
def absent() -> str | None:
    """Why exshadow's side cannot run, None when it can."""
    return subject.why_absent()


@pytest.fixture
def needs_engine(absent: str | None) -> None:
    if absent:
        pytest.skip(absent)


@pytest.fixture(scope="module")
def memory_folder() -> Iterator[Path]:
    """A folder on tmpfs that goes with the module."""
    folder = Path(tempfile.mkdtemp(prefix="exshadow-bench-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=["tmpfs", "disk"])
def medium(request: pytest.FixtureRequest) -> Iterator[Medium]:
    if request.param not in request.config.getoption("--bench-media").split(","):
        pytest.skip("not asked for by --bench-media")
    if request.param == "tmpfs":
        parent, direct = Path("/dev/shm"), False
    else:
        parent, direct = Path(request.config.getoption("--bench-dir")).resolve(), True
        parent.mkdir(parents=True, exist_ok=True)
        if file_system(parent) in ("tmpfs", "ramfs", "overlayfs"):
            pytest.skip(f"{parent} is no disk with O_DIRECT; see --bench-dir")
    folder = Path(tempfile.mkdtemp(prefix="exshadow-bench-", dir=parent))
    yield Medium(request.param, folder, direct)
    shutil.rmtree(folder)


def file_system(folder: Path) -> str:
    command = ["stat", "--file-system", "--format=%T", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def write_images(medium: Medium, size: int, names: list[str]) -> list[Path]:
    """Pre-written images, each of its own noise; skips where there is no room."""
    needed, free = size * len(names) + SPARE, images.room(medium.folder)
    if free < needed:
        pytest.skip(
            f"{medium.name}: {needed / GIB:.1f} GiB needed, {free / GIB:.1f} free; "
            "choose a smaller --bench-size"
        )
    paths = [medium.folder / f"{name}.img" for name in names]
    for seed, path in enumerate(paths):
        images.write_noise(path, size, seed)
    return paths


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    board = config.stash[BOARD]
    if board.lines or board.targets:
        terminalreporter.section("exshadow beside its peers")
        print_board(board, peers.versions())


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    strict = session.config.getoption("--bench-strict")
    if strict and session.config.stash[BOARD].missed and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
