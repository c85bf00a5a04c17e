"""Timers of the operating system for a policy: units of systemd, a task of Windows.

Each group has a timer of its own where systemd is, exactly at its cron moments. Windows' scheduler
has no such expression: one task wakes as often as the finest schedule needs, and ``policy run-due``
decides.
"""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape, unescape

from croniter import croniter

from exshadow.errors import RefusedError
from exshadow.policy.model import Group

_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


@dataclass(frozen=True, slots=True)
class Unit:
    """A file to be written."""

    name: str
    text: str


def calendar(cron: str) -> tuple[str, ...]:
    """systemd's OnCalendar for five cron fields. Several where day of month and day of week are
    both given (cron means either, systemd both), and where the last day is one of others."""
    minutes, hours, days, months, weekdays = croniter.expand(cron)[0][:5]
    clock = f"{_listed(hours)}:{_listed(minutes)}:00"
    month = _listed(months)
    by_day = [f"*-{month}-{_listed(numbers)} {clock}"] if (numbers := _without_last(days)) else []
    if "l" in days:  # cron's last day, which systemd counts from the end and in no list with others
        by_day.append(f"*-{month}~01 {clock}")
    if weekdays == ["*"]:
        return tuple(by_day)
    by_weekday = f"{_weekdays(weekdays)} *-{month}-* {clock}"
    return (by_weekday,) if days == ["*"] else (*by_day, by_weekday)


def _without_last(days: Sequence[int | str]) -> list[int | str]:
    return [one for one in days if one != "l"]


def _listed(values: Sequence[int | str]) -> str:
    return ",".join(str(value) for value in values)


def _weekdays(values: Sequence[int | str]) -> str:
    numbers = sorted({int(value) % 7 for value in values})
    return ",".join(_DAYS[number] for number in numbers)


def systemd_units(
    groups: Mapping[str, Group],
    command: Sequence[str],
    policy: str,
    state: str,
    catalog: str | None = None,
) -> list[Unit]:
    """One service, started by one timer a group. ``catalog``: a database's URL for its runs;
    RefusedError when it holds a password: everybody can read units."""
    found = [Unit("exshadow-policy@.service", _service(command, policy, state, catalog))]
    for name, group in sorted(groups.items()):
        if group.schedule is not None:
            found.append(Unit(f"exshadow-policy@{_escaped(name)}.timer", _timer(name, group)))
    return found


def runs_another(service: str, policy: str, state: str) -> bool:
    """Whether a service's text is of another policy, or of another state folder: its timers would
    be without their runs if it were overwritten."""
    line = next((one for one in service.splitlines() if one.startswith("ExecStart=")), "")
    ours = " ".join(map(_quoted, _words(policy, state)))
    return " run-due " in line and not line.endswith(f" {ours}")


def task_runs_another(task: str, policy: str, state: str) -> bool:
    """The same of the text of a Windows task."""
    found = re.search("<Arguments>(.*?)</Arguments>", task, re.DOTALL)
    words = f" {unescape(found[1]).strip()}" if found else ""
    return " run-due " in words and not words.endswith(f" {_arguments([], policy, state)}")


def _words(policy: str, state: str) -> list[str]:
    return ["--state", state, "policy", "run-due", policy, "--group", "%I"]


def _service(command: Sequence[str], policy: str, state: str, catalog: str | None) -> str:
    words = [*command, *_words(policy, state)]
    return f"""[Unit]
Description=exshadow: protection group %I
Documentation=man:systemd.service(5)
After=local-fs.target network-online.target

[Service]
Type=oneshot
{_environment(catalog)}ExecStart={" ".join(_quoted(word) for word in words)}
# A run that is stopped is carried on by the next.
KillSignal=SIGINT
TimeoutStartSec=infinity
TimeoutStopSec=120
Nice=5
IOSchedulingClass=best-effort
"""


def _environment(catalog: str | None) -> str:
    if not catalog:
        return ""
    if holds_password(catalog):
        raise RefusedError(
            "EXSHADOW_CATALOG holds a password, and everybody can read units of systemd",
            hint="leave it out of the URL: ~/.pgpass of the user the timers run as, or peer",
        )
    escaped = catalog.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'Environment="EXSHADOW_CATALOG={escaped}"\n'


def holds_password(url: str) -> bool:
    """Whether a database's URL has one, before its host or among its arguments."""
    # A password may hold a slash that nobody escaped: all before the last @ is looked at.
    user = url.partition("://")[2].rpartition("@")[0]
    return ":" in user or any("password" in name for name, _ in parse_qsl(urlsplit(url).query))


def _timer(name: str, group: Group) -> str:
    moments = "\n".join(f"OnCalendar={one}" for one in calendar(group.schedule or ""))
    return f"""[Unit]
Description=exshadow: when group {name} is due ({group.schedule})

[Timer]
{moments}
# A machine that was off makes up for it; run-due looks at the window.
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def _quoted(word: str) -> str:
    """As systemd splits words; %I stays a specifier, no other per cent sign becomes one."""
    text = word if word == "%I" else word.replace("%", "%%")
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    text = text.replace("\n", "\\n").replace("\r", "\\r")  # one line is one setting
    return f'"{text}"' if re.search(r"[\s\"'\\;]", text) else text


def _escaped(name: str) -> str:
    """As ``systemd-escape`` spells an instance; a group's name has no other letters to escape."""
    return name.replace("-", "\\x2d")


def windows_task(
    groups: Mapping[str, Group], command: Sequence[str], policy: str, state: str
) -> Unit:
    """A task for ``schtasks /create /xml``, as the system account: its own state folder would be
    another one. A task has no environment of its own."""
    every = wake_minutes([group.schedule for group in groups.values() if group.schedule])
    program, *rest = command
    words = _arguments(rest, policy, state)
    text = f"""<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>exshadow: runs the protection groups that are due</Description>
  </RegistrationInfo>
  <Triggers>
    <CalendarTrigger>
      <StartBoundary>2020-01-01T00:00:00</StartBoundary>
      <Repetition><Interval>PT{every}M</Interval><Duration>P1D</Duration></Repetition>
      <ScheduleByDay><DaysInterval>1</DaysInterval></ScheduleByDay>
    </CalendarTrigger>
  </Triggers>
  <Principals>
    <Principal id="system">
      <UserId>S-1-5-18</UserId><RunLevel>HighestAvailable</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
  </Settings>
  <Actions Context="system">
    <Exec><Command>{escape(program)}</Command><Arguments>{escape(words)}</Arguments></Exec>
  </Actions>
</Task>
"""
    return Unit("exshadow-policy.xml", text)


def _arguments(command: Sequence[str], policy: str, state: str) -> str:
    return subprocess.list2cmdline([*command, "--state", state, "policy", "run-due", policy])


def wake_minutes(crons: Sequence[str]) -> int:
    """Minutes between two looks so that no moment of any schedule is missed; from midnight on."""
    every = 60
    for cron in crons:
        for minute in croniter.expand(cron)[0][0]:
            every = math.gcd(every, 1 if minute == "*" else int(minute))
    return max(every, 1)
