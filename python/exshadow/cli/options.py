"""Options that several commands share, spelled and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from exshadow.service.checks.wish import CheckWish

VolumeName = Annotated[str, Parameter(help="Name of the volume.")]
GroupName = Annotated[str, Parameter(help="Name of the group.")]
SetName = Annotated[
    str,
    Parameter(name="SET", help="The set: its id, GROUP@LABEL, or a label that is unambiguous."),
]
Label = Annotated[str | None, Parameter(help="Label; one is made up otherwise.")]
Limit = Annotated[
    str | None, Parameter(help="Copy no faster than this many bytes a second (K, M, G, T).")
]
Force = Annotated[
    bool,
    Parameter(
        help="Accept a production plex that was changed from outside, or a mounted block device."
    ),
]
Folder = Annotated[
    list[str] | None,
    Parameter(
        name="--folder",
        help="Look for databases only there in the copies: PATH or VOLUME:PATH; may be repeated.",
    ),
]
Glob = Annotated[
    list[str] | None,
    Parameter(
        name="--glob",
        help="Which files are SQLite databases; by content otherwise. May be repeated.",
    ),
]
Script = Annotated[
    str | None,
    Parameter(help="Command of the check script; gets the mounts as JSON on its input."),
]
Timeout = Annotated[
    str,
    Parameter(show_default=True, help="Most that one check may take (s, m, h); then it failed."),
]
PolicyFile = Annotated[Path, Parameter(name="FILE", help="The policy: a TOML file.")]
OnlyGroups = Annotated[
    list[str] | None, Parameter(name="--group", help="Only this group; repeats.")
]
ForcedProvider = Annotated[
    str | None, Parameter(help="Who makes the copies, whatever the policy prefers.")
]
CHECKS = "bytes, filesystem, ese, postgresql, sqlite, script"
DryRun = Annotated[bool, Parameter(help="Print the plan and do nothing.")]
Live = Annotated[bool, Parameter(help="Also while a client has a volume open for writing.")]
Yes = Annotated[bool, Parameter(help="Do not ask.")]


GROUPS = {
    "volume": "Adopt, list and forget volumes.\n\nExample: exshadow volume add db /srv/db.img",
    "mirror": "Attach, sync, compare and detach plexes.\n\n"
    "Example: exshadow mirror add db /mirror/db.img",
    "snapshot": "Make, check, use and dissolve snapshot sets.\n\n"
    "Example: exshadow snapshot create shop --label noon",
    "catalog": "Rebuild, export and import the catalog.\n\nExample: exshadow catalog rebuild",
    "vss": "Writers, providers and snapshots of the Volume Shadow Copy Service, by hand.\n\n"
    "Example: exshadow vss writers",
    "ese": "Prove databases and logs of Exchange and other ESE users offline.\n\n"
    "Example: exshadow ese check /mnt/snapshot/mdbdata",
    "recovery": "Runbooks: mailboxes and Exchange databases brought back out of a set.\n\n"
    "Example: exshadow recovery mailbox mail@noon --help",
    "provider": "See which products can make copies here, and which one a group gets.\n\n"
    "Example: exshadow provider choose /etc/exshadow/policy.toml",
    "policy": "Check a policy and see what it would do and how its groups stand.\n\n"
    "Example: exshadow policy status /etc/exshadow/policy.toml",
    "help": "Topics: exit-codes, ese.\n\nExample: exshadow help exit-codes",
}
"""Help of the verb groups; here, so that the overview need not import them."""
LEAVES = {
    "attach": "Make a volume or snapshot a block device.\n\nExample: exshadow attach db@noon",
    "drill": "Restore a set where it harms nobody, and prove what comes back.\n\n"
    "Example: exshadow drill shop --check filesystem",
    "detach": "Let go of a block device made by attach.\n\nExample: exshadow detach db@noon",
}
"""The same for commands without a group."""


def group(name: str) -> App:
    """A verb group with the settings of the whole command line."""
    return App(name=name, help=GROUPS[name], **SETTINGS)  # type: ignore[arg-type]


SETTINGS: dict[str, object] = {
    "version_flags": [],
    "help_format": "plaintext",
    "default_parameter": Parameter(negative=(), show_default=False),
    "result_action": "return_value",
    "suppress_keyboard_interrupt": False,
    "exit_on_error": False,
    "print_error": False,
}


def check_wish(
    checks: list[str],
    timeout: str,
    folders: list[str] | None,
    globs: list[str] | None,
    script: str | None,
) -> CheckWish:
    """What is to be checked. InvalidError, also for a script that is not there."""
    from exshadow.names import parse_duration
    from exshadow.service.checks.wish import CheckWish
    from exshadow.service.conflicts import absolute

    wish = CheckWish(
        tuple(checks),
        parse_duration(timeout, "time limit"),
        tuple(folders or ()),
        tuple(globs or ()),
        absolute(script) if script is not None else None,
    )
    wish.require_valid()
    return wish


def rate(limit: str | None) -> int | None:
    """Bytes a second, None for no limit."""
    from exshadow.names import parse_rate

    return parse_rate(limit) if limit is not None else None
