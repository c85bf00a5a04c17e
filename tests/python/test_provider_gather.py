"""Facts from commands and sysfs, and what the commands of ``provider`` say of them."""

import json
from pathlib import Path

import pytest
from product_policy import policy_of, programs
from provider_bed_eva import EvaBed
from provider_bed_sfw import SfwBed

from exshadow.commands import CommandRunner
from exshadow.providers.contract import Source
from exshadow.providers.disks import linux_stack, windows_stack
from exshadow.providers.facts import StackKind
from exshadow.providers.gather import gather

ID = "600508b4000c9a7a0000900000ab0000"


def disk(root: Path, name: str, **files: str) -> Path:
    node = root / "block" / name
    for path, text in files.items():
        file = node / path.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return node


def stack_of(tmp_path, name):
    return linux_stack(Source("db", f"/dev/{name}", 512), str(tmp_path), str(tmp_path / "dev"))


def test_a_disk_is_told_by_sysfs(tmp_path):
    disk(tmp_path, "sdb", device__vendor="HP", device__model="HSV210", device__wwid=f"naa.{ID}")
    found = stack_of(tmp_path, "sdb")
    assert found.kind is StackKind.BASIC
    (one,) = found.disks
    assert (one.vendor, one.product, one.page83) == ("HP", "HSV210", ID)


def test_a_multipath_map_has_its_paths_inquiry(tmp_path):
    disk(tmp_path, "sdb", device__vendor="HP", device__model="HSV300", device__wwid=f"naa.{ID}")
    node = disk(tmp_path, "dm-0", dm__uuid=f"mpath-3{ID}", dm__name="mpatha")
    (node / "slaves").mkdir()
    (node / "slaves" / "sdb").symlink_to(tmp_path / "block" / "sdb")
    (one,) = stack_of(tmp_path, "dm-0").disks
    assert (one.product, one.page83) == ("HSV300", ID)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("sdb1", {"partition": "1"}),
        ("dm-1", {"dm__uuid": "LVM-abc"}),
        ("md0", {"md__level": "raid1"}),
    ],
)
def test_what_is_no_whole_disk_is_other(tmp_path, name, files):
    disk(tmp_path, name, **files)
    assert stack_of(tmp_path, name).kind is StackKind.OTHER


def test_a_file_is_other(tmp_path):
    assert stack_of(tmp_path, "nothing").kind is StackKind.OTHER


@pytest.mark.parametrize(
    ("said", "product"),
    [
        (json.dumps({"Manufacturer": "HP", "Model": "HSV210", "UniqueId": ID.upper()}), "HSV210"),
        ("Get-Partition : No MSFT_Partition objects found", None),
        ("[]", None),
    ],
)
def test_windows_is_asked_through_powershell(tmp_path, said, product):
    program = tmp_path / "powershell"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    program.chmod(0o755)
    runner = CommandRunner(programs={"powershell": str(program)})
    found = windows_stack(Source("db", "W:", 512), runner)
    assert "-DriveLetter W" in " ".join(runner.log[0].command)
    if product is None:
        assert found.kind is StackKind.OTHER
    else:
        assert (found.disks[0].product, found.disks[0].page83) == (product, ID)


def test_what_is_not_here_is_told(tmp_path):
    facts, problems = gather([Source("db", "", 512)], {"db": 512}, {})
    assert facts.volumes[0].kind is StackKind.EXSHADOW
    assert "vxassist" in problems["sfw"]
    assert "sssu" in problems["eva"]
    assert "no Windows" in problems["vss"]


def test_an_array_tells_of_its_vdisks(tmp_path):
    bed = EvaBed(tmp_path)
    facts, problems = gather(bed.sources, {}, {"eva": bed.settings})
    assert "eva" not in problems
    (array,) = facts.arrays
    ids = {one.disks[0].page83 for one in facts.volumes}
    assert ids <= array.volumes.keys()
    assert all(one.kind is StackKind.BASIC for one in facts.volumes)


