"""A policy run, or a command on one of its sets, in a process that kills itself with -9 after one
of its steps (policy_steps.py).

Reads orders from its input, a line of JSON each, does them in forks (nothing is imported twice) and
answers with the exit status, the steps that there were, and what the run or the command says of it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from policy_steps import Steps
from provider_beds import Bed
from provider_trial import Rotation, bed_classes

from exshadow.policy.model import Hook, HooksPart
from exshadow.providers import registry
from exshadow.service.policy_run.run import run_group


def run(bed: Bed, steps: Steps, writers: list[str], hook: str) -> int:
    """A policy run, with this hook wherever one may be: 0, or the exit status of its error."""
    rotation = Rotation(bed)
    each = (Hook(command=hook),) if hook else ()
    every = HooksPart.model_validate({"before": each, "after": each, "hand-over": each})
    rotation.group = rotation.group.model_copy(update={"writers": tuple(writers), "hooks": every})
    with rotation.room() as room:
        steps.watch_provider(room.provider)
        error = run_group(room, rotation.group).error
    if error is not None:
        print(error, error.hint, file=sys.stderr)
    return error.exit_status if error else 0


def command(bed: Bed, steps: Steps, words: list[str]) -> int:
    """A command on a set of the bed's provider."""
    from exshadow.cli.main import main

    def build(name: str, settings: Any) -> Any:
        provider = bed.provider()
        steps.watch_provider(provider)
        return provider

    registry.build = build
    os.environ["EXSHADOW_STATE"] = str(Rotation(bed).state.path)
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
        return main(words)


def do(order: dict[str, Any], writer: int) -> int:
    steps = Steps(order["deadly"], lambda name: said(writer, name))
    steps.watch()
    (kind,) = (one for one in bed_classes() if one.__name__ == order["bed"])
    bed = kind.again(Path(order["folder"]))
    os.environ["EXSHADOW_VSS_SLOT"] = f"{bed.folder}/vss.lock"
    try:
        if order["words"]:
            return command(bed, steps, order["words"])
        return run(bed, steps, order["writers"], order["hook"])
    finally:
        bed.close()


def said(writer: int, name: str) -> None:
    os.write(writer, f"{name}\n".encode())


def main() -> None:
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            status = 70
            try:
                status = do(json.loads(line), writer)
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            names = pipe.read().splitlines()
        _, status = os.waitpid(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), names]), flush=True)


if __name__ == "__main__":
    main()
