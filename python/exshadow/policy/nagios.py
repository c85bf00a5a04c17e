"""How groups stand as one line for monitoring: by the guidelines of the monitoring plugins.

    EXSHADOW WARNING - files late: the newest ...; 1 of 2 groups ok | 'shop_age'=23s;3600;;0

Statuses are theirs (0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN), not those of the command line.
"""

from __future__ import annotations

from collections.abc import Sequence

from exshadow.errors import Error
from exshadow.policy.standing import GroupStatus

UNKNOWN = 3
_OF_STATE = {"ok": 0, "stuck": 1, "late": 1, "slow": 1, "none": 2, "damaged": 2}
_WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


def line(found: Sequence[GroupStatus]) -> tuple[int, str]:
    """The worst status, and the line: groups that are not well, the worst first, then figures of
    all."""
    graded = sorted(((grade(one), one) for one in found), key=lambda pair: -pair[0])
    number = graded[0][0]
    said = [_said(one) for status, one in graded if status]
    good = sum(not status for status, _ in graded)
    many = "group" if len(found) == 1 else "groups"
    said.append(f"{good} of {len(found)} {many} ok" if said else f"{good} {many} ok")
    figures = " ".join(figure for one in found for figure in _figures(one))
    text = f"EXSHADOW {_WORDS[number]} - {_plain('; '.join(said))}"
    return number, f"{text} | {figures}" if figures else text


def grade(one: GroupStatus) -> int:
    """A warning makes OK a WARNING."""
    return max(_OF_STATE[one.state], 1 if one.warnings else 0)


def unknown(problem: Error, cause: BaseException | None = None) -> str:
    """The line when nothing can be told. ``cause``: what is behind the problem."""
    why = cause if isinstance(cause, Error) else problem.hint
    return f"EXSHADOW UNKNOWN - {_plain(f'{problem.message}; {why}' if why else problem.message)}"


def _said(one: GroupStatus) -> str:
    notes = ", ".join((*one.notes, *one.warnings))
    return f"{one.name} {one.state}" + (f": {notes}" if notes else "")


def _plain(text: str) -> str:
    """On one line, and without what begins the figures."""
    return " ".join(text.replace("|", "/").split())


def _figures(one: GroupStatus) -> list[str]:
    """Seconds, with what they are judged by as the warning threshold."""
    found = []
    if one.age is not None:
        limit = f"{one.oldest.total_seconds():.0f}" if one.oldest is not None else ""
        found.append(f"'{one.name}_age'={one.age.total_seconds():.0f}s;{limit};;0")
    if one.recovery is not None and one.recovery.seconds is not None:
        limit = f"{one.objective.total_seconds():.0f}" if one.objective is not None else ""
        found.append(f"'{one.name}_recovery'={one.recovery.seconds:.0f}s;{limit};;0")
    return found
