"""Resync after 1 % and 5 % of the regions changed beside QEMU's backup by dirty bitmap."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bench import subject
from bench.conftest import write_images
from bench.images import Medium, random_regions
from bench.measure import Board, Competitor, contest
from bench.peers import BitmapResync

REGION = 65536


@pytest.fixture(scope="module")
def pairs(medium: Medium, size: int, absent: str | None) -> list[Path]:
    """Both sides own a pair: exshadow does not let others write behind its back."""
    names = ["peer-source", "peer-target"]
    if absent is None:
        names += ["source", "target"]
    paths = write_images(medium, size, names)
    paths[1].write_bytes(b"")
    with paths[0].open("rb") as source, paths[1].open("r+b") as target:
        while piece := source.read(8 << 20):
            target.write(piece)
    return paths


@pytest.mark.usefixtures("needs_peers")
@pytest.mark.benchmark(group="resync")
@pytest.mark.parametrize("percent", [1, 5])
def test_resync(
    benchmark: Any,
    medium: Medium,
    pairs: list[Path],
    size: int,
    rounds: int,
    percent: int,
    board: Board,
    absent: str | None,
) -> None:
    dirty = [random_regions(size, REGION, percent, 100 * n + percent) for n in range(rounds)]
    moved = len(dirty[0]) * REGION
    peer = BitmapResync(medium, pairs[0], pairs[1], dirty, REGION)
    title = (
        f"resync of {percent} %, {medium.name}, {moved >> 20} of {size >> 20} MiB, {rounds} rounds"
    )
    competitors: list[Competitor] = [peer]
    with ExitStack() as stack:
        if absent is None:
            volume_file = medium.folder / f"bench-{percent}.exv"
            engine, volume = stack.enter_context(subject.opened(volume_file, pairs[2]))
            competitors[:0] = [subject.Resync(engine, volume, (pairs[2], pairs[3]), dirty, REGION)]
        first, *others = competitors
        table = contest(benchmark, first, others, rounds)
    ratios = board.add_contest(title, table, moved, None if absent else first.name)
    benchmark.extra_info.update({"bytes": moved, "ratios": ratios})
    wanted = 1.5 if medium.direct else 2.0
    name = f"resync of {percent} %, {medium.name}: rate against QEMU's bitmap backup"
    board.at_least(name, wanted, ratios.get(peer.name))
    if absent:
        pytest.skip(f"only the peer was measured: {absent}")
