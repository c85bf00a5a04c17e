"""The volumes of a state folder under VSS: a provider that splits groups, and sets whose writers
are frozen round the split.

Volumes are called by their names. A snapshot set of VSS is a set of the catalog with the same id;
all volumes of a group split together, so a VSS set holds whole groups of one name. The split is
done where the volumes are open: here, or in the daemon. Writers and the coordinator run in a
process of their own, so that they are thawed whatever happens to this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_OID, UUID, uuid5

from exshadow.errors import Error, NotFoundError
from exshadow.model import SetRecord
from exshadow.service.contract import Service
from exshadow.service.restore import RestoreWish
from exshadow.service.snapshots import Split
from exshadow.vss.command import Command
from exshadow.vss.errors import failure
from exshadow.vss.isolated import IsolatedCoordinator
from exshadow.vss.procedures import BackupOutcome, BackupRequest, Between, RetryLimits
from exshadow.vss.provider import Provider, SnapshotRequest
from exshadow.vss.registry import spec_of
from exshadow.vss.tables import HResult, SnapshotAttributes, SnapshotState
from exshadow.vss.values import BackupState, Context, SnapshotProperties

PROVIDER_ID = UUID("6e1a0d52-58c5-4a9e-9d0a-2a7c2f6f5a11")
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Making:
    """A set between its first volume and its end."""

    requests: list[SnapshotRequest] = field(default_factory=list)
    split: Split | None = None
    stack: ExitStack = field(default_factory=ExitStack)
    made: SetRecord | None = None


class GroupProvider(Provider):
    """Splits one plex off every volume of a group. Its calls come one at a time."""

    provider_id = PROVIDER_ID
    name = "exshadow plex provider"
    differential = False
    reverts = True

    def __init__(
        self, service: Service, *, label: str | None = None, plex: str | None = None
    ) -> None:
        self._service = service
        self._label = label
        self._plex = plex
        self._making: dict[UUID, _Making] = {}
        self._ids: dict[tuple[str, str], UUID] = {}  # ids that VSS chose: (set, volume)
        self._deleted: set[UUID] = set()
        self.problem: Error | None = None  # why the last set was not made, with its exit status

    def is_volume_supported(self, volume: str, attributes: SnapshotAttributes) -> bool:
        try:
            self._service.show_volume(volume)
        except NotFoundError as problem:
            raise failure(HResult.VSS_E_OBJECT_NOT_FOUND, problem.message) from problem
        return not attributes & SnapshotAttributes.TRANSPORTABLE

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
        survey = self._service.list_volumes().volumes.values()
        whole = {volume.name for volume in survey if volume.group == group}
        if asked != whole:
            raise failure(
                HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER,
                f"a set holds all volumes of one group, and {group} has {', '.join(sorted(whole))}",
            )
        try:
            armed = self._service.armed_split(group, label=self._label, plex=self._plex)
            making.split = making.stack.enter_context(armed)
        except Error as problem:
            self.problem = problem
            raise failure(HResult.VSS_E_PROVIDER_VETO, problem.message) from problem

    def commit_snapshots(self, set_id: UUID) -> None:
        making = self._making[set_id]
        assert making.split is not None
        writers = not making.requests[0].attributes & SnapshotAttributes.NO_WRITERS
        try:
            made = making.split(str(set_id), "application" if writers else "crash")
        except Error as problem:
            self.problem = problem
            raise failure(HResult.VSS_E_PROVIDER_VETO, problem.message) from problem
        making.made = made
        for request in making.requests:
            self._ids[str(set_id), request.volume] = request.snapshot_id

    def post_final_commit_snapshots(self, set_id: UUID) -> None:
        self._making.pop(set_id).stack.close()

    def abort_snapshots(self, set_id: UUID) -> None:
        """A set that was split already goes back into the mirror."""
        made = self._drop(set_id)
        if made is not None:
            self._service.resync_set(made.id)

    def _drop(self, set_id: UUID) -> SetRecord | None:
        making = self._making.pop(set_id, None)
        if making is None:
            return None
        making.stack.close()
        return making.made

    def query(self) -> Sequence[SnapshotProperties]:
        return [
            _properties(one, member.volume, member.path, self._id_of(one.id, member.volume))
            for one in self._service.list_sets().sets
            if one.state == "ready"
            for member in one.members
            if self._id_of(one.id, member.volume) not in self._deleted
        ]

    def _id_of(self, set_id: str, volume: str) -> UUID:
        """The id that VSS chose in this process; of older sets one made from set and volume."""
        return self._ids.get((set_id, volume)) or snapshot_id(set_id, volume)

    def delete_snapshot(self, snapshot: UUID, force: bool) -> None:
        """The copies return to the mirror when the last snapshot of their set is deleted."""
        one = self._set_of(snapshot)
        self._deleted.add(snapshot)
        left = {self._id_of(one.id, member.volume) for member in one.members} - self._deleted
        if not left:
            self._service.resync_set(one.id)

    def revert_to_snapshot(self, snapshot: UUID, force_dismount: bool) -> None:
        one = self._set_of(snapshot)
        volume = next(
            member.volume
            for member in one.members
            if self._id_of(one.id, member.volume) == snapshot
        )
        wish = RestoreWish((volume,), "copy", False, force_dismount, None)
        try:
            self._service.restore_set(one.id, wish)
        except Error as problem:
            self.problem = problem
            raise failure(HResult.VSS_E_PROVIDER_VETO, problem.message) from problem

    def query_revert_status(self, volume: str) -> None:
        """A revert has ended when revert_to_snapshot returned."""

    def _set_of(self, snapshot: UUID) -> SetRecord:
        for one in self._service.list_sets().sets:
            for member in one.members:
                if self._id_of(one.id, member.volume) == snapshot:
                    return one
        raise failure(HResult.VSS_E_OBJECT_NOT_FOUND, f"snapshot {snapshot}")


def snapshot_id(set_id: str, volume: str) -> UUID:
    """The id of one volume's snapshot in a set of the catalog."""
    return uuid5(NAMESPACE_OID, f"{set_id}/{volume}")


