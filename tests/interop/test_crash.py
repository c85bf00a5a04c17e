"""Two connections and kill -9: what was written on one and flushed on the other is there."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from machine import sparse

import exshadow
from interop.beds import MIB, client, need_libnbd, served_child
from interop.client import BLOCK, parse

SIZE = 4 * MIB
KILLS = int(os.environ.get("EXSHADOW_KILLS", "20"))


def kill_under_load(folder: Path, seed: int, seconds: float) -> list[str]:
    """What the client said until its server was killed."""
    uri = f"nbd+unix:///db?socket={folder / 'nbd.sock'}"
    with served_child(folder, ["db"]) as server, client("crash", uri, seed) as writes:
        time.sleep(0.2 + seconds)
        server.send_signal(signal.SIGKILL)
        server.wait()
        assert writes.stdout is not None
        said = writes.stdout.read().splitlines()
        assert writes.wait() != 0  # its connection was cut
    return said


def history(said: Iterable[str]) -> tuple[dict[int, list[int]], int]:
    """Sequences by offset, ascending, and the last that was flushed."""
    written: dict[int, list[int]] = {}
    flushed = 0
    for line in said:
        match line.split():
            case ["write", sequence, offset]:
                written.setdefault(int(offset), []).append(int(sequence))
            case ["flushed", sequence]:
                flushed = int(sequence)
    return written, flushed


def check(data: bytes, before: bytes, said: list[str], seed: int) -> int:
    """Every block holds its last flushed write or a later one; returns how many were flushed."""
    written, flushed = history(said)
    for offset in range(0, SIZE, BLOCK):
        now = data[offset : offset + BLOCK]
        sequences = written.get(offset, [])
        durable = [sequence for sequence in sequences if sequence <= flushed]
        if now == before[offset : offset + BLOCK]:
            assert not durable, f"block {offset} lost write {durable[-1]}"
            continue
        found = parse(now)
        assert found is not None
        client_number, _, sequence, place = found
        assert (client_number, place) == (seed, offset)
        assert sequence in sequences
        assert sequence >= max(durable, default=0), f"block {offset} went back to {sequence}"
    return flushed


@pytest.mark.kill
@pytest.mark.timeout(1800)
def test_flushed_on_another_connection_survives_a_kill(tmp_path: Path) -> None:
    need_libnbd()
    with exshadow.Engine() as engine:
        volume = engine.create(tmp_path / "db.exv", plex=sparse(tmp_path / "db.img", SIZE))
        volume.add_plex(tmp_path / "m2.img", label="m2").wait()
    before, flushed = bytes(SIZE), 0
    kills = max(3, KILLS // 4)
    for seed in range(1, kills + 1):
        said = kill_under_load(tmp_path, seed, 0.02 * (seed % 7))
        with exshadow.Engine() as engine:
            volume = engine.open(tmp_path / "db.exv")
            data = volume.read(0, SIZE)
            flushed += check(data, before, said, seed)
            volume.verify().wait()
        before = data
    assert flushed > 0
    print(f"{kills} kills, {flushed} flushed writes, all there")
