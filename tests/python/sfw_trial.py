"""A bed of Storage Foundation that is told what to do and asked how it stands."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import ClassVar

from provider_bed_sfw import SfwBed

from exshadow.providers.contract import Action, Mirror, MirrorState, Standing, Verb
from exshadow.providers.sfw import SfwProvider
from exshadow.providers.steps import Limits, carry_out
from simulators.sfw import world

LIMITS = Limits(seconds=dict.fromkeys(Verb, 30.0), between=0.01)


class NoJournal:
    def begin(self, provider: str, action: Action) -> None:
        """Nothing."""

    def end(self, action: Action, state: str, detail: str = "") -> None:
        """Nothing."""


class Trial(SfwBed):
    """A bed with small volumes that can be told what to do."""

    sizes: ClassVar = {"db": 192 << 10, "logs": 128 << 10}

    def act(self, verb: Verb, set_id: str = "", mirror: str = "m1", **options: str) -> Action:
        return Action(str(uuid.uuid4()), verb, self.group, mirror, self.sources, set_id,
                      options=options)  # fmt: skip

    def do(
        self,
        verb: Verb,
        set_id: str = "",
        mirror: str = "m1",
        provider: SfwProvider | None = None,
        **options: str,
    ) -> Standing:
        action = self.act(verb, set_id, mirror, **options)
        return carry_out(provider or self.provider(), action, NoJournal(), limits=LIMITS)

    def split(self, mirror: str = "m1", **options: str) -> str:
        """A set of a mirror that is prepared first."""
        self.do(Verb.PREPARE, mirror=mirror)
        set_id = str(uuid.uuid4())
        self.do(Verb.SPLIT, set_id, mirror, **options)
        return set_id

    def all(self) -> dict[str, bytes]:
        return {one.name: self.read(one.name) for one in self.sources}

    def copy(self, set_id: str) -> dict[str, bytes]:
        members = self.do(Verb.PRESENT, set_id).members
        found = {one.volume: self.read_copy(one) for one in members}
        self.do(Verb.UNPRESENT, set_id)
        return found

    def mirror_of(self, label: str = "m1") -> Mirror:
        found = self.provider().mirrors(self.group, self.sources)
        return next(one for one in found if one.label == label)

    def state_of(self, mirror: str = "m1") -> MirrorState:
        return self.mirror_of(mirror).state

    def gave(self, *words: str) -> list[list[str]]:
        """Commands given so far that have all these words."""
        return [one for one in self.commands.given if set(words) <= set(one)]

    def change(self, volume: str, **values: object) -> None:
        """Something about a volume, as somebody else would make it."""
        with world.opened(self.world) as found:
            found.groups["MAIL"]["volumes"][volume].update(values)

    def xml(self, set_id: str) -> Path:
        return self.sets / f"{set_id}.xml"
