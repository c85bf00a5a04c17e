"""The machine of a scenario (tests/scenarios/README.md) on the portable coordinator: scripted
writers and a scripted provider as Python classes."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from exshadow import vss
from exshadow.vss.words import flags_from_words, from_word

H = vss.HResult


def words(kind: Any, value: Any) -> Any:
    """An enumeration or flags from our words or Microsoft's numbers."""
    if isinstance(value, list):
        return flags_from_words(kind, "+".join(value))
    return from_word(kind, value) if isinstance(value, str) else kind(value)


class Script:
    """What one actor does at its events."""

    def __init__(self, events: dict[str, Any], released: threading.Event) -> None:
        self.events = events
        self.released = released
        self.counts: dict[str, int] = {}

    def play(self, event: str, name: str) -> None:
        script = self.events.get(event)
        if script is None:
            return
        self.counts[event] = self.counts.get(event, 0) + 1
        if "times" in script and self.counts[event] > script["times"]:
            return
        time.sleep(script.get("delay", 0) / 1000)
        if script.get("hang"):
            self.released.wait(60)
        if "fail" in script:
            raise vss.failure(H[script["fail"]], script.get("message", name))


class ScriptedWriter(vss.Writer):
    def __init__(
        self, facts: dict[str, Any], released: threading.Event, volumes: list[dict[str, Any]]
    ) -> None:
        self.facts = facts
        self.volumes = volumes
        self.script = Script(facts.get("events", {}), released)
        self.writer_id = UUID(facts["id"])
        self.instance_id = UUID(facts["instance"]) if "instance" in facts else vss.NIL
        self.name = facts["name"]
        self.instance_name = facts.get("instance_name", "")
        self.usage = words(vss.UsageType, facts.get("usage", "user_data"))
        self.source = words(vss.SourceType, facts.get("source", "other"))
        self.level = words(vss.ApplicationLevel, facts.get("level", "front_end"))
        self.freeze_limit = facts.get("freeze_limit", 60_000) / 1000
        for event in (
            "prepare_backup", "prepare_snapshot", "freeze", "thaw", "post_snapshot",
            "backup_complete", "backup_shutdown", "abort", "pre_restore", "post_restore",
        ):  # fmt: skip
            setattr(self, f"on_{event}", self._callback(event))

    def lacks_volumes(self, call: vss.WriterCall) -> bool:
        """Whether files of a component lie outside the set."""
        paths = [
            path
            for volume in self.volumes
            if volume["name"] in call.facts().volumes
            for path in (volume["name"], *volume.get("paths", []))
        ]
        return any(
            not files.path.startswith(tuple(paths))
            for one in self.identify().components
            for files in (*one.files, *one.database_files, *one.database_logs)
        )

    def _callback(self, event: str) -> Any:
        def callback(call: vss.WriterCall) -> None:
            self.edit(event, call)
            checks = event == "prepare_snapshot" and self.facts.get("checks_volumes")
            if checks and self.lacks_volumes(call):
                raise vss.failure(H.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT, "volumes lack")
            self.script.play(event, self.name)

        return callback

    def edit(self, event: str, call: vss.WriterCall) -> None:
        document = self.facts.get("document", {})
        for one in call.components().components:
            place = (one.logical_path, one.name)
            if event == "prepare_backup" and "backup_metadata" in document:
                call.set_backup_metadata(*place, document["backup_metadata"])
            for file in document.get("partial_files", ()) if event == "prepare_backup" else ():
                call.add_partial_file(
                    *place,
                    vss.PartialFile(
                        file["path"], file["name"], file["ranges"], file.get("metadata", "")
                    ),
                )
            if event == "post_snapshot" and "stamp" in document:
                call.set_backup_stamp(*place, document["stamp"])
            if event == "post_snapshot" and "component_failure" in document:
                torn = document["component_failure"]
                call.set_component_failure(
                    *place,
                    vss.ComponentFailure(
                        H[torn["fail"]], application_message=torn.get("message", "")
                    ),
                )
            if event == "pre_restore" and "restore_target" in document:
                target = words(vss.RestoreTarget, document["restore_target"])
                call.set_restore_target(*place, target)

    def identify(self) -> vss.WriterMetadata:
        self.script.play("identify", self.name)
        restore = self.facts.get("restore_method")
        return vss.WriterMetadata(
            self.writer_id,
            self.name,
            schema=words(vss.BackupSchema, self.facts.get("schema", [])),
            components=[component(one) for one in self.facts.get("components", [])],
            excluded=[file_set(one) for one in self.facts.get("excluded", [])],
            restore_method=None
            if restore is None
            else vss.RestoreMethodMetadata(
                words(vss.RestoreMethod, restore.get("method", "undefined")),
                service=restore.get("service", ""),
                writer_restore=words(vss.WriterRestore, restore.get("writer_restore", "never")),
                reboot_required=restore.get("reboot", False),
            ),
        )


