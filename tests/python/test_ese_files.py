"""Sound files of ESE, real ones and made ones: each judged for what it is, no false alarm."""

from __future__ import annotations

import struct
from pathlib import Path

import ese_maker as maker
import ese_samples
import pytest
from ese_folders import GENERATIONS, Folder, Stream
from ese_log_maker import (
    Chain,
    LogHeader,
    Segments,
    checkpoint,
    flush_map,
    log7,
    log8,
    segments_sum,
    tear_last,
)
from ese_maker import Database, Header, all_legacy
from ese_samples import Sample
from ese_sums import PAGE_SIZES, seal_ecc, seal_legacy

from exshadow import ese
from exshadow.ese import FileReport
from exshadow.ese.reports import NOT_PROVEN


def judge(folder: Path, name: str, content: bytes | bytearray) -> FileReport:
    path = folder / name
    path.write_bytes(content)
    (report,) = ese.check([path]).files
    return report


# --- real files ---


def test_the_real_files_are_where_the_readme_says() -> None:
    here = {
        str(path.relative_to(ese_samples.folder())) for path in ese_samples.folder().rglob("*.*")
    }
    assert here - {"README.md"} == {sample.name for sample in ese_samples.table()}


@pytest.mark.parametrize("sample", ese_samples.table(), ids=lambda sample: sample.name)
def test_a_real_file_is_judged_as_the_readme_says(sample: Sample, tmp_path: Path) -> None:
    path = sample.unpack(tmp_path)
    assert path.stat().st_size == sample.size
    (report,) = ese.check([path]).files
    assert report.ok, report.findings
    skipped = "JustCreated" in sample.content or sample.kind == "reserve log" or "tmp." in path.name
    assert (report.state == "skipped") == skipped
    assert report.kind == {"reserve log": "reserve"}.get(sample.kind, sample.kind)
    if skipped:
        assert "skipped" in report.findings[0]
    elif sample.kind == "database":
        _as_database(report, sample)
    elif sample.kind == "log":
        assert report.facts["generation"] == sample.number(r"generation (\d+)")
        body = report.facts["body"]
        assert isinstance(body, dict)
        assert (body["valid"], body["empty"]) == (
            sample.number(r"(\d+) valid"),
            sample.number(r"(\d+) zero"),
        )
        assert body["segments"] == body["valid"] + body["empty"] + sample.number(r"(\d+) shadow")
        assert report.bad == 0
    elif sample.kind == "checkpoint":
        assert report.facts["generation"] == sample.number(r"gen (\d+)")
        assert report.facts["sector"] == sample.number(r"sec (\d+)")
        assert report.bad == 0
    else:
        assert sample.kind == "flushmap"
        assert report.state == sample.content.split(",")[0]
        assert report.bad == 0
    assert NOT_PROVEN not in " ".join(report.findings)


def _as_database(report: FileReport, sample: Sample) -> None:
    assert report.pages == sample.number(r"(\d+) pages")
    assert report.empty == sample.number(r"(\d+) empty")
    assert report.bad == sample.number(r"(\d+) bad") == 0
    assert report.pages - report.empty == sample.number(r"(\d+) ECC")
    assert report.state == sample.content.split(";")[0]
    low, high = sample.number(r"gens (\d+)-"), sample.number(r"gens \d+-(\d+)")
    assert (report.facts["lowest_required"], report.facts["highest_required"]) == (low, high)
    assert (f"needs logs {low}-{high}" in report.findings) == (report.state == "DirtyShutdown")


# --- the generator's checksums are those of the format ---


def pattern(size: int) -> bytearray:
    """The bytes of the format's worked vectors."""
    x, found = 1, bytearray()
    for _ in range(size):
        x = (x * 1664525 + 1013904223) % (1 << 32)
        found.append(x >> 24)
    return found


