"""A VSS provider of a Windows host as a :class:`~exshadow.providers.contract.Provider`.

VSS is its own requestor: one backup of the service makes the set, with Windows' writers when the
setting says so. A mirror is a slot that a set occupies; there is nothing to be synchronised. A
refresh is a new copy, as VSS cannot resynchronise a copy from its source.

VSS gives a set its id only while making it, and keeps no word of who asked. A slot is therefore
marked before; the one set that was made while a killed split may have run, of the same volumes, by
the same VSS provider and with the same attributes, and of no other slot, is what it left, and is
deleted before the split is made again. Where several fit nobody can tell: all stay, and are named.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from exshadow.commands import CommandRunner, require_private_file
from exshadow.errors import NotFoundError, ProviderError, RefusedError, UnsupportedError
from exshadow.model import ChangedMember, Member
from exshadow.providers.contract import (
    Action,
    Mirror,
    MirrorState,
    Source,
    Stage,
    Standing,
    Verb,
)
from exshadow.providers.facts import Capability, CopyKind
from exshadow.providers.vss.background import Background
from exshadow.providers.vss.copying import copy_back, place
from exshadow.providers.vss.records import Slot, Slots
from exshadow.providers.vss.settings import Kind, RestoreWay, VssSettings, parse
from exshadow.vss.procedures import BackupReport, BackupRequest, RetryLimits
from exshadow.vss.service import VssService
from exshadow.vss.tables import BreakFlags, ObjectType, SnapshotAttributes
from exshadow.vss.values import SYSTEM_PROVIDER_ID, BackupState, Context, SnapshotProperties

DOCUMENT = "components.xml"
_GUID = re.compile(r"(?i)[\\/]Volume\{([0-9a-f-]{36})\}\\?$")
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


def build(settings: Mapping[str, str]) -> VssProvider:
    """Over the service of this host. UnsupportedError where there is no Windows."""
    from exshadow.vss.tool import find_tool

    mine = parse(settings)
    tool = find_tool(mine.tool or None, mine.launcher or None, os.environ)
    if tool is None:
        raise UnsupportedError(
            "there is no Volume Shadow Copy Service here: this is no Windows host",
            hint="choose another provider, or name exshadow-vss.exe: tool = ... in [provider.vss]",
        )
    if mine.tool:
        require_private_file(mine.tool)
    CommandRunner(programs={"launcher": mine.launcher}).check("launcher")
    return VssProvider(mine, tool)


@dataclass(frozen=True, slots=True)
class VssProviderProperties:
    """A registered VSS provider; ``is_system``: Windows' own."""

    provider_id: str
    name: str
    is_system: bool


