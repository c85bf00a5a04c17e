"""bench: exshadow's own copier beside ``qemu-img convert``, and the change map.

Both copy the same incompressible source onto the same pre-written target, interleaved, flush
inside the timing; the median counts.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exshadow.errors import InvalidError, IoError, NoSpaceError, NotFoundError
from exshadow.model import Json
from exshadow.service.machine import file_system
from exshadow.service.reporter import Reporter

_CHUNK = 1 << 20
_MAP_SIZE = 1 << 40
_MAP_MARKS = 10_000_000
_SPARSE_SIZE = 16 << 40
_SPARSE_MARKS = 10_000


@dataclass(frozen=True, slots=True)
class Settings:
    """`size` in bytes; `direct`: O_DIRECT where the file system has it."""

    folder: str | None
    size: int
    rounds: int
    direct: bool


def run(settings: Settings, reporter: Reporter) -> Json:
    """Times in seconds, rates in bytes per second, CPU in seconds per GiB."""
    folder = settings.folder or tempfile.gettempdir()
    if not Path(folder).is_dir():
        raise NotFoundError(f"no folder {folder}", hint="make it, or name another with --dir")
    if settings.size < _CHUNK or settings.size % _CHUNK or settings.rounds < 1:
        raise InvalidError(
            "the size must be a multiple of 1M, and at least one round be run",
            hint="exshadow bench --size 64M --rounds 3",
        )
    if shutil.disk_usage(folder).free < settings.size * 2 + (64 << 20):
        raise NoSpaceError(f"{folder} has no room for two files of {settings.size} bytes")
    with tempfile.TemporaryDirectory(prefix="exshadow-bench-", dir=folder) as place:
        copy = _copy_rounds(settings, Path(place), reporter)
    return {
        "bench": {
            "folder": folder,
            "file_system": file_system(folder),
            "size": settings.size,
            "rounds": settings.rounds,
            "copy": copy,
            "change_map": _change_map(reporter),
        }
    }


def _copy_rounds(settings: Settings, place: Path, reporter: Reporter) -> list[Json]:
    source, target = place / "source.img", place / "target.img"
    try:
        for path in (source, target):
            _fill(path, settings.size)
    except OSError as error:
        raise IoError(f"cannot write {place}: {error.strerror}") from error
    runners = _runners(settings, source, target)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runners}
    total = settings.rounds * len(runners)
    for done in range(total):
        name = list(runners)[done % len(runners)]
        times[name].append(_measured(runners[name]))
        reporter.note(f"round {done // len(runners) + 1} of {settings.rounds}: {name}")
    peer = statistics.median(t for t, _ in times["qemu-img"]) if "qemu-img" in times else None
    return [_row(name, found, settings.size, peer) for name, found in times.items()]


def _runners(settings: Settings, source: Path, target: Path) -> dict[str, Callable[[], None]]:
    from exshadow import _core

    def mine() -> None:
        _core.copy_benchmark(str(source), str(target), direct=settings.direct)

    runners: dict[str, Callable[[], None]] = {"exshadow": mine}
    if qemu := shutil.which("qemu-img"):
        cache = ["-t", "none", "-T", "none"] if settings.direct and _direct(target) else []
        command = [qemu, "convert", "-n", "-m", "16", "-W", *cache, "-f", "raw", "-O", "raw"]

        def peer() -> None:
            subprocess.run([*command, str(source), str(target)], check=True, capture_output=True)
            with target.open("rb") as file:
                os.fsync(file.fileno())

        runners["qemu-img"] = peer
    return runners


def _direct(path: Path) -> bool:
    from exshadow import _core

    return bool(_core.probe_file(str(path)).get("direct"))


def _fill(path: Path, size: int) -> None:
    """Incompressible bytes, no two chunks alike."""
    block = bytearray(os.urandom(_CHUNK))
    with path.open("wb") as file:
        for index in range(size // _CHUNK):
            block[:8] = index.to_bytes(8, "little")
            file.write(block)
        file.flush()
        os.fsync(file.fileno())


def _measured(run: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds, the latter with child processes."""
    before, start = _cpu_seconds(), time.monotonic()
    try:
        run()
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise IoError(f"qemu-img failed: {reason}") from error
    return time.monotonic() - start, _cpu_seconds() - before


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _row(name: str, found: list[tuple[float, float]], size: int, peer: float | None) -> Json:
    seconds = statistics.median(wall for wall, _ in found)
    row: Json = {
        "name": name,
        "seconds": seconds,
        "bytes_per_second": size / seconds if seconds else 0.0,
        "cpu_seconds_per_gib": statistics.median(cpu for _, cpu in found) * (1 << 30) / size,
    }
    if peer is not None and name != "qemu-img":
        row["times_qemu_img"] = peer / seconds if seconds else 0.0
    return row


def _change_map(reporter: Reporter) -> list[Json]:
    from exshadow import _core

    reporter.note("change map")
    rows = []
    for size, marks in ((_MAP_SIZE, _MAP_MARKS), (_SPARSE_SIZE, _SPARSE_MARKS)):
        figures = _core.change_map_benchmark(size, 65536, marks)
        rows.append({"size": size, "marks": marks, **figures})
    return rows
