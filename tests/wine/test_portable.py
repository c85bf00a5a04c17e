"""The portable tests of vss, compiled for Windows: documents, orders, words and choices."""

from __future__ import annotations

from wine.bed import Wine, program


def test_the_portable_tests_pass_on_the_other_system_too(wine: Wine) -> None:
    ended = wine.run(program("vss_test.exe"), limit=110)
    assert ended.status == 0, ended.out[-4000:]
    assert "Status: SUCCESS!" in ended.out
