"""exshadow provider list | probe | choose"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from exshadow.cli import options, output
from exshadow.cli.opening import open_service
from exshadow.cli.options import OnlyGroups, PolicyFile
from exshadow.names import format_size

if TYPE_CHECKING:
    from exshadow.model import Json
    from exshadow.policy.model import Policy
    from exshadow.service.choice import GroupChoice

app = options.group("provider")

_Policy = Annotated[
    Path | None,
    Parameter(name="--policy", help="Take the providers' settings from this policy."),
]
_SAYS = {
    "native": "exshadow's own engine: mirrors of images and block devices",
    "sfw": "Storage Foundation for Windows, by vxassist, vxsnap, vxdg",
    "eva": "HP StorageWorks EVA, by sssu",
    "vss": "any VSS provider of a Windows host, by exshadow-vss.exe",
}


@app.command(name="list")
def list_(*, policy: _Policy = None) -> int:
    """Show the providers and whether each is here. Nothing is asked of an array.

    Example: exshadow provider list --policy /etc/exshadow/policy.toml
    """
    rows = [
        {"provider": name, "here": not why, "reason": why, "what": _SAYS[name]}
        for name, why in _absent(_settings(policy)).items()
    ]
    table = output.table(
        ("PROVIDER", "HERE", "WHAT"),
        [(one["provider"], "yes" if one["here"] else "no", one["what"]) for one in rows],
    )
    why = "\n".join(f"{one['provider']}: {one['reason']}" for one in rows if one["reason"])
    return output.show({"providers": rows}, "\n".join([table, output.flow(why)]))


@app.command
def probe(*, policy: _Policy = None) -> int:
    """Ask every product that is here how it stands: arrays with room and licence, VSS providers.

    Example: exshadow provider probe --policy /etc/exshadow/policy.toml
    """
    from exshadow.providers.gather import survey

    found = survey(_settings(policy))
    document: Json = {
        "arrays": [
            {
                "name": one.name,
                "licensed": one.licensed,
                "managed_by_other": one.managed_by_other,
                "vdisks": len(one.volumes),
                "disk_groups": [
                    {
                        "name": room.group,
                        "free": room.free,
                        "used_percent": room.used_percent,
                        "alarm_percent": room.alarm_percent,
                    }
                    for room in one.rooms
                ],
            }
            for one in found.arrays
        ],
        "sfw": found.sfw is not None,
        "vss": [{"id": one.id, "name": one.name, "kind": one.kind.value} for one in found.vss],
        "problems": dict(found.problems),
    }
    return output.show(document, _probe_text(document))


@app.command
def choose(
    file: PolicyFile,
    /,
    *,
    group: OnlyGroups = None,
) -> int:
    """Show which provider each group gets, and one reason for each other.

    Example: exshadow provider choose /etc/exshadow/policy.toml
    """
    from exshadow.cli.policy import loaded
    from exshadow.service.choice import choose_group

    policy = loaded(file, group)
    with open_service() as service:
        found = [choose_group(service, policy, name) for name in policy.group]
    text = "\n".join(_choice_text(one) for one in found)
    output.show({"groups": [one.to_json() for one in found]}, text)
    return 0 if all(one.choice.provider for one in found) else 4


def _settings(policy: Path | None) -> Any:
    from exshadow.policy.model import load

    found: Policy | None = load(policy) if policy is not None else None
    return found.provider if found is not None else {}


def _absent(settings: Any) -> dict[str, str]:
    """By provider why it is not here; empty when it is."""
    import os

    from exshadow.commands import CommandRunner
    from exshadow.errors import Error
    from exshadow.vss.tool import find_tool

    found = {"native": ""}
    for name, programs in (("sfw", ("vxassist", "vxsnap", "vxdg")), ("eva", ("sssu",))):
        mine = settings.get(name, {})
        runner = CommandRunner(programs={one: mine[one] for one in programs if mine.get(one)})
        missing = [one for one in programs if runner.find(one) is None]
        found[name] = (
            f"{', '.join(missing)} not on PATH, nor named in [provider.{name}] of the policy"
            if missing
            else ""
        )
    mine = settings.get("vss", {})
    try:
        tool = find_tool(mine.get("tool"), mine.get("launcher"), os.environ)
        found["vss"] = "" if tool is not None else "this is no Windows host"
    except Error as problem:
        found["vss"] = problem.message
    return found


def _probe_text(found: Json) -> str:
    lines = []
    for one in found["arrays"]:
        owner = f", managed by {one['managed_by_other']}" if one["managed_by_other"] else ""
        licence = "" if one["licensed"] else ", no Business Copy licence"
        lines.append(f"eva: array {one['name']}: {one['vdisks']} vdisks{licence}{owner}")
        lines += [
            f"eva: {group['name']}: {format_size(group['free'])} free, "
            f"{group['used_percent']} % used (alarm at {group['alarm_percent']} %)"
            for group in one["disk_groups"]
        ]
    if found["sfw"]:
        lines.append("sfw: here")
    lines += [f"vss: {one['name']} {{{one['id']}}}, {one['kind']}" for one in found["vss"]]
    lines += [f"{name}: {why}" for name, why in found["problems"].items()]
    return output.flow("\n".join(["native: here", *lines]))


def _choice_text(one: GroupChoice) -> str:
    choice = one.choice
    head = f"{one.group}: {choice.provider or 'nobody'}, {choice.why}"
    stacks = ", ".join(f"{volume.name} ({volume.kind.value})" for volume in one.stacks)
    lines = [head, f"  volumes: {stacks}"]
    lines += [f"  not {found.provider}: {found.reason}" for found in choice.refused]
    lines += [f"  passed over {found.provider}: {found.reason}" for found in choice.passed_over]
    return output.flow("\n".join(lines))
