"""One set made: split with or without writers round it, and written down before it counts."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from exshadow.catalog.documents import keep_document
from exshadow.errors import Error, InvalidError, NotFoundError
from exshadow.model import JobRecord, Plan, SetRecord, VolumeRecord
from exshadow.names import close_match
from exshadow.providers.contract import Action, Standing, Verb
from exshadow.service import making_journal, sets, shadow
from exshadow.service.documents import document_file, save_file
from exshadow.service.group_provider import GroupProvider
from exshadow.service.policy_run.room import HeldJournal, Room
from exshadow.service.restore import Restored, RestoreWish
from exshadow.service.snapshots import Listing, Split
from exshadow.service.state import Survey

SETTINGS = "provider.json"
"""Document of a set: what its provider was made with, so that it can be restored without the
policy."""


def make(
    room: Room,
    mirror: str,
    label: str,
    writers: tuple[str, ...],
    prove: Callable[[SetRecord], bool],
) -> SetRecord:
    """Split the mirror now. With writers they are frozen round it, and hear that the backup
    succeeded only when ``prove`` said yes. A failure leaves no set."""
    if not writers:
        return _without_writers(room, mirror, label)
    if getattr(room.provider, "asks_writers", False):
        raise InvalidError(
            f"{room.provider.name} asks Windows' writers by itself: yours would be in its way",
            hint="leave writers out of the group",
        )
    _quieten(room, room.action(Verb.SPLIT, mirror, "", label, writers=True))
    splits = ContractSplits(room)
    state = room.desk.folder.path

    def proved(set_id: str) -> bool:
        splits.confirm()
        return prove(splits.show_set(set_id))

    one = shadow.create_set(
        splits, room.group, writers, state, label=label, plex=mirror, prove=proved
    )
    _keep_components(room, one)
    return one


def ask(room: Room, writers: tuple[str, ...]) -> None:
    """The writers, before a set is given up for one that they may refuse. What is known only at
    the freeze is not asked."""
    if writers and not getattr(room.provider, "asks_writers", False):
        shadow.ask(ContractSplits(room), writers, room.desk.folder.path)


def clear(room: Room) -> None:
    """What commands with writers left half made of this group goes back into the mirror, before
    anybody counts on it. Of what runs left the catalog's journal alone decides."""
    state = room.desk.folder.path
    for entry in making_journal.Journal(state).left():
        if room.journal.split_of(entry.set_id) is None:
            entry.leave()
        else:
            entry.end()
    if room.provider.name == sets.PROVIDER:  # the only one that commands make sets with
        GroupProvider(ContractSplits(room), journal=state).clear()


def _without_writers(room: Room, mirror: str, label: str) -> SetRecord:
    held = room.held_journal()
    action = room.action(Verb.SPLIT, mirror, str(uuid.uuid4()), label)
    _quieten(room, action)
    with _armed(room, action):
        one = split(room, action, held)
    held.release()
    return one


def split(room: Room, action: Action, held: HeldJournal) -> SetRecord:
    """The split itself, undone when it fails, and recorded. The caller ends it in the journal."""
    begun = time.monotonic()
    try:
        standing = room.carry(action, held)
    except Error:
        try:
            undo(room, action)
        except Error as problem:
            room.note(f"the split could not be undone now, the next run will: {problem}")
        raise
    return record(room, action, standing, int((time.monotonic() - begun) * 1e6))


def undo(room: Room, action: Action) -> None:
    """Drop what a split left in the product; its journal entry says so."""
    room.do(replace(action, id=str(uuid.uuid5(uuid.UUID(action.id), "abort")), verb=Verb.ABORT))
    room.journal.end(action, "undone")


def record(
    room: Room, action: Action, standing: Standing, hold_us: int, *, created: str = ""
) -> SetRecord:
    """The set into the catalog, which is all that knows of it where the volume files do not; the
    product's documents beside it. ``created``: when it was split, now if empty; a set that the
    catalog has already keeps its own time, pin and hold."""
    native = room.provider.name == sets.PROVIDER
    if native:
        one = room.service.show_set(action.set_id)  # its split holds nothing up
    else:
        known = next((one for one in room.sets() if one.id == action.set_id), None)
        one = SetRecord(
            id=action.set_id,
            label=action.label,
            group=action.group,
            created=known.created if known else _milliseconds(created),
            provider=room.provider.name,
            consistency=standing.consistency,
            state="ready",
            members=standing.members,
            pinned_until=known.pinned_until if known else None,
            hold_us=known.hold_us if known else hold_us,
        )
    room.desk.catalog.record_set(one)
    for name, content in room.provider.documents(action).items():
        keep(room, one.id, name, content)
    if not native:
        settings = dict(room.settings.get(room.provider.name, {}))
        keep(room, one.id, SETTINGS, json.dumps(settings).encode())
    return one


