"""Which volumes a backup without volumes means: where its components lie."""

from __future__ import annotations

from collections.abc import Callable

from exshadow.errors import InvalidError
from exshadow.service.attachments import Attachments, mounted_at
from exshadow.service.state import StateFolder
from exshadow.vss.errors import failure
from exshadow.vss.places import Places
from exshadow.vss.procedures import BackupRequest, WriterEntry
from exshadow.vss.tables import WriterState


def volumes_of_components(
    request: BackupRequest,
    groups: dict[str, list[str]],
    ask_writers: Callable[[], list[WriterEntry]],
    places: Places,
) -> list[str]:
    """The group whose mounted volumes hold the components' files. InvalidError when that is
    not one group: then the volumes must be named."""
    choices = "; ".join(f"{name}: {' '.join(volumes)}" for name, volumes in groups.items())
    hint = f"name the volumes of one group: {choices}" if groups else "add a volume first"
    if not request.state.select_components:
        raise InvalidError("no volume is named to take a snapshot of", hint=hint)
    writers = ask_writers()
    for entry in writers:
        _require_identified(entry, request)
    files = [
        (entry.metadata.name, one.path)
        for entry in writers
        for component in entry.metadata.components
        for one in (*component.files, *component.database_files, *component.database_logs)
    ]
    found = {places.volume_of(path) for _, path in files} - {None}
    chosen = [volumes for volumes in groups.values() if found & set(volumes)]
    if len(chosen) == 1:
        return chosen[0]
    what = "lie on volumes of several groups" if chosen else "lie on no mounted volume"
    whose = ", ".join(sorted({name for name, _ in files})) or "no writer"
    raise InvalidError(
        f"no volume is named, and the components of {whose} {what}"
        if files
        else "no volume is named, and no writer has a component that could name one",
        hint=hint,
    )


def _require_identified(entry: WriterEntry, request: BackupRequest) -> None:
    """WriterFailure for a writer that takes part and cannot say what it has."""
    status = entry.status
    if status is None or status.state is not WriterState.FAILED_AT_IDENTIFY:
        return
    left_out = {one.writer.casefold() for one in request.excluded if not one.component}
    if {status.name.casefold(), str(status.writer_id)}.isdisjoint(left_out):
        why = status.application_message
        raise failure(status.failure, f"writer '{status.name}' cannot say what it has: {why}")


def places_of(folder: StateFolder) -> Places:
    """Where the volumes that are attached here are mounted, by anybody."""
    return Places(
        {one.export: mounted_at(one.device) for one in Attachments(folder).read().attachments}
    )