@pytest.mark.parametrize(
    ("size", "first", "last"),
    [
        (4096, (0xB9852B73, 0x54915491), None),
        (8192, (0xB58DF2D5, 0x2C0C2C0C), None),
        (16384, (0xB122FEBB, 0x57965796), (0x531A6EE1, 0x631D1CE2)),
        (32768, (0xCC07762F, 0x2F022F02), (0x55EE0970, 0x34983498)),
    ],
)
def test_the_generator_agrees_with_the_worked_vectors(size, first, last) -> None:
    page = pattern(size)
    struct.pack_into("<I", page, 36, 0x2000)
    if last:
        struct.pack_into("<I", page, 64, 0x12345)
        page[68:80] = bytes(12)
    seal_ecc(page, 0x12345)
    assert struct.unpack_from("<II", page) == first
    assert last is None or struct.unpack_from("<II", page, 56) == last


def test_the_generator_agrees_with_the_vectors_of_small_and_legacy_pages() -> None:
    nearly_empty = bytearray(4096)
    struct.pack_into("<I", nearly_empty, 36, 0x2000)
    assert struct.unpack_from("<II", seal_ecc(nearly_empty, 1)) == (0x00002001, 0x7ED2012D)
    legacy = pattern(4096)
    struct.pack_into("<I", legacy, 36, 0)
    assert struct.unpack_from("<I", seal_legacy(legacy, 5)) == (0x302FE5DC,)


# --- databases that were made ---


@pytest.mark.parametrize("size", PAGE_SIZES)
@pytest.mark.parametrize("state", [maker.CLEAN, maker.DIRTY, maker.PATCHED])
def test_a_made_database_of_any_page_size_is_sound(size: int, state: int, tmp_path: Path) -> None:
    dirty = state != maker.CLEAN
    header = Header(size, state=state, required=(3, 5) if dirty else (0, 0), beyond=b"later fields")
    made = Database(header, pages=70, empty=frozenset({5, 69, 70})).build()
    report = judge(tmp_path, "a.edb", made)
    assert report.ok, report.findings
    assert (report.pages, report.empty, report.bad) == (70, 3, 0)
    assert ("needs logs 3-5" in report.findings) == dirty
    assert any("1 empty pages below" in finding for finding in report.findings)


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (maker.NEVER, "None"),
        (maker.JUST_CREATED, "JustCreated"),
        (maker.CONVERTING, "BeingConverted"),
        (maker.RESEED, "IncReseedInProgress"),
        (maker.REVERT, "RevertInProgress"),
        (99, "unknown"),
    ],
)
def test_an_unfinished_database_is_not_ok(state: int, name: str, tmp_path: Path) -> None:
    report = judge(tmp_path, "a.edb", Database(Header(8192, state=state)).build())
    assert not report.ok
    assert name in report.findings[0]


@pytest.mark.parametrize("required", [(0, 0), (5, 3), (0, 4)])
def test_a_dirty_database_with_an_impossible_range_is_not_ok(required, tmp_path: Path) -> None:
    header = Header(4096, state=maker.DIRTY, required=required)
    assert not judge(tmp_path, "a.edb", Database(header).build()).ok


@pytest.mark.parametrize("stated", [None, 0])
def test_pages_of_before_2004_and_mixed_ones(stated: int | None, tmp_path: Path) -> None:
    header = Header(4096, stated_page_size=stated, revision=9)
    report = judge(tmp_path, "priv1.edb", Database(header, pages=30, legacy=all_legacy(30)).build())
    assert report.ok, report.findings
    assert any(NOT_PROVEN in finding for finding in report.findings)
    mixed = Database(header, pages=30, legacy=frozenset(range(2, 31, 4)), empty=frozenset({3, 29}))
    report = judge(tmp_path, "pub1.edb", mixed.build())
    assert report.ok, report.findings
    assert any("8 pages in the form of before 2004" in finding for finding in report.findings)


def test_header_copies(tmp_path: Path) -> None:
    size = 8192
    made = Database(Header(size), second=Header(size, dbtime=99), pages=4).build()
    report = judge(tmp_path, "a.edb", made)
    assert report.ok
    assert any("copies differ" in finding for finding in report.findings)
    for copy, words in ((0, "first copy"), (1, "second copy")):
        broken = bytearray(made)
        broken[copy * size + 2000] ^= 4
        report = judge(tmp_path, "a.edb", broken)
        assert not report.ok
        assert words in report.findings[0]
        assert report.bad == 0  # pages are judged by the other copy
    lone = Database(Header(size, flags=maker.SHADOW_OFF), pages=4).build()
    lone[size : 2 * size] = bytes(size)
    report = judge(tmp_path, "a.edb", lone)
    assert report.ok
    assert any("no second copy" in finding for finding in report.findings)


