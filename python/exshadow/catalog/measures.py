"""What runs measured of their sets: ``changed_bytes`` since the set before, ``incompressible``, the
share (0 to 1) of sampled changed regions that do not compress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import insert, select

from exshadow.catalog import schema
from exshadow.catalog.store import Catalog
from exshadow.names import now


@dataclass(frozen=True, slots=True)
class Measure:
    """One value of one set."""

    group: str
    set_id: str
    at: str
    name: str
    value: float


def add_measures(catalog: Catalog, group: str, set_id: str, values: Mapping[str, float]) -> None:
    """Record them."""
    about = {"owner": catalog.owner, "group": group, "set_id": set_id, "at": now()}
    rows = [{**about, "name": name, "value": value} for name, value in values.items()]
    if rows:
        with catalog.changing() as connection:
            connection.execute(insert(schema.measures), rows)


def measures(catalog: Catalog, group: str) -> list[Measure]:
    """Oldest first."""
    table = schema.measures
    query = (
        select(table)
        .where(table.c.owner == catalog.owner, table.c.group == group)
        .order_by(table.c.id)
    )
    with catalog.reading() as connection:
        rows = connection.execute(query).mappings().all()
    return [
        Measure(row["group"], row["set_id"], row["at"], row["name"], row["value"]) for row in rows
    ]
