"""Lend: the set's copies get LUNs on another host. Recall: they lose those LUNs again.

What the other host does with them cannot be seen from here: who recalls a set says that it has let
go of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from exshadow.errors import InvalidError, NotFoundError, RefusedError
from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.eva.array import View
from exshadow.providers.eva.finding import Copy
from exshadow.providers.eva.luns import Presenting
from exshadow.providers.eva.names import Role
from exshadow.providers.eva.objects import Presentation
from exshadow.providers.eva.rules import Operation, permit


class Lending(Presenting):
    """The verbs ``lend`` and ``recall``."""

    def lend(self, action: Action) -> None:
        """LUNs on the host that option ``host`` names, in full or by its last part."""
        host = self._known_host(_wanted(action))
        found = self.whole_set(self.array.known(), action)
        for one in found.values():
            permit(Operation.PRESENT, one.vdisk)
            if here := [lun for lun in one.vdisk.presentations if lun.host == self.settings.host]:
                raise RefusedError(
                    f"{one.vdisk.name} is presented to this host, {here[0].host}",
                    hint="two hosts must not use one copy: wait until its work here has ended",
                )
            if away := [lun for lun in self.away(one) if lun.host != host]:
                raise RefusedError(
                    f"{one.vdisk.name} is lent to {away[0].host} already",
                    hint="bring it back first: exshadow snapshot recall SET",
                )
        for volume, one in found.items():
            if one.vdisk.copying:
                self.wait_normalised([one.vdisk], why=f"lend {one.vdisk.name}")
            self.add_lun(action, volume, one, host)

    def recall(self, action: Action) -> None:
        """Every LUN that another host than this one has of the set's copies goes."""
        found = self.copies(self.array.known(), action, Role.SET, of_set=True)
        luns = [(one.vdisk.id, lun) for one in found.values() for lun in self.away(one)]
        if luns and action.options.get("released") != "yes":
            raise RefusedError(
                f"the set is lent to {luns[0][1].host}, which loses its disks",
                hint="make sure that it has let go of them (unmounted, offline), and say so",
            )
        for identity, lun in luns:
            self.delete_lun(identity, lun)

    def standing_lend(self, action: Action, view: View) -> Standing:
        """By the LUNs that the listings show; on any other host where the action names none."""
        found = self.copies(view, action, Role.SET, of_set=True)
        if len(found) < len(action.volumes):
            return Standing(Stage.FAILED, "copies of the set are missing")
        host = action.options.get("host", "")
        luns = {
            volume: next((lun for lun in self.away(one) if not host or _is(lun.host, host)), None)
            for volume, one in found.items()
        }
        if not any(luns.values()):
            return Standing(Stage.ABSENT)
        if not all(luns.values()):
            return Standing(Stage.HALF, "some copies have no LUN there yet")
        told = [f"{volume} is LUN {lun.number}" for volume, lun in luns.items() if lun]
        return Standing(
            Stage.DONE, f"on {host or 'another host'}: {', '.join(told)}; rescan its adapters"
        )

    def standing_recall(self, action: Action, view: View) -> Standing:
        """Done when no other host has any of them."""
        found = self.copies(view, action, Role.SET, of_set=True)
        if len(found) < len(action.volumes):
            return Standing(Stage.FAILED, "copies of the set are missing")
        lent = [bool(self.away(one)) for one in found.values()]
        return Standing(Stage.DONE if not any(lent) else Stage.HALF if not all(lent) else
                        Stage.ABSENT)  # fmt: skip

    def lent_to(self, action: Action, view: View) -> str:
        """Hosts that have copies of the mirror's set; empty while none has."""
        found = self.copies(view, action, Role.SET).values()
        return ", ".join(sorted({lun.host for one in found for lun in self.away(one)}))

    def refuse_lent(self, found: Iterable[Copy], what: str) -> None:
        """RefusedError while another host has one of them."""
        for one in found:
            if luns := self.away(one):
                raise RefusedError(
                    f"cannot {what} the set: {one.vdisk.name} is lent to {luns[0].host}",
                    hint="bring it back first: exshadow snapshot recall SET",
                )

    def away(self, one: Copy) -> list[Presentation]:
        """Its LUNs on other hosts."""
        return [lun for lun in one.vdisk.presentations if lun.host != self.settings.host]

    def _known_host(self, wanted: str) -> str:
        known = self.array.hosts()
        found = [one for one in known if _is(one, wanted)]
        if len(found) != 1:
            raise NotFoundError(
                f"array {self.settings.system} knows {len(found) or 'no'} hosts {wanted}",
                hint=f"it knows: {', '.join(known) or 'none'}",
            )
        if found[0] == self.settings.host:
            raise InvalidError(
                f"{wanted} is this host, where copies are read without being lent",
                hint="name another one, or check [provider.eva] host",
            )
        return found[0]


def _wanted(action: Action) -> str:
    host = action.options.get("host", "")
    if not host:
        raise InvalidError("nobody said which host gets the set", hint="lend SET --to HOST")
    return host


def _is(path: str, wanted: str) -> bool:
    """Whether the host's full name, or the last part of it, is what was asked for."""
    name = path.rsplit("\\", 1)[-1]
    return wanted.casefold() in (path.casefold(), name.casefold())
