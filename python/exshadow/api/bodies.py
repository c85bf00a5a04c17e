"""Shapes of requests and answers, for validation and for /openapi.json.

Answers may carry more than is listed here; what is listed stays. Sizes and offsets are bytes,
times RFC 3339 UTC.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Wish(BaseModel):
    """Base of requests: a misspelled field is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""Neither a path nor a name can hold NUL: the system's calls would end there."""
Path = Annotated[
    str, Field(pattern=r"^/[^\x00]*$", description="absolute: the daemon's folder is its own")
]


class NewVolume(Wish):
    name: Text
    path: Path
    group: Text | None = None
    region_size: int = 65536
    metadata_copy: Path | None = None
    force: bool = False


class NewPlex(Wish):
    path: Path
    label: Text | None = None
    limit: int | None = Field(None, gt=0, description="bytes a second")
    overwrite: bool = False
    force: bool = False


class SyncWish(Wish):
    label: Text | None = Field(None, description="only this plex")
    limit: int | None = Field(None, gt=0)
    force: bool = False


class VerifyWish(Wish):
    repair: bool = False
    source: Text | None = Field(None, description="plex to copy from; else the authority")
    force: bool = False


class NewSet(Wish):
    label: Text | None = None
    plex: Text | None = None
    set_id: Text | None = None
    consistency: Text = "crash"
    force: bool = False


class ArmWish(Wish):
    label: Text | None = None
    plex: Text | None = None
    seconds: float = Field(gt=0, le=600, description="how long it stays armed at most")
    pid: int = Field(gt=0, description="the client's process: its end disarms")
    force: bool = False


class ArmedSplit(Wish):
    set_id: Text
    consistency: Text = "crash"
    until: float = Field(description="CLOCK_MONOTONIC of this machine: later it is refused")


class ResyncWish(Wish):
    limit: int | None = Field(None, gt=0)
    force: bool = False


class RestoreBody(Wish):
    volumes: list[Text] = []
    mode: Literal["copy", "instant"] = "copy"
    keep_current: bool = False
    live: bool = False
    limit: int | None = Field(None, gt=0)
    roll_forward: bool = Field(False, description="databases only; the current logs stay")
    force: bool = False


class CheckBody(Wish):
    check: Text = Field("bytes", description="the one check, when `checks` is empty")
    checks: list[Text] = []
    timeout: int = Field(3600, gt=0, description="seconds for each check")
    folders: list[Text] = Field([], description="PATH or VOLUME:PATH within the copies")
    globs: list[Text] = Field([], description="which files are SQLite databases")
    script: Path | None = None
    force: bool = False


class DrillBody(Wish):
    set: Text | None = Field(None, description="else the newest that is ready")
    checks: list[Text] = Field([], description="else those the set was verified with")
    folder: Path | None = Field(None, description="where the throw-away plexes go")
    views: bool = Field(False, description="check on views; nothing is restored")
    timeout: int = Field(3600, gt=0, description="seconds for each check")
    folders: list[Text] = []
    globs: list[Text] = []
    script: Path | None = None
    force: bool = False


class PinWish(Wish):
    until: Text | None = Field(description='RFC 3339, "forever", or null to lift the pin')
    reason: str = Field("", description="why a pin in force is lifted or shortened")


class ExportWish(Wish):
    """Into a folder, or one volume onto the file or device ``to``."""

    folder: Path | None = None
    to: Path | None = None
    since: Text | None = None
    volume: Text | None = None
    force: bool = False

    @model_validator(mode="after")
    def _one_place(self) -> ExportWish:
        if (self.folder is None) == (self.to is None):
            raise ValueError("name either folder or to")
        if self.to is None and (self.volume is not None or self.force):
            raise ValueError("volume and force are for to")
        return self


class ConsistencyWish(Wish):
    consistency: Text


class SplitWish(Wish):
    volumes: list[Text]
    label: Text
    plexes: dict[Text, Text] | None = None
    set_id: Text | None = None
    consistency: Text = "crash"


class GroupRestore(Wish):
    """Volume names to labels: all restored at one instant."""

    snapshots: dict[Text, Text]
    limit: int | None = Field(None, gt=0)
    live: bool = False


class Answer(BaseModel):
    """Base of answers."""

    model_config = ConfigDict(extra="allow")


class Fault(Answer):
    code: str
    message: str
    hint: str


class Failure(Answer):
    error: Fault


class Plex(Answer):
    label: str
    path: str
    state: str
    size: int


class Volume(Answer):
    name: str
    uuid: str
    group: str
    size: int
    region_size: int
    state: str
    plexes: list[Plex]
    snapshots: list[dict[str, Any]]
    events: list[str]


class Member(Answer):
    volume: str
    plex: str
    path: str
    size: int


class Set(Answer):
    id: str
    label: str
    group: str
    created: str
    provider: str
    consistency: str
    state: str
    members: list[Member]
    verified: dict[str, Any] | None
    pinned_until: str | None
    hold_us: int


class Job(Answer):
    id: str
    kind: str
    state: Literal["running", "done", "cancelled", "failed"]
    bytes_copied: int
    bytes_zeroed: int
    bytes_total: int
    seconds: float
    error: Fault | None


class VolumeAnswer(Answer):
    volume: Volume


class VolumesAnswer(Answer):
    volumes: list[Volume]


class SetAnswer(Answer):
    set: Set


class SetsAnswer(Answer):
    sets: list[Set]


class JobAnswer(Answer):
    job: Job


class JobsAnswer(Answer):
    jobs: list[Job]
