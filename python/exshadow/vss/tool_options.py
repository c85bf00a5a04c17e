"""Requests as the options of exshadow-vss.exe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exshadow.errors import InvalidError
from exshadow.vss.command import Command
from exshadow.vss.procedures import (
    BackupRequest,
    ComponentWish,
    RestoreChoices,
    RestoreRequest,
    WaitLimits,
)
from exshadow.vss.tables import RollForward, SnapshotAttributes
from exshadow.vss.values import Context
from exshadow.vss.words import flag_words


def exec_options(part: Callable[..., object] | Command | None) -> list[str]:
    """The program to run; InvalidError for a function, which no other program can call."""
    if part is None:
        return []
    if isinstance(part, Command):
        return ["--exec", part.line]
    raise InvalidError(
        "the tool runs a program, not a function of this process", hint="give a vss.Command"
    )


def backup_options(request: BackupRequest) -> list[str]:
    """All but volumes, documents and the program."""
    plain, added = _context(request.context)
    options = [*limit_options(request.limits), "--type", request.state.type.word]
    options += ["--context", plain.name.lower()]
    options += repeated("--attribute", added)
    options += ["--whole-volumes"] * (not request.state.select_components)
    options += ["--bootable"] * request.state.bootable_system_state
    options += ["--partial-files"] * request.state.partial_files
    options += given("--provider", request.provider)
    for one in request.included:
        options += ["--component" if one.component else "--writer", _wish(one)]
    for one in request.excluded:
        options += ["--exclude", _wish(one)]
    for one, text in request.options:
        options += ["--component-options", f"{_wish(one)}={text}"]
    retry = request.retry
    options += ["--tries", str(retry.tries), "--retry-wait", str(retry.wait / 1000)]
    options += ["--busy-wait", str(retry.busy_wait / 1000)]
    return [*options, "--busy-limit", str(retry.busy_limit / 1000)]


def _context(context: int) -> tuple[Context, SnapshotAttributes]:
    """The context by its name, and the attributes beside it."""
    bits = int(Context.CLIENT_ACCESSIBLE)  # all that contexts are made of
    names = {int(one): one for one in Context if one is not Context.ALL}
    plain = names.get(context & bits)
    if plain is None or context == Context.ALL or context < 0:
        known = ", ".join(f"{one.name} {int(one):#x}" for one in names.values())
        raise InvalidError(f"{context:#x} is no context of a backup", hint=f"use one of: {known}")
    return plain, SnapshotAttributes(context & ~bits)


def limit_options(limits: WaitLimits) -> list[str]:
    """Of each step: until it is cut off, and then until it is given up."""
    return ["--timeout", str(limits.limit / 1000), "--grace", str(limits.grace / 1000)]


def restore_options(request: RestoreRequest) -> list[str]:
    """All but the document and the program."""
    options = limit_options(request.limits)
    options += ["--additional-restores"] * request.additional_restores
    options += ["--authoritative"] * request.authoritative
    options += given("--options", request.options) + given("--new-name", request.new_name)
    if request.type is not None:
        options += ["--type", request.type.word]
    if request.roll_forward is not None:
        options += ["--roll-forward", request.roll_forward.word]
    options += given("--point", request.roll_forward_point)
    for one in request.included:
        options += ["--component", _wish(one)]
    for one in request.excluded:
        options += ["--exclude", _wish(one)]
    options += _places(request)
    for choices in request.choices:
        options += _choices(choices)
    return options


def _places(request: RestoreRequest) -> list[str]:
    """What goes elsewhere, and what is only a part."""
    options = []
    for option, mappings in (
        ("--new-target", request.new_targets),
        ("--alternate-location", request.alternate_mappings),
    ):
        for one, target in mappings:
            files = target.files
            options += [option, _wish(one), files.path, files.spec, target.destination]
    for one, part in request.subcomponents:
        whole = f"{part.logical_path}\\{part.name}" if part.logical_path else part.name
        options += ["--subcomponent", _wish(one), whole]
    for one, ranges in request.ranges_files:
        options += ["--ranges-file", _wish(one), str(ranges.partial_file), ranges.path]
    return options


def _choices(choices: RestoreChoices) -> list[str]:
    """What is said of one component."""
    one = _wish(choices.component)
    options = ["--additional-restores-of", one] * choices.additional_restores
    options += ["--authoritative-of", one] * choices.authoritative
    if choices.options:
        options += ["--options-of", f"{one}={choices.options}"]
    if choices.new_name:
        options += ["--new-name-of", f"{one}={choices.new_name}"]
    if choices.roll_forward is not None:
        point = f"@{choices.roll_forward_point}" * (choices.roll_forward is RollForward.PARTIAL)
        options += ["--roll-forward-of", f"{one}={choices.roll_forward.word}{point}"]
    return options


def _wish(one: ComponentWish) -> str:
    return f"{one.writer}:{one.component}" if one.component else one.writer


def given(option: str, value: str) -> list[str]:
    """The option, where there is something to say."""
    return [option, value] if value else []


def repeated(option: str, flags: Any) -> list[str]:
    """The option once for each flag."""
    if not flags:
        return []
    return [part for word in flag_words(flags).split("+") for part in (option, word)]
