"""Run in a process of its own: builds or opens a 16 TiB sparse volume with 4 snapshots.

    python -m bench.huge_volume build FOLDER     prints nothing
    python -m bench.huge_volume open FOLDER      prints one JSON object, sizes in bytes

Between the splits 1,000 scattered 4 KiB writes are made, so that every interval has marks.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

SIZE = 16 << 40
SNAPSHOTS = 4
WRITES = 1000


def build(folder: Path) -> None:
    """A volume file and 1 + SNAPSHOTS sparse plexes of SIZE."""
    from exshadow import Engine

    base = folder / "huge.img"
    with base.open("wb") as file:
        file.truncate(SIZE)
    chooser = random.Random(16)
    with Engine() as engine:
        volume = engine.create(str(folder / "huge.exv"), plex=str(base))
        for number in range(SNAPSHOTS):
            label = f"m{number}"
            volume.add_plex(str(folder / f"{label}.img"), label=label).wait()
            engine.split([volume], f"s{number}", plexes={volume.name: label})
            for _ in range(WRITES):
                volume.write(chooser.randrange(SIZE // 4096) * 4096, b"x" * 4096)
            volume.flush()


def open_and_weigh(folder: Path) -> dict[str, float]:
    """Resident memory before and after the open, its peak, and what open and diff took."""
    from exshadow import Engine

    before = status("VmRSS")
    with Engine() as engine:
        start = time.perf_counter()
        volume = engine.open(str(folder / "huge.exv"))
        opened = time.perf_counter() - start
        assert len(volume.snapshots) == SNAPSHOTS
        oldest = volume.snapshots["s0"].changed()
        assert len(oldest) >= WRITES
        volume.write(0, b"y" * 4096)
        volume.flush()
        return {
            "rss": status("VmRSS"),
            "peak": status("VmHWM"),
            "rss_before": before,
            "open_seconds": opened,
        }


def status(name: str) -> int:
    """A memory figure of this process from proc(5), in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


if __name__ == "__main__":
    verb, where = sys.argv[1], Path(sys.argv[2])
    if verb == "build":
        build(where)
    else:
        print(json.dumps(open_and_weigh(where)))
