"""Which provider the groups of a policy get: facts gathered, then the pure choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from exshadow.errors import InvalidError
from exshadow.model import Json
from exshadow.policy.model import Group, Policy
from exshadow.providers import chooser
from exshadow.providers.contract import Source
from exshadow.providers.facts import Choice, VolumeStack, Wish
from exshadow.providers.gather import gather
from exshadow.service.contract import Service


@dataclass(frozen=True, slots=True)
class GroupChoice:
    """One group's. ``problems``: products that could not be asked, and why."""

    group: str
    choice: Choice
    stacks: tuple[VolumeStack, ...]
    problems: Mapping[str, str]

    def to_json(self) -> Json:
        """As ``provider choose --json`` has it."""
        return {
            "group": self.group,
            **self.choice.to_json(),
            "volumes": [
                {
                    "volume": one.name,
                    "stack": one.kind.value,
                    "disk_group": one.group,
                    "disks": [
                        {"vendor": disk.vendor, "product": disk.product, "page83": disk.page83}
                        for disk in one.disks
                    ],
                }
                for one in self.stacks
            ],
            "problems": dict(self.problems),
        }


def choose_group(service: Service, policy: Policy, name: str) -> GroupChoice:
    """By the facts of this host, now."""
    group = policy.group[name]
    native = {one.name: one.size for one in service.list_volumes().volumes.values()}
    sources = list(sources_of(policy, group.volumes, native))
    facts, problems = gather(sources, native, policy.provider, name, group.mirrors)
    choice = chooser.choose(facts, wish_of(group))
    return GroupChoice(name, _explained(choice, problems), facts.volumes, problems)


def sources_of(
    policy: Policy, volumes: Iterable[str], native: Mapping[str, int]
) -> Iterable[Source]:
    """Where the volumes are. InvalidError for one that nobody knows."""
    for name in volumes:
        part = policy.volume.get(name)
        if part is not None:
            yield Source(name, part.path, part.size or length_of(part.path))
        elif name in native:
            yield Source(name, "", native[name])
        else:
            raise InvalidError(
                f"the policy does not say where volume {name} is",
                hint=f'add a table [volume.{name}] with path = "...", or: exshadow volume add',
            )


def wish_of(group: Group) -> Wish:
    """What the group's policy wants."""
    part = group.provider
    return Wish(
        prefer=part.prefer,
        forbid=part.forbid,
        survive_source_loss=part.survive_source_loss,
        delta_resync=part.delta_resync,
        off_host=part.off_host,
        copies=max(1, len(group.mirrors)),
    )


def length_of(path: str) -> int:
    """Bytes of a file or device here; 0 where the path means something to the provider only."""
    try:
        with Path(path).open("rb") as file:
            return file.seek(0, 2)
    except (OSError, ValueError):
        return 0


def _explained(choice: Choice, problems: Mapping[str, str]) -> Choice:
    """A product that could not be asked is refused for that reason."""
    refused = tuple(
        replace(one, reason=problems[one.provider])
        if one.provider in problems and "forbidden" not in one.reason
        else one
        for one in choice.refused
    )
    return replace(choice, refused=refused)
