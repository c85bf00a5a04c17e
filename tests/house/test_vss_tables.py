"""The words of VSS are written down once: Python's are made from the lists of cpp/vss."""

import subprocess
import sys

from house import ROOT


def test_tables_are_made_from_the_lists():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "vss_tables.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