def _milliseconds(moment: str) -> str:
    """RFC 3339 UTC, now if empty, with milliseconds: nothing else would order two sets of one
    second."""
    found = datetime.fromisoformat(moment) if moment else datetime.now(UTC)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def keep(room: Room, set_id: str, name: str, content: bytes) -> None:
    """A document of a set: in the catalog, and a second time below the state folder."""
    file = room.desk.folder.path / "documents" / set_id / Path(name).name
    save_file(file, content, f"{name} of set {set_id}")
    keep_document(room.desk.catalog, set_id, name, content, [str(file)])


def _keep_components(room: Room, one: SetRecord) -> None:
    """What the writers said of the set, into the catalog as well."""
    file = document_file(room.desk.folder.path, one.id)
    keep_document(room.desk.catalog, one.id, "components.xml", file.read_bytes(), [str(file)])


class ContractSplits:
    """What a GroupProvider asks of a service, done by any provider through its contract and the
    journal: so writers can be frozen round a split of any product."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held = room.held_journal()
        self._made: Action | None = None

    def confirm(self) -> None:
        """The writers are content: from here on the set counts, whatever happens to this run."""
        self._held.release()

    def list_volumes(self) -> Survey:
        return Survey({one.name: self.show_volume(one.name) for one in self._room.sources}, {})

    def show_volume(self, name: str) -> VolumeRecord:
        if self._room.provider.name == sets.PROVIDER:
            return self._room.service.show_volume(name)
        for one in self._room.sources:
            if one.name == name:
                group = self._room.group
                return VolumeRecord(name, "", group, one.size, 0, "ok", True, 0, (), ())
        known = [one.name for one in self._room.sources]
        raise NotFoundError(
            f"group {self._room.group} has no volume {name!r}",
            hint=f"{close_match(name, known)}it has: {', '.join(known)}",
        )

    @contextmanager
    def armed_split(
        self, group: str, *, label: str | None = None, plex: str | None = None
    ) -> Iterator[Split]:
        asked = self._room.action(Verb.SPLIT, plex or "", "", label or "", writers=True)
        with _armed(self._room, asked):

            def now_(set_id: str, consistency: str) -> SetRecord:
                self._made = replace(asked, set_id=set_id)
                return split(self._room, self._made, self._held)

            yield now_

    def mark_set(self, text: str, consistency: str) -> SetRecord:
        """What the writers made of it, once they have gone on well."""
        if self._room.provider.name == sets.PROVIDER:
            return self._room.service.mark_set(text, consistency)
        marked = replace(self.show_set(text), consistency=consistency)
        self._room.desk.catalog.record_set(marked)
        return marked

    def set_plan(self, text: str, verb: str) -> Plan:
        """Refuses what may not be touched."""
        one = self.show_set(text)
        sets.require_unpinned(one, verb)
        return Plan(f"snapshot {verb} {one.group}@{one.label}", ())

    def resync_set(self, text: str, *, limit: int | None = None) -> JobRecord:
        """The way back of a set whose writers failed. RefusedError for one that somebody pinned
        meanwhile."""
        with suppress(NotFoundError):  # not recorded yet
            sets.require_unpinned(self.show_set(text), "undo")
        if self._made is not None and self._made.set_id == text:
            undo(self._room, self._made)
        else:
            one = self.show_set(text)
            try:
                mirror = self._room.mirror_of(one)
            except NotFoundError:  # made by a command: only the engine knows its plexes
                return self._room.service.resync_set(text, limit=limit)
            self._room.do(self._room.action(Verb.RESYNC, mirror, one.id, one.label))
        return JobRecord("resync", 0, 0, 0, 0.0, "done")

    def restore_set(self, text: str, wish: RestoreWish) -> Restored:
        one = self.show_set(text)
        asked = self._room.action(Verb.RESTORE, self._room.mirror_of(one), one.id, one.label)
        volumes = tuple(source for source in asked.volumes if source.name in wish.volumes)
        self._room.do(replace(asked, volumes=volumes or asked.volumes))
        return Restored(JobRecord("restore", 0, 0, 0, 0.0, "done"))

    def list_sets(self, group: str | None = None, *, everything: bool = False) -> Listing:
        return Listing(tuple(self._room.sets()), self.list_volumes())

    def show_set(self, text: str) -> SetRecord:
        return self._room.service.show_set(text)


def _quieten(room: Room, action: Action) -> None:
    """What a provider must wait for before a split, waited for and told before writers are asked;
    nothing where it has no such step."""
    wait: Callable[[Action, Callable[[str], None]], None] | None
    wait = getattr(room.provider, "quieten", None)
    if wait is not None:
        wait(action, room.note)


def _armed(room: Room, action: Action) -> AbstractContextManager[None]:
    """What the provider can do before anybody is frozen; nothing where it has no such step."""
    ahead: Callable[[Action], AbstractContextManager[None]] | None
    ahead = getattr(room.provider, "armed", None)
    return ahead(action) if ahead is not None else nullcontext()
