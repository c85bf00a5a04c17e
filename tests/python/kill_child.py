"""The process that test_kill kills: opens volumes, writes to them and works on them as told.

``kill_child.py ORDER`` with a JSON order (see `Order`). Tells on stdout, record by record, what it
is about to do and what has been answered; the records are kill_model's.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from dataclasses import dataclass

from kill_model import BLOCK, SIZES, WRITERS, Kind, block_bytes, pack

import exshadow


@dataclass(frozen=True)
class Order:
    """What to do."""

    work: str  # open write sync split resync restore
    volumes: list[str]  # volume files
    targets: list[str]  # files that `sync` adds as plex m3
    label: str  # of the snapshot
    limit: int  # bytes a second that a copy may move
    seed: int
    sequence: int  # of the first write
    quarter: int  # first quarter of the volumes that is written to
    loop: str


def tell(kind: Kind, writer: int = 0, volume: int = 0, block: int = 0, sequence: int = 0) -> None:
    """One record, in one write: records of several threads do not mix."""
    os.write(1, pack(kind, writer, volume, block, sequence))


def write_load(order: Order, volumes: list[exshadow.Volume], writer: int) -> None:
    """Write blocks that name themselves, one after the other, until killed."""
    dice = random.Random(order.seed * WRITERS + writer)
    sequence = order.sequence + writer
    while True:
        number = dice.randrange(len(volumes))
        blocks = SIZES[number] // BLOCK
        block = dice.randrange(blocks * order.quarter // 4, blocks) // WRITERS * WRITERS + writer
        block = min(block, blocks - WRITERS + writer)
        tell(Kind.BEGUN, writer, number, block, sequence)
        volumes[number].write(block * BLOCK, block_bytes(number, block, sequence))
        tell(Kind.ANSWERED, writer, number, block, sequence)
        if dice.randrange(50) == 0:
            volumes[number].flush()
        sequence += WRITERS


def copy(jobs: list[exshadow.Job]) -> None:
    """Tell how far the first job is until all are done."""
    for job in jobs:
        while True:
            try:
                job.wait(0.05)
                break
            except TimeoutError:
                tell(Kind.PROGRESS, sequence=jobs[0].progress()["bytes_done"])


def work(order: Order, engine: exshadow.Engine, volumes: list[exshadow.Volume]) -> None:
    limit = order.limit or None
    tell(Kind.WORK_BEGUN)
    if order.work == "sync":
        pairs = zip(volumes, order.targets, strict=True)
        copy([volume.add_plex(target, label="m3", limit=limit) for volume, target in pairs])
    elif order.work == "resync":
        copy([volume.resync(order.label, limit=limit) for volume in volumes])
    elif order.work == "restore":
        copy([volume.restore(order.label, limit=limit) for volume in volumes])
    elif order.work == "split":
        engine.split(volumes, order.label)
    tell(Kind.WORK_DONE)


def main() -> None:
    order = Order(**json.loads(sys.argv[1]))
    if order.work == "open":
        tell(Kind.READY)
    engine = exshadow.Engine(loop=order.loop)
    volumes = [engine.open(path) for path in order.volumes]
    if order.work == "open":
        threading.Event().wait()
    if order.work != "restore":  # no client reads or writes while production is copied over
        for writer in range(WRITERS):
            threading.Thread(target=write_load, args=(order, volumes, writer), daemon=True).start()
    if order.work == "split":
        threading.Event().wait(random.Random(order.seed).random() / 20)  # into the middle of writes
    tell(Kind.READY)
    work(order, engine, volumes)
    threading.Event().wait()


if __name__ == "__main__":
    main()
