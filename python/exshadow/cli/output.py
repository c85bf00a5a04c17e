"""What goes to stdout: text for people, or exactly one JSON document."""

from __future__ import annotations

import json
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from exshadow.cli.context import context
from exshadow.errors import Error
from exshadow.model import Json

if TYPE_CHECKING:
    from typing import TextIO

_emitted = False
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def show(document: Json, text: str, error: Error | None = None) -> int:
    """Print a command's result once; returns the exit status.

    With `error` the result is shown all the same and the failure said beside it: a list of the
    sound volumes, the differences that were found.
    """
    global _emitted
    _emitted = True
    if context.json:
        if context.events:
            document = {**document, "notes": context.events}
        write(json.dumps(document if error is None else {**document, **_failure(error)}) + "\n")
    else:
        if text:
            write(text.rstrip("\n") + "\n")
        if error is not None:
            _complain(error)
    return 0 if error is None else error.exit_status


def fail(error: Error) -> int:
    """Print a failure; returns its exit status."""
    global _emitted
    if context.json and not _emitted:
        _emitted = True
        with suppress(OSError):  # nobody hears it: the status says it
            write(json.dumps(_failure(error)) + "\n")
    else:
        _complain(error)
    return error.exit_status


def _failure(error: Error) -> Json:
    return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}


def _complain(error: Error) -> None:
    lines = [f"exshadow: {line}" for line in error.message.split("\n")]
    if error.hint:
        lines.append(f"  hint: {error.hint}")
    say(flow("\n".join(lines), sys.stderr))


def write(text: str) -> None:
    """Write to stdout and flush, so that a closed pipe shows here and not at exit."""
    if sys.stdout is None:  # the caller closed it
        return
    text = _steady(text)
    try:
        try:
            sys.stdout.write(text)
        except UnicodeEncodeError:  # a path of other bytes, or a terminal of few letters
            encoding = sys.stdout.encoding
            sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except OSError:
        lose_stdout()
        raise


def lose_stdout() -> None:
    """What is left in its buffer goes nowhere: at exit it would fail once more, and be heard."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, sys.stdout.fileno())
    os.close(descriptor)


def say(text: str) -> None:
    """A line on stderr."""
    if sys.stderr is not None:
        sys.stderr.write(_steady(text) + "\n")
        sys.stderr.flush()


def _steady(text: str) -> str:
    """Without what would steer a terminal: programs say much, and what they say is told."""
    return _STEERING.sub("\ufffd", text.replace("\r\n", "\n"))


def table(
    titles: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[str] = ()
) -> str:
    """Aligned columns; those titled in `numbers` to the right.

    On a terminal that is too narrow, columns that are empty are left out, and those that do not
    fit go on in a second line of each row: a value is never broken.
    """
    cells = [list(titles), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    lines = []
    kept = _folded(widths, [any(row[at] for row in cells[1:]) for at in range(len(titles))])
    for row in cells:
        for number, columns in enumerate(kept):
            padded = [
                row[at].rjust(widths[at]) if titles[at] in numbers else row[at].ljust(widths[at])
                for at in columns
            ]
            lines.append((_FOLD if number else "") + "  ".join(padded).rstrip())
    return "\n".join(lines)


_FOLD = "    "
_NARROWEST = 40  # columns: below that a terminal may break lines as it likes


def _folded(widths: Sequence[int], filled: Sequence[bool]) -> list[list[int]]:
    """Which columns stand on which line of a row; one line where nobody's terminal is too narrow
    for it."""
    everything = list(range(len(widths)))
    limit = columns(sys.stdout)
    if limit is None or sum(widths) + 2 * (len(widths) - 1) <= limit:
        return [everything]
    lines: list[list[int]] = [[]]
    used = 0
    for at in everything:
        if not filled[at] and any(filled):
            continue
        if lines[-1] and used + 2 + widths[at] > limit:
            lines.append([])
            used = len(_FOLD) - 2
        used += widths[at] + (2 if used else 0)
        lines[-1].append(at)
    return lines


def flow(text: str, stream: TextIO | None = None) -> str:
    """Sentences for the terminal that a stream (stdout) is: lines that are too long go on below,
    further in. Words stay whole, paths and ids among them."""
    limit = columns(stream or sys.stdout)
    if limit is None:
        return text
    lines = []
    for line in text.split("\n"):
        inside = len(line) - len(line.lstrip()) + len(_FOLD)
        lines += textwrap.wrap(
            line,
            limit,
            subsequent_indent=" " * inside,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(lines)


def columns(stream: TextIO | None) -> int | None:
    """How wide the terminal is; None for what is no terminal, or says no usable number."""
    try:
        if stream is None or not stream.isatty():
            return None
        found = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return None
    return found if found >= _NARROWEST else None


def show_version() -> int:
    """``--version``, without loading anything."""
    from exshadow import __version__

    return show({"version": __version__}, f"exshadow {__version__}")
