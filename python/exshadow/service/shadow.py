"""The volumes of a state folder under VSS: a provider that splits groups, and sets whose writers
are frozen round the split.

Volumes are called by their names. A snapshot set of VSS is a set of the catalog with the same id;
all volumes of a group split together, so a VSS set holds whole groups of one name. The split is
done where the volumes are open: here, or in the daemon. Writers and the coordinator run in a
process of their own, so that they are thawed whatever happens to this one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from uuid import UUID

from exshadow.errors import Error, NotFoundError, RefusedError
from exshadow.model import JobRecord, Plan, SetRecord, VolumeRecord
from exshadow.names import close_match
from exshadow.service.documents import save_document
from exshadow.service.making import OUTLIVE, Makings
from exshadow.service.restore import Restored, RestoreWish
from exshadow.service.shadow_facts import PROVIDER_ID, properties_of, refusal_of, snapshot_id
from exshadow.service.shadow_volumes import places_of, volumes_of_components
from exshadow.service.snapshots import Listing, Split
from exshadow.service.state import StateFolder, Survey
from exshadow.vss.command import Command
from exshadow.vss.errors import VssError, failure, is_failure, writer_failure
from exshadow.vss.isolated import IsolatedCoordinator, in_thread
from exshadow.vss.procedures import (
    BackupOutcome,
    BackupReport,
    BackupRequest,
    Between,
    Copied,
    RetryLimits,
    WriterEntry,
)
from exshadow.vss.provider import Provider, SnapshotRequest
from exshadow.vss.registry import spec_of
from exshadow.vss.tables import HResult, ObjectType, SnapshotAttributes
from exshadow.vss.values import BackupState, Context, DeleteOutcome, SnapshotProperties


class Splits(Protocol):
    """What a :class:`GroupProvider` needs: some verbs of a service, done by it or by another
    product."""

    def list_volumes(self) -> Survey: ...
    def show_volume(self, name: str) -> VolumeRecord: ...
    def armed_split(
        self, group: str, *, label: str | None = None, plex: str | None = None
    ) -> AbstractContextManager[Split]: ...
    def mark_set(self, text: str, consistency: str) -> SetRecord: ...
    def set_plan(self, text: str, verb: str) -> Plan: ...
    def resync_set(self, text: str, *, limit: int | None = None) -> JobRecord: ...
    def restore_set(self, text: str, wish: RestoreWish) -> Restored: ...
    def list_sets(self, group: str | None = None, *, everything: bool = False) -> Listing: ...
    def show_set(self, text: str) -> SetRecord: ...


class GroupProvider(Provider):
    """Splits one plex off every volume of a group. `journal`: the state folder, where sets in the
    making are recorded. Whoever makes one calls :meth:`settle` in the end."""

    provider_id = PROVIDER_ID
    name = "exshadow plex provider"
    differential = False
    reverts = True

    def __init__(
        self,
        service: Splits,
        *,
        label: str | None = None,
        plex: str | None = None,
        journal: Path | None = None,
    ) -> None:
        self._service = service
        self._label = label
        self._plex = plex
        self._one_call = threading.RLock()  # a Service is used by one thread at a time
        self._making = Makings(journal)
        self._deleted: set[UUID] = set()  # of sets whose other snapshots are still there
        self._reverts: dict[str, Future[None]] = {}  # by volume
        self.consistency: Callable[[UUID], str] = lambda set_id: "crash"
        """What a finished set is, by the writers that were frozen for it."""
        self.problem: Error | None = None
        """Why the volumes refused the set that was begun last, with its exit status."""

    def groups(self) -> dict[str, list[str]]:
        """The volumes of each group; a set holds all of one."""
        found: dict[str, list[str]] = {}
        for volume in self._service.list_volumes().volumes.values():
            found.setdefault(volume.group, []).append(volume.name)
        return {name: sorted(volumes) for name, volumes in sorted(found.items())}

    def is_volume_supported(self, volume: str, attributes: SnapshotAttributes) -> bool:
        with self._refusing():
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
        self.problem = None
        self._making.begin(request)

    def end_prepare_snapshots(self, set_id: UUID) -> None:
        """Opens the volumes: from here on only the split itself is missing."""
        with self._making.step(set_id) as making, self._one_call, self._refusing():
            asked = {one.volume for one in making.requests}
            records = {name: self._service.show_volume(name) for name in asked}
            group = next(iter(records.values())).group
            whole = set(self.groups()[group])
            if asked != whole:
                raise failure(
                    HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER,
                    f"a set holds all volumes of one group, and {group} has "
                    f"{', '.join(sorted(whole))}",
                )
            self._making.record(set_id, making)
            armed = self._service.armed_split(group, label=self._label, plex=self._plex)
            making.split = making.stack.enter_context(armed)

    def commit_snapshots(self, set_id: UUID) -> None:
        """As crash-consistent, until the writers have gone on well."""
        with self._making.step(set_id) as making, self._one_call, self._refusing():
            assert making.split is not None
            making.made = making.split(str(set_id), "crash")

    def post_final_commit_snapshots(self, set_id: UUID) -> None:
        with self._making.step(set_id, last=True) as making, self._one_call, self._refusing():
            making.stack.close()
            self._service.mark_set(str(set_id), self.consistency(set_id))

    def abort_snapshots(self, set_id: UUID) -> None:
        """A set that was split already is owed to the mirror, as one whose split runs will be."""
        self._making.abort(set_id)

    def settle(self, *, failed: bool = False) -> Error | None:
        """Wait for what runs and bring back what must not stay, however long it takes: the first
        failure. `failed`: the sets that were finished here must not stay either."""
        return self._making.settle(self._bring_back, failed=failed)

    def keep(self, set_id: UUID) -> None:
        """From here on a finished set stays, whatever happens to this process."""
        self._making.keep(set_id)

    def clear(self) -> None:
        """Bring back what killed processes left half made, of groups that are ours."""
        self._making.clear(self._bring_back, self._find_set, set(self.groups()))

    def _bring_back(self, set_id: str) -> None:
        with self._one_call:
            self._service.resync_set(set_id)

    def _find_set(self, set_id: str) -> SetRecord | None:
        try:
            found = self._service.show_set(set_id)
        except NotFoundError:
            return None
        return found if found.state != "dissolved" else None

    def query(self) -> Sequence[SnapshotProperties]:
        with self._one_call:
            found = self._service.list_sets().sets
        return [
            properties_of(one, member.volume, member.path)
            for one in found
            if one.state == "ready" and not self._making.hides(one.id)
            for member in one.members
            if snapshot_id(one.id, member.volume) not in self._deleted
        ]

    def delete_snapshot(self, snapshot: UUID, force: bool) -> None:
        """The copies return to the mirror when the last snapshot of their set is deleted."""
        try:
            one = self.require_deletable(snapshot)
        except Error as problem:
            raise refusal_of(problem) from problem
        self._deleted.add(snapshot)
        left = {snapshot_id(one.id, member.volume) for member in one.members} - self._deleted
        if not left:
            self._making.owe(one.id)

    def require_deletable(self, snapshot: UUID) -> SetRecord:
        """The snapshot's set. Raises what speaks against bringing it back (a pin, a client)."""
        with self._one_call:
            one, _ = self._find(snapshot)
            self._service.set_plan(one.id, "resync")
        return one

    def revert_to_snapshot(self, snapshot: UUID, force_dismount: bool) -> None:
        """Begins."""
        _, volume = self._find(snapshot)
        self._reverts[volume] = in_thread(self.revert, snapshot, force_dismount)

    def query_revert_status(self, volume: str) -> None:
        """Waits for its end, however long it takes."""
        reverting = self._reverts.pop(volume, None)
        if reverting is None:
            raise failure(HResult.VSS_E_OBJECT_NOT_FOUND, f"no revert of volume {volume} runs")
        try:
            reverting.result()
        except Error as problem:
            raise refusal_of(problem) from problem

    def revert(self, snapshot: UUID, force_dismount: bool = False) -> None:
        """Roll the snapshot's volume back, on this thread."""
        with self._one_call:
            one, volume = self._find(snapshot)
            wish = RestoreWish((volume,), "copy", False, force_dismount, None)
            self._service.restore_set(one.id, wish)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """What the volumes refuse, as a provider's refusal; `problem` keeps it as it was."""
        try:
            yield
        except VssError:
            raise
        except Error as problem:
            self.problem = problem
            raise refusal_of(problem) from problem

    def _find(self, snapshot: UUID) -> tuple[SetRecord, str]:
        """Its set and its volume."""
        for one in self._service.list_sets().sets:
            for member in one.members:
                if snapshot_id(one.id, member.volume) == snapshot:
                    return one, member.volume
        raise failure(HResult.VSS_E_OBJECT_NOT_FOUND, f"snapshot {snapshot}")


