"""Bringing a set back over production: volume by volume, and gone on with after a kill."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from exshadow.errors import NotFoundError, RefusedError
from exshadow.providers.contract import Action, Source, Stage, Standing
from exshadow.providers.vss.copying import copy_back, place
from exshadow.providers.vss.making import named
from exshadow.providers.vss.records import Slot, Slots
from exshadow.providers.vss.settings import RestoreWay, VssSettings
from exshadow.vss.service import VssService
from exshadow.vss.values import SYSTEM_PROVIDER_ID, SnapshotProperties


class Restoring:
    """By reverting or copying back, as set; a slot remembers which volumes are done."""

    def __init__(self, settings: VssSettings, service: VssService, slots: Slots) -> None:
        self._settings = settings
        self._service = service
        self._slots = slots

    def standing(self, action: Action, mine: Slot | None) -> Standing:
        if mine is None or not mine.is_set:
            return Standing(Stage.ABSENT)
        if action.id not in mine.restored:
            return Standing(Stage.ABSENT)
        left = [one.name for one in action.volumes if one.name not in mine.restored[action.id]]
        if not left:
            return Standing(Stage.DONE)
        return Standing(Stage.HALF, f"left: {', '.join(left)}")

    def start(self, action: Action) -> None:
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
        volume = named(snapshot.original_volume)
        newer = [
            one
            for one in every
            if one.provider_id == SYSTEM_PROVIDER_ID
            and named(one.original_volume) == volume
            and one.created > snapshot.created
        ]
        if newer:
            raise RefusedError(
                f"reverting {snapshot.original_volume} would lose {len(newer)} newer copies of it",
                hint='copy it back instead: restore = "copy" in [provider.vss]; or delete them',
            )
