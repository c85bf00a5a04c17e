"""Check `script`: a command of the user's with the copies mounted; its exit status is the verdict,
its output the evidence.

It runs as the user of exshadow, so nobody else may be able to change it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from exshadow.errors import NotFoundError, RefusedError
from exshadow.service.checks import programs
from exshadow.service.checks.bench import as_input, open_bench
from exshadow.service.checks.ground import Ground, Outcome


def require_safe(path: str) -> Path:
    """The script itself. NotFoundError; RefusedError when somebody else could change it."""
    try:
        script = Path(path).resolve(strict=True)
    except OSError:
        raise NotFoundError(
            f"there is no script {path}", hint="name the program by its path: --script PATH"
        ) from None
    status = script.stat()
    if not stat.S_ISREG(status.st_mode) or not os.access(script, os.X_OK):
        raise RefusedError(f"{script} is no program", hint=f"chmod u+x {script}")
    for one in (script, *script.parents):
        _refuse_writable(one)
    return script


def _refuse_writable(path: Path) -> None:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if path.is_dir() and mode & stat.S_ISVTX:
        mode &= ~0o022  # others may add there, not replace
    if mode & 0o022 or status.st_uid not in (0, os.geteuid()):
        raise RefusedError(
            f"others may write to {path}: what it does is theirs to say",
            hint=f"chown root {path}; chmod go-w {path}",
        )


def check(ground: Ground) -> Outcome:
    """The script gets the mounts as JSON on its input, and the set's name in EXSHADOW_SET."""
    assert ground.wish.script is not None
    script = require_safe(ground.wish.script)
    with open_bench(ground) as bench:
        told = as_input(bench, bench.mount_all())
        ground.say(f"script {script}")
        ran = programs.run(ground, (script,), stdin=told, environment={"EXSHADOW_SET": ground.name})
    said = ran.output.splitlines()
    how = f"status {ran.status}" if ran.status >= 0 else f"ended by signal {-ran.status}"
    detail = f"{script.name}: {how}" + (f": {said[-1][:200]}" if said else "")
    return Outcome(ran.status == 0, detail, ran.to_json())
