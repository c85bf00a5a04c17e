"""Each kind of compiler gets flags of its own: MSVC knows none of gcc's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from house import ROOT

FUNCTIONS = ("options", "release", "small", "static")


def flags(tmp_path: Path, compiler: str) -> list[str]:
    """All that cmake/compiler.cmake gives for a compiler."""
    script = tmp_path / "ask.cmake"
    asked = [
        f'exshadow_compiler_{one}({compiler} found)\nmessage("${{found}}")' for one in FUNCTIONS
    ]
    script.write_text(
        "\n".join([f'include("{ROOT}/cmake/compiler.cmake")', *asked]), encoding="utf-8"
    )
    told = subprocess.run(
        ["cmake", "-P", script], capture_output=True, text=True, check=True
    ).stderr
    return [flag for flag in re.split(r"[;\s]+", told) if flag]


@pytest.mark.parametrize(("compiler", "mark"), [("MSVC", "/"), ("GNU", "-"), ("Clang", "-")])
def test_a_compiler_gets_flags_of_its_own_kind(tmp_path: Path, compiler: str, mark: str) -> None:
    found = flags(tmp_path, compiler)
    assert len(found) > 3
    assert [flag for flag in found if not flag.startswith(mark)] == []


def test_no_flag_of_one_compiler_is_given_to_all() -> None:
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    for_windows = text[: text.index("if(EXSHADOW_SANITIZE)")]
    assert re.findall(r"(?:options|FLAGS\w*)[^)\n]*[\s\"](-[A-Za-z]\S+)", for_windows) == []
