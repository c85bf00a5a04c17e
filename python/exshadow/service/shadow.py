"""The volumes of a state folder under VSS: a provider that splits groups, and sets whose writers
are frozen round the split.

Volumes are called by their names. A snapshot set of VSS is a set of the catalog with the same id;
all volumes of a group split together, so a VSS set holds whole groups of one name. The split is
done where the volumes are open: here, or in the daemon. Writers and the coordinator run in a
process of their own, so that they are thawed whatever happens to this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from uuid import NAMESPACE_OID, UUID, uuid5

from exshadow.errors import Error, InvalidError, NotFoundError, RefusedError
from exshadow.model import JobRecord, SetRecord, VolumeRecord
from exshadow.service.attachments import Attachments, mounted_at
from exshadow.service.restore import Restored, RestoreWish
from exshadow.service.snapshots import Listing, Split
from exshadow.service.state import StateFolder, Survey
from exshadow.vss.command import Command
from exshadow.vss.errors import VssError, failure
from exshadow.vss.isolated import IsolatedCoordinator
from exshadow.vss.places import Places
from exshadow.vss.procedures import (
    BackupOutcome,
    BackupReport,
    BackupRequest,
    Between,
    Copied,
    RetryLimits,
)
from exshadow.vss.provider import Provider, SnapshotRequest
from exshadow.vss.registry import spec_of
from exshadow.vss.tables import HResult, ObjectType, SnapshotAttributes, SnapshotState
from exshadow.vss.values import BackupState, Context, DeleteOutcome, SnapshotProperties

PROVIDER_ID = UUID("6e1a0d52-58c5-4a9e-9d0a-2a7c2f6f5a11")
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Making:
    """A set between its first volume and its end."""

    requests: list[SnapshotRequest] = field(default_factory=list)
    split: Split | None = None
    stack: ExitStack = field(default_factory=ExitStack)
    made: SetRecord | None = None


class Splits(Protocol):
    """What a :class:`GroupProvider` needs: some verbs of a service, done by it or by another
    product."""

    def list_volumes(self) -> Survey: ...
    def show_volume(self, name: str) -> VolumeRecord: ...
    def armed_split(
        self, group: str, *, label: str | None = None, plex: str | None = None
    ) -> AbstractContextManager[Split]: ...
    def resync_set(self, text: str, *, limit: int | None = None) -> JobRecord: ...
    def restore_set(self, text: str, wish: RestoreWish) -> Restored: ...
    def list_sets(self, group: str | None = None, *, everything: bool = False) -> Listing: ...
    def show_set(self, text: str) -> SetRecord: ...


class GroupProvider(Provider):
    """Splits one plex off every volume of a group. Its calls come one at a time."""

    provider_id = PROVIDER_ID
    name = "exshadow plex provider"
    differential = False
    reverts = True

    def __init__(
        self, service: Splits, *, label: str | None = None, plex: str | None = None
    ) -> None:
        self._service = service
        self._label = label
        self._plex = plex
        self._making: dict[UUID, _Making] = {}
        self._deleted: set[UUID] = set()  # of sets whose other snapshots are still there
        self.problem: Error | None = None  # what the volumes refused last, with its exit status

    def groups(self) -> dict[str, list[str]]:
        """The volumes of each group; a set holds all of one."""
        found: dict[str, list[str]] = {}
        for volume in self._service.list_volumes().volumes.values():
            found.setdefault(volume.group, []).append(volume.name)
        return {name: sorted(volumes) for name, volumes in sorted(found.items())}

    def is_volume_supported(self, volume: str, attributes: SnapshotAttributes) -> bool:
        try:
            self._service.show_volume(volume)
        except NotFoundError as problem:
            raise failure(HResult.VSS_E_OBJECT_NOT_FOUND, problem.message) from problem
        return not attributes & SnapshotAttributes.TRANSPORTABLE

    def snapshot_id(self, set_id: UUID, volume: str, proposed: UUID) -> UUID:
        """Fixed by set and volume: the catalog keeps no other, and a saved document must name what
        a later process finds."""
        return snapshot_id(str(set_id), volume)

    def begin_prepare_snapshot(self, request: SnapshotRequest) -> None:
        for other in [one for one in self._making if one != request.set_id]:
            self._drop(other)
        self._making.setdefault(request.set_id, _Making()).requests.append(request)

    def end_prepare_snapshots(self, set_id: UUID) -> None:
        """Opens the volumes: from here on only the split itself is missing."""
        making = self._making[set_id]
        asked = {one.volume for one in making.requests}
        records = {name: self._service.show_volume(name) for name in asked}
        group = next(iter(records.values())).group
        whole = set(self.groups()[group])
        if asked != whole:
            raise failure(
                HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER,
                f"a set holds all volumes of one group, and {group} has {', '.join(sorted(whole))}",
            )
        with self._refusing():
            armed = self._service.armed_split(group, label=self._label, plex=self._plex)
            making.split = making.stack.enter_context(armed)

    def commit_snapshots(self, set_id: UUID) -> None:
        making = self._making[set_id]
        assert making.split is not None
        writers = not making.requests[0].attributes & SnapshotAttributes.NO_WRITERS
        with self._refusing():
            making.made = making.split(str(set_id), "application" if writers else "crash")

    def post_final_commit_snapshots(self, set_id: UUID) -> None:
        self._making.pop(set_id).stack.close()

    def abort_snapshots(self, set_id: UUID) -> None:
        """A set that was split already goes back into the mirror."""
        made = self._drop(set_id)
        if made is not None:
            with self._refusing():
                self._service.resync_set(made.id)

    def _drop(self, set_id: UUID) -> SetRecord | None:
        making = self._making.pop(set_id, None)
        if making is None:
            return None
        making.stack.close()
        return making.made

    def query(self) -> Sequence[SnapshotProperties]:
        return [
            _properties(one, member.volume, member.path)
            for one in self._service.list_sets().sets
            if one.state == "ready"
            for member in one.members
            if snapshot_id(one.id, member.volume) not in self._deleted
        ]

    def delete_snapshot(self, snapshot: UUID, force: bool) -> None:
        """The copies return to the mirror when the last snapshot of their set is deleted."""
        one, _ = self._find(snapshot)
        self._deleted.add(snapshot)
        left = {snapshot_id(one.id, member.volume) for member in one.members} - self._deleted
        if not left:
            with self._refusing():
                self._service.resync_set(one.id)

    def revert_to_snapshot(self, snapshot: UUID, force_dismount: bool) -> None:
        one, volume = self._find(snapshot)
        wish = RestoreWish((volume,), "copy", False, force_dismount, None)
        with self._refusing():
            self._service.restore_set(one.id, wish)

    def query_revert_status(self, volume: str) -> None:
        """A revert has ended when revert_to_snapshot returned."""

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """What the volumes refuse, as a provider's refusal; `problem` keeps it as it was."""
        try:
            yield
        except Error as problem:
            self.problem = problem
            raise failure(HResult.VSS_E_PROVIDER_VETO, problem.message) from problem

    def _find(self, snapshot: UUID) -> tuple[SetRecord, str]:
        """Its set and its volume."""
        for one in self._service.list_sets().sets:
            for member in one.members:
                if snapshot_id(one.id, member.volume) == snapshot:
                    return one, member.volume
        raise failure(HResult.VSS_E_OBJECT_NOT_FOUND, f"snapshot {snapshot}")


