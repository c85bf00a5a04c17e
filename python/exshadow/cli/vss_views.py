"""What VSS tells, as text for people."""

from __future__ import annotations

from collections.abc import Iterable

from exshadow.cli.output import table
from exshadow.vss.procedures import (
    BackupReport,
    ComponentReport,
    RestoreReport,
    WriterEntry,
    WriterReport,
)
from exshadow.vss.tables import HResult
from exshadow.vss.values import ProviderProperties, SnapshotProperties
from exshadow.vss.words import flag_words


def writers(entries: Iterable[WriterEntry]) -> str:
    rows = []
    for one in entries:
        state = one.status.state.word if one.status else "unknown"
        failed = _failure(one.status.failure) if one.status else ""
        data = one.metadata
        rows.append((data.name, state, failed, len(data.components), data.writer_id))
    if not rows:
        return "no writers; name one of this machine with --writer module:Class"
    return table(("WRITER", "STATE", "FAILURE", "COMPONENTS", "ID"), rows, numbers=("COMPONENTS",))


def providers(found: Iterable[ProviderProperties]) -> str:
    rows = [(one.name, one.type.word, one.version, one.provider_id) for one in found]
    return table(("PROVIDER", "TYPE", "VERSION", "ID"), rows) if rows else "no providers"


def snapshots(found: Iterable[SnapshotProperties]) -> str:
    rows = [
        (
            one.original_volume,
            f"{one.created_at:%Y-%m-%d %H:%M:%S}",
            flag_words(one.attributes),
            one.device,
            one.snapshot_id,
            one.set_id,
        )
        for one in found
    ]
    if not rows:
        return "no snapshots"
    return table(("VOLUME", "CREATED", "ATTRIBUTES", "DEVICE", "SNAPSHOT", "SET"), rows)


def backup(report: BackupReport) -> str:
    made = str(report.snapshot_set_id) if report.snapshots else "none"
    parts = [f"set          {made}", f"tries        {report.tries}"]
    if report.snapshots:
        parts += ["", snapshots(report.snapshots)]
    return "\n".join([*parts, *_rest(report.writers, report.components, report.notes)])


def restore(report: RestoreReport) -> str:
    told = "yes" if report.completed else "no"
    rest = _rest(report.writers, report.components, report.notes)
    return "\n".join([f"writers told {told}", *rest])


def _rest(
    writers: Iterable[WriterReport], components: Iterable[ComponentReport], notes: Iterable[str]
) -> list[str]:
    lines = []
    rows: list[tuple[object, ...]] = [
        (one.status.name, one.status.state.word, _failure(one.status.failure), one.seen_after)
        for one in writers
    ]
    if rows:
        lines += ["", table(("WRITER", "STATE", "FAILURE", "SEEN AFTER"), rows)]
    rows = [
        (one.writer_name, _component(one), _yes(one.included), _yes(one.succeeded), one.reason)
        for one in components
    ]
    if rows:
        lines += ["", table(("WRITER", "COMPONENT", "IN", "DONE", "WHY"), rows)]
    return [*lines, *(f"note: {note}" for note in notes)]


def _component(one: ComponentReport) -> str:
    path = one.key.logical_path
    return f"{path}\\{one.key.name}" if path else one.key.name


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[value]


def _failure(value: HResult) -> str:
    return "" if value is HResult.S_OK else value.name
