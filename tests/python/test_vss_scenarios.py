"""The one table of scenarios (tests/scenarios) on the portable coordinator, from Python."""

import json
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


@pytest.mark.parametrize(
    "pointer",
    [
        "/expect/callback",
        "/run/0/expect/counted",
        "/run/0/volume",
        "/world/writer",
        "/world/limits/freezing",
        "/world/writers/0/freezelimit",
        "/world/writers/0/events/frozen",
        "/world/writers/0/events/freeze/fails",
        "/world/providers/0/can_do",
    ],
)
def test_a_key_that_nobody_knows_is_an_error(tmp_path, pointer):
    """A misspelled claim would hold for ever."""
    scenario = {
        "what": "nothing",
        "world": {"writers": [{"name": "W"}], "providers": [{"name": "P"}]},
        "run": [{"do": "backup"}],
        "patch": {pointer: {}},
    }
    path = tmp_path / "one.json"
    path.write_text(json.dumps(scenario))
    with pytest.raises(ValueError, match="unknown keys") as told:
        table.load_file(path)
    assert pointer.strip("/") in str(told.value)
