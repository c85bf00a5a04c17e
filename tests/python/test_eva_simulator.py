"""The imitated array refuses what the fact sheet does not permit: else it would prove nothing."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from eva_story import do
from provider_bed_eva import EvaBed, EvaSnapcloneBed, eva_state

from exshadow.providers.contract import Verb

LOGIN = ('select manager cv.example username=admin password="secret word"', "select system EVA1")
DB = "\\Virtual Disks\\Mail\\SG1_db\\ACTIVE"


@pytest.fixture
def bed(tmp_path: Path):
    made = EvaBed(tmp_path)
    yield made
    made.close()


def sssu(bed: EvaBed, *lines: str) -> str:
    """One-shot: every argument is a command line."""
    words = shlex.split(bed.settings["sssu"])
    done = subprocess.run([*words, *lines], capture_output=True, text=True, check=True)
    return done.stdout


def answer(bed: EvaBed, *lines: str) -> str:
    """What the last of them printed."""
    said = sssu(bed, *LOGIN, "SET OPTIONS on_error=Continue display_width=500", *lines)
    return said.split("EVA1> ")[-1]


def test_commands_are_echoed_after_the_prompt_and_keywords_have_no_case(bed: EvaBed) -> None:
    said = sssu(bed, *LOGIN, "ls vdisk", "exit", "LS VDISK")
    assert "SSSU for HP StorageWorks Command View EVA" in said
    assert f"NoSystemSelected> {LOGIN[0]}\n" in said
    assert said.count(DB) == 1


def test_nothing_is_known_before_a_system_is_selected(bed: EvaBed) -> None:
    assert "not valid until a system is selected" in sssu(bed, LOGIN[0], "LS VDISK")


def test_it_stops_at_the_first_error_unless_told_to_go_on(bed: EvaBed) -> None:
    wrong = "DELETE VDISK nothing"
    assert DB not in sssu(bed, *LOGIN, wrong, "LS VDISK")
    assert DB in sssu(bed, *LOGIN, "SET OPTIONS ON_ERROR=continue", wrong, "LS VDISK")


def test_status_lines_come_only_when_they_were_asked_for(bed: EvaBed) -> None:
    assert "Status" not in sssu(bed, *LOGIN, "LS VDISK")
    said = sssu(bed, *LOGIN, "SET OPTIONS display_status on_error=Continue", "LS VDISK", "LS X")
    assert "Status : 0" in said
    assert said.rstrip().endswith("Status : 1")
    assert "<sssucommandstatus>0<" in sssu(bed, *LOGIN, "SET OPTIONS display_xmlstatus", "LS VDISK")


def test_long_lines_are_folded_until_the_display_is_widened(bed: EvaBed) -> None:
    with eva_state.edit(bed.array) as state:
        eva_state.add_vdisk(state, bed.array, "x" * 32, "original", 1 << 20, folder="f" * 40)
    assert "x" * 32 not in sssu(bed, *LOGIN, "LS VDISK")
    assert "x" * 32 in answer(bed, "LS VDISK")


def test_a_filter_and_a_script_work(bed: EvaBed) -> None:
    said = answer(bed, 'LS VDISK | grep "logs"')
    assert "SG1_logs" in said
    assert DB not in said
    script = bed.folder / "script"
    script.write_text("PAUSE 0\nLS VDISK\n")
    assert DB in answer(bed, f"FILE {script}")


@pytest.mark.parametrize(
    ("line", "word"),
    [("?", "SELECT"), ("ADD ?", "MIRRORCLONE"), ("SET VDISK SG1_db ?", "WRITECACHE"),
     ("ADD SNAPSHOT x VDISK=?", "ALLOCATION_POLICY")],
)  # fmt: skip
def test_a_question_mark_lists_what_is_legal_and_does_nothing(
    bed: EvaBed, line: str, word: str
) -> None:
    assert word in answer(bed, line)
    assert not bed.copies()


def test_a_vdisk_is_found_by_its_id(bed: EvaBed) -> None:
    wwn = next(iter(bed.get("vdisks").values()))["wwn"]
    dashed = "-".join(wwn[at : at + 4] for at in range(0, 32, 4))
    assert DB in answer(bed, f"FIND VDISK LUNWWID={dashed} XML")


@pytest.mark.parametrize(
    "line",
    [
        "ADD SNAPCLONE x VDISK=SG1_db",  # no such verb in 6.0
        "DELETE SNAPSHOT x",
        "SHOW VDISK",
        'SET VDISK "SG1_db" FRACTURE RESYNC',
        "ADD MULTISNAP x VDISK=SG1_db",
        "LS VDISK FULL JSON",
    ],
)
def test_what_the_grammar_does_not_have_is_a_syntax_error(bed: EvaBed, line: str) -> None:
    assert "Error: Syntax error at or near here" in answer(bed, line)


def test_mirrorclones_keep_to_the_table(bed: EvaBed) -> None:
    bed.hold()
    assert "Error" not in answer(bed, "ADD MIRRORCLONE mc VDISK=SG1_db")
    for line in ("SET VDISK mc RESYNC", "SET VDISK mc DETACH", "DELETE VDISK mc",
                 'ADD LUN 9 VDISK=mc HOST="\\Hosts\\Mail\\backup"',
                 "SET VDISK SG1_db INSTANT_RESTORE=mc"):  # fmt: skip
        assert "Error" in answer(bed, line), line
    bed.release()
    assert "Error" in answer(bed, "DELETE VDISK mc")
    assert "Error" not in answer(bed, "SET VDISK mc FRACTURE")
    assert "Error" not in answer(bed, 'ADD LUN 9 VDISK=mc HOST="\\Hosts\\Mail\\backup"')
    for line in ("SET VDISK mc RESYNC", "SET VDISK SG1_db INSTANT_RESTORE=mc",
                 "SET VDISK mc FRACTURE", "DELETE VDISK mc"):  # fmt: skip
        assert "Error" in answer(bed, line), line
    assert "Error" not in answer(bed, 'DELETE LUN "\\Hosts\\Mail\\backup\\9"')
    assert "Error" not in answer(bed, "SET VDISK mc RESYNC")


def test_a_source_is_not_deleted_while_anything_hangs_on_it(tmp_path: Path) -> None:
    bed = EvaSnapcloneBed(tmp_path)
    do(bed, Verb.PREPARE)
    bed.hold()
    do(bed, Verb.SPLIT)
    for number in (1, 2):
        answer(bed, f'DELETE LUN "\\Hosts\\Mail\\prod\\{number}"')
    assert "normalizing" in answer(bed, "DELETE VDISK SG1_db")
    bed.release()
    assert "Error" not in answer(bed, "LS VDISK", "DELETE VDISK SG1_db")
    bed.close()


def test_snapshots_do_not_show_what_production_writes_later(bed: EvaBed) -> None:
    then = bed.read("db")
    assert "Error" not in answer(bed, f'ADD SNAPSHOT s VDISK="{DB}" ALLOCATION_POLICY=DEMAND')
    bed.write("db", 0, b"later")
    answer(bed, 'ADD LUN 9 VDISK="s" HOST="\\Hosts\\Mail\\backup"')
    assert (bed.array / "dev/sdc").read_bytes() == then
    said = answer(bed, "LS SNAPSHOT s")
    assert "demand_allocated_snapshot" in said
    assert "allocatedcapacityblocks" in said
    for line in ("ADD SNAPSHOT t VDISK=s ALLOCATION_POLICY=DEMAND", "DELETE VDISK s",
                 f'ADD SNAPSHOT t VDISK="{DB}" ALLOCATION_POLICY=FULLY'):  # fmt: skip
        assert "Error" in answer(bed, line), line
