"""The catalog as one JSON document, out and in. Import replaces everything or nothing."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Table, delete, insert, select
from sqlalchemy.exc import IntegrityError as DatabaseIntegrityError
from sqlalchemy.exc import StatementError

from exshadow.catalog import migrations, schema
from exshadow.catalog.store import Catalog
from exshadow.catalog.values import require_sound
from exshadow.errors import InvalidError, NewerVersionError
from exshadow.model import Json
from exshadow.names import now

FORMAT = 1
_LARGEST = 1 << 63  # what a column of whole numbers holds

# Parents before children, so that insertion in this order satisfies the foreign keys. Leases stay
# where they are: who holds a volume now is no matter of record.
_TABLES: tuple[Table, ...] = (
    schema.volumes,
    schema.sets,
    schema.members,
    schema.verifications,
    schema.jobs,
    schema.events,
    schema.actions,
    schema.documents,
    schema.remarks,
    schema.measures,
)


def export_catalog(catalog: Catalog) -> Json:
    """Everything in the catalog, read in one transaction."""
    with catalog.reading() as connection:
        rows = {
            table.name: [
                dict(row)
                for row in connection.execute(select(table).where(_own(table, catalog))).mappings()
            ]
            for table in _TABLES
        }
    header = {"format": FORMAT, "schema": migrations.HEAD, "exported": now()}
    return {"catalog": {**header, **rows}}


def import_catalog(catalog: Catalog, document: object) -> dict[str, int]:
    """Replace the catalog's content; rows per table. InvalidError leaves it as it was."""
    rows = check_document(document)
    try:
        with catalog.changing() as connection:
            for table in reversed(_TABLES):
                connection.execute(delete(table).where(_own(table, catalog)))
            for table in _TABLES:
                if rows[table.name]:
                    connection.execute(insert(table), _adopted(table, rows[table.name], catalog))
    except (DatabaseIntegrityError, StatementError) as error:
        reason = getattr(error, "orig", None) or error
        raise InvalidError(f"the catalog document contradicts itself: {reason}") from error
    return {name: len(found) for name, found in rows.items()}


def _own(table: Table, catalog: Catalog) -> ColumnElement[bool]:
    """Rows of the catalog's owner; those of a set belong to whom the set belongs to."""
    if "owner" in table.c:
        return table.c.owner == catalog.owner
    mine = select(schema.sets.c.id).where(schema.sets.c.owner == catalog.owner)
    return table.c.set_id.in_(mine)


def _adopted(table: Table, rows: list[dict[str, Any]], catalog: Catalog) -> list[dict[str, Any]]:
    """Rows as this catalog's own. Numbers that the database gives are given anew: in a shared one
    they may be taken."""
    numbered = [column.name for column in table.primary_key if column.autoincrement is True]
    kept = [{key: row[key] for key in row if key not in numbered} for row in rows]
    return [{**row, "owner": catalog.owner} for row in kept] if "owner" in table.c else kept


def check_document(document: object) -> dict[str, list[dict[str, Any]]]:
    """The document's rows by table. InvalidError, NewerVersionError."""
    body = document.get("catalog") if isinstance(document, dict) else None
    if not isinstance(body, dict) or not isinstance(body.get("format"), int):
        raise InvalidError(
            "this is no catalog document", hint="write one with: exshadow catalog export FILE"
        )
    if body["format"] > FORMAT or str(body.get("schema")) not in migrations.REVISIONS:
        raise NewerVersionError(
            "the catalog document was written by a newer exshadow",
            hint="import it with that version",
        )
    _upgrade(body, str(body["schema"]))
    return {table.name: _checked_rows(table, body.get(table.name)) for table in _TABLES}


def _upgrade(body: dict[str, Any], revision: str) -> None:
    """Give a document of an older schema the tables and columns that came later."""
    for later in migrations.REVISIONS[migrations.REVISIONS.index(revision) + 1 :]:
        for name in migrations.ADDED_TABLES.get(later, ()):
            body.setdefault(name, [])
        for name, defaults in migrations.ADDED.get(later, {}).items():
            rows = body.get(name)
            if isinstance(rows, list):
                body[name] = [{**defaults, **row} if isinstance(row, dict) else row for row in rows]


def _checked_rows(table: Table, rows: object) -> list[dict[str, Any]]:
    """Rows whose columns have the table's names and hold what these may; all of it is from a file.
    What is wrong is told with its place in it: ``sets[2].state``."""
    if not isinstance(rows, list):
        raise InvalidError(f"the catalog document has no list {table.name!r}")
    for number, row in enumerate(rows):
        place = f"{table.name}[{number}]"
        if not isinstance(row, dict) or set(row) != set(table.c.keys()):
            raise InvalidError(f"{place} has other columns than {list(table.c.keys())}")
        for column in table.c:
            value = row[column.name]
            if value is None and column.nullable:
                continue
            if not _is_a(value, column.type.python_type):
                raise InvalidError(f"{place}.{column.name}: {value!r:.200} has the wrong type")
            require_sound(f"{place}.{column.name}", column, value)
    return rows


def _is_a(value: object, expected: type) -> bool:
    """As isinstance, but a truth value is no number and a whole number is a float."""
    if isinstance(value, bool):
        return expected is bool
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        return False
    return isinstance(value, (int, float) if expected is float else expected)
