"""The volumes of a state folder under VSS: sets whose writers are frozen round the split, which
group_provider.py does.

Volumes are called by their names. A snapshot set of VSS is a set of the catalog with the same id;
all volumes of a group split together, so a VSS set holds whole groups of one name. The split is
done where the volumes are open: here, or in the daemon. Writers and the coordinator run in a
process of their own, so that they are thawed whatever happens to this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

from exshadow.errors import NotFoundError, RefusedError
from exshadow.model import SetRecord
from exshadow.names import close_match
from exshadow.service.documents import save_document
from exshadow.service.group_provider import GroupProvider, Splits
from exshadow.service.making import OUTLIVE
from exshadow.service.shadow_volumes import places_of, volumes_of_components
from exshadow.service.state import StateFolder
from exshadow.service.turns import Ask, take_turns
from exshadow.vss.command import Command
from exshadow.vss.errors import failure, is_failure, writer_failure
from exshadow.vss.isolated import IsolatedCoordinator
from exshadow.vss.procedures import (
    BackupOutcome,
    BackupReport,
    BackupRequest,
    Between,
    Copied,
    RetryLimits,
    WriterEntry,
)
from exshadow.vss.registry import spec_of
from exshadow.vss.tables import HResult, ObjectType
from exshadow.vss.values import BackupState, Context, DeleteOutcome


class Shadow(IsolatedCoordinator):
    """The coordinator of a state folder, in a process of its own."""

    def __init__(self, provider: GroupProvider, state: Path) -> None:
        self._state = state
        self._places = places_of(StateFolder(state))
        super().__init__(places=self._places)
        self.provider = provider
        provider.consistency = self.consistency_of
        self.register_provider(provider)
        self.asked: dict[UUID, str] = {}  # writers that must take part: instance to its text

    def require(self, answered: Iterable[UUID], at: str) -> None:
        """WriterFailure unless all writers that were asked for are among these instances: a set
        that one of them had no part in is not what was asked for."""
        answers = set(answered)
        for instance, text in self.asked.items():
            if instance not in answers:
                name = text.partition("?")[0]
                raise failure(
                    HResult.VSS_E_WRITER_NOT_RESPONDING, f"writer '{name}' did not answer {at}"
                )

    def backup(
        self, request: BackupRequest, between: Between | Command | None = None
    ) -> BackupOutcome:
        """A failure of the volumes themselves is told as such, not as one of the provider. Copies
        that do not stay are back in the mirror when this returns. What the writers said of a set
        that stays is kept before `between` is called."""
        self.provider.clear()
        if not request.volumes:
            request = replace(
                request,
                volumes=volumes_of_components(
                    request, self.provider.groups(), self.writers, self._places
                ),
            )
        failed = True
        try:
            outcome = super().backup(request, self._keeping(request, between))
            failed = outcome.error is not None and not outcome.report.completed
        finally:
            left = self.provider.settle(failed=failed)
        if outcome.report.completed and _outlives(request) and outcome.report.document:
            # Once more: writers may have added to it at the end.
            self._save(outcome.report)
        error = self.provider.problem if failed else None
        error = error or outcome.error
        if error is not None and left is not None:
            error.message += f"; and copies are not back in the mirror: {left.message}"
        return replace(outcome, error=error or left)

    def _keeping(
        self, request: BackupRequest, between: Between | Command | None
    ) -> Between | Command | None:
        """`between`, with the document of a set that stays kept before it."""
        if not _outlives(request):
            return between

        def keeping(report: BackupReport) -> Copied | None:
            self._save(report)
            return between(report) if between is not None else None

        return keeping

    def _save(self, report: BackupReport) -> None:
        save_document(self._state, str(report.snapshot_set_id), report.document)

    def delete(self, id: UUID, type: ObjectType, *, force: bool = False) -> DeleteOutcome:
        """The copies are back in the mirror when this returns. RefusedError for one snapshot of
        several: the copies of a set go back together."""
        for one in self.provider.query():
            if one.snapshot_id == id and one.set_size > 1:
                raise RefusedError(
                    f"snapshot {id} is one of {one.set_size} of its set",
                    hint=f"delete the set: {one.set_id}",
                )
        outcome = super().delete(id, type, force=force)
        if outcome.failed_snapshot is not None:
            self.provider.require_deletable(outcome.failed_snapshot)
        if (left := self.provider.settle()) is not None:
            raise left
        return outcome

    def revert(self, snapshot: UUID, *, force_dismount: bool = False) -> None:
        """Without the coordinator: it has no say in it, and here Ctrl-C is heard."""
        self.provider.revert(snapshot, force_dismount)


def _outlives(request: BackupRequest) -> bool:
    """Whether the snapshots stay when the backup has ended well."""
    return bool(request.context & OUTLIVE)


@contextmanager
def open_shadow(
    service: Splits,
    writers: Sequence[str],
    state: Path,
    *,
    label: str | None = None,
    plex: str | None = None,
) -> Iterator[Shadow]:
    """A coordinator over the volumes of `service` with these writers (registry.spec_of). `state`:
    its state folder."""
    specs = [spec_of(text) for text in writers]
    provider = GroupProvider(service, label=label, plex=plex, journal=state)
    try:
        with Shadow(provider, state) as shadow:
            for text, one in zip(writers, specs, strict=True):
                arguments = dict(one.arguments)
                if one.place == "filesystem":
                    given = filter(None, [arguments.get("keep")])
                    arguments["keep"] = [*given, *_ground(service, state)]
                shadow.asked[shadow.register_writer(one.place, arguments)] = text
            yield shadow
    finally:
        left = provider.settle()  # while the volumes can be opened
    if left is not None:
        raise left


def _ground(service: Splits, state: Path) -> list[str]:
    """Folders that a split writes to: none of them may be frozen by a writer."""
    volumes = service.list_volumes().volumes.values()
    plexes = {str(Path(one.path).parent) for each in volumes for one in each.plexes if one.path}
    return [str(state.resolve()), *sorted(plexes)]


def create_set(
    service: Splits,
    group: str,
    writers: Sequence[str],
    state: Path,
    *,
    label: str | None = None,
    plex: str | None = None,
    prove: Callable[[str], bool] = lambda set_id: False,
) -> SetRecord:
    """Split the group with the writers frozen round it; the set's consistency is what they make
    of it. WriterFailure, with the set gone, when one of them refuses or does not answer in time;
    with the set kept, and said so, when that was after it had heard how the backup went.

    ``prove`` is called with the set's id once the copies exist. Only when it says yes do the
    writers hear that the backup succeeded, which lets them cut their logs; the set stays anyway."""
    volumes = GroupProvider(service).groups().get(group)
    if volumes is None:
        known = GroupProvider(service).groups()
        raise NotFoundError(
            f"no group {group!r}", hint=f"{close_match(group, known)}see: exshadow volume list"
        )
    with open_shadow(service, writers, state, label=label, plex=plex) as shadow:
        request = BackupRequest(
            volumes=volumes,
            context=Context.APP_ROLLBACK,
            state=BackupState(select_components=_can_choose(shadow)),
            retry=RetryLimits(tries=1),
        )

        def between(ask: Ask, made: BackupReport) -> Copied:
            shadow.require((one.status.instance_id for one in made.writers), "at the split")
            # All have gone on well. A set that is proved, or on whose account they cut their logs,
            # must not go back into the mirror because this process was killed.
            shadow.provider.keep(made.snapshot_set_id)
            return Copied(ask(lambda: prove(str(made.snapshot_set_id))))

        outcome = take_turns(
            lambda ask: shadow.backup(request, partial(between, ask)), shadow.close
        )
    if outcome.error is not None and outcome.report.completed:
        made = service.show_set(str(outcome.report.snapshot_set_id))
        outcome.error.message += f"; the set {made.group}@{made.label} was made, and stays"
    return service.show_set(str(outcome.check().snapshot_set_id))


def ask(service: Splits, writers: Sequence[str], state: Path) -> None:
    """WriterFailure unless each of the writers is there and can say what it has. Nobody is frozen,
    nothing is split."""
    with open_shadow(service, writers, state) as shadow:
        for entry in _answers(shadow):
            status = entry.status
            if status is not None and is_failure(status.failure):
                raise writer_failure(
                    status.name,
                    status.failure,
                    status.state,
                    application_message=status.application_message,
                )


def _answers(shadow: Shadow) -> list[WriterEntry]:
    found = shadow.writers()
    shadow.require((one.metadata.instance_id for one in found), "when it was asked what it has")
    return found


def _can_choose(shadow: Shadow) -> bool:
    """Whether to choose components: the document holds what writers say by component. But a writer
    without any would be left out, as one that could not say what it has: then all take part."""
    return all(one.metadata.components for one in _answers(shadow))
