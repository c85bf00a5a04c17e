"""What a scenario scripts of the service itself, brought about by writers, providers and another
session: this coordinator has no answers that somebody else could put in its mouth."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from exshadow import vss

PENDING = 30
"""Milliseconds for which a writer keeps a step pending."""
PENDING_EVENTS = {
    "GatherWriterMetadata": ("identify",),
    "PrepareForBackup": ("prepare_backup",),
    "DoSnapshotSet": ("prepare_snapshot", "post_snapshot"),
    "GatherWriterStatus": (),
    "BackupComplete": ("backup_complete",),
}


def with_causes(world: dict[str, Any]) -> dict[str, Any]:
    """The world with events instead of scripted steps and calls; AssertionError for a script that
    nothing here can bring about: such a scenario carries a `skip.python`."""
    world = copy.deepcopy(world)
    for name, step in world.pop("steps", {}).items():
        if "pending" in step:
            for writer in world["writers"]:
                for event in PENDING_EVENTS[name]:
                    event_of(writer, event)["delay"] = PENDING
        if "result" in step:
            assert name == "DoSnapshotSet", name
            commit = event_of(world["providers"][0], "commit")
            if step["result"] == "VSS_E_HOLD_WRITES_TIMEOUT":
                commit["hang"] = True
                world.setdefault("limits", {})["hold"] = 200
            else:
                commit["fail"] = step["result"]
    for name, call in world.pop("calls", {}).items():
        if name == "StartSnapshotSet":
            assert call["result"] == "VSS_E_SNAPSHOT_SET_IN_PROGRESS"
            world["slot_taken"] = "times" not in call or call["times"]
        else:
            assert name == "AddToSnapshotSet", name
            event_of(world["providers"][0], "begin_prepare")["fail"] = call["result"]
    return world


def event_of(actor: dict[str, Any], event: str) -> dict[str, Any]:
    found: dict[str, Any] = actor.setdefault("events", {}).setdefault(event, {})
    return found


@contextmanager
def slot_taken(coordinator: vss.Coordinator, how: bool | int) -> Iterator[None]:
    """Another session has the creation slot: for good, or until somebody has waited a little."""
    with coordinator.backup_components() as other:
        other.initialize_for_backup()
        other.gather_writer_metadata().finish()
        other.start_snapshot_set()
        if how is True:
            yield
            return
        timer = threading.Timer(0.03, other.close)
        timer.start()
        try:
            yield
        finally:
            timer.join()
