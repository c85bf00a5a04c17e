"""Records from their JSON shapes: the way back from ``to_json`` of :mod:`exshadow.model`.

What a newer daemon says beyond what is known here is ignored. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable

from exshadow.errors import Error, make
from exshadow.model import (
    ChangedMember,
    JobRecord,
    Json,
    Member,
    Plan,
    PlexRecord,
    SetRecord,
    SnapshotRecord,
    Step,
    Verification,
    VolumeRecord,
)


def _only(json: Json, names: Iterable[str]) -> Json:
    return {name: json[name] for name in names if name in json}


def plex(json: Json) -> PlexRecord:
    return PlexRecord(**_only(json, PlexRecord.__slots__))


def snapshot(json: Json) -> SnapshotRecord:
    known = _only(json, SnapshotRecord.__slots__)
    return SnapshotRecord(**{**known, "set_id": json["set"], "members": tuple(json["members"])})


def volume(json: Json) -> VolumeRecord:
    known = _only(json, VolumeRecord.__slots__)
    return VolumeRecord(
        **{
            **known,
            "plexes": tuple(plex(one) for one in json["plexes"]),
            "snapshots": tuple(snapshot(one) for one in json["snapshots"]),
            "events": tuple(json["events"]),
        }
    )


def set_(json: Json) -> SetRecord:
    known = _only(json, SetRecord.__slots__)
    checks = tuple(verdict(one) for one in json.get("checks", ()))
    said = json.get("verified")
    return SetRecord(
        **{
            **known,
            "members": tuple(Member(**_only(one, Member.__slots__)) for one in json["members"]),
            "verified": verdict(said) if said else None,
            "checks": checks,
            "missing": tuple(json.get("missing", ())),
        }
    )


def verdict(json: Json) -> Verification:
    return Verification(**_only(json, Verification.__slots__))


def changed(json: Json) -> ChangedMember:
    extents = tuple((offset, length) for offset, length in json["changed"])
    return ChangedMember(json["volume"], json["region_size"], extents)


def job(json: Json) -> JobRecord:
    return JobRecord(**_only(json, JobRecord.__slots__))


def plan(json: Json) -> Plan:
    steps = tuple(Step(**_only(one, Step.__slots__)) for one in json["steps"])
    more = _only(json, ("seconds", "estimate"))
    refusal = error(json["refused"]) if json.get("refused") else None
    return Plan(json["command"], steps, tuple(json["warnings"]), **more, refusal=refusal)


def error(json: Json) -> Error:
    """The exception that ``{"code","message","hint"}`` stands for."""
    return make(str(json.get("code")), str(json.get("message")), str(json.get("hint") or ""))


def error_json(problem: Error) -> Json:
    return {"code": problem.code, "message": problem.message, "hint": problem.hint}
