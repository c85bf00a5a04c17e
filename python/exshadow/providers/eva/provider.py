"""An HP EVA as a :class:`~exshadow.providers.contract.Provider`.

A mirror of the policy and a volume are one vdisk beside the volume's own, found by its name
(names.py): a mirrorclone, or the container that becomes the next snapshot or snapclone. The
volume's own vdisk is found by the page-83 id of the device that ``Source.path`` names.

Set ids are longer than names of vdisks; the array keeps a digest of them. What ``mirrors`` says is
the id itself where the work folder remembers it, else nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from exshadow.commands import CommandRunner
from exshadow.model import ChangedMember
from exshadow.providers.contract import (
    Action,
    Mirror,
    MirrorState,
    Source,
    Standing,
    Verb,
)
from exshadow.providers.eva import names, settings
from exshadow.providers.eva.array import Array, View
from exshadow.providers.eva.devices import Devices
from exshadow.providers.eva.facts import array_facts
from exshadow.providers.eva.mirrorclone import Mirrorclones
from exshadow.providers.eva.pointcopy import PointCopies
from exshadow.providers.eva.settings import Kind
from exshadow.providers.eva.swap import Swap
from exshadow.providers.facts import ArrayFacts, Capability, CopyKind
from exshadow.providers.templates import load


class EvaProvider:
    """``settings``: see :class:`~exshadow.providers.eva.settings.EvaSettings`. InvalidError when
    they are wrong; the array is not asked before the first verb."""

    name = "eva"

    def __init__(self, plain: Mapping[str, str], commands: CommandRunner) -> None:
        self.settings = settings.parse(plain)
        overlay = Path(self.settings.commands) if self.settings.commands else None
        book = load("eva", self.settings.version, overlay)
        self.commands = commands
        self.array = Array(self.settings, book, commands)
        devices = Devices(self.settings.sysfs, self.settings.devices, self.settings.mounts)
        mirrorclones = self.settings.kind is Kind.MIRRORCLONE
        made = Mirrorclones if mirrorclones else PointCopies
        self.kind: Mirrorclones | PointCopies = made(self.settings, self.array, devices)
        self._swap = Swap(self.kind)

    def close(self) -> None:
        """End the session with the manager."""
        self.array.close()

    def capability(self, volumes: Sequence[Source]) -> Capability:
        """NotFoundError for a volume that is on no vdisk of this array."""
        view = self.array.look()
        for one in volumes:
            self.kind.source(view, one)
        kind = self.settings.kind
        snapshot = kind is Kind.SNAPSHOT
        return Capability(
            kind=CopyKind.DIFFERENTIAL if snapshot else CopyKind(kind.value),
            survives_source_loss=not snapshot,
            delta_resync=kind is Kind.MIRRORCLONE,
            instant_restore=self._restores(),
            atomic_set=self._atomic(),
            off_host=True,
        )

    def identity(self, volume: Source) -> str:
        """The page-83 id of its vdisk, which all hosts see alike. The array is not asked."""
        return self.kind.devices.id_of(volume.path)

    def start(self, action: Action) -> None:
        """See the contract."""
        self._refuse_kind(action)
        verbs: dict[Verb, Callable[[Action], None]] = {
            Verb.PREPARE: self.kind.prepare,
            Verb.SPLIT: self._split,
            Verb.RESYNC: self.kind.resync,
            Verb.RESTORE: self.kind.restore,
            Verb.PROMOTE: self._swap.promote,
            Verb.DISSOLVE: self._dissolve,
            Verb.ABORT: self.kind.abort,
            Verb.PRESENT: self.kind.present,
            Verb.UNPRESENT: self.kind.unpresent,
            Verb.LEND: self.kind.lend,
            Verb.RECALL: self.kind.recall,
        }
        self.array.look()
        verbs[action.verb](action)

    def standing(self, action: Action) -> Standing:
        """See the contract."""
        verbs: dict[Verb, Callable[[Action, View], Standing]] = {
            Verb.PREPARE: self.kind.standing_prepare,
            Verb.SPLIT: self.kind.standing_split,
            Verb.RESYNC: self.kind.standing_resync,
            Verb.RESTORE: self.kind.standing_restore,
            Verb.PROMOTE: self._swap.standing,
            Verb.DISSOLVE: self.kind.standing_dissolve,
            Verb.ABORT: self.kind.standing_abort,
            Verb.PRESENT: self.kind.standing_present,
            Verb.UNPRESENT: self.kind.standing_unpresent,
            Verb.LEND: self.kind.standing_lend,
            Verb.RECALL: self.kind.standing_recall,
        }
        return verbs[action.verb](action, self.array.look())

    @contextmanager
    def armed(self, action: Action) -> Iterator[None]:
        """Everything about a split that takes long or may be refused (preflight, write-through and
        its flush), before anybody is frozen: a split within only makes the copies. The set's id
        need not be known yet."""
        self.array.look()
        with self.kind.armed(action):
            yield

    def quieten(self, action: Action, tell: Callable[[str], None]) -> None:
        """Before writers are asked for a split: wait for a snapclone that still copies, which no
        freeze could. What is waited for is told. TimedOutError past ``copying_seconds``."""
        if self.settings.kind is Kind.MIRRORCLONE:
            return
        view = self.array.look()
        sources = list(self.kind.sources(view, action).values())
        if busy := self.kind.not_normalised(view, sources):
            names_ = ", ".join(sorted(one.name for one in busy))
            tell(f"waits until {names_} is normalised, {self.settings.copying_seconds:g} s at most")
            self.kind.wait_normalised(sources, why="make the next copy")

    def mirrors(self, group: str, volumes: Sequence[Source]) -> tuple[Mirror, ...]:
        """See the contract."""
        view = self.array.look()
        action = Action("", Verb.PREPARE, group, "", tuple(volumes))
        sources = {}
        for one in volumes:
            with suppress(LookupError):  # gone or moved: its mirrors are still told
                sources[one.name] = self.kind.source(view, one)
        made = []
        for label in self._labels(view, group, volumes):
            asked = replace(action, mirror=label)
            mirror = self.kind.mirror(asked, view, sources)
            if mirror.state is not MirrorState.NONE:
                lent = self.kind.lent_to(asked, view)
                known = self._remembered(mirror.set_id)
                made.append(replace(mirror, set_id=known, lent=lent))
        return tuple(made)

    def changed(self, action: Action) -> tuple[ChangedMember, ...] | None:
        """None: the array keeps its maps to itself."""
        return None

    def documents(self, action: Action) -> Mapping[str, bytes]:
        """None: the array has all that a restore needs."""
        return {}

    def facts(self) -> ArrayFacts:
        """What the chooser wants to know of the array."""
        return array_facts(self.array, self.settings)

    # --- below ---

    def _split(self, action: Action) -> None:
        self._remember(action.set_id)
        self.kind.split(action)

    def _dissolve(self, action: Action) -> None:
        self.kind.refuse_lent(self.kind.whole_set(self.array.known(), action).values(), "dissolve")
        self.kind.dissolve(action)

    def _labels(self, view: View, group: str, volumes: Sequence[Source]) -> list[str]:
        """Labels of mirrors: in the names of copies, and those the settings name."""
        found = set() if self.settings.containers else set(self.settings.mirrors.split())
        if self.settings.kind is Kind.MIRRORCLONE:
            found = set()
        for _, one in self.kind.owned(view, group, volumes):
            if one.name.role.value in "cmsx":
                found.add(one.name.mirror)
        return sorted(found)

    def _restores(self) -> bool:
        return self.settings.kind is Kind.MIRRORCLONE or self.settings.instant_restore

    def _atomic(self) -> bool:
        if self.settings.kind is Kind.MIRRORCLONE:
            return self.array.has("fracture_set")
        demand = "" if self.settings.containers else "_demand"
        return self.array.has(f"add_multisnap{demand}")

    def _refuse_kind(self, action: Action) -> None:
        """UnsupportedError for what this kind never can."""
        if action.verb is Verb.RESTORE and not self._restores():
            raise self.kind.refuse_kind(
                "be restored in place without consent",
                "if the firmware can: instant_restore = yes; else promote the set",
            )
        snapshot = self.settings.kind is Kind.SNAPSHOT
        if snapshot and action.verb in (Verb.PROMOTE, Verb.DISSOLVE):
            raise self.kind.refuse_kind(
                f"be {action.verb}d: it lives on its source's blocks",
                "use snapclones or mirrorclones where copies must stand by themselves",
            )

    def _remember(self, set_id: str) -> None:
        """A convenience that may be lost: ids behind digests."""
        file = self.settings.work_folder() / "sets.json"
        with suppress(OSError):
            known = self._known()
            known[names.digest(set_id, 8)] = set_id
            kept = dict(list(known.items())[-1000:])
            fresh = file.with_suffix(".new")
            fresh.write_text(json.dumps(kept), encoding="utf-8")
            fresh.replace(file)

    def _remembered(self, tag: str) -> str:
        return self._known().get(tag, "") if tag else ""

    def _known(self) -> dict[str, str]:
        file = self.settings.work_folder() / "sets.json"
        try:
            plain = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {str(key): str(one) for key, one in plain.items()} if isinstance(plain, dict) else {}
