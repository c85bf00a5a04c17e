"""A policy run in a process that kills itself with -9 at one of its steps, counted or named.

A step ends when something durable was done: an action begun or ended in the journal, given to the
provider, a fact written to the catalog, a hook run, people told. Nothing else lies between two of
them; with writers, those "begin split" and "start split" lie between their freeze and thaw.
Reads orders from its input, a line of JSON each, does them in forks (nothing is imported twice) and
answers with the exit status.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provider_trial import Rotation, bed_classes

from exshadow.catalog import Catalog
from exshadow.catalog.journal import CatalogJournal
from exshadow.policy import hooks
from exshadow.policy.model import Hook, HooksPart
from exshadow.providers.contract import Action
from exshadow.service.policy_run import around, making
from exshadow.service.policy_run.run import run_group

_FACTS = ("record_set", "change_set", "add_verification")


class Steps:
    """Counts; at ``deadly``, a number or a name, nothing comes after."""

    def __init__(self, deadly: int | str) -> None:
        self.count = 0
        self.deadly = deadly

    def step(self, name: str) -> None:
        self.count += 1
        if self.deadly in (self.count, name):
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, name: str, call: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
        def stepped(*arguments: Any, **named: Any) -> Any:
            verbs = [one.verb.value for one in arguments if isinstance(one, Action)]
            what = " ".join([name, *verbs])
            if before:
                self.step(f"before {what}")
            found = call(*arguments, **named)
            self.step(what)
            return found

        return stepped


def watch(owner: Any, name: str, steps: Steps, *, before: bool = False) -> None:
    setattr(owner, name, steps.around(name, getattr(owner, name), before=before))


def surrounded(rotation: Rotation, script: str, writer: str) -> None:
    """With a hook of each kind and a writer that is frozen round the split."""
    hook = (Hook(command=script),)
    every = HooksPart.model_validate({"before": hook, "after": hook, "hand-over": hook})
    wanted = {"hooks": every, "writers": (writer,)}
    rotation.group = rotation.group.model_copy(update=wanted)


def run(bed_name: str, folder: str, deadly: int | str, script: str = "", writer: str = "") -> int:
    """How many steps there were; 1000 more when the run did not end well."""
    steps = Steps(deadly)
    for name in ("begin", "end"):
        watch(CatalogJournal, name, steps)
    for name in _FACTS:
        watch(Catalog, name, steps)
    watch(making, "keep_document", steps)
    watch(hooks, "_run", steps, before=True)
    watch(around, "tell", steps, before=True)
    (kind,) = (one for one in bed_classes() if one.__name__ == bed_name)
    bed = kind.again(Path(folder))
    try:
        rotation = Rotation(bed)
        if script:
            surrounded(rotation, script, writer)
        with rotation.room() as room:
            watch(room.provider, "start", steps)
            done = run_group(room, rotation.group)
    finally:
        bed.close()
    if done.error is not None:
        print(done.error, done.error.hint, file=sys.stderr)
    return steps.count + (1000 if done.error else 0)


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            status = 1
            try:
                os.write(writer, str(run(**order)).encode())
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), said]), flush=True)


if __name__ == "__main__":
    main()
