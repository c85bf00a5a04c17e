"""Initial sync of a mirror beside the full copies of QEMU and libnbd, on tmpfs and disk."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bench import subject
from bench.conftest import write_images
from bench.images import Medium
from bench.measure import Board, Series, contest
from bench.peers import Copy, full_copies


@pytest.fixture(scope="module")
def pair(medium: Medium, size: int) -> list[Path]:
    return write_images(medium, size, ["source", "target"])


@pytest.mark.usefixtures("needs_peers")
@pytest.mark.benchmark(group="initial sync")
def test_initial_sync(
    benchmark: Any,
    medium: Medium,
    pair: list[Path],
    size: int,
    rounds: int,
    board: Board,
    absent: str | None,
) -> None:
    source, target = pair
    peers = full_copies(medium, source, target, rounds)
    title = f"initial sync, {medium.name}, {size >> 20} MiB, {rounds} rounds"
    with ExitStack() as stack:
        ours: Copy | None = None
        if absent is None:
            volume_file = medium.folder / "bench.exv"
            _, volume = stack.enter_context(subject.opened(volume_file, source))
            ours = subject.InitialSync(medium, source, target, rounds, volume)
        first, *others = [ours, *peers] if ours else peers
        table = contest(benchmark, first, list(others), rounds)
    ratios = board.add_contest(title, table, size, ours.name if ours else None)
    benchmark.extra_info.update({"bytes": size, "ratios": ratios})
    _targets(board, medium, table, ratios, ours)
    start = time.perf_counter()
    subprocess.run(["qemu-img", "--version"], stdout=subprocess.DEVNULL, check=True)
    spent = 1000 * (time.perf_counter() - start)
    board.notes.append(f"{title}: qemu-img's times hold its own start, {spent:.0f} ms")
    if absent:
        pytest.skip(f"only the peers were measured: {absent}")


def _targets(
    board: Board,
    medium: Medium,
    table: dict[str, Series],
    ratios: dict[str, float],
    ours: Copy | None,
) -> None:
    """The promised figures; against the faster of qemu-img's two ways where there are two."""
    plain = {
        name: ratio for name, ratio in ratios.items() if name.startswith("qemu-img convert -m16")
    }
    convert = min(plain, key=lambda name: plain[name]) if plain else None
    ratio = plain[convert] if convert else None
    title = f"initial sync, {medium.name}: rate against "
    if not medium.direct:
        board.at_least(title + "qemu-img convert -m 16 -W", 1.8, ratio)
        board.at_least(title + "the best tuned peer", 1.5, min(ratios.values(), default=None))
        return
    board.at_least(title + "qemu-img convert -m 16 -W", 0.97, ratio)
    cpu = None
    if ours is not None and convert is not None:
        cpu = table[ours.name].cpu_median / max(table[convert].cpu_median, 1e-9)
    board.at_most("initial sync, disk: CPU per GiB against the same", 1.0, cpu, "x")
