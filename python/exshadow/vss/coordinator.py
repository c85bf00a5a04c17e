"""Coordinator: the part of the Volume Shadow Copy service where there is no Windows.

It knows writers and providers, gives each session its order of calls, freezes and thaws within the
limits, and makes sure that nobody stays frozen: a session that ends in any way is aborted. Only
one set is made at a time on a machine (slot.py).

Everything here may be used from any thread. Writers and providers run on threads of their own.
"""

from __future__ import annotations

import os
import platform
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

from exshadow.errors import Error
from exshadow.vss.command import Command
from exshadow.vss.errors import WriterFailure
from exshadow.vss.places import Places
from exshadow.vss.plain import Plain, from_plain, to_plain
from exshadow.vss.procedures import (
    BackupOutcome,
    BackupReport,
    BackupRequest,
    Between,
    PutBack,
    RestoreOutcome,
    RestoreReport,
    RestoreRequest,
)
from exshadow.vss.provider import Provider, answer_provider
from exshadow.vss.provider import facts_of as provider_facts
from exshadow.vss.requestor import Session, Sessions
from exshadow.vss.service import OverSessions
from exshadow.vss.slot import slot_file
from exshadow.vss.values import milliseconds
from exshadow.vss.writer import Writer, answer_writer, options_of

if TYPE_CHECKING:
    from exshadow._core import Engine

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that the coordinator waits. ``freeze`` (first Freeze to last Thaw) and ``hold``
    (writes held round the commit) are VSS's; a writer's own ``freeze_limit`` may be shorter."""

    freeze: float = 60.0
    hold: float = 10.0
    identify: float = 60.0
    prepare_backup: float = 600.0
    prepare_snapshot: float = 600.0
    post_snapshot: float = 600.0
    backup_complete: float = 600.0
    restore: float = 600.0
    abort: float = 10.0
    provider: float = 600.0


@dataclass(frozen=True, slots=True)
class Callback:
    """One call of a writer or provider, as it was made."""

    actor: str
    actor_id: UUID
    of_writer: bool
    event: str
    at: float
    """Seconds on the coordinator's clock, which is monotonic."""


class Coordinator(OverSessions, Sessions):
    """A coordinator with a thread of its own. ``with Coordinator() as coordinator:`` closes it."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        slot: str | PathLike[str] | None = None,
        machine: str | None = None,
        engine: Engine | None = None,
        places: Places | None = None,
    ) -> None:
        """`slot`: the file that processes lock to make sets one at a time; None: the machine's
        (slot.py).

        `engine`: snapshot its volumes, which are called by their names, by splitting one plex off
        each at one instant (the "exshadow mirror provider"). Open the volumes first: snapshots that
        a process left which died with its session return to the mirror now. An engine has one
        coordinator at a time; closing the engine closes it first.

        `places`: where the volumes are mounted. By them a backup without volumes finds those of the
        writers' components, and a writer whether a path is in the set; None: volumes are paths."""
        from exshadow._core import VssCoordinator

        self._places = places
        chosen = limits or Limits()
        times = {
            name: milliseconds(f"the limit '{name}'", getattr(chosen, name))
            for name in Limits.__dataclass_fields__
        }
        self._native = VssCoordinator(
            machine or platform.node() or "localhost",
            times,
            slot_file(slot, os.environ),
            engine,
            places.table() if places is not None else [],
        )
        # Also when the interpreter ends with it open: nobody may stay frozen.
        self._finalizer = weakref.finalize(self, self._native.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Abort what is open. Callbacks that never return stay in their threads: a Python thread
        cannot be ended from outside. May be repeated."""
        self._finalizer()

    def register_writer(self, writer: Writer) -> UUID:
        """Let a writer take part in sessions that begin from now on; gives its instance id."""
        options = to_plain(options_of(writer))
        answer = partial(answer_writer, places=self._places)
        return UUID(self._native.register_writer(options, writer, answer))

    def unregister_writer(self, instance: UUID) -> None:
        """Sessions that are open keep it. ObjectNotFound when it is not here."""
        self._native.unregister_writer(str(instance))

    def register_provider(self, provider: Provider) -> None:
        """Let a provider make snapshots."""
        self.register_provider_by_facts(
            to_plain(provider_facts(provider)), provider, answer_provider
        )

    def register_provider_by_facts(
        self,
        facts: Plain,
        provider: object,
        answer: Callable[[Any, str, tuple[Plain, ...]], tuple[int, str, Plain]],
    ) -> None:
        """The same for a provider that is elsewhere: `answer` makes its calls (answer_provider)."""
        self._native.register_provider(facts, provider, answer)

    def unregister_provider(self, provider_id: UUID) -> None:
        """Forget a provider."""
        self._native.unregister_provider(str(provider_id))

    def new_session(self) -> Session:
        """The untyped session of a BackupComponents."""
        return self._native.new_session()

    def callbacks(self) -> list[Callback]:
        """The calls of writers and providers as they were made, the last ten thousand."""
        return [
            Callback(actor, UUID(actor_id), of_writer, event, at / 1e9)
            for actor, actor_id, of_writer, event, at in self._native.callbacks()
        ]

    def troubles(self) -> list[str]:
        """Snapshots that should be gone and could not be deleted while nobody waited for the
        answer (a session ended, an abort): one sentence each, the last thousand. A session that is
        closed has told its own before ``close`` returns."""
        return list(self._native.troubles())

    # --- the procedures

    def backup(
        self, request: BackupRequest, between: Between | Command | None = None
    ) -> BackupOutcome:
        error, report = self.run_plain(
            "backup", to_plain(request), asked(BackupReport, between), None
        )
        return backup_outcome(report, error)

    def restore(
        self, request: RestoreRequest, put_back: PutBack | Command | None = None
    ) -> RestoreOutcome:
        error, report = self.run_plain(
            "restore", to_plain(request), asked(RestoreReport, put_back), None
        )
        return RestoreOutcome(from_plain(RestoreReport, report), error)

    def run_plain(self, procedure: str, *arguments: Any) -> Any:
        from exshadow import _core

        return getattr(_core, f"vss_{procedure}")(self._native, *arguments)


def asked(kind: type[T], function: Callable[[T], object] | None) -> Callable[[Plain], Plain] | None:
    """The caller's part of a procedure as one of plain values."""
    if function is None:
        return None
    chosen = function
    return lambda report: to_plain(chosen(from_plain(kind, report)))


def backup_outcome(report: Plain, error: Error | None) -> BackupOutcome:
    """How a backup ended; a writer's failure carries its writer."""
    typed = from_plain(BackupReport, report)
    if isinstance(error, WriterFailure):
        failed = [one.status for one in typed.writers if one.status.failure == error.hresult]
        for status in failed[:1]:
            error.writer_name, error.state = status.name, status.state
            error.writer_id, error.instance_id = status.writer_id, status.instance_id
            error.application_message = status.application_message
    return BackupOutcome(typed, error)
