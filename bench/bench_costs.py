"""What tracking, memory and splitting cost: figures of exshadow alone."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bench import images
from bench.huge_volume import SIZE as HUGE
from bench.huge_volume import SNAPSHOTS
from bench.measure import MIB, Board
from bench.split_load import WriteLoad

VOLUMES = 16
VOLUME_SIZE = 64 * MIB
REGION = 65536

pytestmark = pytest.mark.usefixtures("needs_engine")


@pytest.mark.benchmark(group="change map")
def test_change_map(benchmark: Any, rounds: int, board: Board) -> None:
    """Hot marks at random over 1 TiB; the scan of a sparse map of 16 TiB."""
    from exshadow import _core

    marks: list[float] = []
    scans: list[float] = []

    def measure() -> None:
        marks.append(_core.change_map_benchmark(1 << 40, REGION, 5_000_000)["mark_ns"])
        scans.append(_core.change_map_benchmark(HUGE, REGION, 1000)["scan_ms"])

    benchmark.pedantic(measure, rounds=rounds, iterations=1)
    mark, scan = statistics.median(marks), statistics.median(scans)
    benchmark.extra_info.update({"mark_ns": mark, "scan_ms": scan})
    board.at_most("hot mark, random over 1 TiB", 20, mark, "ns")
    board.at_most("scan of a sparse 16 TiB map at 64 KiB", 1, scan, "ms")


@pytest.mark.benchmark(group="memory")
def test_memory_of_a_huge_volume(benchmark: Any, memory_folder: Path, board: Board) -> None:
    """An open 16 TiB sparse volume with 4 snapshots, weighed in a process of its own."""
    command = [sys.executable, "-m", "bench.huge_volume"]
    subprocess.run([*command, "build", str(memory_folder)], check=True)
    found: dict[str, float] = {}

    def measure() -> None:
        done = subprocess.run(
            [*command, "open", str(memory_folder)], check=True, stdout=subprocess.PIPE
        )
        found.update(json.loads(done.stdout))

    benchmark.pedantic(measure, rounds=1, iterations=1)
    benchmark.extra_info.update(found)
    title = f"memory of an open 16 TiB volume, {SNAPSHOTS} snapshots"
    board.at_most(title, 256, found["rss"] / MIB, "MiB")
    board.at_most(title + ", peak", 256, found["peak"] / MIB, "MiB")


@pytest.mark.benchmark(group="split")
def test_split_of_many_volumes_under_load(
    benchmark: Any, memory_folder: Path, rounds: int, board: Board
) -> None:
    """16 volumes on tmpfs, written to all the while, are split at one instant."""
    from exshadow import Engine

    calls: list[float] = []
    turns: list[float] = []
    held: list[float] = []
    quiet: list[float] = []
    with ExitStack() as stack:
        engine = stack.enter_context(Engine())
        volumes = []
        for number in range(VOLUMES):
            source = memory_folder / f"v{number}.img"
            images.write_noise(source, VOLUME_SIZE, number)
            volume = engine.create(str(memory_folder / f"v{number}.exv"), plex=str(source))
            volume.add_plex(str(memory_folder / f"v{number}-m2.img"), label="m2").wait()
            volumes.append(volume)
        load = stack.enter_context(WriteLoad(volumes))
        plexes = {volume.name: "m2" for volume in volumes}

        def split() -> None:
            start = time.perf_counter()
            engine.split(volumes, f"s{len(calls)}", plexes=plexes)
            end = time.perf_counter()
            calls.append(end - start)
            turns.append(engine.split_turn_ns() / 1e6)
            held.append(load.worst(start, end))

        def settle() -> None:
            """Bring the last copies back and look at a quiet while of the load."""
            if calls:
                label = f"s{len(calls) - 1}"
                for job in [volume.resync(label) for volume in volumes]:
                    job.wait()
            start = time.perf_counter()
            time.sleep(0.2)
            quiet.append(load.worst(start, time.perf_counter()))

        benchmark.pedantic(split, setup=settle, rounds=rounds, iterations=1)
    call, turn = statistics.median(calls) * 1000, statistics.median(turns)
    figures = {"call_ms": call, "turn_ms": turn, "worst_write_ms": max(held) * 1000}
    benchmark.extra_info.update({**figures, "writes": load.writes})
    board.at_most(f"split of {VOLUMES} volumes under load: the turn", 1, turn, "ms")
    board.at_most(f"split of {VOLUMES} volumes under load: the call", 20, call, "ms")
    board.notes.append(
        f"split under load: {load.writes} writes; worst write during a call {spread(held)}, "
        f"in as many quiet 0.2 s before {spread(quiet)}"
    )


def spread(seconds: list[float]) -> str:
    """Worst and median in milliseconds."""
    return f"{1000 * max(seconds):.2f} ms (median {1000 * statistics.median(seconds):.2f})"
