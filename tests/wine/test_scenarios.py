"""The table of scenarios by exshadow-vss.exe against the test double: outcome, order, leaks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scenarios.table import Scenario, load_all
from wine.bed import Machine
from wine.scenario_run import Run

TABLE = load_all()


@pytest.mark.parametrize("scenario", TABLE, ids=[scenario.name for scenario in TABLE])
def test_scenario(scenario: Scenario, machine: Callable[..., Machine]) -> None:
    if "wine" in scenario.skip:
        pytest.skip(scenario.skip["wine"])
    run = Run(scenario, machine(scenario.world))
    run.steps()
    run.end()
