"""LUNs and devices of the set's copies: presented to a host and taken back."""

from __future__ import annotations

import time
from collections.abc import Sequence

from exshadow.errors import InvalidError, NotFoundError, RefusedError, TimedOutError
from exshadow.providers.contract import Action, Stage, Standing
from exshadow.providers.eva import names
from exshadow.providers.eva.array import Check, View
from exshadow.providers.eva.finding import Copy
from exshadow.providers.eva.names import Role
from exshadow.providers.eva.objects import Presentation
from exshadow.providers.eva.restoring import Restoring
from exshadow.providers.eva.rules import Operation, permit
from exshadow.providers.eva.session import ArrayRefusedError, NotAnsweredError


class Presenting(Restoring):
    """The verbs ``present`` and ``unpresent``, and what they are made of."""

    def present(self, action: Action) -> None:
        """Give the set's copies LUNs on the host, the same numbers each time if they are free."""
        host = self._host()
        known = self.array.hosts()
        if host not in known:
            raise NotFoundError(
                f"array {self.settings.system} knows no host {host}",
                hint=f"it knows: {', '.join(known) or 'none'}",
            )
        found = self.whole_set(self.array.known(), action)
        for volume, one in found.items():
            permit(Operation.PRESENT, one.vdisk)
            if away := [lun.host for lun in one.vdisk.presentations if lun.host != host]:
                raise RefusedError(
                    f"{one.vdisk.name} is lent to {away[0]}: two hosts must not use one copy",
                    hint="bring it back first: exshadow snapshot recall SET",
                )
            if one.vdisk.copying:
                self.wait_normalised([one.vdisk], why=f"present {one.vdisk.name}")
            self.add_lun(action, volume, one, host)
        self.await_devices([one.vdisk.wwn for one in found.values()])

    def add_lun(self, action: Action, volume: str, one: Copy, host: str) -> None:
        """A LUN on the host, of the number it had the last time if that is free."""
        view = self.array.known()
        taken = {
            lun.number for vdisk in view.vdisks for lun in vdisk.presentations if lun.host == host
        }
        order = names.lun_order(
            self.settings.lun_first, self.settings.lun_last, action.group, volume, action.mirror
        )
        refused: ArrayRefusedError | None = None
        for number in [one for one in order if one not in taken][:4]:
            try:
                self.array.change(
                    "add_lun",
                    self._presented(one.vdisk.id, host),
                    number=str(number),
                    vdisk=self.path(one.vdisk.id),
                    host=host,
                )
                return
            except NotAnsweredError:
                raise
            except ArrayRefusedError as problem:
                refused = problem  # taken by something that no listing shows: try the next
        if refused is not None:
            raise refused
        if not self._presented(one.vdisk.id, host)(view):
            raise RefusedError(
                f"no LUN number from {self.settings.lun_first} to {self.settings.lun_last} is free "
                f"on {host}",
                hint="unpresent something, or widen lun_first and lun_last",
            )

    @staticmethod
    def _presented(identity: str, host: str) -> Check:
        return lambda view: any(
            one.id == identity and any(lun.host == host for lun in one.presentations)
            for one in view.vdisks
        )

    def await_devices(self, wwns: Sequence[str]) -> None:
        """Rescan until each is a device of this host."""
        self.devices.rescan()

        deadline = time.monotonic() + self.settings.device_seconds
        pause = 0.02
        while missing := [wwn for wwn in wwns if not self.devices.path_of(wwn)]:
            if time.monotonic() > deadline:
                raise TimedOutError(
                    f"presented to {self.settings.host}, but no device with the id "
                    f"{', '.join(missing)} appeared here",
                    hint="is host = ... this host? rescan its adapters and repeat",
                )
            time.sleep(pause)
            pause = min(pause * 1.7, 2.0)
            self.devices.rescan()

    def unpresent(self, action: Action) -> None:
        """Take the LUNs away from the host. RefusedError while a copy is in use here."""
        roles = (Role.SET, Role.DISSOLVED, Role.CONTAINER, Role.MIRROR)
        for one in self.copies(self.array.known(), action, *roles, of_set=True).values():
            if one.vdisk.presentations:
                self.refuse_in_use(one.vdisk, "unpresent it")
                self.devices.forget(one.vdisk.wwn)
                for lun in one.vdisk.presentations:
                    if lun.host == self.settings.host:
                        self.delete_lun(one.vdisk.id, lun)

    def delete_lun(self, identity: str, lun: Presentation) -> None:
        """One LUN."""
        self.array.change(
            "delete_lun",
            lambda view: (
                not any(one.id == identity and lun in one.presentations for one in view.vdisks)
            ),
            host=lun.host,
            number=str(lun.number),
        )

    def _host(self) -> str:
        if not self.settings.host:
            raise InvalidError(
                "provider eva: no host to present copies to",
                hint=r"host = '\Hosts\FOLDER\HOST' in the provider's settings",
            )
        return self.settings.host

    def standing_present(self, action: Action, view: View) -> Standing:
        found = self.copies(view, action, Role.SET, Role.DISSOLVED, of_set=True)
        if len(found) < len(action.volumes):
            return Standing(Stage.FAILED, "copies of the set are missing")
        seen = [self._presented(one.vdisk.id, self.settings.host)(view) for one in found.values()]
        if not any(seen):
            return Standing(Stage.ABSENT)
        members = self.members(action, found)
        if not all(seen) or not all(one.path for one in members):
            return Standing(Stage.HALF, "some copies are presented, or no device yet")
        return Standing(Stage.DONE, members=members)

    def standing_unpresent(self, action: Action, view: View) -> Standing:
        found = self.copies(view, action, Role.SET, Role.DISSOLVED, of_set=True)
        seen = [self._presented(one.vdisk.id, self.settings.host)(view) for one in found.values()]
        return Standing(Stage.ABSENT if any(seen) else Stage.DONE)
