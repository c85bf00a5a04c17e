"""The programs as commands: ``python program.py --state DIR --host H --packages PATH
PROGRAM WORDS...``. PATH: where exshadow, whose engine copies, is.

:func:`install` writes a folder of commands named as the product's; :func:`call` is the same in this
process.
"""

from __future__ import annotations

import os
import shlex
import sys
import sysconfig
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from simulators.sfw import background, copying, faults, vxassist, vxdg, vxsnap, vxvol
from simulators.sfw.words import Line
from simulators.sfw.world import Refused, opened

PROGRAMS = {
    "vxassist": vxassist.run,
    "vxsnap": vxsnap.run,
    "vxdg": vxdg.run,
    "vxvol": vxvol.run,
}
VERBS = {
    "prepare", "snapstart", "snapback", "snapclear", "snapabort", "snapprint", "assign", "unassign",
    "rescan", "create", "reattach", "restore", "list", "split", "deport", "import", "join",
    "volinfo",
}  # fmt: skip


def call(folder: Path, program: str, words: list[str], host: str = "HOST1") -> tuple[int, str]:
    """Exit status and output. ``Hang`` where the program would not come back."""
    verb = next((word for word in words if word in VERBS), "")
    fault = faults.next_fault(folder, program, verb)
    if fault == "hang":
        raise faults.Hang
    if fault == "fail":
        return 1, "V-0 ERROR: something went wrong"
    if fault == "lie":
        return 0, "Done."
    status, text = _done(folder, program, words, host, fault)
    if fault == "hang-after":
        raise faults.Hang
    return (1, "V-0 ERROR: something went wrong") if fault == "fail-after" else (status, text)


def _done(folder: Path, program: str, words: list[str], host: str, fault: str) -> tuple[int, str]:
    line = Line(program, words)
    apart = "-b" in words
    with opened(folder, host) as world:
        background.work(world, PROGRAMS)
        copying.advance(world)
        if background.put_off(world, program, words, fault):
            return 0, "It has begun in the background."
        was_busy = copying.syncing(world)
        try:
            text = PROGRAMS[program](world, line, fault)
        except Refused as refusal:
            return refusal.status, refusal.text
        for ours, theirs in world.state.get("wording", {}).items():  # of this release
            text = text.replace(ours, theirs)
        if program == "vxvol" or was_busy or not copying.syncing(world):
            apart = True
    while not apart:  # without -b the command lasts as long as the copy
        time.sleep(0.02)
        with opened(folder, host) as world:
            copying.advance(world)
            apart = not copying.syncing(world)
    return 0, text


def install(folder: Path, state: Path, host: str = "HOST1") -> dict[str, str]:
    """Commands in ``folder`` that work on ``state``: program name to path."""
    import exshadow

    folder.mkdir(parents=True, exist_ok=True)
    packages = [str(Path(exshadow.__file__).parents[1]), sysconfig.get_path("purelib")]
    made = {}
    for program in PROGRAMS:
        # -I -S: nothing but the standard library until bytes are copied, so that it starts quickly
        words = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), "--state", str(state),
                 "--host", host, "--packages", os.pathsep.join(packages), program]  # fmt: skip
        path = folder / program
        path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        path.chmod(0o755)
        made[program] = str(path)
    return made


def main(words: list[str]) -> int:
    if words[0:5:2] != ["--state", "--host", "--packages"] or words[6:7][0] not in PROGRAMS:
        print(__doc__, file=sys.stderr)
        return 2
    sys.path += words[5].split(os.pathsep)
    try:
        status, text = call(Path(words[1]), words[6], words[7:], words[3])
    except faults.Hang:
        Path(words[1], "hanging").write_text(str(os.getpid()))
        while True:
            time.sleep(3600)
    print(text, file=sys.stderr if status else sys.stdout)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
