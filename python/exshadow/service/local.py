"""The verbs done in this process: each opens the volumes it needs at its desk."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import BinaryIO

from exshadow.errors import Error
from exshadow.model import ChangedMember, JobRecord, Plan, SetRecord, VolumeRecord
from exshadow.service import (
    export_onto,
    mirrors,
    pins,
    reintegrate,
    restore,
    snapshots,
    transfer,
    verify,
    volumes,
)
from exshadow.service.checks.wish import CheckWish
from exshadow.service.desk import Desk
from exshadow.service.drills.wish import Drilled, DrillWish
from exshadow.service.export_onto import Onto, OntoWish
from exshadow.service.mirrors import Compared
from exshadow.service.restore import Restored, RestoreWish
from exshadow.service.snapshots import Listing, Split
from exshadow.service.state import Survey
from exshadow.service.transfer import Exported
from exshadow.service.verify import BYTES, Verified


class LocalService:
    """A :class:`~exshadow.service.contract.Service` at one desk, used by one thread."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def add_volume(
        self,
        name: str,
        path: str,
        *,
        group: str | None = None,
        region_size: int = 65536,
        metadata_copy: str | None = None,
    ) -> VolumeRecord:
        return volumes.add(
            self.desk, name, path, group=group, region_size=region_size, metadata_copy=metadata_copy
        )

    def list_volumes(self) -> Survey:
        return volumes.listing(self.desk)

    def show_volume(self, name: str) -> VolumeRecord:
        return volumes.show(self.desk, name)

    def volume_removal(self, name: str) -> Plan:
        return volumes.removal_plan(self.desk, name)

    def remove_volume(self, name: str, *, break_sets: bool = False) -> None:
        volumes.remove(self.desk, name, break_sets=break_sets)

    def mirror_plan(
        self, volume: str, path: str, label: str | None = None, *, overwrite: bool = False
    ) -> Plan:
        return mirrors.add_plan(self.desk, volume, path, label, overwrite=overwrite)

    def add_mirror(
        self,
        volume: str,
        path: str,
        *,
        label: str | None = None,
        limit: int | None = None,
        overwrite: bool = False,
    ) -> JobRecord:
        return mirrors.add(self.desk, volume, path, label=label, limit=limit, overwrite=overwrite)

    def sync_plan(self, volume: str, label: str | None = None) -> Plan:
        return mirrors.sync_plan(self.desk, volume, label)

    def sync_mirror(
        self, volume: str, label: str | None = None, *, limit: int | None = None
    ) -> JobRecord:
        return mirrors.sync(self.desk, volume, label, limit=limit)

    def mirror_removal(self, volume: str, label: str) -> Plan:
        return mirrors.removal_plan(self.desk, volume, label)

    def remove_mirror(self, volume: str, label: str) -> None:
        mirrors.remove(self.desk, volume, label)

    def repair_plan(self, volume: str, source: str | None = None) -> Plan:
        return mirrors.verify_plan(self.desk, volume, source)

    def verify_mirror(
        self, volume: str, *, repair: bool = False, source: str | None = None
    ) -> Compared:
        return mirrors.verify(self.desk, volume, repair=repair, source=source)

    def create_set(
        self, group: str, *, label: str | None = None, plex: str | None = None
    ) -> SetRecord:
        return snapshots.create(self.desk, group, label=label, plex=plex)

    def armed_split(
        self, group: str, *, label: str | None = None, plex: str | None = None
    ) -> AbstractContextManager[Split]:
        return snapshots.armed(self.desk, group, label=label, plex=plex)

    def list_sets(self, group: str | None = None, *, everything: bool = False) -> Listing:
        return snapshots.listing(self.desk, group, everything=everything)

    def show_set(self, text: str) -> SetRecord:
        return snapshots.show(self.desk, text)

    def diff_set(self, text: str, since: str | None = None) -> tuple[ChangedMember, ...]:
        return snapshots.diff(self.desk, text, since)

    def verify_set(self, text: str, wish: CheckWish = BYTES) -> Verified:
        return verify.verify(self.desk, text, wish)

    def drill(self, group: str, wish: DrillWish) -> tuple[Drilled, Error | None]:
        from exshadow.service.drills import drill

        return drill.drill(self.desk, group, wish)

    def set_plan(self, text: str, verb: str) -> Plan:
        return reintegrate.plan(self.desk, text, verb)

    def resync_set(self, text: str, *, limit: int | None = None) -> JobRecord:
        return reintegrate.resync(self.desk, text, limit=limit)

    def delete_set(self, text: str) -> SetRecord:
        return reintegrate.delete(self.desk, text)

    def promote_set(self, text: str, *, live: bool = False) -> SetRecord:
        return reintegrate.promote(self.desk, text, live=live)

    def mark_set(self, text: str, consistency: str) -> SetRecord:
        return snapshots.mark(self.desk, text, consistency)

    def pin_set(self, text: str, until: str | None, *, reason: str = "") -> SetRecord:
        return pins.pin(self.desk, text, until, reason)

    def restore_plan(self, text: str, wish: RestoreWish) -> Plan:
        if wish.roll_forward:
            from exshadow.service.roll_forward import forward

            return forward.plan(self.desk, text, wish)
        return restore.plan(self.desk, text, wish)

    def restore_set(self, text: str, wish: RestoreWish) -> Restored:
        if wish.roll_forward:
            from exshadow.service.roll_forward import forward

            return forward.roll_forward(self.desk, text, wish)
        return restore.copy_back(self.desk, text, wish)

    def export_set(
        self,
        text: str,
        folder: str | None,
        *,
        since: str | None = None,
        stream: BinaryIO | None = None,
    ) -> Exported:
        return transfer.export(self.desk, text, folder, since=since, stream=stream)

    def export_onto(self, text: str, wish: OntoWish) -> Onto:
        return export_onto.export_onto(self.desk, text, wish)
