"""``--dry-run`` and the question before destructive commands."""

from __future__ import annotations

import sys
from typing import TextIO

from exshadow.cli import output
from exshadow.cli.context import context
from exshadow.errors import CancelledError, RefusedError
from exshadow.model import Plan
from exshadow.names import format_size


def describe(plan: Plan) -> str:
    """The plan for people."""
    lines = [f"{plan.command}:"]
    for step in plan.steps:
        time = f", {step.seconds:.1f} s" if step.seconds is not None else ""
        moved = f"  (at most {format_size(step.bytes)}{time})" if step.bytes else ""
        lines.append(f"  {step.volume}: {step.action} {step.target}".rstrip() + moved)
    lines += [f"  warning: {warning}" for warning in plan.warnings]
    if plan.refusal is not None:
        lines.append(f"  now it would be refused: {plan.refusal.message}; {plan.refusal.hint}")
    if plan.seconds is not None:
        lines.append(f"  about {plan.seconds:.1f} s: {plan.estimate}")
    elif plan.estimate:
        lines.append(f"  {plan.estimate}")
    if not plan.steps:
        lines.append("  nothing to do")
    return "\n".join(lines)


def only_planned(plan: Plan) -> int:
    """Print the plan as the command's result."""
    return output.show({"plan": plan.to_json()}, describe(plan))


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def confirm(plan: Plan, *, yes: bool) -> bool:
    """Ask on a terminal; CancelledError when the answer is no. Elsewhere there is nobody to ask.

    Whether somebody agreed: by --yes or on the terminal.
    """
    if yes or not _is_terminal(sys.stdin):
        return yes
    output.say(describe(plan))
    sys.stderr.write("Proceed? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if context.json or not answer.endswith("\n"):
        output.say("")  # what follows begins on a line of its own
    if answer.strip().lower() not in ("y", "yes"):
        raise CancelledError("not confirmed; nothing was changed", hint="--yes does not ask")
    return True


def ask(question: str) -> bool:
    """A question of its own, on a terminal; RefusedError where there is nobody to ask."""
    if not _is_terminal(sys.stdin):
        raise RefusedError(
            f"a person must answer: {question}", hint="run the command on a terminal"
        )
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