class VssProvider:
    """``service``: Windows', or whoever plays it."""

    name = "vss"
    asks_writers = True

    def __init__(self, settings: VssSettings, service: VssService) -> None:
        self._settings = settings
        self._service = service
        self._slots = Slots(settings.sets)
        self._background = Background(settings)

    def capability(self, volumes: Sequence[Source]) -> Capability:
        """As the kind that is asked for; the service takes several volumes at one instant."""
        full = self._settings.kind is Kind.PLEX
        kind = CopyKind.PLEX if full else CopyKind.DIFFERENTIAL
        return Capability(kind, full, False, False, True, False)

    def identity(self, volume: Source) -> str:
        """The GUID of the volume's name, where the path is that name: letters and folders are the
        host's. Whether two hosts see one shared disk under the same GUID is unconfirmed."""
        found = _GUID.search(volume.path)
        return found[1].lower() if found else ""

    def start(self, action: Action) -> None:
        """See :class:`Provider`."""
        starts: Mapping[Verb, Callable[[Action], None]] = {
            Verb.PREPARE: self._prepare,
            Verb.SPLIT: self._split,
            Verb.RESYNC: self._give_up,
            Verb.RESTORE: self._restore,
            Verb.PROMOTE: self._promote,
            Verb.DISSOLVE: self._dissolve,
            Verb.ABORT: self._abort,
            Verb.PRESENT: lambda action: self._show(action, shown=True),
            Verb.UNPRESENT: lambda action: self._show(action, shown=False),
            Verb.LEND: self._cannot_lend,
            Verb.RECALL: self._cannot_lend,
        }
        starts[action.verb](action)

    def standing(self, action: Action) -> Standing:
        """See :class:`Provider`."""
        slot = self._slots.read(action.group, action.mirror)
        mine = slot if slot is not None and slot.set_id == action.set_id else None
        match action.verb:
            case Verb.PREPARE:
                return Standing(Stage.ABSENT if slot is None else Stage.DONE)
            case Verb.ABORT | Verb.RESYNC | Verb.DISSOLVE:
                left = mine if action.set_id else slot
                return self._ended(action, left) if left is not None else Standing(Stage.DONE)
            case Verb.SPLIT:
                return self._made(action, mine)
            case Verb.PRESENT:
                made = self._made(action, mine)
                shown = mine is not None and mine.presented
                return made if shown or made.stage is not Stage.DONE else Standing(Stage.ABSENT)
            case Verb.UNPRESENT:
                shown = mine is not None and mine.presented
                return Standing(Stage.ABSENT if shown else Stage.DONE)
            case Verb.RESTORE:
                return self._restored(action, mine)
            case _:
                return Standing(Stage.ABSENT)

    def quieten(self, action: Action, tell: Callable[[str], None]) -> None:
        """Before a split: wait for copies of the group that are still made in the background, as no
        other copy can be made meanwhile. What is waited for is told."""
        busy = [
            (slot, told)
            for slot in self._slots.all()
            if slot.group == action.group and (told := self._background.told(slot))
        ]
        for slot, told in busy:
            tell(f"waits for mirror {slot.mirror}: it {told}")
        self._background.wait([slot for slot, _ in busy], "make the next copy")

    def mirrors(self, group: str, volumes: Sequence[Source]) -> tuple[Mirror, ...]:
        """Every slot of the group. A set whose snapshots are gone is broken: Windows deletes the
        oldest when their storage is full."""
        there = {str(one.snapshot_id) for one in self._service.snapshots()}
        found = []
        for slot in self._slots.all():
            if slot.group != group:
                continue
            if not slot.set_id:
                found.append(Mirror(slot.mirror, MirrorState.READY))
            elif not slot.is_set or set(slot.snapshots.values()) <= there:
                state = MirrorState.SPLIT if slot.is_set else MirrorState.BROKEN
                detail = self._background.told(slot) if slot.is_set else "a split was interrupted"
                found.append(Mirror(slot.mirror, state, set_id=slot.set_id, detail=detail))
            else:
                gone = "Windows has deleted snapshots of it"
                found.append(
                    Mirror(slot.mirror, MirrorState.BROKEN, set_id=slot.set_id, detail=gone)
                )
        return tuple(found)

    def changed(self, action: Action) -> tuple[ChangedMember, ...] | None:
        """VSS shows no map."""
        return None

    def documents(self, action: Action) -> Mapping[str, bytes]:
        """The Backup Components Document, which a restore of the writers' data needs."""
        slot = self._slots.of_set(action.group, action.mirror, action.set_id)
        return {DOCUMENT: slot.document.encode()} if slot.document else {}

    def providers(self) -> list[VssProviderProperties]:
        """The VSS providers that are registered with the service."""
        return [
            VssProviderProperties(
                str(one.provider_id), one.name, one.provider_id == SYSTEM_PROVIDER_ID
            )
            for one in self._service.providers()
        ]

    # --- making and dropping

    def _prepare(self, action: Action) -> None:
        if self._slots.read(action.group, action.mirror) is None:
            self._slots.write(Slot(action.group, action.mirror))

    def _split(self, action: Action) -> None:
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
        originals = {self._named(one.original_volume): one for one in report.snapshots}
        made = {one.name: originals.get(self._named(one.path)) for one in action.volumes}
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
        wanted = {self._named(one.path) for one in volumes}
        sets: dict[UUID, list[SnapshotProperties]] = {}
        for one in self._service.snapshots():
            sets.setdefault(one.set_id, []).append(one)
        return [
            set_id
            for set_id, found in sets.items()
            if str(set_id) not in others
            and {self._named(one.original_volume) for one in found} == wanted
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

    def _give_up(self, action: Action) -> None:
        """The set goes, the slot stays."""
        slot = self._slots.read(action.group, action.mirror)
        if slot is None or slot.set_id != action.set_id:
            return
        self._drop(slot, action.volumes)
        self._slots.write(slot.free())

    def _abort(self, action: Action) -> None:
        slot = self._slots.read(action.group, action.mirror)
        if slot is None:
            return
        if action.set_id:
            self._give_up(action)
            return
        if slot.set_id:
            raise RefusedError(f"mirror {action.mirror} holds set {slot.set_id}")
        self._slots.remove(action.group, action.mirror)

    def _drop(self, slot: Slot, volumes: Sequence[Source]) -> None:
        if not slot.vss_set:
            self._undo_half(slot, volumes)
        else:
            self._delete_rest(slot.vss_set)

    def _dissolve(self, action: Action) -> None:
        """Full copies stay as volumes of their own that VSS knows no more."""
        if self._settings.kind is not Kind.PLEX:
            raise UnsupportedError(
                "a differential copy cannot outlive its relation: it lies on its source's blocks",
                hint="delete it with: exshadow snapshot resync SET",
            )
        slot = self._slots.of_set(action.group, action.mirror, action.set_id)
        if any(str(one.set_id) == slot.vss_set for one in self._service.snapshots()):
            self._service.break_set(UUID(slot.vss_set), BreakFlags.MAKE_READ_WRITE)
        self._slots.remove(action.group, action.mirror)

    def _promote(self, action: Action) -> None:
        raise UnsupportedError(
            "VSS gives a copy no production's place",
            hint="restore it: exshadow restore SET; or dissolve it and give it the drive letter",
        )

    def _cannot_lend(self, action: Action) -> None:
        raise UnsupportedError(
            "copies of VSS stay on their host: no transportable sets are made",
            hint="hand it to a backup program here: hooks.hand-over of the policy",
        )

    def _show(self, action: Action, *, shown: bool) -> None:
        """A snapshot's device can be read as long as it exists: only who reads is remembered. One
        that is still copied is waited for: a check would slow it down, and be slow itself."""
        if not shown and self.standing(action).stage is Stage.DONE:
            return
        slot = self._slots.of_set(action.group, action.mirror, action.set_id)
        if shown:
            self._background.wait([slot], "read it")
        self._slots.write(replace(slot, presented=shown))

    # --- what is made

    def _ended(self, action: Action, left: Slot) -> Standing:
        """Snapshots go one by one: a set that lacks some is no set any more."""
        if action.set_id and left.is_set:
            there = {str(one.snapshot_id) for one in self._service.snapshots()}
            if not set(left.snapshots.values()) <= there:
                return Standing(Stage.HALF, "some of its snapshots are gone")
        return Standing(Stage.ABSENT)

    def _made(self, action: Action, mine: Slot | None) -> Standing:
        if mine is None:
            return Standing(Stage.ABSENT)
        if not mine.is_set:
            return Standing(Stage.HALF, "the service was being asked")
        devices = {str(one.snapshot_id): one.device for one in self._service.snapshots()}
        gone = [name for name, one in mine.snapshots.items() if one not in devices]
        if gone:
            return Standing(Stage.FAILED, f"the snapshot of {', '.join(gone)} is gone")
        found = self._members(action, mine, devices)
        told = self._background.told(mine) if action.verb is Verb.SPLIT else ""
        return Standing(Stage.DONE, told, members=found, consistency=mine.consistency)

    def _members(
        self, action: Action, slot: Slot, devices: Mapping[str, str]
    ) -> tuple[Member, ...]:
        """Snapshots are devices that can be read as soon as they exist."""
        return tuple(
            Member(
                one.name,
                action.mirror,
                place(self._settings.devices, devices[slot.snapshots[one.name]]),
                one.size,
            )
            for one in action.volumes
        )

    def _restored(self, action: Action, mine: Slot | None) -> Standing:
        if mine is None or not mine.is_set:
            return Standing(Stage.ABSENT)
        if action.id not in mine.restored:
            return Standing(Stage.ABSENT)
        left = [one.name for one in action.volumes if one.name not in mine.restored[action.id]]
        if not left:
            return Standing(Stage.DONE)
        return Standing(Stage.HALF, f"left: {', '.join(left)}")

    def _restore(self, action: Action) -> None:
        slot = self._slots.of_set(action.group, action.mirror, action.set_id)
        devices = {str(one.snapshot_id): one for one in self._service.snapshots()}
        copies: dict[str, SnapshotProperties] = {}
        for one in action.volumes:  # all are judged before the first is touched
            snapshot = devices.get(slot.snapshots.get(one.name, ""))
            if snapshot is None:
                raise NotFoundError(
                    f"the snapshot of {one.name} is gone", hint="see: exshadow vss snapshots"
                )
            if self._settings.restore is RestoreWay.REVERT:
                self._refuse_newer(snapshot, devices.values())
            copies[one.name] = snapshot
        done = slot.restored.get(action.id, [])
        slot = self._has_restored(slot, action, done)  # begun: from here on it is gone on with
        for one in action.volumes:
            if one.name in done:
                continue
            self._bring_back(copies[one.name], one)
            done = [*done, one.name]
            slot = self._has_restored(slot, action, done)

    def _has_restored(self, slot: Slot, action: Action, done: list[str]) -> Slot:
        restored = {**slot.restored, action.id: done}
        return self._slots.write(replace(slot, restored=restored))

    def _bring_back(self, snapshot: SnapshotProperties, volume: Source) -> None:
        if self._settings.restore is RestoreWay.REVERT:
            self._service.revert(snapshot.snapshot_id)
        else:
            folder = self._settings.devices
            copy_back(place(folder, snapshot.device), place(folder, volume.path))

    def _refuse_newer(
        self, snapshot: SnapshotProperties, every: Iterable[SnapshotProperties]
    ) -> None:
        """Windows' own provider loses all newer copies of a volume when it reverts to an older."""
        if snapshot.provider_id != SYSTEM_PROVIDER_ID:
            return
        volume = self._named(snapshot.original_volume)
        newer = [
            one
            for one in every
            if one.provider_id == SYSTEM_PROVIDER_ID
            and self._named(one.original_volume) == volume
            and one.created > snapshot.created
        ]
        if newer:
            raise RefusedError(
                f"reverting {snapshot.original_volume} would lose {len(newer)} newer copies of it",
                hint='copy it back instead: restore = "copy" in [provider.vss]; or delete them',
            )

    def _named(self, volume: str) -> str:
        """Volumes compare without case and closing backslash."""
        return volume.rstrip("\\").lower()
