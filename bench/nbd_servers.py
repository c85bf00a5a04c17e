"""NBD servers on tmpfs for bench_nbd: exshadow, nbdkit's file plugin, QEMU's; and fio."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.qmp import StorageDaemon

RUNTIME_S = 4


@dataclass(frozen=True, slots=True)
class Load:
    """What fio is asked for."""

    title: str
    pattern: str
    block: str
    depth: int
    connections: int


LOADS = [
    Load("4 KiB random write QD1", "randwrite", "4k", 1, 1),
    Load("4 KiB random write QD64", "randwrite", "4k", 64, 1),
    Load("4 KiB random write QD64, 2 connections", "randwrite", "4k", 64, 2),
    Load("256 KiB write QD16", "write", "256k", 16, 1),
    Load("256 KiB write QD16, 2 connections", "write", "256k", 16, 2),
]


@dataclass(frozen=True, slots=True)
class Result:
    iops: float
    p99_us: float


def run_fio(uri: str, load: Load, size: int) -> Result:
    """fio's nbd engine for RUNTIME_S seconds; all connections write to the same export."""
    command = ["fio", "--name=n", "--ioengine=nbd", f"--uri={uri}", f"--rw={load.pattern}"]
    command += [f"--bs={load.block}", f"--iodepth={load.depth}", f"--numjobs={load.connections}"]
    command += [f"--size={size}", "--time_based=1", f"--runtime={RUNTIME_S}", "--ramp_time=1"]
    command += ["--group_reporting=1", "--randrepeat=0", "--output-format=json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    text = done.stdout[done.stdout.index("{") :]
    write = json.loads(text)["jobs"][0]["write"]
    return Result(write["iops"], write["clat_ns"]["percentile"]["99.000000"] / 1000)


@contextmanager
def exshadow_server(folder: Path, image: Path, mirror: Path | None = None) -> Iterator[str]:
    """A volume over `image`, with an in-sync mirror where one is named."""
    from exshadow import Engine

    with Engine() as engine:
        volume = engine.create(folder / "bench.exv", plex=image)
        if mirror is not None:
            volume.add_plex(mirror).wait()
        with engine.serve(folder / "exshadow.sock"):
            yield f"nbd+unix:///bench?socket={folder / 'exshadow.sock'}"
    (folder / "bench.exv").unlink()


@contextmanager
def nbdkit_server(folder: Path, image: Path) -> Iterator[str]:
    """nbdkit's file plugin, as it comes."""
    path = folder / "nbdkit.sock"
    process = subprocess.Popen(["nbdkit", "-f", "-U", str(path), "file", str(image)])
    try:
        while not path.exists():
            assert process.poll() is None, "nbdkit ended"
            time.sleep(0.01)
        yield f"nbd+unix:///?socket={path}"
    finally:
        process.terminate()
        process.wait(timeout=60)
        path.unlink(missing_ok=True)


@contextmanager
def qemu_server(folder: Path, image: Path, mirror: Path, *, mirrored: bool) -> Iterator[str]:
    """qemu-storage-daemon; `mirrored`: a mirror job that writes both at once, and a bitmap."""
    with StorageDaemon(image, mirror, direct=False, aio="threads", folder=folder) as daemon:
        if mirrored:
            daemon.qmp.execute("block-dirty-bitmap-add", node="src", name="b0", granularity=65536)
            daemon.qmp.execute(
                "blockdev-mirror", job_id="m", device="src", target="dst", sync="full",
                copy_mode="write-blocking",
            )  # fmt: skip
            while daemon.qmp.execute("query-jobs")[0]["status"] != "ready":
                time.sleep(0.05)
        yield f"nbd+unix:///v?socket={daemon.nbd_path}"
