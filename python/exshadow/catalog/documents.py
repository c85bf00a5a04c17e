"""Documents of sets (vxsnap's XML, Backup Components Documents) with their hashes, and remarks."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from exshadow.catalog import schema
from exshadow.catalog.store import Catalog
from exshadow.errors import CorruptError
from exshadow.names import now


@dataclass(frozen=True, slots=True)
class Document:
    """``paths``: where else its bytes lie; ``sha256``: of the content, in hexadecimal."""

    set_id: str
    name: str
    content: bytes
    sha256: str
    paths: tuple[str, ...]
    recorded: str


def keep_document(
    catalog: Catalog, set_id: str, name: str, content: bytes, paths: Iterable[str] = ()
) -> Document:
    """Write it, replacing one of the same name."""
    one = Document(set_id, name, content, hashlib.sha256(content).hexdigest(), tuple(paths), now())
    row = {
        "owner": catalog.owner,
        "set_id": set_id,
        "name": name,
        "sha256": one.sha256,
        "content": base64.b64encode(content).decode(),
        "paths": json.dumps(list(one.paths)),
        "recorded": one.recorded,
    }
    table = schema.documents
    with catalog.changing() as connection:
        connection.execute(delete(table).where(table.c.set_id == set_id, table.c.name == name))
        connection.execute(insert(table).values(**row))
    return one


def documents(catalog: Catalog, set_id: str) -> list[Document]:
    """Those of one set, by name. CorruptError when one is not what was written."""
    table = schema.documents
    query = select(table).where(table.c.set_id == set_id).order_by(table.c.name)
    with catalog.reading() as connection:
        rows = connection.execute(query).mappings().all()
    found = []
    for row in rows:
        content = _decoded(row["content"])
        if content is None or hashlib.sha256(content).hexdigest() != row["sha256"]:
            others = ", ".join(json.loads(row["paths"])) or "nowhere else"
            raise CorruptError(
                f"document {row['name']} of set {set_id} is damaged in the catalog",
                hint=f"it also lies at: {others}",
            )
        paths = tuple(json.loads(row["paths"]))
        found.append(Document(set_id, row["name"], content, row["sha256"], paths, row["recorded"]))
    return found


def forget_documents(catalog: Catalog, set_id: str) -> None:
    """With the set itself."""
    with catalog.changing() as connection:
        connection.execute(delete(schema.documents).where(schema.documents.c.set_id == set_id))


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Remark:
    """What somebody did to a set, and why."""

    set_id: str
    at: str
    what: str
    reason: str


def add_remark(catalog: Catalog, set_id: str, what: str, reason: str) -> None:
    """E.g. ``unpinned``."""
    row = {
        "owner": catalog.owner,
        "set_id": set_id,
        "at": now(),
        "what": what,
        "reason": reason,
    }
    with catalog.changing() as connection:
        connection.execute(insert(schema.remarks).values(**row))


def remarks(catalog: Catalog, set_id: str) -> list[Remark]:
    """Oldest first."""
    table = schema.remarks
    query = select(table).where(table.c.set_id == set_id).order_by(table.c.id)
    with catalog.reading() as connection:
        rows = connection.execute(query).mappings().all()
    return [Remark(row["set_id"], row["at"], row["what"], row["reason"]) for row in rows]
