"""Folders as sets: files taken away, cut, exchanged; what must come out follows from the rules.

A dirty database needs every log of its range; a folder needs all from the checkpoint, or the lowest
required one, to the current log. What lies below may be missing or damaged: that is only told.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import ese_samples
import pytest
from ese_folders import GENERATIONS, Folder, Stream
from ese_log_maker import checkpoint
from ese_maker import signature
from ese_sums import seal_header

from exshadow import ese
from exshadow.ese import EseReport

LOW = 5  # the checkpoint's generation: the least that the made sets need


@dataclass
class Set:
    """A folder under test and its only verdict."""

    folder: Path

    def check(self) -> EseReport:
        return ese.check([self.folder])

    def must_be(self, ok: bool, *words: str) -> None:
        report = self.check()
        assert report.ok == ok, report.to_json()
        (verdict,) = report.sets
        told = " ".join(
            [*verdict.findings, *(text for one in report.files for text in one.findings)]
        )
        for word in words:
            assert word in told, told
        assert ok or not all(one.ok for one in [*report.files, *report.sets])


@pytest.fixture(params=list(GENERATIONS))
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    return Folder.make(tmp_path / "mdbdata", Stream(request.param))


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("kind", GENERATIONS)
def test_each_log_removed(kind: str, clean: bool, tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "mdbdata", Stream(kind, clean=clean))
    for generation, path in made.logs.items():
        kept = path.read_bytes()
        path.unlink()
        missing = "the current log" if generation == 12 else "missing"
        if generation >= LOW:
            Set(made.path).must_be(False, missing)
        else:
            words = ["gap in the logs"] if generation > 1 else []
            Set(made.path).must_be(True, *words)
        path.write_bytes(kept)
    Set(made.path).must_be(True)


def test_each_log_cut_short(made: Folder) -> None:
    for generation, path in made.logs.items():
        kept = path.read_bytes()
        for size in (0, 100, 4096, len(kept) // 2, len(kept) - 512):
            path.write_bytes(kept[:size])
            Set(made.path).must_be(generation < LOW, "damaged")
        path.write_bytes(kept)
    Set(made.path).must_be(True)


def test_each_log_damaged_by_one_bit(made: Folder) -> None:
    for generation, path in made.logs.items():
        kept = path.read_bytes()
        path.write_bytes(kept[:4100] + bytes([kept[4100] ^ 1]) + kept[4101:])
        Set(made.path).must_be(generation < LOW, "damaged")
        path.write_bytes(kept)


def test_each_log_exchanged_with_another_generation(made: Folder) -> None:
    for generation, path in made.logs.items():
        kept = path.read_bytes()
        other = made.logs[generation - 1 if generation > 1 else 3]
        path.write_bytes(other.read_bytes())
        # The name tells, of the current log that a closed one of its number is there.
        Set(made.path).must_be(generation < LOW)
        path.write_bytes(kept)


def test_two_logs_that_changed_names(made: Folder) -> None:
    for one, other in ((6, 9), (11, 12), (2, 3)):
        first, second = made.logs[one].read_bytes(), made.logs[other].read_bytes()
        made.logs[one].write_bytes(second)
        made.logs[other].write_bytes(first)
        Set(made.path).must_be(one < LOW)
        made.logs[one].write_bytes(first)
        made.logs[other].write_bytes(second)


@pytest.mark.parametrize("kind", GENERATIONS)
def test_each_file_exchanged_with_another_set(kind: str, tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "mdbdata", Stream(kind))
    other = Folder.make(tmp_path / "other", Stream(kind, number=3))
    for generation, path in made.logs.items():
        kept = path.read_bytes()
        path.write_bytes(other.logs[generation].read_bytes())
        Set(made.path).must_be(generation < LOW, "-530")
        path.write_bytes(kept)
    for mine, theirs, words in (
        (made.checkpoint, other.checkpoint, "-532"),
        *((one, two, "") for one, two in zip(made.databases, other.databases, strict=True)),
    ):
        kept = mine.read_bytes()
        mine.write_bytes(theirs.read_bytes())
        report = ese.check([made.path])
        assert not report.ok, mine
        assert words in str(report.to_json())
        mine.write_bytes(kept)
    Set(made.path).must_be(True)


@pytest.mark.parametrize("kind", GENERATIONS)
def test_each_log_exchanged_with_another_line_of_time(kind: str, tmp_path: Path) -> None:
    """The same stream after a restore of an older backup: same signature, other times."""
    made = Folder.make(tmp_path / "mdbdata", Stream(kind))
    other = Folder.make(tmp_path / "other", Stream(kind, line=1))
    for generation, path in made.logs.items():
        kept = path.read_bytes()
        path.write_bytes(other.logs[generation].read_bytes())
        Set(made.path).must_be(generation < LOW, "-515")
        path.write_bytes(kept)


def test_a_log_whose_end_was_lost_is_told_by_the_next(tmp_path: Path) -> None:
    """Segments zeroed at the end: the log alone cannot tell, its successor's sum does."""
    made = Folder.make(tmp_path / "mdbdata", Stream("2013"))
    for generation, words in ((8, "-590"), (3, "-590")):
        kept = made.logs[generation].read_bytes()
        made.logs[generation].write_bytes(kept[: 5 * 4096] + bytes(len(kept) - 5 * 4096))
        Set(made.path).must_be(generation < LOW, words)
        made.logs[generation].write_bytes(kept)


