"""Restore: production becomes the set, by the array's own copying back.

Nothing on the array tells a finished restore from one that never began, and one of few changes may
end before anybody looks. So the copy's name is marked twice: *begun* before the command is given,
*seen* once the array showed the restore. Found *begun* only, and not at work, it is not believed
nor repeated: it may have been done, and production written to since. A human compares, and asks for
a new restore (another action) if one is wanted.
"""

from __future__ import annotations

from exshadow.errors import ProviderError, RefusedError, TimedOutError
from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.eva.array import View
from exshadow.providers.eva.base import Base
from exshadow.providers.eva.finding import Copy
from exshadow.providers.eva.names import Role
from exshadow.providers.eva.objects import Vdisk
from exshadow.providers.eva.rules import Operation, permit
from exshadow.providers.eva.session import ArrayRefusedError, NotAnsweredError
from exshadow.providers.templates import Sure

_UNSEEN = "a restore was begun and never seen at work: production may be the set, or as it was"


class Restoring(Base):
    """The verb ``restore``."""

    def restore(self, action: Action) -> None:
        """Begin it, or go on where that is certain to be right."""
        view = self.array.known()
        found, sources = self.whole_set(view, action), self.sources(view, action)
        for volume, one in found.items():
            if _seen(one, action) or one.restoring:
                continue
            if _begun(one, action):
                raise self._unseen(one)
            permit(Operation.RESTORE, one.vdisk, self.settings.host)
            if not one.vdisk.good:
                raise RefusedError(
                    f"copy {one.vdisk.name} is in state {one.vdisk.state!r}: nothing to "
                    "restore from",
                    hint="use another set",
                )
            self.refuse_in_use(sources[volume], "restore over it")
        for volume, one in found.items():
            if not _seen(one, action):
                if not one.restoring:
                    self.rename_all([(one, one.name.marked(_intent(action)))])
                    self._begin(sources[volume], one)
                self._mark_seen(action, one)

    def _begin(self, source: Vdisk, one: Copy) -> None:
        """Give the command and see it work. One that is not confirmed may do nothing: unseen, it
        is not believed."""

        def working(view: View) -> bool:
            return any(x.id == one.vdisk.id and Copy(one.name, x).restoring for x in view.vdisks)

        try:
            self.array.order("restore", source=source.path, copy=self.path(one.vdisk.id))
        except (ArrayRefusedError, NotAnsweredError):
            if not working(self.array.look()):
                raise
            return
        if self.array.book.sure("restore") is Sure.CONFIRMED:
            return
        try:
            self.array.wait(working, self.settings.settle_seconds, "a restore in progress")
        except TimedOutError as problem:
            raise self._unseen(one) from problem

    def _mark_seen(self, action: Action, one: Copy) -> None:
        now = next((x for x in self.array.known().vdisks if x.id == one.vdisk.id), one.vdisk)
        self.rename_all([(Copy(one.name, now), one.name.marked(action.id))])

    @staticmethod
    def _unseen(one: Copy) -> ProviderError:
        return ProviderError(
            f"{one.vdisk.name}: the array showed no restore; {_UNSEEN}",
            hint="compare production with the set; ask for a new restore if it is not the set. "
            "Where restores are too short to be seen, say in your commands file that the command "
            'is good: [command.restore] sure = "confirmed"',
        )

    def standing_restore(self, action: Action, view: View) -> Standing:
        """By the marks."""
        found = self.copies(view, action, Role.SET, of_set=True)
        if len(found) < len(action.volumes):
            return Standing(Stage.FAILED, "copies of the set are missing")
        busy = [one for one in found.values() if one.restoring]
        if any(_begun(one, action) and not one.restoring for one in found.values()):
            return Standing(Stage.FAILED, f"{_UNSEEN}; compare it with the set")
        seen = [_seen(one, action) for one in found.values()]
        if not all(seen):
            return Standing(Stage.HALF if any(seen) or busy else Stage.ABSENT)
        if busy:
            total = sum(one.vdisk.size for one in found.values())
            share = sum(one.vdisk.size * (one.vdisk.percent or 0) // 100 for one in found.values())
            return Standing(Stage.RUNNING, "restoring", share, total)
        return Standing(Stage.DONE, "production was the set")


def _intent(action: Action) -> str:
    return f"begun {action.id}"


def _begun(one: Copy, action: Action) -> bool:
    return one.name.mark == one.name.marked(_intent(action)).mark


def _seen(one: Copy, action: Action) -> bool:
    return one.name.mark == one.name.marked(action.id).mark
