"""What the runbooks of ``exshadow recovery`` must know: the set, its proof, the logs of today."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exshadow.cli.opening import open_service
from exshadow.errors import InvalidError, NotFoundError, RefusedError
from exshadow.model import Verification

if TYPE_CHECKING:
    from exshadow.ese.reports import EseReport, FileReport
    from exshadow.recovery.exchange import Logs


@dataclass(frozen=True, slots=True)
class KnownSet:
    """``proof``: the good verdict of the check that looks at databases and logs, while it holds;
    equal bytes prove neither."""

    name: str
    proof: Verification | None
    volumes: tuple[str, ...] = ()

    def require_volumes(self, names: Sequence[str]) -> None:
        """NotFoundError for what is no volume of the set: no step could restore it."""
        if unknown := sorted(set(names) - set(self.volumes)):
            raise NotFoundError(
                f"set {self.name} has no volume {', '.join(unknown)}",
                hint=f"it has: {', '.join(self.volumes)}",
            )

    def needed_from(self, prefix: str) -> int:
        """The first log that the set's databases of this stream need. RefusedError: not known."""
        sets = self.proof.evidence.get("sets", []) if self.proof else []
        needed = [
            int(one["required"][0])
            for one in sets
            if isinstance(one, dict) and one["base"].lower() == prefix.lower() and one["required"]
        ]
        if not needed:
            what = f"no database of {prefix} in" if self.proof else "no proof of"
            raise RefusedError(
                f"rule: a roll-forward replays from the first log that the databases need: there "
                f"is {what} the set that tells it",
                hint=f"exshadow snapshot verify {self.name} --check ese",
            )
        return min(needed)


def known_set(text: str) -> KnownSet:
    """NotFoundError for what is no set."""
    with open_service() as service:
        found = service.show_set(text)
    proof = next((one for one in found.checks if one.check == "ese" and one.ok), None)
    volumes = tuple(member.volume for member in found.members)
    return KnownSet(f"{found.group}@{found.label}", proof, (*volumes, *found.missing))


def log_prefix(text: str) -> str:
    """InvalidError for what no log stream is called."""
    if re.fullmatch(r"[A-Za-z0-9_]{3}", text) is None:
        raise InvalidError(
            f"{text!r} is no prefix of log files", hint="it has three letters and digits: E00"
        )
    return text


def logs(folder: str | None, prefix: str, of: KnownSet) -> Logs:
    """The logs that are there now, judged from the first that the set's databases need to the
    current one. RefusedError when that is missing: nobody knows what was lost behind it."""
    from exshadow import ese
    from exshadow.recovery.exchange import Logs

    if folder is None:
        raise InvalidError("--roll-forward needs --logs-on-disk: the present logs are replayed")
    try:
        report = ese.check([folder])
    except NotFoundError as problem:
        problem.hint = "a roll-forward replays these logs"
        raise
    numbers = {number: one for one in _of_stream(report, prefix) if (number := _generation(one))}
    if not numbers:
        raise RefusedError(
            f"no sound log {prefix}*.log in {folder}", hint="a roll-forward replays these logs"
        )
    current = max(numbers)
    if Path(numbers[current].path).stem.lower() != prefix.lower():
        raise RefusedError(
            f"rule: the chain of logs is broken: the current log {prefix}.log is not there, or is "
            "damaged (-528)",
            hint="bring it into the log folder, or restore without --roll-forward",
        )
    first = of.needed_from(prefix)
    return Logs(first, (first, current), frozenset(numbers), current, _one_stream(numbers))


def _of_stream(report: EseReport, prefix: str) -> list[FileReport]:
    return [
        one
        for one in report.files
        if one.kind == "log" and one.ok and one.state != "skipped"
        and Path(one.path).name.lower().startswith(prefix.lower())
    ]  # fmt: skip


def _generation(one: FileReport) -> int:
    number = one.facts.get("generation")
    return number if isinstance(number, int) else 0


def _one_stream(numbers: dict[int, FileReport]) -> bool:
    return len({str(one.facts.get("signature")) for one in numbers.values()}) == 1
