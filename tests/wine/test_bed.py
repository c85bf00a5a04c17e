"""The bed itself: what it may not pass over in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wine.bed import ROOT, Machine, Wine


@pytest.mark.parametrize(("asked", "end"), [("required", "1 error"), ("", "1 skipped")])
def test_what_lacks_fails_where_make_promised_it(tmp_path: Path, asked: str, end: str) -> None:
    environment = os.environ | {"EXSHADOW_MINGW_BUILD": str(tmp_path), "EXSHADOW_WINE": asked}
    test = "tests/wine/test_tool.py::test_without_the_service_the_error_says_so"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", test]
    ended = subprocess.run(
        [*command, f"--basetemp={tmp_path / 'inner'}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert end in ended.stdout, ended.stdout + ended.stderr


def test_without_a_report_nothing_is_known_of_leaks(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="report"):
        Machine(Wine(tmp_path), tmp_path / "machine", {}).leaks()