@pytest.mark.parametrize(("full", "provider"), [("dg2", "eva"), ("dg1", None)])
def test_room_is_looked_for_where_the_copies_go(cli, tmp_path, full, provider):
    """Without ``disk_group`` that is the source's group; how full others are is no matter."""
    bed = EvaBed(tmp_path)
    groups = {"dg1": 1 << 36, "dg2": 1 << 36} | {full: 1 << 20}
    bed.set(groups={f"\\Disk Groups\\{name}": {"total": size, "alarm": 99}
                    for name, size in groups.items()})  # fmt: skip
    path = policy_of(bed, tmp_path, bed.settings)
    (found,) = cli.json("provider", "choose", path, status=0 if provider else 4)["groups"]
    assert found["provider"] == provider
    said = next((one["reason"] for one in found["refused"] if one["provider"] == "eva"), "")
    assert ("disk group \\Disk Groups\\dg1" in said) == (provider is None)


def test_storage_foundation_tells_of_its_volumes(tmp_path):
    bed = SfwBed(tmp_path)
    facts, problems = gather(bed.sources, {}, {"sfw": bed.settings | programs(bed)})
    assert "sfw" not in problems
    assert {one.kind for one in facts.volumes} == {StackKind.SFW}
    assert {one.group for one in facts.volumes} == {"MAIL"}
    assert [one.size for one in facts.volumes] == [one.size for one in bed.sources]


def test_the_choice_is_told_with_one_reason_for_each_other(cli, tmp_path):
    bed = EvaBed(tmp_path)
    more = "provider.delta-resync = true"
    path = policy_of(bed, tmp_path, bed.settings, more)
    (found,) = cli.json("provider", "choose", path)["groups"]
    assert found["provider"] == "eva"
    assert found["kind"] == "mirrorclone"
    assert {one["provider"] for one in found["refused"]} == {"native", "sfw", "vss"}
    said = cli("provider", "choose", path).out
    assert "mail: eva" in said
    assert "not native: db is no volume of exshadow" in said
    assert "EVA" in cli("provider", "probe", "--policy", path).out
    assert "yes" in cli("provider", "list", "--policy", path).out


@pytest.mark.parametrize("kind", [SfwBed, EvaBed])
def test_a_policy_runs_from_the_command_line_on_products_commands(cli, tmp_path, kind):
    """Prepare, two sets, restore, resync, by programs that the policy names; no native volume."""
    bed = kind(tmp_path)
    settings = bed.settings | (programs(bed) if kind is SfwBed else {})
    more = f'verify = ["bytes"]\nprovider.prefer = ["{bed.name}"]'
    path = policy_of(bed, tmp_path, settings, more)
    before = {one.name: bed.read(one.name) for one in bed.sources}
    (run,) = cli.json("policy", "run", path)["groups"]
    first = run["set"]
    assert (first["provider"], first["state"], first["verified"]["ok"]) == (bed.name, "ready", True)
    for name in before:
        bed.write(name, 4096, b"damage" * 100)
    assert [one["label"] for one in cli.json("snapshot", "list")["sets"]] == [first["label"]]
    cli("restore", first["id"], "--yes")
    assert {one.name: bed.read(one.name) for one in bed.sources} == before
    cli("snapshot", "pin", first["id"])
    cli.error(4, "snapshot", "resync", first["id"], "--yes")
    cli.error(2, "snapshot", "pin", first["id"], "--clear")
    cli("snapshot", "pin", first["id"], "--clear", "--reason", "all is archived")
    assert "all is archived" in cli("snapshot", "show", first["id"]).out
    cli("snapshot", "resync", first["id"], "--yes")
    assert cli.json("snapshot", "list")["sets"] == []
    (again,) = cli.json("policy", "run", path)["groups"]
    assert again["set"]["id"] != first["id"]
    (status,) = cli.json("policy", "status", path, status=9)["groups"]
    assert status["state"] == "stuck"  # the only mirror is the newest verified set
    assert status["recovery"] is not None
    bed.close()


