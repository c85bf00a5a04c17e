"""One provider on one bed: actions carried out as the product does it, the bytes of a set read."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import pytest
from provider_beds import Bed

from exshadow.catalog.journal import CatalogJournal
from exshadow.errors import UnsupportedError
from exshadow.model import SetRecord
from exshadow.policy.model import Group, KeepPart
from exshadow.providers.contract import Action, Mirror, MirrorState, Provider, Standing, Verb
from exshadow.providers.steps import Limits, carry_out
from exshadow.service.desk import Desk
from exshadow.service.local import LocalService
from exshadow.service.policy_run.record import GroupRun
from exshadow.service.policy_run.room import Room
from exshadow.service.policy_run.run import run_group
from exshadow.service.state import StateFolder

NAMES = ("native", "sfw", "eva", "vss")
LIMITS = Limits(seconds=dict.fromkeys(Verb, 60.0), between=0.05)


def bed_classes() -> list[type[Bed]]:
    """Every bed of the modules ``provider_bed_NAME`` that are here."""
    found: list[type[Bed]] = []
    for name in NAMES:
        module = f"provider_bed_{name}"
        if importlib.util.find_spec(module) is None:
            continue
        for one in vars(importlib.import_module(module)).values():
            mine = inspect.isclass(one) and issubclass(one, Bed) and one.__module__ == module
            if mine and not inspect.isabstract(one):
                found.append(one)
    return found


@dataclass
class MemoryJournal:
    """What was journalled, in order: ``(event, action id, state)``."""

    lines: list[tuple[str, str, str]] = field(default_factory=list)

    def begin(self, provider: str, action: Action) -> None:
        self.lines.append(("begin", action.id, "started"))

    def end(self, action: Action, state: str, detail: str = "") -> None:
        self.lines.append(("end", action.id, state))


class Trial:
    """The bed with a provider that may be thrown away at any time."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.journal = MemoryJournal()
        self.provider = bed.provider()

    def crash(self) -> Provider:
        """From now on a provider that remembers nothing."""
        self.provider = self.bed.provider()
        return self.provider

    def action(self, verb: Verb, mirror: str = "m1", set_id: str = "") -> Action:
        return Action(
            id=str(uuid.uuid4()),
            verb=verb,
            group=self.bed.group,
            mirror=mirror,
            volumes=self.bed.sources,
            set_id=set_id,
            label=f"set-{set_id[:8]}" if set_id else "",
        )

    def carry_out(self, action: Action) -> Standing:
        """To its end. Skips the test where the product cannot do the verb at all."""
        try:
            return carry_out(self.provider, action, self.journal, limits=LIMITS)
        except UnsupportedError as problem:
            pytest.skip(f"{self.bed.name} cannot {action.verb}: {problem}")

    def do(self, verb: Verb, mirror: str = "m1", set_id: str = "") -> Standing:
        return self.carry_out(self.action(verb, mirror, set_id))

    def split(self, mirror: str = "m1") -> str:
        """A set of a mirror that is made ready first: its id."""
        self.do(Verb.PREPARE, mirror)
        set_id = str(uuid.uuid4())
        self.do(Verb.SPLIT, mirror, set_id)
        return set_id

    def production(self) -> dict[str, bytes]:
        return {one.name: self.bed.read(one.name) for one in self.bed.sources}

    def copy(self, set_id: str, mirror: str = "m1") -> dict[str, bytes]:
        """The set's bytes, presented for it and taken back."""
        members = self.do(Verb.PRESENT, mirror, set_id).members
        assert {one.volume for one in members} == {one.name for one in self.bed.sources}
        found = {one.volume: self.bed.read_copy(one) for one in members}
        self.do(Verb.UNPRESENT, mirror, set_id)
        return found

    def mirror(self, label: str = "m1") -> Mirror:
        found = self.provider.mirrors(self.bed.group, self.bed.sources)
        return next((one for one in found if one.label == label), Mirror(label, MirrorState.NONE))

    def write(self, places: Mapping[str, tuple[int, ...]], word: bytes) -> None:
        """``word`` at offsets of volumes."""
        for volume, offsets in places.items():
            for offset in offsets:
                self.bed.write(volume, offset, word)

    def scribble(self, word: bytes) -> None:
        """Something else in both volumes; ``word`` makes it different each time."""
        self.write({one.name: (4096, one.size // 2, one.size - 4096) for one in self.bed.sources},
                   word.ljust(512, b"."))  # fmt: skip


class Rotation:
    """Policy runs of the bed's group in this process; each begins with a provider that remembers
    nothing."""

    def __init__(self, bed: Bed, verify: tuple[str, ...] = ("bytes",)) -> None:
        self.bed = bed
        self.group = Group(volumes=[one.name for one in bed.sources], mirrors=bed.mirrors,
                           verify=verify, keep=KeepPart(last=2))  # fmt: skip
        self.settings: dict[str, str] = getattr(bed, "settings", {})
        self.state = StateFolder(getattr(bed, "state", bed.folder / "state"))

    @contextmanager
    def room(self) -> Iterator[Room]:
        with closing(Desk(self.state)) as desk:
            provider = self.bed.provider()
            journal = CatalogJournal(desk.catalog, str(uuid.uuid4()))
            yield Room(
                self.bed.group, self.bed.sources, provider, lambda name, settings: provider,
                LocalService(desk), desk, journal,
                settings={provider.name: self.settings}, limits=LIMITS,
            )  # fmt: skip

    def run(self) -> GroupRun:
        with self.room() as room:
            return run_group(room, self.group)

    def good(self) -> GroupRun:
        """A run that ends well."""
        done = self.run()
        assert done.error is None, done.error
        assert done.made is not None
        return done

    def check(self) -> None:
        """Every mirror that is split is one set that is ready, and the other way round; nothing is
        left to be done."""
        with self.room() as room:
            assert room.journal.unfinished(room.group) == []
            ready = [one for one in room.sets() if one.state == "ready"]
            mirrors = room.provider.mirrors(room.group, room.sources)
            split = sorted(one.label for one in mirrors if one.state is MirrorState.SPLIT)
            sets = [(one.label, one.state) for one in room.sets()]
            assert sorted(room.mirror_of(one) for one in ready) == split, (sets, mirrors)
            assert not [one for one in mirrors if one.state is MirrorState.BROKEN], mirrors

    def bytes_of(self, one: SetRecord) -> dict[str, bytes]:
        with self.room() as room, room.presented(one) as members:
            return {member.volume: self.bed.read_copy(member) for member in members}

    def production(self) -> dict[str, bytes]:
        return {one.name: self.bed.read(one.name) for one in self.bed.sources}
