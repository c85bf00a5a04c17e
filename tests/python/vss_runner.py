"""Runs a scenario (tests/scenarios/README.md) on the portable coordinator from Python and compares
what came of it."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

from vss_world import make_coordinator, volume_named, words

from exshadow import Error, IoError, vss
from exshadow.vss.plain import to_json
from scenarios.table import by_full_name, holds

NOT_LOOKED_AT = {"identify", "is_supported", "properties", "query"}
QUICK = vss.RetryLimits(tries=1, wait=10, busy_wait=10, busy_limit=100)


class Lost(BaseException):
    """The requestor dies in its own part."""


class Run:
    """One scenario's machine and what its steps left behind."""

    def __init__(self, scenario: Any) -> None:
        self.scenario = scenario
        self.released = threading.Event()
        self.coordinator = make_coordinator(scenario.world, self.released)
        self.named: dict[str, vss.BackupReport] = {}
        self.last_writers: dict[str, vss.WriterStatus] = {}
        self.chosen: dict[str, Any] = {}

    def close(self) -> None:
        self.released.set()
        self.coordinator.close()

    def volume(self, path: str) -> str:
        return volume_named(self.scenario.world, path)

    def snapshot(self, text: str) -> UUID:
        if not text.startswith("@"):
            return UUID(text)
        name, _, volume = text[1:].partition(":")
        wanted = self.volume(volume)
        report = self.named[name]
        return next(one.snapshot_id for one in report.snapshots if one.original_volume == wanted)

    def set_id(self, text: str) -> UUID:
        return self.named[text[1:]].snapshot_set_id if text.startswith("@") else UUID(text)

    def _keep(self, report: vss.BackupReport | vss.RestoreReport) -> None:
        for one in report.writers:
            self.last_writers[one.status.name] = one.status

    # --- the verbs: each gives what `expect` may count

    def backup(self, step: dict[str, Any]) -> int:
        work = step.get("work", "ok")

        def between(report: vss.BackupReport) -> vss.Copied:
            if work == "lost":
                raise Lost
            if work == "error":
                raise IoError("the copy failed")
            return vss.Copied(all_succeeded=work == "ok")

        previous = step.get("previous")
        tries = step.get("retries", 0) + 1
        context = words(vss.Context, step.get("context", "backup"))
        request = vss.BackupRequest(
            volumes=[self.volume(one) for one in step.get("volumes", [])],
            provider=step.get("provider", ""),
            context=context | words(vss.SnapshotAttributes, step.get("attributes", [])),
            state=vss.BackupState(
                step.get("components", True),
                step.get("bootable", False),
                words(vss.BackupType, step.get("type", "full")),
                step.get("partial_files", False),
            ),
            included=[vss.ComponentWish(one) for one in step.get("only", [])],
            excluded=[vss.ComponentWish(one) for one in step.get("exclude", [])],
            base_document=self.named[previous[1:]].document if previous else "",
            retry=vss.RetryLimits(tries, QUICK.wait, QUICK.busy_wait, QUICK.busy_limit),
        )
        try:
            outcome = self.coordinator.backup(request, between)
        except Lost:
            return 0
        self._keep(outcome.report)
        if "as" in step:
            self.named[step["as"]] = outcome.report
        outcome.check()
        return len(outcome.report.snapshots)

    def restore(self, step: dict[str, Any]) -> int | None:
        document = self.named[step["from"][1:]].document
        request = vss.RestoreRequest(
            document,
            included=[vss.ComponentWish(one) for one in step.get("only", [])],
            roll_forward=words(vss.RollForward, step["roll_forward"])
            if "roll_forward" in step
            else None,
            roll_forward_point=step.get("point", ""),
            new_name=step.get("new_name", ""),
            new_targets=mappings(step.get("new_targets", [])),
            alternate_mappings=mappings(step.get("alternate_locations", [])),
            subcomponents=[
                (meant(one), vss.RestoreSubcomponent(one["path"], one["name"]))
                for one in step.get("subcomponents", [])
            ],
            ranges_files=[
                (meant(one), vss.RangesFile(one["number"], one["path"]))
                for one in step.get("ranges_files", [])
            ],
        )
        status = step.get("status", "all")
        outcome = self.coordinator.restore(request, lambda _: vss.Copied(status == "all"))
        self.chosen = by_full_name(to_json(outcome.report.chosen))
        self._keep(outcome.report)
        outcome.check()
        return None

    def import_(self, step: dict[str, Any]) -> int:
        found = self.coordinator.import_set(self.named[step["from"][1:]].document)
        return len(found.snapshots)

    def break_(self, step: dict[str, Any]) -> int | None:
        flags = words(vss.BreakFlags, step["flags"]) if "flags" in step else None
        self.coordinator.break_set(self.set_id(step["set"]), flags)
        return None

    def expose(self, step: dict[str, Any]) -> int | None:
        how = vss.Exposure.REMOTELY if step.get("remote") else vss.Exposure.LOCALLY
        self.coordinator.expose(
            self.snapshot(step["snapshot"]),
            step.get("name", ""),
            path_from_root=step.get("path", ""),
            how=how,
        )
        return None

    def unexpose(self, step: dict[str, Any]) -> int | None:
        self.coordinator.unexpose(self.snapshot(step["snapshot"]))
        return None

    def revert(self, step: dict[str, Any]) -> int | None:
        self.coordinator.revert(
            self.snapshot(step["snapshot"]), force_dismount=step.get("force", False)
        )
        return None

    def resync(self, step: dict[str, Any]) -> int | None:
        destination = self.volume(step["destination"]) if "destination" in step else ""
        self.coordinator.resync(
            self.named[step["from"][1:]].document,
            [vss.RecoveryPair(self.snapshot(one), destination) for one in step["snapshots"]],
            words(vss.RecoveryFlags, step.get("flags", [])),
        )
        return None

    def query(self, step: dict[str, Any]) -> int:
        if step.get("what") == "providers":
            return len(self.coordinator.providers())
        context = words(vss.Context, step.get("context", "all"))
        return len(self.coordinator.snapshots(context))

    def delete(self, step: dict[str, Any]) -> int:
        if "set" in step:
            id, kind = self.set_id(step["set"]), vss.ObjectType.SNAPSHOT_SET
        else:
            id, kind = self.snapshot(step["snapshot"]), vss.ObjectType.SNAPSHOT
        outcome = self.coordinator.delete(id, kind, force=step.get("force", False))
        if outcome.failed_snapshot is not None:
            raise vss.failure(outcome.failure, f"snapshot {outcome.failed_snapshot}")
        return outcome.deleted

    def writers(self, step: dict[str, Any]) -> int:
        found = self.coordinator.writers()
        for one in found:
            if one.status is not None:
                self.last_writers[one.metadata.name] = one.status
        return len(found)


