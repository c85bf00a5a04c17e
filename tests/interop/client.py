"""A client by libnbd, run with Debian's Python: writes blocks that say what they are.

``client.py crash URI SEED``: two connections; random blocks through the first, flushes through the
second. ``client.py cut CLIENT SLOTS URI ...``: writes on connections of their own to every volume,
one after the other and several at once, until stdin ends. Both report on stdout, a line a record.
"""

from __future__ import annotations

import random
import select
import struct
import sys
import time
import zlib

BLOCK = 4096
HEAD = struct.Struct("<8sIIQQ")  # magic, client, volume, sequence, offset
TAIL = struct.Struct("<I")
MAGIC = b"exsblock"


def block(client: int, volume: int, sequence: int, offset: int) -> bytes:
    """BLOCK bytes that carry their own name, filled and sealed."""
    head = HEAD.pack(MAGIC, client, volume, sequence, offset)
    body = head + random.Random(head).randbytes(BLOCK - len(head) - TAIL.size)
    return body + TAIL.pack(zlib.crc32(body))


def parse(data: bytes) -> tuple[int, int, int, int] | None:
    """client, volume, sequence, offset; None for zeros. ValueError for anything else."""
    if not any(data):
        return None
    magic, *name = HEAD.unpack_from(data)
    if magic != MAGIC or zlib.crc32(data[: -TAIL.size]) != TAIL.unpack(data[-TAIL.size :])[0]:
        raise ValueError("a torn or foreign block")
    client, volume, sequence, offset = name
    return client, volume, sequence, offset


def connect(uri: str):
    import nbd

    handle = nbd.NBD()
    handle.connect_uri(uri)
    assert handle.can_multi_conn()
    return handle


def crash(uri: str, seed: int) -> None:
    """Says ``flushed N`` when the blocks up to sequence N have been flushed."""
    writes, flushes = connect(uri), connect(uri)
    blocks = writes.get_size() // BLOCK
    chooser = random.Random(seed)
    sequence = 0
    while True:
        for _ in range(chooser.randrange(1, 30)):
            sequence += 1
            offset = chooser.randrange(blocks) * BLOCK
            print("write", sequence, offset, flush=True)
            writes.pwrite(block(seed, 0, sequence, offset), offset)
        flushes.flush()
        print("flushed", sequence, flush=True)


def pieces(client: int, volume: int, sequence: int, start: int, count: int) -> bytes:
    """One write of `count` blocks that all carry the same sequence."""
    return b"".join(
        block(client, volume, sequence, start + number * BLOCK) for number in range(count)
    )


def cut(client: int, slots: int, uris: list[str]) -> None:
    """Says at its end ``VOLUME SEQUENCE OFFSET BLOCKS START ACK`` of each write, times in ns of the
    machine's clock: a pipe that nobody reads yet must not stop it."""
    records = []
    handles = [[connect(uri), connect(uri)] for uri in uris]
    chooser = random.Random(client)
    base, used, sequence = client * slots, [0] * len(uris), 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        together = []
        for volume in range(len(uris)):
            sequence += 1
            count = chooser.choice((1, 1, 1, 2, 17))
            assert used[volume] + count <= slots, "no room for more"
            offset = (base + used[volume]) * BLOCK
            used[volume] += count
            data = bytearray(pieces(client, volume, sequence, offset, count))
            handle = handles[volume][sequence % 2]
            together.append(Write(handle, volume, sequence, offset, count, data))
        if chooser.random() < 0.5:  # one after the other: cause and effect
            for one in together:
                one.start()
                one.finish()
        else:  # under way at the same time
            for one in together:
                one.start()
            for one in together:
                one.finish()
        records += [one.record for one in together]
    print(*records, sep="\n")


class Write:
    """One write on one connection, timed from before it is issued to after its answer."""

    def __init__(self, handle, volume, sequence, offset, count, data) -> None:
        import nbd

        self.name = (volume, sequence, offset, count)
        self.handle, self.offset = handle, offset
        self.buffer = nbd.Buffer.from_bytearray(data)

    def start(self) -> None:
        self.started = time.monotonic_ns()
        self.cookie = self.handle.aio_pwrite(self.buffer, self.offset)

    def finish(self) -> None:
        while not self.handle.aio_command_completed(self.cookie):
            self.handle.poll(-1)
        self.record = " ".join(map(str, (*self.name, self.started, time.monotonic_ns())))


if __name__ == "__main__":
    if sys.argv[1] == "crash":
        sys.tracebacklimit = 0  # its server is killed under it
        crash(sys.argv[2], int(sys.argv[3]))
    else:
        cut(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