def _properties(one: SetRecord, volume: str, path: str, id: UUID) -> SnapshotProperties:
    created = datetime.fromisoformat(one.created) - _EPOCH
    attributes = (
        SnapshotAttributes.PLEX | SnapshotAttributes.PERSISTENT | SnapshotAttributes.NO_AUTO_RELEASE
    )
    if one.consistency == "crash":
        attributes |= SnapshotAttributes.NO_WRITERS
    return SnapshotProperties(
        snapshot_id=id,
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
        super().__init__(slot=slot)
        self.provider = provider
        self.register_provider(provider)

    def backup(
        self, request: BackupRequest, between: Between | Command | None = None
    ) -> BackupOutcome:
        """A failure of the volumes themselves is told as such, not as one of the provider."""
        outcome = super().backup(request, between)
        if outcome.error is not None and self.provider.problem is not None:
            return replace(outcome, error=self.provider.problem)
        return outcome


@contextmanager
def open_shadow(
    service: Service,
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
    service: Service,
    group: str,
    writers: Sequence[str],
    slot: Path,
    *,
    label: str | None = None,
    plex: str | None = None,
) -> SetRecord:
    """Split the group with the writers frozen round it: a set of consistency ``application``.
    WriterFailure, with the set gone, when one of them refuses or does not answer in time."""
    survey = service.list_volumes().volumes.values()
    volumes = sorted(volume.name for volume in survey if volume.group == group)
    if not volumes:
        raise NotFoundError(f"no group {group!r}", hint="see: exshadow volume list")
    request = BackupRequest(
        volumes=volumes,
        context=Context.APP_ROLLBACK,
        state=BackupState(select_components=False),
        retry=RetryLimits(tries=1),
    )
    with open_shadow(service, writers, slot, label=label, plex=plex) as shadow:
        report = shadow.backup(request).check()
    return service.show_set(str(report.snapshot_set_id))
