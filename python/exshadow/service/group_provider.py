"""The provider of a state folder's volumes: it splits one plex off every volume of a group.

The split is done where the volumes are open: here, in the daemon, or by another product through
its contract.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol
from uuid import UUID

from exshadow.errors import Error, NotFoundError
from exshadow.model import JobRecord, Plan, SetRecord, VolumeRecord
from exshadow.service.making import Makings
from exshadow.service.restore import Restored, RestoreWish
from exshadow.service.shadow_facts import PROVIDER_ID, properties_of, refusal_of, snapshot_id
from exshadow.service.snapshots import Listing, Split
from exshadow.service.state import Survey
from exshadow.vss.errors import VssError, failure
from exshadow.vss.isolated import in_thread
from exshadow.vss.provider import Provider, SnapshotRequest
from exshadow.vss.tables import HResult, SnapshotAttributes
from exshadow.vss.values import SnapshotProperties


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
