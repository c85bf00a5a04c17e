"""Writes the seed corpus of the ESE fuzzer (`python tests/fuzz/ese_corpus.py`); it is in git."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "python"))

from ese_log_maker import Chain, LogHeader, Segments, checkpoint, flush_map, log7, log8  # noqa: E402
from ese_maker import Database, Header, all_legacy, trailer  # noqa: E402

DATABASE, LOG, COMPANION, SEALED, CURRENT = 0, 1, 2, 0x40, 0x80


def kind(number: int, marks: int = 0) -> bytes:
    """A first byte that is `number` modulo 3 and bears the marks."""
    return bytes([next(marks | low for low in range(64) if (marks | low) % 3 == number)])


def seeds() -> dict[str, bytes]:
    small = Header(2048)
    old = LogHeader(9, (7, 3704, 5, 0), 512, 8, 12, 4096)
    return {
        "database": kind(DATABASE, SEALED) + Database(small, pages=2, empty=frozenset({1})).build(),
        "legacy": kind(DATABASE, SEALED) + Database(small, pages=2, legacy=all_legacy(2)).build(),
        "trailer": kind(DATABASE) + Database(small, pages=1, trailer=trailer(2048, 2, 3)).build(),
        "segments": kind(LOG, SEALED) + log8(LogHeader(9, file_sectors=4), Segments(1, stale=3)),
        "current": kind(LOG, SEALED | CURRENT) + log8(LogHeader(9, file_sectors=3)),
        "records": kind(LOG, SEALED) + log7(old, Chain(5))[0],
        "shadow": kind(LOG, SEALED | CURRENT) + log7(old, Chain(5, shadow=True))[0],
        "checkpoint": kind(COMPANION, SEALED) + checkpoint(5),
        "map": kind(COMPANION, SEALED) + flush_map(1),
    }


def main() -> None:
    folder = HERE / "corpus" / "ese_files"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in seeds().items():
        (folder / name).write_bytes(bytes(content))


if __name__ == "__main__":
    main()
