"""The table of traps in tests/simulators names tests that are there."""

import re

from house import ROOT

NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def test_every_trap_names_a_test_that_is_there():
    text = (ROOT / "tests/simulators/README.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| (?!trap|--)", line)]
    assert len(rows) >= 22
    for row in rows:
        found = NAMED.findall(row)
        assert found, row
        for file, name in found:
            code = (ROOT / "tests/python" / file).read_text(encoding="utf-8")
            assert f"\ndef {name}(" in code, f"{file} has no {name}"
