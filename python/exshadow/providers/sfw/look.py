"""One look at the product: production, snap plexes, snapshot volumes of a set. Changes nothing.

A :class:`Look` keeps what it read, so that one answer is made from one reading. After any command
a new look is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exshadow.errors import NotFoundError
from exshadow.model import Member
from exshadow.providers.contract import Action, Source
from exshadow.providers.sfw.naming import device, device_parts, is_letter, opened_at
from exshadow.providers.sfw.naming import snapshot_volume as name_of_snapshot
from exshadow.providers.sfw.product import Pair, Plex, Product, Volume
from exshadow.providers.sfw.records import Part, Record, Records
from exshadow.providers.sfw.settings import Place, Settings


@dataclass(frozen=True, slots=True)
class Ground:
    """What every verb works with."""

    settings: Settings
    product: Product
    records: Records


@dataclass(frozen=True, slots=True)
class Copy:
    """One volume of a set, as read back. ``snapshot``: its snapshot volume, None when there is none
    here; ``plex``: the mirror's plex while it is part of production; ``home`` and ``where``: the
    disk groups of original and snapshot; ``clear``: groups that still know the relation."""

    source: Source
    production: Volume | None
    original: str
    name: str
    snapshot: Volume | None
    plex: Plex | None
    home: str
    where: str
    clear: tuple[str, ...]

    @property
    def away(self) -> bool:
        """Its snapshot volume is in another disk group than its original."""
        return self.where != self.home

    @property
    def exists(self) -> bool:
        """There is a snapshot volume, here or elsewhere."""
        return self.snapshot is not None or bool(self.clear)


def place_of(plexes: Sequence[Plex], place: Place) -> Plex | None:
    """The snap plex at the place; one that serves production is none."""
    return next(iter(all_at(plexes, place)), None)


def all_at(plexes: Sequence[Plex], place: Place) -> list[Plex]:
    """Every snap plex at the place: more than one by accident only."""
    return [
        plex for plex in plexes if place.holds(plex.name, plex.disks) and plex.state != "active"
    ]


def lies_at(volume: Volume, place: Place) -> bool:
    """Whether a snapshot volume was split off at the place."""
    return any(place.holds(plex.name, plex.disks) for plex in volume.plexes)


class Look:
    """One reading."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._volumes: dict[tuple[str, str], Volume | None] = {}
        self._pairs: dict[str, tuple[Pair, ...]] = {}

    def volume(self, name: str, group: str = "") -> Volume | None:
        """As :meth:`Product.volume`."""
        key = (name, group)
        if key not in self._volumes:
            found = self.ground.product.volume(name, group)
            self._volumes[key] = found
            if found:  # a letter and a name are the same volume
                self._volumes.setdefault((found.name, found.group), found)
        return self._volumes[key]

    def pairs(self, group: str) -> tuple[Pair, ...]:
        """As :meth:`Product.pairs`."""
        if group not in self._pairs:
            self._pairs[group] = self.ground.product.pairs(group)
        return self._pairs[group]

    def split_of(self, volume: Volume) -> int:
        """How many of its mirrors are sets now: each has one snap plex, which a snapback brings
        back, so that it counts against the volume's limit (deduced; the product may let more be
        made, and then refuse the snapback)."""
        mine = (volume.group, volume.name)
        return len({one.snapshot for one in self.pairs(volume.group) if one.original == mine})

    def by_path(self, source: Source) -> Volume | None:
        """The volume that has this letter, folder or device path now."""
        parts = device_parts(source.path)
        if parts:
            return self.volume(parts[1], parts[0])
        return self.volume(source.path.rstrip("\\") if is_letter(source.path) else source.path)

    def production(self, source: Source, group: str) -> Volume | None:
        """The same; by the records of the policy's group while its letter is taken away."""
        if found := self.by_path(source):
            return found
        for record in self.ground.records.all():
            part = record.part(source.name) if record.policy_group == group else None
            if part and (found := self.volume(part.original, part.group)):
                return found
        return None

    def needed(self, source: Source, group: str) -> Volume:
        """NotFoundError when there is none."""
        found = self.production(source, group)
        if found is None:
            raise NotFoundError(
                f"{source.path} ({source.name}) is no volume of Storage Foundation on this host",
                hint="look at it with: vxvol volinfo",
            )
        return found

    def plex(self, source: Source, group: str, mirror: str) -> Plex | None:
        """The mirror's snap plex while it is part of production."""
        return next(iter(self.plexes(source, group, mirror)), None)

    def plexes(self, source: Source, group: str, mirror: str) -> list[Plex]:
        """The same, with any that came beside it by accident."""
        production = self.production(source, group)
        place = self.ground.settings.place(mirror, source.name)
        return all_at(production.plexes, place) if production else []

    def copies(self, action: Action, record: Record | None) -> list[Copy]:
        """Every volume of the action's set."""
        return [self._copy(action, source, record) for source in action.volumes]

    def _copy(self, action: Action, source: Source, record: Record | None) -> Copy:
        part = record.part(source.name) if record else None
        production = self.by_path(source)
        if part:
            production = production or self.volume(part.original, part.group)
        else:
            production = production or self.production(source, action.group)
        part = part or self._guess(action, source, production)
        pairs = [one for one in self.pairs(part.group) if one.snapshot[1] == part.snapshot]
        where = pairs[0].snapshot[0] if pairs else part.group
        snapshot = self.volume(part.snapshot, where)
        clear = {part.group} if pairs else set()
        if where != part.group and snapshot is not None:
            clear |= {where} if any(
                one.snapshot[1] == part.snapshot for one in self.pairs(where)
            ) else set()  # fmt: skip
        elif snapshot is None:
            where, snapshot = self._moved(part, where)
            if where != part.group and snapshot and self._known_in(where, part):
                clear.add(where)
        place = self.ground.settings.place(action.mirror, source.name)
        plex = place_of(production.plexes, place) if production else None
        return Copy(source, production, part.original, part.snapshot, snapshot, plex,
                    part.group, where, tuple(sorted(clear)))  # fmt: skip

    def _known_in(self, group: str, part: Part) -> bool:
        return any(one.snapshot[1] == part.snapshot for one in self.pairs(group))

    def _moved(self, part: Part, where: str) -> tuple[str, Volume | None]:
        """A snapshot volume in a group of which its original's group knows nothing any more: only
        one side was cleared."""
        for name, group in sorted(self.ground.product.groups().items()):
            if name == part.group or not group.imported or group.kind != "sfw":
                continue
            if found := self.volume(part.snapshot, name):
                return name, found
        return where, None

    def _guess(self, action: Action, source: Source, production: Volume | None) -> Part:
        """Without a record: the names that the split would have taken."""
        if production is None:
            raise NotFoundError(
                f"{source.path} ({source.name}) is no volume of Storage Foundation on this host, "
                f"and nothing is recorded of set {action.set_id}",
                hint="look at it with: vxvol volinfo",
            )
        return Part(
            source.name,
            production.group,
            production.name,
            name_of_snapshot(action.set_id, source.name),
            "",
        )


def members(ground: Ground, action: Action, copies: Sequence[Copy]) -> tuple[Member, ...]:
    """As the contract tells them: with a path where the copy is mounted."""
    found = []
    for copy in copies:
        path = ""
        if copy.snapshot and copy.snapshot.places:
            place = copy.snapshot.places[0]
            at = place if is_letter(place) else device(copy.snapshot.group, copy.snapshot.name)
            path = opened_at(ground.settings.devices, at)
        size = copy.snapshot.size if copy.snapshot else copy.source.size
        found.append(Member(copy.source.name, action.mirror, path, size))
    return tuple(found)