def test_the_checkpoint(made: Folder) -> None:
    """Missing or damaged it is no loss: recovery starts at the oldest log that is required."""
    good = made.checkpoint.read_bytes()
    made.checkpoint.unlink()
    (verdict,) = ese.check([made.path]).sets
    assert verdict.ok
    assert verdict.required == (6, 12)
    made.logs[5].rename(made.path / "away")
    Set(made.path).must_be(True)
    made.checkpoint.write_bytes(good)
    Set(made.path).must_be(False, "missing: 5")
    (made.path / "away").rename(made.logs[5])
    made.checkpoint.write_bytes(good[:100] + b"!" + good[101:])
    Set(made.path).must_be(True)
    made.checkpoint.write_bytes(bytes(8192))
    assert not ese.check([made.path]).ok  # its bytes are damaged, whatever they are worth
    assert ese.check([made.path]).sets[0].ok
    made.checkpoint.write_bytes(checkpoint(2))
    assert ese.check([made.path]).sets[0].required == (2, 12)
    made.checkpoint.write_bytes(checkpoint(13))
    Set(made.path).must_be(False, "missing: 13")


@pytest.mark.parametrize("kind", ["2003", "2003-sp1"])
def test_the_streaming_file(kind: str, tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "mdbdata", Stream(kind))
    other = Folder.make(tmp_path / "other", Stream(kind, number=4))
    for path, theirs in zip(made.streams, other.streams, strict=True):
        kept = path.read_bytes()
        path.unlink()
        Set(made.path).must_be(False, ".stm) of")
        path.write_bytes(kept[:5000])
        Set(made.path).must_be(False)
        path.write_bytes(bytes(16) + kept[16:4096] + bytes(16) + kept[4112:])
        Set(made.path).must_be(False)
        foreign = theirs.read_bytes()
        path.write_bytes(foreign)
        # Both made pairs bear one signature: the same stream file would do for either.
        Set(made.path).must_be(True)
        path.write_bytes(kept)
    stm = made.streams[0].read_bytes()
    database = made.databases[0].read_bytes()
    strange = replace_signature(database, signature(99))
    made.databases[0].write_bytes(strange)
    Set(made.path).must_be(False, "do not belong together")
    made.databases[0].write_bytes(database)
    assert made.streams[0].read_bytes() == stm
    Set(made.path).must_be(True)


def replace_signature(content: bytes, of_stm: bytes) -> bytes:
    from ese_sums import seal_header

    page = bytearray(content[:4096])
    page[252:280] = of_stm
    seal_header(page)
    return bytes(page + page) + content[8192:]


def test_logs_that_end_too_early(tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "needs", Stream("2013", required=(6, 14), committed=14))
    Set(made.path).must_be(False, "missing: 13-14")
    made = Folder.make(tmp_path / "loses", Stream("2013", required=(6, 11), committed=14))
    Set(made.path).must_be(
        True, "13-14 (E000000000D.log to E000000000E.log) were committed", "-582"
    )


def test_several_databases_need_the_widest_range(tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "mdbdata", Stream("2010", checkpoint=9, required=(10, 11)))
    (verdict,) = ese.check([made.path]).sets
    assert verdict.required == (9, 12)
    other = Folder.make(tmp_path / "other", Stream("2010", required=(4, 11)))
    shutil.copy(other.databases[0], made.path / "second.edb")
    (verdict,) = ese.check([made.path]).sets
    assert verdict.required == (4, 12)
    made.logs[4].unlink()
    Set(made.path).must_be(False, "missing: 4")
    (made.path / "second.edb").unlink()
    Set(made.path).must_be(True)
    eight = Folder.make(tmp_path / "eight", Stream("2007"))
    shutil.copy(eight.databases[0], made.path / "second.edb")
    Set(made.path).must_be(False, "different page sizes: ")


