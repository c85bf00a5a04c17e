"""The XML of the two documents, read and written by the native module.

What is not known is kept and written again; comments are not. InvalidDocument says where and why a
text is refused: not well formed, too large, another root, entities, missing ids.
"""

from __future__ import annotations

from exshadow.vss.documents import BackupDocument, WriterMetadata
from exshadow.vss.plain import from_plain, to_plain


def parse_writer_metadata(text: str | bytes) -> WriterMetadata:
    """A Writer Metadata Document (UTF-8 or UTF-16 bytes, or text)."""
    from exshadow import _core

    return from_plain(WriterMetadata, _core.vss_parse_writer_metadata(_bytes(text)))


def parse_backup_document(text: str | bytes) -> BackupDocument:
    """A Backup Components Document."""
    from exshadow import _core

    return from_plain(BackupDocument, _core.vss_parse_backup_document(_bytes(text)))


def _bytes(text: str | bytes) -> bytes:
    """What is no character is left for the parser to refuse."""
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text


def serialise(document: WriterMetadata | BackupDocument) -> str:
    """One line of XML without a prolog that parses again as the same value."""
    from exshadow import _core

    if isinstance(document, WriterMetadata):
        return _core.vss_serialise_writer_metadata(to_plain(document))
    return _core.vss_serialise_backup_document(to_plain(document))
