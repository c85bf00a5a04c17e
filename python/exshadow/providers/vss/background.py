"""Full copies that go on being made after the service said that they are there.

No call of VSS tells when that ends (none was found: unsure). HP's own tools wait for it before a
check, an hour at most by default, and make no other copy of the volume meanwhile; a mirror that was
in sync before, as Storage Foundation splits it off, has no such time. So it is the administrator's
to say: how long at most (``copying_seconds``), and a command that knows (``copied``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from exshadow.command_log import CommandLog
from exshadow.commands import CommandRunner
from exshadow.errors import TimedOutError
from exshadow.providers.vss.records import Slot
from exshadow.providers.vss.settings import VssSettings
from exshadow.vss.tables import SnapshotAttributes

_ASK = 60.0  # seconds that the command may take
_BETWEEN = 5.0


class Background:
    """What is known of the copies' background work."""

    def __init__(self, settings: VssSettings) -> None:
        self._settings = settings
        self._commands = CommandRunner(
            programs={"copied": settings.copied}, file=CommandLog(settings.sets)
        )

    def until(self, slot: Slot) -> datetime | None:
        """When its copy is taken to be whole at the latest; None when it is."""
        if not slot.is_set or not int(slot.context) & int(SnapshotAttributes.PLEX):
            return None
        end = datetime.fromisoformat(slot.begun) + timedelta(seconds=self._settings.copying_seconds)
        if self._settings.copied:
            return None if self._ended(slot) else end
        return end if datetime.now(UTC) < end else None

    def told(self, slot: Slot) -> str:
        """The same for people; empty when it is whole."""
        end = self.until(slot)
        if end is None:
            return ""
        when = end.astimezone().strftime("%H:%M:%S")
        how = "the command copied says so" if self._settings.copied else "VSS does not tell"
        return f"may still be copied in the background, until {when} at most ({how})"

    def wait(self, slots: Iterable[Slot], why: str) -> None:
        """Until all are whole. TimedOutError when the command does not say so in time."""
        for slot in slots:
            pause = 0.05
            while (end := self.until(slot)) is not None:
                if self._settings.copied and datetime.now(UTC) > end:
                    raise TimedOutError(
                        f"mirror {slot.mirror} of {slot.group} is still being copied in the "
                        f"background after {self._settings.copying_seconds:g} s, to {why}",
                        hint=self._commands.hint(
                            "repeat it later; or raise copying_seconds in [provider.vss]"
                        ),
                    )
                time.sleep(pause)
                pause = min(pause * 1.7, _BETWEEN)

    def _ended(self, slot: Slot) -> bool:
        """By the administrator's command, which gets the ids of the set and its snapshots."""
        ids = [slot.vss_set, *sorted(slot.snapshots.values())]
        return self._commands.run("copied", ids, _ASK).status == 0