def test_two_streams_in_one_folder(tmp_path: Path) -> None:
    Folder.make(tmp_path / "mdbdata", Stream("2007"))
    second = Folder.make(tmp_path / "second", Stream("2007", base="E01", number=5))
    for path in second.path.iterdir():
        name = "Second.edb" if path.suffix == ".edb" else path.name
        shutil.copy(path, tmp_path / "mdbdata" / name)
    report = ese.check([tmp_path / "mdbdata"])
    assert report.ok, report.to_json()
    assert [one.base for one in report.sets] == ["E00", "E01"]
    (tmp_path / "mdbdata" / second.logs[7].name).unlink()
    report = ese.check([tmp_path / "mdbdata"])
    assert [one.ok for one in report.sets] == [True, False]


def test_databases_and_logs_in_folders_of_their_own(tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "logs", Stream("2010"))
    (tmp_path / "db").mkdir()
    made.databases[0].rename(tmp_path / "db" / "one.edb")
    report = ese.check([tmp_path])
    assert report.ok
    (verdict,) = report.sets
    assert verdict.required == (5, 12)
    made.logs[8].unlink()
    assert not ese.check([tmp_path]).ok
    assert not ese.check([tmp_path / "db"]).ok  # dirty, and no log at all
    assert not ese.check([tmp_path / "db", tmp_path / "logs"]).ok


def test_logs_alone_must_be_whole(made: Folder) -> None:
    """An incremental backup: every log in the set counts."""
    for path in made.databases + made.streams:
        path.unlink()
    made.checkpoint.unlink()
    Set(made.path).must_be(True, "no database")
    for generation in (1, 2, 7, 11):
        kept = made.logs[generation].read_bytes()
        made.logs[generation].write_bytes(kept[:-512])
        Set(made.path).must_be(False)
        made.logs[generation].unlink()
        Set(made.path).must_be(generation == 1)
        made.logs[generation].write_bytes(kept)


@pytest.mark.parametrize("digits", [5, 8])
@pytest.mark.parametrize("base", ["E00", "e03", "R00", "edb"])
def test_names(base: str, digits: int, tmp_path: Path) -> None:
    made = Folder.make(
        tmp_path / "mdbdata",
        Stream("2010", base=base, digits=digits, first=0x1F, current=0x23, checkpoint=0x20,
               required=(0x20, 0x22), committed=0x23),
    )  # fmt: skip
    assert ese.check([made.path]).sets[0].required == (0x20, 0x23)
    Set(made.path).must_be(True)


# --- the two real sets ---


def real(name: str, tmp_path: Path) -> Path:
    target = tmp_path / name
    shutil.copytree(ese_samples.folder() / name, target)
    target.chmod(0o755)
    for path in target.iterdir():
        path.chmod(0o644)
    return target


@pytest.mark.parametrize(
    ("name", "checkpoint_at", "required"),
    [("set-win10-clean", 32, (32, 32)), ("set-win11-dirty", 92, (92, 92))],
)
def test_a_real_set(name: str, checkpoint_at: int, required, tmp_path: Path) -> None:
    folder = real(name, tmp_path)
    report = ese.check([folder])
    assert report.ok
    (verdict,) = report.sets
    assert (verdict.base, verdict.required) == ("SRU", required)
    for path in sorted(folder.iterdir()):
        kept = path.read_bytes()
        needed = path.name == "SRU.log"
        path.unlink()
        report = ese.check([folder])
        assert report.ok != needed, path
        assert report.sets[0].databases == (path.suffix != ".dat")
        path.write_bytes(kept[: len(kept) - 700])
        skipped = "res0" in path.name or "tmp" in path.name
        old = path.name.startswith("SRU000")
        spared = path.suffix in (".chk", ".jfm")
        assert ese.check([folder]).ok == (skipped or old or spared), path
        path.write_bytes(kept)
    assert ese.check([folder]).ok


