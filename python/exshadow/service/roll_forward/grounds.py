"""What a roll-forward looks at: the set's databases and, in place of the set's logs, today's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from exshadow.model import ROLL_FORWARD, SetRecord
from exshadow.service import mounts
from exshadow.service.checks.ground import Ground
from exshadow.service.checks.wish import CheckWish
from exshadow.service.desk import Desk, Session


class ForwardGround(Ground):
    """`kept`: the set that holds production's logs of today; without one they are read where they
    lie, without a byte being written. There is no time limit: without its proof a roll-forward is
    not done at all, however large the databases are; it may be interrupted."""

    verb = ROLL_FORWARD

    def __init__(
        self,
        desk: Desk,
        session: Session,
        one: SetRecord,
        sources: Mapping[str, SetRecord | None],
    ) -> None:
        members = tuple(member for member in one.members if member.volume in sources)
        super().__init__(desk, session, replace(one, members=members), CheckWish(("ese",)))
        self._sources = sources

    def export(self, volume: str) -> tuple[str, bool]:
        of = self._sources[volume]
        if of is None:
            return volume, False
        return mounts.export_of(volume, of.label, writable=True), True

    def tick(self) -> None:
        self.desk.check_stop()
