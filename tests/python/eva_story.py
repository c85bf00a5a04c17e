"""Verbs carried out on an imitated array, for the tests of the EVA provider."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from provider_bed_eva import EvaBed

from exshadow.providers.contract import Action, Provider, Standing, Verb
from exshadow.providers.steps import Limits, carry_out

SET = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"
OPTIONS = {Verb.LEND: {"host": EvaBed.other_host}, Verb.RECALL: {"released": "yes"}}
LIMITS = Limits(seconds=dict.fromkeys(Verb, 20.0), between=0.05)


@dataclass
class NoJournal:
    """Keeps the states only."""

    ends: list[str] = field(default_factory=list)

    def begin(self, provider: str, action: Action) -> None:
        pass

    def end(self, action: Action, state: str, detail: str = "") -> None:
        self.ends.append(state)


def action(
    bed: EvaBed, verb: Verb, mirror: str = "m1", set_id: str | None = None, **more
) -> Action:
    """The same each time it is asked for. Preparations (and aborts of them) have no set."""
    if set_id is None:
        set_id = "" if verb is Verb.PREPARE else SET
    return Action(
        id=f"{verb}-{mirror}-{set_id}", verb=verb, group=bed.group, mirror=mirror,
        volumes=bed.sources, set_id=set_id, label="daily", **more,
    )  # fmt: skip


def do(
    bed: EvaBed, *verbs: Verb, provider: Provider | None = None, mirror: str = "m1",
    set_id: str | None = None,
) -> Standing | None:  # fmt: skip
    """One after the other, with one provider."""
    provider = provider or bed.provider()
    standing = None
    for verb in verbs:
        more = {"options": OPTIONS[verb]} if verb in OPTIONS else {}
        made = action(bed, verb, mirror, set_id if verb is not Verb.PREPARE else None, **more)
        standing = carry_out(provider, made, NoJournal(), limits=LIMITS)
    return standing


def again(bed: EvaBed, folder: Path) -> EvaBed:
    """The bed as it is, in a folder of its own."""
    subprocess.run(["cp", "-a", str(bed.folder), str(folder)], check=True)
    other = type(bed).__new__(type(bed))
    other.folder = folder
    other.resume()
    return other
