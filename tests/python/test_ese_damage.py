"""Damaged files of ESE: every damage is seen but those that the format itself cannot show."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import ese_damage as damage
import ese_maker as maker
import ese_samples
import numpy as np
import pytest
from ese_damage import DAMAGES, Subject, hidden
from ese_folders import GENERATIONS
from ese_log_maker import Chain, LogHeader, Segments, checkpoint, flush_map, log7, log8
from ese_maker import Database, Header, all_legacy
from ese_sums import PAGE_SIZES

from exshadow import ese
from exshadow._core import EseFile
from exshadow.errors import IntegrityError
from exshadow.ese import FileReport

ROUNDS = 60  # for each file
SOAK_ROUNDS = 250


def made_subjects() -> list[Subject]:
    found = [
        damage.database(
            f"made-{size}.edb",
            Database(Header(size), pages=20, empty=frozenset({4, 19, 20}), seed=size).build(),
        )
        for size in PAGE_SIZES
    ]
    legacy = Database(Header(4096, revision=9), pages=20, legacy=all_legacy(20))
    mixed = Database(
        Header(4096), pages=20, legacy=frozenset(range(1, 20, 3)), empty=frozenset({6})
    )
    dirty = Header(8192, state=maker.DIRTY, required=(3, 4))
    twice = Database(dirty, second=Header(8192, state=maker.DIRTY, required=(2, 4)), pages=12)
    image = Header(8192, state=maker.DIRTY, required=(3, 4), current_full=(3, 0))
    ended = Database(image, pages=12, trailer=maker.trailer(8192, 3, 4))
    lone = Database(Header(8192, flags=maker.SHADOW_OFF), pages=12)
    for name, one in (
        ("legacy.edb", legacy),
        ("mixed.edb", mixed),
        ("copies-differ.edb", twice),
        ("trailer.edb", ended),
        ("one-copy.edb", lone),
    ):
        found.append(damage.database(name, one.build(), second_kept=one is not lone))
    _, stm = maker.streaming_pair(Header(4096, revision=9), pages=4, stm_pages=8)
    return [*found, damage.streaming("priv1.stm", stm), *made_logs(), *made_companions()]


def made_logs() -> list[Subject]:
    header = LogHeader(0x12)
    found = [
        damage.segments("E0000012.log", log8(header)),
        damage.segments("E0100012.log", log8(header, Segments(9, shadow=False, stale=0x0F))),
        damage.segments("E00.log", log8(header, Segments(6))),
        damage.segments("E01.log", log8(header, Segments(6, stale=0x0F))),
    ]
    for kind, name, shadow in (
        ("2003", "E0200012.log", False),
        ("2003-sp1", "E02.log", True),
        ("2007", "E0300000012.log", False),
        ("2010", "E03.log", True),
    ):
        old = LogHeader(0x12, GENERATIONS[kind].version, 512, 8, 64, GENERATIONS[kind].page_size)
        found.append(damage.records(name, *log7(old, Chain(30, shadow=shadow))))
    return found


def made_companions() -> list[Subject]:
    return [
        damage.pair_of_headers("E00.chk", checkpoint(5)),
        damage.pair_of_headers("E01.chk", checkpoint(5)[:4096] + checkpoint(6)[:4096]),
        damage.flush_map("made.jfm", flush_map(4)),
    ]


def real_subjects() -> list[Subject]:
    found = []
    for sample in ese_samples.table():
        content, name = sample.read(), Path(sample.name.removesuffix(".gz")).name
        if sample.kind == "database" and "JustCreated" not in sample.content:
            kept = "shadowing disabled" not in _note(sample.name)
            found.append(damage.database(name, content, kept))
        elif sample.kind == "log" and not name.endswith("tmp.log"):
            found.append(damage.segments(name, content))
        elif sample.kind == "checkpoint":
            found.append(damage.pair_of_headers(name, content))
        elif sample.kind == "flushmap":
            found.append(damage.flush_map(name, content))
    return found


def _note(name: str) -> str:
    readme = (ese_samples.folder() / "README.md").read_text(encoding="utf-8")
    return next(line for line in readme.splitlines() if line.startswith(f"| {name} "))


# --- random damage ---


class Bench:
    """One file on disk that is damaged and mended again."""

    def __init__(self, folder: Path, subject: Subject) -> None:
        self.subject = subject
        self.path = folder / subject.name
        self.path.write_bytes(subject.content)
        self.sound = self.judge()
        assert self.sound.ok, self.sound.findings

    def judge(self) -> FileReport:
        (report,) = ese.check([self.path]).files
        return report

    def seen(self, new: bytearray) -> bool:
        """Not ok, or at least told: the parts of a checkpoint and of a torn end have a spare."""
        changed = np.flatnonzero(
            np.frombuffer(self.subject.content, np.uint8) != np.frombuffer(new, np.uint8)
        )
        first, last = int(changed[0]), int(changed[-1]) + 1
        with self.path.open("r+b") as file:
            file.seek(first)
            file.write(new[first:last])
        report = self.judge()
        with self.path.open("r+b") as file:
            file.seek(first)
            file.write(self.subject.content[first:last])
        if not report.ok:
            assert report.findings
            return True
        return report.bad > self.sound.bad or any(
            "shadow is whole" in one for one in report.findings
        )


def put_through(subject: Subject, folder: Path, rounds: int) -> Counter[str]:
    """Damage a file again and again; every damage that can be seen is."""
    bench, chance, tally = Bench(folder, subject), random.Random(subject.name), Counter[str]()
    while tally["seen"] + tally["hidden"] < rounds:
        how = chance.choice(DAMAGES)
        new = how(subject, chance)
        assert len(new) == len(subject.content)
        if new == subject.content:
            continue
        units = [
            unit
            for unit in subject.units
            if new[unit.begin : unit.end] != subject.content[unit.begin : unit.end]
        ]
        if all(hidden(subject, new, unit) for unit in units):
            tally["hidden"] += 1
            continue
        assert bench.seen(new), f"{subject.name}: {how.__name__} of {units} was not seen"
        tally["seen"] += 1
    assert bench.judge() == bench.sound
    return tally


@pytest.mark.parametrize("subject", made_subjects(), ids=lambda subject: subject.name)
def test_damage_of_made_files_is_seen(subject: Subject, tmp_path: Path) -> None:
    assert put_through(subject, tmp_path, ROUNDS)["seen"] > ROUNDS // 8


@pytest.mark.parametrize("subject", real_subjects(), ids=lambda subject: subject.name)
def test_damage_of_real_files_is_seen(subject: Subject, tmp_path: Path) -> None:
    assert put_through(subject, tmp_path, ROUNDS)["seen"] > ROUNDS // 8


@pytest.mark.soak
def test_ten_thousand_damages_are_seen(tmp_path: Path) -> None:
    total = Counter[str]()
    for number, subject in enumerate([*made_subjects(), *real_subjects()]):
        folder = tmp_path / str(number)
        folder.mkdir()
        total += put_through(subject, folder, SOAK_ROUNDS)
    print(f"damages: {total}")
    assert total["seen"] + total["hidden"] >= 10_000
    assert total["hidden"] < total["seen"]


def test_the_blind_spots_are_named() -> None:
    """The rules of `ese_damage.hidden`, each in the words a user reads."""
    text = " ".join(ese.BLIND_SPOTS)
    for words in (
        "older version",
        "zeroed",
        "cut short",
        "end of a log",
        ".stm",
        "last record",
        "header",
    ):
        assert words in text


# --- all single bits ---


@pytest.mark.parametrize(
    ("size", "kind"),
    [
        *((size, "ecc") for size in PAGE_SIZES),
        *((size, kind) for size in PAGE_SIZES[:3] for kind in ("legacy", "empty")),
    ],
)
def test_every_bit_of_a_page_is_seen(size: int, kind: str, tmp_path: Path) -> None:
    """Bit i of page i, as many at a time as the file has pages."""
    pages = 512
    numbers = frozenset(range(1, pages + 1))
    made = Database(
        Header(size),
        pages=pages,
        empty=numbers if kind == "empty" else frozenset(),
        legacy=numbers if kind == "legacy" else frozenset(),
    )
    path = tmp_path / "a.edb"
    path.write_bytes(made.build())
    content = np.memmap(path, np.uint8, "r+", 2 * size, (pages, size))
    rows, file = np.arange(pages), EseFile.open(path)
    for first in range(0, 8 * size, pages):
        bits = (first + rows) % (8 * size)
        content[rows, bits // 8] ^= np.uint8(1) << (bits % 8).astype(np.uint8)
        found = file.scan(listed=pages)
        content[rows, bits // 8] ^= np.uint8(1) << (bits % 8).astype(np.uint8)
        assert found["bad"] == pages
        if kind == "ecc":
            named = {
                page["page"] - 1: page["bit"]
                for page in found["list"]
                if page["state"] == "correctable"
            }
            assert all(named[row] == bits[row] for row in named)
            assert len(named) >= pages - 300  # all but the sums and the flag that chooses them
    assert file.scan()["bad"] == 0


def each_bit(path: Path, begin: int, size: int, seen) -> None:
    """Flip every bit of a range in place and ask."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        for at in range(begin, begin + size):
            (byte,) = os.pread(descriptor, 1, at)
            for bit in range(8):
                os.pwrite(descriptor, bytes([byte ^ 1 << bit]), at)
                assert seen(), f"bit {bit} of byte {at} was not seen"
            os.pwrite(descriptor, bytes([byte]), at)
    finally:
        os.close(descriptor)


