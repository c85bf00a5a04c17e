"""Who may change a volume, when several hosts share one catalog: leases with a heartbeat.

A lease ends by the database's clock, never by anybody's own, so that no stale lock stays: the next
holder waits until it has ended. Every new holder gets a higher token; what is written to the
catalog under a lease is written only while it is in force (:meth:`Leases.fence`). A holder that
cannot renew stops itself before its lease ends (:class:`exshadow.service.keeper.Keeper`).
"""

from __future__ import annotations

import os
import re
import socket
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from exshadow.catalog import schema
from exshadow.catalog.database_errors import translated
from exshadow.catalog.store import Catalog
from exshadow.errors import BusyError

SECONDS = 30.0
"""How long a lease is good without being renewed."""


@dataclass(frozen=True, slots=True)
class Lease:
    """``token`` is higher than of every earlier holder; ``until``: database's clock, seconds."""

    volume: str
    holder: str
    token: int
    until: float


class LostLeaseError(BusyError):
    """Somebody else may hold the volume by now: nothing more may be written."""

    code = "lease_lost"


def new_holder() -> str:
    """Names this process to people, and tells it from all others."""
    return f"{socket.gethostname()} process {os.getpid()} {uuid.uuid4()}"


def _shown(holder: str) -> str:
    """Without what only programs compare."""
    return re.sub(r" [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", "", holder)


class Leases:
    """The leases of one holder in a catalog. Thread-safe: every call is one transaction."""

    def __init__(self, catalog: Catalog, holder: str, seconds: float = SECONDS) -> None:
        self._engine = catalog.engine
        self.holder = holder
        self.seconds = seconds

    def acquire(self, volume: str, purpose: str = "") -> Lease:
        """Take it, or take it again. BusyError naming the holder while somebody else's is good."""
        for _ in range(2):
            try:
                with translated(), self._engine.begin() as connection:
                    return self._acquire(connection, volume, purpose)
            except IntegrityError:
                continue  # somebody made the row just now
        raise BusyError(f"the lease of {volume} is being taken by others", hint="try again")

    def _acquire(self, connection: Connection, volume: str, purpose: str) -> Lease:
        moment = _clock(connection)
        table = schema.leases
        row = (
            connection.execute(select(table).where(table.c.volume == volume).with_for_update())
            .mappings()
            .first()
        )
        until = moment + self.seconds
        if row is None:
            values = {"volume": volume, "holder": self.holder, "token": 1}
            connection.execute(insert(table).values(**values, purpose=purpose, until=until))
            return Lease(volume, self.holder, 1, until)
        if row["holder"] != self.holder and row["until"] > moment:
            raise BusyError(
                f"volume {volume} is held by {_shown(row['holder'])}"
                + (f" ({row['purpose']})" if row["purpose"] else ""),
                hint=f"its lease ends in {row['until'] - moment:.0f} s unless it is renewed",
            )
        token = row["token"] + (row["holder"] != self.holder or row["until"] <= moment)
        values = {"holder": self.holder, "token": token, "purpose": purpose, "until": until}
        connection.execute(update(table).where(table.c.volume == volume).values(**values))
        return Lease(volume, self.holder, token, until)

    def renew(self, leases: Iterable[Lease]) -> list[Lease]:
        """All of them, for another while. LostLeaseError when one is not ours any more."""
        renewed = []
        with translated(), self._engine.begin() as connection:
            until = _clock(connection) + self.seconds
            for one in leases:
                self._check(connection, one)
                connection.execute(
                    update(schema.leases)
                    .where(schema.leases.c.volume == one.volume)
                    .values(until=until)
                )
                renewed.append(Lease(one.volume, one.holder, one.token, until))
        return renewed

    def release(self, leases: Iterable[Lease]) -> None:
        """Let others have them at once. Those that are lost already stay as they are."""
        with translated(), self._engine.begin() as connection:
            for one in leases:
                connection.execute(
                    update(schema.leases)
                    .where(
                        schema.leases.c.volume == one.volume,
                        schema.leases.c.holder == one.holder,
                        schema.leases.c.token == one.token,
                    )
                    .values(until=0.0)
                )

    def fence(self, connection: Connection, leases: Iterable[Lease]) -> None:
        """Inside a transaction that changes something: LostLeaseError unless all are in force; and
        nobody else gets one before the transaction ends."""
        for one in leases:
            self._check(connection, one)

    def _check(self, connection: Connection, one: Lease) -> None:
        table = schema.leases
        row = (
            connection.execute(select(table).where(table.c.volume == one.volume).with_for_update())
            .mappings()
            .first()
        )
        if row is not None and (row["holder"], row["token"]) == (one.holder, one.token):
            if row["until"] > _clock(connection):
                return
            raise LostLeaseError(
                f"the lease of volume {one.volume} was not renewed in time",
                hint="nothing more was changed; repeat the command",
            )
        who = _shown(row["holder"]) if row else "nobody"
        raise LostLeaseError(
            f"volume {one.volume} is held by {who} now",
            hint="nothing more was changed; repeat the command there, or here when it has ended",
        )

    def holders(self) -> dict[str, Lease]:
        """Leases in force, by volume."""
        with translated(), self._engine.begin() as connection:
            moment = _clock(connection)
            rows = connection.execute(select(schema.leases)).mappings().all()
        return {
            row["volume"]: Lease(row["volume"], row["holder"], row["token"], row["until"])
            for row in rows
            if row["until"] > moment
        }


def _clock(connection: Connection) -> float:
    """Seconds since 1970, as the database counts them."""
    if connection.dialect.name == "postgresql":
        query = "SELECT extract(epoch FROM clock_timestamp())"
    else:
        query = "SELECT (julianday('now') - 2440587.5) * 86400.0"
    return float(connection.execute(text(query)).scalar_one())
