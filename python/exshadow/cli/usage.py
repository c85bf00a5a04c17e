"""Wrong usage in words: what cyclopts found, with everything that is missing told at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from exshadow.errors import Error, InvalidError, NotFoundError

if TYPE_CHECKING:
    from cyclopts import App, Argument, CycloptsError

_LISTINGS = {
    "volume": "volume list",
    "mirror": "volume list",
    "snapshot": "snapshot list",
    "restore": "snapshot list",
    "drill": "snapshot list",
    "recovery": "snapshot list",
    "attach": "volume list",
    "vss": "vss snapshots",
    "provider": "provider list",
}
"""Commands that show what the names in a command of the group may be."""


def wrong(error: CycloptsError, arguments: Sequence[str]) -> InvalidError:
    """The error of exshadow for one of cyclopts."""
    place, app = _command(arguments)
    return InvalidError(_said(error, arguments, place, app), hint=help_hint(arguments))


def help_hint(arguments: Sequence[str]) -> str:
    """The command that shows the help of the group or command meant."""
    return " ".join(["see: exshadow", *_command(arguments)[0], "--help"])


def usual_hint(error: Error, arguments: Sequence[str]) -> str:
    """For an error that comes without a hint: where to look what there is, or how it is said."""
    place = _command(arguments)[0]
    if isinstance(error, NotFoundError) and place:
        listing = _LISTINGS.get(place[0])
        return f"see what there is: exshadow {listing}" if listing else ""
    return help_hint(arguments) if isinstance(error, InvalidError) else ""


def interrupted_hint(arguments: Sequence[str]) -> str:
    """How a command that was stopped goes on. Runs of a policy go on by themselves."""
    place = _command(arguments)[0]
    if place[:1] == ["policy"]:
        return "repeat the command: a run goes on with what was begun"
    return "repeat the command; copying that had begun goes on with: exshadow mirror sync VOLUME"


def _said(error: CycloptsError, arguments: Sequence[str], place: list[str], app: App) -> str:
    from cyclopts import MissingArgumentError, UnusedCliTokensError

    if isinstance(error, UnusedCliTokensError):
        many = error.unused_tokens or []
        words = " ".join(f"'{token}'" for token in many)
        return f"unexpected argument{'s' if len(many) > 1 else ''} {words}"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        names = _names(error.argument)
        if given := next((token for token in arguments if token in names), None):
            return f"{given} needs a value"
        return (
            f"exshadow {' '.join(place)} needs {_joined(_lacking(error.argument, app, arguments))}"
        )
    return " ".join(str(error).split())


def _lacking(first: Argument, app: App, arguments: Sequence[str]) -> list[str]:
    """Names of all that is required and was not given. What stands by its place is missing from
    the first on; an option when nobody named it."""
    found, from_here = [], False
    for one in app.assemble_argument_collection():
        from_here = from_here or one.name == first.name
        if not one.required:
            continue
        if _by_place(one):
            if from_here and _by_place(first):
                found.append(one.name)
        elif not any(token.partition("=")[0] in _names(one) for token in arguments):
            found.append(one.name)
    return found or [first.name]


def _by_place(argument: Argument) -> bool:
    return not argument.name.startswith("-")


def _names(argument: Argument) -> tuple[str, ...]:
    return tuple(argument.names)


def _joined(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _command(arguments: Sequence[str]) -> tuple[list[str], App]:
    """The group or command that the words name, as far as they name one."""
    from exshadow.cli.app import app

    known: list[str] = []
    place = app
    words = _words(arguments)
    while len(known) < len(words) and words[len(known)] in set(place):
        known.append(words[len(known)])
        place = place[known[-1]]
    return known, place


def _words(arguments: Sequence[str]) -> list[str]:
    """What is no option; the global option with a value may stand before the command."""
    words, skip = [], False
    for token in arguments:
        if not skip and not token.startswith("-"):
            words.append(token)
        skip = token == "--state" and not skip
    return words
