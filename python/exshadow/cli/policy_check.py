"""exshadow policy check"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exshadow.cli import output
from exshadow.cli.options import PolicyFile
from exshadow.cli.policy_settings import option_faults, setting_faults, unreachable
from exshadow.errors import Error, InvalidError
from exshadow.policy.lines import both

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exshadow.policy.lines import Faults, Place
    from exshadow.policy.model import Group, Policy


def check(file: PolicyFile, /) -> int:
    """Read a policy and tell every fault with its line. Nothing is run, nobody is asked.

    Beside the file's own words: writers can be made, hooks are there and nobody else may change
    them, addresses of notifications are understood, settings and options of providers are known,
    the check script is there. Warned of: retention that the mirrors cannot hold.

    Example: exshadow policy check /etc/exshadow/policy.toml
    """
    from exshadow.policy.model import examine, read_text

    policy, faults = examine(read_text(file), str(file))
    warnings: list[str] = []
    if policy is not None:
        _look_further(faults, policy)
        warnings = [*unreachable(policy), *_shared(policy)]
    if policy is None or faults:
        raise InvalidError(str(faults), hint="see: exshadow policy schema")
    names = sorted(policy.group)
    lines = [f"{file}: good; groups: {', '.join(names)}", *(f"warning: {one}" for one in warnings)]
    return output.show(
        {"policy": {"file": str(file), "groups": names, "warnings": warnings}},
        output.flow("\n".join(lines)),
    )


def _shared(policy: Policy) -> Iterator[str]:
    """Volumes of other products in two groups: runs exclude each other, but a restore of one group
    changes the other's production. The native engine has each volume in one group."""
    groups: dict[str, list[str]] = {}
    native: dict[str, list[str]] = {}
    for name, group in sorted(policy.group.items()):
        for one in group.volumes:
            if one not in policy.volume:
                native.setdefault(one, []).append(name)
        for path in sorted(
            {policy.volume[one].path for one in group.volumes if one in policy.volume}
        ):
            groups.setdefault(path, []).append(name)
    for one, names in native.items():
        if len(names) > 1:
            yield (
                f"volume {one} is in the groups {', '.join(names)}, and the native engine has it "
                "in one: runs of the others are refused"
            )
    for path, names in groups.items():
        if len(names) > 1:
            yield (
                f"{path} is in the groups {', '.join(names)}: a restore of one replaces it under "
                "the other, whose runs are refused while that is half done"
            )


def _look_further(faults: Faults, policy: Policy) -> None:
    """What only a run would find."""
    for name, group in policy.group.items():
        place: Place = ("group", name)
        if group.verify and len(group.mirrors) == 1:
            said = "one mirror is the newest verified set, which none replaces: name two"
            faults.add((*place, "mirrors"), said)
        for writer in group.writers:
            _try_writer(faults, (*place, "writers"), writer)
        for hook, command in _hooks(group):
            _try_hook(faults, (*place, "hooks", *hook), command)
        if group.script is not None:
            _try_script(faults, (*place, "verify"), group.script)
        for option, said in option_faults(group):
            faults.add((*place, "provider", "options", option), said)
        _try_notify(faults, (*place, "notify"), group)
    for name, settings in policy.provider.items():
        for key, said in setting_faults(name, settings):
            faults.add(("provider", name, key) if key else ("provider", name), said)


def _try_writer(faults: Faults, place: Place, writer: str) -> None:
    from exshadow.vss.registry import make_writer, spec_of

    try:
        make_writer(spec_of(writer))
    except Error as problem:
        faults.add(place, both(problem))


def _hooks(group: Group) -> Iterator[tuple[Place, str]]:
    """Where each stands below ``hooks``, and its command."""
    hooks = group.hooks
    named = (
        ("before", hooks.before),
        ("after", hooks.after),
        ("on-error", hooks.on_error),
        ("hand-over", hooks.hand_over),
    )
    for event, several in named:
        for number, one in enumerate(several):
            yield (event, number, "command"), one.command


def _try_hook(faults: Faults, place: Place, command: str) -> None:
    from exshadow.commands import private_command

    try:
        private_command(command)
    except Error as problem:
        faults.add(place, both(problem))


def _try_script(faults: Faults, place: Place, command: str) -> None:
    from exshadow.service.checks.script import require_safe

    try:
        require_safe(command)
    except Error as problem:
        faults.add(place, both(problem))


def _try_notify(faults: Faults, place: Place, group: Group) -> None:
    from exshadow.policy.notify import misunderstood

    for key, text in misunderstood(group.notify):
        faults.add((*place, key), text)
