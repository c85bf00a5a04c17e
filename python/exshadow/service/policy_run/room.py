"""What the actions of one group work with, and how one is carried out: journalled, watched, and
ended in the journal only when the catalog says the same as the product.

Killed between two of these steps, an action is found in the journal and finished or undone by the
next run (:mod:`exshadow.service.policy_run.unfinished`).
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from exshadow.catalog.journal import CatalogJournal
from exshadow.errors import BusyError, Error, NotFoundError
from exshadow.model import JobRecord, Member, SetRecord
from exshadow.providers.contract import Action, Provider, Source, Stage, Standing, Verb
from exshadow.providers.steps import Journal, Limits, carry_out
from exshadow.service import sets
from exshadow.service.contract import Service
from exshadow.service.desk import Desk
from exshadow.service.keeper import Keeper, holding

_ENDS_A_SET = frozenset({Verb.RESYNC, Verb.PROMOTE, Verb.DISSOLVE, Verb.ABORT})


class HeldJournal:
    """Passes on what begins and what fails; that an action is done is held back until
    :meth:`release`, when its consequences are on disk as well."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._held: list[tuple[Action, str, str]] = []

    def begin(self, provider: str, action: Action) -> None:
        self._journal.begin(provider, action)

    def end(self, action: Action, state: str, detail: str = "") -> None:
        if state == "done":
            self._held.append((action, state, detail))
        else:
            self._journal.end(action, state, detail)

    def release(self) -> None:
        """Now it is done."""
        while self._held:
            self._journal.end(*self._held.pop(0))


@dataclass(slots=True)
class Room:
    """One group with its provider. ``build``: another provider by name, for what an earlier run
    left with it; ``settings``: what the provider is made with."""

    group: str
    sources: tuple[Source, ...]
    provider: Provider
    build: Callable[[str], Provider]
    service: Service
    desk: Desk
    journal: CatalogJournal
    options: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def action(
        self, verb: Verb, mirror: str, set_id: str = "", label: str = "", *, writers: bool = False
    ) -> Action:
        """A new one of this group."""
        return Action(
            str(uuid.uuid4()), verb, self.group, mirror, self.sources, set_id, label, writers,
            self.options,
        )  # fmt: skip

    def do(self, action: Action, provider: Provider | None = None) -> Standing:
        """Carry it out to its end, the catalog's facts included."""
        held = HeldJournal(self.journal)
        standing = self.carry(action, held, provider)
        if action.verb in _ENDS_A_SET and action.set_id:
            self.end_set(action.set_id)
        if action.verb is Verb.LEND:  # from now on somebody else may write to the copies
            self.desk.catalog.forget_good_verdicts(action.set_id)
        held.release()
        return standing

    def carry(self, action: Action, journal: Journal, provider: Provider | None = None) -> Standing:
        """Carry it out; the caller ends it in the journal."""
        watch = _Watch(self.desk, f"{action.verb} of {_what(action)}")
        return carry_out(
            provider or self.provider,
            action,
            journal,
            limits=self.limits,
            report=watch,
            stopped=lambda: self.desk.stopping,
        )

    def end_set(self, set_id: str) -> None:
        """The catalog's set is no set any more."""
        self.desk.catalog.change_set(set_id, state="dissolved", pinned_until=None)

    def sets(self) -> list[SetRecord]:
        """The group's sets of this provider, oldest first."""
        return [
            one
            for one in self.service.list_sets().sets
            if one.group == self.group and one.provider == self.provider.name
        ]

    def mirror_of(self, one: SetRecord) -> str:
        """The mirror whose copies the set has: as its split was asked for, else as the product
        says. NotFoundError when nobody knows."""
        entry = self.journal.split_of(one.id)
        if entry is not None:
            return entry.action.mirror
        for mirror in self.provider.mirrors(self.group, self.sources):
            if mirror.set_id == one.id:
                return mirror.label
        raise NotFoundError(
            f"nobody knows which mirror holds set {one.group}@{one.label}",
            hint="delete the set by hand: exshadow snapshot delete SET",
        )

    @contextmanager
    def presented(self, one: SetRecord) -> Iterator[tuple[Member, ...]]:
        """The set's copies with paths on this host; taken back in the end. In the journal it goes
        on until then: a killed run's presentation is taken back by the next."""
        mirror = self.mirror_of(one)
        held = HeldJournal(self.journal)
        action = self.action(Verb.PRESENT, mirror, one.id, one.label)
        try:
            standing = self.carry(action, held)
        except Error:
            self._take_back(action)
            raise
        try:
            yield standing.members
        finally:
            self.do(self.action(Verb.UNPRESENT, mirror, one.id, one.label))
            held.release()

    def _take_back(self, action: Action) -> None:
        """What a presentation that failed made: some of its copies may have paths already."""
        try:
            self.do(self.action(Verb.UNPRESENT, action.mirror, action.set_id, action.label))
        except Error as problem:
            self.note(f"what was presented is not taken back yet, the next run will: {problem}")
        else:
            self.journal.end(action, "undone")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the group on this machine. BusyError while another run does."""
        folder = self.desk.folder.path / "runs"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / f"{self.group}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(
                    f"another run of group {self.group} is under way", hint="wait for its end"
                ) from None
            with self._leases():
                yield
        finally:
            os.close(lock)

    @contextmanager
    def _leases(self) -> Iterator[None]:
        """Hold the volumes for this host where hosts share the catalog. The native engine's are
        held when they are opened."""
        if not self.desk.folder.catalog_url or self.provider.name == sets.PROVIDER:
            yield
            return
        keeper = Keeper(self.desk.catalog, lambda problem: self.desk.stop())
        with holding(keeper, self.desk.catalog):
            for one in self.sources:
                keeper.hold(f"{self.provider.name}:{one.path}"[:255], f"run of {self.group}")
            yield

    def note(self, text: str) -> None:
        """Something people should know."""
        self.desk.reporter.note(f"{self.group}: {text}")

    def at(self, provider: Provider) -> Room:
        """The same with another provider."""
        return replace(self, provider=provider)


def _what(action: Action) -> str:
    of = f" ({action.label})" if action.label else ""
    return f"mirror {action.mirror} of {action.group}{of}"


class _Watch:
    """Tells the reporter of an action's progress, where the product says how far it is."""

    def __init__(self, desk: Desk, what: str) -> None:
        self._desk = desk
        self._what = what
        self._begun = time.monotonic()
        self._shown = False

    def __call__(self, action: Action, standing: Standing) -> None:
        running = standing.stage is Stage.RUNNING
        if standing.total == 0 or not (running or self._shown):
            return
        self._shown = running
        seconds = time.monotonic() - self._begun
        state = "running" if running else "done"
        self._desk.reporter.progress(
            self._what,
            JobRecord(action.verb.value, 0, 0, standing.total, seconds, state, standing.done),
        )
