"""The one table of scenarios (tests/scenarios) on the portable coordinator, from Python."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
from vss_causes import slot_taken, with_causes
from vss_runner import Run, check, take_step

from scenarios import table


@pytest.mark.parametrize("scenario", table.load_all(), ids=lambda one: one.name)
def test_scenario(scenario):
    if "python" in scenario.skip:
        pytest.skip(scenario.skip["python"])
    world = with_causes(scenario.world)
    taken = world.pop("slot_taken", None)
    run = Run(replace(scenario, world=world))
    try:
        with slot_taken(run.coordinator, taken) if taken else nullcontext():
            for step in scenario.run:
                take_step(run, step)
        check(run, scenario.expect)
    finally:
        run.close()
