"""Timers: systemd's own reading of our calendars meets croniter's of the cron text."""

import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from types import ModuleType
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from exshadow.cli.policy import zone
from exshadow.policy.model import parse
from exshadow.policy.timers import calendar, systemd_units, wake_minutes, windows_task

POLICY = """
[group.mail]
volumes = ["db"]
schedule = "*/15 8-18 * * mon-fri"
[group.log-files]
volumes = ["logs"]
schedule = "10 3 1 * *"
[group.by-hand]
volumes = ["x"]
"""
CRONS = [
    "* * * * *", "0 * * * *", "*/15 8-18 * * mon-fri", "10 3 1 * *", "0 0 29 2 *",
    "5,35 */6 * 1-3 *", "0 12 13 * fri", "30 4 * * 0", "30 4 * * 7", "0 0 l * *", "59 23 31 12 *",
    "0 2 * jan,jul sun,wed", "0 2 1,l * *", "0 2 l,15 2,6 mon", "30 1 l * fri",
    "0 2 * * fri-mon", "50-10 * * * *", "5/15 8 28-3 * *", "0 0 */2 * mon", "0 0 1-31 * TUE",
    "0 1 * * 0-7",
    "0 4 * nov-feb sat-sun", "0 0 31 2 mon",
]  # fmt: skip


