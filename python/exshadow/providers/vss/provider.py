"""A VSS provider of a Windows host as a :class:`~exshadow.providers.contract.Provider`.

VSS is its own requestor: one backup of the service makes the set, with Windows' writers when the
setting says so. A mirror is a slot that a set occupies; there is nothing to be synchronised. A
refresh is a new copy, as VSS cannot resynchronise a copy from its source.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from exshadow.commands import CommandRunner, require_private_file
from exshadow.errors import RefusedError, UnsupportedError
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
from exshadow.providers.vss.copying import place
from exshadow.providers.vss.making import Making
from exshadow.providers.vss.records import Slot, Slots
from exshadow.providers.vss.restoring import Restoring
from exshadow.providers.vss.settings import Kind, VssSettings, parse
from exshadow.vss.service import VssService
from exshadow.vss.tables import BreakFlags
from exshadow.vss.values import SYSTEM_PROVIDER_ID

DOCUMENT = "components.xml"
_GUID = re.compile(r"(?i)[\\/]Volume\{([0-9a-f-]{36})\}\\?$")


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
        self._making = Making(settings, service, self._slots)
        self._restoring = Restoring(settings, service, self._slots)
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
            Verb.SPLIT: self._making.split,
            Verb.RESYNC: self._give_up,
            Verb.RESTORE: self._restoring.start,
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
                return self._restoring.standing(action, mine)
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

    def _give_up(self, action: Action) -> None:
        """The set goes, the slot stays."""
        slot = self._slots.read(action.group, action.mirror)
        if slot is None or slot.set_id != action.set_id:
            return
        self._making.drop(slot, action.volumes)
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
