"""Restore: production becomes the set, by the array's own copying back.

Nothing on the array tells a finished restore from one that never began, and one of few changes may
end before anybody looks. So the copy's name is marked twice: *begun* before the command is given,
*seen* once the array showed the restore. Found *begun* only, and not at work, it is not believed
nor repeated: it may have been done, and production written to since. A human compares, and asks for
a new restore (another action) if one is wanted.
"""

from __future__ import annotations

import contextlib

from exshadow.errors import (
    Error,
    InvalidError,
    ProviderError,
    RefusedError,
    TimedOutError,
    UnsupportedError,
)
from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.eva.array import Check, View
from exshadow.providers.eva.base import Base
from exshadow.providers.eva.finding import Copy
from exshadow.providers.eva.names import Role
from exshadow.providers.eva.objects import Vdisk
from exshadow.providers.eva.rules import Operation, permit
from exshadow.providers.eva.session import ArrayRefusedError, NotAnsweredError, SessionLostError

_UNSEEN = "a restore was begun and never seen at work: production may be the set, or as it was"
_LATE = 3.0  # seconds in which a restore shows that the array said it had refused
_NOT_TAKEN = (ArrayRefusedError, RefusedError, UnsupportedError, InvalidError)


class Restoring(Base):
    """The verb ``restore``."""

    def restore(self, action: Action) -> None:
        """Begin it, or go on where that is certain to be right. Copies that are still being made
        are waited for: half a copy is nothing to restore from."""
        self._wait_whole(action)
        view = self.array.known()
        found, sources = self.whole_set(view, action), self.sources(view, action)
        for volume, one in found.items():
            if not _seen(one, action):
                self._permit(action, sources[volume], one)
        for volume, one in found.items():
            if not _seen(one, action):
                if not _begun(one, action):
                    self.rename_all([(one, one.name.marked(_intent(action)))])
                    self._begin(sources[volume], one)
                self._mark_seen(action, one)

    def _wait_whole(self, action: Action) -> None:
        view = self.array.known()
        found = self.whole_set(view, action).values()
        fresh = [one for one in found if not _seen(one, action) and not _begun(one, action)]
        if fresh:
            sources = self.sources(view, action).values()
            involved = [*(one.vdisk for one in fresh), *sources]
            self.wait_normalised(involved, why="restore from the set")

    def _permit(self, action: Action, source: Vdisk, one: Copy) -> None:
        """RefusedError, or ProviderError for a restore that may be over. One that is at work counts
        only if it is this action's own: its mark says so."""
        if _begun(one, action):
            if not one.restoring:
                raise self._unseen(one)
            return
        permit(Operation.RESTORE, one.vdisk, self.settings.host)
        if one.restoring:
            raise RefusedError(
                f"the array shows that {one.vdisk.name} is being restored from, and this restore "
                "did not begin it",
                hint="repeat it when that has ended; if nothing is at work, say in your commands "
                "file which field tells: [meaning.field]",
            )
        if not one.vdisk.good:
            raise RefusedError(
                f"copy {one.vdisk.name} is in state {one.vdisk.state!r}: nothing to restore from",
                hint="use another set",
            )
        if one.mirrors_another(source):
            raise RefusedError(
                f"{one.vdisk.name} mirrors {one.vdisk.parent}, production is {source.name} now: "
                "the array restores only what a copy is of",
                hint="make the set itself production: exshadow snapshot promote "
                f"{action.group}@{action.label}",
            )
        self.refuse_in_use(source, "restore over it")

    def _begin(self, source: Vdisk, one: Copy) -> None:
        """Give the command and see it work, however sure its text is: one that shows late is no
        restore that is over. Unseen, it is believed only with the administrator's consent."""

        def working(view: View) -> bool:
            return any(x.id == one.vdisk.id and Copy(one.name, x).restoring for x in view.vdisks)

        try:
            self.array.order("restore", source=source.path, copy=self.path(one.vdisk.id))
        except (SessionLostError, NotAnsweredError):
            if not working(self.array.look()):
                raise
            return
        except _NOT_TAKEN as problem:
            if self._shows(working, min(_LATE, self.settings.settle_seconds)):
                return
            if not isinstance(problem.__context__, SessionLostError):
                self._unmark(one)  # else an earlier one, whose answer was lost, may have been done
            raise
        shown = self._shows(working, self.settings.settle_seconds)
        if not shown and not self.settings.unseen_restore:
            raise self._unseen(one)

    def _shows(self, working: Check, limit: float) -> bool:
        try:
            self.array.wait(working, limit, "a restore in progress")
        except TimedOutError:
            return False
        return True

    def _unmark(self, one: Copy) -> None:
        """The command was refused and did nothing: the copy has the name that it had. Should that
        fail, the mark stays and a human compares."""
        with contextlib.suppress(Error):
            now = next(x for x in self.array.look().vdisks if x.id == one.vdisk.id)
            self.rename_all([(Copy(one.name, now), one.name)])

    def _mark_seen(self, action: Action, one: Copy) -> None:
        now = next((x for x in self.array.known().vdisks if x.id == one.vdisk.id), one.vdisk)
        self.rename_all([(Copy(one.name, now), one.name.marked(action.id))])

    @staticmethod
    def _unseen(one: Copy) -> ProviderError:
        return ProviderError(
            f"{one.vdisk.name}: the array showed no restore; {_UNSEEN}",
            hint="compare production with the set; ask for a new restore if it is not the set. "
            "Where restores are too short to be seen: unseen_restore = yes in [provider.eva]",
        )

    def standing_restore(self, action: Action, view: View) -> Standing:
        """By the marks."""
        found = self.copies(view, action, Role.SET, of_set=True)
        if len(found) < len(action.volumes):
            return Standing(Stage.FAILED, "copies of the set are missing")
        mine = [one for one in found.values() if _begun(one, action) or _seen(one, action)]
        busy = [one for one in mine if one.restoring]
        if any(_begun(one, action) and not one.restoring for one in mine):
            return Standing(Stage.FAILED, f"{_UNSEEN}; compare it with the set")
        if not all(_seen(one, action) for one in found.values()):
            return Standing(Stage.HALF if mine else Stage.ABSENT)
        if busy:
            total = sum(one.vdisk.size for one in found.values())
            share = sum(_restored(one) for one in found.values())
            return Standing(Stage.RUNNING, "restoring", share, total)
        return Standing(Stage.DONE, "production was the set")


def _restored(one: Copy) -> int:
    """Bytes. One that is at work no more is done."""
    return one.vdisk.size * (one.vdisk.restored or 0) // 100 if one.restoring else one.vdisk.size


def _intent(action: Action) -> str:
    return f"begun {action.id}"


def _begun(one: Copy, action: Action) -> bool:
    return one.name.mark == one.name.marked(_intent(action)).mark


def _seen(one: Copy, action: Action) -> bool:
    return one.name.mark == one.name.marked(action.id).mark