def systemd_moments(texts, count):
    """The next moments of any of the calendars."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("needs systemd: run scripts/packages.sh")
    found = set()
    for text in texts:
        words = [tool, "calendar", f"--iterations={count}", "--base-time=2024-01-10 00:00:00 UTC"]
        said = subprocess.run(
            [*words, text], check=True, capture_output=True, text=True, env={"TZ": "UTC"}
        ).stdout
        for line in said.splitlines():
            if match := re.search(
                r"(?:elapse|Iter.*):.* (\d{4}-\d\d-\d\d \d\d:\d\d):\d\d UTC", line
            ):
                found.add(datetime.strptime(match[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC))
    return sorted(found)[:count]


@pytest.mark.parametrize("cron", CRONS)
def test_systemd_wakes_when_cron_would(cron):
    base = datetime(2024, 1, 10, tzinfo=UTC)
    moments = croniter(cron, base)
    wanted = [moments.get_next(datetime) for _ in range(12)]
    found = [one for one in systemd_moments(calendar(cron), 13) if one > base]  # cron: after it
    assert found[:12] == wanted[: len(found[:12])]
    assert len(found) >= 12


def test_units_of_a_policy():
    groups = parse(POLICY).group
    units = systemd_units(groups, ["/opt/ex shadow/bin"], "/etc/p 100%.toml", "/var/lib/exshadow")
    names = [one.name for one in units]
    assert names == [
        "exshadow-policy@.service",
        "exshadow-policy@log\\x2dfiles.timer",
        "exshadow-policy@mail.timer",
    ]
    (line,) = [one for one in units[0].text.splitlines() if one.startswith("ExecStart=")]
    assert line == (
        'ExecStart="/opt/ex shadow/bin" --state /var/lib/exshadow policy run-due'
        ' "/etc/p 100%%.toml" --group %I'
    )


def test_no_line_of_a_unit_is_made_by_a_name():
    units = systemd_units(parse(POLICY).group, ["/bin/x"], "/p\nUser=nobody", "/state")
    assert "User=nobody" not in units[0].text.splitlines()
    assert 'run-due "/p\\nUser=nobody" --group' in units[0].text


def test_systemd_takes_the_units(tmp_path):
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("needs systemd: run scripts/packages.sh")
    for one in systemd_units(parse(POLICY).group, ["/bin/true"], "/etc/p.toml", "/var/lib/x"):
        (tmp_path / one.name).write_text(one.text)
    timers = [str(path) for path in tmp_path.glob("*.timer")]
    done = subprocess.run(
        [tool, "verify", "--man=no", *timers], check=False, capture_output=True, text=True
    )
    ours = [line for line in done.stderr.splitlines() if "exshadow" in line]
    assert not ours


def test_a_windows_task_wakes_often_enough():
    unit = windows_task(
        parse(POLICY).group, ["C:\\a b\\exshadow.exe"], "C:\\my policies\\p.toml", "D:\\my state"
    )
    root = ElementTree.fromstring(unit.text.partition("?>")[2])
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    assert root.find(f".//{space}Interval").text == "PT5M"
    assert root.find(f".//{space}Arguments").text == (
        '--state "D:\\my state" policy run-due "C:\\my policies\\p.toml"'
    )
    assert root.find(f".//{space}Command").text == "C:\\a b\\exshadow.exe"


def test_a_windows_task_keeps_its_words_apart():
    command = ["C:\\R&D\\exshadow.exe", "-m", "a<b"]
    unit = windows_task(
        parse(POLICY).group, command, 'C:\\My & "own" Files\\p.toml', "D:\\my state\\"
    )
    root = ElementTree.fromstring(unit.text.partition("?>")[2])
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    assert root.find(f".//{space}Command").text == "C:\\R&D\\exshadow.exe"
    # A backslash before the closing quote would take it for a letter: it is doubled.
    assert root.find(f".//{space}Arguments").text == (
        '-m a<b --state "D:\\my state\\\\" policy run-due "C:\\My & \\"own\\" Files\\p.toml"'
    )


@pytest.mark.parametrize(
    ("crons", "every"),
    [(["0 * * * *"], 60), (["*/15 * * * *"], 15), (["7 3 * * *"], 1), (["* * * * *"], 1),
     (["10 3 1 * *", "*/15 8-18 * * *"], 5)],
)  # fmt: skip
def test_minutes_between_two_looks(crons, every):
    assert wake_minutes(crons) == every


URL = "postgresql+psycopg://ops@db.example/ex%20shadow"


def test_the_runs_of_timers_have_the_catalog_of_the_command(cli, tmp_path):
    policy = tmp_path / "p.toml"
    policy.write_text(POLICY)
    assert "EXSHADOW_CATALOG" not in cli("policy", "timers", policy).out
    cli.environment["EXSHADOW_CATALOG"] = URL
    line = f'Environment="EXSHADOW_CATALOG={URL.replace("%", "%%")}"'
    assert line in cli("policy", "timers", policy).out.splitlines()


@pytest.mark.parametrize(
    "url",
    [
        URL.replace("ops@", "ops:geheim@"),
        f"{URL}?password=geheim",
        f"{URL}?sslmode=require&sslpassword=geheim",
        "postgresql://ops:geheim/x@db.example/x",
    ],
)
def test_no_password_goes_into_a_unit(cli, tmp_path, url):
    policy = tmp_path / "p.toml"
    policy.write_text(POLICY)
    cli.environment["EXSHADOW_CATALOG"] = url
    told = cli.error(4, "policy", "timers", policy)
    assert "password" in told["message"]
    assert "geheim" not in str(told)


def test_the_command_writes_and_removes(cli, tmp_path):
    policy, folder = tmp_path / "p.toml", tmp_path / "units"
    policy.write_text(POLICY)
    folder.mkdir()
    cli("policy", "timers", policy, "--into", folder, "--dry-run")
    assert not list(folder.iterdir())
    cli("policy", "timers", policy, "--into", folder)
    assert len(list(folder.iterdir())) == 3
    policy.write_text(POLICY.replace("group.mail", "group.post"))
    removed = cli.json("policy", "timers", policy, "--into", folder)["removed"]
    assert removed == ["exshadow-policy@mail.timer"]
    assert "exshadow-policy.xml" in cli("policy", "timers", policy, "--kind", "windows").out
    cli("policy", "timers", policy, "--kind", "windows", "--into", folder)
    assert (folder / "exshadow-policy.xml").read_bytes().startswith(b"\xff\xfe")
    policy.write_text('[group.x]\nvolumes = ["db"]\n')
    assert "schedule" in cli.error(2, "policy", "timers", policy)["hint"]


def test_the_timers_of_another_policy_keep_their_service(cli, tmp_path):
    """All timers of a folder share one service: overwritten, the others would run nothing."""
    policy, other, folder = tmp_path / "p.toml", tmp_path / "o 100%.toml", tmp_path / "units"
    policy.write_text(POLICY)
    other.write_text(POLICY.replace("group.mail", "group.post"))
    folder.mkdir()
    cli("policy", "timers", other, "--into", folder)
    cli("policy", "timers", other, "--into", folder)
    before = {path: path.read_text() for path in folder.iterdir()}
    for more in ((), ("--dry-run",)):
        error = cli.error(4, "policy", "timers", policy, "--into", folder, *more)
        assert "rm " in error["hint"]
    assert {path: path.read_text() for path in folder.iterdir()} == before
    (folder / "exshadow-policy@.service").unlink()
    cli("policy", "timers", policy, "--into", folder)
    assert "p.toml" in (folder / "exshadow-policy@.service").read_text()


def test_the_task_of_another_policy_or_state_is_kept(cli, tmp_path):
    """One file for all groups of a policy: overwritten, the other policy would never run again."""
    policy, other, folder = tmp_path / "p.toml", tmp_path / "o & p.toml", tmp_path / "tasks"
    policy.write_text(POLICY)
    other.write_text(POLICY)
    folder.mkdir()
    into = ("--kind", "windows", "--into", folder)
    task = folder / "exshadow-policy.xml"
    cli("policy", "timers", other, *into)
    cli("policy", "timers", other, *into)
    before = task.read_bytes()
    for more in ((), ("--dry-run",)):
        error = cli.error(4, "policy", "timers", policy, *into, *more)
        assert "another policy" in error["message"]
        assert f"delete {task}" in error["hint"]
    assert task.read_bytes() == before
    task.write_text(before.decode("utf-16"), encoding="utf-8")  # by an editor
    cli.error(4, "policy", "timers", policy, *into)
    cli.error(4, "--state", tmp_path / "elsewhere", "policy", "timers", other, *into)
    task.unlink()
    cli("policy", "timers", policy, *into)
    task.write_bytes(b"\xff")  # a torn one is nobody's
    cli("policy", "timers", other, *into)
    assert "o &amp; p.toml" in task.read_text(encoding="utf-16")


def test_a_schedule_is_in_the_zone_that_windows_has(monkeypatch):
    """There is no /etc/localtime, and UTC would be hours off without a word."""
    known = ModuleType("tzlocal")
    known.__dict__["get_localzone"] = lambda: ZoneInfo("Europe/Berlin")
    monkeypatch.setitem(sys.modules, "tzlocal", known)
    monkeypatch.setattr(sys, "platform", "win32")
    assert zone() == ZoneInfo("Europe/Berlin")
