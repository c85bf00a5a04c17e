"""What /metrics tells Prometheus: read from the engine when asked, except durations, measured here.

Naming follows Prometheus: base units, ``_total`` for counters, no rates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from exshadow import __version__
from exshadow.model import SetRecord, VolumeRecord
from exshadow.names import parse_time
from exshadow.service.house import House, HouseDesk
from exshadow.service.local import LocalService
from exshadow.service.tasks import Task, Tasks

if TYPE_CHECKING:
    from exshadow.service.engine_types import ExportStatistics

PLEX_STATES = (
    "stale", "syncing", "in_sync", "splitting", "split", "resyncing", "failed", "detached",
)  # fmt: skip
_SPLIT_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
_JOB_BUCKETS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000)


class Instruments:
    """The registry of one daemon."""

    def __init__(self, house: House, tasks: Tasks) -> None:
        self.registry = CollectorRegistry()
        self._splits = Histogram(
            "exshadow_split_duration_seconds",
            "From the wish for a snapshot set until it is durable.",
            ["group"],
            buckets=_SPLIT_BUCKETS,
            registry=self.registry,
        )
        self._jobs = Histogram(
            "exshadow_job_duration_seconds",
            "Finished jobs: sync, resync, restore, verify, export.",
            ["kind", "state"],
            buckets=_JOB_BUCKETS,
            registry=self.registry,
        )
        self.registry.register(Collector(house, tasks))

    def split_done(self, group: str, seconds: float) -> None:
        self._splits.labels(group).observe(seconds)

    def job_ended(self, task: Task) -> None:
        seconds = task.record.seconds if task.record else 0.0
        self._jobs.labels(task.order.kind, task.state).observe(seconds)


class Collector:
    """Facts of the moment, collected on demand."""

    def __init__(self, house: House, tasks: Tasks) -> None:
        self._house = house
        self._tasks = tasks

    def describe(self) -> Iterable[Metric]:
        return ()  # the registry need not collect in order to learn the names

    def collect(self) -> Iterator[Metric]:
        service = LocalService(HouseDesk(self._house))
        survey = service.list_volumes()
        build = GaugeMetricFamily("exshadow_build_info", "Always 1.", labels=["version", "loop"])
        build.add_metric([__version__, self._house.engine.loop], 1)
        yield build
        unreadable = len(survey.problems)
        yield GaugeMetricFamily(
            "exshadow_unreadable_volumes", "Volume files that cannot be read.", unreadable
        )
        yield from _volumes(survey.volumes.values(), self._house)
        yield from _sets(service.list_sets().sets)
        yield from _exports(self._house.exports())
        yield from _activity(self._house, self._tasks)


def _volumes(volumes: Iterable[VolumeRecord], house: House) -> Iterator[Metric]:
    size = GaugeMetricFamily(
        "exshadow_volume_size_bytes", "Size of a volume.", labels=["volume", "group"]
    )
    ok = GaugeMetricFamily(
        "exshadow_volume_ok", "1 while clients can read and write.", labels=["volume"]
    )
    moving = GaugeMetricFamily(
        "exshadow_volume_move_bytes", "Left to be moved by an instant restore.", labels=["volume"]
    )
    events = GaugeMetricFamily(
        "exshadow_volume_events",
        "What the volume said aloud since it was opened: plexes lost, repairs, full compares.",
        labels=["volume"],
    )
    state = GaugeMetricFamily(
        "exshadow_plex_state", "1 for the state a plex is in.", labels=["volume", "plex", "state"]
    )
    behind = GaugeMetricFamily(
        "exshadow_plex_resync_bytes",
        "What a plex that is not in sync still has to receive.",
        labels=["volume", "plex"],
    )
    open_now = set(house.names())
    for volume in volumes:
        size.add_metric([volume.name, volume.group], volume.size)
        works = volume.state in ("ok", "moving") and volume.name in open_now
        ok.add_metric([volume.name], float(works))
        moving.add_metric([volume.name], volume.bytes_to_move)
        events.add_metric([volume.name], len(volume.events))
        for plex in volume.plexes:
            for one in PLEX_STATES:
                state.add_metric([volume.name, plex.label, one], float(plex.state == one))
            behind.add_metric([volume.name, plex.label], plex.bytes_to_sync)
    yield from (size, ok, moving, events, state, behind)


def _sets(sets: Iterable[SetRecord]) -> Iterator[Metric]:
    """Of each group's newest set: age, and what is known about its soundness."""
    newest: dict[str, SetRecord] = {}
    counts: dict[str, int] = {}
    for one in sets:  # oldest first
        newest[one.group] = one
        counts[one.group] = counts.get(one.group, 0) + 1
    number = GaugeMetricFamily("exshadow_sets", "Snapshot sets of a group.", labels=["group"])
    age = GaugeMetricFamily(
        "exshadow_last_set_age_seconds", "Age of a group's newest set.", labels=["group"]
    )
    verified = GaugeMetricFamily(
        "exshadow_last_set_verified",
        "1 when the newest set passed its last check, 0 when it failed or was never checked.",
        labels=["group"],
    )
    checked = GaugeMetricFamily(
        "exshadow_last_set_verification_age_seconds",
        "Since when the newest set's last check; absent when there was none.",
        labels=["group"],
    )
    for group, one in newest.items():
        number.add_metric([group], counts[group])
        age.add_metric([group], _age(one.created))
        verified.add_metric([group], float(one.verified is not None and one.verified.ok))
        if one.verified is not None:
            checked.add_metric([group], _age(one.verified.at))
    yield from (number, age, verified, checked)


def _age(time: str) -> float:
    return max(0.0, (datetime.now(UTC) - parse_time(time)).total_seconds())


def _exports(exports: dict[str, ExportStatistics]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "exshadow_nbd_requests", "Requests of NBD clients.", labels=["export", "operation"]
    )
    moved = CounterMetricFamily(
        "exshadow_nbd_bytes", "Bytes that NBD clients moved.", labels=["export", "direction"]
    )
    errors = CounterMetricFamily(
        "exshadow_nbd_errors", "Requests answered with an error.", labels=["export"]
    )
    for name, one in exports.items():
        requests.add_metric([name, "read"], one["reads"])
        requests.add_metric([name, "write"], one["writes"])
        requests.add_metric([name, "zero"], one["zeroes"])
        requests.add_metric([name, "flush"], one["flushes"])
        moved.add_metric([name, "read"], one["bytes_read"])
        moved.add_metric([name, "write"], one["bytes_written"])
        errors.add_metric([name], one["errors"])
    yield from (requests, moved, errors)


def _activity(house: House, tasks: Tasks) -> Iterator[Metric]:
    clients = GaugeMetricFamily(
        "exshadow_nbd_connections", "NBD clients now.", labels=["export", "access"]
    )
    counts: dict[tuple[str, str], int] = {}
    for one in house.connections():
        key = (one["export"], "write" if one["writable"] else "read")
        counts[key] = counts.get(key, 0) + 1
    for (export, access), count in counts.items():
        clients.add_metric([export, access], count)
    yield clients
    running = GaugeMetricFamily("exshadow_jobs_running", "Jobs under way.", labels=["kind"])
    kinds: dict[str, int] = {}
    for task in tasks.running():
        kinds[task.order.kind] = kinds.get(task.order.kind, 0) + 1
    for kind, count in kinds.items():
        running.add_metric([kind], count)
    yield running
