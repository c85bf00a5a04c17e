"""Promotion: the set's copies take the places of production's vdisks on production's hosts.

A copy is made independent, then gets the LUN numbers on the hosts that the old vdisk had; the old
vdisk stays, presented to nobody. Which LUNs those were is nowhere on the array once they are
deleted, so the plan is written into the work folder, durable, before the first is. Should that
folder be lost in the middle of it, the copy goes to the settings' ``host``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from exshadow.errors import InvalidError, NotFoundError
from exshadow.model import Json
from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.eva import memory, names
from exshadow.providers.eva.array import View
from exshadow.providers.eva.finding import Copy
from exshadow.providers.eva.mirrorclone import Mirrorclones
from exshadow.providers.eva.names import Role
from exshadow.providers.eva.objects import Presentation, Vdisk
from exshadow.providers.eva.pointcopy import PointCopies


@dataclass(frozen=True, slots=True)
class Place:
    """``old``: id of the vdisk that goes, empty where it is gone; ``luns``: where it was."""

    old: str
    luns: tuple[Presentation, ...]


class Swap:
    """The promotion of one kind of copies."""

    def __init__(self, kind: Mirrorclones | PointCopies) -> None:
        self._kind = kind
        self._array = kind.array

    def promote(self, action: Action) -> None:
        """Go through to the end, from wherever it stopped."""
        view = self._array.known()
        found = self._kind.whole_set(view, action)
        if all(one.name.role is Role.PROMOTED for one in found.values()):
            return
        plan = self._plan(action, view, found)
        self._refuse_in_use(view, found, plan)
        self._kind.detach(action)
        for volume, place in plan.items():
            one = self._kind.whole_set(self._array.known(), action)[volume]
            if one.name.role is not Role.PROMOTED:
                self._take_place(one, place)
        fresh = self._kind.whole_set(self._array.known(), action)
        here = [one.name for one in action.volumes if not self._kind.devices.is_id(one.path)]
        self._kind.await_devices([fresh[name].vdisk.wwn for name in here])
        self._kind.rename_all((one, one.name.into(Role.PROMOTED)) for one in fresh.values())
        self._file(action).unlink(missing_ok=True)

    def standing(self, action: Action, view: View) -> Standing:
        """By the copies' names; the plan shows one that was interrupted."""
        found = self._kind.copies(view, action, Role.SET, Role.PROMOTED, of_set=True)
        if len(found) < len(action.volumes):
            return Standing(Stage.FAILED, "copies of the set are missing")
        done = [one.name.role is Role.PROMOTED for one in found.values()]
        if all(done):
            return Standing(Stage.DONE, members=self._kind.members(action, found))
        return Standing(Stage.HALF if any(done) or self._file(action).exists() else Stage.ABSENT)

    def _take_place(self, one: Copy, place: Place) -> None:
        for lun in one.vdisk.presentations:
            if lun not in place.luns:
                self._kind.devices.forget(one.vdisk.wwn)
                self._kind.delete_lun(one.vdisk.id, lun)
        for lun in place.luns:
            old = self._find(place.old)
            if old is not None and lun in old.presentations:
                self._kind.devices.forget(old.wwn)
                self._kind.delete_lun(old.id, lun)
            self._add(one.vdisk.id, lun)

    def _add(self, identity: str, lun: Presentation) -> None:
        self._array.change(
            "add_lun",
            lambda view: any(
                one.id == identity and lun in one.presentations for one in view.vdisks
            ),
            number=str(lun.number),
            vdisk=self._kind.path(identity),
            host=lun.host,
        )

    def _refuse_in_use(self, view: View, found: dict[str, Copy], plan: dict[str, Place]) -> None:
        for place in plan.values():
            old = next((one for one in view.vdisks if one.id == place.old), None)
            if old is not None:
                self._kind.refuse_in_use(old, "promote a set over it")
        for one in found.values():
            self._kind.refuse_in_use(one.vdisk, "promote it")

    def _find(self, identity: str) -> Vdisk | None:
        return next((one for one in self._array.known().vdisks if one.id == identity), None)

    # --- the plan ---

    def _plan(self, action: Action, view: View, found: dict[str, Copy]) -> dict[str, Place]:
        file = self._file(action)
        try:
            return _from_json(json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise InvalidError(
                f"{file} cannot be read: {problem}",
                hint="remove it to plan the promotion anew, if no LUN was taken away yet",
            ) from problem
        self._kind.refuse_lent(found.values(), "promote")
        plan = {one.name: self._place(view, one.path, found[one.name]) for one in action.volumes}
        memory.write(file, _to_json(plan))
        return plan

    def _place(self, view: View, path: str, copy: Copy) -> Place:
        """Where production is now, or the settings' host when it is gone."""
        try:
            source = view.by_wwn(self._kind.devices.id_of(path))
        except NotFoundError:
            source = None
        if source is not None and source.presentations and source.id != copy.vdisk.id:
            return Place(source.id, source.presentations)
        host = self._kind.settings.host
        if copy.vdisk.presentations:
            return Place("", copy.vdisk.presentations)
        if not host:
            raise InvalidError(
                f"the vdisk behind {path} is gone, and no host is known for its copy",
                hint=r"host = '\Hosts\FOLDER\HOST' in the provider's settings",
            )
        taken = {lun.number for one in view.vdisks for lun in one.presentations if lun.host == host}
        settings = self._kind.settings
        for number in names.lun_order(settings.lun_first, settings.lun_last, "", path, ""):
            if number not in taken:
                return Place("", (Presentation(host, number),))
        raise InvalidError(f"no LUN number is free on {host}", hint="widen lun_first and lun_last")

    def _file(self, action: Action) -> Path:
        name = f"promotion-{names.digest(action.set_id, 26)}.json"
        return self._kind.settings.work_folder() / name


def _to_json(plan: dict[str, Place]) -> Json:
    return {
        volume: {"old": place.old, "luns": [[lun.host, lun.number] for lun in place.luns]}
        for volume, place in plan.items()
    }


def _from_json(plain: Json) -> dict[str, Place]:
    return {
        volume: Place(
            str(one["old"]),
            tuple(Presentation(str(host), int(number)) for host, number in one["luns"]),
        )
        for volume, one in plain.items()
    }