def snapshot_id(set_id: str, volume: str) -> UUID:
    """The id of one volume's snapshot in a set of the catalog."""
    return uuid5(NAMESPACE_OID, f"{set_id}/{volume}")


def _properties(one: SetRecord, volume: str, path: str) -> SnapshotProperties:
    created = datetime.fromisoformat(one.created) - _EPOCH
    attributes = (
        SnapshotAttributes.PLEX | SnapshotAttributes.PERSISTENT | SnapshotAttributes.NO_AUTO_RELEASE
    )
    if one.consistency == "crash":
        attributes |= SnapshotAttributes.NO_WRITERS
    return SnapshotProperties(
        snapshot_id=snapshot_id(one.id, volume),
        set_id=UUID(one.id),
        set_size=len(one.members),
        device=path,
        original_volume=volume,
        originating_machine="localhost",
        service_machine="localhost",
        exposed_name="",
        exposed_path="",
        provider_id=PROVIDER_ID,
        attributes=attributes,
        created=created.days * 864_000_000_000
        + created.seconds * 10_000_000
        + created.microseconds * 10,
        state=SnapshotState.CREATED,
    )


class Shadow(IsolatedCoordinator):
    """The coordinator of a state folder, in a process of its own."""

    def __init__(self, provider: GroupProvider, slot: Path) -> None:
        self._places = _places(StateFolder(slot.parent))
        super().__init__(slot=slot, places=self._places)
        self.provider = provider
        self.register_provider(provider)

    def backup(
        self, request: BackupRequest, between: Between | Command | None = None
    ) -> BackupOutcome:
        """A failure of the volumes themselves is told as such, not as one of the provider."""
        if not request.volumes:
            request = replace(request, volumes=self._volumes_of_components(request))
        outcome = super().backup(request, between)
        if outcome.error is not None and self.provider.problem is not None:
            return replace(outcome, error=self.provider.problem)
        return outcome

    def _volumes_of_components(self, request: BackupRequest) -> list[str]:
        """The group whose mounted volumes hold the components' files. InvalidError when that is
        not one group: then the volumes must be named."""
        groups = self.provider.groups()
        choices = "; ".join(f"{name}: {' '.join(volumes)}" for name, volumes in groups.items())
        hint = f"name the volumes of one group: {choices}" if groups else "add a volume first"
        if not request.state.select_components:
            raise InvalidError("no volume is named to take a snapshot of", hint=hint)
        files = [
            (entry.metadata.name, one.path)
            for entry in self.writers()
            for component in entry.metadata.components
            for one in (*component.files, *component.database_files, *component.database_logs)
        ]
        found = {self._places.volume_of(path) for _, path in files} - {None}
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

    def delete(self, id: UUID, type: ObjectType, *, force: bool = False) -> DeleteOutcome:
        """RefusedError for one snapshot of several: the copies of a set go back together."""
        for one in self.provider.query():
            if one.snapshot_id == id and one.set_size > 1:
                raise RefusedError(
                    f"snapshot {id} is one of {one.set_size} of its set",
                    hint=f"delete the set: {one.set_id}",
                )
        outcome = super().delete(id, type, force=force)
        if outcome.failed_snapshot is not None and self.provider.problem is not None:
            raise self.provider.problem
        return outcome

    def revert(self, snapshot: UUID, *, force_dismount: bool = False) -> None:
        try:
            super().revert(snapshot, force_dismount=force_dismount)
        except VssError:
            if self.provider.problem is None:
                raise
            raise self.provider.problem from None


