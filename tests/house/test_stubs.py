"""The typed stub of the extension says what the extension has, no more and no less."""

import subprocess
import sys
from pathlib import Path

import pytest

import exshadow
from house import PACKAGE


@pytest.mark.timeout(300)
def test_stub_matches_the_extension(tmp_path):
    # From an empty folder, so that the installed package is judged, not the source tree.
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "exshadow._core", "--concise"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_installed_package_is_this_one():
    """Tests that ran against yesterday's sources would prove nothing; data files count too."""
    home = Path(next(iter(exshadow.__path__)))
    stale = [
        str(path.relative_to(PACKAGE))
        for path in sorted(PACKAGE.rglob("*"))
        if path.is_file()
        and "__pycache__" not in path.parts
        and not same(path, home / path.relative_to(PACKAGE))
    ]
    assert not stale, f"installed otherwise or not at all (make setup): {stale}"


def same(one, other):
    return other.is_file() and one.read_bytes() == other.read_bytes()
