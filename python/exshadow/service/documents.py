"""What writers said of a set (positions in logs, labels that a copy needs): its Backup Components
Document, as STATE/documents/SET_ID.xml.

A restore may need it, so it is there before anybody is told that the backup succeeded. It goes with
the copies: not when a set is deleted or promoted, whose files live on.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from exshadow.errors import from_system


def document_file(state: Path, set_id: str) -> Path:
    """Where a set's document is, or would be."""
    return state / "documents" / f"{set_id}.xml"


def save_document(state: Path, set_id: str, text: str) -> None:
    """Keep it, whole and durable, or as it was before. IoError, NoSpaceError and the like."""
    save_file(document_file(state, set_id), text.encode(), f"the document of set {set_id}")


def save_file(path: Path, content: bytes, what: str) -> None:
    """A file that is whole and durable, or as it was before; its folder is made. ``what``: for the
    error, one of IoError, NoSpaceError and the like."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
        _sync_folder(path.parent)
    except OSError as problem:
        raise from_system(problem, f"keeping {what}") from problem


def forget_document(state: Path, set_id: str) -> None:
    """Its copies are no more. Quiet when there is none, or it cannot be removed."""
    with suppress(OSError):
        document_file(state, set_id).unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