class Shadow(IsolatedCoordinator):
    """The coordinator of a state folder, in a process of its own."""

    def __init__(self, provider: GroupProvider, state: Path) -> None:
        self._state = state
        self._places = places_of(StateFolder(state))
        super().__init__(places=self._places)
        self.provider = provider
        provider.consistency = self.consistency_of
        self.register_provider(provider)
        self.asked: dict[UUID, str] = {}  # writers that must take part: instance to its text

    def require(self, answered: Iterable[UUID], at: str) -> None:
        """WriterFailure unless all writers that were asked for are among these instances: a set
        that one of them had no part in is not what was asked for."""
        answers = set(answered)
        for instance, text in self.asked.items():
            if instance not in answers:
                name = text.partition("?")[0]
                raise failure(
                    HResult.VSS_E_WRITER_NOT_RESPONDING, f"writer '{name}' did not answer {at}"
                )

    def backup(
        self, request: BackupRequest, between: Between | Command | None = None
    ) -> BackupOutcome:
        """A failure of the volumes themselves is told as such, not as one of the provider. Copies
        that do not stay are back in the mirror when this returns. What the writers said of a set
        that stays is kept before `between` is called."""
        self.provider.clear()
        if not request.volumes:
            request = replace(
                request,
                volumes=volumes_of_components(
                    request, self.provider.groups(), self.writers, self._places
                ),
            )
        failed = True
        try:
            outcome = super().backup(request, self._keeping(request, between))
            failed = outcome.error is not None and not outcome.report.completed
        finally:
            left = self.provider.settle(failed=failed)
        if outcome.report.completed and _outlives(request) and outcome.report.document:
            # Once more: writers may have added to it at the end.
            self._save(outcome.report)
        error = self.provider.problem if failed else None
        error = error or outcome.error
        if error is not None and left is not None:
            error.message += f"; and copies are not back in the mirror: {left.message}"
        return replace(outcome, error=error or left)

    def _keeping(
        self, request: BackupRequest, between: Between | Command | None
    ) -> Between | Command | None:
        """`between`, with the document of a set that stays kept before it."""
        if not _outlives(request):
            return between

        def keeping(report: BackupReport) -> Copied | None:
            self._save(report)
            return between(report) if between is not None else None

        return keeping

    def _save(self, report: BackupReport) -> None:
        save_document(self._state, str(report.snapshot_set_id), report.document)

    def delete(self, id: UUID, type: ObjectType, *, force: bool = False) -> DeleteOutcome:
        """The copies are back in the mirror when this returns. RefusedError for one snapshot of
        several: the copies of a set go back together."""
        for one in self.provider.query():
            if one.snapshot_id == id and one.set_size > 1:
                raise RefusedError(
                    f"snapshot {id} is one of {one.set_size} of its set",
                    hint=f"delete the set: {one.set_id}",
                )
        outcome = super().delete(id, type, force=force)
        if outcome.failed_snapshot is not None:
            self.provider.require_deletable(outcome.failed_snapshot)
        if (left := self.provider.settle()) is not None:
            raise left
        return outcome

    def revert(self, snapshot: UUID, *, force_dismount: bool = False) -> None:
        """Without the coordinator: it has no say in it, and here Ctrl-C is heard."""
        self.provider.revert(snapshot, force_dismount)