def test_real_sets_exchanged(tmp_path: Path) -> None:
    ten, eleven = real("set-win10-clean", tmp_path), real("set-win11-dirty", tmp_path)
    for path in sorted(eleven.iterdir()):
        other = ten / {"SRU00059.log": "SRU00019.log", "SRU0005A.log": "SRU0001A.log"}.get(
            path.name, "SRU0001B.log" if path.name == "SRU0005B.log" else path.name
        )
        kept = path.read_bytes()
        path.write_bytes(other.read_bytes())
        harmless = path.suffix in (".jrs", ".jfm") or path.name == "SRUtmp.log"
        below = path.name.startswith("SRU000")
        assert ese.check([eleven]).ok == (harmless or below), path
        path.write_bytes(kept)
    assert ese.check([eleven]).ok


def test_a_database_that_lost_both_headers_is_not_passed_over(tmp_path: Path) -> None:
    folder = real("set-win11-dirty", tmp_path)
    database = folder / "SRUDB.dat"
    kept = database.read_bytes()
    for content in (b"", bytes(len(kept)), bytes(8192) + kept[8192:]):
        database.write_bytes(content)
        report = ese.check([folder])
        assert not report.ok
        assert str(database) in {one.path for one in report.files if not one.ok}
    database.write_bytes(b"SQLite format 3\0" + kept[16:4096])  # that is something else
    assert str(database) not in {one.path for one in ese.check([folder]).files}


def test_a_set_is_told_apart_from_a_pile_of_files(tmp_path: Path) -> None:
    """Files named one by one are judged by their own bytes only."""
    made = Folder.make(tmp_path / "mdbdata", replace(Stream("2013"), first=6))
    made.logs[9].unlink()
    assert not ese.check([made.path]).ok
    report = ese.check([*made.databases, made.logs[8], made.logs[10]])
    assert report.ok
    assert not report.sets


def test_a_current_log_whose_last_write_was_torn(tmp_path: Path) -> None:
    """Recovery mends it by its shadow; the same in a closed log is damage."""
    made = Folder.make(tmp_path / "mdbdata", Stream("2013"))
    last = bytearray(made.logs[12].read_bytes())
    at = 3 * 4096  # generation 12 has three segments and the shadow of the third
    last[at + 1024 : at + 4096] = bytes(3072)
    made.logs[12].write_bytes(last)
    Set(made.path).must_be(True, "its shadow is whole")
    made.logs[12].rename(made.path / "E000000000C.log")
    Set(made.path).must_be(False, "current log")


def test_a_clean_database_beside_a_dirty_one(tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "mdbdata", Stream("2010", checkpoint=10, required=(8, 11)))
    clean = Folder.make(tmp_path / "clean", Stream("2010", clean=True))
    shutil.copy(clean.databases[0], made.path / "second.edb")
    (verdict,) = ese.check([made.path]).sets
    assert (verdict.ok, verdict.required) == (True, (8, 12))
    made.databases[0].unlink()
    made.checkpoint.unlink()
    (verdict,) = ese.check([made.path]).sets
    assert (verdict.ok, verdict.required) == (True, None)
    for generation in (1, 7, 12):  # a clean database needs none of them
        made.logs[generation].unlink()
    Set(made.path).must_be(True)


@pytest.mark.parametrize("kind", ["2013", "2007"])
def test_a_log_for_pages_of_another_size(kind: str, tmp_path: Path) -> None:
    """Of the same stream by its signature; the engine ends with -1213 at it."""
    made = Folder.make(tmp_path / "mdbdata", Stream(kind))
    for generation in (3, 9):
        kept = made.logs[generation].read_bytes()
        other = bytearray(kept)
        other[14:16] = (16384).to_bytes(2, "little")
        seal_header(header := other[:4096])
        made.logs[generation].write_bytes(header + other[4096:])
        Set(made.path).must_be(generation < LOW, "is for pages of 16384 bytes", "(-1213)")
        made.logs[generation].write_bytes(kept)


def test_an_upgrade_in_mid_stream_is_normal(tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "mdbdata", Stream("2003"))
    newer = Folder.make(tmp_path / "newer", Stream("2003-sp1"))
    for generation in range(7, 13):
        shutil.copy(newer.logs[generation], made.logs[generation])
    Set(made.path).must_be(True)
    for generation in range(1, 7):
        shutil.copy(newer.logs[generation], made.logs[generation])
    older = Folder.make(tmp_path / "older", Stream("2003"))
    shutil.copy(older.logs[12], made.logs[12])
    Set(made.path).must_be(True, "the log format goes down")
