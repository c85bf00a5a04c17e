"""The ESE checker: rate per core from page cache, rate from disk, memory; a reference beside it.

The rate per core is bytes over the CPU seconds of the one thread that checks, so that a busy
machine does not spoil it. The reference is the rules in numpy; `esedbinfo` (libesedb) is timed on a
real file and reads the catalog only.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ese_maker import Database, Header
from ese_samples import FOLDER
from ese_sums import blocks_of, ecc_sums, seal_pages

from bench.conftest import file_system
from bench.measure import GIB, MIB, Board, Series

pytestmark = pytest.mark.usefixtures("needs_engine")

BATCH = 1024  # pages
REFERENCE = 64 * MIB  # of the file: numpy is slow


def write_database(path: Path, page_size: int, size: int) -> None:
    """A sound one of so many bytes; memory is held for one batch of pages only."""
    made = Database(Header(page_size), pages=BATCH).build()
    pages = np.frombuffer(bytes(made[2 * page_size :]), np.uint8).reshape(BATCH, page_size).copy()
    with path.open("wb") as file:
        file.write(made)
        for first in range(BATCH + 1, size // page_size - 1, BATCH):
            numbers = np.arange(first, first + BATCH, dtype=np.uint32)
            if page_size >= 16384:
                pages.view("<u4")[:, 16] = numbers
            file.write(seal_pages(pages, numbers))
        os.fsync(file.fileno())


def reference(path: Path, page_size: int, size: int) -> int:
    """How many pages of the first `size` bytes do not fit, by the rules in numpy."""
    count = size // page_size - 2
    words = np.memmap(path, "<u4", "r", 2 * page_size, (count, page_size // 4))
    parts, bad = blocks_of(page_size), np.zeros(count, bool)
    step = page_size // 4 // parts
    for first in range(0, count, 64):
        some = words[first : first + 64]
        numbers = np.arange(first + 1, first + 1 + len(some), dtype=np.uint32)
        for part in range(parts):
            block = some[:, part * step : (part + 1) * step].copy()
            at = 10 + 2 * (part - 1) if part else 0
            if part == 0:
                block[:, :2] = 0
            bad[first : first + 64] |= (ecc_sums(block, numbers) != some[:, at : at + 2]).any(
                axis=1
            )
    return int(bad.sum())


def timed(series: Series, job: Any) -> None:
    """Wall and CPU seconds of this thread."""
    wall, cpu = time.perf_counter(), time.thread_time()
    job()
    series.wall.append(time.perf_counter() - wall)
    series.cpu.append(time.thread_time() - cpu)


@pytest.mark.benchmark(group="ese check")
@pytest.mark.parametrize("page_size", [4096, 8192, 32768])
def test_rate_per_core(
    benchmark: Any, memory_folder: Path, rounds: int, board: Board, page_size: int
) -> None:
    """One thread on a file in memory: AVX2, scalar, numpy."""
    from exshadow._core import EseFile

    path = memory_folder / f"{page_size}.edb"
    write_database(path, page_size, GIB)
    size, file = path.stat().st_size, EseFile.open(path)
    table = {name: Series(name) for name in ("exshadow", "exshadow, scalar", "numpy")}

    def scan(method: str) -> None:
        assert file.scan(threads=1, method=method)["bad"] == 0

    def others() -> None:
        timed(table["exshadow, scalar"], lambda: scan("scalar"))
        timed(table["numpy"], lambda: reference(path, page_size, REFERENCE))

    benchmark.pedantic(
        lambda: timed(table["exshadow"], lambda: scan("automatic")), setup=others, rounds=rounds
    )
    path.unlink()
    sizes = {"exshadow": size, "exshadow, scalar": size, "numpy": REFERENCE}
    rates = {name: sizes[name] / GIB / series.cpu_median for name, series in table.items()}
    kib = page_size // 1024
    benchmark.extra_info.update({"gib_per_cpu_second": rates, "load": os.getloadavg()[0]})
    board.at_least(f"ese check, {kib} KiB pages, a core", 4, rates["exshadow"], "GiB/s")
    board.at_least(f"ese check, {kib} KiB pages, scalar", 1, rates["exshadow, scalar"], "GiB/s")
    board.notes.append(f"ese check in numpy, {kib} KiB pages: {rates['numpy']:.2f} GiB/s a core")
    board.notes.append(f"load while {kib} KiB pages were checked: {os.getloadavg()[0]:.1f}")


@pytest.fixture
def disk_folder(pytestconfig: pytest.Config) -> Iterator[Path]:
    parent = Path(pytestconfig.getoption("--bench-dir")).resolve()
    parent.mkdir(parents=True, exist_ok=True)
    if file_system(parent) in ("tmpfs", "ramfs"):
        pytest.skip(f"{parent} is no disk; see --bench-dir")
    folder = Path(tempfile.mkdtemp(prefix="exshadow-bench-", dir=parent))
    yield folder
    shutil.rmtree(folder)


def forget(path: Path) -> None:
    """Out of the page cache."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_plainly(path: Path) -> None:
    """What the disk gives to a reader that looks at nothing."""
    with path.open("rb", buffering=0) as file:
        buffer = bytearray(MIB)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while file.readinto(buffer):
            pass


