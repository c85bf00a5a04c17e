"""The provider for Storage Foundation for Windows: verbs to their modules, and the mirrors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from exshadow.command_log import CommandLog
from exshadow.commands import CommandRunner
from exshadow.errors import NotFoundError
from exshadow.model import ChangedMember
from exshadow.providers.contract import Action, Mirror, MirrorState, Source, Standing, Verb
from exshadow.providers.facts import Capability, CopyKind
from exshadow.providers.sfw import (
    abandoning,
    dropping,
    lending,
    preparing,
    presenting,
    promoting,
    restoring,
    resyncing,
    splitting,
)
from exshadow.providers.sfw.look import Ground, Look, lies_at, place_of
from exshadow.providers.sfw.naming import device, is_letter, opened_at
from exshadow.providers.sfw.product import Product, Volume
from exshadow.providers.sfw.records import Records
from exshadow.providers.sfw.settings import PROGRAMS, read
from exshadow.providers.templates import load


@dataclass(frozen=True, slots=True)
class _Way:
    standing: Callable[[Ground, Action], Standing]
    start: Callable[[Ground, Action], None]


_WAYS = {
    Verb.PREPARE: _Way(preparing.standing, preparing.start),
    Verb.SPLIT: _Way(splitting.standing, splitting.start),
    Verb.RESYNC: _Way(resyncing.standing, resyncing.start),
    Verb.RESTORE: _Way(restoring.standing, restoring.start),
    Verb.PROMOTE: _Way(promoting.standing, promoting.start),
    Verb.DISSOLVE: _Way(dropping.standing, dropping.start),
    Verb.ABORT: _Way(dropping.standing_of_abort, dropping.abort),
    Verb.PRESENT: _Way(presenting.standing, presenting.start),
    Verb.UNPRESENT: _Way(presenting.standing_of_unpresent, presenting.unpresent),
    Verb.LEND: _Way(lending.standing, lending.start),
    Verb.RECALL: _Way(lending.standing_of_recall, lending.recall),
}


def build(settings: Mapping[str, str]) -> SfwProvider:
    """With the programs that the settings name, else those on PATH."""
    named = {program: settings[program] for program in PROGRAMS if settings.get(program)}
    return SfwProvider(settings, CommandRunner(programs=named))


class SfwProvider:
    """A mirror is a snap plex at a place that the settings name (see settings.py); a set is the
    snapshot volumes ``xs-...`` that one vxsnap made of them, with a record and the XML kept twice.
    """

    name = "sfw"

    def __init__(self, settings: Mapping[str, str], commands: CommandRunner) -> None:
        mine = read(settings)
        book = load("sfw", mine.version, mine.commands)
        commands.file = commands.file or CommandLog(mine.sets)
        self.ground = Ground(mine, Product(book, commands), Records(mine.sets, mine.sets_copy))

    def capability(self, volumes: Sequence[Source]) -> Capability:
        """Full mirrors on other disks; the changed-region map of the product is not readable. A set
        leaves the host in one disk group split off one other."""
        look = Look(self.ground)
        groups = {found.group for one in volumes if (found := look.by_path(one))}
        return Capability(CopyKind.PLEX, True, True, False, True, len(groups) <= 1)

    def identity(self, volume: Source) -> str:
        """The hosts that share it, its disk group and name. No output of the product with an id of
        the disk group is known, and groups of other hosts may have the same name: nodes of one
        cluster are to name each other in ``hosts``."""
        found = Look(self.ground).by_path(volume)
        if found is None:
            raise NotFoundError(f"{volume.path} is no volume of Storage Foundation on this host")
        return f"{'+'.join(sorted(self.ground.settings.hosts))}/{found.group}/{found.name}"

    def start(self, action: Action) -> None:
        """See :class:`Provider`."""
        _WAYS[action.verb].start(self.ground, action)

    def standing(self, action: Action) -> Standing:
        """See :class:`Provider`."""
        return _WAYS[action.verb].standing(self.ground, action)

    def abandon(self, action: Action) -> str:
        """The restore or promotion is not gone on with, as production is as it should be; what was
        done about it. BusyError while the product is at work on it."""
        return abandoning.abandon(self.ground, action)

    def mirrors(self, group: str, volumes: Sequence[Source]) -> tuple[Mirror, ...]:
        """Every mirror that has a place in the settings, as the product shows it."""
        look = Look(self.ground)
        return tuple(self._mirror(look, group, label, volumes) for label in self._labels(volumes))

    def _labels(self, volumes: Sequence[Source]) -> list[str]:
        places = self.ground.settings.places
        return [
            label
            for label in self.ground.settings.labels
            if all((label, one.name) in places or (label, "") in places for one in volumes)
        ]

    def _mirror(self, look: Look, group: str, label: str, volumes: Sequence[Source]) -> Mirror:
        states: list[MirrorState] = []
        percents: list[int] = []
        snapshots: list[str] = []
        presented: list[str] = []
        away: set[str] = set()
        odd = ""
        for source in volumes:
            production = look.needed(source, group)
            place = self.ground.settings.place(label, source.name)
            plex = place_of(production.plexes, place)
            snapshot = None if plex else self._snapshot(look, group, label, production, source)
            if plex is not None:
                odd = odd or ("" if plex.state else f"{plex.name} shows the state {plex.shown}")
                states.append(_STATES.get(plex.state, MirrorState.BROKEN))
                if plex.percent is not None:
                    percents.append(plex.percent)
            elif snapshot is not None:
                states.append(MirrorState.SPLIT)
                snapshots.append(snapshot[1])
                presented += self._paths(snapshot[2])
                away |= {snapshot[0]} - {production.group}
            else:
                states.append(MirrorState.NONE)
        set_id, under_way = self._set_of(group, label, snapshots)
        state = MirrorState.RESTORING if under_way else _combined(states)
        if state is MirrorState.BROKEN and not odd:
            odd = "some volumes are split, others are not"
        percent = min(percents, default=None)
        lent = self._lent_to(set_id, away)
        return Mirror(label, state, percent, set_id, tuple(presented), odd, lent)

    def _lent_to(self, set_id: str, away: set[str]) -> str:
        """Who has the set whose volumes are in these other disk groups."""
        record = self.ground.records.read(set_id) if away else None
        if record and record.lent:
            return record.lent
        return f"disk group {', '.join(sorted(away))}" if away else ""

    def _snapshot(
        self, look: Look, group: str, label: str, production: Volume, source: Source
    ) -> tuple[str, str, Volume | None] | None:
        """Group and name of the snapshot volume split off at the mirror's place; the volume itself
        None while it is not here."""
        place = self.ground.settings.place(label, source.name)
        for pair in look.pairs(production.group):
            if pair.original[1] != production.name:
                continue
            where, name = pair.snapshot
            volume = look.volume(name, where)
            if volume is not None:
                if lies_at(volume, place):
                    return where, name, volume
                continue
            if any(
                part.snapshot == name
                for record in self.ground.records.all()
                if (record.policy_group, record.mirror) == (group, label)
                for part in record.parts
            ):
                return where, name, None
        return None

    def _paths(self, volume: Volume | None) -> list[str]:
        if volume is None or not volume.places:
            return []
        place = volume.places[0]
        at = place if is_letter(place) else device(volume.group, volume.name)
        return [opened_at(self.ground.settings.devices, at)]

    def _set_of(self, group: str, label: str, snapshots: list[str]) -> tuple[str, bool]:
        """Whose snapshot volumes these are, and whether that set is being restored."""
        for record in self.ground.records.all():
            if (record.policy_group, record.mirror) != (group, label):
                continue
            if record.step:
                return record.set_id, True
            names = {part.snapshot for part in record.parts}
            if snapshots and set(snapshots) <= names:
                return record.set_id, False
        return "", False

    def changed(self, action: Action) -> tuple[ChangedMember, ...] | None:
        """The product tells a percentage only."""
        return None

    def documents(self, action: Action) -> Mapping[str, bytes]:
        """The set's XML, that of its first split after a restore, and the record."""
        return self.ground.records.documents(action.set_id)


_STATES = {"syncing": MirrorState.SYNCING, "ready": MirrorState.READY}


def _combined(states: Sequence[MirrorState]) -> MirrorState:
    """The least advanced counts; part split, part ready is no set and no mirror."""
    found = set(states)
    for state in (MirrorState.BROKEN, MirrorState.NONE, MirrorState.SYNCING):
        if state in found:
            return state
    if len(found) > 1:
        return MirrorState.BROKEN
    return found.pop() if found else MirrorState.NONE
