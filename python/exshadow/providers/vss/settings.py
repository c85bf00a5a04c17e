"""Settings of ``[provider.vss]``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from exshadow.errors import InvalidError

PROGRAMS = ("launcher", "copied")
"""Settings that are commands."""


class Kind(StrEnum):
    """What copies are asked for."""

    DIFFERENTIAL = "differential"  # on the source's blocks: gone with the source
    PLEX = "plex"  # full copies, where the provider makes them


class RestoreWay(StrEnum):
    """How production becomes the set again."""

    REVERT = "revert"  # by the provider; the in-box one loses all newer copies
    COPY = "copy"  # what differs is read from the copy and written to the locked volume


class VssSettings(BaseModel):
    """``provider``: id or name of the VSS provider, empty: the service chooses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str = ""  # exshadow-vss.exe, when it is not beside the package or on PATH
    launcher: str = ""  # what runs it
    provider: str = ""
    kind: Kind = Kind.DIFFERENTIAL
    restore: RestoreWay = RestoreWay.REVERT
    writers: bool = True  # Windows' writers take part: the copy is theirs to recover
    sets: Path = Field(default_factory=lambda: _default_sets())  # what we know of our sets
    devices: str = ""  # folder where device names are looked up; empty: they are paths
    tries: int = Field(default=3, ge=1)
    copying_seconds: float = Field(default=3600.0, ge=0)
    # ^ that a full copy may still be made in the background, and is not read; 0: it was in sync
    copied: str = ""  # a command that ends with 0 once the snapshots (ids) are copied


def parse(plain: Mapping[str, str]) -> VssSettings:
    """InvalidError with what is wrong."""
    try:
        return VssSettings.model_validate(dict(plain))
    except ValidationError as problem:
        first = problem.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        known = ", ".join(sorted(VssSettings.model_fields))
        raise InvalidError(
            f"[provider.vss] {name}: {first['msg']}", hint=f"settings: {known}"
        ) from problem


def _default_sets() -> Path:
    root = os.environ.get("PROGRAMDATA") if os.name == "nt" else "/var/lib"
    return Path(root or "C:\\ProgramData") / "exshadow" / "vss"
