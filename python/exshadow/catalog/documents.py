"""Documents of sets (vxsnap's XML, Backup Components Documents), with their hashes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from exshadow.catalog import schema
from exshadow.catalog.opening import translated
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
    digest = hashlib.sha256(content).hexdigest()
    one = Document(set_id, name, content, digest, tuple(paths), now())
    row = {
        "set_id": set_id,
        "name": name,
        "sha256": digest,
        "content": base64.b64encode(content).decode(),
        "paths": json.dumps(list(one.paths)),
        "recorded": one.recorded,
    }
    table = schema.documents
    with translated(), catalog.engine.begin() as connection:
        connection.execute(delete(table).where(table.c.set_id == set_id, table.c.name == name))
        connection.execute(insert(table).values(**row))
    return one


def documents(catalog: Catalog, set_id: str) -> list[Document]:
    """Those of one set, by name. CorruptError when one is not what was written."""
    table = schema.documents
    query = select(table).where(table.c.set_id == set_id).order_by(table.c.name)
    reader = catalog.engine.execution_options(exshadow_reads=True)
    with translated(), reader.connect() as connection:
        rows = connection.execute(query).mappings().all()
    found = []
    for row in rows:
        paths = tuple(json.loads(row["paths"]))
        content = _decoded(row["content"])
        if content is None or hashlib.sha256(content).hexdigest() != row["sha256"]:
            raise CorruptError(
                f"document {row['name']} of set {set_id} is damaged in the catalog",
                hint=f"it also lies at: {', '.join(paths) or 'nowhere else'}",
            )
        found.append(Document(set_id, row["name"], content, row["sha256"], paths, row["recorded"]))
    return found


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None
