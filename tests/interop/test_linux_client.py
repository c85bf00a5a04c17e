"""Linux's own NBD client: ext4 on /dev/nbd0, fio under way, snapshots taken outside."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from interop.beds import MIB, Served, need, sha256, status, until
from interop.linux_guest import Guest

SIZE = 192 * MIB
ROUNDS = int(os.environ.get("EXSHADOW_GUEST_ROUNDS", "20"))
FIO = (
    "fio --name=v --directory=/mnt --rw=randwrite --size=32m --bsrange=4k-64k --fsync=16"
    " --verify=crc32c --verify_fatal=1 --do_verify=1 --verify_state_save=0 --ioengine=psync"
)


@pytest.fixture
def served(bed: Path, stack: ExitStack) -> Served:
    need("e2fsck")
    return stack.enter_context(Served(bed, {"db": SIZE}, mirrors=2))


@pytest.fixture
def guest(served: Served, bed: Path, stack: ExitStack) -> Guest:
    return stack.enter_context(Guest(bed))


def connect(guest: Guest, served: Served, export: str, device: str, *options: str) -> None:
    words = ("nbd-client", "-N", export, "10.0.2.2", str(served.port), device, *options)
    guest(" ".join(words))


def clean(path: Path) -> None:
    found, said = status("e2fsck", "-f", "-n", path)
    assert found == 0, said


def clean_after_its_journal(path: Path, spare: Path) -> None:
    """A copy of a file system in use: replayed on a copy of the copy it is clean."""
    shutil.copy(path, spare)
    found, said = status("e2fsck", "-y", "-E", "journal_only", spare)
    assert found in (0, 1), said
    clean(spare)
    spare.unlink()


def split_twice(guest: Guest, served: Served, number: int) -> list[str]:
    """Under fio: set `calm` with the file system frozen, set `wild` in the middle of it."""
    labels = [f"calm{number}", f"wild{number}"]
    guest("fsfreeze --freeze /mnt")
    served.split(labels[0], db="m1")
    clean(served.folder / "db-m1.img")
    guest("fsfreeze --unfreeze /mnt")
    time.sleep(0.5)
    served.split(labels[1], db="m2")
    guest("! test -e /tmp/fio.status")  # still writing
    clean_after_its_journal(served.folder / "db-m2.img", served.folder / "spare.img")
    return labels


def compare(guest: Guest, served: Served, label: str, mirror: str, digest: str) -> None:
    """The guest reads from the copy what it wrote before the split, and does not change it."""
    before = sha256(served.folder / f"db-{mirror}.img")
    connect(guest, served, f"db@{label}", "/dev/nbd1", "-R")
    assert guest("cat /sys/block/nbd1/ro").strip() == "1"
    guest("mount -t ext4 -o ro,noload /dev/nbd1 /copy")
    assert guest("sha256sum </copy/file").split()[0] == digest
    guest("umount /copy; nbd-client -d /dev/nbd1 >/dev/null")
    assert sha256(served.folder / f"db-{mirror}.img") == before


def one_round(guest: Guest, served: Served, number: int) -> None:
    guest("dd if=/dev/urandom of=/mnt/file bs=64k count=32 2>/dev/null; sync")
    digest = guest("sha256sum </mnt/file").split()[0]
    guest(f"({FIO} >/tmp/fio 2>&1; echo $? >/tmp/fio.status) & sleep 3")
    labels = split_twice(guest, served, number)
    guest("dd if=/dev/urandom of=/mnt/file bs=64k count=32 conv=notrunc 2>/dev/null; sync")
    for label, mirror in zip(labels, ("m1", "m2"), strict=True):
        compare(guest, served, label, mirror, digest)
    guest("while ! test -s /tmp/fio.status; do sleep 0.2; done", 200)
    assert guest("cat /tmp/fio.status").strip() == "0", guest("cat /tmp/fio")
    guest("rm /tmp/fio.status")
    assert guest("sha256sum </mnt/file").split()[0] != digest
    for label in labels:
        served.volumes[0].resync(label).wait()
    served.volumes[0].verify().wait()


def write_file(guest: Guest, name: str, mebibytes: int) -> str:
    guest(f"dd if=/dev/urandom of=/mnt/{name} bs=1M count={mebibytes} conv=notrunc 2>/dev/null")
    guest("sync")
    return guest(f"sha256sum </mnt/{name}").split()[0]


def restore_under_the_client(guest: Guest, served: Served) -> None:
    """Instant restore below the connected device: mounted again it is what it was, and is written
    to while the data still moves."""
    volume = served.volumes[0]
    before = write_file(guest, "large", 24)
    guest("umount /mnt")
    snapshot = served.split("last", db="m1")["db"]
    copy = sha256(Path(snapshot.path))
    guest("mount -t ext4 /dev/nbd0 /mnt")
    assert write_file(guest, "large", 24) != before
    guest("umount /mnt")
    job = volume.restore(snapshot, mode="instant", limit=MIB)
    guest("mount -t ext4 /dev/nbd0 /mnt")
    assert guest("sha256sum </mnt/large").split()[0] == before
    assert volume.info()["bytes_to_move"] > MIB
    after = write_file(guest, "more", 8)
    job.cancel()
    until(lambda: job.done, "the mover pauses")
    volume.sync().wait()
    assert guest("sha256sum </mnt/more").split()[0] == after
    assert sha256(Path(snapshot.path)) == copy
    clean(Path(snapshot.path))


@pytest.mark.parametrize(
    "rounds",
    [1, pytest.param(ROUNDS, marks=[pytest.mark.soak, pytest.mark.timeout(7200)], id="soak")],
)
@pytest.mark.timeout(600)
def test_ext4_on_a_kernel_client(served: Served, guest: Guest, rounds: int) -> None:
    connect(guest, served, "db", "/dev/nbd0", "-C", "2")
    assert len(served.server.connections) == 2
    guest("mkfs.ext4 -q -F /dev/nbd0", 120)
    guest("mount -t ext4 /dev/nbd0 /mnt")
    for number in range(1, rounds + 1):
        one_round(guest, served, number)
    restore_under_the_client(guest, served)
    guest("umount /mnt; nbd-client -d /dev/nbd0 >/dev/null")
    served.volumes[0].flush()
    for name in ("db", "db-m1", "db-m2"):
        clean(served.folder / f"{name}.img")
    errors = served.server.exports()["db"]["errors"]
    assert errors == 0
