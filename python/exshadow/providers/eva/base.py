"""What all kinds of copies share: cache and flush, checks, names, the frame of a split."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from exshadow.errors import Error, RefusedError, TimedOutError, UnsupportedError
from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.eva import preflight
from exshadow.providers.eva.array import Check, Job, View
from exshadow.providers.eva.bounds import Bounds
from exshadow.providers.eva.finding import Copy, Finding
from exshadow.providers.eva.names import CopyName, Role
from exshadow.providers.eva.objects import Form, Vdisk
from exshadow.providers.eva.settings import Kind

THROUGH, BACK = "writethrough", "writeback"


class Base(Finding):
    """Common to mirrorclones, snapshots and snapclones."""

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

    def check_sources(
        self, view: View, found: Mapping[str, Vdisk], wanted: bool, *, later: bool = False
    ) -> None:
        """Preflight. ``wanted``: copies must still be made, so there must be room for them;
        ``later``: not now, by a split that waits for what is being copied."""
        system = self.array.system()
        preflight.array(system)
        asked = [
            preflight.Wanted(
                one,
                self.disk_group(one),
                self.redundancy(one),
                reserved=not wanted,
                later=later,
            )
            for one in found.values()
        ]
        bounds = Bounds(self.settings, self.array.book, system.model)
        preflight.sources(view, asked, self.settings, bounds)
        preflight.space(asked, self.array.disk_groups(), self.settings)

    def disk_group(self, source: Vdisk) -> str:
        """Where its copies go."""
        return self.settings.group_of_copies(source.disk_group)

    def redundancy(self, source: Vdisk) -> str:
        """The Vraid level of its copies."""
        return self.settings.level_of_copies(source.redundancy)

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

    def not_normalised(self, view: View, sources: Iterable[Vdisk]) -> list[Vdisk]:
        """Snapclones of these that are still copying; the source itself where the array tells no
        more."""
        found = []
        for one in sources:
            copying = [copy for copy in view.copies_of(one) if copy.copying]
            found += copying or ([one] if one.copying else [])
        return found

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
        # A mirrorclone is an ordinary vdisk once it is detached; a snapclone always is in the end.
        loose = self.settings.kind is Kind.MIRRORCLONE and any(
            one.vdisk.form is Form.ORIGINAL for one in found.values()
        )
        return Standing(Stage.HALF if any(done) or loose else Stage.ABSENT)

    def refuse_kind(self, what: str, hint: str) -> UnsupportedError:
        """For verbs that this kind of copy does not have."""
        return UnsupportedError(f"an EVA {self.settings.kind} cannot {what}", hint=hint)


def _named(identity: str, name: str) -> Check:
    return lambda view: any(one.id == identity and one.name == name for one in view.vdisks)


def _gone(identity: str) -> Check:
    return lambda view: all(one.id != identity for one in view.vdisks)
