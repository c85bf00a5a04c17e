"""The policy file, schedules, plans and states of groups; the commands that show them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from conftest import Cli

import exshadow
from exshadow.cli.policy_settings import OPTIONS
from exshadow.errors import InvalidError, RefusedError
from exshadow.model import SetRecord, Verification
from exshadow.policy.model import load, parse
from exshadow.policy.nagios import grade
from exshadow.policy.planning import held_of, is_due, misfits, plan_group
from exshadow.policy.schedule import inside, last_due, next_run
from exshadow.policy.standing import EXIT_STATUS, status_of

NOW = datetime(2024, 6, 5, 12, 30, tzinfo=UTC)  # a Wednesday
GOOD = """
[defaults]
keep = { daily = 7 }
[template.base]
schedule = "0 * * * *"
keep.last = 2
[template.db]
extends = "base"
verify = ["bytes"]
[group.shop]
extends = "db"
volumes = ["data", "logs"]
keep.hourly = 24
max-age = "2h"
"""


def test_groups_inherit_from_templates_and_defaults() -> None:
    group = parse(GOOD).group["shop"]
    keep = group.keep.rules()
    assert (keep.daily, keep.last, keep.hourly) == (7, 2, 24)
    assert group.verify == ("bytes",)
    assert group.schedule == "0 * * * *"
    assert group.max_age == timedelta(hours=2)


FAULTS = [
    ('schedule = "hourly"', "policy:5: group.g.schedule: write five cron fields"),
    ('schedule = "0 0 30 2 *"', "policy:5: group.g.schedule: no such day ever comes"),
    ('schedule = "R 3 * * *"', "policy:5: group.g.schedule: minute 'R' is not understood"),
    ('schedule = "0 3 1W * *"', "policy:5: group.g.schedule: day '1W' is not understood"),
    ('schedule = "0 3 * * 6#1"', "policy:5: group.g.schedule: weekday '6#1' is not understood"),
    ('schedule = "0 3 * * L5"', "policy:5: group.g.schedule: weekday 'L5' is not understood"),
    ('schedule = "0 3 *\\n* *"', "policy:5: group.g.schedule: write five cron fields"),
    ('schedule = "0 61 * * *"', "policy:5: group.g.schedule: write five cron fields"),
    ('window = "8-9"', "policy:5: group.g.window: write a window"),
    ('window = "20:00-20:00"', "policy:5: group.g.window: it begins and ends at the same time"),
    ('schedule = "0 3 * * *"\nwindow = "20:00-02:00"', "policy:6: group.g.window: the schedule"),
    ("keep.daily = -1", "policy:5: group.g.keep.daily: write a number from 0 on"),
    ('keep.within = "7w"', "policy:5: group.g.keep.within: '7w' is no time span"),
    ('verify = ["chkdsk"]', "no check 'chkdsk'"),
    ('provider.prefer = ["netapp"]', "no provider 'netapp'"),
    ('retention = "7d"', "policy:5: group.g.retention: unknown key"),
    ('writers = "sqlite"', "policy:5: group.g.writers: write a list"),
    ('objective = "soon"', "policy:5: group.g.objective"),
    ('notify.on = ["always"]', "there are failure, success, warning"),
    ('mirrors = ["m2", "m2"]', "names one twice"),
]


@pytest.mark.parametrize(("line", "told"), FAULTS)
def test_every_fault_has_its_line(line: str, told: str) -> None:
    with pytest.raises(InvalidError) as fault:
        parse(f'\n\n[group.g]\nvolumes = ["data"]\n{line}\n')
    assert told in str(fault.value)


def test_volumes_and_providers_have_tables_of_their_own() -> None:
    text = '[volume.data]\npath = "W:"\nsize = "2G"\n[provider.sfw]\nvxassist = "/opt/vxassist"\n'
    policy = parse(GOOD + text)
    assert (policy.volume["data"].path, policy.volume["data"].size) == ("W:", 2 << 30)
    assert policy.provider["sfw"] == {"vxassist": "/opt/vxassist"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[volume.data]\nsize = "2G"', "volume.data.path: must be given"),
        ('[volume.data]\npath = "W:"\nsize = "big"', "policy:16: volume.data.size"),
        ("[provider.sfw]\ntries = 3", "policy:15: provider.sfw.tries"),
        ("[provider.netapp]", "no provider 'netapp'"),
    ],
)
def test_their_faults_have_lines_too(text: str, told: str) -> None:
    with pytest.raises(InvalidError) as fault:
        parse(GOOD.strip() + "\n" + text)
    assert told in str(fault.value), fault.value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no group"),
        ("[group.g]", "must be given"),
        ("[groups.g]", "policy:1: unknown part groups"),
        ('defaults = 3\n[group.g]\nvolumes = ["a"]', "policy:1: defaults is no table"),
        ('template = 3\n[group.g]\nvolumes = ["a"]', "policy:1: template is no table"),
        ('[template]\nt = 3\n[group.g]\nextends = "t"\nvolumes = ["a"]',
         "policy:2: template.t is no table"),
        ('[group.g]\nextends = "x"\nvolumes = ["a"]', "extends 'x'"),
        ('[template.a]\nextends = "b"\n[template.b]\nextends = "a"\n'
         '[group.g]\nextends = "a"\nvolumes = ["a"]', "extend one another"),
        ("[group.g", "policy: "),
        ('[group.g]\nextends = ["t"]\nvolumes = ["a"]', "policy:2: group.g extends"),
        ('[template.t]\nextends = { a = 1 }\n[group.g]\nvolumes = ["a"]', "policy:2: template.t"),
        ("[group.g]\nvolumes = " + "[" * 3000 + "]" * 3000, "too deep in one another"),
        ("[group.g]\nvolumes = []", "policy:2: group.g.volumes: must name at least one"),
        ('[group.g]\nvolumes = ["a"]\nkeep = 3', "policy:3: group.g.keep: write a table"),
        ('[group.g]\nvolumes = ["a"]\nobjective = "900d"', "is too long"),
        ('["group"."bad name"]\nvolumes = ["a"]', "group name"),
    ],
)  # fmt: skip
def test_files_that_are_no_policy(text: str, told: str) -> None:
    with pytest.raises(InvalidError, match=told):
        parse(text)


def test_a_wrong_name_in_a_list_is_one_fault() -> None:
    with pytest.raises(InvalidError) as fault:
        parse('[group.g]\nvolumes = ["../a"]')
    assert str(fault.value).count("policy:2:") == 1


def test_a_file_of_windows_editors_is_read(tmp_path: Path) -> None:
    """With the mark of UTF-8 before it, and two characters at the end of lines."""
    file = tmp_path / "policy.toml"
    file.write_bytes(b'\xef\xbb\xbf[group.g]\r\nvolumes = ["a"]\r\n')
    assert load(file).group["g"].volumes == ("a",)


def test_a_policy_that_anybody_may_change_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(GOOD)
    path.chmod(0o666)
    with pytest.raises(RefusedError, match="may be changed by anybody"):
        load(path)


def test_a_policy_of_another_user_is_refused_and_the_way_to_it_looked_at(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    folder = tmp_path / "etc"
    folder.mkdir()
    path = folder / "policy.toml"
    path.write_text(GOOD)
    path.chmod(0o664)
    load(path)  # root's own group
    for place in (path, folder):
        os.chown(place, 12345, 0)
        with pytest.raises(RefusedError, match="belongs to another user") as refused:
            load(path)
        assert f"chown root {place}" in refused.value.hint
        os.chown(place, 0, 12345)
        place.chmod(0o775)
        with pytest.raises(RefusedError, match="by its group 12345") as refused:
            load(path)
        assert f"chmod g-w {place}" in refused.value.hint
        os.chown(place, 0, 0)
    folder.chmod(0o777)
    with pytest.raises(RefusedError, match="etc may be changed by anybody"):
        load(path)
    folder.chmod(0o1777)  # like /tmp: others cannot replace what is ours there
    load(path)


def test_windows_and_schedules() -> None:
    assert inside(NOW, None)
    assert inside(NOW, "12:00-13:00")
    assert not inside(NOW, "12:31-13:00")
    assert inside(NOW, "20:00-12:31")
    assert next_run("0 * * * *", NOW) == NOW.replace(hour=13, minute=0)
    assert next_run("0 * * * *", NOW, "02:00-03:00") == NOW.replace(day=6, hour=2, minute=0)
    assert next_run("0 12 * * *", NOW, "13:00-14:00") is None
    assert last_due("0 12 * * 1", NOW) == NOW.replace(day=3, hour=12, minute=0)
    assert last_due("30 12 * * *", NOW) == NOW


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize("cron", ["0 2 * * *", "*/30 * * * *", "15 2,3 * * *"])
@pytest.mark.parametrize("day", ["2026-10-25", "2026-03-29"])
def test_what_is_announced_becomes_due_also_when_the_clock_is_changed(cron: str, day: str) -> None:
    moment = datetime.fromisoformat(day).replace(tzinfo=BERLIN)
    for _ in range(10):
        coming = next_run(cron, moment)
        assert coming is not None
        found = last_due(cron, coming)
        assert found is not None
        assert found.astimezone(UTC) == coming.astimezone(UTC)
        moment = coming


@pytest.mark.parametrize(
    ("made", "now", "state"),
    [
        ("2026-03-29T00:00", "2026-03-29T01:45", "ok"),  # 03:45 in Berlin, where 02:00 was none
        ("2026-03-29T00:00", "2026-03-29T02:15", "late"),
        ("2026-10-24T23:30", "2026-10-25T01:15", "ok"),  # the second 02:15
        ("2026-10-24T23:00", "2026-10-25T01:15", "late"),
    ],
)
def test_an_age_is_the_time_that_passed(made: str, now: str, state: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    one = replace(one_set(0, ok=True), created=f"{made}:00+00:00")
    for given in (moment, moment.astimezone(BERLIN)):
        found = status_of("shop", GROUP, [one], now=given, zone=BERLIN)
        assert found.state == state
        assert found.oldest == timedelta(hours=2)


def one_set(hours: float, ok: bool | None = None, **more: object) -> SetRecord:
    created = NOW - timedelta(hours=hours)
    verified = None if ok is None else Verification("bytes", ok, created.isoformat(), "")
    fields = {
        "id": f"set-{hours}", "label": f"{hours}h", "group": "shop", "created": created.isoformat(),
        "provider": "native", "consistency": "crash", "state": "ready", "members": (),
        "verified": verified, "checks": (verified,) if verified else (), **more,
    }  # fmt: skip
    return SetRecord(**fields)  # type: ignore[arg-type]


GROUP = parse(GOOD).group["shop"]


@pytest.mark.parametrize(
    ("sets", "state"),
    [
        ([], "none"),
        ([one_set(1, ok=True)], "ok"),
        ([one_set(3, ok=True)], "late"),
        ([one_set(1, ok=False), one_set(5, ok=True)], "damaged"),
        ([one_set(1)], "ok"),
        ([one_set(1, state="resyncing")], "none"),
        ([one_set(1, group="other")], "none"),
    ],
)
def test_the_state_of_a_group(sets: list[SetRecord], state: str) -> None:
    found = status_of("shop", GROUP, sets, now=NOW)
    assert found.state == state
    assert (EXIT_STATUS[state] == 0) == (state == "ok")
    assert bool(found.notes) == (state != "ok" or not sets[0].verified)


def test_a_plan_tells_what_is_kept_and_what_stands_against_it() -> None:
    sets = [one_set(hours, ok=hours == 30) for hours in range(0, 60, 2)]
    plan = plan_group("shop", GROUP, sets, now=NOW)
    assert misfits("shop", GROUP, {}) == ["there is no volume data", "there is no volume logs"]
    assert not plan.due
    kept = {fate.held.id for fate in plan.fates if fate.kept}
    assert {"set-0", "set-2", "set-30"} <= kept
    assert len(kept) < len(sets)
    assert plan_group("shop", GROUP, [one_set(2)], now=NOW).due


def test_a_simulation_is_in_the_zone_that_runs_use(monkeypatch, tmp_path: Path) -> None:
    from exshadow.cli import output, policy

    path = tmp_path / "policy.toml"
    path.write_text('[group.g]\nvolumes = ["a"]\nkeep.last = 100\n')
    zone = ZoneInfo("Asia/Kathmandu")
    monkeypatch.setattr(policy, "zone", lambda: zone)
    monkeypatch.setattr(output, "show", lambda document, text: document)
    (day,) = policy.simulate(path, "g", days=1)["days"]
    assert len(day["sets"]) == 24
    assert day["sets"][0] == f"{day['day']}T00:00:00+05:45"


def test_check_warns_of_a_volume_of_another_product_in_two_groups(cli, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    tables = [f'[group.{name}]\nvolumes = ["{name}"]\n' for name in ("mail", "web")]
    tables += [f'[volume.{name}]\npath = "W:"\nsize = 4096\n' for name in ("mail", "web")]
    path.write_text("".join(tables))
    found = json.loads(cli("--json", "policy", "check", path).out)["policy"]
    assert [text.startswith("W: is in the groups mail, web") for text in found["warnings"]] == [
        True
    ]
    path.write_text("".join(tables[:2]).replace('"web"', '"mail"'))
    (said,) = json.loads(cli("--json", "policy", "check", path).out)["policy"]["warnings"]
    assert said.startswith("volume mail is in the groups mail, web, and the native engine")
    path.write_text("".join([tables[0], tables[2]]))
    assert not json.loads(cli("--json", "policy", "check", path).out)["policy"]["warnings"]


def test_the_commands(cli, image, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(GOOD)
    assert "groups: shop" in cli("policy", "check", path).out
    for name in ("data", "logs"):
        cli("volume", "add", name, image(f"{name}.img", 1 << 20), "--group", "shop")
        cli("mirror", "add", name, tmp_path / f"{name}-m2.img", "--label", "m2")
    for name in ("data", "logs"):
        cli("mirror", "add", name, tmp_path / f"{name}-m3.img", "--label", "m3")
    assert "due now" in cli("policy", "plan", path).out
    found = json.loads(cli("--json", "policy", "status", path, status=9).out)
    assert found["groups"][0]["state"] == "none"
    cli("snapshot", "create", "shop", "--label", "noon", "--plex", "m2", "--verify", "bytes")
    figures = r"'shop_age'=\d+s;7200;;0 'shop_recovery'=0s;;;0"
    line = cli("policy", "status", path, "--nagios").out
    assert re.fullmatch(rf"EXSHADOW OK - 1 group ok \| {figures}\n", line)
    one = path.with_name("one.toml")
    one.write_text(GOOD + 'mirrors = ["m2"]\n')
    text = cli("policy", "plan", one, "--explain", status=4).out
    assert "shop@noon" in text
    assert "newest verified" in text
    assert "no mirror can be split" in text
    _a_run_that_cannot_work_is_told(cli, one)
    assert "5 mirrors hold" not in cli("policy", "simulate", one, "shop", "--days", "2").out
    assert "a set at '0 * * * *'; 1 mirrors hold 1" in cli("policy", "simulate", one, "shop").out
    rows = json.loads(cli("--json", "policy", "simulate", path, "shop", "--days", "30").out)["days"]
    assert len(rows) == 30
    assert len(rows[-1]["sets"]) <= 2 + 7 + 24
    assert json.loads(cli("policy", "schema").out)["properties"]["group"]
    path.write_text("[group.g]\nvolumes = []\n")
    assert f"{path}:2: group.g.volumes" in cli("policy", "check", path, status=2).err
    cli("policy", "plan", path.with_name("missing"), status=3)


def _a_run_that_cannot_work_is_told(cli: Cli, path: Path) -> None:
    """No mirror is free: the only one is the newest verified set; volumes that do not fit."""
    (found,) = cli.json("policy", "status", path, status=9)["groups"]
    assert found["state"] == "stuck"
    assert "no mirror can be split: m2 is set noon (newest verified" in found["notes"][-1]
    good = path.read_text()
    for volumes, why in (
        ('["data"]', "volume logs of the group is not named"),
        ('["data", "logs", "more"]', "there is no volume more"),
    ):
        path.write_text(good.replace('["data", "logs"]', volumes))
        (found,) = cli.json("policy", "status", path, status=9)["groups"]
        assert why in found["notes"]
        (found,) = cli.json("policy", "plan", path, status=4)["groups"]
        assert why in " ".join(found["problems"])
        assert found["steps"] == []
    path.write_text(good)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('verify = ["script"]', 'name the program by its full path: "script?command='),
        ('verify = ["script?command=/nowhere"]', "there is no script /nowhere"),
        ('provider.options.mirror-pth = "/m"', "unknown key; did you mean mirror-path?"),
        (
            'provider.options.mirror-path = "/m/{volum}"',
            "unknown placeholder {volum}; did you mean volume?",
        ),
        (
            'provider.options.mirror-path = "/m/{volume}"\nmirrors = ["m1", "m2"]',
            "without {mirror} the mirrors of 2 mirrors would be one file",
        ),
        ('mirrors = ["m1"]\nverify = ["bytes"]', ":3: group.g.mirrors: one mirror is"),
        (
            'writers = ["scrpt?command=/bin/true"]',
            ":3: group.g.writers: there is no writer 'scrpt'",
        ),
        (
            'writers = ["script?comand=/bin/true"]',
            ":3: group.g.writers: writer script has no option 'comand'; did you mean 'command'?",
        ),
    ],
)
def test_a_check_finds_what_only_a_later_run_would(cli, tmp_path: Path, line, told) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(f'[group.g]\nvolumes = ["a"]\n{line}\n')
    said = cli("policy", "check", path, status=2).err
    assert f"{path}:3: group.g." in said
    assert told in said
    path.write_text(
        '[group.g]\nvolumes = ["a"]\nmirrors = ["m1", "m2"]\nverify = ["bytes"]\n'
        'writers = ["script?command=/bin/true"]\n'
    )
    cli("policy", "check", path)


def test_a_set_of_the_future_is_told_and_makes_no_group_be_not_due() -> None:
    """The clock was set back, or was ahead then."""
    ahead = one_set(-5, ok=True)
    for others in ([], [one_set(1.75, ok=True)]):
        found = status_of("shop", GROUP, [ahead, *others], now=NOW)
        assert (found.state, found.newest) == ("late", others[0] if others else ahead)
        assert found.age == (timedelta(hours=1.75) if others else None)
        assert f"a clock was or is wrong: -5h ({ahead.created})" in found.notes[0]
        assert grade(found) == 1
        assert is_due("shop", GROUP, [ahead, *others], now=NOW)
        assert plan_group("shop", GROUP, [ahead, *others], now=NOW).due
    slightly = status_of("shop", GROUP, [one_set(-0.01, ok=True)], now=NOW)
    assert (slightly.state, slightly.age) == ("ok", timedelta(0))


def test_verified_is_what_every_check_of_the_policy_found_good() -> None:
    good, bad = (Verification(check, check == "bytes", "", "") for check in ("bytes", "ese"))
    both = one_set(2, ok=True, checks=(good, replace(bad, ok=True)))
    half, worse = one_set(1, ok=True), one_set(1, verified=bad, checks=(good, bad))

    def verified(sets: list[SetRecord], *checks: str) -> list[bool]:
        return [one.verified for one in held_of(sets, checks)]

    assert verified([both, half], "bytes", "ese") == [True, False]
    assert verified([both, half], "bytes") == verified([both, half]) == [True, True]
    assert verified([both, worse], "bytes") == verified([both, worse]) == [True, False]
    assert verified([one_set(3), half], "bytes", "ese") == [False, True]  # nothing better is there
    wanted = GROUP.model_copy(update={"verify": ("bytes", "ese")})
    found = status_of("shop", wanted, [both, half], now=NOW)
    assert found.notes == ("the newest set was not verified by ese yet",)


def test_a_pin_for_ever_never_ends() -> None:
    pinned = SetRecord("i", "l", "g", "2024-06-01T00:00:00Z", "native", "crash", "ready", ())
    (held,) = held_of([replace(pinned, pinned_until="forever")], ())
    assert held.pinned_until is not None
    assert held.pinned_until.year == 9999


MEANT = """[defaults]
kep = { last = 3 }
[template.nightly]
scheduel = "0 2 * * *"
[group.shop]
extends = "nightly"
volumes = ["db"]
verify = ["bytes", "sqllite"]
provider.prefer = ["nativ"]
[[group.shop.hooks.before]]
command = "a"
[[group.shop.hooks.before]]
comand = "b"
[group.files]
extends = "nightly"
volumes = ["files"]
[provider.ewa]
manager = "x"
"""


def test_a_word_that_is_unknown_leads_to_the_one_meant_at_its_own_line() -> None:
    """What templates and defaults give to many groups is told once, where it stands."""
    with pytest.raises(InvalidError) as fault:
        parse(MEANT)
    assert str(fault.value).splitlines() == [
        "policy:2: defaults.kep: unknown key; did you mean keep?",
        "policy:4: template.nightly.scheduel: unknown key; did you mean schedule?",
        "policy:8: group.shop.verify.1: no check 'sqllite'; did you mean sqlite?",
        "policy:9: group.shop.provider.prefer.0: no provider 'nativ'; did you mean native?",
        "policy:12: group.shop.hooks.before.1.command: must be given",
        "policy:13: group.shop.hooks.before.1.comand: unknown key; did you mean command?",
        "policy:17: provider.ewa: no provider 'ewa'; did you mean eva?",
    ]


def test_templates_and_defaults_that_no_group_takes_are_looked_at() -> None:
    text = (
        '[defaults]\nextends = "nope"\n[template.t]\nkep = 1\nwindow = "8-9"\n'
        '[group.g]\nvolumes = ["a"]\n'
    )
    with pytest.raises(InvalidError) as fault:
        parse(text)
    assert [line.split(";")[0] for line in str(fault.value).splitlines()] == [
        "policy:2: defaults.extends: defaults extend no template: groups and templates do",
        "policy:4: template.t.kep: unknown key",
        "policy:5: template.t.window: write a window such as 20:00-06:00",
    ]
    with pytest.raises(InvalidError, match=r"policy:4: template.u extends 'x'"):
        parse('[group.g]\nvolumes = ["a"]\n[template.u]\nextends = "x"\n')


def test_a_check_reads_the_settings_of_every_provider(cli: Cli, tmp_path: Path) -> None:
    overlay, program = tmp_path / "own.toml", tmp_path / "vxsnap"
    for one in (overlay, program):
        one.write_text("")
        one.chmod(0o777)
    path = tmp_path / "policy.toml"
    path.write_text(
        '[group.g]\nvolumes = ["a"]\n[provider.eva]\npassword = "geheim"\nlun_first = "many"\n'
        f'commands = "{overlay}"\n[provider.sfw]\nvxsnap = "{program} -q"\nnonsense = "1"\n'
        '[provider.vss]\nkind = "plexx"\nlaunche = "wine"\n[provider.native]\nmirror = "x"\n'
    )
    said = cli("policy", "check", path, status=2).err
    for told in (
        ":3: provider.eva.manager: must be given",
        ":4: provider.eva.password: unknown key; did you mean password_file?",
        ":5: provider.eva.lun_first: ",
        f":6: provider.eva.commands: {overlay} may be changed by anybody; chmod o-w",
        f":8: provider.sfw.vxsnap: {program} may be changed by anybody; chmod o-w",
        ":9: provider.sfw.nonsense: unknown key",
        ":11: provider.vss.kind: ",
        ":12: provider.vss.launche: unknown key; did you mean launcher?",
        ":14: provider.native.mirror: unknown key; did you mean mirror-path?",
    ):
        assert told in said
    assert "geheim" not in said


def test_a_check_tries_writers_hooks_and_addresses_without_using_them(
    cli: Cli, tmp_path: Path
) -> None:
    hook = tmp_path / "hook.sh"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o777)
    path = tmp_path / "policy.toml"
    path.write_text(
        '[group.g]\nvolumes = ["a"]\nwriters = ["sqlit"]\n'
        'notify.urls = ["slak://secret", "json://user:secret@127.0.0.1:1/"]\n'
        f'notify.ping = "example.com"\nhooks.before = [{{ command = "{hook}" }}]\n'
    )
    said = cli("policy", "check", path, status=2).err
    for told in (
        ":3: group.g.writers: there is no writer 'sqlit'; did you mean sqlite?",
        ":4: group.g.notify.urls: apprise knows no service slak://; did you mean slack?",
        ":5: group.g.notify.ping: write an address",
        f":6: group.g.hooks.before.0.command: {hook} may be changed by anybody; chmod o-w",
    ):
        assert told in said
    assert "secret" not in said


MANY = """[group."bad name"]
volumes = ["a"]
[group."worse name"]
volumes = ["a"]
[group.g]
volumes = ["a", "a"]
mirrors = ["m", "m"]
keep.dayly = 3
writers = ["sqlit"]
[group.h]
volumes = ["a"]
extends = "nothing"
"""


def test_a_check_tells_every_fault_at_once_each_on_a_line_of_the_same_form(
    cli: Cli, tmp_path: Path
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(MANY)
    said = cli("policy", "check", path, status=2).err.splitlines()
    assert [line.split(": ")[:2] for line in said[:-1]] == [
        ["exshadow", f"{path}:{line}"] for line in (1, 3, 6, 7, 8, 9, 12)
    ]
    assert "there is no writer 'sqlit'" in said[5]
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "no regular file" in cli("policy", "check", tmp_path / "pipe", status=2).err


def test_more_sets_than_mirrors_are_warned_of_and_not_predicted(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        '[group.g]\nvolumes = ["a"]\nmirrors = ["m1", "m2", "m3"]\nkeep.daily = 7\n'
        'schedule = "0 * * * *"\nwindow = "20:00-22:00"\n'
    )
    assert "keep wants up to 7 sets" in cli.json("policy", "check", path)["policy"]["warnings"][0]
    found = cli.json("policy", "simulate", path, "g", "--days", "9")
    assert [len(day["sets"]) for day in found["days"]] == [2, *[3] * 8]
    assert [one[11:16] for one in found["days"][0]["sets"]] == ["20:00", "21:00"]
    assert len(cli.json("policy", "simulate", path, "g", "--every", "6h")["days"][0]["sets"]) == 3


def test_every_option_that_a_provider_reads_is_known_to_check() -> None:
    package = Path(exshadow.__file__).parent
    sources = [*(package / "providers").rglob("*.py"), package / "service/native_provider.py"]
    read = {
        name
        for source in sources
        for name in re.findall(r'options\.get\("([a-z-]+)"', source.read_text(encoding="utf-8"))
    }
    assert {"mirror-path", "writer", "restore"} <= read
    of_commands = {"host", "released"}  # lend and recall say them
    assert read - of_commands <= set(OPTIONS)