@pytest.mark.benchmark(group="ese check")
def test_rate_from_disk(benchmark: Any, disk_folder: Path, rounds: int, board: Board) -> None:
    """Within a tenth of what plain reading takes."""
    from exshadow import ese

    path = disk_folder / "a.edb"
    write_database(path, 32768, GIB)
    table = {name: Series(name) for name in ("exshadow", "plain reading")}

    def others() -> None:
        forget(path)
        timed(table["plain reading"], lambda: read_plainly(path))
        forget(path)

    def check() -> None:
        assert ese.check([path]).ok

    benchmark.pedantic(lambda: timed(table["exshadow"], check), setup=others, rounds=rounds)
    share = table["plain reading"].median / table["exshadow"].median
    board.add_contest("ese check from disk", table, path.stat().st_size, "exshadow")
    board.at_least("ese check from disk, of the rate of plain reading", 0.9, share, "x")


WEIGHING = """
import re, sys
from pathlib import Path
from exshadow import ese
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
assert ese.check([sys.argv[1]], threads=int(sys.argv[2])).ok
print(peak() - before)
"""


@pytest.mark.benchmark(group="ese check")
def test_memory(benchmark: Any, memory_folder: Path, board: Board) -> None:
    """A file of 2 GiB, by one thread and by eight, each in a process of its own."""
    path = memory_folder / "a.edb"
    write_database(path, 8192, 2 * GIB)
    grown: dict[str, float] = {}

    def measure() -> None:
        for threads in ("1", "8"):
            command = [sys.executable, "-c", WEIGHING, str(path), threads]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            grown[threads] = int(done.stdout) / 1024

    benchmark.pedantic(measure, rounds=1)
    path.unlink()
    benchmark.extra_info.update(grown)
    board.at_most("ese check of 2 GiB, memory", 64, max(grown.values()), "MiB")


@pytest.mark.benchmark(group="ese check")
def test_beside_esedbinfo(benchmark: Any, rounds: int, board: Board) -> None:
    """A real file, every page checked by us; esedbinfo lists its tables."""
    from exshadow import ese

    path = FOLDER / "sru-4k-clean.dat"
    if not path.exists() or shutil.which("esedbinfo") is None:
        pytest.skip(f"{path} or esedbinfo (libesedb-utils) is missing")
    peer: list[float] = []

    def other() -> None:
        start = time.perf_counter()
        done = subprocess.run(["esedbinfo", str(path)], capture_output=True, text=True, check=True)
        peer.append(time.perf_counter() - start)
        assert re.search(r"Page size:\s+4096", done.stdout)

    ours: list[float] = []

    def check() -> None:
        start = time.perf_counter()
        assert ese.check([path]).ok
        ours.append(time.perf_counter() - start)

    benchmark.pedantic(check, setup=other, rounds=rounds)
    board.notes.append(
        f"ese check of {path.name} {1000 * statistics.median(ours):.1f} ms, "
        f"esedbinfo (process start, catalog) {1000 * statistics.median(peer):.1f} ms"
    )
