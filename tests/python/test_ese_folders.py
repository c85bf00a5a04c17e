"""What a folder's verdict rests on: which files count, which belong together, what they need."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import ese_maker as maker
import pytest
from ese_folders import Folder, Stream, header_of
from ese_log_maker import LogHeader, checkpoint, flush_map, log8, segment
from ese_maker import Database, Header, signature

from exshadow import CancelledError, ese
from exshadow._core import EseFile
from exshadow.ese.reports import NOT_PROVEN

MIB = 1 << 20


def told(report: ese.EseReport) -> str:
    return " ".join(text for one in [*report.files, *report.sets] for text in one.findings)


# --- logs without a database ---


def test_an_increment_with_its_checkpoint_is_whole_or_not_ok(tmp_path: Path) -> None:
    """A checkpoint does not make older logs of an incremental backup needless."""
    made = Folder.make(tmp_path / "logs", Stream("2010"))
    made.databases[0].unlink()
    report = ese.check([made.path])
    assert (report.ok, report.sets[0].required, report.sets[0].databases) == (True, (1, 12), 0)
    for generation in (1, 2, 4):
        kept = made.logs[generation].read_bytes()
        made.logs[generation].write_bytes(kept[:-512])
        assert not ese.check([made.path]).ok
        made.logs[generation].unlink()
        assert ese.check([made.path]).ok == (generation == 1)
        made.logs[generation].write_bytes(kept)
    made.checkpoint.write_bytes(checkpoint(0))
    assert ese.check([made.path]).ok


def test_logs_alone_are_never_said_to_recover(cli, tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "logs", Stream("2010"))
    assert "set E00 in" in (text := cli("ese", "check", made.path).out)
    assert "recovers; needs logs 5-12" in text
    made.databases[0].unlink()
    text = cli("ese", "check", made.path).out
    assert "no database; logs sound; logs 1-12" in text
    assert "recovers" not in text
    made.logs[7].unlink()
    text = cli("ese", "check", made.path, status=5).out
    assert "LOGS NOT SOUND" in text


# --- what lies beside it ---


def test_sound_databases_of_several_programs_lie_in_one_folder(tmp_path: Path) -> None:
    for number, size in enumerate((4096, 8192, 32768)):
        header = Header(size, log_signature=signature(50 + number))
        (tmp_path / f"{number}.edb").write_bytes(Database(header, pages=9).build())
    report = ese.check([tmp_path])
    assert report.ok, report.to_json()
    assert len(report.sets) == 3


def test_files_of_other_programs_are_passed_over(tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "mdbdata", Stream("2013"))
    foreign = {
        "app.log": b"hello\n" * 900,
        "app.db": b"SQLite format 3\0" * 400,
        "ABC12.LOG": b"",  # a base of three and no whole number of a log
        "FILE0000.CHK": b"what chkdsk found" * 700,
        "new.chk": b"",
    }
    for name, content in foreign.items():
        (made.path / name).write_bytes(content)
    report = ese.check([made.path])
    assert report.ok, report.to_json()
    assert not {Path(one.path).name for one in report.files} & set(foreign)


def test_a_lost_header_of_its_own_is_not_passed_over(tmp_path: Path) -> None:
    """Its kin tells: a numbered log of its base, a database named after it, a base of Exchange."""
    header = LogHeader(7, (8, 4000, 2, 13), sector_size=4096, header_sectors=1, file_sectors=8)
    log = bytes(log8(header))
    bad = log[:100] + b"!" + log[101:]
    for base, kin, content in (
        ("xyz", "xyz00006.log", log),
        ("xyz", "xyz.dat", bytes(Database(Header(4096), pages=3).build())),
        ("E07", "", b""),
    ):
        folder = tmp_path / f"{base}-{kin}"
        folder.mkdir()
        (folder / f"{base}.log").write_bytes(bad)
        if kin:
            (folder / kin).write_bytes(content)
        report = ese.check([folder])
        assert not report.ok
        assert str(folder / f"{base}.log") in {one.path for one in report.files if not one.ok}


def test_a_name_of_a_far_generation_does_not_hang_it(tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "mdbdata", Stream("2013"))
    shutil.copy(made.logs[3], made.path / "E00FFFFFFFF.log")
    begin = time.monotonic()
    report = ese.check([made.path])
    assert time.monotonic() - begin < 10
    assert not report.ok
    assert "missing: 13-4294967294" in told(report)


def test_a_damaged_flush_map_spoils_no_folder(tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "mdbdata", Stream("2013"))
    (map_,) = made.path.glob("*.jfm")
    good = map_.read_bytes()
    for content in (b"", good[:5000], good[:9000] + b"!" + good[9001:]):
        map_.write_bytes(content)
        report = ese.check([made.path])
        assert report.ok, report.to_json()
        assert [Path(one.path).name for one in report.files if not one.ok] == [map_.name]
        assert not ese.check([map_]).ok  # asked for by name, its bytes are the question


# --- databases and streaming files ---


def test_a_database_replaced_by_a_streaming_file_fails(tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "mdbdata", Stream("2003", clean=True))
    for path, other in ((made.databases[0], made.streams[0]), (made.streams[0], made.databases[0])):
        kept = path.read_bytes()
        path.write_bytes(other.read_bytes())
        report = ese.check([made.path])
        assert not report.ok
        assert "by its header: replaced" in told(report)
        path.write_bytes(kept)
    assert ese.check([made.path]).ok


def test_streaming_files_in_a_folder_of_their_own_are_found_by_signature(tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "mdbdata", Stream("2003"))
    (tmp_path / "stm").mkdir()
    for path in made.streams:
        path.rename(tmp_path / "stm" / path.name)
    report = ese.check([tmp_path])
    assert report.ok, report.to_json()
    (tmp_path / "stm" / "priv1.stm").unlink()
    report = ese.check([tmp_path])
    assert not report.ok
    assert "(.stm) of" in told(report)


def test_generations_are_told_as_file_names_have_them(cli, tmp_path: Path) -> None:
    """They are counted in decimal, and 17 is E0000000011.log."""
    stream = Stream("2010", first=14, current=19, checkpoint=14, required=(15, 18))
    made = Folder.make(tmp_path / "logs", stream)
    text = cli("ese", "check", made.path).out
    assert "needs logs 14-19 (0xE-0x13)" in text
    assert "in the names of these logs: 0xF-0x12" in text
    header = cli("ese", "info", made.databases[0]).out.split()
    assert header[header.index("highest_required") :][1:3] == ["18", "(0x12)"]
    made.logs[17].unlink()
    text = cli("ese", "check", made.path, status=5).out
    assert "required logs are missing: 17 (E0000000011.log) (-543)" in text


def test_a_database_alone_is_said_to_be_judged_alone(cli, tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "logs", Stream("2010"))
    assert "judged alone" not in cli("ese", "check", made.path).out
    assert "judged alone" in cli("ese", "check", made.databases[0]).out
    (one,) = cli.json("ese", "check", made.databases[0])["files"]
    assert one["ok"]
    assert any("name the folder" in finding for finding in one["findings"])
    clean = Folder.make(tmp_path / "clean", Stream("2010", clean=True))
    assert "judged alone" not in cli("ese", "check", clean.databases[0]).out


def test_what_is_no_ese_file_is_not_called_a_damaged_database(cli, tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_bytes(b"nothing in particular " * 1000)
    shown = cli("ese", "check", other, status=5)
    assert "NOT ESE" in shown.out
    assert "DAMAGED" not in shown.out
    assert "not an ESE file" in shown.err
    named = tmp_path / "priv1.edb"
    named.write_bytes(other.read_bytes())
    assert "may be no ESE file at all" in cli("ese", "check", named, status=5).out


def streaming_image(folder: Path, end: bytes, *, last: int = 7) -> Folder:
    """The image that a streaming backup leaves, with closed logs only."""
    stream = Stream("2007", first=4, current=last + 1, required=(4, 6))
    made = Folder.make(folder, stream)
    made.logs.pop(last + 1).unlink()
    made.checkpoint.unlink()
    header = replace(header_of(stream), current_full=(4, 0))
    made.databases[0].write_bytes(Database(header, pages=20, trailer=end).build())
    return made


def test_the_range_of_a_streaming_image_is_its_trailers(tmp_path: Path) -> None:
    size, database = 8192, signature(0x5E6F0000)
    end = maker.trailer(size, 4, 7, database=database)
    made = streaming_image(tmp_path / "image", end)
    report = ese.check([made.path])
    assert report.ok, report.to_json()
    assert report.sets[0].required == (4, 7)
    assert "by its trailer" in told(report)
    assert f"the trailer of a streaming backup: {NOT_PROVEN}" in told(report)
    made.logs[7].unlink()  # the header requires 4 to 6 only
    report = ese.check([made.path])
    assert not report.ok
    assert "missing: 7" in told(report)


def test_a_trailer_of_another_database_or_stream_fails(tmp_path: Path) -> None:
    size, database = 8192, signature(0x5E6F0000)
    for name, end, words in (
        ("database", maker.trailer(size, 4, 7), "of another database"),
        (
            "stream",
            maker.trailer(size, 4, 7, database=database, log=signature(99)),
            "of another log stream",
        ),
        ("range", maker.trailer(size, 7, 4, database=database), "impossible range"),
    ):
        report = ese.check([streaming_image(tmp_path / name, end).path])
        assert not report.ok
        assert words in told(report)


# --- reading ---


def test_a_file_cut_short_in_its_holes_while_it_is_read_is_an_error(memory: Path) -> None:
    path = memory / "a.edb"
    made = Database(Header(8192), pages=32).build()  # it ends where a piece of the scan does
    path.write_bytes(made)
    os.truncate(path, 64 * MIB)  # the rest is a hole
    file = EseFile.open(path)
    os.truncate(path, len(made))
    with pytest.raises(OSError, match="shorter"):
        file.scan()


@pytest.mark.parametrize("kind", ["log", "flushmap"])
def test_a_log_or_map_cut_short_after_it_was_opened_is_an_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "E0000000007.log"
    header = LogHeader(7, (8, 4000, 2, 13), sector_size=4096, header_sectors=1, file_sectors=64)
    path.write_bytes(log8(header) if kind == "log" else flush_map(pages=30))
    file = EseFile.open(path)
    os.truncate(path, path.stat().st_size // 4096 // 2 * 4096)
    with pytest.raises(OSError, match="shorter"):
        file.log_body(False) if kind == "log" else file.flush_map_pages()


@pytest.mark.parametrize("kind", ["log", "flushmap"])
def test_the_limit_and_progress_hold_for_logs_and_flush_maps(kind: str, tmp_path: Path) -> None:
    if kind == "log":
        path = tmp_path / "E0000000007.log"
        header = LogHeader(
            7, (8, 4000, 2, 13), sector_size=4096, header_sectors=1, file_sectors=512
        )
        path.write_bytes(log8(header))
    else:
        path = tmp_path / "a.jfm"
        path.write_bytes(flush_map(pages=256))
    size = path.stat().st_size
    seen: list[int] = []
    begin = time.monotonic()
    report = ese.check([path], limit=size, progress=lambda _, done, __: seen.append(done) is None)
    assert report.ok, report.to_json()
    assert time.monotonic() - begin >= 0.9
    assert seen == sorted(seen)
    assert len(seen) > 4
    with pytest.raises(CancelledError):
        ese.check([path], limit=size, progress=lambda _, done, __: done == 0)


def test_a_log_under_a_neutral_name_shows_its_header(tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "mdbdata", Stream("2010"))
    for path, kind in ((made.logs[7], "log"), (made.checkpoint, "checkpoint")):
        neutral = tmp_path / "copy.bin"
        shutil.copy(path, neutral)
        found = ese.info(neutral)
        assert found.kind == kind
        assert found.facts


def test_forms_without_real_samples_say_so(tmp_path: Path) -> None:
    (tmp_path / "a.edb").write_bytes(Database(Header(2048), pages=9).build())
    report = ese.check([tmp_path / "a.edb"])
    assert report.ok
    assert f"pages of 2048 bytes: {NOT_PROVEN}" in told(report)


def test_a_shadow_in_the_first_segment_repairs_nothing(tmp_path: Path) -> None:
    """No segment before it was torn: the log is empty, and a closed one must not be."""
    header = LogHeader(7, (8, 4000, 2, 13), sector_size=4096, header_sectors=1, file_sectors=8)
    log = log8(header)
    log[4096:] = segment(7, 0, seed=1) + bytes(len(log) - 8192)
    path = tmp_path / "E0000000007.log"
    path.write_bytes(log)
    report = ese.check([path])
    assert not report.ok
    assert "holds no valid segment" in told(report)


# --- where files lie, and by which names ---


def test_a_checkpoint_in_the_system_path_belongs_to_its_logs(tmp_path: Path) -> None:
    """Exchange keeps it where the administrator said, apart from the logs."""
    made = Folder.make(tmp_path / "sg", Stream("2003"))
    (made.path / "system").mkdir()
    apart = made.path / "system" / "E00.chk"
    made.checkpoint.rename(apart)
    report = ese.check([made.path])
    assert report.ok, report.to_json()
    assert [one.required for one in report.sets] == [(5, 12)]
    apart.write_bytes(checkpoint(3))
    made.logs[4].unlink()
    report = ese.check([made.path])
    assert not report.ok
    assert [one.required for one in report.sets] == [(3, 12)]
    assert "required logs are missing: 4" in told(report)


def test_two_files_that_stand_for_one_log_are_told(tmp_path: Path) -> None:
    """By digits, case or ending; which of two different ones is the stream's nobody knows."""
    made = Folder.make(tmp_path / "here", Stream("2010"))
    other = Folder.make(tmp_path / "other", Stream("2010", line=1))
    for name, of in (("E0000007.log", 7), ("e0000000007.LOG", 7), ("e00.LOG", 12)):
        shutil.copy(made.logs[of], made.path / name)
        report = ese.check([made.path])
        assert report.ok
        assert "are the same file twice" in told(report)
        shutil.copy(other.logs[of], made.path / name)
        report = ese.check([made.path])
        assert not report.ok
        assert "stand for one file of the stream, and differ" in told(report)
        (made.path / name).unlink()
    (made.path / "e00.chk").write_bytes(checkpoint(2))
    assert not ese.check([made.path]).ok


