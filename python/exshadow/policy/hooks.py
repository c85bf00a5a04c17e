"""Commands of the policy round a run: facts as JSON on their input, ended at their limit."""

from __future__ import annotations

import errno
import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence

from exshadow.commands import end_group, how_ended, private_command
from exshadow.errors import Error, ProviderError, TimedOutError, from_system
from exshadow.model import Json
from exshadow.policy.model import Hook
from exshadow.program_output import ProgramOutput

_SAID = 2000  # characters of output that are told


def check_hooks(hooks: Sequence[Hook]) -> None:
    """InvalidError, NotFoundError, RefusedError for one that may not be run: before anything is."""
    for hook in hooks:
        private_command(hook.command)


def run_hooks(hooks: Sequence[Hook], event: str, facts: Json) -> None:
    """One after the other. ``facts`` and the event's name are the JSON. ProviderError when one ends
    with another status than 0, TimedOutError past its limit: it and its children are gone then."""
    for hook in hooks:
        try:
            _run(hook, json.dumps({"event": event, **facts}).encode())
        except Error:
            raise
        except OSError as problem:  # no place is left for what it is given, TMPDIR is gone
            raise from_system(
                problem, f"hook {hook.command} cannot be given its facts in a temporary file"
            ) from problem


def run_every_hook(
    hooks: Sequence[Hook], event: str, facts: Callable[[], Json], warn: Callable[[str], None]
) -> None:
    """As :func:`run_hooks`, but one that fails keeps no other from its work: letting go, telling.
    ``warn`` hears what went wrong, ``facts`` is asked for each hook."""
    for hook in hooks:
        try:
            run_hooks((hook,), event, facts())
        except Error as problem:
            warn(str(problem))


def _run(hook: Hook, document: bytes) -> None:
    words = private_command(hook.command)
    limit = hook.timeout.total_seconds()
    # A child that the hook leaves behind may keep its output open, and a hook need not read its
    # input: files are not waited for.
    with tempfile.TemporaryFile() as given, ProgramOutput() as said:
        try:
            given.write(document)
            given.seek(0)
            process = subprocess.Popen(
                words, stdin=given, stdout=said.file, stderr=said.file, start_new_session=True
            )
        except OSError as problem:
            found = from_system(problem, f"cannot start hook {words[0]}")
            if problem.errno in (errno.ENOEXEC, errno.ENOENT):  # the program itself is there
                found.hint = "its first line must name an interpreter that is there: #!/bin/sh"
            raise found from problem
        try:
            said.wait(process, limit)
        except BaseException as problem:
            end_group(process)
            process.wait()
            if isinstance(problem, subprocess.TimeoutExpired):
                raise TimedOutError(
                    f"hook {hook.command} was not done after {limit:g} s",
                    hint="give it more with timeout, or make it quicker",
                ) from None
            raise
        if process.returncode:
            raise ProviderError(
                f"hook {hook.command} {how_ended(process.returncode)}: {_last(said)}",
                hint="run it by hand: 0 is its only good status",
            )


def _last(said: ProgramOutput) -> str:
    """The end of what it said, without what would steer a terminal."""
    text = said.last(_SAID).strip()
    plain = "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)
    return plain or "it said nothing"
