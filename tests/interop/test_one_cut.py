"""One cut over volumes and connections: every set is the state at one instant.

Several processes write blocks that say what they are to three volumes, on two connections to each,
and note when each write was issued and answered on the clock that all of them share. A set is one
instant exactly when every write that it lacks was answered after every write that it has was
issued; and that instant lies within the call that made it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from interop.beds import MIB, Served, client, need_libnbd
from interop.client import BLOCK, parse

CLIENTS = 3
VOLUMES = ("a", "b", "c")
SLOTS = 8192  # blocks of a client on each volume
SIZE = CLIENTS * SLOTS * BLOCK


@dataclass(frozen=True)
class Write:
    volume: str
    client: int
    sequence: int
    offset: int
    blocks: int
    started: int
    answered: int


@dataclass(frozen=True)
class Cut:
    label: str
    begun: int
    ended: int


def records(number: int, said: str) -> list[Write]:
    made = []
    for line in said.splitlines():
        volume, *rest = map(int, line.split())
        made.append(Write(VOLUMES[volume], number, *rest))
    return made


def present(write: Write, data: memoryview) -> bool:
    """Whether all blocks of the write are there; it must be all or none."""
    found = []
    for number in range(write.blocks):
        offset = write.offset + number * BLOCK
        name = parse(bytes(data[offset : offset + BLOCK]))
        expected = (write.client, VOLUMES.index(write.volume), write.sequence, offset)
        assert name in (None, expected), f"{name} where {expected} belongs"
        found.append(name is not None)
    assert len(set(found)) == 1, f"{write} is there in part"
    return found[0]


def check(cut: Cut, writes: list[Write], folder: Path, mirror: str) -> tuple[int, int]:
    """How many writes are in and out of the set."""
    images = {name: memoryview((folder / f"{name}-{mirror}.img").read_bytes()) for name in VOLUMES}
    inside, outside = [], []
    for write in writes:
        (inside if present(write, images[write.volume]) else outside).append(write)
    last_in = max(inside, key=lambda write: write.started)
    assert last_in.started <= cut.ended, f"{cut}: {last_in} began after the split"
    for write in outside:
        assert write.answered >= cut.begun, f"{cut}: {write} was answered before the split"
        assert write.answered >= last_in.started, f"{cut}: {last_in} is in, {write} is not"
    return len(inside), len(outside)


def run_clients(served: Served, cuts: int, pause: float) -> tuple[list[Cut], list[Write]]:
    uris = [served.uri(name) for name in VOLUMES]
    made, writes = [], []
    with ExitStack() as stack:
        clients = [
            stack.enter_context(client("cut", number, SLOTS, *uris)) for number in range(CLIENTS)
        ]
        for number in range(1, cuts + 1):
            time.sleep(pause)
            assert all(one.poll() is None for one in clients)
            begun = time.monotonic_ns()
            served.split(f"s{number}", **dict.fromkeys(VOLUMES, f"m{number}"))
            made.append(Cut(f"s{number}", begun, time.monotonic_ns()))
        time.sleep(pause)
        for number, one in enumerate(clients):
            writes += records(number, one.communicate("stop\n", timeout=60)[0])
            assert one.returncode == 0
    return made, writes


@pytest.mark.parametrize(
    "rounds",
    [1, pytest.param(30, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])],
    ids=["short", "soak"],
)
def test_every_set_is_one_instant(tmp_path: Path, rounds: int) -> None:
    need_libnbd()
    cuts = 4
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Served(folder, dict.fromkeys(VOLUMES, SIZE), mirrors=cuts) as served:
            made, writes = run_clients(served, cuts, 0.3)
        assert {write.volume for write in writes} == set(VOLUMES)
        for place, cut in enumerate(made, 1):
            inside, outside = check(cut, writes, folder, f"m{place}")
            assert inside
            print(
                f"{cut.label}: {inside} in, {outside} out, {(cut.ended - cut.begun) / 1e6:.1f} ms"
            )
        assert outside  # the clients went on after the last one
        for path in folder.glob("*.img"):
            path.unlink()


def test_the_proof_sees_a_cut_that_is_none(tmp_path: Path) -> None:
    """Splits of the volumes one after the other are no set: the check must say so."""
    need_libnbd()
    with Served(tmp_path, dict.fromkeys(VOLUMES, 32 * MIB * CLIENTS)) as served:
        uris = [served.uri(name) for name in VOLUMES]
        with client("cut", 0, SLOTS, *uris) as one:
            time.sleep(0.4)
            begun = time.monotonic_ns()
            for volume in served.volumes:
                served.engine.split([volume], "s1")
                time.sleep(0.1)
            cut = Cut("s1", begun, time.monotonic_ns())
            writes = records(0, one.communicate("stop\n", timeout=60)[0])
    with pytest.raises(AssertionError, match="is in"):
        check(cut, writes, tmp_path, "m1")