def _outlives(request: BackupRequest) -> bool:
    """Whether the snapshots stay when the backup has ended well."""
    return bool(request.context & OUTLIVE)


@contextmanager
def open_shadow(
    service: Splits,
    writers: Sequence[str],
    state: Path,
    *,
    label: str | None = None,
    plex: str | None = None,
) -> Iterator[Shadow]:
    """A coordinator over the volumes of `service` with these writers (registry.spec_of). `state`:
    its state folder."""
    specs = [spec_of(text) for text in writers]
    provider = GroupProvider(service, label=label, plex=plex, journal=state)
    try:
        with Shadow(provider, state) as shadow:
            for text, one in zip(writers, specs, strict=True):
                arguments = dict(one.arguments)
                if one.place == "filesystem":
                    given = filter(None, [arguments.get("keep")])
                    arguments["keep"] = [*given, *_ground(service, state)]
                shadow.asked[shadow.register_writer(one.place, arguments)] = text
            yield shadow
    finally:
        left = provider.settle()  # while the volumes can be opened
    if left is not None:
        raise left


def _ground(service: Splits, state: Path) -> list[str]:
    """Folders that a split writes to: none of them may be frozen by a writer."""
    volumes = service.list_volumes().volumes.values()
    plexes = {str(Path(one.path).parent) for each in volumes for one in each.plexes if one.path}
    return [str(state.resolve()), *sorted(plexes)]


