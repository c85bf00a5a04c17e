"""Snapshots and snapclones: made at the instant, thrown away and made again for the next set.

``prepare`` reserves a container per volume (fully allocated snapshots, snapclones), so that the
instant itself is short; a demand allocated snapshot needs none. A split turns the containers into
copies that carry the set's name, all by one MULTISNAP. A resync deletes them and reserves new ones.
The next copies of the mirror get the same page-83 id and LUN number, so their host sees one device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from exshadow.errors import ProviderError, RefusedError
from exshadow.providers.contract import Action, Mirror, MirrorState, Stage, Standing
from exshadow.providers.eva import names
from exshadow.providers.eva.array import Job, View, exists
from exshadow.providers.eva.finding import Copy
from exshadow.providers.eva.making import Making
from exshadow.providers.eva.names import Role
from exshadow.providers.eva.objects import Vdisk
from exshadow.providers.eva.rules import Operation, permit
from exshadow.providers.eva.settings import Allocation, Kind

_GIB = 1 << 30


class PointCopies(Making):
    """The verbs for kinds ``snapshot`` and ``snapclone``."""

    # --- prepare ---

    def prepare(self, action: Action) -> None:
        """Reserve space for the next set."""
        view = self.array.known()
        sources, sets = self.sources(view, action), self.copies(view, action, Role.SET)
        if sets:
            raise self._holds_set(action, next(iter(sets.values())))
        self._reserve(action, sources, check=True)

    def _reserve(self, action: Action, sources: Mapping[str, Vdisk], *, check: bool) -> None:
        """A container for each volume that has none."""
        if not self.settings.containers:
            if check:
                self.check_sources(self.array.known(), sources, wanted=True, later=True)
            return
        found = self.copies(self.array.known(), action, Role.CONTAINER)
        missing = {name: one for name, one in sources.items() if name not in found}
        if check and missing:
            self.check_sources(self.array.known(), missing, wanted=True, later=True)
        jobs: list[Job] = []
        for volume, source in missing.items():
            name = names.copy_name(action.group, volume, source.wwn, action.mirror, Role.CONTAINER)
            jobs.append((
                exists(str(name)),
                {
                    "name": str(name),
                    "disk_group": self.disk_group(source),
                    "gigabytes": str(-(-source.size // _GIB)),
                    "redundancy": self.redundancy(source),
                },
            ))  # fmt: skip
        self.remember(action, missing)
        self.array.change_all("add_container", jobs)

    def standing_prepare(self, action: Action, view: View) -> Standing:
        if self.copies(view, action, Role.SET):
            return Standing(Stage.ABSENT, "the mirror holds a set")
        return self._reserved(action, view)

    def _reserved(self, action: Action, view: View) -> Standing:
        if not self.settings.containers:
            return Standing(Stage.DONE, "a demand allocated snapshot reserves nothing")
        found = self.copies(view, action, Role.CONTAINER)
        if len(found) < len(action.volumes):
            return Standing(Stage.HALF if found else Stage.ABSENT)
        if all(one.vdisk.good for one in found.values()):
            return Standing(Stage.DONE)
        if all(one.vdisk.good or one.vdisk.busy for one in found.values()):
            return Standing(Stage.RUNNING, "allocating")
        return Standing(Stage.FAILED, "a container is in a bad state")

    # --- split ---

    def split(self, action: Action) -> None:
        """Write-through, flush, all copies at once, write-back."""
        view = self.array.known()
        sources = self.sources(view, action)
        self.adopt(action, view, sources)
        found = self.copies(self.array.known(), action, Role.SET)
        ids = [one.id for one in sources.values()]
        if found:
            self._resume_split(action, found, ids)
            return
        if not self._armed:
            self.ready_to_split(action, view, sources)
        self.write_through(sources.values())
        try:
            self.copy_all(action, sources)
        except BaseException:
            self.cache_back(ids, quietly=True)
            raise
        self.cache_back(ids)

    def _resume_split(self, action: Action, found: Mapping[str, Copy], ids: list[str]) -> None:
        tag = names.digest(action.set_id, 8)
        for one in found.values():
            if one.name.set != tag:
                raise self._holds_set(action, one)
        if len(found) < len(action.volumes):
            raise ProviderError(
                "only a part of the set's copies is there: it is no set",
                hint="abort it; its copies were made at one instant and some were removed since",
            )
        self.cache_back(ids)

    def ready_to_split(self, action: Action, view: View, sources: Mapping[str, Vdisk]) -> None:
        """Everything long or that may be refused; waits for a snapclone that still copies."""
        containers = self.copies(view, action, Role.CONTAINER)
        missing = [one.name for one in action.volumes if one.name not in containers]
        if self.settings.containers and missing:
            raise RefusedError(
                f"nothing is reserved for {', '.join(missing)} in mirror {action.mirror}",
                hint="prepare it first",
            )
        if not action.writers:
            self.wait_normalised(list(sources.values()), why="make the next copy")
            view = self.array.known()
            sources = self.sources(view, action)
        self.check_sources(view, sources, wanted=not self.settings.containers)
        if self.settings.containers:
            self.prepare_containers(containers, sources)

    def standing_split(self, action: Action, view: View) -> Standing:
        found = self.copies(view, action, Role.SET, of_set=True)
        if self._has_unnamed(action, view):
            return Standing(Stage.HALF, "copies of the set do not have their names yet")
        if not found:
            return Standing(Stage.ABSENT)
        if len(found) < len(action.volumes):
            return Standing(Stage.FAILED, "only a part of the set's copies is there")
        bad = [one.vdisk for one in found.values() if not one.vdisk.good and not one.vdisk.busy]
        if bad:
            return Standing(Stage.FAILED, f"copy {bad[0].name} is in state {bad[0].state!r}")
        if any(one.vdisk.busy for one in found.values()):
            return Standing(Stage.RUNNING, "being made")
        if self.cache_left(action, view):
            return Standing(Stage.HALF, "the sources' write-cache is not as it was")
        detail = "copying" if any(one.vdisk.copying for one in found.values()) else ""
        return Standing(Stage.DONE, detail, members=self.members(action, found))

    def _has_unnamed(self, action: Action, view: View) -> bool:
        with contextlib.suppress(LookupError):  # production gone: no lineage to go by
            return bool(self.unnamed(action, view, self.sources(view, action)))
        return False

    # --- resync ---

    def resync(self, action: Action) -> None:
        """Delete the set's copies, reserve space again: LUNs must be gone, unsharing ended."""
        view = self.array.known()
        found = self.copies(view, action, Role.SET, of_set=True)
        sources = self.sources(view, action)
        gone_on = self.copies(view, action, Role.DISSOLVED, Role.PROMOTED, of_set=True)
        if found and gone_on:
            raise RefusedError(
                f"{next(iter(gone_on.values())).vdisk.name} is of the same set: its dissolution or "
                "promotion was interrupted",
                hint="finish that first: nothing of the set is deleted",
            )
        for one in found.values():
            permit(Operation.DELETE, one.vdisk, self.settings.host)
        self.cache_back([one.id for one in sources.values()])
        self._delete_all(found)
        self._reserve(action, sources, check=False)

    def _delete_all(self, found: Mapping[str, Copy]) -> None:
        self.wait_normalised([one.vdisk for one in found.values()], why="delete it")
        self.delete_all("delete_vdisk", [one.vdisk.id for one in found.values()])

    def standing_resync(self, action: Action, view: View) -> Standing:
        if left := self.copies(view, action, Role.SET, of_set=True):
            torn = len(left) < len(action.volumes)  # copies go one by one
            return Standing(Stage.HALF if torn else Stage.ABSENT, f"{len(left)} copies are left")
        if self.copies(view, action, Role.SET):
            return Standing(Stage.DONE, "the mirror has gone on since")
        reserved = self._reserved(action, view)
        return Standing(Stage.HALF) if reserved.stage is Stage.ABSENT else reserved

    # --- ends ---

    def detach(self, action: Action) -> None:
        """A snapclone detaches by itself: wait for it. A snapshot never does."""
        if self.settings.kind is Kind.SNAPSHOT:
            raise self.refuse_kind(
                "live without its source", "use snapclones or mirrorclones where copies must"
            )
        found = self.whole_set(self.array.known(), action)
        self.wait_normalised([one.vdisk for one in found.values()], why="stand by itself")

    def dissolve(self, action: Action) -> None:
        """Wait until it is independent; the name says so."""
        self.detach(action)
        found = self.whole_set(self.array.known(), action).values()
        self.rename_all(
            (one, one.name.into(Role.DISSOLVED)) for one in found if one.name.role is Role.SET
        )

    def abort(self, action: Action) -> None:
        """Of a split: its copies go, space is reserved again. Of a preparation: containers go."""
        if action.set_id:
            if self._has_unnamed(action, self.array.known()):
                view = self.array.known()
                self.adopt(action, view, self.sources(view, action))
            view = self.array.known()
            reserved = len(self.copies(view, action, Role.CONTAINER))
            torn = 0 < reserved < len(action.volumes)
            if torn or self.copies(view, action, Role.SET, of_set=True):
                self.resync(action)
            else:
                self.cache_back([one.id for one in self.sources(view, action).values()])
            return
        found = self.copies(self.array.known(), action, Role.CONTAINER).values()
        self.delete_all("delete_container", [one.vdisk.id for one in found])

    def standing_abort(self, action: Action, view: View) -> Standing:
        if action.set_id:
            ours = self.copies(view, action, Role.SET, of_set=True)
            containers = self.copies(view, action, Role.CONTAINER)
            torn = 0 < len(containers) < len(action.volumes) or self.cache_left(action, view)
            torn = torn or self._has_unnamed(action, view)
            return Standing(Stage.ABSENT if ours else Stage.HALF if torn else Stage.DONE)
        containers = self.copies(view, action, Role.CONTAINER)
        return Standing(Stage.ABSENT if containers else Stage.DONE)

    # --- looking ---

    def mirror(self, action: Action, view: View, sources: Mapping[str, Vdisk]) -> Mirror:
        """How the mirror ``action.mirror`` stands over all volumes."""
        found = self.copies(view, action, Role.SET)
        if found:
            return self._split_mirror(action, found)
        standing = self._reserved(action, view)
        state = {
            Stage.DONE: MirrorState.READY,
            Stage.RUNNING: MirrorState.SYNCING,
            Stage.HALF: MirrorState.SYNCING,  # preparing goes on
            Stage.ABSENT: MirrorState.NONE,
        }.get(standing.stage, MirrorState.BROKEN)
        return Mirror(action.mirror, state, detail=standing.detail)

    def _split_mirror(self, action: Action, found: Mapping[str, Copy]) -> Mirror:
        tags = {one.name.set for one in found.values()}
        if len(found) < len(action.volumes) or len(tags) > 1:
            return Mirror(action.mirror, MirrorState.BROKEN, detail="copies of a set are missing")
        bad = [one.vdisk for one in found.values() if not one.vdisk.good and not one.vdisk.busy]
        if bad:
            detail = f"{bad[0].name} is in state {bad[0].state!r}"
            if self.settings.allocation is Allocation.DEMAND:
                detail += ": did the disk group run full?"
            return Mirror(action.mirror, MirrorState.BROKEN, detail=detail)
        restoring = any(one.restoring for one in found.values())
        state = MirrorState.RESTORING if restoring else MirrorState.SPLIT
        paths = tuple(one.path for one in self.members(action, found) if one.path)
        return Mirror(action.mirror, state, set_id=tags.pop(), presented=paths)

    @staticmethod
    def _holds_set(action: Action, one: Copy) -> RefusedError:
        return RefusedError(
            f"mirror {action.mirror} holds a set ({one.vdisk.name})", hint="resync that set first"
        )
