"""A policy run in a process that kills itself with -9 at one of its steps, counted.

A step ends when something durable was done: an action begun or ended in the journal, given to the
provider, a fact written to the catalog. Nothing else lies between two of them. Reads orders from
its input, a line of JSON each, does them in forks (nothing is imported twice) and answers with the
exit status.
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
from exshadow.service.policy_run import making
from exshadow.service.policy_run.run import run_group

_FACTS = ("record_set", "change_set", "add_verification")


class Steps:
    """Counts; at ``deadly`` nothing comes after."""

    def __init__(self, deadly: int) -> None:
        self.count = 0
        self.deadly = deadly

    def step(self) -> None:
        self.count += 1
        if self.count == self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **named: Any) -> Any:
            found = call(*arguments, **named)
            self.step()
            return found

        return stepped


def watch(owner: Any, name: str, steps: Steps) -> None:
    setattr(owner, name, steps.around(getattr(owner, name)))


def run(bed_name: str, folder: str, deadly: int) -> int:
    """How many steps there were; 1000 more when the run did not end well."""
    steps = Steps(deadly)
    for name in ("begin", "end"):
        watch(CatalogJournal, name, steps)
    for name in _FACTS:
        watch(Catalog, name, steps)
    watch(making, "keep_document", steps)
    (kind,) = (one for one in bed_classes() if one.__name__ == bed_name)
    bed = kind.again(Path(folder))
    try:
        rotation = Rotation(bed)
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
