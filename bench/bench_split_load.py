"""Splits of 16 volumes on tmpfs under NBD writes: what clients feel, beside QEMU's transaction."""

from __future__ import annotations

import shutil
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bench.fio_load import FioLoad
from bench.measure import MIB, Board
from bench.split_contest import Exshadow, Side, Transaction

VOLUMES = 16
VOLUME_SIZE = 64 * MIB
SPLITS = 20
BLOCK = 5  # splits of one side before it is the other's turn
WINDOW_S = 0.1

pytestmark = pytest.mark.usefixtures("needs_engine", "needs_peers")


@dataclass(slots=True)
class Felt:
    """Seconds: the calls, the worst writes in the windows round them and in those without."""

    calls: list[float] = field(default_factory=list)
    turns: list[float] = field(default_factory=list)
    split: list[float] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)
    writes: int = 0

    @property
    def ratio(self) -> float:
        return statistics.median(self.split) / statistics.median(self.quiet)

    def text(self, name: str) -> str:
        call, split, quiet = (
            f"{1000 * statistics.median(one):.2f} ms (worst {1000 * max(one):.2f})"
            for one in (self.calls, self.split, self.quiet)
        )
        return (
            f"{name}: {self.writes} writes; call {call}; worst write in {WINDOW_S * 1000:.0f} ms "
            f"round it {split}, in windows without {quiet}, medians of {len(self.calls)}"
        )


def load_and_split(side: Side, folder: Path, felt: Felt) -> None:
    """BLOCK splits under load, each after a window of the same length without one."""
    windows: list[tuple[float, float]] = []
    half = WINDOW_S / 2
    with FioLoad(side.uris, folder) as load:
        for _ in range(BLOCK):
            time.sleep(2 * WINDOW_S)
            quiet = time.time()
            time.sleep(2 * WINDOW_S)
            wall, start = time.time(), time.perf_counter()
            side.split()
            took = time.perf_counter() - start
            time.sleep(2 * WINDOW_S)
            windows.append((quiet, wall + took / 2))
            felt.calls.append(took)
            if isinstance(side, Exshadow):
                felt.turns.append(side.turn)
            side.settle()
    for without, middle in windows:
        felt.quiet.append(load.worst(without - half, without + half))
        felt.split.append(load.worst(middle - half, middle + half))
    felt.writes += len(load.writes)


def check_instrument(peer: Transaction, folder: Path) -> None:
    """A server that stands still for a moment must be seen in the window round it."""
    with FioLoad(peer.uris, folder) as load:
        middle = time.time() + WINDOW_S / 4
        peer.stand_still(WINDOW_S / 2)
        time.sleep(WINDOW_S)
    assert load.worst(middle - WINDOW_S / 2, middle + WINDOW_S / 2) > 0.4 * WINDOW_S


@pytest.mark.benchmark(group="split over NBD")
def test_splits_under_nbd_load(benchmark: Any, memory_folder: Path, board: Board) -> None:
    if shutil.which("fio") is None:
        pytest.skip("needs fio")
    ours, theirs = Felt(), Felt()
    with ExitStack() as stack:
        subject = stack.enter_context(Exshadow(memory_folder, VOLUMES, VOLUME_SIZE))
        peer = stack.enter_context(Transaction(memory_folder, VOLUMES, VOLUME_SIZE))

        check_instrument(peer, memory_folder)

        def contest() -> None:
            for _ in range(SPLITS // BLOCK):
                load_and_split(peer, memory_folder, theirs)
                load_and_split(subject, memory_folder, ours)

        benchmark.pedantic(contest, rounds=1, iterations=1)
    title = f"split of {VOLUMES} volumes under NBD load"
    call, peer_call = (1000 * statistics.median(one.calls) for one in (ours, theirs))
    benchmark.extra_info.update(
        {"call_ms": call, "peer_call_ms": peer_call, "ratio": ours.ratio, "peer": theirs.ratio}
    )
    board.at_most(
        f"{title}: worst write in 100 ms round it, over quiet windows", 2, ours.ratio, "x"
    )
    board.at_most(f"{title}: its call over QEMU's transaction", 0.1, call / peer_call, "x")
    turn = 1000 * statistics.median(ours.turns)
    board.notes.append(f"{ours.text(subject.name)}; turn {turn:.3f} ms")
    board.notes.append(f"{theirs.text(peer.name)}, ratio {theirs.ratio:.2f}")
