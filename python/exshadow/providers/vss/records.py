"""What we know of our sets: VSS keeps neither policy labels nor mirrors. One file a mirror,
replaced whole, so that a kill leaves the old one or the new."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from exshadow.errors import CorruptError, NotFoundError, from_system
from exshadow.names import check_name


@dataclass(frozen=True, slots=True)
class Slot:
    """One mirror of a group. ``set_id``: of the policy's set, empty while the slot is free;
    ``vss_set``: VSS' own id, empty while the set is being made (since ``begun``, RFC 3339);
    ``snapshots``: volume to snapshot id; ``restored``: volumes already restored, by action
    that has begun; ``presented``: somebody asked for the copies' paths and has not given them back.

    ``consistency``: what was made of it by the setting of its day.

    To know what a killed split left: ``ended``: when the service gave up, empty while nobody heard
    of it; ``context`` and ``provider`` (its id, empty: any) that were asked for; ``doubtful``: ids
    of VSS' sets of which nobody could tell whether they are it; ``dropping``: id of the one that is
    it, and is being deleted."""

    group: str
    mirror: str
    set_id: str = ""
    begun: str = ""
    vss_set: str = ""
    snapshots: dict[str, str] = field(default_factory=dict)
    document: str = ""
    restored: dict[str, list[str]] = field(default_factory=dict)
    presented: bool = False
    ended: str = ""
    context: int = 0
    provider: str = ""
    consistency: str = "crash"
    doubtful: list[str] = field(default_factory=list)
    dropping: str = ""

    @property
    def is_set(self) -> bool:
        """Whether it holds a finished set."""
        return bool(self.set_id and self.vss_set)

    def free(self) -> Slot:
        """The same without a set."""
        return Slot(self.group, self.mirror)

    def making(self, set_id: str, context: int, provider: str) -> Slot:
        """With a set that is being made from now on, by these values."""
        begun = datetime.now(UTC).isoformat()
        return replace(self.free(), set_id=set_id, begun=begun, context=context, provider=provider)


class Slots:
    """The files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, group: str, mirror: str) -> Slot | None:
        """None: the mirror was not prepared. CorruptError for a file that is no slot."""
        file = self._file(group, mirror)
        try:
            return Slot(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as problem:
            raise CorruptError(
                f"{file} is damaged", hint="move it away; its snapshots: vssadmin list shadows"
            ) from problem

    def of_set(self, group: str, mirror: str, set_id: str) -> Slot:
        """The slot that holds this finished set. NotFoundError."""
        found = self.read(group, mirror)
        if found is None or found.set_id != set_id or not found.is_set:
            raise NotFoundError(
                f"mirror {mirror} of {group} does not hold set {set_id}",
                hint="see which sets there are: exshadow snapshot list",
            )
        return found

    def all(self) -> Iterator[Slot]:
        """Every slot."""
        for file in sorted(self._folder.glob("*@*.json")):
            group, _, mirror = file.stem.partition("@")
            if (found := self.read(group, mirror)) is not None:
                yield found

    def write(self, slot: Slot) -> Slot:
        """Durable when it returns."""
        file = self._file(slot.group, slot.mirror)
        fresh = file.with_suffix(f".{os.getpid()}.new")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with fresh.open("w", encoding="utf-8") as out:
                json.dump(asdict(slot), out)
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(file)
        except OSError as problem:
            raise from_system(problem, f"cannot write {file}") from problem
        return slot

    def remove(self, group: str, mirror: str) -> None:
        """The mirror is none any more; quiet when it was none."""
        self._file(group, mirror).unlink(missing_ok=True)

    def _file(self, group: str, mirror: str) -> Path:
        return self._folder / f"{check_name(group, 'group')}@{check_name(mirror, 'mirror')}.json"
