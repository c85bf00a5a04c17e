"""A program as the caller's part, and restore choices, on the coordinator of this process."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from vss_writers import OneVolume

from exshadow import Error, vss
from exshadow.vss.procedures import BackupReport, ComponentReport
from exshadow.vss.values import ComponentKey

WRITER = UUID(int=0xA1)
REQUEST = vss.BackupRequest(["data"], retry=vss.RetryLimits(tries=1))


class TwoFiles(vss.Writer):
    """Two components."""

    writer_id = WRITER
    name = "Two files"

    def identify(self) -> vss.WriterMetadata:
        files = [vss.FileSet("data", "*")]
        names = ("Bücher", "main")
        components = [
            vss.ComponentMetadata(name, files=files, selectable=True, selectable_for_restore=True)
            for name in names
        ]
        return vss.WriterMetadata(self.writer_id, self.name, components=components)


@pytest.fixture
def coordinator() -> Iterator[vss.Coordinator]:
    with vss.Coordinator() as opened:
        opened.register_provider(OneVolume())
        opened.register_writer(TwoFiles())
        yield opened


def events(coordinator: vss.Coordinator) -> list[str]:
    return [one.event for one in coordinator.callbacks() if one.of_writer]


def test_only_the_components_that_the_program_names_have_failed(
    coordinator: vss.Coordinator,
) -> None:
    program = vss.Command(f'printf "{WRITER}\\tbücher\\n" > "$EXSHADOW_FAILED"')
    report = coordinator.backup(REQUEST, program).check()
    outcome = {one.key.name: one.succeeded for one in report.components}
    assert outcome == {"Bücher": False, "main": True}
    assert program.error() is not None
    assert "backup_complete" in events(coordinator)


@pytest.mark.parametrize(
    "line",
    [
        'echo nobody > "$EXSHADOW_FAILED"',
        f'printf "{WRITER}\\tB\\374cher\\n" > "$EXSHADOW_FAILED"',
        'rm "$EXSHADOW_FAILED"; mkdir "$EXSHADOW_FAILED"',
        'rm "$EXSHADOW_FAILED"',
        f'printf "{WRITER} main\\n" > "$EXSHADOW_FAILED"',
        f'printf "{UUID(int=1)}\\tmain\\n" > "$EXSHADOW_FAILED"',
        f'printf "{WRITER}\\tmain\\nnobody\\n" > "$EXSHADOW_FAILED"',
    ],
    ids=[
        "a name that is in no backup",
        "no UTF-8",
        "a folder in its place",
        "the list is gone",
        "no tab",
        "another writer",
        "one bad line among good ones",
    ],
)
def test_a_list_that_cannot_be_understood_is_never_told_as_a_success(
    coordinator: vss.Coordinator, line: str
) -> None:
    with pytest.raises(Error, match=r"."):
        coordinator.backup(REQUEST, vss.Command(line)).check()
    assert "backup_complete" not in events(coordinator)


DEEP = ComponentKey(WRITER, "Files", logical_path="Shop\\data")
FLAT = ComponentKey(WRITER, "logs")


@pytest.mark.parametrize("writer", [str(WRITER), str(WRITER).upper(), f"{{{WRITER}}}"])
def test_components_are_named_by_id_and_path_however_they_are_spelt(writer: str) -> None:
    report = BackupReport(components=[ComponentReport(DEEP), ComponentReport(FLAT)])

    def answer(name: str) -> vss.Copied:
        line = f"printf '%s\\n' '{writer}\t{name}' >> \"$EXSHADOW_FAILED\""
        return vss.Command(line)(report)

    assert answer("Shop\\data\\Files") == vss.Copied(True, [DEEP])
    assert answer("shop\\DATA\\files") == vss.Copied(True, [DEEP])
    assert answer("logs") == vss.Copied(True, [FLAT])
    assert answer("\\logs") == vss.Copied(True, [FLAT])


def test_choices_are_for_one_component(coordinator: vss.Coordinator) -> None:
    made = coordinator.backup(REQUEST).check()
    choices = [
        vss.RestoreChoices(vss.ComponentWish("Two files", "main"), options="a=b"),
        vss.RestoreChoices(
            vss.ComponentWish("Two files", "main"),
            additional_restores=True,
            roll_forward=vss.RollForward.PARTIAL,
            roll_forward_point="noon",
            new_name="copy",
        ),
    ]
    report = coordinator.restore(vss.RestoreRequest(made.document, choices=choices)).check()
    (chosen,) = report.chosen
    found = {one.name: one.restore for one in chosen.components}
    main = found["main"]
    assert (main.options, main.additional_restores, main.new_name) == ("a=b", True, "copy")
    assert (main.roll_forward, main.roll_forward_point) == (vss.RollForward.PARTIAL, "noon")
    assert (found["Bücher"].options, found["Bücher"].new_name) == ("", "")
