"""`policy status --nagios` as a monitoring server asks it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Cli

WRONG = [
    "status FILE --nagios --nix",
    "status FILE --nagios --group",
    "status FILE --nagios --group nix",
    "status FILE more --nagios",
    "status --nagios",
    "status none.toml --nagios",
    "status / --nagios",
    "staus FILE --nagios=true",
]


@pytest.mark.parametrize("words", WRONG)
def test_what_is_asked_wrongly_is_unknown(cli: Cli, tmp_path: Path, words: str) -> None:
    """By the guidelines of monitoring plugins: to a server 2 would be CRITICAL, 1 WARNING."""
    policy = tmp_path / "policy.toml"
    policy.write_text('[group.g]\nvolumes = ["a"]\n')
    asked = ["policy", *words.replace("FILE", str(policy)).split()]
    assert re.fullmatch(r"EXSHADOW UNKNOWN - .+\n", cli(*asked, status=3).out)
    found = cli.json(*asked, status=3)
    assert found["groups"] == []
    assert found["error"]["message"]


def test_without_monitoring_wrong_usage_stays_wrong_usage(cli: Cli, tmp_path: Path) -> None:
    cli.error(2, "policy", "status", tmp_path / "policy.toml", "--nix")