def meant(entry: dict[str, Any]) -> vss.ComponentWish:
    writer, _, component = entry["of"].partition(":")
    return vss.ComponentWish(writer, component)


def mappings(entries: list[dict[str, Any]]) -> list[tuple[vss.ComponentWish, vss.LocationMapping]]:
    return [
        (
            meant(one),
            vss.LocationMapping(vss.FileSet(one["path"], one["spec"]), one["destination"]),
        )
        for one in entries
    ]


def take_step(run: Run, step: dict[str, Any]) -> None:
    """Do it and compare with what it expects."""
    expect = step.get("expect", {})
    verb = {"import": "import_", "break": "break_"}.get(step["do"], step["do"])
    result, text, count = "ok", "", None
    try:
        count = getattr(run, verb)(step)
    except vss.VssError as error:
        result, text = error.name, f"{error.message} {error.hint}"
    except Error as error:
        result, text = error.code, f"{error.message} {error.hint}"
    assert result == expect.get("result", "ok"), text
    for wanted in expect.get("text", []):
        assert wanted.lower() in text.lower()
    for key in ("count", "imported"):
        if key in expect:
            assert count == expect[key]
    assert holds(run.chosen, expect.get("chosen", {})), run.chosen


def check(run: Run, expect: dict[str, Any]) -> None:
    """Compare the machine with the end of the scenario."""
    made = [one for one in run.coordinator.callbacks() if one.event not in NOT_LOOKED_AT]
    for actor, wanted in expect.get("callbacks", {}).items():
        assert [one.event for one in made if one.actor == actor] == wanted, actor
    order = [f"{one.actor}.{one.event}" for one in made]
    for before, after in expect.get("before", []):
        assert order.index(before) < order.index(after), (before, after)
    if "within" in expect:
        frozen = [one.at for one in made if one.event == "freeze"]
        thawed = [one.at for one in made if one.event in ("thaw", "abort")]
        assert (max(thawed) - min(frozen)) * 1000 <= expect["within"]
    for name, (state, failure) in expect.get("writers", {}).items():
        found = run.last_writers[name]
        assert (found.state.word, found.failure.name) == (state, failure), name
    if "snapshots" in expect:
        assert len(run.coordinator.snapshots()) == expect["snapshots"]
    with run.coordinator.backup_components() as session:
        session.initialize_for_backup()
        session.gather_writer_metadata().finish()
        taken = expect.get("set_open", False)
        try:
            session.start_snapshot_set()
        except vss.SnapshotSetInProgress:
            assert taken
        else:
            assert not taken
