"""Everything that products are told and say is kept in a file, bounded, for its owner only; errors
name it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from eva_story import action, do
from provider_bed_eva import EvaBed
from sfw_trial import Trial

from exshadow import command_log
from exshadow.command_log import CommandLog
from exshadow.commands import CommandRunner
from exshadow.errors import ProviderError, TimedOutError
from exshadow.providers.contract import Verb
from exshadow.providers.sfw.provider import build
from exshadow.providers.vss.background import Background
from exshadow.providers.vss.settings import parse

SAY = {"sh": "/bin/sh"}


def test_what_was_said_is_kept_word_for_word_with_secrets_masked(tmp_path: Path) -> None:
    runner = CommandRunner(programs=SAY, secrets=("hidden",), file=CommandLog(tmp_path / "state"))
    runner.run("sh", ["-c", "echo 'two  words'; echo is hidden >&2; exit 3"], 10)
    with pytest.raises(TimedOutError) as found:
        runner.run("sh", ["-c", "echo begun; sleep 60"], 0.3)
    file = tmp_path / "state" / "commands.log"
    text = file.read_text()
    assert "two  words\nis ****\n--- status 3" in text
    assert "begun\n--- status -1" in text
    assert "hidden" not in text
    assert str(file) in found.value.hint
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_neither_the_file_nor_what_is_in_memory_grows_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_log, "LIMIT", 10_000)
    runner = CommandRunner(file=CommandLog(tmp_path))
    for number in range(200):
        runner.keep(["list", str(number)], 0, "x" * 1000, 0.1)
    kept = sorted(tmp_path.iterdir())
    assert [one.name for one in kept] == ["commands.log", *(f"commands.log.{n}" for n in (1, 2, 3))]
    assert all(one.stat().st_size <= 10_000 for one in kept)
    assert len(runner.log) < 100
    assert "list 199" in kept[0].read_text()
    monkeypatch.setattr(command_log, "LIMIT", 1 << 20)
    before = kept[0].stat().st_size
    for _ in range(100):  # asked for again and again while something goes on
        runner.keep(["ls"], 0, "y" * 1000, 0.1)
        runner.keep(["ls", "more"], 0, "z" * 1000, 0.1)
    assert kept[0].stat().st_size - before < 30_000


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    runner = CommandRunner(programs=SAY, file=CommandLog(tmp_path / "file"))
    assert runner.run("sh", ["-c", "echo done"], 10).output == "done\n"


def test_an_arrays_refusal_names_the_file_that_has_its_words(tmp_path: Path) -> None:
    bed = EvaBed(tmp_path)
    bed.set(traps={"error_but_zero": "ADD MIRRORCLONE"})
    with pytest.raises(ProviderError) as found:
        do(bed, Verb.PREPARE)
    file = bed.folder / "work" / "commands.log"
    assert str(file) in found.value.hint
    text = file.read_text()
    assert "Error: Operation failed" in text
    assert "LS VDISK FULL XML" in text
    assert "secret word" not in text
    assert len(bed.provider().commands.log) == 0
    bed.close()


def test_a_listing_that_is_not_understood_is_in_the_file(tmp_path: Path) -> None:
    bed = EvaBed(tmp_path)
    bed.set(words={"status": "</object>\nStatus : "})
    with pytest.raises(ProviderError, match="ends within") as found:
        bed.provider().standing(action(bed, Verb.PREPARE))
    assert "commands.log" in found.value.hint
    bed.close()


def test_storage_foundations_words_are_kept_beside_its_sets(tmp_path: Path) -> None:
    bed = Trial(tmp_path)
    provider = build({**bed.settings, "vxassist": "/bin/echo strange", "vxdg": "/bin/echo odd"})
    with pytest.raises(ProviderError) as found:
        provider.mirrors(bed.group, bed.sources)
    file = bed.sets / "commands.log"
    assert str(file) in found.value.hint
    text = file.read_text()
    assert "strange" in text or "odd" in text


def test_the_command_that_knows_when_copies_are_whole_is_kept(tmp_path: Path) -> None:
    settings = parse({"copied": "/bin/echo asked", "sets": str(tmp_path)})
    Background(settings)._commands.run("copied", ["id"], 10)
    assert "asked id" in (tmp_path / "commands.log").read_text()
