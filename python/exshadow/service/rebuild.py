"""catalog rebuild, export, import: facts from the volume files, and from and to one JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from exshadow.catalog.store import Catalog
from exshadow.errors import InvalidError, from_system
from exshadow.model import Json, Plan, Step
from exshadow.service import sets
from exshadow.service.state import Survey
from exshadow.service.whole_file import write_whole

if TYPE_CHECKING:
    from exshadow.service.desk import Desk

_DOCUMENT_LIMIT = 1 << 30
_WRITE = "name a file that was written by: exshadow catalog export FILE"


def fill(catalog: Catalog, survey: Survey) -> Json:
    """Make volumes and sets what the volume files say; verdicts, jobs and events are kept.

    A volume that cannot be read keeps its record, and so do its sets.
    """
    for name in set(catalog.volumes()) - set(survey.volumes) - set(survey.problems):
        catalog.forget_volume(name)
    for volume in survey.volumes.values():
        catalog.record_volume(volume)
    found = sets.assemble(survey, catalog)
    for one in found:
        unreadable = any(member.volume in survey.problems for member in one.members)
        if one.state == "dissolved" and unreadable:
            continue
        catalog.record_set(replace(one))
    live = sum(1 for one in found if sets.is_present(one))
    return {"volumes": len(survey.volumes), "sets": live}


def rebuild(desk: Desk) -> tuple[Json, Survey]:
    """``catalog rebuild``: counts of what is in the catalog now, and what could not be read."""
    catalog = desk.catalog
    survey = desk.folder.survey()
    return fill(catalog, survey), survey


def export_to(desk: Desk, path: str | None) -> Json:
    """The catalog as one document, also written to `path` when there is one (by rename)."""
    from exshadow.catalog.transfer import export_catalog

    document = export_catalog(desk.catalog)
    if path is not None:
        _write(Path(path), json.dumps(document, indent=1) + "\n")
    return document


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        raise _translated(error, f"cannot write {path}") from error


def import_from(desk: Desk, path: str) -> dict[str, int]:
    """Replace the catalog's content by the document at `path`; rows per table."""
    from exshadow.catalog.transfer import import_catalog

    with _naming(path):
        return import_catalog(desk.catalog, _document(path))


@contextmanager
def _naming(path: str) -> Iterator[None]:
    # What is wrong with a document is said with its file's name.
    try:
        yield
    except InvalidError as problem:
        if path not in problem.message:
            problem.message = f"{path}: {problem.message}"
        problem.hint = problem.hint or _WRITE
        raise


def import_plan(path: str) -> Plan:
    """What ``catalog import`` would do; the file must be such a document."""
    from exshadow.catalog.transfer import check_document

    with _naming(path):
        rows = check_document(_document(path))
    facts = sum(len(found) for found in rows.values())
    step = Step(f"replace the catalog by {facts} facts of", "catalog", path)
    return Plan(f"catalog import {path}", (step,))


def _document(path: str) -> object:
    """The JSON in a file. NotFoundError, InvalidError."""
    file = Path(path)
    try:
        if file.stat().st_size > _DOCUMENT_LIMIT:
            raise InvalidError(f"{path} is too large for a catalog document", hint=_WRITE)
        return json.loads(file.read_bytes())
    except OSError as error:
        raise _translated(error, f"cannot read {path}") from error
    except UnicodeDecodeError as error:
        raise InvalidError(f"{path} is no text, let alone JSON", hint=_WRITE) from error
    except (ValueError, RecursionError) as error:
        what = "is empty" if not file.stat().st_size else f"is no whole JSON document: {error}"
        raise InvalidError(f"{path} {what}", hint=_WRITE) from error


def _translated(error: OSError, doing: str) -> Exception:
    if isinstance(error, IsADirectoryError | NotADirectoryError):
        return InvalidError(f"{doing}: {error.strerror}", hint="name a file")
    return from_system(error, doing)
