"""What all kinds of copies share: whose vdisks they are, cache and flush, LUNs, restore."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from exshadow.errors import (
    Error,
    NotFoundError,
    ProviderError,
    RefusedError,
    TimedOutError,
    UnsupportedError,
)
from exshadow.model import Member
from exshadow.providers.contract import Action, Source, Stage, Standing
from exshadow.providers.eva import names, preflight
from exshadow.providers.eva.array import Array, Check, Job, View
from exshadow.providers.eva.devices import Devices
from exshadow.providers.eva.memory import Memory
from exshadow.providers.eva.names import CopyName, Role
from exshadow.providers.eva.objects import Form, MirrorPhase, Vdisk
from exshadow.providers.eva.rules import Operation, permit
from exshadow.providers.eva.session import ArrayRefusedError, NotAnsweredError
from exshadow.providers.eva.settings import EvaSettings, Kind
from exshadow.providers.templates import Sure

THROUGH, BACK = "writethrough", "writeback"


@dataclass(frozen=True, slots=True)
class Copy:
    """One of ours: what its name says and what it is."""

    name: CopyName
    vdisk: Vdisk

    @property
    def restoring(self) -> bool:
        """A mirrorclone says so; others show a progress below 100."""
        if self.vdisk.form is Form.MIRRORCLONE:
            return self.vdisk.phase is MirrorPhase.RESTORING
        return self.vdisk.percent is not None and self.vdisk.percent < 100


class Base:
    """Common to mirrorclones, snapshots and snapclones."""

    def __init__(self, settings: EvaSettings, array: Array, devices: Devices) -> None:
        self.settings = settings
        self.array = array
        self.devices = devices
        self.memory = Memory(settings)
        self._armed = False

    # --- which vdisks ---

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

    # --- before the instant ---

    def write_through(self, found: Iterable[Vdisk]) -> None:
        """Ask for write-through, then wait until it is the actual mode and all is flushed.
        RefusedError when that does not happen; the mode is then put back."""
        found = list(found)
        ids = [one.id for one in found]
        for one in found:
            self._remember_cache(one)
        self._set_cache(dict.fromkeys(ids, THROUGH))

        def flushed(view: View) -> bool:
            sources = [one for one in view.vdisks if one.id in ids]
            modes = all(one.cache == (THROUGH, THROUGH) for one in sources)
            return modes and not any(one.dirty for one in sources)

        try:
            self.array.wait(flushed, self.settings.flush_seconds, "write-through and flush")
        except TimedOutError as problem:
            now = [one for one in self.array.look().vdisks if one.id in ids]
            self.cache_back(ids, quietly=True)
            told = "; ".join(f"{one.name}: {one.cache[1]}, {one.dirty or 0} dirty" for one in now)
            raise RefusedError(
                "write-through was asked for, but the cache was not flushed after "
                f"{self.settings.flush_seconds:g} s ({told})",
                hint="nothing was split; look at the controllers' cache batteries",
            ) from problem

    def cache_back(self, ids: Iterable[str], *, quietly: bool = False) -> None:
        """The mode that sources have between splits, in both directions: a copy into a container
        makes the controller go to write-back by itself. While armed, what ends that does it."""
        if self._armed:
            return
        with contextlib.suppress(Error) if quietly else contextlib.nullcontext():
            wanted = {one: mode for one in ids if (mode := self._wanted_cache(one))}
            self._set_cache(wanted)
            for one in wanted:
                self.memory.forget_cache(one)

    def cache_is_back(self, found: Iterable[Vdisk]) -> bool:
        """Whether no split left another mode behind than the source had."""
        if self._armed:
            return True
        wanted = [(one.cache[0] == THROUGH, self._wanted_cache(one.id)) for one in found]
        return all(not mode or through == (mode == THROUGH) for through, mode in wanted)

    def _remember_cache(self, source: Vdisk) -> None:
        """Before a split. What an interrupted one remembered holds: the mode it left behind is no
        administrator's choice."""
        if not self.memory.cache(source.id):
            now = THROUGH if source.cache[0] == THROUGH else BACK
            self.memory.remember_cache(source.id, self.settings.write_cache or now)

    def _wanted_cache(self, identity: str) -> str:
        """Empty where no split is to be ended. Write-back that the settings demand needs no memory:
        no other mode is right then."""
        known = self.memory.cache(identity)
        if self.settings.write_cache == BACK:
            return BACK
        return self.settings.write_cache if known and self.settings.write_cache else known

    def _set_cache(self, wanted: Mapping[str, str]) -> None:
        """By vdisks' ids."""
        for command, mode in (("write_through", THROUGH), ("write_back", BACK)):
            jobs: list[Job] = [
                (self._cache(one, mode), {"vdisk": self.path(one)})
                for one, asked in wanted.items()
                if asked == mode
            ]
            self.array.change_all(command, jobs)

    def cache_left(self, action: Action, view: View) -> bool:
        """Whether a split left another mode behind than the sources had."""
        with contextlib.suppress(LookupError):  # production gone: nothing to put back
            return not self.cache_is_back(self.sources(view, action).values())
        return False

    @staticmethod
    def _cache(identity: str, mode: str) -> Check:
        return lambda view: any(one.id == identity and one.cache[0] == mode for one in view.vdisks)

    def path(self, identity: str) -> str:
        """The full name that this vdisk has now (renaming changes it)."""
        for one in self.array.known().vdisks:
            if one.id == identity:
                return one.path
        raise ProviderError("a vdisk went away", hint="somebody else deleted it")

    def check_sources(self, view: View, found: Mapping[str, Vdisk], wanted: bool) -> None:
        """Preflight. ``wanted``: copies must still be made, so there must be room for them."""
        preflight.array(self.array.system())
        preflight.sources(view, found.values(), self.settings)
        asked = [
            preflight.Wanted(
                one,
                self.disk_group(one),
                self.redundancy(one),
                reserved=not wanted,
            )
            for one in found.values()
        ]
        preflight.space(asked, self.array.disk_groups(), self.settings)

    def disk_group(self, source: Vdisk) -> str:
        """Where its copies go."""
        if self.settings.kind is Kind.SNAPSHOT:
            return source.disk_group
        return self.settings.disk_group or source.disk_group

    def redundancy(self, source: Vdisk) -> str:
        """The Vraid level of its copies."""
        return (self.settings.redundancy or source.redundancy).lower()

    def rename_all(self, wanted: Iterable[tuple[Copy, CopyName]]) -> None:
        """Give copies other names, seen by their ids."""
        jobs: list[Job] = [
            (_named(one.vdisk.id, str(name)), {"vdisk": one.vdisk.path, "name": str(name)})
            for one, name in wanted
        ]
        self.array.change_all("rename", jobs)

    def delete_all(self, command: str, ids: Iterable[str]) -> None:
        """Vdisks that nothing sees any more."""
        self.array.change_all(command, [(_gone(one), {"vdisk": self.path(one)}) for one in ids])

    def wait_normalised(self, found: Sequence[Vdisk], *, why: str) -> None:
        """Until no snapclone of these is copying any more."""
        ids = {one.id for one in found}

        def normal(view: View) -> bool:
            ours = [one for one in view.vdisks if one.id in ids]
            below = [copy for one in ours for copy in view.copies_of(one)]
            return not any(one.copying for one in (*ours, *below))

        self.array.wait(normal, self.settings.copying_seconds, f"normalised, to {why}")

    def refuse_in_use(self, vdisk: Vdisk, what: str) -> None:
        """RefusedError while this host uses it."""
        users = self.devices.users(vdisk.wwn)
        if users:
            raise RefusedError(
                f"cannot {what}: {vdisk.name} is in use here: {', '.join(users)}",
                hint="unmount it first",
            )

    # --- restore ---

    def restore(self, action: Action) -> None:
        """Production becomes the set. The trace that it began is in the copies' names: there after
        a crash, so that a finished restore is not begun again."""
        view = self.array.known()
        found, sources = self.whole_set(view, action), self.sources(view, action)
        for volume, one in found.items():
            if not self._marked(one, action) and not one.restoring:
                permit(Operation.RESTORE, one.vdisk)
                if not one.vdisk.good:
                    raise RefusedError(
                        f"copy {one.vdisk.name} is in state {one.vdisk.state!r}: nothing to "
                        "restore from",
                        hint="use another set",
                    )
                self.refuse_in_use(sources[volume], "restore over it")
        for volume, one in found.items():
            if not self._marked(one, action):
                if not one.restoring:
                    self._begin_restore(sources[volume], one)
                self.rename_all([(one, one.name.marked(action.id))])

    def _begin_restore(self, source: Vdisk, one: Copy) -> None:
        """Give the command and see it work. A command that is not confirmed may do nothing: unseen,
        it is not believed, for nothing on the array tells a finished restore from none."""

        def begun(view: View) -> bool:
            return any(x.id == one.vdisk.id and Copy(one.name, x).restoring for x in view.vdisks)

        try:
            self.array.order("restore", source=source.path, copy=one.vdisk.path)
        except (ArrayRefusedError, NotAnsweredError):
            if not begun(self.array.look()):
                raise
            return
        if self.array.book.sure("restore") is Sure.CONFIRMED:
            return
        try:
            self.array.wait(begun, self.settings.settle_seconds, "a restore in progress")
        except TimedOutError as problem:
            raise ProviderError(
                f"the array took the command to restore {source.name}, but showed no restore",
                hint="compare production with the set; if it was restored, say in your commands "
                'file that the command is good: [command.restore] sure = "confirmed"',
            ) from problem

    def standing_restore(self, action: Action, view: View) -> Standing:
        found = self.copies(view, action, Role.SET, of_set=True)
        if len(found) < len(action.volumes):
            return Standing(Stage.FAILED, "copies of the set are missing")
        marked = [self._marked(one, action) for one in found.values()]
        busy = [one for one in found.values() if one.restoring]
        if not all(marked):
            return Standing(Stage.HALF if any(marked) or busy else Stage.ABSENT)
        if busy:
            total = sum(one.vdisk.size for one in found.values())
            share = sum(one.vdisk.size * (one.vdisk.percent or 0) // 100 for one in found.values())
            return Standing(Stage.RUNNING, "restoring", share, total)
        return Standing(Stage.DONE, "production was the set")

    @staticmethod
    def _marked(one: Copy, action: Action) -> bool:
        return one.name.mark == one.name.marked(action.id).mark

    # --- splits ---

    def split(self, action: Action) -> None:
        """Make the set's copies, all at one instant."""
        raise NotImplementedError

    def ready_to_split(self, action: Action, view: View, sources: Mapping[str, Vdisk]) -> None:
        """Whatever of it takes long or may be refused."""
        raise NotImplementedError

    @contextlib.contextmanager
    def armed(self, action: Action) -> Iterator[None]:
        """Checked, flushed and in write-through: a split within only makes the copies."""
        view = self.array.known()
        sources = self.sources(view, action)
        self.ready_to_split(action, view, sources)
        self.write_through(sources.values())
        self._armed = True
        try:
            yield
        finally:
            self._armed = False
            self.cache_back([one.id for one in sources.values()])

    def standing_dissolve(self, action: Action, view: View) -> Standing:
        """By the names."""
        found = self.copies(view, action, Role.SET, Role.DISSOLVED, of_set=True)
        if len(found) < len(action.volumes):
            return Standing(Stage.FAILED, "copies of the set are missing")
        done = [one.name.role is Role.DISSOLVED for one in found.values()]
        if all(done):
            return Standing(Stage.DONE, members=self.members(action, found))
        loose = any(one.vdisk.form is Form.ORIGINAL for one in found.values())
        return Standing(Stage.HALF if any(done) or loose else Stage.ABSENT)

    def refuse_kind(self, what: str, hint: str) -> UnsupportedError:
        """For verbs that this kind of copy does not have."""
        return UnsupportedError(f"an EVA {self.settings.kind} cannot {what}", hint=hint)


def _named(identity: str, name: str) -> Check:
    return lambda view: any(one.id == identity and one.name == name for one in view.vdisks)


def _gone(identity: str) -> Check:
    return lambda view: all(one.id != identity for one in view.vdisks)