def corrupt(read) -> bool:
    try:
        read()
    except IntegrityError:
        return True
    return False


def test_every_bit_of_every_header_is_seen(tmp_path: Path) -> None:
    for name, content, size, seen in (
        (
            "a.edb",
            Database(Header(2048), pages=2).build(),
            2048,
            lambda file: not file.database_header()["first_good"],
        ),
        ("E00.log", log8(LogHeader(3)), 4096, lambda file: corrupt(file.log_header)),
        ("E00.chk", checkpoint(3), 4096, lambda file: not file.checkpoint()["first_good"]),
        ("a.jfm", flush_map(), 8192, lambda file: corrupt(file.flush_map)),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        file = EseFile.open(path)
        assert not seen(file)
        each_bit(path, 0, size, lambda seen=seen, file=file: seen(file))


@pytest.mark.parametrize(
    ("number", "current"), [(1, False), (2, True), (3, True), (4, False), (5, True)]
)
def test_every_bit_of_a_segment_is_seen(number: int, current: bool, tmp_path: Path) -> None:
    """Valid ones, the shadow (3), a stale and a zero one."""
    made = log8(LogHeader(9, file_sectors=6), Segments(2, stale=4))
    made[5 * 4096 :] = bytes(4096)
    path = tmp_path / "E00.log"
    path.write_bytes(made)
    file = EseFile.open(path)
    assert file.log_body(current)["sound"]

    each_bit(path, number * 4096, 4096, lambda: not file.log_body(current)["sound"])


def test_every_bit_under_a_checksum_record_is_seen(tmp_path: Path) -> None:
    header = LogHeader(9, (7, 3704, 5, 0), 512, 8, 16, 4096)
    made, places = log7(header, Chain(9))
    path = tmp_path / "E0000009.log"
    path.write_bytes(made)
    file = EseFile.open(path)
    assert file.log_body(False)["sound"]
    last = places[-1]
    covered = last + 22 + int.from_bytes(made[last + 5 : last + 9], "little")
    each_bit(path, 4096, covered - 4096, lambda: not file.log_body(False)["sound"])