def component(facts: dict[str, Any]) -> vss.ComponentMetadata:
    return vss.ComponentMetadata(
        facts["name"],
        facts.get("path", ""),
        words(vss.ComponentType, facts.get("type", "file_group")),
        caption=facts.get("caption", ""),
        selectable=facts.get("selectable", True),
        selectable_for_restore=facts.get("selectable_for_restore", False),
        notify_on_backup_complete=facts.get("notify", False),
        files=[file_set(one) for one in facts.get("files", [])],
        database_files=[file_set(one) for one in facts.get("database_files", [])],
        database_logs=[file_set(one) for one in facts.get("logs", [])],
    )


def file_set(facts: dict[str, Any]) -> vss.FileSet:
    return vss.FileSet(facts["path"], facts["spec"], facts.get("recursive", False))


class ScriptedProvider(vss.Provider):
    def __init__(
        self, facts: dict[str, Any], world: dict[str, Any], released: threading.Event
    ) -> None:
        self.script = Script(facts.get("events", {}), released)
        self.provider_id = UUID(facts["id"])
        self.name = facts["name"]
        self.type = words(vss.ProviderType, facts.get("type", "software"))
        self.version = facts.get("version", "1.0")
        kinds = facts.get("kinds", ["differential", "plex"])
        self.differential, self.plex = "differential" in kinds, "plex" in kinds
        self.transportable = self.type is vss.ProviderType.HARDWARE
        can = facts.get("can", [])
        self.breaks, self.reverts = "break" in can, "revert" in can
        self.resyncs, self.exposes = "resync" in can, "expose" in can
        self.known = [one["name"] for one in world.get("volumes", [])]
        chosen = [volume_named(world, one) for one in facts.get("volumes", [])]
        self.volumes = chosen or self.known
        self.making: dict[UUID, list[vss.SnapshotRequest]] = {}
        self.made: dict[UUID, vss.SnapshotProperties] = {}
        for one in world.get("snapshots", []):
            if UUID(one.get("provider", str(self.provider_id))) == self.provider_id:
                request = request_of(one, world)
                self.made[request.snapshot_id] = self._properties(request, one.get("set_size", 1))

    def is_volume_supported(self, volume: str, attributes: vss.SnapshotAttributes) -> bool:
        self.script.play("is_supported", self.name)
        if volume not in self.known:
            raise vss.failure(H.VSS_E_OBJECT_NOT_FOUND, f"volume {volume}")
        return volume in self.volumes

    def begin_prepare_snapshot(self, request: vss.SnapshotRequest) -> None:
        self.script.play("begin_prepare", self.name)
        self.making.setdefault(request.set_id, []).append(request)

    def end_prepare_snapshots(self, set_id: UUID) -> None:
        self.script.play("end_prepare", self.name)

    def pre_commit_snapshots(self, set_id: UUID) -> None:
        self.script.play("pre_commit", self.name)

    def commit_snapshots(self, set_id: UUID) -> None:
        self.script.play("commit", self.name)
        requests = self.making[set_id]
        for one in requests:
            self.made[one.snapshot_id] = self._properties(one, len(requests))

    def post_commit_snapshots(self, set_id: UUID, count: int) -> None:
        self.script.play("post_commit", self.name)

    def pre_final_commit_snapshots(self, set_id: UUID) -> None:
        self.script.play("pre_final_commit", self.name)

    def post_final_commit_snapshots(self, set_id: UUID) -> None:
        self.script.play("post_final_commit", self.name)
        for one in self.making.pop(set_id, []):
            if one.attributes & vss.SnapshotAttributes.TRANSPORTABLE:
                del self.made[one.snapshot_id]  # for another machine: seen when it is imported

    def abort_snapshots(self, set_id: UUID) -> None:
        for one in self.making.pop(set_id, []):
            self.made.pop(one.snapshot_id, None)
        self.script.play("abort", self.name)

    def query(self) -> list[vss.SnapshotProperties]:
        return list(self.made.values())

    def delete_snapshot(self, snapshot: UUID, force: bool) -> None:
        self.script.play("delete", self.name)
        if self.made.pop(snapshot, None) is None:
            raise vss.failure(H.VSS_E_OBJECT_NOT_FOUND, f"snapshot {snapshot}")

    def break_snapshot_set(self, set_id: UUID, flags: vss.BreakFlags) -> None:
        self.script.play("break", self.name)
        self.made = {id: one for id, one in self.made.items() if one.set_id != set_id}

    def import_snapshot(self, recorded: vss.RecordedSnapshot) -> vss.SnapshotProperties:
        self.script.play("import", self.name)
        attributes = recorded.properties.attributes | vss.SnapshotAttributes.IMPORTED
        found = replace(recorded.properties, attributes=attributes)
        self.made[found.snapshot_id] = found
        return found

    def expose_snapshot(
        self, snapshot: UUID, path_from_root: str, how: vss.Exposure, name: str
    ) -> str:
        self.script.play("expose", self.name)
        shown, flags = name or "X:\\", vss.SnapshotAttributes
        flag = flags.EXPOSED_REMOTELY if how is vss.Exposure.REMOTELY else flags.EXPOSED_LOCALLY
        one = self.made[snapshot]
        self.made[snapshot] = replace(
            one, attributes=one.attributes | flag, exposed_name=shown, exposed_path=path_from_root
        )
        return shown

    def unexpose_snapshot(self, snapshot: UUID) -> None:
        self.script.play("unexpose", self.name)
        one = self.made[snapshot]
        attributes = one.attributes & ~vss.SnapshotAttributes.EXPOSED_LOCALLY
        self.made[snapshot] = replace(one, attributes=attributes, exposed_name="")

    def revert_to_snapshot(self, snapshot: UUID, force_dismount: bool) -> None:
        self.script.play("revert", self.name)

    def query_revert_status(self, volume: str) -> None:
        self.script.play("revert_status", self.name)

    def resync(self, pairs: list[vss.ResyncPair], flags: vss.RecoveryFlags) -> None:
        self.script.play("resync", self.name)

    def _properties(self, request: vss.SnapshotRequest, size: int) -> vss.SnapshotProperties:
        kind = (
            vss.SnapshotAttributes.DIFFERENTIAL
            if self.differential
            else vss.SnapshotAttributes.PLEX
        )
        return vss.SnapshotProperties(
            request.snapshot_id, request.set_id, size, f"/device/{request.snapshot_id}",
            request.volume, "TEST-PC", "TEST-PC", "", "", self.provider_id,
            request.attributes | kind, 133_000_000_000_000_000, vss.SnapshotState.CREATED,
        )  # fmt: skip


