"""The one table of scenarios (tests/scenarios) on the portable coordinator, from Python."""

import pytest
from vss_runner import Run, check, take_step

from scenarios import table

# What only the double under Wine, or the C++ world, plays: pending counts, results of single calls.
NOT_SCRIPTED_HERE = {"steps", "calls", "busy_starts", "stale_components"}


@pytest.mark.parametrize("scenario", table.load_all(), ids=lambda one: one.name)
def test_scenario(scenario):
    if "python" in scenario.skip:
        pytest.skip(scenario.skip["python"])
    if found := NOT_SCRIPTED_HERE & scenario.world.keys():
        pytest.skip(f"the world scripts {', '.join(sorted(found))} of the service itself")
    run = Run(scenario)
    try:
        for step in scenario.run:
            take_step(run, step)
        check(run, scenario.expect)
    finally:
        run.close()
