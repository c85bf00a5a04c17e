"""Which vdisks of the array are a group's: its sources, and the copies that are ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from exshadow.errors import NotFoundError, ProviderError, RefusedError
from exshadow.model import Member
from exshadow.providers.contract import Action, Source
from exshadow.providers.eva import names
from exshadow.providers.eva.array import Array, View
from exshadow.providers.eva.devices import Devices
from exshadow.providers.eva.memory import Memory
from exshadow.providers.eva.names import CopyName, Role
from exshadow.providers.eva.objects import Form, MirrorPhase, Vdisk
from exshadow.providers.eva.settings import EvaSettings


@dataclass(frozen=True, slots=True)
class Copy:
    """One of ours: what its name says and what it is."""

    name: CopyName
    vdisk: Vdisk

    @property
    def restoring(self) -> bool:
        """A mirrorclone says so; others show a restore's progress. One of 0 is none: it may be what
        the array shows of a vdisk that nobody restores."""
        if self.vdisk.form is Form.MIRRORCLONE:
            return self.vdisk.phase is MirrorPhase.RESTORING
        return self.vdisk.restored is not None and 0 < self.vdisk.restored < 100

    def mirrors_another(self, source: Vdisk) -> bool:
        """A mirrorclone of another vdisk, of production before a promotion say; one whose record
        names no parent is believed."""
        parent = self.vdisk.parent if self.vdisk.form is Form.MIRRORCLONE else ""
        return bool(parent) and parent not in (source.path, source.path.removesuffix("\\ACTIVE"))


class Finding:
    """Reads views; changes nothing on the array."""

    def __init__(self, settings: EvaSettings, array: Array, devices: Devices) -> None:
        self.settings = settings
        self.array = array
        self.devices = devices
        self.memory = Memory(settings)
        self._armed = False

    def source(self, view: View, one: Source) -> Vdisk:
        """The vdisk behind a production volume. NotFoundError when the array does not have it."""
        wwn = self.devices.id_of(one.path)
        found = view.by_wwn(wwn)
        if found is None:
            raise NotFoundError(
                f"array {self.settings.system} has no vdisk with the id {wwn} of {one.path}",
                hint="is the volume on this array?",
            )
        return found

    def sources(self, view: View, action: Action) -> dict[str, Vdisk]:
        """By volume name. RefusedError when two volumes are one vdisk: restoring the one (a
        database) would take the other (its logs) along."""
        found: dict[str, Vdisk] = {}
        for one in action.volumes:
            vdisk = self.source(view, one)
            other = next((name for name, held in found.items() if held.id == vdisk.id), None)
            if other is not None:
                raise RefusedError(
                    f"volumes {other} and {one.name} are the same vdisk {vdisk.name}",
                    hint="put them on vdisks of their own: they cannot be restored apart",
                )
            found[one.name] = vdisk
        return found

    def copies(
        self, view: View, action: Action, *roles: Role, of_set: bool = False
    ) -> dict[str, Copy]:
        """Ours of this mirror, by volume name; with ``of_set`` only those of the action's set."""
        return dict(self.all_copies(view, action, *roles, of_set=of_set))

    def all_copies(
        self, view: View, action: Action, *roles: Role, of_set: bool = False
    ) -> list[tuple[str, Copy]]:
        """The same, each of them: a volume may have several. A set's copies are known by the set's
        id, wherever production is now; others by their source too, for another host's group of the
        same name has copies of the same names."""
        tag = names.digest(action.set_id, 8)
        return [
            (volume, one)
            for volume, one in self.owned(view, action.group, action.volumes, any_source=of_set)
            if one.name.mirror == action.mirror
            and one.name.role in roles
            and (not of_set or one.name.set == tag)
        ]

    def owned(
        self, view: View, group: str, volumes: Iterable[Source], *, any_source: bool = False
    ) -> list[tuple[str, Copy]]:
        """Copies of the group's volumes, of all mirrors."""
        places = {names.place(group, one.name): one for one in volumes}
        origins: dict[str, set[str]] = {}
        if not any_source:
            origins = {
                one.name: {names.origin(wwn) for wwn in self.known_sources(group, one)}
                for one in places.values()
            }
        found = []
        for vdisk in view.vdisks:
            name = names.parse(vdisk.name)
            volume = places[name.place].name if name and name.place in places else None
            if name and volume and (any_source or name.source in origins[volume]):
                found.append((volume, Copy(name, vdisk)))
        return found

    def known_sources(self, group: str, one: Source) -> set[str]:
        """Page-83 ids of the vdisks that the volume is, or was when this host made copies of it."""
        found = self.memory.sources(group, one.name)
        with contextlib.suppress(LookupError):  # production gone: what is remembered remains
            found.add(self.devices.id_of(one.path))
        return found

    def remember(self, action: Action, sources: Mapping[str, Vdisk]) -> None:
        """Before copies are made: whose they are, should production become another vdisk."""
        for volume, one in sources.items():
            self.memory.remember_source(action.group, volume, one.wwn)

    def whole_set(self, view: View, action: Action) -> dict[str, Copy]:
        """The set's copies of every volume. NotFoundError when some are missing."""
        found = self.copies(view, action, Role.SET, Role.DISSOLVED, Role.PROMOTED, of_set=True)
        missing = [one.name for one in action.volumes if one.name not in found]
        if missing:
            raise NotFoundError(
                f"set {action.label or action.set_id} has no copy of {', '.join(missing)} "
                f"in mirror {action.mirror}",
                hint="it was resynchronised, removed, or never finished",
            )
        return found

    def members(self, action: Action, found: Mapping[str, Copy]) -> tuple[Member, ...]:
        """With paths where the copies are devices of this host."""
        return tuple(
            Member(
                one.name,
                action.mirror,
                self.devices.path_of(found[one.name].vdisk.wwn)
                if found[one.name].vdisk.presentations
                else "",
                one.size or found[one.name].vdisk.size,
            )
            for one in action.volumes
        )

    def path(self, identity: str) -> str:
        """The full name that this vdisk has now (renaming changes it)."""
        for one in self.array.known().vdisks:
            if one.id == identity:
                return one.path
        raise ProviderError("a vdisk went away", hint="somebody else deleted it")