def test_what_is_named_twice_is_one_file(tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "here", Stream("2010"))
    once = ese.check([made.path]).to_json()
    for again in (made.path, f"{made.path}/", made.databases[0], made.path.parent):
        assert ese.check([made.path, again]).to_json() == once


def test_logs_of_an_unknown_stream_are_numbers_alone(tmp_path: Path) -> None:
    made = Folder.make(tmp_path / "here", Stream("2010", required=(10, 12)))
    for log in (*made.logs.values(), made.checkpoint):
        log.unlink()
    text = told(ese.check([made.path]))
    assert "required logs are missing: 10-12 (0xA-0xC) (-543)" in text


def test_a_link_out_of_what_is_checked_is_damage(tmp_path: Path) -> None:
    """It leads to production's file, or to one of this machine: neither is the copy."""
    made = Folder.make(tmp_path / "copy", Stream("2010"))
    away = tmp_path / "production.edb"
    made.databases[0].rename(away)
    made.databases[0].symlink_to(away)
    assert ese.check([made.path]).ok
    report = ese.check([made.path], within=[made.path])
    assert not report.ok
    assert f"a link to {away}, which is no part of what is checked" in told(report)
    away.rename(made.path / "real.edb")
    made.databases[0].unlink()
    made.databases[0].symlink_to("real.edb")
    assert ese.check([made.path], within=[made.path]).ok


def test_no_input_and_no_file_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="a path is empty"):
        ese.check([""])
    with pytest.raises(ValueError, match="is a folder"):
        ese.info(tmp_path)
    monkeypatch.setattr("sys.stdin", None)
    for ask in (lambda: ese.check(["-"]), lambda: ese.info("-")):
        with pytest.raises(ValueError, match="no standard input"):
            ask()
