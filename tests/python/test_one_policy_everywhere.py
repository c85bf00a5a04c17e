"""One policy file, taken through the native engine, Storage Foundation and an EVA in turn by the
command line: whoever makes the copies, the runs, the catalog and the bytes are the same."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from provider_bed_eva import EvaBed
from provider_bed_native import NativeBed
from provider_bed_sfw import PATHS, SfwBed
from provider_beds import Bed

PROVIDERS = ("native", "sfw", "eva")


@pytest.fixture
def beds(tmp_path: Path) -> dict[str, Bed]:
    """The same production bytes at all three; the array's host has names W: and L: for its disks,
    so that one table of volumes is right for both products."""
    folders = {name: tmp_path / name for name in ("sfw", "eva")}
    for folder in folders.values():
        folder.mkdir()
    eva = EvaBed(folders["eva"])
    named = eva.array / "sys" / "class" / "block"
    named.mkdir(parents=True, exist_ok=True)
    for source in eva.sources:
        (named / PATHS[source.name]).symlink_to(f"../../block/{Path(source.path).name}")
    beds: dict[str, Bed] = {"native": NativeBed(tmp_path), "sfw": SfwBed(folders["sfw"])}
    return {**beds, "eva": eva}


@pytest.fixture
def policy(beds: dict[str, Bed], tmp_path: Path) -> Path:
    lines = ['[group.mail]\nvolumes = ["db", "logs"]\nmirrors = ["m1", "m2"]']
    lines += [
        f"provider.options.{name} = {json.dumps(text)}"
        for name, text in getattr(beds["native"], "options", {}).items()
    ]
    for source in beds["sfw"].sources:
        lines += [f'[volume.{source.name}]\npath = "{source.path}"\nsize = {source.size}']
    for name in ("sfw", "eva"):
        lines += [f"[provider.{name}]"]
        lines += [f"{key} = {json.dumps(text)}" for key, text in settings(beds[name]).items()]
    path = tmp_path / "policy.toml"
    path.write_text("\n".join(lines))
    return path


def settings(bed: Bed) -> dict[str, str]:
    found: dict[str, str] = bed.settings  # type: ignore[attr-defined]
    return found


def written(bed: Bed, number: int) -> dict[str, bytes]:
    """Production after the application wrote; the same everywhere."""
    for source in bed.sources:
        said = random.Random(f"{source.name}{number}").randbytes(source.size if not number else 999)
        bed.write(source.name, 4096 * number, said)
    return production(bed)


def production(bed: Bed) -> dict[str, bytes]:
    return {one.name: bed.read(one.name) for one in bed.sources}


def story(cli: Cli, policy: Path, bed: Bed, runs: int) -> list[Any]:
    """What the provider's runs came to, without names of sets and moments; of several, also the
    restore of the newest set."""
    told: list[Any] = []
    made: list[str] = []
    for number in range(runs):
        then = written(bed, number)
        (ran,) = cli.json("policy", "run", policy, "--provider", bed.name)["groups"]
        assert ran["provider"] == bed.name
        told.append((ran["mirror"], [made.index(one) for one in ran["given_up"]], ran["error"]))
        made.append(ran["set"]["id"])
        told.append(catalog(cli, bed, made))
    if runs == 1:
        return [*told, then]
    for source in bed.sources:
        bed.write(source.name, 65536, b"damage")
    assert production(bed) != then
    cli.json("restore", made[-1], "--yes")
    assert production(bed) == then
    return [*told, then, catalog(cli, bed, made)]


def catalog(cli: Cli, bed: Bed, made: list[str]) -> list[Any]:
    """The provider's sets as the catalog has them."""
    sets = [one for one in cli.json("snapshot", "list")["sets"] if one["provider"] == bed.name]
    return [
        (
            made.index(one["id"]),
            one["group"],
            one["state"],
            one["consistency"],
            [(check["check"], check["ok"]) for check in one["checks"]],
            [(member["volume"], member["size"]) for member in one["members"]],
        )
        for one in sets
    ]


def told_alike(cli: Cli, policy: Path, beds: dict[str, Bed], runs: int) -> list[Any]:
    """The story, which is the same with all three."""
    before = policy.read_bytes()
    stories = {name: story(cli, policy, beds[name], runs) for name in PROVIDERS}
    assert policy.read_bytes() == before
    assert stories["sfw"] == stories["native"]
    assert stories["eva"] == stories["native"]
    beds["eva"].close()
    beds["native"].close()
    return stories["native"]


def test_one_file_makes_the_same_set_with_every_provider(
    cli: Cli, policy: Path, beds: dict[str, Bed]
) -> None:
    first, sets, *_ = told_alike(cli, policy, beds, 1)
    assert first == ("m1", [], None)
    assert [one[:3] for one in sets] == [(0, "mail", "ready")]


@pytest.mark.soak
def test_one_file_rotates_and_restores_the_same_way_with_every_provider(
    cli: Cli, policy: Path, beds: dict[str, Bed]
) -> None:
    policy.write_text(policy.read_text().replace("\nmirrors", '\nverify = ["bytes"]\nmirrors', 1))
    told = told_alike(cli, policy, beds, 3)
    assert [one[0] for one in told[:6:2]] == ["m1", "m2", "m1"]
    assert told[4] == ("m1", [0], None), "the third takes the first one's mirror"