@pytest.mark.parametrize(
    ("demand", "why"),
    [
        ("provider.survive-source-loss = true", "does not survive the loss of the source"),
        ("provider.delta-resync = true", "copies everything at each refresh"),
        ('provider.forbid = ["eva"]', "forbidden by the policy"),
    ],
)
def test_a_provider_that_is_named_must_meet_the_demands_too(cli, tmp_path, demand, why):
    bed = EvaBed(tmp_path)
    settings = bed.settings | {"kind": "snapshot"}
    path = policy_of(bed, tmp_path, settings, demand)
    assert why in cli.error(4, "policy", "run", path, "--provider", "eva")["message"]
    if "forbid" not in demand:
        path = policy_of(bed, tmp_path, settings, f'{demand}\nprovider.prefer = ["eva"]')
        assert why in cli.error(4, "policy", "run", path)["message"]
    path = policy_of(bed, tmp_path, settings)
    (run,) = cli.json("policy", "run", path, "--provider", "eva")["groups"]
    assert run["error"] is None
    bed.close()


def test_nobody_can_is_a_refusal(cli, tmp_path, image):
    path = tmp_path / "policy.toml"
    path.write_text(f'[group.x]\nvolumes = ["db"]\n[volume.db]\npath = "{image("db.img")}"\n')
    (found,) = cli.json("provider", "choose", path, status=4)["groups"]
    assert found["provider"] is None
    assert len(found["refused"]) == 4
    assert "no provider can" in cli.error(4, "policy", "run", path)["message"]


def test_a_preferred_provider_that_is_not_here_is_told_alike_by_choose_and_run(
    cli, tmp_path, image
):
    cli("volume", "add", "db", image("db.img"))
    path = tmp_path / "policy.toml"
    path.write_text(
        '[group.db]\nvolumes = ["db"]\nprovider.prefer = ["eva"]\n'
        f'provider.options.mirror-path = "{tmp_path}/{{volume}}-{{mirror}}.img"\n'
    )
    (found,) = cli.json("provider", "choose", path)["groups"]
    assert found["provider"] == "native"
    assert {"provider": "eva", "reason": "sssu not found"} in found["refused"]
    ran = cli("policy", "run", path)
    assert "by native" in ran.out
    assert "provider eva is preferred and cannot be taken: sssu not found" in ran.err


def test_a_script_checks_what_a_product_presents(cli, tmp_path):
    bed = EvaBed(tmp_path)
    script = tmp_path / "look"
    script.write_text(f"#!/bin/sh\ncat > {tmp_path}/told\n")
    script.chmod(0o755)
    path = policy_of(bed, tmp_path, bed.settings, f'verify = ["script?command={script}"]')
    (run,) = cli.json("policy", "run", path)["groups"]
    assert run["set"]["verified"]["check"] == "script", run
    assert '"db"' in (tmp_path / "told").read_text()
    bed.close()


def test_vdisks_named_by_their_ids_go_to_their_array(cli, tmp_path):
    """As volumes of other hosts are: there is no device here."""
    bed = EvaBed(tmp_path)
    path = policy_of(bed, tmp_path, bed.settings)
    text = path.read_text()
    for one in bed.sources:
        text = text.replace(json.dumps(one.path), json.dumps(bed.other_paths[one.name]))
    path.write_text(text)
    (found,) = cli.json("provider", "choose", path)["groups"]
    assert found["provider"] == "eva"
    (ran,) = cli.json("policy", "run", path)["groups"]
    assert ran["provider"] == "eva"
    assert ran["error"] is None


def test_two_volumes_on_one_vdisk_get_no_array(cli, tmp_path):
    bed = EvaBed(tmp_path)
    path = policy_of(bed, tmp_path, bed.settings)
    first, second = (json.dumps(one.path) for one in bed.sources)
    path.write_text(path.read_text().replace(second, first))
    (found,) = cli.json("provider", "choose", path, status=4)["groups"]
    (said,) = [one["reason"] for one in found["refused"] if one["provider"] == "eva"]
    assert said == "db and logs are on one vdisk, which is copied as a whole"


def test_what_sssu_says_steers_no_terminal(cli, tmp_path):
    bed = EvaBed(tmp_path)
    program = tmp_path / "sssu"
    program.write_text("#!/bin/sh\nprintf '\\033[2Jgone'\n")
    program.chmod(0o700)
    path = policy_of(bed, tmp_path, bed.settings | {"sssu": str(program)})
    (found,) = cli.json("provider", "choose", path, status=4)["groups"]
    assert found["problems"]["eva"] == "sssu ended by itself: [2Jgone"
