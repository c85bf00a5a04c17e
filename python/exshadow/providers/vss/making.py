"""Making the sets of slots, and undoing what a killed try left of one.

VSS gives a set its id only while making it, and keeps no word of who asked. A slot is therefore
marked before; the one set that was made while a killed split may have run, of the same volumes, by
the same VSS provider and with the same attributes, and of no other slot, is what it left, and is
deleted before the split is made again. Where several fit nobody can tell: all stay, and are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from exshadow.errors import ProviderError, RefusedError
from exshadow.providers.contract import Action, Source
from exshadow.providers.vss.records import Slot, Slots
from exshadow.providers.vss.settings import Kind, VssSettings
from exshadow.vss.procedures import BackupReport, BackupRequest, RetryLimits
from exshadow.vss.service import VssService
from exshadow.vss.tables import ObjectType, SnapshotAttributes
from exshadow.vss.values import BackupState, Context, SnapshotProperties

_CLOCKS = timedelta(seconds=5)  # that a snapshot's time may lie before ours
_TRY = timedelta(minutes=15)  # of one try: two minutes for the slot, a freeze, ten to the next
_ASKED = (  # attributes that the requestor chooses: those of the context, and the kind
    SnapshotAttributes.PERSISTENT
    | SnapshotAttributes.CLIENT_ACCESSIBLE
    | SnapshotAttributes.NO_AUTO_RELEASE
    | SnapshotAttributes.NO_WRITERS
    | SnapshotAttributes.TRANSPORTABLE
    | SnapshotAttributes.PLEX
)


def named(volume: str) -> str:
    """Volumes compare without case and closing backslash."""
    return volume.rstrip("\\").lower()


class Making:
    """Asks ``service`` for the sets of ``slots``, and deletes them."""

    def __init__(self, settings: VssSettings, service: VssService, slots: Slots) -> None:
        self._settings = settings
        self._service = service
        self._slots = slots

    def split(self, action: Action) -> None:
        slot = self._slots.read(action.group, action.mirror)
        if slot is None:
            raise RefusedError(
                f"mirror {action.mirror} of {action.group} is not prepared", hint="prepare it first"
            )
        if slot.is_set and slot.set_id == action.set_id:
            return
        if slot.is_set:
            raise RefusedError(
                f"mirror {action.mirror} holds set {slot.set_id}", hint="resync or delete it first"
            )
        self._undo_half(slot, action.volumes)
        slot = self._slots.write(slot.making(action.set_id, self._context(), self._provider_id()))
        report = self._backup(slot, action)
        originals = {named(one.original_volume): one for one in report.snapshots}
        made = {one.name: originals.get(named(one.path)) for one in action.volumes}
        if missing := [name for name, one in made.items() if one is None]:
            self._delete(report.snapshot_set_id)
            raise ProviderError(f"the service made no snapshot of {', '.join(missing)}")
        ids = {name: str(one.snapshot_id) for name, one in made.items() if one is not None}
        vss_set = str(report.snapshot_set_id)
        slot = replace(slot, vss_set=vss_set, snapshots=ids, document=report.document)
        consistency = "application" if self._settings.writers else "crash"
        self._slots.write(replace(slot, consistency=consistency))

    def _backup(self, slot: Slot, action: Action) -> BackupReport:
        """Ask the service. When it fails, the slot says until when a set may be ours."""
        try:
            return self._service.backup(self._request(action)).check()
        except Exception:
            self._slots.write(replace(slot, ended=datetime.now(UTC).isoformat()))
            raise

    def _context(self) -> int:
        context = int(Context.APP_ROLLBACK if self._settings.writers else Context.NAS_ROLLBACK)
        return context | int(SnapshotAttributes.PLEX if self._settings.kind is Kind.PLEX else 0)

    def _request(self, action: Action) -> BackupRequest:
        return BackupRequest(
            volumes=[one.path for one in action.volumes],
            provider=self._settings.provider,
            context=self._context(),
            state=BackupState(select_components=False),
            retry=RetryLimits(tries=self._settings.tries),
        )

    def _undo_half(self, slot: Slot, volumes: Sequence[Source]) -> None:
        """Delete what an interrupted split of this slot left with the service. RefusedError while
        several sets may be that; when the administrator has deleted all but one, that one stays."""
        if not slot.begun:
            return
        if slot.dropping:
            self._delete_rest(slot.dropping)
            return
        left = self._left(slot, volumes)
        if len(left) > 1:
            ids = sorted(str(one) for one in left)
            self._slots.write(replace(slot, doubtful=ids))
            raise RefusedError(
                f"the split of mirror {slot.mirror} of {slot.group} was interrupted, and "
                f"{len(ids)} VSS sets may be what it left: {', '.join(ids)}",
                hint="find out which is nobody's (vssadmin list shadows), delete it, then repeat",
            )
        for set_id in left:
            if str(set_id) not in slot.doubtful:
                # With one snapshot deleted nothing would tell any more that the rest is ours.
                self._slots.write(replace(slot, dropping=str(set_id)))
                self._delete(set_id)

    def _delete_rest(self, vss_set: str) -> None:
        if any(str(one.set_id) == vss_set for one in self._service.snapshots()):
            self._delete(UUID(vss_set))

    def _left(self, slot: Slot, volumes: Sequence[Source]) -> list[UUID]:
        """Sets that the interrupted split may have made: all that can be compared fits."""
        others = {one.vss_set for one in self._slots.all()}
        wanted = {named(one.path) for one in volumes}
        sets: dict[UUID, list[SnapshotProperties]] = {}
        for one in self._service.snapshots():
            sets.setdefault(one.set_id, []).append(one)
        return [
            set_id
            for set_id, found in sets.items()
            if str(set_id) not in others
            and {named(one.original_volume) for one in found} == wanted
            and all(self._may_be_of(slot, one) for one in found)
        ]

    def _may_be_of(self, slot: Slot, snapshot: SnapshotProperties) -> bool:
        begun = datetime.fromisoformat(slot.begun)
        ended = datetime.fromisoformat(slot.ended) if slot.ended else begun
        if not slot.ended:
            ended += self._settings.tries * _TRY
        if not begun - _CLOCKS <= snapshot.created_at <= ended + _CLOCKS:
            return False
        if (int(snapshot.attributes) ^ slot.context) & int(_ASKED):
            return False
        return slot.provider in ("", str(snapshot.provider_id))

    def _provider_id(self) -> str:
        """Of the provider that the setting names, "" while the service chooses."""
        wanted = self._settings.provider.strip("{}").casefold()
        for one in self._service.providers() if wanted else ():
            if wanted in (str(one.provider_id), one.name.casefold()):
                return str(one.provider_id)
        return wanted

    def _delete(self, set_id: UUID) -> None:
        outcome = self._service.delete(set_id, ObjectType.SNAPSHOT_SET, force=True)
        if outcome.failed_snapshot is not None:
            raise ProviderError(
                f"snapshot {outcome.failed_snapshot} cannot be deleted: {outcome.failure.name}",
                hint="is it mounted or exposed? Then repeat",
            )

    def drop(self, slot: Slot, volumes: Sequence[Source]) -> None:
        if not slot.vss_set:
            self._undo_half(slot, volumes)
        else:
            self._delete_rest(slot.vss_set)
