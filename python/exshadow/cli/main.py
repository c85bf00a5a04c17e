"""Entry point: runs one command and turns whatever happens into text or JSON and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, cast

from exshadow.cli import output, signals
from exshadow.cli.context import context
from exshadow.cli.page import HelpPage
from exshadow.errors import CancelledError, Error, InvalidError, from_system

if TYPE_CHECKING:
    from cyclopts import App

STDIN = "/dev/stdin"
_HELP = ("--help", "-h")


def run() -> NoReturn:
    """The console script."""
    signals.install()  # not for the command alone: nobody catches what comes after it
    status = main(sys.argv[1:])
    # Everything is closed by now; what is left is only the interpreter's own tidying up.
    sys.exit(status)


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status and never raises. In the main thread."""
    with signals.installed():
        return _main(arguments)


def _main(arguments: Sequence[str]) -> int:
    context.json = "--json" in arguments  # also for what goes wrong before options are parsed
    context.verbose = "--verbose" in arguments
    context.heard.clear()
    try:
        return _dispatch(list(arguments))
    except Error as error:
        if not error.hint:
            from exshadow.cli.usage import usual_hint

            error.hint = usual_hint(error, arguments)
        return _failed(error, arguments)
    except KeyboardInterrupt:
        from exshadow.cli.usage import interrupted_hint

        hint = interrupted_hint(arguments)
        stopped = CancelledError("interrupted; the state is resumable", hint=hint)
        return _failed(stopped, arguments)
    except BrokenPipeError:
        return _reader_left()
    except Exception as error:
        return _failed(_unexpected(error), arguments)


def _failed(error: Error, arguments: Sequence[str]) -> int:
    """Tell it; its exit status, or what monitoring takes for it."""
    if not _for_monitoring(arguments):
        return output.fail(error)
    from exshadow.cli.policy_status import unknown

    return unknown(error)


def _for_monitoring(arguments: Sequence[str]) -> bool:
    """Whether a monitoring server asks, who would take the 2 of wrong usage for CRITICAL."""
    asked = any(word == "--nagios" or word.startswith("--nagios=") for word in arguments)
    return asked and "policy" in arguments


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] == "--version":
        return output.show_version()
    _refuse_bytes(arguments)
    from cyclopts import CycloptsError

    from exshadow.cli.app import app

    wants_help = any(token in _HELP for token in arguments)
    if "ese" in arguments:
        # A lone "-" counts as an option, and parameters that take options swallow --json.
        arguments = [STDIN if token == "-" else token for token in arguments]
    page = HelpPage(to_stderr=not wants_help)
    _describe_verbs(app, arguments)
    try:
        # Without any word cyclopts would print its page elsewhere.
        status = app.meta(arguments or ["--help"], console=cast(Any, page))
    except CycloptsError as error:
        from exshadow.cli.usage import wrong

        raise wrong(error, arguments) from None
    if isinstance(status, int):
        return status
    if not wants_help:
        from exshadow.cli.usage import help_hint

        raise InvalidError("no command given", hint=help_hint(arguments))
    return output.show({"help": page.text()}, "") if context.json else 0


def _describe_verbs(app: App, arguments: Sequence[str]) -> None:
    """A verb that is loaded when it is needed has no description until then: where a group's own
    page will be shown, all of its verbs are needed."""
    from exshadow.cli.options import GROUPS

    place = next((at for at, word in enumerate(arguments) if word in GROUPS), None)
    if place is None or not all(word.startswith("-") for word in arguments[place + 1 :]):
        return
    group = app[arguments[place]]
    for verb in group:
        group[verb]


def _refuse_bytes(arguments: Sequence[str]) -> None:
    """InvalidError for what is not UTF-8: neither JSON nor the catalog could keep such a path.
    Nor could any call of the system keep NUL."""
    for token in arguments:
        if "\0" in token:
            raise InvalidError(f"{token!r} holds a NUL character")
        try:
            token.encode()
        except UnicodeEncodeError:
            raise InvalidError(
                f"{token!a} is not UTF-8",
                hint="rename it, or use a symbolic link with another name",
            ) from None


def _reader_left() -> int:
    """Nobody reads stdout any more: end quietly, as a filter does."""
    output.lose_stdout()
    return 0


def _unexpected(error: Exception) -> Error:
    """One that nobody foresaw: one line, the place only with --verbose. Never a traceback else."""
    if isinstance(error, OSError):
        known = from_system(error)
    else:
        known = Error(f"unexpected {type(error).__name__}: {error}")
        known.hint = "please report this with the output of --verbose"
    if context.verbose:
        import traceback

        output.say("".join(traceback.format_exception(error)).rstrip())
    return known
