"""What an administrator tells the EVA provider (``[provider.eva]`` of a policy)."""

from __future__ import annotations

import enum
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from exshadow.errors import InvalidError, PermissionRefusedError, from_system


class Kind(enum.StrEnum):
    """How copies are made."""

    SNAPSHOT = "snapshot"  # depends on its source
    SNAPCLONE = "snapclone"  # a full copy, independent once it is normalised
    MIRRORCLONE = "mirrorclone"  # a full mirror that is fractured and resynchronised


class Allocation(enum.StrEnum):
    """Of snapshots."""

    DEMAND = "demand"  # space as production changes; may run out
    FULLY = "fully"  # reserved ahead, in a container


class EvaSettings(BaseModel):
    """Times are seconds. Exactly one of ``password_file`` (its first line; only its owner may read
    it) and ``password_environment`` (a variable's name) holds the password."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manager: str = Field(min_length=1)  # host of Command View
    user: str = Field(min_length=1)
    system: str = Field(min_length=1)  # the array's name
    password_file: str = ""
    password_environment: str = ""
    sssu: str = ""  # where the program is, if not on PATH; words after it are passed on
    version: str = "6"  # of SSSU: which data file
    commands: str = ""  # an own file laid over it
    work: str = ""  # a folder of our own; default: below the user's state folder
    kind: Kind = Kind.MIRRORCLONE
    allocation: Allocation = Allocation.FULLY
    host: str = ""  # copies are presented to it: \Hosts\FOLDER\HOST
    disk_group: str = ""  # of snapclones and mirrorclones; default: the source's
    redundancy: str = ""  # default: the source's
    lun_first: int = Field(default=100, ge=1)  # LUN numbers that copies may get
    lun_last: int = Field(default=199, ge=1)
    write_cache: str = Field(default="", pattern="^(write(back|through))?$")
    # ^ of sources after a split; default: what each had before it
    instant_restore: bool = False  # from snapshots and snapclones: depends on the firmware
    unseen_restore: bool = False  # consent: one that never shows at work counts as done
    takeover: bool = False  # consent to take the array from another manager
    snapshots_limit: int = Field(default=0, ge=0)  # a vdisk; 0: as the product's data say
    mirrors: str = ""  # labels, for demand allocated snapshots that leave no trace until a split
    sysfs: str = "/sys"
    devices: str = "/dev"
    mounts: str = "/proc/self/mounts"
    flush_seconds: float = Field(default=120.0, gt=0)
    settle_seconds: float = Field(default=50.0, gt=0)  # until a command's effect must be seen
    copying_seconds: float = Field(default=3600.0, gt=0)  # until a snapclone must be normalised
    device_seconds: float = Field(default=60.0, gt=0)  # until a presented LUN must be a device
    step_seconds: float = Field(default=0.0, ge=0)  # longest that one command may take; 0: as data

    @model_validator(mode="after")
    def _consistent(self) -> EvaSettings:
        if bool(self.password_file) == bool(self.password_environment):
            raise ValueError("name either password_file or password_environment")
        if self.lun_last < self.lun_first:
            raise ValueError("lun_last is less than lun_first")
        return self

    @property
    def containers(self) -> bool:
        """Whether prepare reserves space ahead."""
        return self.kind is Kind.SNAPCLONE or (
            self.kind is Kind.SNAPSHOT and self.allocation is Allocation.FULLY
        )

    def group_of_copies(self, source: str) -> str:
        """The disk group that copies of a vdisk in the group ``source`` go to. A snapshot lies
        beside what it is of."""
        return source if self.kind is Kind.SNAPSHOT else self.disk_group or source

    def level_of_copies(self, source: str) -> str:
        """The Vraid level of copies of a vdisk of the level ``source``."""
        return (self.redundancy or source).lower()

    def password(self) -> str:
        """Read where it is kept. InvalidError when it is not there or empty,
        PermissionRefusedError when others can read the file."""
        if self.password_environment:
            found = os.environ.get(self.password_environment, "")
            where = f"environment variable {self.password_environment}"
        else:
            found = _first_line(Path(self.password_file))
            where = self.password_file
        if not found:
            raise InvalidError(f"no password in {where}")
        return found

    def work_folder(self) -> Path:
        """The folder sssu runs in, made for us alone."""
        state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        folder = Path(self.work) if self.work else Path(state) / "exshadow" / "eva"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            mode = folder.stat().st_mode
        except OSError as problem:
            raise from_system(problem, f"cannot make the folder {folder} for sssu") from problem
        if os.name != "nt" and stat.S_IMODE(mode) & 0o077:
            raise PermissionRefusedError(
                f"{folder} can be read or written by others", hint=f"chmod 700 {folder}"
            )
        return folder


def parse(settings: Mapping[str, str]) -> EvaSettings:
    """InvalidError names the first setting that is wrong."""
    try:
        return EvaSettings.model_validate(dict(settings))
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise InvalidError(
            f"provider eva: {where}: {first['msg']}", hint="see [provider.eva] of the policy"
        ) from problem


def _first_line(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise from_system(problem, f"cannot read the password in {path}") from problem
    except UnicodeDecodeError as problem:
        raise InvalidError(
            f"{path} is not UTF-8 text", hint="write it anew with an editor"
        ) from problem
    if os.name != "nt" and stat.S_IMODE(mode) & 0o077:
        raise PermissionRefusedError(
            f"{path} holds a password and can be read by others", hint=f"chmod 600 {path}"
        )
    return lines[0] if lines else ""
