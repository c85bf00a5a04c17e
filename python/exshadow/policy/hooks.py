"""Commands of the policy round a run: facts as JSON on their input, ended at their limit."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from typing import IO

from exshadow.commands import end_group, private_command
from exshadow.errors import ProviderError, TimedOutError, from_system
from exshadow.model import Json
from exshadow.policy.model import Hook

_SAID = 2000  # characters of output that are told


def check_hooks(hooks: Sequence[Hook]) -> None:
    """InvalidError, NotFoundError, RefusedError for one that may not be run: before anything is."""
    for hook in hooks:
        private_command(hook.command)


def run_hooks(hooks: Sequence[Hook], event: str, facts: Json) -> None:
    """One after the other. ``facts`` and the event's name are the JSON. ProviderError when one ends
    with another status than 0, TimedOutError past its limit: it and its children are gone then."""
    for hook in hooks:
        _run(hook, json.dumps({"event": event, **facts}).encode())


def _run(hook: Hook, document: bytes) -> None:
    words = private_command(hook.command)
    limit = hook.timeout.total_seconds()
    # A child that the hook leaves behind may keep its output open, and a hook need not read its
    # input: files are not waited for.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        try:
            given.write(document)
            given.seek(0)
            process = subprocess.Popen(
                words, stdin=given, stdout=said, stderr=said, start_new_session=True
            )
        except OSError as problem:
            raise from_system(problem, f"cannot start hook {words[0]}") from problem
        try:
            process.wait(limit)
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
                f"hook {hook.command} ended with {process.returncode}: {_last(said)}"
            )


def _last(said: IO[bytes]) -> str:
    """The end of what it said."""
    said.seek(max(0, said.seek(0, os.SEEK_END) - _SAID))
    return said.read().decode(errors="replace").strip() or "it said nothing"
