"""Interleaved rounds of competitors, medians, CPU seconds and the final table.

Rules: sources and targets are written before anything is timed and their content does not
compress; the target is flushed inside the timed region of every competitor (fdatasync, on top of
whatever it does itself); rounds alternate (A-B-C-A-B-C); medians with the interquartile range; CPU
is user + system time of this process, its children and the servers named, per GiB moved; the
result of every round is compared with the source, outside the timing.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

GIB = 1 << 30
MIB = 1 << 20


class Competitor(Protocol):
    """One way to do the job. Only `run` is timed."""

    name: str

    def prepare(self, number: int) -> None:
        """Undo the last round's result, start servers; `number` counts from 0."""

    def run(self) -> None:
        """The job, flush included."""

    def check(self, number: int) -> None:
        """Stop servers; raise when the result of the round is wrong."""

    def stop(self) -> None:
        """Stop servers, whatever happened before."""

    def server_pids(self) -> list[int]:
        """Processes whose CPU time belongs to the job and that are not waited for in `run`."""


@dataclass(slots=True)
class Series:
    """What one competitor took, round by round, in seconds."""

    name: str
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.wall)

    @property
    def iqr(self) -> float:
        if len(self.wall) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.wall, n=4, method="inclusive")
        return high - low

    @property
    def cpu_median(self) -> float:
        return statistics.median(self.cpu)


def cpu_seconds(pids: list[int]) -> float:
    """User + system seconds so far of this process, its reaped children and `pids`."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    tick = os.sysconf("SC_CLK_TCK")
    for pid in pids:
        # proc(5): fields 14 and 15 after the name in parentheses, which may hold blanks
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / tick
    return total


def measured(competitor: Competitor, series: Series) -> None:
    """Run and time the job once."""
    pids = competitor.server_pids()
    cpu = cpu_seconds(pids)
    start = time.perf_counter()
    competitor.run()
    series.wall.append(time.perf_counter() - start)
    series.cpu.append(cpu_seconds(pids) - cpu)


def contest(
    benchmark: Any, subject: Competitor, peers: list[Competitor], rounds: int
) -> dict[str, Series]:
    """Interleave `rounds` of all; `subject` is what pytest-benchmark records."""
    table = {one.name: Series(one.name) for one in [subject, *peers]}
    number = 0

    def setup() -> None:
        for peer in peers:
            peer.prepare(number)
            measured(peer, table[peer.name])
            peer.check(number)
        subject.prepare(number)

    def teardown(*_: object) -> None:  # called with the target's arguments
        nonlocal number
        subject.check(number)
        number += 1

    try:
        benchmark.pedantic(
            measured,
            args=(subject, table[subject.name]),
            setup=setup,
            teardown=teardown,
            rounds=rounds,
            iterations=1,
        )
    finally:
        for one in [subject, *peers]:
            one.stop()
    return table


@dataclass(frozen=True, slots=True)
class Line:
    """One competitor's row of a contest."""

    title: str
    name: str
    median: float
    iqr: float
    rate: float  # MiB/s
    cpu_per_gib: float
    ratio: float | None  # how many times the subject's rate is this one's


@dataclass(frozen=True, slots=True)
class Target:
    """One promised figure. `actual` None: could not be measured here."""

    title: str
    wanted: str
    actual: str
    met: bool | None


@dataclass(slots=True)
class Board:
    """All results of a run, printed at its end."""

    lines: list[Line] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_contest(
        self, title: str, table: dict[str, Series], moved: int, subject: str | None
    ) -> dict[str, float]:
        """Add the rows; returns each peer's name with subject's rate divided by the peer's."""
        base = table[subject].median if subject else None
        ratios: dict[str, float] = {}
        for name, series in table.items():
            ratio = series.median / base if base else None
            if ratio is not None and name != subject:
                ratios[name] = ratio
            self.lines.append(
                Line(
                    title,
                    name,
                    series.median,
                    series.iqr,
                    moved / MIB / series.median,
                    series.cpu_median / (moved / GIB),
                    ratio,
                )
            )
        return ratios

    def at_least(self, title: str, wanted: float, actual: float | None, unit: str = "x") -> None:
        self._add(title, f">= {wanted:g} {unit}", wanted, actual, unit, lambda a, b: a >= b)

    def at_most(self, title: str, wanted: float, actual: float | None, unit: str) -> None:
        self._add(title, f"<= {wanted:g} {unit}", wanted, actual, unit, lambda a, b: a <= b)

    def _add(
        self,
        title: str,
        text: str,
        wanted: float,
        actual: float | None,
        unit: str,
        holds: Callable[[float, float], bool],
    ) -> None:
        if actual is None:
            self.targets.append(Target(title, text, "not measured", None))
        else:
            self.targets.append(Target(title, text, f"{actual:.3g} {unit}", holds(actual, wanted)))

    @property
    def missed(self) -> list[Target]:
        return [target for target in self.targets if target.met is False]
