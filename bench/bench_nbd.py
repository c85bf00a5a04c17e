"""Writes through NBD on tmpfs: exshadow beside nbdkit and QEMU, alone and mirrored."""

from __future__ import annotations

import shutil
import statistics
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from bench import images
from bench.measure import MIB, Board
from bench.nbd_servers import (
    LOADS,
    Load,
    Result,
    exshadow_server,
    nbdkit_server,
    qemu_server,
    run_fio,
)

SIZE = 256 * MIB
TOOLS = ("fio", "nbdkit", "qemu-storage-daemon")

pytestmark = [
    pytest.mark.usefixtures("needs_engine"),
    pytest.mark.skipif(
        any(shutil.which(tool) is None for tool in TOOLS), reason=f"needs {', '.join(TOOLS)}"
    ),
]


def contest(
    benchmark: Any, rounds: int, load: Load, servers: dict[str, AbstractContextManager[str]]
) -> dict[str, Result]:
    """Medians of interleaved rounds; exshadow is the one pytest-benchmark sees."""
    found: dict[str, list[Result]] = {name: [] for name in servers}
    with ExitStack() as stack:
        uris = {name: stack.enter_context(server) for name, server in servers.items()}

        def peers() -> None:
            for name in uris.keys() - {"exshadow"}:
                found[name].append(run_fio(uris[name], load, SIZE))

        def subject() -> None:
            found["exshadow"].append(run_fio(uris["exshadow"], load, SIZE))

        benchmark.pedantic(subject, setup=peers, rounds=rounds, iterations=1)
    return {
        name: Result(
            statistics.median(one.iops for one in results),
            statistics.median(one.p99_us for one in results),
        )
        for name, results in found.items()
    }


def note(board: Board, title: str, results: dict[str, Result]) -> None:
    parts = [
        f"{name} {one.iops:.0f} IOPS, p99 {one.p99_us:.0f} us" for name, one in results.items()
    ]
    board.notes.append(f"NBD on tmpfs, {title}: {'; '.join(parts)}")


def some_images(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"nbd-{number}.img" for number in range(count)]
    for number, path in enumerate(paths):
        images.write_noise(path, SIZE, number)
    return paths


@pytest.mark.benchmark(group="nbd")
@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.title)
def test_without_mirrors(
    benchmark: Any, memory_folder: Path, rounds: int, board: Board, load: Load
) -> None:
    one, two, three, spare = some_images(memory_folder, 4)
    results = contest(
        benchmark,
        rounds,
        load,
        {
            "exshadow": exshadow_server(memory_folder, one),
            "nbdkit": nbdkit_server(memory_folder, two),
            "qsd": qemu_server(memory_folder, three, spare, mirrored=False),
        },
    )
    ours = results["exshadow"]
    board.at_least(f"NBD {load.title}, to nbdkit file", 1.0, ours.iops / results["nbdkit"].iops)
    board.at_least(f"NBD {load.title}, to QSD", 1.5, ours.iops / results["qsd"].iops)
    better = min(results["nbdkit"].p99_us, results["qsd"].p99_us)
    board.at_most(f"NBD {load.title}, p99 to the better peer's", 1.0, ours.p99_us / better, "x")
    note(board, load.title, results)


@pytest.mark.benchmark(group="nbd mirrored")
@pytest.mark.parametrize("load", LOADS, ids=lambda load: load.title)
def test_with_one_mirror_and_tracking(
    benchmark: Any, memory_folder: Path, rounds: int, board: Board, load: Load
) -> None:
    one, mirror, two, other = some_images(memory_folder, 4)
    mirror.unlink()
    results = contest(
        benchmark,
        rounds,
        load,
        {
            "exshadow": exshadow_server(memory_folder, one, mirror),
            "qsd": qemu_server(memory_folder, two, other, mirrored=True),
        },
    )
    ours, peer = results["exshadow"], results["qsd"]
    board.at_least(f"NBD mirrored {load.title}, to QSD", 2.0, ours.iops / peer.iops)
    board.at_most(f"NBD mirrored {load.title}, p99 to QSD's", 1.0, ours.p99_us / peer.p99_us, "x")
    note(board, f"mirrored {load.title}", results)
