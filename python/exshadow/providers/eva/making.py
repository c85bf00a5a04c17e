"""The instant of snapshots and snapclones: all copies of a set by one command, found, and named.

How MULTISNAP names what it makes is not sure: the guide gives one name for the set, the shipped
text one for each copy. So its text gets both, and what was made is found by its own name, as what
a container became, or by lineage: a copy of the source that was not there before. It is then given
the name by which exshadow knows it. Until that is done, it is found by the set's name, with which
an array that takes one is expected to begin the names of the copies.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from exshadow.errors import NotFoundError, RefusedError, TimedOutError
from exshadow.providers.contract import Action
from exshadow.providers.eva import names
from exshadow.providers.eva.array import Check, View
from exshadow.providers.eva.finding import Copy
from exshadow.providers.eva.lending import Lending
from exshadow.providers.eva.names import Role
from exshadow.providers.eva.objects import Form, Vdisk
from exshadow.providers.eva.settings import Allocation, Kind
from exshadow.providers.facts import normal_id


class Making(Lending):
    """What the split of a point copy consists of."""

    def prepare_containers(
        self, containers: Mapping[str, Copy], sources: Mapping[str, Vdisk]
    ) -> None:
        """Say what each will become, then look: the word for the kind is not confirmed, and no
        listing shows it. RefusedError when a container is not good afterwards."""
        for volume, one in containers.items():
            self.array.order(
                "prepare_container",
                container=one.vdisk.path,
                source=sources[volume].path,
                snaptype=self.snaptype(),
            )
        ids = {one.vdisk.id for one in containers.values()}

        def good(view: View) -> bool:
            return {one.id for one in view.vdisks if one.id in ids and one.good} == ids

        try:
            self.array.wait(good, self.settings.settle_seconds, "containers prepared")
        except TimedOutError as problem:
            now = {one.id: one for one in self.array.look().vdisks}
            bad = [one for one in containers.values() if not _is_good(now.get(one.vdisk.id))]
            told = ", ".join(one.vdisk.name for one in bad)
            raise RefusedError(
                f"after it was prepared, container {told} is not good: nothing was split",
                hint="is the word for the snaptype right ([meaning.snaptype] in your commands "
                "file)? abort this mirror and prepare it anew",
            ) from problem

    def copy_all(self, action: Action, sources: Mapping[str, Vdisk]) -> None:
        """Make the set's copies and give them their names."""
        view = self.array.known()
        containers = self.copies(view, action, Role.CONTAINER)
        self.remember(action, sources)
        members = []
        for volume, source in sources.items():
            members.append({
                "name": str(_name(action, volume, source)),
                "source": source.path,
                "container": containers[volume].vdisk.path if volume in containers else "",
                "snaptype": self.snaptype(),
                "policy": self.settings.allocation.upper(),
                "redundancy": self.settings.redundancy,
                "wwn": self._identity(view, action, volume, source),
            })  # fmt: skip

        def found(now: View) -> dict[str, Vdisk]:
            return {
                volume: copy
                for volume, source in sources.items()
                if (copy := self._made(action, volume, source, before=view, now=now))
            }

        def made(now: View) -> bool:
            copies = found(now).values()
            return len(copies) == len(sources) and all(
                one.good and self._fits(one) for one in copies
            )

        self._give(action, members, made)
        self._name_all(action, sources, found(self.array.known()))

    def _give(self, action: Action, members: list[dict[str, str]], made: Check) -> None:
        container = "_container" if self.settings.containers else ""
        if len(members) > 1:
            demand = "" if self.settings.containers else "_demand"
            self.array.change(
                f"add_multisnap{demand}", made, name=_set_name(action), members=members
            )
        elif self.settings.kind is Kind.SNAPCLONE:
            self.array.change("add_copy", made, **members[0])
        else:
            self.array.change(f"add_snapshot{container}", made, **members[0])

    def _made(
        self, action: Action, volume: str, source: Vdisk, *, before: View, now: View
    ) -> Vdisk | None:
        """By its name; as what the container became; else as the only fresh copy of the source."""
        if (named := now.named(str(_name(action, volume, source)))) is not None:
            return named
        reserved = self.copies(before, action, Role.CONTAINER).get(volume)
        if reserved is not None:
            became = next((one for one in now.vdisks if one.id == reserved.vdisk.id), None)
            if became is not None and became.form is not reserved.vdisk.form:
                return became
        known = {one.id for one in before.vdisks}
        fresh = [one for one in now.copies_of(source) if one.id not in known]
        return fresh[0] if len(fresh) == 1 else None

    def adopt(self, action: Action, view: View, sources: Mapping[str, Vdisk]) -> None:
        """Name what an interrupted split of the set made."""
        self._name_all(action, sources, self.unnamed(action, view, sources))

    def unnamed(self, action: Action, view: View, sources: Mapping[str, Vdisk]) -> dict[str, Vdisk]:
        """Copies of the set that do not have their names yet, by volume."""
        return {
            volume: one
            for volume, source in sources.items()
            for one in view.copies_of(source)
            if one.name.startswith(_set_name(action))
        }

    def _name_all(
        self, action: Action, sources: Mapping[str, Vdisk], found: Mapping[str, Vdisk]
    ) -> None:
        wanted = [(one, _name(action, volume, sources[volume])) for volume, one in found.items()]
        self.rename_all((Copy(name, one), name) for one, name in wanted if one.name != str(name))

    def _identity(self, view: View, action: Action, volume: str, source: Vdisk) -> str:
        """The page-83 id of the mirror's copies: the first that no vdisk has, as the array takes
        none twice and a copy that was dissolved keeps its own."""
        system, group, mirror = self.settings.system, action.group, action.mirror
        tried = (
            names.lun_name(system, group, volume, source.wwn, mirror, other=other)
            for other in itertools.count()
        )
        return next(wwn for wwn in tried if view.by_wwn(normal_id(wwn)) is None)

    def _fits(self, copy: Vdisk) -> bool:
        """Whether it is what was asked for, as far as the array tells: a command that is not
        confirmed may make something else."""
        if self.settings.kind is Kind.SNAPCLONE:
            return not copy.is_snapshot and copy.form is not Form.CONTAINER
        demand = self.settings.allocation is Allocation.DEMAND
        return copy.form in (Form.DEMAND if demand else Form.FULLY, Form.UNKNOWN)

    def snaptype(self) -> str:
        """The product's word for the kind."""
        wanted = "snapclone" if self.settings.kind is Kind.SNAPCLONE else self.settings.allocation
        words = self.array.book.meaning["snaptype"].words
        for word, ours in words.items():
            if ours == wanted:
                return word
        raise NotFoundError(
            f"no word for {wanted} is known", hint="name one in your commands: [meaning.snaptype]"
        )


def _name(action: Action, volume: str, source: Vdisk) -> names.CopyName:
    return names.copy_name(action.group, volume, source.wwn, action.mirror, Role.SET, action.set_id)


def _set_name(action: Action) -> str:
    """Of all its copies together. Never one that a copy of ours could have."""
    place = "\n".join([action.group, action.mirror, action.set_id])
    return f"xs.{names.digest(place, 16)}"


def _is_good(one: Vdisk | None) -> bool:
    return one is not None and one.good
