"""Groups and policies that change between runs: nothing is given up for a run that cannot be, and
runs go on afterwards."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from product_policy import policy_of
from provider_bed_eva import EvaBed, EvaSnapshotBed
from provider_bed_sfw import SfwBed
from provider_bed_vss import VssBed
from provider_beds import Bed
from provider_trial import Rotation

Write = Callable[..., Path]


@pytest.fixture
def write(cli: Cli, image: Any, tmp_path: Path) -> Write:
    """Volume ``v0`` in group ``grp``; the policy with these volumes and mirrors."""
    cli("volume", "add", "v0", image("v0.img"), "--group", "grp")

    def policy(volumes: list[str], mirrors: list[str]) -> Path:
        path = tmp_path / "policy.toml"
        pattern = f"{tmp_path}/{{volume}}-{{mirror}}.img"
        path.write_text(
            f"[group.grp]\nvolumes = {json.dumps(volumes)}\nmirrors = {json.dumps(mirrors)}\n"
            f'keep.last = 1\nprovider.options.mirror-path = "{pattern}"\n'
        )
        return path

    return policy


def run(cli: Cli, policy: Path, status: int = 0) -> dict[str, Any]:
    (found,) = cli.json("policy", "run", policy, status=status)["groups"]
    return found  # type: ignore[no-any-return]


def ready(cli: Cli) -> list[str]:
    return [one["id"] for one in cli.json("snapshot", "list")["sets"]]


def test_a_volume_that_the_policy_lacks_costs_no_set(cli: Cli, write: Write, image: Any) -> None:
    policy = write(["v0"], ["m1", "m2"])
    for _ in range(2):
        run(cli, policy)
    before = ready(cli)
    cli("volume", "add", "v1", image("v1.img"), "--group", "grp")
    done = run(cli, policy, 4)
    assert done["error"]["message"] == "volume v1 of the group is not named"
    assert done["given_up"] == []
    assert ready(cli) == before


def test_sets_from_before_a_volume_came_give_their_mirrors_up(
    cli: Cli, write: Write, image: Any
) -> None:
    policy = write(["v0"], ["m1", "m2"])
    older = [run(cli, policy)["set"]["id"] for _ in range(2)]
    cli("volume", "add", "v1", image("v1.img"), "--group", "grp")
    policy = write(["v0", "v1"], ["m1", "m2"])
    assert cli.json("policy", "status", policy)["groups"][0]["state"] == "ok"
    for one in older:
        done = run(cli, policy)
        assert done["given_up"] == [one]
        assert [member["volume"] for member in done["set"]["members"]] == ["v0", "v1"]
    assert len(ready(cli)) == 2


def test_a_run_goes_on_beside_a_mirror_that_became_production(cli: Cli, write: Write) -> None:
    policy = write(["v0"], ["m1", "m2"])
    cli("snapshot", "promote", run(cli, policy)["set"]["id"], "--yes")
    (planned,) = cli.json("policy", "plan", policy)["groups"]
    assert {step["target"] for step in planned["steps"]} == {"m2"}
    done = run(cli, policy)
    assert done["mirror"] == "m2"
    assert "mirror m1 is production itself" in done["warnings"][0]
    policy = write(["v0"], ["m1"])
    said = run(cli, policy, 4)["error"]["message"]
    assert "m1 is production itself" in said
    assert "can name p1" in said
    (stands,) = cli.json("policy", "status", policy, status=9)["groups"]
    assert "m1 is production itself" in stands["notes"][0]
    assert run(cli, write(["v0"], ["p1"]))["mirror"] == "p1", "what it was promoted over"


def test_a_copy_that_is_in_the_way_of_a_mirror_is_told_with_the_way_out(
    cli: Cli, write: Write, tmp_path: Path
) -> None:
    policy = write(["v0"], ["m1"])
    cli("snapshot", "delete", run(cli, policy)["set"]["id"], "--yes")
    error = run(cli, policy, 4)["error"]
    copy = tmp_path / "v0-m1.img"
    assert f"exshadow mirror add v0 {copy} --label m1 --overwrite" in error["hint"]
    cli("mirror", "add", "v0", copy, "--label", "m1", "--overwrite", "--yes")
    run(cli, policy)


@pytest.mark.parametrize(
    "kind", [SfwBed, EvaBed, VssBed, pytest.param(EvaSnapshotBed, marks=pytest.mark.soak)]
)
def test_a_group_of_any_product_grows_and_shrinks_between_runs(
    kind: type[Bed], memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bed = kind(memory)
    every = bed.sources
    few = every[:1]
    for sources in (few, few, every, few):
        monkeypatch.setattr(kind, "sources", sources)
        rotation = Rotation(bed)
        bed.write("db", 4096, bytes([len(sources)]) * 600)
        made = rotation.good().made
        assert made is not None
        assert [one.volume for one in made.members] == [one.name for one in sources]
        assert rotation.bytes_of(made) == rotation.production()
    rotation.check()
    bed.close()


def test_a_group_of_another_product_has_a_state_before_its_first_set_and_without_the_catalog(
    cli: Cli, memory: Path, tmp_path: Path
) -> None:
    bed = EvaBed(memory)
    policy = policy_of(bed, tmp_path, bed.settings)
    (stands,) = cli.json("policy", "status", policy, status=9)["groups"]
    assert stands["state"] == "none"
    assert cli("policy", "status", policy, "--nagios", status=2).out.startswith("EXSHADOW CRITICAL")
    made = run(cli, policy)["set"]["id"]
    assert "provider eva holds it" in cli.error(4, "drill", bed.group)["message"]
    if os.geteuid() == 0:
        error = cli.error(4, "snapshot", "mount", made, tmp_path / "mnt")
        assert "provider eva holds it" in error["message"]
    (cli.state / "catalog.sqlite").unlink()
    error = run(cli, policy, 4)["error"]
    assert "m1 is a set that the catalog does not know" in error["message"]
    assert "catalog import" in error["hint"]
    bed.close()
