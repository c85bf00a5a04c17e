"""The proof for ESE: the set's databases and today's logs recover together, or the rule against
it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from exshadow.errors import NotFoundError
from exshadow.ese.generations import spelled
from exshadow.ese.reports import EseReport, FileReport, SetReport
from exshadow.service.checks import ese as ese_check
from exshadow.service.checks.ground import Outcome

_SHOWN = 3


def judge(report: EseReport, tree: Path) -> Outcome:
    """What stands against a roll-forward; else the range that is there. `tree`: where the places
    are mounted, left out of what is told."""
    databases = [one for one in report.files if one.kind == "database" and one.state != "skipped"]
    logs = [one for one in report.files if one.kind == "log" and one.state != "skipped"]
    against = _against(report, databases, logs)
    evidence = ese_check.evidence(ese_check.document(report, tree))
    if against:
        text = "; ".join(against[:_SHOWN]).replace(f"{tree}/", "")
        return Outcome(False, text, evidence)
    sets = _sets_of(report, databases, logs)
    said = [
        f"{one.base}: required range {spelled(*one.required)} present and sound"
        for one in sets
        if one.required
    ]
    return Outcome(True, "; ".join(said), evidence)


def missing(problem: NotFoundError) -> Outcome:
    """There is nothing where the logs were."""
    return Outcome(False, f"rule: a roll-forward replays the current logs: {problem.message}")


def _against(report: EseReport, databases: list[FileReport], logs: list[FileReport]) -> list[str]:
    if not databases:
        return ["no database was found in the set's copies"]
    if not logs:
        return ["rule: a roll-forward replays the current logs: none are there (-528)"]
    streams = {one.facts.get("log_signature") for one in databases}
    if circular := [
        Path(log.path).name
        for log in logs
        if log.facts.get("circular") and log.facts.get("signature") in streams
    ]:
        return [
            "rule: under circular logging only the point in time can be restored "
            f"({circular[0]} was written under it)"
        ]
    found = [
        f"the set's database {Path(one.path).name} is damaged: {one.findings[-1]}"
        for one in databases
        if not one.ok
    ]
    found += [
        f"rule: {Path(one.path).name} was shut down cleanly and needs no log: nothing shows that "
        "the current logs go on from it"
        for one in databases
        if one.ok and one.state == "CleanShutdown"
    ]
    signatures = {log.facts.get("signature") for log in logs}
    for one in databases:
        if one.facts.get("log_signature") not in signatures and "log_signature" in one.facts:
            found.append(
                f"rule: the logs on disk are of another stream than {Path(one.path).name} (-530)"
            )
    found += [
        f"rule: the chain of logs must be whole: {finding}"
        for one in _sets_of(report, databases, logs)
        if not one.ok
        for finding in one.findings[:_SHOWN]
        if not finding.endswith("is damaged") or not found
    ]
    return found


def _sets_of(
    report: EseReport, databases: Sequence[FileReport], logs: Sequence[FileReport]
) -> list[SetReport]:
    """The sets that the databases belong to: others' logs may lie on the same volume."""
    wanted = {one.facts.get("log_signature") for one in databases}
    folders = {str(Path(log.path).parent) for log in logs if log.facts.get("signature") in wanted}
    folders |= {str(Path(one.path).parent) for one in databases}
    theirs = [one for one in report.sets if one.folder in folders]
    strangers = "no database of this log stream is here"
    return [one for one in theirs if strangers not in one.findings] or theirs