@pytest.mark.parametrize("size", PAGE_SIZES)
def test_a_streaming_backup_image_ends_with_its_trailer(size: int, tmp_path: Path) -> None:
    header = Header(size, state=maker.DIRTY, required=(4, 6), current_full=(4, 0))
    end = maker.trailer(size, 4, 7)
    for empty in (frozenset[int](), frozenset({19, 20})):
        made = Database(header, pages=20, empty=empty, trailer=end).build()
        report = judge(tmp_path, "a.edb", made)
        assert report.ok, report.findings
        assert (report.pages, report.bad, report.empty) == (20, 0, len(empty))
        assert any("trailer" in finding for finding in report.findings)
        assert any("hard recovery" in finding for finding in report.findings)
        assert not any("below the last used one" in finding for finding in report.findings)
        made[-100] ^= 1
        report = judge(tmp_path, "a.edb", made)
        assert not report.ok
        assert report.bad == 1


def test_a_temporary_database_is_skipped(tmp_path: Path) -> None:
    for name in ("tmp.edb", "temp.edb", "other.edb"):
        report = judge(tmp_path, name, maker.temporary())
        assert report.ok
        assert report.state == "skipped"


def test_a_streaming_file_is_judged_by_its_header(tmp_path: Path) -> None:
    database, stm = maker.streaming_pair(Header(4096, revision=9), pages=12, stm_pages=9)
    assert judge(tmp_path, "priv1.edb", database).ok
    report = judge(tmp_path, "priv1.stm", stm)
    assert report.ok
    assert report.kind == "stm"
    assert report.pages == 9
    assert "not checkable" in " ".join(report.findings)
    assert NOT_PROVEN in " ".join(report.findings)
    assert not judge(tmp_path, "priv1.stm", stm[:-100]).ok


def test_pages_whose_number_is_not_theirs_are_named(tmp_path: Path) -> None:
    size = 32768
    made = Database(Header(size), pages=6).build()
    page = bytearray(made[3 * size : 4 * size])
    struct.pack_into("<I", page, 64, 77)
    made[3 * size : 4 * size] = seal_ecc(page, 2)
    report = judge(tmp_path, "a.edb", made)
    assert not report.ok
    assert report.findings == ["page 2: names itself 77 (-1118)"]


def test_one_flipped_bit_is_named_and_is_not_ok(tmp_path: Path) -> None:
    for size in PAGE_SIZES:
        made = Database(Header(size), pages=6).build()
        made[4 * size + 1024] ^= 0x10
        report = judge(tmp_path, "a.edb", made)
        assert not report.ok
        named = f"page 3: one flipped bit ({1024 * 8 + 4}), correctable; the medium lies (-1018)"
        unproven = [f"pages of 2048 bytes: {NOT_PROVEN}"] if size == 2048 else []
        assert report.findings == [named, *unproven]


# --- logs and what lies beside them ---


@pytest.mark.parametrize("valid", [None, 1, 5, 13])
@pytest.mark.parametrize("shadow", [True, False])
@pytest.mark.parametrize("stale", [None, 7])
def test_logs_of_segments(valid, shadow: bool, stale, tmp_path: Path) -> None:
    header = LogHeader(0x1F)
    made = log8(header, Segments(valid, shadow, stale))
    for name in ("E000000001F.log", "E000001F.log", "E00.log", "e00.jtx"):
        report = judge(tmp_path, name, made)
        assert report.ok, report.findings
        body = report.facts["body"]
        assert isinstance(body, dict)
        assert body["sum"] == segments_sum(made, header)
        assert body["valid"] == (14 if valid is None else valid)
        assert not body["torn_end"]


