"""Sets that a coordinator makes, between their first volume and their end, and what is owed: sets
whose copies must go back into the mirror.

Steps of making come one at a time, but an abort comes beside a step that takes too long, which
cannot be stopped: the set is then marked, and what the step did is undone when it returns. Copying
back takes as long as it takes, longer than a coordinator waits for anybody: it is done by
:meth:`Makings.settle`, on the thread of the command, where it may be watched and interrupted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from exshadow.errors import Error, NotFoundError
from exshadow.model import SetRecord
from exshadow.names import is_pinned
from exshadow.service.making_journal import Entry, Journal
from exshadow.service.snapshots import Split
from exshadow.vss.errors import failure
from exshadow.vss.provider import SnapshotRequest
from exshadow.vss.tables import HResult, SnapshotAttributes

OUTLIVE = SnapshotAttributes.NO_AUTO_RELEASE | SnapshotAttributes.TRANSPORTABLE
"""Snapshots with one of these stay when the session that made them has ended well."""


@dataclass(slots=True)
class Making:
    """A set between its first volume and its end."""

    requests: list[SnapshotRequest] = field(default_factory=list)
    split: Split | None = None
    stack: ExitStack = field(default_factory=ExitStack)
    made: SetRecord | None = None
    entry: Entry | None = None
    busy: bool = False
    aborted: bool = False

    @property
    def outlives_its_session(self) -> bool:
        return any(one.attributes & OUTLIVE for one in self.requests)

    def end_entry(self) -> None:
        if self.entry is not None:
            self.entry.end()


@dataclass(slots=True)
class _Owed:
    set_id: str
    entry: Entry | None


class Makings:
    """Used by any thread. `journal`: where sets in the making are recorded; None: nowhere."""

    def __init__(self, journal: Path | None) -> None:
        self._journal = Journal(journal) if journal is not None else None
        self._changed = threading.Condition()
        self._making: dict[UUID, Making] = {}
        self._finished: dict[UUID, Making] = {}
        self._owed: list[_Owed] = []

    def begin(self, request: SnapshotRequest) -> None:
        """One more volume of its set. Whatever was begun of another set is undone."""
        with self._changed:
            for other in [one for one in self._making if one != request.set_id]:
                self._abort(other)
            self._making.setdefault(request.set_id, Making()).requests.append(request)

    def record(self, set_id: UUID, making: Making) -> None:
        """From here on somebody will see to it, whatever happens to this process."""
        if self._journal is not None and making.entry is None:
            making.entry = self._journal.begin(set_id)

    @contextmanager
    def step(self, set_id: UUID, *, last: bool = False) -> Iterator[Making]:
        """A step of making the set; with the `last` it is finished. VSS_E_BAD_STATE when it was
        aborted before or meanwhile: then what the step did is undone."""
        with self._changed:
            making = self._making.get(set_id)
            if making is None or making.aborted:
                raise _aborted(set_id)
            making.busy = True
        well = False
        try:
            yield making
            well = True
        finally:
            with self._changed:
                making.busy = False
                if making.aborted:
                    self._drop(set_id)
                elif well and last:
                    self._finished[set_id] = self._making.pop(set_id)
                self._changed.notify_all()
        if making.aborted:
            raise _aborted(set_id)

    def abort(self, set_id: UUID) -> None:
        """Undo a set that is not finished; the step that runs does it when it returns."""
        with self._changed:
            if set_id in self._making:
                self._abort(set_id)

    def _abort(self, set_id: UUID) -> None:
        making = self._making[set_id]
        making.aborted = True
        if not making.busy:
            self._drop(set_id)

    def _drop(self, set_id: UUID) -> None:
        making = self._making.pop(set_id)
        try:
            making.stack.close()
        finally:
            if making.made is not None:
                self._owed.append(_Owed(making.made.id, making.entry))
            else:
                making.end_entry()

    def owe(self, set_id: str) -> None:
        """The copies of a set that exists are to go back."""
        with self._changed:
            making = self._finished.pop(UUID(set_id), None)
            self._owed.append(_Owed(set_id, making.entry if making else None))

    def keep(self, set_id: UUID) -> None:
        """The finished set stays though this process may be killed: nobody brings it back any
        more. What ends well or badly after that is still settled by this process."""
        with self._changed:
            making = self._finished.get(set_id)
            if making is not None:
                making.end_entry()

    def hides(self, set_id: str) -> bool:
        """Whether the set is not there for those who ask: not finished, or to go back."""
        with self._changed:
            return UUID(set_id) in self._making or set_id in [one.set_id for one in self._owed]

    def settle(self, bring_back: Callable[[str], object], *, failed: bool = False) -> Error | None:
        """Wait for the step that runs, then bring back what must not stay: sets that were owed or
        never finished, those that end with their session, and with `failed` every other one made
        here. Gives the first failure; what could not be brought back stays in the journal."""
        first: Error | None = None
        with self._changed:
            self._changed.wait_for(lambda: not any(one.busy for one in self._making.values()))
            for set_id in list(self._making):
                try:
                    self._drop(set_id)
                except Error as problem:  # the volumes did not close well; the set is owed
                    first = first or problem
            for set_id in list(self._finished):
                making = self._finished[set_id]
                if failed or not making.outlives_its_session:
                    self.owe(str(set_id))
                else:
                    del self._finished[set_id]
                    making.end_entry()
            owed, self._owed = self._owed, []
        for one in owed:
            try:
                _bring_back(one, bring_back)
            except Error as problem:
                first = first or problem
        return first

    def clear(
        self,
        bring_back: Callable[[str], object],
        find: Callable[[str], SetRecord | None],
        groups: Collection[str],
    ) -> None:
        """Bring back what killed processes left in the making of these groups, unless somebody has
        pinned it. Error when that fails."""
        for entry in self._journal.left() if self._journal is not None else ():
            found = find(entry.set_id)
            if found is not None and is_pinned(found.pinned_until):
                entry.leave()
            elif found is not None and found.group in groups:
                _bring_back(_Owed(entry.set_id, entry), bring_back)
            elif found is not None or entry.may_still_split():
                entry.leave()
            else:
                entry.end()


def _bring_back(one: _Owed, bring_back: Callable[[str], object]) -> None:
    """The entry stays when that fails or is interrupted: the next one sees to it."""
    try:
        bring_back(one.set_id)
    except NotFoundError:
        pass  # gone by other hands
    except BaseException:
        if one.entry is not None:
            one.entry.leave()
        raise
    if one.entry is not None:
        one.entry.end()


def _aborted(set_id: UUID) -> Error:
    return failure(HResult.VSS_E_BAD_STATE, f"set {set_id} was aborted")
