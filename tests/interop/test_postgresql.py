"""PostgreSQL on two volumes of a group, under pgbench: every snapshot of it starts and is sound."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from machine import need_root, run

import exshadow
from interop.beds import GIB, MIB, Served, attached, digest_of_data, in_time, mounted, need, until
from interop.postgres import Postgres, programs

SOAK_SNAPSHOTS = int(os.environ.get("EXSHADOW_POSTGRES_SNAPSHOTS", "100"))


@pytest.fixture(autouse=True)
def postgresql() -> None:
    need_root()
    need("nbdfuse", "mkfs.ext4", "runuser")
    programs()


@contextmanager
def placed(served: Served, name: str, suffix: str = "") -> Iterator[Postgres]:
    """The server's two file systems mounted from the exports data+suffix and wal+suffix."""
    folder = served.folder / name
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        for volume in ("data", "wal"):
            device = stack.enter_context(attached(served.uri(volume + suffix), served.folder))
            stack.enter_context(mounted(device, folder / volume))
        yield Postgres(folder / "data", folder / "wal", folder / "sockets")


@contextmanager
def served_database(bed: Path, sizes: dict[str, int], mirrors: int) -> Iterator[Served]:
    """Both volumes with file systems and a database of pgbench on them."""
    with Served(bed, sizes, mirrors) as served:
        for volume in sizes:
            with attached(served.uri(volume), bed) as device:
                run("mkfs.ext4", "-q", "-F", device)
        with placed(served, "live") as server:
            server.create()
            with server.running():
                run(*server.client("pgbench", "--initialize", "--scale=1", "--quiet", "postgres"))
        yield served


def check_snapshot(served: Served, label: str, before: int, after: int) -> None:
    """The set starts in throw-away views; what was committed before the split is in it."""
    with placed(served, "copy", f"@{label}+view") as copy:
        copy.point_at_wal()
        with copy.running():
            copy.check()
            found = copy.history()
            assert before <= found <= after, f"{label}: {found} of {before} to {after}"


def restore_and_check(served: Served, label: str, transactions: tuple[int, int]) -> None:
    """Production itself becomes the set again, by copy."""
    for volume in served.volumes:
        volume.restore(label).wait()
        volume.verify().wait()
    with placed(served, "live") as server, server.running():
        server.check()
        assert transactions[0] <= server.history() <= transactions[1]


@pytest.mark.parametrize(
    ("snapshots", "pause"),
    [
        (3, 0.5),  # the third is taken from the first one's mirror
        pytest.param(
            SOAK_SNAPSHOTS, 3.0, marks=[pytest.mark.soak, pytest.mark.timeout(7200)], id="soak"
        ),
    ],
)
@pytest.mark.timeout(400)
def test_every_snapshot_under_pgbench_starts(bed: Path, snapshots: int, pause: float) -> None:
    """Two mirrors take turns: split, looked at while pgbench goes on, resynced, split again."""
    with served_database(bed, {"data": 384 * MIB, "wal": 256 * MIB}, mirrors=2) as served:
        known: dict[str, tuple[int, int]] = {}
        with (
            placed(served, "live") as server,
            server.running(),
            server.under_pgbench(),
        ):
            for number in range(1, snapshots + 1):
                time.sleep(pause)
                label, mirror = f"s{number}", f"m{1 + number % 2}"
                for volume in served.volumes:
                    if (old := f"s{number - 2}") in volume.snapshots:
                        volume.resync(old).wait()
                before = server.history()
                served.split(label, data=mirror, wal=mirror)
                known[label] = (before, server.history_at_most())
                check_snapshot(served, label, *known[label])
            print(f"{snapshots} snapshots, {server.history()} transactions, all sound")
        for number in (snapshots, snapshots - 1):  # and both that are left, one over the other
            restore_and_check(served, f"s{number}", known[f"s{number}"])


def scribble(place: Path, size: int) -> None:
    """A file of `size` incompressible bytes, or others in its place: what a restore has to move."""
    output = (f"of={place / 'filler'}", "bs=4M", "conv=notrunc,fsync")
    command = ("dd", "if=/dev/urandom", *output)
    subprocess.run([*command, f"count={size // (4 * MIB)}", "status=none"], check=True)


def restore_and_query(
    served: Served, known: tuple[int, int], changed: int, jobs: dict[str, exshadow.Job]
) -> float:
    """Seconds from the call to the first answered query, most data then still to be moved."""
    start = time.monotonic()
    jobs |= served.engine.restore(served.volumes, "noon", limit=8 * MIB)
    answered = time.monotonic() - start
    with placed(served, "live") as server, server.running():
        assert known[0] <= server.history() <= known[1]
        seconds = time.monotonic() - start
        left = served.volumes[0].info()["bytes_to_move"]
        print(f"answered in {answered * 1000:.1f} ms, {left >> 20} MiB left at the first query")
        assert left > changed // 2 or seconds >= 5
    return seconds


@pytest.mark.parametrize(
    ("size", "changed"),
    [
        (GIB, 256 * MIB),
        pytest.param(
            8 * GIB, 2560 * MIB, marks=[pytest.mark.soak, pytest.mark.timeout(1800)], id="soak-8G"
        ),
        pytest.param(
            256 * GIB, 2560 * MIB, marks=[pytest.mark.soak, pytest.mark.timeout(1800)],
            id="soak-256G",
        ),
    ],
)  # fmt: skip
@pytest.mark.timeout(400)
def test_instant_restore_brings_the_server_up(bed: Path, size: int, changed: int) -> None:
    """From the command to the first answered query in under 5 s, most data still to be moved."""
    with served_database(bed, {"data": size, "wal": 256 * MIB}, mirrors=1) as served:
        with placed(served, "live") as server, server.running():
            scribble(server.data, changed)
            with server.under_pgbench():
                time.sleep(1)
                before = server.history()
                served.split("noon")
                known = (before, server.history_at_most())
                time.sleep(1)
            scribble(server.data, changed)
            server.query("drop table pgbench_accounts")
        noon = served.volumes[0].snapshots["noon"]
        digest = digest_of_data(Path(noon.path))
        jobs: dict[str, exshadow.Job] = {}
        taken = in_time(lambda: restore_and_query(served, known, changed, jobs))
        print(f"{size >> 30} GiB: first query {taken} s after the call")
        with placed(served, "live") as server, server.running():
            with server.under_pgbench():
                finish_moving(served, jobs)
            server.check()
        assert digest_of_data(Path(noon.path)) == digest
        check_snapshot(served, "noon", *known)


def finish_moving(served: Served, jobs: Mapping[str, exshadow.Job]) -> None:
    """Pause the slow movers; continue without a limit until everything is moved."""
    for volume in served.volumes:
        job = jobs[volume.name]
        job.cancel()
        until(lambda job=job: job.done, "the mover pauses")
        volume.sync().wait()
        assert volume.info()["bytes_to_move"] == 0
        assert volume.state == "ok"