def test_a_torn_last_write_is_repairable_in_the_current_log_only(tmp_path: Path) -> None:
    header = LogHeader(9)
    torn = tear_last(log8(header, Segments(5)), header)
    report = judge(tmp_path, "E00.log", torn)
    assert report.ok, report.findings
    assert "shadow is whole" in report.findings[0]
    assert not judge(tmp_path, "E0000009.log", torn).ok
    for unshadowed in (Segments(5, shadow=False), Segments(5, shadow=False, stale=3)):
        assert not judge(tmp_path, "E00.log", tear_last(log8(header, unshadowed), header)).ok


@pytest.mark.parametrize("kind", ["2003", "2003-sp1", "2007", "2010"])
@pytest.mark.parametrize("seed", range(12))
def test_logs_of_checksum_records(kind: str, seed: int, tmp_path: Path) -> None:
    form = GENERATIONS[kind]
    header = LogHeader(0xABC, form.version, 512, 8, 2048, form.page_size)
    made, places = log7(header, Chain(writes=3 + 11 * seed, shadow=seed % 2 == 0, seed=seed))
    for name in ("E0000ABC.log", "E00.log"):
        report = judge(tmp_path, name, made)
        assert report.ok, report.findings
        assert report.pages == len(places) == 3 + 11 * seed
        assert any(NOT_PROVEN in finding for finding in report.findings)


def test_a_checkpoint_needs_one_good_copy(tmp_path: Path) -> None:
    made = checkpoint(77, sector=12)
    assert judge(tmp_path, "E00.chk", made).facts["generation"] == 77
    differing = made[:4096] + checkpoint(76)[4096:]
    report = judge(tmp_path, "E00.chk", differing)
    assert report.ok
    assert "differ" in report.findings[0]
    made[100] ^= 1
    report = judge(tmp_path, "E00.chk", made)
    assert (report.ok, report.bad, report.facts["generation"]) == (True, 1, 77)
    made[5000] ^= 1
    assert not judge(tmp_path, "E00.chk", made).ok


def test_flush_maps(tmp_path: Path) -> None:
    for clean in (True, False):
        report = judge(tmp_path, "a.jfm", flush_map(5, clean=clean))
        assert report.ok
        assert (report.pages, report.bad, report.state) == (5, 0, "clean" if clean else "dirty")


@pytest.mark.parametrize("kind", GENERATIONS)
@pytest.mark.parametrize("clean", [True, False])
def test_a_whole_folder_of_exchange_is_sound(kind: str, clean: bool, tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "mdbdata", Stream(kind, clean=clean))
    report = ese.check([tmp_path])
    assert report.ok, report.to_json()
    (verdict,) = report.sets
    assert verdict.required == (5, 12)
    assert verdict.base == "E00"
    wanted = {str(path) for path in made.path.iterdir()}
    assert {one.path for one in report.files} == wanted
    proven = kind == "2013"
    assert (NOT_PROVEN not in str(report.to_json())) == proven


def test_a_file_of_another_kind_is_no_checkpoint_and_no_flush_map(tmp_path: Path) -> None:
    """All their headers have the same checksum; the file type tells them apart."""
    kinds = {
        "database": Database(Header(4096, file_type=1), pages=9).build(),
        "large": Database(Header(8192, file_type=1), pages=9).build(),
        "log": log8(LogHeader(9)),
        "checkpoint": checkpoint(7),
        "map": flush_map(),
    }
    for kind, content in kinds.items():
        assert judge(tmp_path, "E00.chk", content).ok == (kind == "checkpoint"), kind
        assert judge(tmp_path, "a.jfm", content).ok == (kind == "map"), kind
    assert "another kind of ESE file" in judge(tmp_path, "E00.chk", kinds["log"]).findings[0]
    assert "empty" in judge(tmp_path, "a.edb", b"").findings[0]


def test_a_clean_database_that_states_required_logs_is_told(tmp_path: Path) -> None:
    made = Database(Header(4096, state=maker.CLEAN, required=(92, 92)), pages=9).build()
    report = judge(tmp_path, "a.edb", made)
    assert report.ok
    assert "states CleanShutdown, and logs 92 (0x5C) as required all the same" in report.findings
