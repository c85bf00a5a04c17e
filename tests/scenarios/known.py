"""The keys that README.md lists: one that nobody knows is an error, not a claim unlooked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


WORLD = _set("machine volumes writers providers snapshots limits steps calls")
PARTS = {
    "volumes": _set("name paths size"),
    "writers": _set(
        "id instance name instance_name usage source schema level freeze_limit version components "
        "excluded excluded_from_snapshot restore_method document subscribe checks_volumes events"
    ),
    "providers": _set("id name type version version_id class_id volumes kinds can events"),
    "snapshots": _set(
        "id set set_size volume provider attributes device machine exposed_name exposed_path "
        "created"
    ),
}
LIMITS = _set(
    "freeze hold identify prepare_backup prepare_snapshot post_snapshot backup_complete restore "
    "abort provider"
)
EVENTS = {
    "writers": _set(
        "identify prepare_backup prepare_snapshot freeze thaw post_snapshot backup_complete "
        "backup_shutdown abort pre_restore post_restore"
    ),
    "providers": _set(
        "is_supported begin_prepare end_prepare pre_commit commit post_commit pre_final_commit "
        "post_final_commit abort query delete break import expose unexpose revert revert_status "
        "resync"
    ),
}
SCRIPT = _set("fail times delay hang noted message application")
VERBS = {
    "backup": _set(
        "volumes type context attributes provider components only exclude bootable partial_files "
        "previous work retries"
    ),
    "restore": _set(
        "from only status subcomponents new_targets alternate_locations ranges_files roll_forward "
        "point new_name"
    ),
    "import": _set("from"),
    "break": _set("set flags"),
    "expose": _set("snapshot path name remote"),
    "unexpose": _set("snapshot path name remote"),
    "revert": _set("snapshot force"),
    "resync": _set("from snapshots destination flags"),
    "query": _set("what context"),
    "delete": _set("snapshot set force"),
    "writers": _set(""),
}
CHOICES = {
    "subcomponents": _set("of path name"),
    "new_targets": _set("of path spec destination"),
    "alternate_locations": _set("of path spec destination"),
    "ranges_files": _set("of number path"),
}
STEP_EXPECT = _set("result text count imported chosen")
EXPECT = _set("callbacks before calls writers snapshots set_open within")


def unknown_keys(world: Any, run: list[Any], expect: Any) -> list[str]:
    """Where keys stand that README.md does not have."""
    return [*_of_world(world), *_of_run(run), *_among(expect, EXPECT, "expect")]


def _among(given: Any, known: frozenset[str], where: str) -> Iterator[str]:
    yield from (f"{where}/{key}" for key in given if key not in known)


def _of_world(world: Any) -> Iterator[str]:
    yield from _among(world, WORLD, "world")
    yield from _among(world.get("limits", {}), LIMITS, "world/limits")
    for name, step in world.get("steps", {}).items():
        yield from _among(step, _set("pending result"), f"world/steps/{name}")
    for name, call in world.get("calls", {}).items():
        yield from _among(call, _set("result times"), f"world/calls/{name}")
    for kind, known in PARTS.items():
        for number, one in enumerate(world.get(kind) or ()):
            where = f"world/{kind}/{number}"
            yield from _among(one, known, where)
            events = one.get("events", {})
            yield from _among(events, EVENTS.get(kind, frozenset()), f"{where}/events")
            for name, script in events.items():
                yield from _among(script, SCRIPT, f"{where}/events/{name}")


def _of_run(run: list[Any]) -> Iterator[str]:
    for number, step in enumerate(run):
        where = f"run/{number}"
        if step.get("do") not in VERBS:
            yield f"{where}/do: {step.get('do')}"
            continue
        yield from _among(step, VERBS[step["do"]] | {"do", "as", "expect"}, where)
        yield from _among(step.get("expect", {}), STEP_EXPECT, f"{where}/expect")
        for kind, known in CHOICES.items():
            for place, one in enumerate(step.get(kind, ())):
                yield from _among(one, known, f"{where}/{kind}/{place}")
