"""What a program says of components that failed: never more success than it meant."""

from uuid import UUID

import pytest

from exshadow import vss
from exshadow.vss.command import Command
from exshadow.vss.procedures import BackupReport, ComponentReport
from exshadow.vss.values import ComponentKey

WRITER = UUID("5e7c1a40-3f63-4a6e-9d3c-5b8f0f6b9a03")
DEEP = ComponentKey(WRITER, "Files", logical_path="Shop\\data")
FLAT = ComponentKey(WRITER, "logs")
REPORT = BackupReport(components=[ComponentReport(DEEP), ComponentReport(FLAT)])


def answer(line: str) -> vss.Copied:
    return Command(f"printf '%s\\n' '{line}' >> \"$EXSHADOW_FAILED\"")(REPORT)


@pytest.mark.parametrize("writer", [str(WRITER), str(WRITER).upper(), f"{{{WRITER}}}"])
def test_components_are_named_by_id_and_path_however_they_are_spelt(writer):
    assert answer(f"{writer}\tShop\\data\\Files") == vss.Copied(True, [DEEP])
    assert answer(f"{writer}\tshop\\DATA\\files") == vss.Copied(True, [DEEP])
    assert answer(f"{writer}\tlogs") == vss.Copied(True, [FLAT])
    assert answer(f"{writer}\t\\logs") == vss.Copied(True, [FLAT])


@pytest.mark.parametrize(
    "line", [f"{WRITER} logs", f"{WRITER}\tnobody", f"{UUID(int=1)}\tlogs", "logs", "\xff"]
)
def test_a_line_that_names_nothing_lets_nothing_succeed(line):
    assert not answer(line).all_succeeded
    assert Command("true")(REPORT) == vss.Copied(True, [])


def test_a_list_that_is_gone_lets_nothing_succeed():
    assert not Command('rm "$EXSHADOW_FAILED"')(REPORT).all_succeeded


def test_one_bad_line_among_good_ones_lets_nothing_succeed():
    told = answer(f"{WRITER}\tlogs\n{WRITER}\tnobody")
    assert (told.all_succeeded, told.failed) == (False, [FLAT])
