"""Mirrorclones: full mirrors in the array, fractured at the instant, resynchronised by changes.

A mirror is one mirrorclone beside each volume. Its name tells the set *before* it is fractured, so
a crash in between never makes a fractured copy of unknown origin. All mirrorclones of a set are
fractured by one command; should only some be fractured nevertheless, they are resynchronised and
fractured again together: never a set of two instants.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from exshadow.errors import ProviderError, RefusedError
from exshadow.providers.contract import Action, Mirror, MirrorState, Stage, Standing, Verb
from exshadow.providers.eva import names
from exshadow.providers.eva.array import Check, Job, View, exists
from exshadow.providers.eva.finding import Copy
from exshadow.providers.eva.lending import Lending
from exshadow.providers.eva.names import Role
from exshadow.providers.eva.objects import Form, MirrorPhase, Vdisk
from exshadow.providers.eva.rules import Operation, permit
from exshadow.providers.eva.session import ArrayRefusedError

_LIVE = (Role.MIRROR, Role.SET)  # roles of a copy that is still a mirror


class Mirrorclones(Lending):
    """The verbs for kind ``mirrorclone``."""

    # --- prepare ---

    def prepare(self, action: Action) -> None:
        """Make or go on making a mirrorclone of each volume."""
        view = self.array.known()
        sources, found = self.sources(view, action), self._live(view, action)
        for one in found.values():
            if one.vdisk.phase is MirrorPhase.FRACTURED and one.name.role is Role.SET:
                raise self._holds_set(action, one)
        missing = {name: one for name, one in sources.items() if name not in found}
        self.check_sources(view, missing, wanted=True)
        jobs: list[Job] = []
        for volume, source in missing.items():
            name = names.copy_name(action.group, volume, source.wwn, action.mirror, Role.MIRROR)
            jobs.append((
                exists(str(name)),
                {
                    "name": str(name),
                    "source": source.path,
                    "disk_group": self.settings.disk_group,
                    "redundancy": self.settings.redundancy,
                },
            ))  # fmt: skip
        self.remember(action, missing)
        self.array.change_all("add_mirrorclone", jobs)
        for volume, one in found.items():
            self._refuse_stranger(action, sources[volume], one)
        torn = [one for one in found.values() if one.vdisk.phase is MirrorPhase.FRACTURED]
        self._resync(torn)

    def standing_prepare(self, action: Action, view: View) -> Standing:
        found = self._live(view, action)
        phases = {one.vdisk.phase for one in found.values()}
        if not found:
            return Standing(Stage.ABSENT)
        if len(found) < len(action.volumes) or MirrorPhase.FRACTURED in phases:
            return Standing(Stage.HALF, "not every volume has its mirrorclone")
        return self._synced(found)

    # --- split ---

    def split(self, action: Action) -> None:
        """Name, write-through, flush, fracture all at once, write-back."""
        view = self.array.known()
        sources, found = self.sources(view, action), self._live(view, action)
        if self._is_split(action, found):
            self.cache_back([one.id for one in sources.values()])
            return
        if not self._armed:
            self.ready_to_split(action, view, sources)
        found = self._all_in_sync(action, self._live(self.array.known(), action))
        self.rename_all((one, one.name.of_set(action.set_id)) for one in found.values())
        self.write_through(sources.values())
        try:
            self._fracture([one.vdisk.id for one in found.values()])
        except BaseException:
            self.cache_back([one.id for one in sources.values()], quietly=True)
            raise
        self.cache_back([one.id for one in sources.values()])

    def ready_to_split(self, action: Action, view: View, sources: Mapping[str, Vdisk]) -> None:
        """In sync, of these sources, which are good; a command for the instant is known."""
        found = self._all_in_sync(action, self._live(view, action))
        for volume, one in found.items():
            self._refuse_stranger(action, sources[volume], one)
        self.check_sources(self.array.known(), sources, wanted=False)
        self._require_set_command(len(found))

    def _fracture(self, ids: list[str]) -> None:
        paths = [self.path(one) for one in ids]

        def fractured(view: View) -> bool:
            ours = [one for one in view.vdisks if one.id in ids]
            return len(ours) == len(ids) and all(one.phase is MirrorPhase.FRACTURED for one in ours)

        if len(paths) == 1:
            self.array.change("fracture", fractured, copy=paths[0])
        else:
            self.array.change("fracture_set", fractured, members=[{"copy": path} for path in paths])

    def _all_in_sync(self, action: Action, found: dict[str, Copy]) -> dict[str, Copy]:
        """Ready to be fractured together. RefusedError when the mirror is not ready."""
        missing = [one.name for one in action.volumes if one.name not in found]
        if missing:
            raise RefusedError(
                f"{', '.join(missing)} has no mirrorclone {action.mirror}", hint="prepare it first"
            )
        torn = [one for one in found.values() if one.vdisk.phase is MirrorPhase.FRACTURED]
        for one in torn:
            if one.name.set != names.digest(action.set_id, 8):
                raise self._holds_set(action, one)
        self._resync(torn)
        if torn:
            self.array.wait(
                lambda view: self._phases(view, action) == {MirrorPhase.SYNCHRONISED},
                self.settings.copying_seconds,
                "mirrorclones of an interrupted split in sync again",
            )
            return self._live(self.array.known(), action)
        for one in found.values():
            permit(Operation.FRACTURE, one.vdisk)
        return found

    def _require_set_command(self, count: int) -> None:
        if count > 1 and not self.array.has("fracture_set"):
            raise RefusedError(
                "several mirrorclones must be fractured at one instant, and no command is known",
                hint="name it in your commands file: [command.fracture_set]",
            )

    def standing_split(self, action: Action, view: View) -> Standing:
        found = self._live(view, action)
        if self._is_split(action, found):
            if self.cache_left(action, view):
                return Standing(Stage.HALF, "the sources' write-cache is not as it was")
            return Standing(Stage.DONE, members=self.members(action, found))
        tag = names.digest(action.set_id, 8)
        ours = [one for one in found.values() if one.name.set == tag]
        return Standing(Stage.HALF if ours else Stage.ABSENT)

    # --- resync ---

    def resync(self, action: Action) -> None:
        """Changed blocks of production go to the set's mirrorclones."""
        view = self.array.known()
        self._refuse_detached(
            self.all_copies(view, action, Role.SET, Role.DISSOLVED, Role.PROMOTED, of_set=True)
        )
        found = self.copies(view, action, *_LIVE, of_set=True)
        torn = {n: one for n, one in found.items() if one.vdisk.phase is MirrorPhase.FRACTURED}
        for one in torn.values():
            permit(Operation.RESYNC, one.vdisk, self.settings.host)
        sources = self.sources(view, action)
        for volume, one in torn.items():
            self._refuse_stranger(action, sources[volume], one)
        self.cache_back([one.id for one in sources.values()])
        self._resync(torn.values())

    def _resync(self, torn: Iterable[Copy]) -> None:
        jobs: list[Job] = []
        for one in torn:
            permit(Operation.RESYNC, one.vdisk, self.settings.host)
            begun = _is(one.vdisk.id, MirrorPhase.SYNCING, MirrorPhase.SYNCHRONISED)
            jobs.append((begun, {"copy": one.vdisk.path}))
        self.array.change_all("resync", jobs)

    def standing_resync(self, action: Action, view: View) -> Standing:
        found = self.copies(view, action, *_LIVE, of_set=True)
        if not found:
            if len(self._live(view, action)) < len(action.volumes):
                return Standing(Stage.FAILED, "the set's mirrorclones are gone")
            return Standing(Stage.DONE, "the mirror has gone on since")
        torn = [one for one in found.values() if one.vdisk.phase is MirrorPhase.FRACTURED]
        if torn:
            return Standing(Stage.ABSENT if len(torn) == len(found) else Stage.HALF)
        return self._synced(found)

    # --- ends ---

    def detach(self, action: Action) -> None:
        """The set's mirrorclones become ordinary vdisks."""
        found = self.whole_set(self.array.known(), action).values()
        self._detach([one.vdisk for one in found if one.vdisk.form is Form.MIRRORCLONE])

    def _detach(self, vdisks: Sequence[Vdisk]) -> None:
        jobs: list[Job] = []
        for one in vdisks:
            permit(Operation.DETACH, one)
            jobs.append((_loose(one.id), {"copy": one.path}))
        self.array.change_all("detach", jobs)

    def dissolve(self, action: Action) -> None:
        """Detach; the name says so."""
        self.detach(action)
        found = self.whole_set(self.array.known(), action).values()
        self.rename_all(
            (one, one.name.into(Role.DISSOLVED)) for one in found if one.name.role is Role.SET
        )

    def abort(self, action: Action) -> None:
        """Of a split: back into the mirror. Of a preparation: fracture, detach, delete. Never a
        copy of a set: detached ones are all that a stopped dissolve or promotion leaves of it."""
        if action.set_id:
            self.resync(action)
            return
        self._refuse_detached(self.all_copies(self.array.known(), action, Role.SET))
        for one in self._live(self.array.known(), action).values():
            if one.name.role is Role.SET and one.vdisk.phase is MirrorPhase.FRACTURED:
                raise self._holds_set(action, one)
        self._refuse_others(action)
        for one in self._live(self.array.known(), action).values():
            self._drop(one)
        for _, one in self.all_copies(self.array.known(), action, Role.DROPPED):
            self._drop(one)

    @staticmethod
    def _refuse_detached(found: Iterable[tuple[str, Copy]]) -> None:
        """RefusedError when a copy of a set is a mirrorclone no more."""
        for _, one in found:
            if one.vdisk.form is not Form.MIRRORCLONE:
                raise RefusedError(
                    f"{one.vdisk.name} belongs to a set and is no mirrorclone (it is "
                    f"{one.vdisk.form}): nothing was removed or resynchronised",
                    hint="finish what detached it: dissolve or promote that set",
                )

    def _refuse_others(self, action: Action) -> None:
        """RefusedError when the array says that a copy which has one of our names mirrors a vdisk
        that this group's volume never was: names are digests, lineage is not."""
        view = self.array.known()
        volumes = {one.name: one for one in action.volumes}
        for volume, one in self.all_copies(view, action, *_LIVE, Role.DROPPED):
            parent = next((x for x in view.vdisks if one.vdisk in view.copies_of(x)), None)
            if parent and parent.wwn not in self.known_sources(action.group, volumes[volume]):
                raise RefusedError(
                    f"{one.vdisk.name} mirrors {parent.name}, which was never {volume} here",
                    hint="it is not ours: nothing was removed; look at it in Command View",
                )

    def _drop(self, one: Copy) -> None:
        """A mirrorclone that is no set, whatever it is doing: away. Its name says so before it
        is detached: a detached one looks like any other vdisk."""
        away = replace(one.name, role=Role.DROPPED, set="", mark="")
        if one.vdisk.form is Form.MIRRORCLONE:
            self.rename_all([(one, away)])
            if self._again(one).phase is not MirrorPhase.FRACTURED:
                self._fracture_to_drop(self._again(one))
            self._detach([self._again(one)])
        permit(Operation.DELETE, self._again(one), self.settings.host)
        self.delete_all("delete_vdisk", [one.vdisk.id])

    def _fracture_to_drop(self, vdisk: Vdisk) -> None:
        """Whether one that is still synchronising can be fractured is not known: it is tried, and
        waited for where the array refuses."""
        done = _is(vdisk.id, MirrorPhase.FRACTURED)
        try:
            self.array.change("fracture", done, copy=vdisk.path)
        except ArrayRefusedError:
            if vdisk.phase is MirrorPhase.SYNCHRONISED:
                raise
            steady = _is(vdisk.id, MirrorPhase.SYNCHRONISED, MirrorPhase.FRACTURED)
            what = f"{vdisk.name} in sync, to remove it"
            self.array.wait(steady, self.settings.copying_seconds, what)
            self.array.change("fracture", done, copy=vdisk.path)

    def standing_abort(self, action: Action, view: View) -> Standing:
        if action.set_id:
            if self.cache_left(action, view):
                return Standing(Stage.HALF, "the sources' write-cache is not as it was")
            found = self.copies(view, action, *_LIVE, of_set=True)
            return self.standing_resync(action, view) if found else Standing(Stage.DONE)
        left = self.copies(view, action, Role.DROPPED)
        if self._live(view, action) or left:
            return Standing(Stage.HALF if left else Stage.ABSENT)
        return Standing(Stage.DONE)

    # --- looking ---

    def mirror(self, action: Action, view: View, sources: Mapping[str, Vdisk]) -> Mirror:
        """How the mirror ``action.mirror`` stands over all volumes."""
        found = self._live(view, action)
        if len(found) < len(action.volumes):
            phases = {one.vdisk.phase for one in found.values()}
            going = phases <= {MirrorPhase.SYNCHRONISED, MirrorPhase.SYNCING}
            state = MirrorState.SYNCING if going else MirrorState.BROKEN  # preparing goes on
            return Mirror(action.mirror, state, detail="not on every volume")
        for volume, one in found.items():
            if volume in sources and one.mirrors_another(sources[volume]):
                detail = (
                    f"{one.vdisk.name}, a mirror of another vdisk than production (of the former "
                    "one, after a promotion)"
                )
                return Mirror(action.mirror, MirrorState.BROKEN, detail=detail)
        phases = {one.vdisk.phase for one in found.values()}
        if phases == {MirrorPhase.FRACTURED} and len({one.name.set for one in found.values()}) == 1:
            tag = next(iter(found.values())).name.set
            state = MirrorState.SPLIT if tag else MirrorState.BROKEN
            paths = tuple(one.path for one in self.members(action, found) if one.path)
            return Mirror(action.mirror, state, set_id=tag, presented=paths)
        if MirrorPhase.RESTORING in phases:
            return Mirror(action.mirror, MirrorState.RESTORING, percent=_restored(found))
        if phases == {MirrorPhase.SYNCHRONISED}:
            return Mirror(action.mirror, MirrorState.READY)
        if phases <= {MirrorPhase.SYNCHRONISED, MirrorPhase.SYNCING}:
            return Mirror(action.mirror, MirrorState.SYNCING, percent=_least(found))
        words = ", ".join(sorted(phases))
        return Mirror(action.mirror, MirrorState.BROKEN, detail=f"its volumes are {words}")

    def _live(self, view: View, action: Action) -> dict[str, Copy]:
        found = self.all_copies(view, action, *_LIVE)
        return {n: one for n, one in found if one.vdisk.form is Form.MIRRORCLONE}

    def _phases(self, view: View, action: Action) -> set[MirrorPhase]:
        return {one.vdisk.phase for one in self._live(view, action).values()}

    def _is_split(self, action: Action, found: Mapping[str, Copy]) -> bool:
        tag = names.digest(action.set_id, 8)
        return len(found) == len(action.volumes) and all(
            one.name.set == tag
            and one.vdisk.phase in (MirrorPhase.FRACTURED, MirrorPhase.RESTORING)
            for one in found.values()
        )

    def _again(self, one: Copy) -> Vdisk:
        for now in self.array.known().vdisks:
            if now.id == one.vdisk.id:
                return now
        raise ProviderError(f"{one.vdisk.name} went away", hint="somebody else deleted it")

    def _refuse_stranger(self, action: Action, source: Vdisk, one: Copy) -> None:
        if not one.mirrors_another(source):
            return
        hint = "name another mirror in the policy"
        if action.verb is Verb.RESYNC:
            delete = f"exshadow snapshot delete {action.group}@{action.label}"
            hint = f"give the set up, the next run makes its mirror anew: {delete}"
        raise RefusedError(
            f"{one.vdisk.name} mirrors {one.vdisk.parent}, production is {source.name} now",
            hint=hint,
        )

    @staticmethod
    def _holds_set(action: Action, one: Copy) -> RefusedError:
        return RefusedError(
            f"mirror {action.mirror} holds a set ({one.vdisk.name} is fractured)",
            hint="resync that set first",
        )

    @staticmethod
    def _synced(found: Mapping[str, Copy]) -> Standing:
        phases = {one.vdisk.phase for one in found.values()}
        if phases == {MirrorPhase.SYNCHRONISED}:
            return Standing(Stage.DONE)
        if phases <= {MirrorPhase.SYNCHRONISED, MirrorPhase.SYNCING}:
            total = sum(one.vdisk.size for one in found.values())
            done = sum(one.vdisk.size * _percent(one) // 100 for one in found.values())
            return Standing(Stage.RUNNING, "synchronising", done, total)
        return Standing(Stage.FAILED, f"mirrorclones are {', '.join(sorted(phases))}")


def _is(identity: str, *phases: MirrorPhase) -> Check:
    return lambda view: any(one.id == identity and one.phase in phases for one in view.vdisks)


def _loose(identity: str) -> Check:
    return lambda view: any(
        one.id == identity and one.form is not Form.MIRRORCLONE for one in view.vdisks
    )


def _percent(one: Copy) -> int:
    return 100 if one.vdisk.phase is MirrorPhase.SYNCHRONISED else one.vdisk.percent or 0


def _restored(found: Mapping[str, Copy]) -> int:
    """The least advanced of those that are being restored from."""
    return min(one.vdisk.restored or 0 for one in found.values() if one.restoring)


def _least(found: Mapping[str, Copy]) -> int:
    return min(_percent(one) for one in found.values())