def _places(folder: StateFolder) -> Places:
    """Where the volumes that are attached here are mounted, by anybody."""
    return Places(
        {one.export: mounted_at(one.device) for one in Attachments(folder).read().attachments}
    )


@contextmanager
def open_shadow(
    service: Splits,
    writers: Sequence[str],
    slot: Path,
    *,
    label: str | None = None,
    plex: str | None = None,
) -> Iterator[Shadow]:
    """A coordinator over the volumes of `service` with these writers (registry.spec_of)."""
    specs = [spec_of(text) for text in writers]
    slot.parent.mkdir(parents=True, exist_ok=True)
    with Shadow(GroupProvider(service, label=label, plex=plex), slot) as shadow:
        for one in specs:
            shadow.register_writer(one.place, one.arguments)
        yield shadow


def create_set(
    service: Splits,
    group: str,
    writers: Sequence[str],
    slot: Path,
    *,
    label: str | None = None,
    plex: str | None = None,
    prove: Callable[[str], bool] | None = None,
) -> SetRecord:
    """Split the group with the writers frozen round it: a set of consistency ``application``.
    WriterFailure, with the set gone, when one of them refuses or does not answer in time.

    ``prove`` is called with the set's id once the copies exist. Only when it says yes do the
    writers hear that the backup succeeded, which lets them cut their logs; the set stays anyway."""
    volumes = GroupProvider(service).groups().get(group)
    if volumes is None:
        raise NotFoundError(f"no group {group!r}", hint="see: exshadow volume list")
    with open_shadow(service, writers, slot, label=label, plex=plex) as shadow:
        request = BackupRequest(
            volumes=volumes,
            context=Context.APP_ROLLBACK,
            state=BackupState(select_components=_can_choose(shadow, len(writers))),
            retry=RetryLimits(tries=1),
        )

        def between(made: BackupReport) -> Copied | None:
            return None if prove is None else Copied(prove(str(made.snapshot_set_id)))

        report = shadow.backup(request, between).check()
    document = document_file(slot.parent, str(report.snapshot_set_id))
    document.parent.mkdir(mode=0o700, exist_ok=True)
    document.write_text(report.document, encoding="utf-8")
    return service.show_set(str(report.snapshot_set_id))


def document_file(state: Path, set_id: str) -> Path:
    """What the writers said of a set (positions in logs, labels that a copy needs): its Backup
    Components Document."""
    return state / "documents" / f"{set_id}.xml"


def _can_choose(shadow: Shadow, count: int) -> bool:
    """Whether to choose components: the document holds what writers say by component. But a writer
    without any would be left out, as one that could not say what it has: then all take part."""
    found = shadow.writers()
    return len(found) == count and all(one.metadata.components for one in found)
