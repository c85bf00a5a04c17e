"""Instant restore: from the call to the first right bytes, small volume and huge one alike."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path
from typing import Any

import pytest

from bench.measure import GIB, MIB, Board

REGION = 65536
CHANGED = 256 * MIB
LIMIT = 64 * MIB  # bytes a second of the mover, so that nearly everything is still to be moved

pytestmark = pytest.mark.usefixtures("needs_engine")


@pytest.mark.benchmark(group="instant restore")
@pytest.mark.parametrize("size", [GIB, 1024 * GIB], ids=["1G", "1T"])
def test_first_read_after_instant_restore(
    benchmark: Any, memory_folder: Path, size: int, rounds: int, board: Board
) -> None:
    from exshadow import Engine

    name = f"v{size // GIB}"
    plex = memory_folder / f"{name}.img"
    with plex.open("wb") as file:
        file.truncate(size)
    chooser = random.Random(size)
    offsets = [
        REGION * number for number in chooser.sample(range(size // REGION), CHANGED // REGION)
    ]
    noise = random.Random(1).randbytes(REGION)
    answered: list[float] = []
    first: list[float] = []
    left: list[int] = []
    with Engine() as engine:
        volume = engine.create(memory_folder / f"{name}.exv", plex=plex)
        volume.add_plex(memory_folder / f"{name}-m2.img", label="m2").wait()
        for offset in offsets:
            volume.write(offset, noise)
        engine.split([volume], "noon")

        def damage() -> None:
            """Everything that was moved back is spoilt again."""
            for offset in offsets:
                volume.write(offset, bytes(REGION))
            volume.flush()

        def restore() -> None:
            start = time.perf_counter()
            job = volume.restore("noon", mode="instant", limit=LIMIT)
            answered.append(time.perf_counter() - start)
            found = volume.read(chooser.choice(offsets), 4096)
            first.append(time.perf_counter() - start)
            left.append(volume.info()["bytes_to_move"])
            assert found == noise[:4096]
            job.cancel()
            while not job.done:
                time.sleep(0.001)
            volume.sync().wait()
            assert all(volume.read(offset, REGION) == noise for offset in offsets[::16])

        benchmark.pedantic(restore, setup=damage, rounds=rounds, iterations=1)
    for path in memory_folder.glob(f"{name}*.img"):
        path.unlink()
    shown = "1 TiB, sparse" if size > GIB else "1 GiB"
    worst = 1000 * max(first)
    call, read = (1000 * statistics.median(one) for one in (answered, first))
    benchmark.extra_info.update({"answered": answered, "first_read": first})
    board.at_most(f"instant restore of {shown}: first right read, worst round", 100, worst, "ms")
    board.notes.append(
        f"instant restore of {shown}: answered in {call:.2f} ms, first read after {read:.2f} ms "
        f"(medians of {len(first)}), then at least {min(left) >> 20} of {CHANGED >> 20} MiB to move"
    )