def create_set(
    service: Splits,
    group: str,
    writers: Sequence[str],
    state: Path,
    *,
    label: str | None = None,
    plex: str | None = None,
    prove: Callable[[str], bool] = lambda set_id: False,
) -> SetRecord:
    """Split the group with the writers frozen round it; the set's consistency is what they make
    of it. WriterFailure, with the set gone, when one of them refuses or does not answer in time;
    with the set kept, and said so, when that was after it had heard how the backup went.

    ``prove`` is called with the set's id once the copies exist. Only when it says yes do the
    writers hear that the backup succeeded, which lets them cut their logs; the set stays anyway."""
    volumes = GroupProvider(service).groups().get(group)
    if volumes is None:
        known = GroupProvider(service).groups()
        raise NotFoundError(
            f"no group {group!r}", hint=f"{close_match(group, known)}see: exshadow volume list"
        )
    with open_shadow(service, writers, state, label=label, plex=plex) as shadow:
        request = BackupRequest(
            volumes=volumes,
            context=Context.APP_ROLLBACK,
            state=BackupState(select_components=_can_choose(shadow)),
            retry=RetryLimits(tries=1),
        )

        def between(made: BackupReport) -> Copied:
            shadow.require((one.status.instance_id for one in made.writers), "at the split")
            # All have gone on well. A set that is proved, or on whose account they cut their logs,
            # must not go back into the mirror because this process was killed.
            shadow.provider.keep(made.snapshot_set_id)
            return Copied(prove(str(made.snapshot_set_id)))

        outcome = shadow.backup(request, between)
    if outcome.error is not None and outcome.report.completed:
        made = service.show_set(str(outcome.report.snapshot_set_id))
        outcome.error.message += f"; the set {made.group}@{made.label} was made, and stays"
    return service.show_set(str(outcome.check().snapshot_set_id))


def ask(service: Splits, writers: Sequence[str], state: Path) -> None:
    """WriterFailure unless each of the writers is there and can say what it has. Nobody is frozen,
    nothing is split."""
    with open_shadow(service, writers, state) as shadow:
        for entry in _answers(shadow):
            status = entry.status
            if status is not None and is_failure(status.failure):
                raise writer_failure(
                    status.name,
                    status.failure,
                    status.state,
                    application_message=status.application_message,
                )


def _answers(shadow: Shadow) -> list[WriterEntry]:
    found = shadow.writers()
    shadow.require((one.metadata.instance_id for one in found), "when it was asked what it has")
    return found


def _can_choose(shadow: Shadow) -> bool:
    """Whether to choose components: the document holds what writers say by component. But a writer
    without any would be left out, as one that could not say what it has: then all take part."""
    return all(one.metadata.components for one in _answers(shadow))
