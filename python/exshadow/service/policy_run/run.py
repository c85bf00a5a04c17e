"""One run of one group, from what an earlier one left to the retention of today."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo

from exshadow.errors import (
    BusyError,
    CancelledElsewhereError,
    CancelledError,
    Error,
    NotFoundError,
    RefusedError,
    from_system,
)
from exshadow.model import Plan, SetRecord, Step
from exshadow.names import time_label
from exshadow.policy.lines import both
from exshadow.policy.model import Group
from exshadow.policy.planning import held_of, misfits
from exshadow.policy.retention import Fate, decide
from exshadow.providers.contract import Mirror, MirrorState, Verb
from exshadow.service import sets
from exshadow.service.checks.script import require_safe
from exshadow.service.checks.wish import CheckWish
from exshadow.service.native_provider import no_mirrors
from exshadow.service.policy_run import making, proof, rotation, unfinished
from exshadow.service.policy_run.around import Around
from exshadow.service.policy_run.record import GroupRun
from exshadow.service.policy_run.room import Room
from exshadow.service.snapshots import free_label

_AGAIN = "run it again: it goes on with what was begun"


def run_group(room: Room, group: Group, *, zone: tzinfo = UTC) -> GroupRun:
    """Never raises what went wrong with the group: it is in the result. KeyboardInterrupt and
    CancelledError come through; what was begun is then carried on by the next run."""
    done = GroupRun(room.group, room.provider.name, room.journal.run_id)
    around = Around(room, group, done)
    try:
        with room.alone():
            around.held = True
            _Run(room, group, zone, done).run(around)
    except BaseException as problem:
        around.held = around.held or not isinstance(problem, BusyError)
        done.error = _error(problem)
        if not isinstance(problem, (Error, OSError)) or done.error.exit_status == 130:
            around.ended()
            raise
    around.ended()
    return done


def _error(problem: BaseException) -> Error:
    if isinstance(problem, CancelledElsewhereError):
        said = "the daemon was stopped meanwhile, or its job cancelled"
        return BusyError(f"{said}: {problem.message}", hint=_AGAIN)
    if isinstance(problem, Error):
        if problem.exit_status == 130:  # what is copied says how it alone goes on
            problem.hint = _AGAIN
        return problem
    if isinstance(problem, OSError):
        return from_system(problem)
    if isinstance(problem, Exception):
        return Error(f"unexpected: {problem!r}")
    return CancelledError("the run was stopped", hint=_AGAIN)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """``gives_up``: the set whose mirror the run takes, None where one is free; ``undone``: ids of
    sets that a killed run left half made and this one undoes first."""

    plan: Plan
    gives_up: SetRecord | None = None
    undone: frozenset[str] = frozenset()


def plan_run(room: Room, group: Group, *, zone: tzinfo = UTC) -> RunPlan:
    """What a run would do now, as far as it can be said beforehand. Nothing is changed."""
    left = room.journal.unfinished(room.group)
    undone = unfinished.to_be_undone(room, left)
    steps = [
        Step(f"finish or undo {entry.action.verb} of mirror", room.group, entry.action.mirror)
        for entry in left
    ]
    command = f"policy run of {room.group} by {room.provider.name}"
    try:
        unfinished.require_whole(room, left)
        turn = _Run(room, group, zone, GroupRun(room.group, "", ""), undone).turn()
    except RefusedError as problem:
        return RunPlan(Plan(command, tuple(steps), (problem.message,)), None, frozenset(undone))
    size = sum(one.size for one in room.sources)
    steps += [Step("prepare mirror", room.group, label, size) for label in turn.prepare]
    if one := turn.gives_up:
        steps.append(Step(f"resync set {one.label} into mirror", room.group, turn.mirror, size))
    frozen = f"with {', '.join(group.writers)} frozen, " if group.writers else ""
    steps.append(Step(f"{frozen}split mirror", room.group, turn.mirror))
    steps += [Step("check the new set by", room.group, check) for check in group.verify]
    return RunPlan(Plan(command, tuple(steps)), turn.gives_up, frozenset(undone))


class _Run:
    def __init__(
        self,
        room: Room,
        group: Group,
        zone: tzinfo,
        done: GroupRun,
        undone: Mapping[str, str] | None = None,
    ) -> None:
        """``undone``: for a plan, sets with their mirrors as if they were undone already."""
        self._room, self._group, self._zone, self._done = room, group, zone, done
        self._undone = undone or {}
        self._seen: dict[str, Mirror] = {}

    def run(self, around: Around) -> None:
        room, done = self._room, self._done
        done.settled = unfinished.settle(room, self._group.mirrors)
        making.clear(room)
        self._require_fit()
        if self._group.script is not None:
            require_safe(self._group.script)  # before a set is made that nobody could prove
        around.before()
        turn = self._prepared()
        self._tell_of_broken()
        done.mirror = turn.mirror
        if turn.gives_up is not None:
            making.ask(room, self._group.writers)
        self._free(turn)
        label = free_label(time_label(), {one.label for one in room.service.list_sets().sets})
        made = making.make(room, turn.mirror, label, self._group.writers, self._prove)
        if not self._group.writers:
            self._prove(made)
        done.made = room.service.show_set(made.id)
        done.fates = tuple(self._fates())
        self._tell_of_strays()
        around.made(done.made)

    def turn(self, without: frozenset[str] = frozenset()) -> rotation.Turn:
        """The mirror that is split next."""
        self._seen = mirrors = self._mirrors()
        labels = [label for label in self._labels(mirrors) if label not in without]
        return rotation.turn(labels, mirrors, self._held(), self._fates())

    def _require_fit(self) -> None:
        """The engine splits whole groups: what it would refuse at the split is refused before a set
        gives its mirror up for it."""
        if self._room.provider.name == sets.PROVIDER:
            volumes = self._room.service.list_volumes().volumes
            if wrong := misfits(self._room.group, self._group, volumes):
                raise RefusedError(
                    "; ".join(wrong),
                    hint="make the policy's volumes those of the group: exshadow volume list",
                )

    def _mirrors(self) -> dict[str, Mirror]:
        room = self._room
        found = {one.label: one for one in room.provider.mirrors(room.group, room.sources)}
        found |= no_mirrors(room.provider, room.sources, self._group.mirrors)
        for label, one in self._held().items():
            if self._is_of_others(one):  # no product knows what half of it is
                found[label] = Mirror(label, MirrorState.SPLIT, set_id=one.id, lent=one.lent_to)
        for label in set(self._undone.values()) & set(found):
            found[label] = replace(found[label], state=MirrorState.READY)
        return found

    def _labels(self, mirrors: dict[str, Mirror]) -> tuple[str, ...]:
        return self._group.mirrors or tuple(mirrors) or ("m1",)

    def _held(self) -> dict[str, SetRecord]:
        found = {}
        for one in self._ready():
            with suppress(NotFoundError):  # not made by a policy, of no one mirror
                found[self._room.mirror_of(one)] = one
        return found

    def _ready(self) -> list[SetRecord]:
        return [
            one for one in self._room.sets() if one.state == "ready" and one.id not in self._undone
        ]

    def _fates(self) -> list[Fate]:
        held = held_of(self._ready(), self._group.verify)
        rules = self._group.keep.rules()
        return decide(held, rules, now=datetime.now(UTC), zone=self._zone)

    def _prepared(self) -> rotation.Turn:
        """Make the mirrors that are missing; whose turn it is then. One that fails is said, and
        raised when there is no other."""
        failed: dict[str, Error] = {}
        for label in self.turn().prepare:
            try:
                self._room.do(self._room.action(Verb.PREPARE, label))
            except Error as problem:
                if problem.exit_status == 130:
                    raise
                failed[label] = problem
        try:
            turn = self.turn(frozenset(failed))
        except RefusedError as refusal:
            if not failed:
                raise
            label, raised = next(iter(failed.items()))
            self._tell_failed({name: one for name, one in failed.items() if name != label})
            raised.message = f"mirror {label} could not be prepared: {raised.message}"
            if not {*self._labels(self._seen)} <= failed.keys():
                raised.message += f"; {refusal.message}"
            raise raised from None
        self._tell_failed(failed)
        return turn

    def _tell_failed(self, failed: Mapping[str, Error]) -> None:
        """A policy with a mirror that cannot be made is not what its owner thinks it is."""
        for label, problem in failed.items():
            self._warn(f"mirror {label} could not be prepared: {both(problem)}")

    def _free(self, turn: rotation.Turn) -> None:
        """The mirror of the set that gives it up comes back into step with production."""
        one = turn.gives_up
        if one is not None:
            # Preparing took its time: somebody may have pinned the set since it was chosen.
            sets.require_unpinned(self._room.service.show_set(one.id), "resync")
            self._say(f"set {one.label} gives its mirror {turn.mirror} up")
            self._resync(one, turn.mirror)
            self._done.given_up.append(one.id)
            if self._is_of_others(one):  # volumes that came later have no such mirror yet
                self._room.do(self._room.action(Verb.PREPARE, turn.mirror))

    def _resync(self, one: SetRecord, mirror: str) -> None:
        """With the volumes that the set is of, as long as all of them are there."""
        room = self._room
        entry = room.journal.split_of(one.id) if self._is_of_others(one) else None
        with unfinished.there(room, entry) if entry is not None else nullcontext(room) as then:
            found = then if _has_all(then) else room
            found.do(found.action(Verb.RESYNC, mirror, one.id, one.label), unpinned=True)

    def _is_of_others(self, one: SetRecord) -> bool:
        """Whether the group's volumes are not those of the set any more."""
        volumes = {source.name for source in self._room.sources}
        return bool(one.members) and {member.volume for member in one.members} != volumes

    def _prove(self, one: SetRecord) -> bool:
        """Whether the writers may cut their logs: only after good verdicts on this very set."""
        if not self._group.verify:
            if self._group.writers:
                self._say("not verified: the writers are not told that the backup succeeded")
            return False
        try:
            self._done.error = proof.prove(self._room, one, self._wish())
        except Error as problem:
            if problem.exit_status == 130:
                raise
            self._done.error = problem
        return self._done.error is None

    def _wish(self) -> CheckWish:
        return CheckWish(tuple(self._group.verify), script=self._group.script)

    def _tell_of_strays(self) -> None:
        """Sets that retention gives up and no rotation will: their mirror is none of the policy."""
        labels = self._labels(self._mirrors())
        held = {one.id: (label, one) for label, one in self._held().items()}
        for fate in self._done.fates:
            if fate.kept or fate.held.id not in held:
                continue
            label, one = held[fate.held.id]
            if label not in labels:
                self._say(
                    f"set {one.label} is beyond retention, and mirror {label} is none of the "
                    f"policy's: exshadow snapshot resync {one.group}@{one.label}"
                )

    def _tell_of_broken(self) -> None:
        """Those that are production itself as well. Runs go on without such a mirror, so that
        nobody would notice until they cannot."""
        for label in self._labels(self._seen):
            one = self._seen.get(label)
            if one is not None and one.state is MirrorState.BROKEN:
                self._warn(f"mirror {label} is {one.detail or one.state}")

    def _warn(self, text: str) -> None:
        self._done.warnings.append(text)
        self._room.note(text)

    def _say(self, text: str) -> None:
        self._done.notes.append(text)
        self._room.note(text)


def _has_all(room: Room) -> bool:
    """Whether the provider finds every volume of the room."""
    try:
        for source in room.sources:
            room.provider.identity(source)
    except NotFoundError:
        return False
    return True
