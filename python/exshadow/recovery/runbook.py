"""Runbooks: steps with the commands that a person or a command runner executes, one by one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from exshadow.errors import Error, InvalidError

Runner = Literal["powershell", "cmd", "exshadow", "hand"]
_RUNNERS: tuple[Runner, ...] = ("powershell", "cmd", "exshadow", "hand")
_PLACE = re.compile(r"\{(\w+)\}")
_UNSAFE_IN_CMD = set('"%!^&|<>\r\n')
_POWERSHELL_QUOTES = re.compile("(['\u2018\u2019\u201a\u201b])")  # each ends a quoted string there


@dataclass(frozen=True, slots=True)
class RunbookStep:
    """One thing to do. ``runner``: where the command runs; ``hand``: a person does it.

    ``certain`` is false where the fact behind it is not confirmed: look twice before going on.
    ``success``: the statuses that say it is done; robocopy has several. ``before``: what a runner
    has to do first in the same session, as loading the product's commands.
    """

    id: str
    title: str
    runner: Runner
    command: str = ""
    why: str = ""
    certain: bool = True
    success: tuple[int, ...] = (0,)
    before: str = ""

    def to_json(self) -> dict[str, object]:
        """All fields."""
        return {
            "id": self.id,
            "title": self.title,
            "runner": self.runner,
            "command": self.command,
            "why": self.why,
            "certain": self.certain,
            "success": list(self.success),
            "before": self.before,
        }


@dataclass(frozen=True, slots=True)
class Runbook:
    """A filled runbook. ``warnings`` are what whoever runs it must know before the first step."""

    title: str
    steps: tuple[RunbookStep, ...]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """All fields."""
        return {
            "title": self.title,
            "warnings": list(self.warnings),
            "steps": [step.to_json() for step in self.steps],
        }

    def text(self) -> str:
        """For people: numbered, each command on a line of its own."""
        lines = [self.title, "=" * len(self.title)]
        lines += [f"! {warning}" for warning in self.warnings]
        for number, step in enumerate(self.steps, 1):
            unsure = "" if step.certain else "  (not confirmed: look twice)"
            lines += ["", f"{number}. {step.title}{unsure}"]
            if step.why:
                lines.append(f"   {step.why}")
            lines += [f"   [{step.runner}] {line}" for line in step.command.splitlines()]
        return "\n".join(lines) + "\n"


def fill(
    name: str,
    title: str,
    *,
    tags: set[str],
    values: Mapping[str, object],
    warnings: Sequence[str] = (),
) -> Runbook:
    """The steps of runbooks/NAME.toml whose conditions hold, with the values put in.

    A value that is a list repeats the step that names it in ``each``, and is several arguments
    elsewhere. Values are quoted for the runner.
    """
    steps: list[RunbookStep] = []
    for raw in _read(name)["step"]:
        if not _applies(raw, tags):
            continue
        before = raw["before"] if "before" in raw else _before(str(raw["runner"]), tags)
        for one in _repeated(raw, values):
            filled = {**raw, "before": before}
            steps.append(_filled(filled, one, f"{name}: {raw['id']}"))
    return Runbook(title, tuple(steps), tuple(warnings))


def _read(name: str) -> Mapping[str, list[Mapping[str, object]]]:
    text = (files("exshadow.recovery") / "runbooks" / f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _applies(raw: Mapping[str, Any], tags: set[str]) -> bool:
    return set(raw.get("when", ())) <= tags and not set(raw.get("unless", ())) & tags


def _before(runner: str, tags: set[str]) -> str:
    """What each step of a runner needs first: sessions.toml."""
    found = [one for one in _read("sessions")["session"] if one["runner"] == runner]
    return "\n".join(str(one["command"]).strip("\n") for one in found if _applies(one, tags))


def _repeated(
    raw: Mapping[str, object], values: Mapping[str, object]
) -> list[Mapping[str, object]]:
    """The values once for each item of the step's ``each`` list, called by its singular there."""
    each = raw.get("each")
    if not isinstance(each, str):
        return [values]
    items = values.get(each, ())
    if not isinstance(items, list | tuple):
        raise Error(f"the runbook repeats a step for each of '{each}', which is no list")
    return [{**values, each: item} for item in items]


def _filled(raw: Mapping[str, object], values: Mapping[str, object], where: str) -> RunbookStep:
    runner = raw["runner"]
    if runner not in _RUNNERS:
        raise Error(f"{where}: no runner '{runner}'")

    def put(text: object, quoted: bool) -> str:
        def value(found: re.Match[str]) -> str:
            name = found[1]
            if name not in values or values[name] in ("", None):
                raise InvalidError(
                    f"{where} needs '{name}'", hint=f"give --{name.replace('_', '-')}"
                )
            value = values[name]
            if isinstance(value, list | tuple):
                return " ".join(quote(str(one), runner) if quoted else str(one) for one in value)
            return quote(str(value), runner) if quoted else str(value)

        return _PLACE.sub(value, str(text))

    return RunbookStep(
        id=str(raw["id"]),
        title=put(raw["title"], quoted=False),
        runner=runner,
        command=put(raw.get("command", ""), quoted=True).strip("\n"),
        why=put(raw.get("why", ""), quoted=False),
        certain=bool(raw.get("certain", True)),
        success=_statuses(raw.get("success", [0])),
        before=put(raw.get("before", ""), quoted=True).strip("\n"),
    )


def _statuses(raw: object) -> tuple[int, ...]:
    assert isinstance(raw, list)
    return tuple(int(one) for one in raw)


def quote(value: str, runner: Runner) -> str:
    """The value as one argument of this runner's language. InvalidError for what cannot be one."""
    if "\0" in value or "\n" in value or "\r" in value:
        raise InvalidError(f"{value!r} cannot stand in a command")
    if runner == "powershell":
        return "'" + _POWERSHELL_QUOTES.sub(r"\1\1", value) + "'"
    if runner == "cmd":
        if _UNSAFE_IN_CMD & set(value):
            raise InvalidError(
                f"{value!r} has a sign that cmd.exe would read as its own", hint="rename it"
            )
        closing = len(value) - len(value.rstrip("\\"))  # a program would read \" as a quote
        return f'"{value}{closing * chr(92)}"'
    if runner == "exshadow":
        import shlex

        return shlex.quote(value)
    return value
