"""Runs a scenario by exshadow-vss.exe: steps as command lines, ends by JSON and log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from scenarios.table import Scenario, by_full_name, holds
from wine.bed import Ended, Machine, program, windows_path

TOOL = "exshadow-vss.exe"
LEFT_OUT = {"identify", "is_supported", "properties", "query"}
FAILS = "exit 7"


@dataclass
class Run:
    """One scenario under way."""

    scenario: Scenario
    machine: Machine
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    statuses: dict[str, list[str]] = field(default_factory=dict)

    def steps(self) -> None:
        """Run every step and hold its end against what the scenario says."""
        for number, step in enumerate(self.scenario.run):
            ended = self._run(step, f"saved{number}")
            said = f"{ended.out[-1500:]}{ended.err[-500:]}"
            where = f"step {number} {step['do']} ended with {ended.status}: {said}"
            if step.get("work") == "lost":
                assert ended.status == 0, where
                continue
            assert ended.out, where
            document = json.loads(ended.out)
            self._judge(step, ended, document, where)
            self._remember(step, document, f"saved{number}")

    def _run(self, step: dict[str, Any], folder: str) -> Ended:
        if step.get("work") == "lost":
            return self.machine.run(program("import_client.exe"), step["volumes"][0], "leave")
        arguments = list(getattr(self, f"_{step['do']}")(step, folder))
        return self.machine.run(program(TOOL), "--json", "--timeout", "20", *arguments)

    def _judge(
        self, step: dict[str, Any], ended: Ended, document: dict[str, Any], where: str
    ) -> None:
        expect = step.get("expect", {})
        wanted = expect.get("result", "ok")
        error = document.get("error")
        told_of_failure = step.get("work") == "fail" or step.get("status") == "failed"
        if told_of_failure and wanted == "ok":  # the tool's own status says that its command failed
            assert ended.status == 1, where
            return
        assert (ended.status == 0) == (wanted == "ok"), where
        found = "ok" if error is None else (error["name"] or error["code"])
        assert found == wanted, where
        said = "" if error is None else f"{error['message']}\n{error['hint']}".lower()
        for words in expect.get("text", []):
            assert words.lower() in said, (words, where)
        for key in ("count", "imported"):
            if key in expect and error is None:
                assert self._count(document) == expect[key], where
        chosen = by_full_name(document.get("restore", {}).get("chosen", []))
        assert holds(chosen, expect.get("chosen", {})), where

    @staticmethod
    def _count(document: dict[str, Any]) -> int:
        ((_, found),) = document.items()
        if isinstance(found, list):
            return len(found)
        return found["deleted"] if "deleted" in found else len(found["snapshots"])

    def _remember(self, step: dict[str, Any], document: dict[str, Any], folder: str) -> None:
        report = document.get(step["do"], {})
        for writer in report.get("writers", []) if isinstance(report, dict) else []:
            status = writer.get("status", writer)
            self.statuses[status["name"]] = [status["state"], status["failure_name"].split()[0]]
        # A backup whose command failed is told as an error, and is one that was made all the same.
        found = document.get("imported" if step["do"] == "import" else step["do"])
        if "as" not in step or not isinstance(found, dict) or "snapshots" not in found:
            return
        self.made[step["as"]] = {
            "document": windows_path(self.machine.folder / folder / "backup-components.xml"),
            "snapshots": found["snapshots"],
        }

    def _backup(self, step: dict[str, Any], folder: str) -> Iterator[str]:
        yield "backup"
        yield from step.get("volumes", [])
        yield from ("--type", step.get("type", "full"), "--context", step.get("context", "backup"))
        yield from (
            "--tries",
            str(step.get("retries", 1)),
            "--retry-wait",
            "0",
            "--busy-limit",
            "6",
        )
        yield from ("--save-documents", windows_path(self.machine.folder / folder))
        for name, option in (
            ("attributes", "--attribute"),
            ("only", "--writer"),
            ("exclude", "--exclude"),
        ):
            for value in step.get(name, []):
                yield from (option, value)
        if "provider" in step:
            yield from ("--provider", step["provider"])
        if "previous" in step:
            yield from ("--base", self._made(step["previous"])["document"])
        flags = (("bootable", "--bootable"), ("partial_files", "--partial-files"))
        yield from (option for name, option in flags if step.get(name))
        if not step.get("components", True):
            yield "--whole-volumes"
        if step.get("work") == "fail":
            yield from ("--exec", FAILS)

    def _restore(self, step: dict[str, Any], _: str) -> Iterator[str]:
        yield from ("restore", self._made(step["from"])["document"])
        for name in step.get("only", []):
            yield from ("--component", name)
        for key, option in (
            ("roll_forward", "--roll-forward"),
            ("point", "--point"),
            ("new_name", "--new-name"),
        ):
            if key in step:
                yield from (option, step[key])
        yield from self._places(step)
        if step.get("status", "all") != "all":
            yield from ("--exec", FAILS)

    def _places(self, step: dict[str, Any]) -> Iterator[str]:
        for key, option in (
            ("new_targets", "--new-target"),
            ("alternate_locations", "--alternate-location"),
        ):
            for one in step.get(key, []):
                yield from (option, one["of"], one["path"], one["spec"], one["destination"])
        for one in step.get("subcomponents", []):
            whole = "\\".join(filter(None, (one["path"], one["name"])))
            yield from ("--subcomponent", one["of"], whole)
        for one in step.get("ranges_files", []):
            yield from ("--ranges-file", one["of"], str(one["number"]), one["path"])

    def _import(self, step: dict[str, Any], _: str) -> Iterator[str]:
        yield from ("import", self._made(step["from"])["document"])

    def _break(self, step: dict[str, Any], _: str) -> Iterator[str]:
        yield from ("break", self._set(step["set"]))
        for flag in step.get("flags", []):
            yield from ("--flag", flag)

    def _expose(self, step: dict[str, Any], _: str) -> Iterator[str]:
        yield from ("expose", self._snapshot(step["snapshot"]), "--as", step["name"])
        if step.get("remote"):
            yield "--share"

    def _unexpose(self, step: dict[str, Any], _: str) -> Iterator[str]:
        yield from ("unexpose", self._snapshot(step["snapshot"]))

    def _revert(self, step: dict[str, Any], _: str) -> Iterator[str]:
        yield from ("revert", self._snapshot(step["snapshot"]))
        if step.get("force"):
            yield "--force-dismount"

    def _resync(self, step: dict[str, Any], _: str) -> Iterator[str]:
        yield from ("resync", self._made(step["from"])["document"])
        for name in step["snapshots"]:
            target = f"={step['destination']}" if "destination" in step else ""
            yield self._snapshot(name) + target
        for flag in step.get("flags", []):
            yield from ("--flag", flag)

    def _query(self, step: dict[str, Any], _: str) -> Iterator[str]:
        yield from ["providers"] if step.get("what") == "providers" else ["snapshots", "list"]

    def _writers(self, _step: dict[str, Any], _: str) -> Iterator[str]:
        yield "writers"

    def _delete(self, step: dict[str, Any], _: str) -> Iterator[str]:
        yield from ("snapshots", "delete")
        if "set" in step:
            yield from ("--set", self._set(step["set"]))
        else:
            yield self._snapshot(step["snapshot"])
        if step.get("force"):
            yield "--force"

    def _made(self, name: str) -> dict[str, Any]:
        return self.made[name.removeprefix("@").split(":", 1)[0]]

    def _snapshot(self, name: str) -> str:
        if not name.startswith("@"):
            return name
        volume = name.split(":", 1)[1]
        found = self._made(name)["snapshots"]
        return next(str(one["snapshot_id"]) for one in found if one["original_volume"] == volume)

    def _set(self, name: str) -> str:
        return str(self._made(name)["snapshots"][0]["set_id"]) if name.startswith("@") else name

    def end(self) -> None:
        """Hold the whole run against what the scenario says of it."""
        expect = self.scenario.expect
        seen = [
            (actor, event) for actor, event in self.machine.callbacks() if event not in LEFT_OUT
        ]
        for actor, events in expect.get("callbacks", {}).items():
            assert [event for who, event in seen if who == actor] == events, actor
        for first, second in expect.get("before", []):
            flat = [f"{actor}.{event}" for actor, event in seen]
            assert flat.index(first) < flat.index(second)
        asked = iter(name.removesuffix("Ex") for name, _ in self.machine.calls())
        for call in expect.get("calls", []):
            assert call in asked, (call, [name for name, _ in self.machine.calls()])
        for name, (state, failure) in expect.get("writers", {}).items():
            assert self.statuses[name] == [state, failure]
        if "snapshots" in expect:
            assert len(self.machine.state["snapshots"]) == expect["snapshots"]
        if "within" in expect:
            assert self._frozen() <= expect["within"]
        assert self.machine.leaks() == []
        steps = self.scenario.run
        refused = sum(step.get("expect", {}).get("result") == "invalid" for step in steps)
        # What is refused as it was written may never have come to the service.
        assert len(steps) - refused <= len(self.machine.reports()) <= len(steps)

    def _frozen(self) -> int:
        """Milliseconds from the first Freeze to the last Thaw or Abort."""
        at = [
            (line["callback"], line["at_ms"])
            for line in self.machine.log
            if line.get("of") == "writer"
        ]
        first = min(when for event, when in at if event == "freeze")
        return int(max(when for event, when in at if event in ("thaw", "abort")) - first)
