"""Policy runs and commands in processes that are killed, and what must hold after the next run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provider_beds import Bed
from provider_trial import Rotation

from exshadow.model import SetRecord

CHILD = Path(__file__).with_name("policy_child.py")


@dataclass(frozen=True)
class Ended:
    """``status``: 0, an error's, -9 when it was killed; ``steps``: the names of all there were."""

    status: int
    steps: list[str]

    @property
    def killed(self) -> bool:
        return self.status == -9


class Killer:
    """``deadly``: the step after which it is killed, by number or name; 0: it is not."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)},
        )

    def run(
        self, bed: Bed, deadly: int | str = 0, writers: Sequence[str] = (), hook: str = ""
    ) -> Ended:
        """A policy run. It ends well when it is not killed."""
        ended = self._ask(bed, deadly, writers=writers, hook=hook)
        assert ended.status in (0, -9), ended
        return ended

    def refused(self, bed: Bed, writers: Sequence[str]) -> Ended:
        """A policy run that its writers end."""
        return self._ask(bed, 0, writers=writers)

    def tried(self, bed: Bed) -> Ended:
        """A policy run that may be refused."""
        return self._ask(bed, 0)

    def command(self, bed: Bed, *words: str, deadly: int | str = 0) -> Ended:
        """exshadow WORDS, as from the command line."""
        return self._ask(bed, deadly, words=words)

    def _ask(
        self,
        bed: Bed,
        deadly: int | str,
        words: Sequence[str] = (),
        writers: Sequence[str] = (),
        hook: str = "",
    ) -> Ended:
        order = {"bed": type(bed).__name__, "folder": str(bed.folder), "deadly": deadly,
                 "words": words, "writers": writers, "hook": hook}  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Ended(*json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def settled(bed: Bed, after: str) -> None:
    """No set half there, no copy that is nobody's."""
    rotation = Rotation(bed)
    rotation.check()
    with rotation.room() as room:
        ready = sum(one.state == "ready" for one in room.sets())
    assert len(bed.copies()) == bed.copies_of_mirrors + ready * bed.copies_of_a_set, after


def goes_on(bed: Bed, number: int, after: str) -> SetRecord:
    """Production is written to, and a run makes its set of it."""
    rotation = Rotation(bed)
    bed.write("db", 4096 * (number % 64), f"{number}".encode().ljust(512, b"k"))
    done = rotation.run()
    assert done.error is None, (after, done.error)
    assert done.made is not None, after
    settled(bed, after)
    assert rotation.bytes_of(done.made) == rotation.production(), after
    return done.made
