"""What goes wrong next, by STATE/faults.json: a list of

    {"program": "vxassist", "verb": "prepare", "kind": "lie", "skip": 0, "count": 1}

kinds: ``fail`` (says no, does nothing), ``fail-after`` (does it and ends non-zero), ``lie`` (ends
with 0, does nothing), ``hang`` (never ends, does nothing), ``hang-after`` (does it, never ends),
``half`` (vxsnap create, restore: the first volume only, ends with 0), ``no-xml`` (vxsnap create:
writes no XML), ``wrong-plex`` (vxsnap create: takes another ready plex than was asked).
"""

from __future__ import annotations

import json
from pathlib import Path

KINDS = ("fail", "fail-after", "lie", "hang", "hang-after", "half", "no-xml", "wrong-plex")


class Hang(Exception):
    """The program does not come back."""


def plan(
    folder: Path, program: str, verb: str, kind: str, *, skip: int = 0, count: int = 1
) -> None:
    """Switch one on."""
    assert kind in KINDS, kind
    path = folder / "faults.json"
    known = json.loads(path.read_text()) if path.exists() else []
    known.append({"program": program, "verb": verb, "kind": kind, "skip": skip, "count": count})
    path.write_text(json.dumps(known))


def next_fault(folder: Path, program: str, verb: str) -> str:
    """The kind that strikes this call, used up; "" for none."""
    path = folder / "faults.json"
    if not path.exists():
        return ""
    known = json.loads(path.read_text())
    found = ""
    for one in known:
        if found or one["program"] != program or one["verb"] != verb or one["count"] == 0:
            continue
        if one["skip"]:
            one["skip"] -= 1
            continue
        one["count"] -= 1
        found = one["kind"]
    path.write_text(json.dumps(known))
    return found
