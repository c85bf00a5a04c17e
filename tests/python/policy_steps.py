"""Steps of a policy run or a command, counted and named, and a kill -9 after one of them.

A step ends when something durable was done: an action begun or ended in the journal, a command
given to the product or a file of its own kept (``told``), a fact written to the catalog. Nothing
else lies between two of them, so a kill anywhere leaves what a kill after one of them leaves.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import sfw_tools
from provider_bed_vss import FileSnapshots

from exshadow import _core
from exshadow.catalog import Catalog
from exshadow.catalog.journal import CatalogJournal
from exshadow.policy import hooks
from exshadow.providers.contract import Action, Provider
from exshadow.providers.eva import memory
from exshadow.providers.eva.session import Session
from exshadow.providers.sfw import records
from exshadow.providers.vss.records import Slots
from exshadow.service.policy_run import around, making, unfinished

_LOOKS = ("volinfo", "snapprint", "list", "LS ", "SELECT ", "SET OPTIONS ")
_TOLD = (
    (records, ("_durable", "_remove")),
    (memory, ("write",)),
    (Slots, ("write", "remove")),
    (FileSnapshots, ("commit_snapshots", "post_final_commit_snapshots", "abort_snapshots",
                     "delete_snapshot", "break_snapshot_set", "revert_to_snapshot")),
    (_core.Engine, ("create", "open", "split", "restore")),
    (_core.Volume, ("add_plex", "sync", "remove_plex", "resync", "restore", "promote",
                    "delete_snapshot", "set_consistency", "close")),
)  # fmt: skip
_FACTS = {"record_set": "set recorded", "change_set": "set changed", "add_verification": "verdict"}


class Steps:
    """``deadly``: the number of the step, counted from 1, or the name of which the first counts,
    after which nothing comes. ``say`` hears every name. It begins with ``settle`` while what an
    earlier run left is seen to."""

    def __init__(self, deadly: int | str, say: Callable[[str], None]) -> None:
        self._deadly, self._say = deadly, say
        self._count = 0
        self._verb = ""
        self._settling = False

    def step(self, name: str) -> None:
        self._count += 1
        name = f"settle {name}" if self._settling else name
        self._say(name)
        if self._deadly in (self._count, name):
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Everything but a provider's own start."""
        for name, what in (("begin", "begun"), ("end", "ended")):
            self._after(CatalogJournal, name, lambda words, what=what: f"{_verb(words)} {what}")
        for name, fact in _FACTS.items():
            self._after(Catalog, name, lambda words, fact=fact: fact)
        self._after(making, "keep_document", lambda words: "document")
        self._after(around, "add_measures", lambda words: "measures")
        self._after(hooks, "_run", lambda words: "hook run")
        self._after(around, "tell", lambda words: "people told")
        for owner, names in _TOLD:
            for name in names:
                self._after(owner, name, lambda words: self._told())
        self._after(sfw_tools.SimulatedRunner, "run", lambda words: self._given(words[2]))
        self._after(Session, "ask", lambda words: self._given([words[1]]))
        self._mark(unfinished, "settle")
        self._mark(unfinished, "make_way")

    def watch_provider(self, provider: Provider) -> None:
        """``start`` of this one: what it tells the product bears the action's verb."""
        start = provider.start

        def stepped(action: Action) -> None:
            self._verb = action.verb.value
            try:
                start(action)
            finally:
                self._verb = ""
            self.step(f"{action.verb} started")

        provider.start = stepped  # type: ignore[method-assign]

    def _told(self) -> str:
        return f"{self._verb or 'ground'} told"

    def _given(self, words: list[str]) -> str:
        """No step when the command only looks."""
        looks = any(word.startswith(_LOOKS) for word in words)
        return "" if looks else self._told()

    def _after(self, owner: Any, name: str, named: Callable[[tuple[Any, ...]], str]) -> None:
        """Every call is a step, of this name unless that is empty."""
        call = getattr(owner, name)

        def stepped(*words: Any, **more: Any) -> Any:
            found = call(*words, **more)
            if said := named(words):
                self.step(said)
            return found

        setattr(owner, name, stepped)

    def _mark(self, owner: Any, name: str) -> None:
        """What an earlier run left is seen to in this call."""
        call = getattr(owner, name)

        def marked(*words: Any, **more: Any) -> Any:
            self._settling = True
            try:
                return call(*words, **more)
            finally:
                self._settling = False

        setattr(owner, name, marked)


def _verb(words: tuple[Any, ...]) -> str:
    """Of the action among a journal's arguments."""
    return next(str(one.verb) for one in words if isinstance(one, Action))
