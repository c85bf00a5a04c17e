"""An EVA from the command line: sets go round, one is restored, one promoted."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Cli
from product_policy import policy_of
from provider_bed_eva import PROD, EvaBed, EvaSnapcloneBed, eva_state

from exshadow.providers.gather import gather


def production(bed: EvaBed) -> dict[str, bytes]:
    """What the vdisks hold that production's host has under its LUN numbers."""
    found = {}
    for number, source in enumerate(bed.sources, 1):
        [vdisk] = [
            bed.get("vdisks")[lun["vdisk"]]
            for lun in bed.get("luns")
            if (lun["host"], lun["number"]) == (PROD, number)
        ]
        found[source.name] = eva_state.image(bed.array, vdisk).read_bytes()
    return found


@pytest.mark.parametrize("kind", [EvaBed, pytest.param(EvaSnapcloneBed, marks=pytest.mark.soak)])
def test_a_policy_makes_rotates_restores_and_promotes_sets(
    kind: type[EvaBed], cli: Cli, tmp_path: Path
) -> None:
    bed = kind(tmp_path)
    bed.name = "eva"  # as the policy calls it
    settings = {**bed.settings, "instant_restore": "yes"}
    file = policy_of(bed, tmp_path, settings, 'verify = ["bytes"]', mirrors=("m1", "m2"))
    held: dict[str, dict[str, bytes]] = {}
    for number in range(3):
        bed.write("db", 4096 * number, b"written by the application")
        (ran,) = cli.json("policy", "run", file, "--provider", "eva")["groups"]
        # The policy's own copies are no reason against the provider that made them.
        assert (ran["provider"], ran["error"]) == ("eva", None)
        assert ran["mirror"] == ("m1", "m2", "m1")[number]
        assert ran["given_up"] == list(held)[:-1]  # the third takes the first one's mirror
        assert ran["set"]["verified"]["ok"]
        held[ran["set"]["id"]] = production(bed)
    facts, _ = gather(bed.sources, {}, {"eva": settings}, bed.group, ("m1", "m2"))
    assert facts.made == {"eva": 2}
    older, newer = [one["id"] for one in cli.json("snapshot", "list")["sets"]]
    assert [older, newer] == list(held)[1:]
    for volume in held[newer]:
        bed.write(volume, 65536, b"damage")
    cli.json("restore", older, "--yes")
    assert production(bed) == held[older]
    before = {lun["vdisk"] for lun in bed.get("luns") if lun["host"] == PROD}
    cli.json("snapshot", "promote", newer, "--yes")
    assert production(bed) == held[newer]
    assert not before & {lun["vdisk"] for lun in bed.get("luns") if lun["host"] == PROD}
    assert "INSTANT_RESTORE" in (bed.folder / "work" / "commands.log").read_text()
    bed.close()
