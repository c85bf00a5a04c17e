"""Storage Foundation from the command line: the product's programs found by name, as processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Cli
from provider_bed_sfw import SfwBed

from exshadow.providers.gather import gather

pytest.importorskip("exshadow.service.policy_run", reason="policies are not run yet")


def policy(bed: SfwBed) -> Path:
    """Production at W: and L:; the programs are found in the folder of the policy's settings."""
    settings = bed.settings
    path = bed.folder / "policy.toml"
    path.write_text(
        '[volume.db]\npath = "W:"\n[volume.logs]\npath = "L:"\n'
        '[group.mail]\nvolumes = ["db", "logs"]\nmirrors = ["m1", "m2"]\nverify = ["bytes"]\n'
        "[provider.sfw]\n" + "".join(f"{name} = '{value}'\n" for name, value in settings.items())
    )
    return path


@pytest.mark.slow
def test_a_policy_makes_rotates_restores_and_promotes_sets(cli: Cli, tmp_path: Path) -> None:
    bed = SfwBed(tmp_path)
    file = policy(bed)
    held: dict[str, dict[str, bytes]] = {}
    for number in range(3):
        bed.write("db", 4096 * number, b"written by the application")
        (ran,) = cli.json("policy", "run", file)["groups"]
        # The policy's own copies are no reason against the provider that made them.
        assert (ran["provider"], ran["error"]) == ("sfw", None)
        assert ran["mirror"] == ("m1", "m2", "m1")[number]
        assert ran["given_up"] == list(held)[:-1]  # the third takes the first one's mirror
        assert ran["set"]["verified"]["ok"]
        held[ran["set"]["id"]] = {one: bed.read(one) for one in ("db", "logs")}
    facts, _ = gather(bed.sources, {}, {"sfw": bed.settings}, bed.group, ("m1", "m2"))
    assert facts.made == {"sfw": 2}
    sets = [one["id"] for one in cli.json("snapshot", "list")["sets"]]
    assert sets == list(held)[1:]
    for volume in ("db", "logs"):
        bed.write(volume, 65536, b"damage")
    older, newer = sets
    cli.json("restore", older, "--yes")
    assert {one: bed.read(one) for one in ("db", "logs")} == held[older]
    cli.json("snapshot", "promote", newer, "--yes")
    assert {one: bed.read(one) for one in ("db", "logs")} == held[newer]