def request_of(facts: dict[str, Any], world: dict[str, Any]) -> vss.SnapshotRequest:
    """What a snapshot that exists before was asked for with."""
    return vss.SnapshotRequest(
        UUID(facts.get("set", str(uuid4()))),
        UUID(facts["id"]),
        volume_named(world, facts["volume"]),
        words(vss.SnapshotAttributes, facts.get("attributes", ["persistent", "no_auto_release"])),
    )


def volume_named(world: dict[str, Any], path: str) -> str:
    """The name of the volume that has this name or path."""
    for one in world.get("volumes", []):
        if path == one["name"] or path in one.get("paths", []):
            return str(one["name"])
    return path


SYSTEM = {"id": str(vss.SYSTEM_PROVIDER_ID), "name": "System", "type": "system"}


def make_coordinator(world: dict[str, Any], released: threading.Event) -> vss.Coordinator:
    """A coordinator with the world's writers and providers."""
    limits = vss.Limits()
    given = {name: value / 1000 for name, value in world.get("limits", {}).items()}
    coordinator = vss.Coordinator(limits=replace(limits, **given), machine="TEST-PC")
    for one in world.get("writers", []):
        coordinator.register_writer(ScriptedWriter(one, released, world.get("volumes", [])))
    for one in world.get("providers") or [SYSTEM]:
        coordinator.register_provider(ScriptedProvider(one, world, released))
    return coordinator
