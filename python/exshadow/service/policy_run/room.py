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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace

from exshadow.catalog.journal import CatalogJournal, Entry
from exshadow.catalog.leases import LostLeaseError
from exshadow.errors import BusyError, Error, NotFoundError, ProviderError
from exshadow.model import JobRecord, Member, SetRecord
from exshadow.providers.contract import (
    ENDS_A_SET,
    REPLACES_PRODUCTION,
    Action,
    Provider,
    Source,
    Stage,
    Standing,
    Verb,
)
from exshadow.providers.steps import Limits, carry_out
from exshadow.service import sets
from exshadow.service.contract import Service
from exshadow.service.desk import Desk
from exshadow.service.keeper import Keeper, holding
from exshadow.service.policy_run.leasing import Holder, VolumeLocks, lease_name, leased

Settings = Mapping[str, str]
"""What one provider is made with."""


class HeldJournal:
    """Passes on what begins, with the provider's of ``settings`` and the volumes' ``identities``,
    and what fails; that an action is done is held back until :meth:`release`, when its consequences
    are on disk as well. ``require``: raises what stands against it, asked when everybody can see
    that it begins."""

    def __init__(
        self,
        journal: CatalogJournal,
        settings: Mapping[str, Settings],
        identities: Callable[[Action], Sequence[str]],
        require: Callable[[Action], None] = lambda action: None,
    ) -> None:
        self._journal = journal
        self._settings = settings
        self._identities = identities
        self._require = require
        self._held: list[tuple[Action, str, str]] = []

    def begin(self, provider: str, action: Action) -> None:
        settings = self._settings.get(provider, {})
        self._journal.begin(provider, action, settings, self._identities(action))
        try:
            self._require(action)
        except Error as problem:
            self._journal.end(action, "undone", problem.message)
            raise

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
    """One group with its provider. ``build``: a provider by name and settings, for what an earlier
    run left with another; ``settings``: of all providers, by name; ``keeper``: while the group is
    held: by leases where hosts share the catalog, else by locks of this state folder."""

    group: str
    sources: tuple[Source, ...]
    provider: Provider
    build: Callable[[str, Settings], Provider]
    service: Service
    desk: Desk
    journal: CatalogJournal
    options: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Settings] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    keeper: Holder | None = None

    def action(
        self, verb: Verb, mirror: str, set_id: str = "", label: str = "", *, writers: bool = False
    ) -> Action:
        """A new one of this group."""
        return Action(
            str(uuid.uuid4()), verb, self.group, mirror, self.sources, set_id, label, writers,
            self.options,
        )  # fmt: skip

    def held_journal(self) -> HeldJournal:
        """For one action or several that count together."""
        return HeldJournal(self.journal, self.settings, self._identities_of)

    def _identities_of(self, action: Action) -> Sequence[str]:
        """Of what replaces production: others that have the same volumes must hear of it."""
        return self.identities(action.volumes) if action.verb in REPLACES_PRODUCTION else ()

    def identities(self, volumes: Sequence[Source]) -> tuple[str, ...]:
        """What they are to every host."""
        return tuple(lease_name(self.provider, one) for one in volumes)

    def do(self, action: Action, *, unpinned: bool = False) -> Standing:
        """Carry it out to its end, the catalog's facts included. ``unpinned``: RefusedError while
        the set is pinned, looked at when the journal has the action. Who pins it writes first and
        looks at the journal then: of two at a time one sees the other."""
        held = self.held_journal()
        if unpinned:
            held = HeldJournal(
                self.journal, self.settings, self._identities_of, self._require_unpinned
            )
        with self._doubted(action) if self._moves(action) else nullcontext():
            standing = self._carried(action, held)
        if action.verb in ENDS_A_SET and action.set_id:
            self.end_set(action.set_id)
        held.release()
        return standing

    def _moves(self, action: Action) -> bool:
        """Whether another host has, had or gets the copies; not when a set is recalled that none
        has."""
        if action.verb is not Verb.RECALL:
            return action.verb is Verb.LEND
        here = self.provider.standing(action).stage is Stage.DONE
        return not here or bool(self.service.show_set(action.set_id).lent_to)

    def _require_unpinned(self, action: Action) -> None:
        said = "delete" if action.verb is Verb.DISSOLVE else action.verb.value
        sets.require_unpinned(self.service.show_set(action.set_id), said)

    @contextmanager
    def _doubted(self, action: Action) -> Iterator[None]:
        """While another host may write to the copies, from before the first step of a lend on, what
        was found good of the set counts no more. When nothing at all came of it, it counts again,
        and there is nothing to be finished."""
        catalog = self.desk.catalog
        found = [one for one in catalog.sets(action.group) if one.id == action.set_id]
        catalog.forget_good_verdicts(action.set_id)
        try:
            yield
        except Error as problem:
            with suppress(Error):  # of what cannot be looked at nothing is good
                if self.provider.standing(action).stage is Stage.ABSENT:
                    self.journal.end(action, "undone", problem.message)
                    for verdict in (each for one in found for each in one.checks if each.ok):
                        catalog.add_verification(action.set_id, verdict)
            raise

    def _carried(self, action: Action, held: HeldJournal) -> Standing:
        """One that fails and never began is no more than refused in the journal. A restore that
        began stays there: nothing new is made of production until somebody has seen to it."""
        if action.verb not in (Verb.PREPARE, *REPLACES_PRODUCTION):
            return self.carry(action, held)
        if action.verb in REPLACES_PRODUCTION:
            self._require_possible(action)
        try:
            return self.carry(action, held)
        except LostLeaseError:
            raise
        except Error as problem:
            if problem.exit_status != 130:
                self._judge_failed(action, problem)
            raise

    def _require_possible(self, action: Action) -> None:
        """Before the journal has it, when nothing was touched."""
        standing = self.provider.standing(action)
        if standing.stage is Stage.FAILED:
            what = f"{action.verb} of {_what(action)}"
            raise ProviderError(f"{self.provider.name}: {what} failed: {standing.detail}")

    def _judge_failed(self, action: Action, problem: Error) -> None:
        try:
            begun = self.provider.standing(action).stage is not Stage.ABSENT
        except Error:
            begun = True
        if not begun:
            self.journal.end(action, "refused", problem.message)
            return
        if action.verb is Verb.PREPARE:
            return
        half = f"production may be half of set {action.group}@{action.label}"
        problem.hint = f"{problem.hint}; {half}" if problem.hint else half

    def carry(self, action: Action, journal: HeldJournal) -> Standing:
        """Carry it out; the caller ends it in the journal."""
        watch = _Watch(self.desk, f"{action.verb} of {_what(action)}")
        return carry_out(
            self.provider,
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
        held = self.held_journal()
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
        with group_lock(self.desk, self.group), self._kept():
            yield

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Hold the volumes: for this host where hosts share the catalog, else for this group."""
        with ExitStack() as stack:
            if self.desk.folder.catalog_url:
                keeper = Keeper(self.desk.catalog, lambda problem: self.desk.stop())
                self.keeper = stack.enter_context(holding(keeper, self.desk.catalog))
            else:
                self.keeper = VolumeLocks(self.desk.folder.path / "runs" / "volumes")
            try:
                with self.leased():
                    yield
            finally:
                self.keeper = None

    def leased(self) -> AbstractContextManager[None]:
        """Hold the volumes as the provider knows them, besides what the group's run holds."""
        return leased(self.keeper, self.provider, self.sources, f"run of {self.group}")

    def note(self, text: str) -> None:
        """Something people should know."""
        self.desk.reporter.note(f"{self.group}: {text}")

    def at(self, entry: Entry, settings: Settings) -> Room:
        """The same for what the entry's action concerns: its volumes, its options, its provider
        made with these settings."""
        name, action = entry.provider, entry.action
        mine = name == self.provider.name and settings == self.settings.get(name, {})
        if mine and (action.volumes, action.options) == (self.sources, self.options):
            return self
        return replace(
            self,
            sources=action.volumes,
            options=action.options,
            provider=self.provider if mine else self.build(name, settings),
            settings={**self.settings, name: settings},
        )


@contextmanager
def group_lock(desk: Desk, group: str) -> Iterator[None]:
    """Hold the group on this machine, in its state folder. BusyError while another run does."""
    folder = desk.folder.path / "runs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / f"{group}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"another run of group {group} is under way", hint="wait for its end"
            ) from None
        yield
    finally:
        os.close(lock)


def _what(action: Action) -> str:
    of = f" ({action.label})" if action.label else ""
    return f"mirror {action.mirror} of {action.group}{of}"


_STATES = {Stage.DONE: "done", Stage.FAILED: "failed"}


class _Watch:
    """Tells the reporter of an action's progress, where the product says how far it is."""

    def __init__(self, desk: Desk, what: str) -> None:
        self._desk = desk
        self._what = what
        self._begun = time.monotonic()
        self._total = 0

    def __call__(self, action: Action, standing: Standing) -> None:
        running = standing.stage is Stage.RUNNING
        total = standing.total or self._total
        if total == 0 or not (running or self._total):
            return
        seconds = time.monotonic() - self._begun
        state = _STATES.get(standing.stage, "running")
        # What is done need not say of how much it was.
        done = total if standing.stage is Stage.DONE else min(standing.done, total)
        self._total = total if state == "running" else 0
        self._desk.reporter.progress(
            self._what, JobRecord(action.verb.value, 0, 0, total, seconds, state, done)
        )
