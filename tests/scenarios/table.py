"""The table of scenarios (README.md), read and patched: one value per scenario and case."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenarios.known import unknown_keys

HERE = Path(__file__).parent
KEYS = {"what", "world", "patch", "run", "expect", "cases", "skip"}


@dataclass(frozen=True)
class Scenario:
    """One scenario, whole: its world is an object and its patches are applied."""

    name: str
    what: str
    world: dict[str, Any]
    run: list[dict[str, Any]]
    expect: dict[str, Any]
    skip: dict[str, str]


def set_at(document: Any, pointer: str, value: Any) -> None:
    """Put `value` at a JSON pointer, making what lacks on the way; None removes."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    where = document
    for part in parts[:-1]:
        where = where[int(part)] if isinstance(where, list) else where.setdefault(part, {})
    last = parts[-1]
    if isinstance(where, list):
        if last == "-" or int(last) == len(where):
            where.append(value)
        elif value is None:
            del where[int(last)]
        else:
            where[int(last)] = value
    elif value is None:
        where.pop(last, None)
    else:
        where[last] = value


def load_file(path: Path) -> list[Scenario]:
    """All cases of one file."""
    text = json.loads(path.read_text(encoding="utf-8"))
    unknown = set(text) - KEYS
    if unknown:
        raise ValueError(f"{path.name}: unknown keys {sorted(unknown)}")
    if isinstance(text["world"], str):
        world = HERE / "worlds" / f"{text['world']}.json"
        text["world"] = json.loads(world.read_text(encoding="utf-8"))
    text.setdefault("expect", {})
    for pointer, value in text.pop("patch", {}).items():
        set_at(text, pointer, value)
    found = []
    for case, patches in text.pop("cases", {"": {}}).items():
        one = copy.deepcopy(text)
        for pointer, value in patches.items():
            set_at(one, pointer, value)
        if unknown := unknown_keys(one["world"], one["run"], one["expect"]):
            raise ValueError(f"{path.name}, case {case!r}: unknown keys {unknown}")
        found.append(
            Scenario(
                name=f"{path.stem}:{case}" if case else path.stem,
                what=one["what"],
                world=one["world"],
                run=one["run"],
                expect=one["expect"],
                skip=one.get("skip", {}),
            )
        )
    return found


def holds(found: Any, wanted: Any) -> bool:
    """Whether `found` has all that `wanted` names; lists have as many entries."""
    if isinstance(wanted, dict):
        return all(key in found and holds(found[key], one) for key, one in wanted.items())
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(holds, found, wanted))
    return bool(found == wanted)


def by_full_name(writers: list[Any]) -> dict[str, Any]:
    """The components of a restore's report (JSON) by path and name."""
    return {
        "\\".join(filter(None, (one["logical_path"], one["name"]))): one
        for writer in writers
        for one in writer["components"]
    }


def load_all() -> list[Scenario]:
    """The whole table, by name."""
    return [scenario for path in sorted(HERE.glob("*.json")) for scenario in load_file(path)]
