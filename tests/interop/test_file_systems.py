"""ext4 and XFS on an attached volume: frozen, split, and the copy mounted read-only."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from machine import need_root, run

from interop.beds import MIB, Served, attached, frozen, mounted, need, sha256, status


@dataclass(frozen=True)
class Kind:
    """How a file system is made, checked and mounted beside its original."""

    name: str
    size: int
    make: tuple[str, ...]
    check: tuple[str, ...]
    copy_options: str
    tools: tuple[str, ...]


KINDS = [
    Kind(
        "ext4", 96 * MIB, ("mkfs.ext4", "-q", "-F"), ("e2fsck", "-f", "-n"),
        "ro,noload", ("mkfs.ext4", "e2fsck"),
    ),
    Kind(
        "xfs", 320 * MIB, ("mkfs.xfs", "-q", "-f"), ("xfs_repair", "-n"),
        "ro,nouuid,norecovery", ("mkfs.xfs", "xfs_repair"),
    ),
]  # fmt: skip


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    need_root()
    need("nbdfuse", "fsfreeze", *request.param.tools)
    if request.param.name not in Path("/proc/filesystems").read_text():
        run("modprobe", request.param.name)
    return request.param


def fill(place: Path, number: int) -> dict[str, bytes]:
    """A tree of files of all sizes, not flushed."""
    made = {}
    for size in (0, 1, 4095, 70_000, 2 * MIB):
        name = f"{number}-{size}"
        made[name] = os.urandom(size)
        (place / name).write_bytes(made[name])
    return made


def content(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in place.iterdir() if path.is_file()}


def clean(kind: Kind, path: Path) -> None:
    found, said = status(*kind.check, path)
    assert found == 0, said


def clean_copy(kind: Kind, served: Served, place: Path) -> None:
    """The copy of a frozen file system is clean as it lies there. XFS leaves one record in its log
    on purpose when it freezes, so that copies are recovered: it is, in a throw-away view."""
    if kind.name == "ext4":
        clean(kind, served.folder / "db-m1.img")
        return
    with attached(served.uri("db@noon+view"), served.folder) as device:
        with mounted(device, place, "-o", "nouuid"):
            pass
        clean(kind, Path(device))


def writer(stack: ExitStack, place: Path) -> None:
    """A process that keeps the file system busy until the block ends."""
    script = f"while :; do dd if=/dev/urandom of={place}/busy bs=16k count=20 status=none; done"
    process = stack.enter_context(subprocess.Popen(["sh", "-c", script]))
    stack.callback(process.terminate)


def test_a_frozen_file_system_splits_clean(kind: Kind, bed: Path, stack: ExitStack) -> None:
    served = stack.enter_context(Served(bed, {"db": kind.size}))
    device = stack.enter_context(attached(served.uri("db"), bed))
    run(*kind.make, device)
    with ExitStack() as inner:
        place = inner.enter_context(mounted(device, bed / "place"))
        writer(inner, place)
        before = fill(place, 1)
        with frozen(place):
            served.split("noon")
            copy = bed / "db-m1.img"
            bytes_before = sha256(copy)
            served.volumes[0].flush()
            assert sha256(bed / "db.img") == bytes_before
        fill(place, 2)
        clean_copy(kind, served, bed / "copy")
        with (
            attached(served.uri("db@noon"), bed, read_only=True) as second,
            mounted(second, bed / "copy", "-o", kind.copy_options) as seen,
        ):
            found = content(seen)
            found.pop("busy", None)
            assert found == before
            assert status("touch", seen / "x")[0] != 0
        assert sha256(copy) == bytes_before
    served.volumes[0].flush()
    clean(kind, bed / "db.img")
    served.volumes[0].resync("noon").wait()
    served.volumes[0].verify().wait()
    clean(kind, copy)  # production's, by now unmounted


def test_without_a_freeze_the_journal_makes_it_whole(
    kind: Kind, bed: Path, stack: ExitStack
) -> None:
    served = stack.enter_context(Served(bed, {"db": kind.size}))
    device = stack.enter_context(attached(served.uri("db"), bed))
    run(*kind.make, device)
    place = stack.enter_context(mounted(device, bed / "place"))
    before = fill(place, 1)
    run("sync", "--file-system", place)
    writer(stack, place)
    served.split("noon")
    copy = bed / "db-m1.img"
    bytes_before = sha256(copy)
    options = ("-o", "nouuid") if kind.name == "xfs" else ()
    with attached(served.uri("db@noon+view"), bed) as second:
        with mounted(second, bed / "copy", *options) as seen:
            found = content(seen)
            assert before.items() <= found.items()
            (seen / "more").write_bytes(b"writable")
        clean(kind, Path(second))
    assert sha256(copy) == bytes_before
