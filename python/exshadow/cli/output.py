"""What goes to stdout: text for people, or exactly one JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from exshadow.cli.context import context
from exshadow.errors import Error
from exshadow.model import Json

_emitted = False


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
        write(json.dumps(_failure(error)) + "\n")
    else:
        _complain(error)
    return error.exit_status


def _failure(error: Error) -> Json:
    return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}


def _complain(error: Error) -> None:
    lines = [f"exshadow: {error.message}"]
    if error.hint:
        lines.append(f"  hint: {error.hint}")
    say("\n".join(lines))


def write(text: str) -> None:
    """Write to stdout and flush, so that a closed pipe shows here and not at exit."""
    if sys.stdout is not None:  # None when the caller closed it
        try:
            sys.stdout.write(text)
        except UnicodeEncodeError:  # a path of other bytes, or a terminal of few letters
            encoding = sys.stdout.encoding
            sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()


def say(text: str) -> None:
    """A line on stderr."""
    if sys.stderr is not None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def table(
    titles: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[str] = ()
) -> str:
    """Aligned columns; those titled in `numbers` to the right."""
    cells = [list(titles), *[[str(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
    lines = []
    for row in cells:
        padded = [
            cell.rjust(width) if title in numbers else cell.ljust(width)
            for cell, width, title in zip(row, widths, titles, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)
